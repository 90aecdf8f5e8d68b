"""Recognises files of another kind: rules in place of a configuration, both in one file, a Kubernetes object, a Helm
template. One problem that names the expected part replaces a list of unknown keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml

from rulepush.yaml.nodes import MapReader
from rulepush.yaml.source import SourceFile

_RULES: Final = "groups"
_CONFIG: Final = (
    "global",
    "scrape_configs",
    "scrape_config_files",
    "rule_files",
    "alerting",
    "remote_write",
    "storage",
)
_TO_RULE_FILE: Final = "move 'groups' to a file of its own and name that under 'rule_files'"


def is_other_kind_than_config(m: MapReader) -> bool:
    """Note a problem for a configuration that is a file of another kind, or also holds rules. True: there is nothing
    else to read in it."""
    if _is_kubernetes_object(m, "; name the rule file under 'rule_files' of the configuration"):
        return True
    if not m.has(_RULES):
        return False
    if _present(m, _CONFIG):
        m.problem(f"holds rules ('groups') beside the configuration: {_TO_RULE_FILE}", _RULES)
        return False
    m.problem("is a rule file, not a configuration: name it under 'rule_files' of one, or use `check rules`", _RULES)
    return True


def is_other_kind_than_rules(m: MapReader) -> bool:
    """The same for a rule file."""
    if _is_kubernetes_object(m, ""):
        return True
    config = _present(m, _CONFIG)
    if not config:
        return False
    if m.has(_RULES):
        m.problem(f"holds a configuration ({config[0]!r}) beside the rules: {_TO_RULE_FILE}", config[0])
        return False
    m.problem(
        f"is a configuration ({config[0]!r}), not a rule file: a rule file has the key 'groups'; use `check config`",
        config[0],
    )
    return True


def note_helm(source: SourceFile) -> None:
    """Note of a file with problems that it is a Helm template: such a file can be valid YAML."""
    if source.helm_line and any(p.file == source.name for p in source.reading.problems):
        source.problem(source.helm_line, "this is a Helm template: what `helm template` makes of it is wanted")


def _present(m: MapReader, keys: Sequence[str]) -> list[str]:
    return [key for key in m.keys() if key in keys and m.has(key)]  # noqa: SIM118


def _is_kubernetes_object(m: MapReader, where: str) -> bool:
    what, version = m.value("kind"), m.value("apiVersion")
    if not isinstance(what, yaml.ScalarNode) or not isinstance(version, yaml.ScalarNode):
        return False
    text = f"is a Kubernetes object (kind: {what.value})"
    if what.value == "PrometheusRule":
        m.problem(
            f"{text}: the part under 'spec' is wanted, as a file of its own that begins with 'groups:'{where}", "kind"
        )
    elif what.value in ("ConfigMap", "Secret"):
        m.problem(f"{text}: the text under a key of 'data' is wanted, as a file of its own", "kind")
    else:
        m.problem(f"{text}, which rulepush does not read", "kind")
    return True
