"""The panels of the query page: what a link to Prometheus' `/graph` or `/query` asks for. Pure.

Sources: prometheus web/ui/mantine-ui/src/pages/query/urlStateEncoding.ts (links of today),
web/ui/react-app/src/utils/index.ts (the ones before). A parameter that cannot be used has its default, and the page
says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from rulepush.model.durations import format_duration, parse_duration
from rulepush.model.timestamps import format_rfc3339, parse_time
from rulepush.site.language import Message, message

MAX_PANELS: Final = 10
MAX_STEPS: Final = 11_000  # of one graph, as in Prometheus
_HOUR_MS: Final = 3_600_000
_MIN_STEP_MS: Final = 1_000
_MAX_RANGE_MS: Final = 100 * 365 * 24 * _HOUR_MS
_MAX_TIME_MS: Final = 253_402_300_799_000  # the end of the year 9999
_STEPS: Final = {"low": 100, "medium": 250, "high": 750}  # of a graph whose step is not given
_PLAIN_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d(?:\.\d+)?))?)?")


class PanelTab(Enum):
    """The value is the name in today's links."""

    TABLE = "table"
    GRAPH = "graph"


@dataclass(frozen=True, slots=True)
class QueryPanel:
    """An expression and how its result is shown.

    `end` (ms) is the time of a table and the end of a graph, None for now; a graph covers `range_ms` before it.
    `step_ms` is None where `density` chooses it.
    """

    expr: str = ""
    tab: PanelTab = PanelTab.TABLE
    range_ms: int = _HOUR_MS
    end: int | None = None
    step_ms: int | None = None
    density: str = "medium"
    problems: Sequence[Message] = ()

    @property
    def step(self) -> int:
        """The resolution of the graph, in ms."""
        chosen = self.range_ms // _STEPS[self.density] // 1000 * 1000
        return self.step_ms or max(_MIN_STEP_MS, chosen)

    @property
    def end_text(self) -> str:
        """The time as the field shows it, in UTC; empty for now."""
        return "" if self.end is None else format_rfc3339(self.end // 1000 * 1000).replace("T", " ").rstrip("Z")

    @property
    def range_text(self) -> str:
        return format_duration(self.range_ms)

    @property
    def step_text(self) -> str:
        """The step as the field shows it; empty where it is chosen."""
        return "" if self.step_ms is None else format_duration(self.step_ms)

    def with_tab(self, tab: PanelTab) -> QueryPanel:
        return replace(self, tab=tab)

    def with_range(self, range_ms: int) -> QueryPanel:
        """Another range, whose step is chosen."""
        return replace(self, range_ms=range_ms, step_ms=None)

    def earlier(self, now: int) -> QueryPanel:
        """Half a range further back."""
        return replace(self, end=(self.end or now) - self.range_ms // 2)

    def later(self, now: int) -> QueryPanel:
        """Half a range further on; now at the latest."""
        end = (self.end or now) + self.range_ms // 2
        return replace(self, end=None if end >= now else end)

    def parameters(self, number: int = 0) -> dict[str, str]:
        """The parameters of a link to it as the panel of that number, which Prometheus understands, too."""
        values = {
            "expr": self.expr,
            "tab": self.tab.value,
            "range_input": self.range_text,
            "end_input": self.end_text,
            "step_input": "" if self.step_ms is None else f"{self.step_ms / 1000:g}",
        }
        if self.step_ms is None and self.density != "medium":
            values |= {"res_type": "auto", "res_density": self.density}
        return {f"g{number}.{name}": value for name, value in values.items() if value or name == "expr"}


def panels_of(parameters: Mapping[str, str]) -> list[QueryPanel]:
    """The panels of a link, at least one. `expr` alone means the expression of the first."""
    count = 0
    while f"g{count}.expr" in parameters:
        count += 1
    if not count:
        return [_panel({"expr": parameters.get("expr", ""), **_of_panel(parameters, 0)})]
    panels = [_panel(_of_panel(parameters, n)) for n in range(min(count, MAX_PANELS))]
    if count > MAX_PANELS:
        more = message("%(count)d more panels are not shown", count=count - MAX_PANELS)
        panels[-1] = replace(panels[-1], problems=(*panels[-1].problems, more))
    return panels


def _of_panel(parameters: Mapping[str, str], number: int) -> dict[str, str]:
    prefix = f"g{number}."
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def _panel(given: Mapping[str, str]) -> QueryPanel:
    panel, problems = QueryPanel(expr=given.get("expr", "")), []
    if given.get("tab", "") in ("0", "graph"):
        panel = panel.with_tab(PanelTab.GRAPH)
    if text := given.get("range_input", "").strip():
        range_ms = _duration(text)
        if range_ms is None or range_ms > _MAX_RANGE_MS:
            problems.append(message("The range %(given)s is not a duration such as 1h30m", given=repr(text)))
        else:
            panel = replace(panel, range_ms=range_ms)
    # Today's links have both, with one value; in a graph of the old ones `end_input` is meant, in a table the other.
    if text := (given.get("moment_input", "") or given.get("end_input", "")).strip():
        end = _time(text)
        if end is None:
            problems.append(message("The time %(given)s is none such as 2026-01-31 13:00:00", given=repr(text)))
        panel = replace(panel, end=end)
    step = given.get("step_input", "").strip()
    if given.get("res_type") in ("fixed", "custom"):
        step = given.get("res_step", "").strip()
    elif given.get("res_type") == "auto" and given.get("res_density", "") in _STEPS:
        panel, step = replace(panel, density=given["res_density"]), ""
    if step:
        step_ms = _step(step)
        if step_ms is None:
            problems.append(message("The step %(given)s is no number of seconds and no duration", given=repr(step)))
        panel = replace(panel, step_ms=step_ms)
    return replace(panel, problems=tuple(problems))


def _duration(text: str) -> int | None:
    """A positive duration in ms."""
    try:
        return parse_duration(text) or None
    except ValueError:
        return None


def _step(text: str) -> int | None:
    """Seconds, as in Prometheus' links, or a duration: in ms."""
    try:
        seconds = float(text)
    except ValueError:
        return _duration(text)
    return round(seconds * 1000) if 0.001 <= seconds <= _MAX_RANGE_MS / 1000 else None


def _time(text: str) -> int | None:
    """`2026-01-31 13:00:00` in UTC, and with less, RFC 3339 or Unix seconds: in ms."""
    try:
        if (plain := _PLAIN_TIME.fullmatch(text)) is not None:
            day, minute, second = plain.groups()
            when = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}").replace(tzinfo=UTC)
            ms = round(when.timestamp() * 1000)
        else:
            ms = parse_time(text)
    except (ValueError, OverflowError):
        return None
    return ms if 0 <= ms <= _MAX_TIME_MS else None
