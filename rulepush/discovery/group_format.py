"""The list of target groups in files and in answers of HTTP services: `[{"targets": [...], "labels": {...}}]`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from rulepush.discovery.answer_body import MAX_BYTES
from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.errors import DiscoveryError
from rulepush.model.json_text import parse_json
from rulepush.model.labels import Labels
from rulepush.yaml.depth import too_deep
from rulepush.yaml.go_decoder import parse_yaml
from rulepush.yaml.source import yaml_text


def parse_groups(
    body: bytes, source: str, extra: dict[str, str], *, form: str, lenient: bool = False
) -> list[TargetGroup]:
    """`form` is "json" or "yaml"; `extra` labels go to every group, whose source is `<source>:<position>`.

    `lenient` accepts what Nacos and hand-written services answer: numbers as label values, additional keys.
    Raises DiscoveryError.
    """
    if len(body) > MAX_BYTES:
        raise DiscoveryError(f"larger than {MAX_BYTES >> 20} MiB")
    parsed = decoded_json(body) if form == "json" else _decoded_yaml(body)
    if parsed is None:
        return []
    if not isinstance(parsed, list):
        raise DiscoveryError(f"expected a list of target groups, got {_kind(parsed)}")
    if form == "json":
        parsed = [_lower_keys(entry) for entry in parsed]
    return [_group(entry, f"{source}:{i}", i, extra, lenient) for i, entry in enumerate(parsed)]


def decoded_json(body: bytes) -> Any:
    """What a JSON body says. Raises DiscoveryError."""
    with json_faults():
        return parse_json(body.decode("utf-8-sig"))


@contextmanager
def json_faults() -> Iterator[None]:
    """Raises as DiscoveryError, in words, what the decoding of a body and of its JSON raises."""
    try:
        yield
    except UnicodeDecodeError:
        raise DiscoveryError("not valid UTF-8") from None
    except RecursionError:
        raise DiscoveryError("nested too deeply") from None
    except json.JSONDecodeError as e:
        raise DiscoveryError(f"line {e.lineno}: not valid JSON: {e.msg}") from None
    except ValueError as e:
        raise DiscoveryError(f"not valid JSON: {str(e).splitlines()[0]}") from None


def _decoded_yaml(body: bytes) -> Any:
    try:
        text = yaml_text(body)
        if too_deep(text) is not None:
            raise DiscoveryError("nested too deeply")
        return parse_yaml(text)
    except UnicodeDecodeError:
        raise DiscoveryError("not valid UTF-8") from None
    except RecursionError:
        raise DiscoveryError("nested too deeply") from None
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise DiscoveryError(f"line {mark.line + 1 if mark else 1}: not valid YAML: {e.problem or e.context}") from None
    except (yaml.YAMLError, ValueError) as e:
        raise DiscoveryError(f"not valid YAML: {str(e).splitlines()[0]}") from None


def _lower_keys(entry: Any) -> Any:
    """Go decodes the keys of a JSON object case-insensitively, and services written in Go answer `Targets`."""
    return {str(k).lower(): v for k, v in entry.items()} if isinstance(entry, dict) else entry


def _group(entry: Any, source: str, position: int, extra: dict[str, str], lenient: bool) -> TargetGroup:
    if not isinstance(entry, dict):
        raise DiscoveryError(f"group {position}: expected a mapping, got {_kind(entry)}")
    unknown = sorted(str(k) for k in entry if k not in ("targets", "labels"))
    if unknown and not (lenient and "targets" in entry):
        raise DiscoveryError(f"group {position}: unknown key {unknown[0]!r}")
    targets, labels = entry.get("targets"), entry.get("labels")
    targets, labels = [] if targets is None else targets, {} if labels is None else labels
    if not isinstance(targets, list) or not all(isinstance(t, str | None) for t in targets):
        raise DiscoveryError(f"group {position}: targets must be a list of texts")
    if not isinstance(labels, dict):
        raise DiscoveryError(f"group {position}: labels must be a mapping, got {_kind(labels)}")
    pairs = {}
    for name, value in labels.items():
        if value is None or (lenient and name == ""):
            continue
        if lenient and isinstance(value, bool | int | float):
            value = json.dumps(value)
        if not isinstance(name, str) or not isinstance(value, str):
            raise DiscoveryError(f"group {position}: label {name!r} must have a text as its value, got {_kind(value)}")
        if name == "":
            raise DiscoveryError(f'group {position}: "" is not a valid label name')
        pairs[name] = value
    return TargetGroup(source, tuple(Labels({ADDRESS: t or ""}) for t in targets), Labels(pairs | extra))


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return "a text"
        case bool():
            return "a boolean"
        case _:
            return "a number"
