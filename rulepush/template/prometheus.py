"""The functions that Prometheus adds to text/template for alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from rulepush.errors import RegexError, RulepushError
from rulepush.gotext.builtins import url_escape
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    STRING,
    STRING_MAP,
    CallError,
    Function,
    GoKind,
    GoMap,
    GoObject,
    GoSlice,
    GoString,
    GoType,
)
from rulepush.model.durations import parse_duration
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.template.goregex import compile_go, replace_all
from rulepush.template.histogram import TemplateHistogram, template_value
from rulepush.template.humanize import (
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    to_duration,
    to_time,
)

QueryFunction = Callable[[str], Sequence[Sample]]
SAMPLE_TYPE: Final = GoType("*template.sample", GoKind.POINTER, GoType("template.sample", GoKind.STRUCT))
RESULT_TYPE: Final = GoType("template.queryResult", GoKind.SLICE, SAMPLE_TYPE)


class QuerySample(GoObject):
    """One element of a query's result: `.Labels` and `.Value`."""

    TYPE = SAMPLE_TYPE

    def __init__(self, labels: Labels, value: float | TemplateHistogram):
        self.labels = labels.as_dict()
        self.value = value

    def fields(self) -> Mapping[str, object]:
        return {"Labels": GoMap(self.labels, STRING_MAP), "Value": self.value}


def _not_nil(sample: QuerySample | None) -> QuerySample:
    if sample is None:
        raise CallError("runtime error: invalid memory address or nil pointer dereference")
    return sample


def _first(result: GoSlice) -> object:
    if not len(result):
        raise CallError("first() called on vector with no elements")
    return result[0]


def _sort_by_label(label: str, result: GoSlice) -> GoSlice:
    return GoSlice(sorted(result, key=lambda s: s.labels.get(label, "")), RESULT_TYPE)


def _match(pattern: str, text: str) -> bool:
    try:
        return compile_go(pattern).search(text) is not None
    except RegexError as e:
        raise CallError(str(e)) from None


def _replace(pattern: str, replacement: str, text: str) -> str:
    try:
        return replace_all(pattern, replacement, text)
    except RegexError as e:  # regexp.MustCompile panics
        shown = f"`{pattern}`" if "`" not in pattern else repr(pattern)
        raise CallError(f"regexp: Compile({shown}): {e}") from None


def title(text: str) -> str:
    """strings.Title: the first letter of every word in upper case, the others as they are."""
    out: list[str] = []
    previous = " "
    for char in text:
        out.append(char.title() if _separates(previous) and len(char.title()) == 1 else char)
        previous = char
    return "".join(out)


def to_upper(text: str) -> str:
    """strings.ToUpper: character by character, so that a character never becomes two (ß stays)."""
    if text.isascii():
        return text.upper()
    return "".join(c.upper() if len(c.upper()) == 1 else c.title() if len(c.title()) == 1 else c for c in text)


def to_lower(text: str) -> str:
    """strings.ToLower: character by character."""
    return text.lower() if text.isascii() else "".join(c.lower()[0] for c in text)


def _separates(char: str) -> bool:
    if char.isascii():
        return not (char.isalnum() or char == "_")
    return not char.isalnum() and char.isspace()


def split_host_port(text: str) -> tuple[str, str] | None:
    """net.SplitHostPort; None where Go returns an error."""
    head, colon, port = text.rpartition(":")
    if not colon:
        return None
    if text.startswith("["):
        end = text.find("]")
        if end < 0 or end + 1 != len(head) or text[end + 1 : end + 2] != ":":
            return None
        host = text[1:end]
        return None if "[" in host else (host, port)
    if ":" in head or "[" in text or "]" in text:
        return None
    return head, port


def strip_port(text: str) -> str:
    """`host:9100` -> `host`."""
    split = split_host_port(text)
    return split[0] if split is not None else text


def strip_domain(text: str) -> str:
    """`host.example.com:9100` -> `host:9100`; an address stays."""
    split = split_host_port(text)
    host, port = split if split is not None else (text, "")
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return text
    host = host.split(".")[0]
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host or "%" in host else f"{host}:{port}"


def graph_link(expr: str) -> str:
    """The path of the expression's graph."""
    return f"/graph?g0.expr={url_escape(expr)}&g0.tab=0"


def table_link(expr: str) -> str:
    """The path of the expression's table."""
    return f"/graph?g0.expr={url_escape(expr)}&g0.tab=1"


def _parse_duration(text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as e:
        raise CallError(str(e)) from None


def _args(*values: object) -> GoMap:
    return GoMap({f"arg{i}": value for i, value in enumerate(values)}, ANY_MAP)


@lru_cache(maxsize=64)
def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _no_call(*_: object) -> object:
    raise CallError("not available here")


STATIC_FUNCTIONS: Final[Mapping[str, Function]] = {
    "args": Function(_args, (ANY,), variadic=True),
    "first": Function(_first, (RESULT_TYPE,)),
    "graphLink": Function(graph_link, (STRING,)),
    "humanize": Function(humanize, (ANY,)),
    "humanize1024": Function(humanize1024, (ANY,)),
    "humanizeDuration": Function(humanize_duration, (ANY,)),
    "humanizePercentage": Function(humanize_percentage, (ANY,)),
    "humanizeTimestamp": Function(humanize_timestamp, (ANY,)),
    "label": Function(lambda label, sample: _not_nil(sample).labels.get(label, ""), (STRING, SAMPLE_TYPE)),
    "match": Function(_match, (STRING, STRING)),
    "parseDuration": Function(_parse_duration, (STRING,)),
    "reReplaceAll": Function(_replace, (STRING, STRING, STRING)),
    "safeHtml": Function(GoString, (STRING,)),
    "sortByLabel": Function(_sort_by_label, (STRING, RESULT_TYPE)),
    "stripDomain": Function(strip_domain, (STRING,)),
    "stripPort": Function(strip_port, (STRING,)),
    "strvalue": Function(lambda sample: _not_nil(sample).labels.get("__value__", ""), (SAMPLE_TYPE,)),
    "tableLink": Function(table_link, (STRING,)),
    "tmpl": Function(_no_call, (STRING, ANY), runs_template=True),
    "title": Function(title, (STRING,)),
    "toDuration": Function(to_duration, (ANY,)),
    "toLower": Function(to_lower, (STRING,)),
    "toTime": Function(to_time, (ANY,)),
    "toUpper": Function(to_upper, (STRING,)),
    "urlQueryEscape": Function(url_escape, (STRING,)),
    "value": Function(lambda sample: _not_nil(sample).value, (SAMPLE_TYPE,)),
}


BOUND_NAMES: Final[Mapping[str, Function]] = {
    "externalURL": Function(_no_call),
    "now": Function(_no_call),
    "pathPrefix": Function(_no_call),
    "query": Function(_no_call, (STRING,)),
}
"""The functions that need a query, a time or a URL: their signatures, for parsing."""


def bound_prometheus_functions(query: QueryFunction, ts: int, external_url: str) -> dict[str, Function]:
    """Those functions for one expansion. `ts` in milliseconds since the epoch."""

    def run_query(text: str) -> GoSlice:
        try:
            samples = query(text)
        except RulepushError as e:
            raise CallError(str(e)) from None
        return GoSlice([QuerySample(s.labels, template_value(s)) for s in samples], RESULT_TYPE)

    return {
        "externalURL": Function(lambda: external_url),
        "now": Function(lambda: ts / 1000),
        "pathPrefix": Function(lambda: _path_of(external_url)),
        "query": Function(run_query, (STRING,), cost=1000),
    }
