"""Relabelling step by step: what each rule did to a label set, for people who look for a lost target. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rulepush.model.labels import Labels
from rulepush.relabel.relabel import (
    DEFAULT_REGEX,
    DEFAULT_REPLACEMENT,
    DEFAULT_SEPARATOR,
    Action,
    RelabelConfig,
    apply_rule,
)


@dataclass(frozen=True, slots=True)
class LabelChange:
    """A label before and after; "" where it is not there, for an empty label is none."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RelabelStep:
    """One rule at work: its `number`, from 1; `value`, the joined source labels that it compared; what it changed; and
    whether it kept the set."""

    number: int
    rule: RelabelConfig
    value: str
    changes: tuple[LabelChange, ...]
    keep: bool


def relabel_steps(labels: Labels, configs: Sequence[RelabelConfig]) -> tuple[RelabelStep, ...]:
    """One step a rule, as `relabel` applies them; the last one is the rule that drops the set, where one does."""
    work = labels.as_dict()
    changed: set[str] = set()
    steps = []
    for number, config in enumerate(configs, 1):
        before, value = dict(work), config.source_value(work)
        keep = apply_rule(config, work, changed)
        steps.append(RelabelStep(number, config, value, tuple(label_changes(before, work)), keep))
        if not keep:
            break
    return tuple(steps)


def dropping_step(labels: Labels, configs: Sequence[RelabelConfig]) -> RelabelStep | None:
    """The step that drops the set, None where all rules keep it."""
    steps = relabel_steps(labels, configs)
    return steps[-1] if steps and not steps[-1].keep else None


def label_changes(before: dict[str, str], after: dict[str, str]) -> Iterable[LabelChange]:
    """What differs, by name."""
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            yield LabelChange(name, old, new)


def rule_text(config: RelabelConfig) -> str:
    """The rule as the configuration may have it, on one line; settings with their default value are left out."""
    parts = [f"action: {config.action.value}"]
    if config.source_labels:
        parts.append(f"source_labels: [{', '.join(config.source_labels)}]")
    if config.separator != DEFAULT_SEPARATOR:
        parts.append(f"separator: {_scalar(config.separator)}")
    if config.regex != DEFAULT_REGEX:
        parts.append(f"regex: {_scalar(config.regex)}")
    if config.action is Action.HASH_MOD:
        parts.append(f"modulus: {config.modulus}")
    if config.target_label:
        parts.append(f"target_label: {config.target_label}")
    if config.replacement != DEFAULT_REPLACEMENT:
        parts.append(f"replacement: {_scalar(config.replacement)}")
    return "{" + ", ".join(parts) + "}"


def _scalar(text: str) -> str:
    """In single quotes, where YAML knows no escapes but the doubled quote."""
    return "'" + text.replace("'", "''") + "'"
