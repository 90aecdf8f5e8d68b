"""A warning at the start when the links in alerts most likely lead nowhere, for --web.external-url is not set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.static import StaticConfig
from rulepush.model.typed_url import is_loopback_host

_MARKS: Final = (".dockerenv", "run/.containerenv")  # of Docker, of Podman
_RUNTIMES: Final = ("docker", "kubepods", "containerd", "libpod", "lxc")


def link_warning(guessed: str, listens_on: str, is_container: bool, alertmanagers: Sequence[AlertmanagerConfig]) -> str:
    """What to set and why; "" where the guess may do.

    `guessed` is the URL that links get, `listens_on` the address of the socket. Where only this machine is told of
    alerts, the links need to lead nowhere else.
    """
    if not any(_is_elsewhere(config) for config in alertmanagers):
        return ""
    if is_container:
        why = "the name of this container, which nothing outside can open"
    elif _is_loopback(listens_on):
        why = f"which can be opened on this machine at most: --web.listen-address is {listens_on}"
    else:
        return ""
    return (
        f"--web.external-url is not set: links in alerts lead to {guessed}, {why}. Set it to what a browser, or "
        f"a phone, can open: --web.external-url=http://ADDRESS:{urlsplit(guessed).port}, or the https:// URL of a proxy"
    )


def in_container(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> bool:
    """Whether this process runs in a container: its host name is then one that only the container knows."""
    if "KUBERNETES_SERVICE_HOST" in environment or any((root / mark).exists() for mark in _MARKS):
        return True
    try:
        text = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(runtime in text for runtime in _RUNTIMES)


def _is_elsewhere(config: AlertmanagerConfig) -> bool:
    """What is discovered counts as elsewhere: it would not need to be, if it were here."""
    static = [sd for sd in config.sd_configs if isinstance(sd, StaticConfig)]
    return len(static) < len(config.sd_configs) or any(not _is_loopback(t) for sd in static for t in sd.targets)


def _is_loopback(address: str) -> bool:
    """Of HOST:PORT."""
    try:
        host = urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return False
    return is_loopback_host(host)
