"""What the files of a working directory are written from: frozen values, the same ones for every app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rulepush.init.addresses import Address
from rulepush.model.secret import NO_SECRET, Secret
from rulepush.model.typed_url import is_loopback_host
from rulepush.relay.settings import Language, RobotType

CONFIG: Final = "prometheus.yml"
ALERTMANAGER: Final = "alertmanager.yml"
DINGTALK: Final = "dingtalk.yml"
COMPOSE: Final = "compose.yaml"
README: Final = "README.md"
SIDECAR: Final = "kubernetes/sidecar.yaml"
PORT: Final = 9095
ALERTMANAGER_PORT: Final = 9093
RELAY_PORT: Final = 8060
UPSTREAM_PROGRAM: Final = "alertmanager"
DEBIAN_PROGRAM: Final = "prometheus-alertmanager"
CONTAINER_USER: Final = 10001
OWN_ALERTMANAGER: Final = Address("http", f"127.0.0.1:{ALERTMANAGER_PORT}")
"""The Alertmanager that the compose file brings, where none was named."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write, its path relative to the directory. `secret`: only its owner may read it."""

    path: str
    text: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One of `scrape_configs`.

    `targets`   host:port each
    `above`     what a comment above the job says, in the language of the files
    `below`     lines of YAML below `static_configs`, each with the indentation of a key of the job: comments mostly
    """

    name: str
    targets: tuple[str, ...]
    scheme: str = "http"
    metrics_path: str = "/metrics"
    username: str = ""
    password: str = ""
    above: str = ""
    below: str = ""


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Of what `source` says already, what the `targets` say is no message. Both are matchers of Alertmanager."""

    source: str
    targets: str
    equal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Robot:
    """A robot of a group. `name` is its target in the relay, and its receiver in Alertmanager; `keyword` one that every
    message has to contain, "" for none."""

    type: RobotType
    name: str
    url: Secret
    secret: Secret = NO_SECRET
    keyword: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """A working directory.

    `app`               as in `rulepush init APP`
    `title`             the app as people call it: "Nacos"
    `packs`             name of a rule pack to its text
    `alertmanagers`     those that get the alerts; empty: the compose file brings one
    `external_url`      under which phones reach rulepush, without a slash at its end
    `machine`           host under which others reach this machine, an IPv6 address in brackets
    `inhibitions`       for alertmanager.yml
    `sidecar`           whether there is a manifest of a pod with the first job's app and rulepush in it
    `alertmanager_program`  what Alertmanager is called on this machine
    """

    app: str
    title: str
    jobs: tuple[ScrapeJob, ...]
    packs: Mapping[str, str]
    external_url: str
    machine: str
    alertmanagers: tuple[Address, ...] = ()
    robots: tuple[Robot, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    language: Language = Language.EN
    sidecar: bool = False
    alertmanager_program: str = UPSTREAM_PROGRAM

    @property
    def brings_alertmanager(self) -> bool:
        """Whether the compose file has an Alertmanager."""
        return not self.alertmanagers

    @property
    def receivers(self) -> tuple[Address, ...]:
        """The Alertmanagers of prometheus.yml."""
        return self.alertmanagers or (OWN_ALERTMANAGER,)

    @property
    def writes_alertmanager(self) -> bool:
        """Whether there is something to say to an Alertmanager: it is ours, or has to find the relay."""
        return self.brings_alertmanager or bool(self.robots)

    @property
    def prefix(self) -> str:
        """The path of the external URL, with which all routes begin; no slash at its end."""
        return urlsplit(self.external_url).path.rstrip("/")

    @property
    def is_open(self) -> bool:
        """Whether the external URL is rulepush's own port, which then has to listen on all addresses. Else it listens
        on loopback: for this machine alone, or for a proxy on it."""
        parts = urlsplit(self.external_url)
        return parts.scheme == "http" and parts.port == PORT and not is_loopback_host(parts.hostname or "")

    @property
    def relay_is_open(self) -> bool:
        """Whether an Alertmanager on another machine has to reach the relay."""
        return bool(self.robots) and any(not address.is_loopback for address in self.receivers)

    @property
    def relay_address(self) -> str:
        """host:port at which Alertmanager finds the relay."""
        return f"{self.machine if self.relay_is_open else '127.0.0.1'}:{RELAY_PORT}"

    @property
    def alertmanager_url(self) -> str:
        """The external URL of the Alertmanager that the compose file brings."""
        return f"http://{self.machine}:{ALERTMANAGER_PORT}"

    @property
    def shares_network(self) -> bool:
        """Whether a container needs the machine's own network: something listens on its loopback."""
        targets = (is_loopback_host(urlsplit(f"//{t}").hostname or "") for job in self.jobs for t in job.targets)
        return any(targets) or any(address.is_loopback for address in self.receivers)

    @property
    def config_is_secret(self) -> bool:
        """Whether prometheus.yml holds a password."""
        return any(job.password for job in self.jobs) or any(a.password for a in self.alertmanagers)
