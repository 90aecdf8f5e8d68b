"""The files of a working directory, as text. Pure."""

from __future__ import annotations

from rulepush.init.alertmanager_yml import alertmanager_yml
from rulepush.init.compose_yaml import compose_yaml
from rulepush.init.dingtalk_yml import dingtalk_yml
from rulepush.init.prometheus_yml import prometheus_yml
from rulepush.init.readme_md import readme_md
from rulepush.init.setup import ALERTMANAGER, COMPOSE, CONFIG, DINGTALK, README, SIDECAR, NewFile, Setup
from rulepush.init.sidecar_yaml import sidecar_yaml


def working_directory(setup: Setup) -> list[NewFile]:
    """The configuration files, the rules, the compose file and the README."""
    files = [NewFile(CONFIG, prometheus_yml(setup), setup.config_is_secret)]
    if setup.writes_alertmanager:
        files.append(NewFile(ALERTMANAGER, alertmanager_yml(setup)))
    if setup.robots:
        files.append(NewFile(DINGTALK, dingtalk_yml(setup), secret=True))
    files += [NewFile(COMPOSE, compose_yaml(setup)), NewFile(README, readme_md(setup))]
    if setup.sidecar:
        files.append(NewFile(SIDECAR, sidecar_yaml(setup)))
    return files + [NewFile(f"rules/{name}.yml", text) for name, text in setup.packs.items()]
