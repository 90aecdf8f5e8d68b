"""Which discoveries there are. A new one is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rulepush.discovery.dns import read_dns_sd
from rulepush.discovery.file import read_file_sd
from rulepush.discovery.groups import SdConfig
from rulepush.discovery.http import read_http_sd
from rulepush.discovery.nacos import read_nacos_sd
from rulepush.discovery.static import read_static

if TYPE_CHECKING:
    from rulepush.config.yaml_nodes import MapReader

SD_CONFIGS: Final[dict[str, Callable[[MapReader], SdConfig]]] = {
    "static_configs": read_static,
    "file_sd_configs": read_file_sd,
    "http_sd_configs": read_http_sd,
    "dns_sd_configs": read_dns_sd,
    "nacos_sd_configs": read_nacos_sd,
}

# Prometheus knows these; each would add targets, so leaving one out silently would silence alerts.
UNSUPPORTED_SD_CONFIGS: Final = tuple(
    f"{name}_sd_configs"
    for name in [
        "aws",
        "azure",
        "consul",
        "digitalocean",
        "docker",
        "dockerswarm",
        "ec2",
        "ecs",
        "elasticache",
        "eureka",
        "gce",
        "hetzner",
        "ionos",
        "kubernetes",
        "kuma",
        "lightsail",
        "linode",
        "marathon",
        "msk",
        "nerve",
        "nomad",
        "openstack",
        "outscale",
        "ovhcloud",
        "puppetdb",
        "rds",
        "scaleway",
        "serverset",
        "stackit",
        "triton",
        "uyuni",
        "vultr",
    ]
)


def read_sd_configs(m: MapReader) -> tuple[SdConfig, ...]:
    """Read every discovery of a job or of an `alertmanagers` entry."""
    configs = [read(entry) for key, read in SD_CONFIGS.items() for entry in m.sections(key)]
    for key in UNSUPPORTED_SD_CONFIGS:
        m.unsupported(key)
    return tuple(configs)
