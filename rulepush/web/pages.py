"""The HTML pages: the data of the API in readable form. An alert's generatorURL is a link to `/graph`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import RulepushError
from rulepush.http_request import while_connected
from rulepush.model.durations import format_duration
from rulepush.model.floats import format_float
from rulepush.model.timestamps import format_rfc3339
from rulepush.web.html import ago, badge, definitions, error_box, label_chips, narrow, page, row, table, wide
from rulepush.web.status import Status

Data = Mapping[str, Any]
_HELD: Final = "<br><small>held: target is down</small>"
_ORDER: Final = {"firing": 0, "pending": 1, "inactive": 2}


@dataclass(frozen=True, slots=True)
class ShownResult:
    """The result of an instant query as texts: (labels, value) rows, of `count` rows in all, and warnings."""

    rows: Sequence[tuple[str, str]]
    count: int
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PageParts:
    """The data of the pages. `rules` and `targets` give the `data` of /api/v1/rules and /api/v1/targets;
    `evaluate(expr)` raises RulepushError."""

    rules: Callable[[], Data]
    targets: Callable[[], Data]
    status: Callable[[], Status]
    flags: Mapping[str, str]
    evaluate: Callable[[str], Awaitable[ShownResult]]
    clock: Clock
    prefix: str = ""


class Pages:
    """Alerts, rules, targets, query, status."""

    def __init__(self, parts: PageParts):
        self._parts = parts

    def routes(self) -> list[Route]:
        """The routes, at the root."""
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/alerts", self.alerts, methods=["GET"]),
            Route("/rules", self.rules, methods=["GET"]),
            Route("/targets", self.targets, methods=["GET"]),
            Route("/graph", self.graph, methods=["GET"]),
            Route("/query", self.graph, methods=["GET"]),
            Route("/status", self.status, methods=["GET"]),
        ]

    async def index(self, _: Request) -> Response:
        """Redirects to the alerts."""
        return RedirectResponse(f"{self._parts.prefix}/alerts", 302)

    async def alerts(self, _: Request) -> Response:
        """Every alerting rule with its alerts, firing ones first."""
        rules = [r for g in self._parts.rules()["groups"] for r in g["rules"] if r["type"] == "alerting"]
        if not rules:
            return self._page("alerts", "Alerts", "<p>No alerting rules.</p>")
        counts = {state: sum(r["state"] == state for r in rules) for state in _ORDER}
        summary = [badge(state, f"{n} {state}") for state, n in counts.items()]
        failing = sum(r["health"] == "err" for r in rules)
        if failing:
            summary.append(badge("err", f"{failing} cannot be evaluated"))
        active = sorted((r for r in rules if r["alerts"]), key=lambda r: _ORDER[r["state"]])
        rest = [r for r in rules if not r["alerts"]]
        body = f'<p class="sum">{" ".join(summary)}</p>{"".join(map(self._active, active))}'
        if rest:
            rows = [
                row(narrow(badge(r["state"])), wide(self._what(r) + error_box(r.get("lastError"))), narrow(_for(r)))
                for r in rest
            ]
            body += "<h2>Inactive</h2>" + table(("State", "Alert", "For"), rows)
        return self._page("alerts", "Alerts", body)

    def _active(self, rule: Data) -> str:
        now = self._parts.clock.now()
        rows = [
            row(
                narrow(badge(a["state"])),
                wide(label_chips(a["labels"], "alertname") + definitions(a["annotations"])),
                narrow(ago(a["activeAt"], now) + (_HELD if "heldSince" in a else "")),
                narrow(format_float(float(a["value"]))),
            )
            for a in rule["alerts"]
        ]
        after = f" <small>for {_for(rule)}</small>" if _for(rule) else ""
        return (
            f"<h2>{badge(rule['state'])} {escape(rule['name'])}{after}</h2>{self._expr(rule['query'])}"
            f"{error_box(rule.get('lastError'))}" + table(("State", "Labels and annotations", "Active", "Value"), rows)
        )

    async def rules(self, _: Request) -> Response:
        """Every group with its rules and when they were last evaluated."""
        now = self._parts.clock.now()
        parts = []
        for group in self._parts.rules()["groups"]:
            rows = [
                row(
                    narrow(badge(r["health"])),
                    wide(self._what(r) + error_box(r.get("lastError"))),
                    narrow(_for(r)),
                    narrow(ago(r["lastEvaluation"], now)),
                    narrow(_ms(r["evaluationTime"])),
                )
                for r in group["rules"]
            ]
            every = f"{escape(group['file'])}, every {format_duration(round(group['interval'] * 1000))}"
            parts.append(
                f"<h2>{escape(group['name'])} <small>{every}</small></h2>"
                + table(("Health", "Rule", "For", "Evaluated", "Took"), rows)
            )
        return self._page("rules", "Rules", "".join(parts) or "<p>No rules are configured.</p>")

    async def targets(self, _: Request) -> Response:
        """Every job with its targets and the error of their last scrape."""
        data = self._parts.targets()
        now = self._parts.clock.now()
        parts = []
        for pool in sorted(data["droppedTargetCounts"]):
            active = [t for t in data["activeTargets"] if t["scrapePool"] == pool]
            up = sum(t["health"] == "up" for t in active)
            rows = [
                row(
                    narrow(badge(t["health"])),
                    wide(_code(t["scrapeUrl"]) + error_box(t["lastError"])),
                    wide(label_chips(t["labels"])),
                    narrow(ago(t["lastScrape"], now)),
                    narrow(_ms(t["lastScrapeDuration"])),
                )
                for t in active
            ]
            dropped = [t["discoveredLabels"] for t in data["droppedTargets"] if t["scrapePool"] == pool]
            health = "no targets"
            if active:
                health = badge("ok" if up == len(active) else "err", f"{up} of {len(active)} up")
            parts.append(
                f"<h2>{escape(pool)} <small>{health}</small></h2>"
                + (table(("State", "Endpoint", "Labels", "Scraped", "Took"), rows) if rows else "")
                + _dropped(dropped, data["droppedTargetCounts"][pool])
            )
        return self._page("targets", "Targets", "".join(parts) or "<p>No jobs are configured.</p>")

    async def graph(self, request: Request) -> Response:
        """The expression, and its result now."""
        expr = request.query_params.get("g0.expr") or request.query_params.get("expr", "")
        form = (
            f'<form action="{escape(self._parts.prefix)}/graph"><textarea name="g0.expr" '
            f'aria-label="expression" autofocus>\n{escape(expr)}</textarea>'
            '<input type="hidden" name="g0.tab" value="1"><button>Execute</button></form>'
        )
        if not expr.strip():
            return self._page("graph", "Query", form)
        try:
            shown = await while_connected(request, self._parts.evaluate(expr))
        except RulepushError as e:
            return self._page("graph", "Query", form + error_box(str(e)))
        rows = [
            row(wide(f"<code>{escape(labels)}</code>"), wide(f"<code>{escape(v)}</code>")) for labels, v in shown.rows
        ]
        body = form + "".join(f'<div class="box">{escape(warning)}</div>' for warning in shown.warnings)
        if not rows:
            return self._page("graph", "Query", body + "<p>Empty result.</p>")
        more = f", the first {len(rows):,} shown" if shown.count > len(rows) else ""
        at = format_rfc3339(self._parts.clock.now())
        summary = f'<p class="muted">{shown.count:,} {"row" if shown.count == 1 else "rows"}{more}, at {at}</p>'
        return self._page("graph", "Query", body + summary + table(("Series", "Value"), rows))

    async def status(self, _: Request) -> Response:
        """Start time, configuration and flags."""
        status, now = self._parts.status(), self._parts.clock.now()
        good = (
            badge("ok", "good")
            if status.reload_successful
            else badge("err", "failed, the one below is still in effect")
        )
        loaded = ago(format_rfc3339(status.last_config_at), now)
        facts = [
            ("Started", ago(format_rfc3339(status.started_at), now)),
            ("Configuration", f"loaded {loaded}, last attempt {good}"),
            *(
                [("Overloaded", f"{badge('err', 'scrapes are skipped')} {escape(status.overload)}")]
                if status.overload
                else []
            ),
            ("Samples are kept", escape(status.retention)),
            *(("Alertmanager", _code(url)) for url in status.alertmanagers),
            *(("Dropped Alertmanager", _code(url)) for url in status.dropped_alertmanagers),
        ]
        flags = [(_code(f"--{n}"), _code(v)) for n, v in self._parts.flags.items()]
        return self._page(
            "status",
            "Status",
            _pairs(facts)
            + f"<h2>Configuration</h2><pre>{escape(status.config_yaml)}</pre>"
            + "<h2>Flags</h2>"
            + _pairs(flags),
        )

    def _what(self, rule: Data) -> str:
        return f"<b>{escape(rule['name'])}</b> {label_chips(rule.get('labels', {}))}<br>{self._expr(rule['query'])}"

    def _expr(self, expr: str) -> str:
        url = f"{escape(self._parts.prefix)}/graph?g0.expr={quote_plus(expr)}&amp;g0.tab=1"
        return f'<a href="{url}">{_code(expr)}</a>'

    def _page(self, path: str, title: str, body: str) -> Response:
        return page(self._parts.prefix, path, title, body)


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return table((), (row(narrow(name), wide(value)) for name, value in pairs))


def _dropped(found: Sequence[Mapping[str, str]], count: int) -> str:
    if not count:
        return ""
    items = "".join(f"<p>{label_chips(labels)}</p>" for labels in found)
    return f"<details><summary>{count} dropped by relabelling</summary>{items}</details>"


def _for(rule: Data) -> str:
    return format_duration(round(rule["duration"] * 1000)) if rule.get("duration") else ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
