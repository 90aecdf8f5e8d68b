"""The labels of an instance in Consul, in Prometheus' spelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rulepush.discovery.groups import ADDRESS
from rulepush.errors import DiscoveryError
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels, sanitized_label_name

CONSUL_META: Final = "__meta_consul_"


def instance_labels(entry: object, separator: str) -> Labels:
    """The labels of one instance (consul.go, `consulService.watch`); `entry` is an object of /v1/health/service.

    Raises DiscoveryError when it is none."""
    if not isinstance(entry, dict):
        raise DiscoveryError("an instance is not an object")
    node, service = _mapping(entry, "Node"), _mapping(entry, "Service")
    checks, tags, port = _list(entry, "Checks"), _list(service, "Tags"), service.get("Port") or 0
    if not isinstance(port, int):
        raise DiscoveryError("Port is not a number")
    address, service_address = _text(node, "Address"), _text(service, "Address")
    pairs = {
        ADDRESS: join_host_port(service_address or address, port),
        f"{CONSUL_META}address": address,
        f"{CONSUL_META}node": _text(node, "Node"),
        f"{CONSUL_META}namespace": _text(service, "Namespace"),
        f"{CONSUL_META}partition": _text(service, "Partition"),
        # With a separator at both ends a regular expression need not care for the place of a tag.
        f"{CONSUL_META}tags": separator + separator.join(map(str, tags)) + separator,
        f"{CONSUL_META}service_address": service_address,
        f"{CONSUL_META}service_port": str(port),
        f"{CONSUL_META}service_id": _text(service, "ID"),
        f"{CONSUL_META}health": aggregated_health(checks),
    }
    for prefix, named in (
        ("metadata", _mapping(node, "Meta")),
        ("service_metadata", _mapping(service, "Meta")),
        ("tagged_address", _mapping(node, "TaggedAddresses")),
    ):
        pairs |= {f"{CONSUL_META}{prefix}_{sanitized_label_name(key)}": str(value) for key, value in named.items()}
    return Labels(pairs)


def aggregated_health(checks: list[Any]) -> str:
    """The worst of the checks, "" with an unknown status (hashicorp/consul api/health.go, `AggregatedStatus`)."""
    maintenance, statuses = False, set()
    for check in checks:
        check = check if isinstance(check, dict) else {}
        check_id = str(check.get("CheckID") or "")
        if check_id == "_node_maintenance" or check_id.startswith("_service_maintenance:"):
            maintenance = True
        elif check.get("Status") in ("passing", "warning", "critical"):
            statuses.add(check["Status"])
        else:
            return ""
    if maintenance:
        return "maintenance"
    return next((worst for worst in ("critical", "warning") if worst in statuses), "passing")


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DiscoveryError(f"{key} is not a text")
    return value


def _mapping(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; Go takes null for an empty one. Raises DiscoveryError."""
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DiscoveryError(f"{key} is not an object")
    return value


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DiscoveryError(f"{key} is not a list")
    return value
