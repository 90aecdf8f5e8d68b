"""From a discovered target to the URL of an Alertmanager. Source: prometheus notifier/alertmanager.go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.discovery.static import address_fault
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import relabel

SCHEME = "__scheme__"
ALERTS_PATH = "__alerts_path__"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs to post to, and those of the targets that relabelling dropped; each once, in order. `faults` says of
    each target whose address is none after relabelling what is wrong with it; such targets are dropped."""

    active: tuple[str, ...]
    dropped: tuple[str, ...]
    faults: tuple[str, ...] = ()


def endpoints(config: AlertmanagerConfig, groups: Sequence[TargetGroup]) -> Endpoints:
    """Apply the section's scheme, path prefix and relabelling to what its discoveries found."""
    active: dict[str, None] = {}
    dropped: dict[str, None] = {}
    faults: dict[str, None] = {}
    for labels in _targets(config, groups):
        kept = relabel(labels, config.relabel_configs)
        fault = address_fault(kept.get(ADDRESS)) if kept is not None else ""
        if fault:
            faults[fault] = None
        if kept is None or fault:
            dropped[_url(labels)] = None
        else:
            active[_url(kept)] = None
    return Endpoints(tuple(active), tuple(dropped), tuple(faults))


def _targets(config: AlertmanagerConfig, groups: Sequence[TargetGroup]) -> Iterable[Labels]:
    prefix = config.path_prefix.strip("/")
    path = f"/{prefix}/api/{config.api_version}/alerts" if prefix else f"/api/{config.api_version}/alerts"
    defaults = {SCHEME: config.scheme, ALERTS_PATH: path}
    for group in groups:
        for target in group.merged():
            yield Labels({**defaults, **target.as_dict()})


def _url(labels: Labels) -> str:
    return f"{labels.get(SCHEME)}://{labels.get(ADDRESS)}{labels.get(ALERTS_PATH)}"


def shown_endpoint(url: str) -> str:
    """The URL of an Alertmanager for people: without user and password. Not by `shown_url`: alerts go out without
    httpx."""
    scheme, colon, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"
