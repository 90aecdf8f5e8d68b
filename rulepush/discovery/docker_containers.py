"""The targets of one Docker container (Prometheus 3.14 discovery/moby/docker.go, `refresh`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels, sanitized_label_name

_META: Final = "__meta_docker_"
_SHARED: Final = "container:"

Container = Mapping[str, Any]
"""An entry of /containers/json."""


class TargetSettings(Protocol):
    """The keys of the configuration that say how containers become targets."""

    @property
    def port(self) -> int:
        """Of containers without a TCP port."""
        ...

    @property
    def host_networking_host(self) -> str:
        """The address of containers on the network of their host."""
        ...

    @property
    def match_first_network(self) -> bool:
        """Whether only the network whose name is first counts."""
        ...


def container_group(
    container: Container,
    by_id: Mapping[str, Container],
    network_labels: Mapping[str, Mapping[str, str]],
    settings: TargetSettings,
) -> TargetGroup:
    """The group of a container that has a name: a target for each network and TCP port, or for each network where there
    is no port. `by_id` has all containers: one may use the network of another.

    Raises AttributeError, TypeError or ValueError when the container is not as Docker gives it."""
    mode = _mode(container)
    shared = {
        f"{_META}container_id": _text(container, "Id"),
        f"{_META}container_name": str(container["Names"][0]),
        f"{_META}container_network_mode": mode,
        f"{_META}container_image": _text(container, "Image"),
        f"{_META}container_image_id": _text(container, "ImageID"),
    }
    named = container.get("Labels") or {}
    shared |= {f"{_META}container_label_{sanitized_label_name(k)}": str(v) for k, v in named.items()}
    targets: list[Labels] = []
    for network in _networks(container, by_id, first_only=settings.match_first_network):
        ip = _text(network, "IPAddress") or _text(network, "GlobalIPv6Address")
        on_network = {**network_labels.get(_text(network, "NetworkID"), {}), f"{_META}network_ip": ip}
        ports = [p for p in container.get("Ports") or () if p.get("Type") == "tcp"]
        for port in ports:
            private, public = int(port.get("PrivatePort") or 0), int(port.get("PublicPort") or 0)
            labels = {**on_network, ADDRESS: join_host_port(ip, private), f"{_META}port_private": str(private)}
            if public > 0:
                labels |= {f"{_META}port_public": str(public), f"{_META}port_public_ip": _text(port, "IP")}
            targets.append(Labels(labels))
        if not ports:
            address = settings.host_networking_host if mode == "host" else join_host_port(ip, settings.port)
            targets.append(Labels({**on_network, ADDRESS: address}))
    source = _text(container, "Id") + shared[f"{_META}container_name"]
    return TargetGroup(source, tuple(sorted(targets)), Labels(shared))


def _networks(container: Container, by_id: Mapping[str, Container], *, first_only: bool) -> list[Mapping[str, Any]]:
    """The networks of a container, or of the one whose network it uses (`docker run --network container:ID`)."""
    found, mode = _own_networks(container), _mode(container)
    visited: set[str] = set()
    while not found and mode.startswith(_SHARED):
        other_id = mode.removeprefix(_SHARED)
        if other_id in visited or other_id not in by_id:
            break
        visited.add(other_id)
        found, mode = _own_networks(by_id[other_id]), _mode(by_id[other_id])
    named = [found[name] for name in sorted(found) if found[name] is not None]
    return named[:1] if first_only else named


def _own_networks(container: Container) -> Mapping[str, Any]:
    settings = container.get("NetworkSettings") or {}
    networks: Mapping[str, Any] = settings.get("Networks") or {}
    networks.items  # noqa: B018  an AttributeError if it is no object
    return networks


def _mode(container: Container) -> str:
    return _text(container.get("HostConfig") or {}, "NetworkMode")


def _text(entry: Mapping[str, Any], key: str) -> str:
    return str(entry.get(key) or "")
