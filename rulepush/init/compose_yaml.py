"""The text of compose.yaml: rulepush, and where they are needed the relay and an Alertmanager."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from rulepush.init.setup import (
    ALERTMANAGER,
    ALERTMANAGER_PORT,
    CONFIG,
    CONTAINER_USER,
    DINGTALK,
    PORT,
    RELAY_PORT,
    Setup,
)
from rulepush.init.wording import comment, wording

ALERTMANAGER_IMAGE: Final = "prom/alertmanager:v0.33.1"
_DATA: Final = "/var/lib/rulepush"
# The directory: a file that is mounted alone stays the old one when an editor replaces it.
_CONFIGURATION: Final = ".:/etc/rulepush:ro"
_RELOAD: Final = "--config.auto-reload-interval=30s"
_HEALTH: Final = ("/opt/rulepush/bin/rulepush", "health")  # it reads the command line of its container
_HARDENED: Final = """\
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    restart: unless-stopped
"""


def compose_yaml(setup: Setup) -> str:
    """With a server on the machine's own loopback, the containers have to share the machine's network."""
    services, volumes = [_rulepush(setup)], ["rulepush-data"]
    if setup.brings_alertmanager:
        services.append(_alertmanager(setup))
        volumes.append("alertmanager-data")
    if setup.robots:
        services.append(_relay(setup))
        volumes.append("relay-data")
    declared = "".join(f"  {volume}:\n" for volume in volumes)
    return f"{_head(setup)}services:\n" + "\n".join(services) + f"\nvolumes:\n{declared}"


def secret_files(setup: Setup) -> tuple[str, ...]:
    """The files that only their owner may read, and which the user of the container has to read."""
    return tuple(name for name, secret in ((CONFIG, setup.config_is_secret), (DINGTALK, bool(setup.robots))) if secret)


def _head(setup: Setup) -> str:
    say = wording(setup.language)
    names = " ".join(secret_files(setup))
    lines = []
    if names:
        lines.append(
            say(
                f"{names} can be read by you only. Let the user of the container read it:\n"
                f"  sudo chown {CONTAINER_USER} {names}",
                f"{names} 只有您自己可读。请让容器的用户可以读取：\n  sudo chown {CONTAINER_USER} {names}",
            )
        )
    lines.append("docker compose up -d")
    lines.append(
        say(
            "The image is built from a checkout of rulepush: docker build -t rulepush .",
            "镜像在 rulepush 的代码目录中构建：docker build -t rulepush .",
        )
    )
    if setup.shares_network:
        lines.append(
            say(
                "network_mode: host: the containers use the addresses of this machine, 127.0.0.1 among them, as if\n"
                "they ran without containers. Docker Desktop has to be told to allow it: Settings, Resources, Network.",
                "network_mode: host：容器直接使用本机的地址（包括 127.0.0.1），与不用容器运行时相同。\n"
                "Docker Desktop 需要在 Settings → Resources → Network 中允许。",
            )
        )
    return comment("\n".join(lines))


def _service(name: str, image: str, words: Sequence[str], network: str, mounts: Sequence[str], health: str) -> str:
    command = "".join(f"      {word}\n" if word.startswith("# ") else f"      - {word}\n" for word in words)
    volumes = "".join(f"      - {mount}\n" for mount in mounts)
    return f"  {name}:\n    image: {image}\n    command:\n{command}{network}    volumes:\n{volumes}{health}{_HARDENED}"


def _network(setup: Setup, port: int, is_open: bool) -> str:
    if setup.shares_network:
        return "    network_mode: host\n"
    return f'    ports: ["{port if is_open else f"127.0.0.1:{port}"}:{port}"]\n'


def _listen(setup: Setup, port: int, is_open: bool) -> str:
    """In a network of its own, a container is reached on all its addresses; `_network` says from where."""
    return f"{'0.0.0.0' if is_open or not setup.shares_network else '127.0.0.1'}:{port}"


def _health(words: Sequence[str]) -> str:
    return (
        "    healthcheck:\n"
        f"      test: {json.dumps(['CMD', *words])}\n"
        "      interval: 30s\n      timeout: 5s\n      start_period: 15s\n      retries: 3\n"
    )


def _rulepush(setup: Setup) -> str:
    say = wording(setup.language)
    why = say(
        "The address that links in the messages lead to: phones must be able to open it.",
        "消息中的链接指向这个地址：手机必须能打开。",
    )
    words = [
        "run",
        f"--config.file=/etc/rulepush/{CONFIG}",
        _RELOAD,
        f"--storage.path={_DATA}",
        f"--web.listen-address={_listen(setup, PORT, setup.is_open)}",
        f"# {why}",
        f"--web.external-url={setup.external_url}",
    ]
    return _service(
        "rulepush",
        "rulepush:latest",
        words,
        _network(setup, PORT, setup.is_open),
        [_CONFIGURATION, f"rulepush-data:{_DATA}"],
        _health(_HEALTH),
    )


def _alertmanager(setup: Setup) -> str:
    say = wording(setup.language)
    mirror = say("", f"拉取较慢时可以换用镜像站，例如 docker.m.daocloud.io/{ALERTMANAGER_IMAGE}")
    return _service(
        "alertmanager",
        ALERTMANAGER_IMAGE,
        [
            *([f"# {mirror}"] if mirror else []),
            f"--config.file=/etc/alertmanager/{ALERTMANAGER}",
            "--storage.path=/alertmanager",
            f"--web.listen-address=:{ALERTMANAGER_PORT}",
            f"--web.external-url={setup.alertmanager_url}",
            "--cluster.listen-address=",
        ],
        _network(setup, ALERTMANAGER_PORT, is_open=True),
        [f"./{ALERTMANAGER}:/etc/alertmanager/{ALERTMANAGER}:ro", "alertmanager-data:/alertmanager"],
        _health(["wget", "-q", "--spider", f"http://127.0.0.1:{ALERTMANAGER_PORT}/-/healthy"]),
    )


def _relay(setup: Setup) -> str:
    """Whoever reaches it can write into the groups: on loopback, unless Alertmanager runs elsewhere."""
    return _service(
        "relay",
        "rulepush:latest",
        [
            "dingtalk",
            f"--config.file=/etc/rulepush/{DINGTALK}",
            _RELOAD,
            f"--storage.path={_DATA}",
            f"--web.listen-address={_listen(setup, RELAY_PORT, setup.relay_is_open)}",
        ],
        _network(setup, RELAY_PORT, setup.relay_is_open),
        [_CONFIGURATION, f"relay-data:{_DATA}"],
        _health(_HEALTH),
    )
