"""The discoveries that rulepush has. A new one is one file and one row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rulepush.discovery.groups import SdConfig
from rulepush.discovery.static import StaticConfig, address_fault

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

# key -> (module, its reader). A module is imported only when a configuration uses it, to save memory.
SD_CONFIGS: Final = {
    "static_configs": ("rulepush.discovery.static", "read_static"),
    "file_sd_configs": ("rulepush.discovery.file", "read_file_sd"),
    "http_sd_configs": ("rulepush.discovery.http", "read_http_sd"),
    "dns_sd_configs": ("rulepush.discovery.dns", "read_dns_sd"),
    "eureka_sd_configs": ("rulepush.discovery.eureka", "read_eureka_sd"),
    "kubernetes_sd_configs": ("rulepush.discovery.kubernetes.config", "read_kubernetes_sd"),
    "nacos_sd_configs": ("rulepush.discovery.nacos", "read_nacos_sd"),
    "consul_sd_configs": ("rulepush.discovery.consul", "read_consul_sd"),
    "nomad_sd_configs": ("rulepush.discovery.nomad", "read_nomad_sd"),
    "docker_sd_configs": ("rulepush.discovery.docker", "read_docker_sd"),
}

_INSTEAD: Final = "let what knows the targets write them for file_sd_configs, or answer http_sd_configs"

# Prometheus knows these; each would add targets, so leaving one out silently would silence alerts.
UNSUPPORTED_SD_CONFIGS: Final = tuple(
    f"{name}_sd_configs"
    for name in [
        "aws",
        "azure",
        "digitalocean",
        "dockerswarm",
        "ec2",
        "ecs",
        "elasticache",
        "gce",
        "hetzner",
        "ionos",
        "kuma",
        "lightsail",
        "linode",
        "marathon",
        "msk",
        "nerve",
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
    """Read every discovery of a job or of an `alertmanagers` entry.

    Static targets are checked only where there are no relabel_configs (Prometheus config/config.go,
    `checkStaticTargets`): those may turn a URL into an address, as probe jobs do. Addresses after relabelling are
    checked where targets are built.
    """
    relabelling = m.value("relabel_configs")
    is_relabelled = relabelling is not None and bool(relabelling.value)
    configs: list[SdConfig] = []
    for key in SD_CONFIGS:
        for entry in m.sections(key):
            config = sd_reader(key)(entry)
            configs.append(config)
            if not is_relabelled and isinstance(config, StaticConfig):
                for fault in filter(None, map(address_fault, config.targets)):
                    entry.problem(fault, "targets")
    for key in UNSUPPORTED_SD_CONFIGS:
        m.unsupported(key, instead=_INSTEAD)
    return tuple(configs)


def sd_reader(key: str) -> Callable[[MapReader], SdConfig]:
    """What reads one entry of `key`, a key of SD_CONFIGS."""
    module, name = SD_CONFIGS[key]
    reader: Callable[[MapReader], SdConfig] = getattr(importlib.import_module(module), name)
    return reader
