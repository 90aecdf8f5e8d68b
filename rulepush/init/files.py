"""The files of a working directory for Nacos, as text. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from rulepush.init.addresses import Address

PACKS: Final = ("nacos", "jvm", "spring-boot", "self")
CONFIG: Final = "prometheus.yml"
COMPOSE: Final = "compose.yaml"
PORT: Final = 9095


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write, its path relative to the directory. `secret`: only its owner may read it."""

    path: str
    text: str
    secret: bool = False


def working_directory(
    nacos: Address, members: tuple[str, ...], alertmanager: Address, packs: dict[str, str]
) -> list[NewFile]:
    """The configuration, the rules (`packs`: name to text) and the compose file."""
    secret = bool(nacos.password or alertmanager.password)
    files = [
        NewFile(CONFIG, _config(nacos, members, alertmanager), secret),
        NewFile(COMPOSE, _compose(nacos.is_loopback or alertmanager.is_loopback, secret)),
    ]
    return files + [NewFile(f"rules/{name}.yml", text) for name, text in packs.items()]


def _config(nacos: Address, members: tuple[str, ...], alertmanager: Address) -> str:
    return f"""\
# Written by `rulepush init nacos`. The format is Prometheus' own.
#   rulepush check config {CONFIG}
#   rulepush check live --config.file {CONFIG}     rules that cannot fire on the real targets
#   rulepush run --config.file {CONFIG} --storage.path data
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  # Labels that every alert gets, to tell your sites apart.
  # external_labels: {{site: hz1}}

rule_files:
  - rules/*.yml

scrape_configs:
  # The rules expect "nacos" in the name of the job.
  - job_name: nacos
    scheme: {nacos.scheme}
    metrics_path: {_quoted(nacos.path + "/actuator/prometheus")}
{_basic_auth(nacos, "    ")}    static_configs:
      - targets: {json.dumps(list(members))}
    # In place of static_configs, to follow a cluster whose servers change, and for the alerts on Raft (rules/nacos.yml,
    # group nacos-raft). Where Nacos asks for a login, add username and password_file.
    # nacos_sd_configs:
    #   - role: server
    #     server: {_quoted(nacos.base)}

  # rulepush itself, for rules/self.yml.
  - job_name: rulepush
    static_configs:
      - targets: ["127.0.0.1:{PORT}"]

# Of rulepush alone, Prometheus refuses this key: every sample of the last day, compressed, in the directory of
# --storage.path. It costs no alert when the disk is full.
storage:
  record: {{retention: 24h, max_size: 512MB}}

alerting:
  alertmanagers:
    - scheme: {alertmanager.scheme}
{_prefix(alertmanager)}{_basic_auth(alertmanager, "      ")}      static_configs:
        - targets: {json.dumps([alertmanager.host])}
"""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _prefix(address: Address) -> str:
    return f"      path_prefix: {_quoted(address.path)}\n" if address.path else ""


def _basic_auth(address: Address, indent: str) -> str:
    if not address.username:
        return ""
    return (
        f"{indent}basic_auth:\n"
        f"{indent}  username: {_quoted(address.username)}\n"
        f"{indent}  password: {_quoted(address.password)}\n"
    )


def _compose(loopback: bool, secret: bool) -> str:
    """With a server on the machine's own loopback, the container has to share the machine's network. `secret`: only
    its owner may read the configuration."""
    network = (
        "    # Nacos or Alertmanager listens on 127.0.0.1 of this machine.\n    network_mode: host\n"
        if loopback
        else f'    ports: ["127.0.0.1:{PORT}:{PORT}"]\n'
    )
    listen = "127.0.0.1" if loopback else "0.0.0.0"
    readable = f"# {CONFIG} holds a password. Let the user of the container read it: sudo chown 10001 {CONFIG}\n"
    return f"""\
{readable if secret else ""}# docker compose up -d
# The image is built from a checkout of rulepush: docker build -t rulepush .
services:
  rulepush:
    image: rulepush:latest
    command:
      - run
      - --config.file=/etc/rulepush/{CONFIG}
      - --storage.path=/var/lib/rulepush
      - --web.listen-address={listen}:{PORT}
{network}    volumes:
      - ./{CONFIG}:/etc/rulepush/{CONFIG}:ro
      - ./rules:/etc/rulepush/rules:ro
      - rulepush-data:/var/lib/rulepush
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    restart: unless-stopped

volumes:
  rulepush-data:
"""
