"""A fake Docker engine, for what docker_sd_configs asks.

Written from moby/moby api/swagger.yaml (ContainerSummary, Port, EndpointSettings, Network; `/containers/json`,
`/networks`, `/_ping`; ErrorResponse) and daemon/list.go (the filters, `acceptedPsFilterTags`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

API_VERSION = "1.44"
_VERSIONED = re.compile(r"^/v\d+\.\d+(?=/)")
_FILTERS = ("ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name")
_MORE_FILTERS = ("network", "publish", "since", "status", "volume")
Json = dict[str, Any]


def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> Json:
    """A Port; without a mapping it has neither PublicPort nor IP."""
    return {"PrivatePort": private, "Type": kind} | ({"PublicPort": public, "IP": ip} if public else {})


def endpoint(network: str, ip: str = "", ip6: str = "") -> Json:
    """An EndpointSettings."""
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": f"id-of-{network}",
        "EndpointID": f"endpoint-of-{ip or ip6 or network}",
        "Gateway": "",
        "IPAddress": ip,
        "IPPrefixLen": 16 if ip else 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": ip6,
        "GlobalIPv6PrefixLen": 64 if ip6 else 0,
        "MacAddress": "",
        "DriverOpts": None,
    }


def container(name: str, *ports: Json, mode: str = "app_default", **more: Any) -> Json:
    """A ContainerSummary. `more`: networks (by name), labels, image, names, state."""
    return {
        "Id": f"{len(name):02}{name.encode().hex():f<62}"[:64],
        "Names": more.get("names", [f"/{name}"]),
        "Image": more.get("image", "app:1"),
        "ImageID": more.get("image_id", "sha256:0123"),
        "Command": "run",
        "Created": 1616273136,
        "Ports": list(ports),
        "Labels": more.get("labels", {}),
        "State": more.get("state", "running"),
        "Status": "Up 40 seconds",
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": more.get("networks", {})},
        "Mounts": [],
    }


def network(name: str, **more: Any) -> Json:
    """A Network as /networks lists it. `more`: scope, internal, ingress, labels."""
    return {
        "Name": name,
        "Id": f"id-of-{name}",
        "Created": "2021-03-20T21:46:51.123Z",
        "Scope": more.get("scope", "local"),
        "Driver": "bridge",
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": more.get("internal", False),
        "Attachable": False,
        "Ingress": more.get("ingress", False),
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": more.get("labels", {}),
    }


@dataclass
class FakeDocker:
    """`fail` answers in place of everything."""

    containers: list[Json] = field(default_factory=list)
    networks: list[Json] = field(default_factory=list)
    fail: Callable[[httpx.Request], httpx.Response] | None = None
    requests: list[httpx.Request] = field(default_factory=list)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """One request; for httpx.MockTransport."""
        self.requests.append(request)
        if self.fail:
            return self.fail(request)
        path = _VERSIONED.sub("", request.url.path)
        headers = {"Api-Version": API_VERSION, "Docker-Experimental": "false", "Ostype": "linux"}
        match path:
            case "/_ping":
                return httpx.Response(200, text="OK", headers=headers)
            case "/networks":
                return httpx.Response(200, json=self.networks, headers=headers)
            case "/containers/json":
                filters = json.loads(request.url.params.get("filters", "{}"))
                for name in filters:
                    if name not in _FILTERS and name not in _MORE_FILTERS:
                        return httpx.Response(400, json={"message": f"invalid filter '{name}'"}, headers=headers)
                found = [c for c in self.containers if _selected(c, filters)]
                return httpx.Response(200, json=found, headers=headers)
        return httpx.Response(404, json={"message": "page not found"}, headers=headers)


def _selected(found: Json, filters: dict[str, dict[str, bool]]) -> bool:
    """Of one filter any value, of the labels all; by default what runs."""
    if "status" in filters:
        if found["State"] not in filters["status"]:
            return False
    elif found["State"] != "running":
        return False
    if "name" in filters and not any(re.search(p, n) for p in filters["name"] for n in found["Names"]):
        return False
    if "network" in filters and not set(filters["network"]) & set(found["NetworkSettings"]["Networks"]):
        return False
    for text in filters.get("label", {}):
        key, has_value, value = text.partition("=")
        if key not in found["Labels"] or (has_value and found["Labels"][key] != value):
            return False
    return True


def compose() -> FakeDocker:
    """The cases of Prometheus' discovery/moby/docker_test.go: a port, none, several, UDP alone, mapped ones, the host's
    network, the network of another container, several networks, IPv6, no name. Every address is of the loopback range:
    where programs scrape what they find, nothing leaves this machine."""
    database = container(
        "mysql",
        port(3306),
        port(33060),
        mode="app_private",
        networks={"app_private": endpoint("app_private", "127.20.0.2")},
        image="mysql:5.7",
        labels={"com.docker.compose.service": "mysql"},
    )
    exporter = container("exporter", port(9104), mode=f"container:{database['Id']}")
    front = {
        "app_private": endpoint("app_private", "127.20.0.9"),
        "app_default": endpoint("app_default", "127.19.0.9"),
        "app_empty": None,
    }
    six = {"six": endpoint("six", "", "::1")}
    both = {"six": endpoint("six", "127.21.0.3", "::1")}
    default = "app_default"
    return FakeDocker(
        [
            container(
                "node",
                port(9100),
                networks={default: endpoint(default, "127.19.0.2")},
                labels={"prometheus-job": "node", "maintainer": "The Authors <a@b>", "empty": ""},
            ),
            container("noport", networks={default: endpoint(default, "127.19.0.3")}, image="", image_id=""),
            container("udp", port(53, kind="udp"), networks={default: endpoint(default, "127.19.0.4")}),
            container(
                "mapped",
                port(80, 8080, "0.0.0.0"),
                port(80, 8080, "::"),
                port(81, kind="udp"),
                networks={default: endpoint(default, "127.19.0.5")},
            ),
            container("hosted", mode="host", networks={"host": endpoint("host")}),
            database,
            exporter,
            container("sidecar", mode=f"container:{exporter['Id']}"),
            container("orphan", port(1), mode="container:gone"),
            container("front", port(443), port(80), networks=front),
            container("six", port(9000), mode="six", networks=six),
            container("both", port(9000), mode="six", networks=both),
            container("unnamed", port(7), names=[], networks={default: endpoint(default, "127.19.0.6")}),
            container("unlisted", port(8), mode="lost", networks={"lost": endpoint("lost", "127.22.0.2")}),
            container("isolated", mode="none", networks={"none": endpoint("none")}),
            container("stopped", port(9), state="exited", networks={default: endpoint(default)}),
        ],
        [
            network(default, labels={"com.docker.compose.network": "default"}),
            network("app_private", internal=True),
            network("six", scope="swarm", ingress=True, labels=None),
            network("host"),
            network("none"),
        ],
    )
