"""Which discoveries there are. A new one is one file and one row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rulepush.discovery.groups import SdConfig

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

# key -> (module, its reader). A module is imported when a configuration uses it: a sidecar pays for memory.
SD_CONFIGS: Final = {
    "static_configs": ("rulepush.discovery.static", "read_static"),
    "file_sd_configs": ("rulepush.discovery.file", "read_file_sd"),
    "http_sd_configs": ("rulepush.discovery.http", "read_http_sd"),
    "dns_sd_configs": ("rulepush.discovery.dns", "read_dns_sd"),
    "nacos_sd_configs": ("rulepush.discovery.nacos", "read_nacos_sd"),
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
    configs = [sd_reader(key)(entry) for key in SD_CONFIGS for entry in m.sections(key)]
    for key in UNSUPPORTED_SD_CONFIGS:
        m.unsupported(key)
    return tuple(configs)


def sd_reader(key: str) -> Callable[[MapReader], SdConfig]:
    """What reads one entry of `key`, a key of SD_CONFIGS."""
    module, name = SD_CONFIGS[key]
    reader: Callable[[MapReader], SdConfig] = getattr(importlib.import_module(module), name)
    return reader
