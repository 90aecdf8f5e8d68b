"""Rule files as Prometheus 3.14 reads them (model/rulefmt/rulefmt.go): strict, with every problem and its line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from rulepush.errors import EvaluationError, ParseError, Problem, RuleFileError
from rulepush.model.labels import METRIC_NAME, is_valid_utf8_name
from rulepush.promql import Query, parse_expr
from rulepush.rules.specs import AlertingSpec, RecordingSpec, RuleGroup, RuleSpec, read_by, result_fault
from rulepush.template import TemplateError, check_alert_template
from rulepush.yaml.hints import is_other_kind_than_rules, note_helm
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, compose, is_null, kind, line_of
from rulepush.yaml.source import first_document


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One rule file. With `problems`, `groups` is empty. `warnings` are no reason to refuse it."""

    name: str
    groups: tuple[RuleGroup, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def rule_count(self) -> int:
        """Rules in all groups."""
        return sum(len(g.rules) for g in self.groups)


def read_rule_file(path: str, *, ignore_unknown: bool = False) -> RuleFile:
    """Read and check one file; a file that cannot be read has that as its only problem."""
    try:
        with open(path, "rb") as f:
            body = f.read()
    except OSError as e:
        return RuleFile(path, (), (Problem(path, 0, f"cannot be read: {e.strerror or e}"),))
    return parse_rule_file(path, body, ignore_unknown=ignore_unknown)


def read_rule_files(paths: Iterable[str], *, ignore_unknown: bool = False) -> tuple[RuleFile, ...]:
    """All files, each once. Raises RuleFileError with the problems of all of them."""
    files = tuple(read_rule_file(path, ignore_unknown=ignore_unknown) for path in dict.fromkeys(paths))
    problems = [p for file in files for p in file.problems]
    if problems:
        raise RuleFileError(problems)
    return files


def load_rule_files(paths: Iterable[str], *, ignore_unknown: bool = False) -> tuple[RuleGroup, ...]:
    """The groups of all files. Raises RuleFileError with the problems of all of them."""
    return tuple(group for file in read_rule_files(paths, ignore_unknown=ignore_unknown) for group in file.groups)


def parse_rule_file(name: str, body: bytes, *, ignore_unknown: bool = False) -> RuleFile:
    """Check the bytes of a rule file. `ignore_unknown`: unknown keys are no problem (`--ignore-unknown-fields`)."""
    reading = LoadSession()
    source = SourceFile(name, "", reading)
    groups: list[RuleGroup] = []
    root = compose(first_document(body, reading), source)
    if isinstance(root, yaml.MappingNode):
        groups = _Parser(source, ignore_unknown).groups(root)
    elif root is not None and not is_null(root):
        source.problem(line_of(root), f"expected a mapping with the key 'groups', got {kind(root)}")
    note_helm(source)
    problems = tuple(sorted(reading.problems, key=lambda p: p.line))
    return RuleFile(name, () if problems else tuple(groups), problems, tuple(reading.warnings))


class _Parser:
    """Builds the groups of one file; what is wrong goes to the source's problems."""

    def __init__(self, source: SourceFile, ignore_unknown: bool):
        self._source = source
        self._ignore_unknown = ignore_unknown

    def groups(self, root: yaml.MappingNode) -> list[RuleGroup]:
        reader = MapReader(self._source, root)
        if is_other_kind_than_rules(reader):
            return []
        groups: list[RuleGroup] = []
        lines: dict[str, int] = {}
        for section in reader.sections("groups"):
            group = self._group(section)
            if not group.name:
                self._source.problem(section.line, "Groupname must not be empty")
            elif group.name in lines:
                message = f'groupname: "{group.name}" is repeated in the same file, first in line {lines[group.name]}'
                self._source.problem(section.line, message)
            lines.setdefault(group.name, section.line)
            groups.append(group)
        self._finish(reader)
        return groups

    def _finish(self, reader: MapReader) -> None:
        if not self._ignore_unknown:
            reader.finish()

    def _group(self, reader: MapReader) -> RuleGroup:
        name = reader.text("name")
        place = _Place(self._source, reader, f'group "{name}": ')
        labels = place.labels()
        rules: list[RuleSpec] = []
        for i, section in enumerate(reader.sections("rules")):
            rule = _rule(section, self._source, name, i + 1, labels)
            self._finish(section)
            if rule is not None:
                rules.append(rule)
        if any(isinstance(rule, AlertingSpec) for rule in rules):
            place.check_templates("labels", "label", labels)
        group = RuleGroup(
            name=name,
            file=self._source.name,
            rules=tuple(rules),
            interval_ms=reader.duration("interval"),
            limit=reader.count("limit"),
            query_offset_ms=reader.duration("query_offset") if reader.has("query_offset") else None,
            labels=tuple(sorted(labels.items())),
            line=reader.line,
        )
        self._finish(reader)
        return group


@dataclass(frozen=True, slots=True)
class _Place:
    """A mapping of the file, and how its problems begin: `group "g", rule 1, "name": `."""

    source: SourceFile
    reader: MapReader
    prefix: str

    def problem(self, message: str, key: str | None = None) -> None:
        line = self.reader.line if key is None else self.reader.line_at(key)
        self.source.problem(line, self.prefix + message)

    def warning(self, message: str, key: str) -> None:
        self.source.reading.warnings.append(f"line {self.reader.line_at(key)}: {self.prefix}{message}")

    def problem_in(self, section: str, key: str, message: str) -> None:
        """At a key of a mapping below."""
        inner = self.reader.section(section)
        self.source.problem(inner.line_at(key) if inner else self.reader.line, self.prefix + message)

    def labels(self) -> dict[str, str]:
        """`labels`, with their names checked."""
        labels = self.reader.text_map("labels")
        for name in labels:
            if not is_valid_utf8_name(name) or name == METRIC_NAME:
                self.problem_in("labels", name, f"invalid label name: {name}")
        return labels

    def check_templates(self, section: str, what: str, texts: dict[str, str], alert: str = "") -> None:
        for name, text in texts.items():
            if "{{" not in text:
                continue
            try:
                check_alert_template(text, alert)
            except TemplateError as e:
                self.problem_in(section, name, f'{what} "{name}": {e}')
                continue
            for query in read_by(text)[1]:
                fault = (
                    f'{what} "{name}": what its query reads is known only when it runs, and may not be kept: {query}'
                )
                self.warning(f"{fault}; write it as a literal, or as printf with a literal format", section)


def _rule(
    reader: MapReader, source: SourceFile, group: str, number: int, group_labels: dict[str, str]
) -> RuleSpec | None:
    """One rule; None when it has no valid expression. Messages and order are those of rulefmt's Rule.Validate."""
    record, alert = reader.text("record"), reader.text("alert")
    place = _Place(source, reader, f'group "{group}", rule {number}, "{alert or record}": ')
    if record and alert:
        place.problem("only one of 'record' and 'alert' must be set", "alert")
    elif not record and not alert:
        place.problem("one of 'record' or 'alert' must be set")
    query = _query(place)
    for_ms, keep_firing_ms = reader.duration("for"), reader.duration("keep_firing_for")
    labels = place.labels()
    annotations = reader.text_map("annotations")
    if record:
        _check_recording(place, record, {"annotations": annotations, "for": for_ms, "keep_firing_for": keep_firing_ms})
    for name in annotations:
        if not is_valid_utf8_name(name):
            place.problem_in("annotations", name, f"invalid annotation name: {name}")
    if alert:
        place.check_templates("labels", "label", labels, alert)
        place.check_templates("annotations", "annotation", annotations, alert)
    if query is None:
        return None
    merged = tuple(sorted({**group_labels, **labels}.items()))
    if record:
        return RecordingSpec(record, query, merged, reader.line)
    return AlertingSpec(alert, query, for_ms, keep_firing_ms, merged, tuple(sorted(annotations.items())), reader.line)


def _query(place: _Place) -> Query | None:
    text = place.reader.text("expr")
    if not text:
        place.problem("field 'expr' must be set in rule", "expr")
        return None
    try:
        query = parse_expr(text)
    except ParseError as e:
        place.problem(f"could not parse expression: {e}", "expr")
        return None
    if fault := result_fault(query):
        place.warning(f"{fault}, so every evaluation fails; the other rules are evaluated", "expr")
    if query.misuse is not None:  # Prometheus accepts it, and then fails at every evaluation
        place.problem(f"could not evaluate expression: {query.misuse}", "expr")
        return None
    try:
        # A rule is an instant query, in which step() and range() are 0. Prometheus loads it, and then fails every time.
        return query.resolved(0, 0)
    except EvaluationError as e:
        place.problem(f"could not evaluate expression: {e}; in a rule, the durations step() and range() are 0s", "expr")
        return None


def _check_recording(place: _Place, name: str, foreign: dict[str, object]) -> None:
    for key, value in foreign.items():
        if value:
            place.problem(f"invalid field '{key}' in recording rule", key)
    if not is_valid_utf8_name(name):
        place.problem(f"invalid recording rule name: {name}", "record")
    if "{" in name or "}" in name:
        place.problem(f"braces present in the recording rule name; should it be in expr?: {name}", "record")
