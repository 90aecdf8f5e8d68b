"""An Explanation as a text for a terminal. Pure."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rulepush.explain.reasons import Reason, ReasonKind, number, time_text
from rulepush.explain.tree import ExplainedAlert, ExplainedNode, Explanation
from rulepush.model.durations import format_duration
from rulepush.model.labels import ALERT_NAME, METRIC_NAME, Labels

WIDTH = 100
_SHORTEST = 30  # columns that a text keeps however deep it stands


def explanation_text(found: Explanation, width: int = WIDTH) -> str:
    """The rule, why it has its result, its alerts, and the tree; no line is wider than `width` where words allow it."""
    return "\n".join(line.rstrip() for line in _lines(found, width)) + "\n"


def _lines(found: Explanation, width: int) -> Iterator[str]:
    state = found.state or ("not asked of a running rulepush" if found.alerting else "recording rule")
    failing = ", failing" if found.health == "err" else ""
    yield f"{found.name}: {state}{failing}"
    yield from _wrapped(_where(found), "  ", width)
    yield from _wrapped(found.expr, "  expr: ", width)
    yield from _wrapped(_clock(found), "  ", width)
    if found.last_error and not any(r.message.endswith(found.last_error) for r in found.summary):
        yield from _wrapped(f"last error: {found.last_error}", "  ", width)
    yield ""
    for title, reasons in (("why: ", found.summary), ("but: ", found.findings)):
        for i, reason in enumerate(reasons):
            yield from _reason(reason, title if i == 0 else " " * len(title), width)
    yield ""
    if found.alert_count:
        more = "" if len(found.alerts) == found.alert_count else f", {len(found.alerts)} shown"
        yield f"alerts ({found.alert_count}{more})"
        for alert in found.alerts:
            yield from _alert(alert, width)
        yield ""
    yield f"the expression, its parts and their values at {time_text(found.ts)}"
    yield from _node(found.tree, "  ", "  ", {r.message for r in found.summary}, width)


def _where(found: Explanation) -> str:
    file = min(found.file, os.path.relpath(found.file), key=len) if found.file else ""
    parts = [f"{file}:{found.line}" if found.line else file, f"group {found.group}" if found.group else ""]
    return ", ".join(part for part in parts if part)


def _clock(found: Explanation) -> str:
    parts = []
    if found.alerting:
        parts.append(f"for: {format_duration(found.for_ms)}")
    if found.keep_firing_ms:
        parts.append(f"keep_firing_for: {format_duration(found.keep_firing_ms)}")
    parts.append(f"evaluated every {format_duration(found.interval_ms)}")
    if found.last_ts is None:
        parts.append("not evaluated yet")
    else:
        parts.append(f"last at {time_text(found.last_ts)}")
    return ", ".join(parts)


def _alert(alert: ExplainedAlert, width: int) -> Iterator[str]:
    labels = alert.labels.without((ALERT_NAME,))
    state = "resolved" if alert.state == "inactive" else alert.state
    yield from _wrapped(f"{labels} = {number(alert.value)}", f"  {state:<9}", width)
    for reason in alert.reasons:
        yield from _reason(reason, " " * 11, width)


def _reason(reason: Reason, lead: str, width: int) -> Iterator[str]:
    yield from _wrapped(reason.message, lead, width)
    if reason.suggestion:
        yield from _wrapped(reason.suggestion, " " * len(lead) + "-> ", width)


def _node(node: ExplainedNode, lead: str, below: str, said: set[str], width: int) -> Iterator[str]:
    """`lead` stands before the first line, `below` before those under it. What is `said` already is not repeated."""
    count = _count(node)
    room = max(_SHORTEST, width - len(lead) - len(count) - 2)
    text = node.head if len(node.head) <= room else node.head[: room - 3] + "..."
    yield f"{lead}{text}{' ' * max(2, width - len(lead) - len(text) - len(count))}{count}"
    inner = below + ("|  " if node.parts else "   ")
    told = [reason for reason in node.reasons if reason.kind is not ReasonKind.DROPPED]  # the count tells it
    fails_here = node.error and not any(part.error for part in node.parts)
    if fails_here or (node.is_empty and any(reason.message in said for reason in told)):
        yield f"{inner}<- this is why"
    for reason in told:
        if reason.message not in said:
            said.add(reason.message)
            yield from _wrapped(reason.message, inner, width, inner)
            if reason.suggestion:
                yield from _wrapped("-> " + reason.suggestion, inner, width, inner + "   ")
    yield from _rows(node, inner, width)
    for i, part in enumerate(node.parts):
        last = i == len(node.parts) - 1
        yield from _node(part, f"{below}{'`- ' if last else '|- '}", below + ("   " if last else "|  "), said, width)


def _rows(node: ExplainedNode, inner: str, width: int) -> Iterator[str]:
    # Where the parts above show the same elements, only leaves and what passed or missed is worth the lines.
    if node.parts and node.kind != "comparison":
        return
    passed = [f"{_short(row.labels)} = {row.text}" for row in node.rows]
    missed = [f"dropped: {_short(row.labels)}: {row.text}" for row in node.missed]
    yield from _listed(passed, node.series or 0, inner, width)
    yield from _listed(missed, node.dropped, inner, width)


def _listed(rows: Sequence[str], count: int, inner: str, width: int) -> Iterator[str]:
    for row in rows:
        yield from _wrapped(row, inner, width, inner + "    ")
    if rows and count > len(rows):
        yield f"{inner}... and {count - len(rows)} more"


def _short(labels: Labels) -> str:
    """Without the metric name, which the tree says."""
    return str(labels.without((METRIC_NAME,)))


def _count(node: ExplainedNode) -> str:
    if node.error:
        return "fails"
    if node.value is not None:
        return f"= {number(node.value)}"
    if node.series is None:
        return ""
    if node.samples is not None:
        return f"{node.series} series, {node.samples} samples"
    if node.kind == "comparison":
        return f"{node.series} of {node.series + node.dropped}"
    return f"{node.series} series" if node.kind == "selector" else str(node.series)


def _wrapped(text: str, lead: str, width: int, following: str | None = None) -> Iterable[str]:
    """Lines no longer than `width`, a long word aside; `lead` before the first, `following` (blank like it) after."""
    if not text:
        return ()
    indent = " " * len(lead) if following is None else following
    room = max(width, len(lead) + _SHORTEST)
    return textwrap.wrap(
        text, room, initial_indent=lead, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
