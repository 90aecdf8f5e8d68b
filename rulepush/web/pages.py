"""The pages for people: plain HTML from the API's own data, no script, so that any browser shows them, and curl."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from rulepush import __version__
from rulepush.errors import RulepushError

Data = Mapping[str, Any]

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--red:#d1373f;--amber:#b7791f;--green:#2f855a;--soft:#8881}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:72rem;padding:0 1rem 3rem}
nav{display:flex;gap:1.2rem;padding:.8rem 0;border-bottom:1px solid var(--line);flex-wrap:wrap}nav b{margin-right:1rem}
table{border-collapse:collapse;width:100%;margin:.6rem 0 1.6rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
th{font-weight:600}code,pre,textarea{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.6rem;overflow:auto;white-space:pre-wrap}
textarea{width:100%;box-sizing:border-box;min-height:4rem}
.firing,.down,.err{color:var(--red);font-weight:600}.pending,.unknown{color:var(--amber);font-weight:600}
.inactive,.up,.ok{color:var(--green)}.label{background:var(--soft);border-radius:3px;padding:0 .3rem;margin-right:.3rem}
small{opacity:.75}
"""
_NAV: Final = (
    ("alerts", "Alerts"),
    ("rules", "Rules"),
    ("targets", "Targets"),
    ("graph", "Query"),
    ("metrics", "Metrics"),
)


class Pages:
    """`rules`, `targets` give the `data` of /api/v1/rules and /api/v1/targets; `evaluate(expr)` gives the rows of an
    instant query as (labels, value) texts, and raises RulepushError."""

    def __init__(
        self,
        rules: Callable[[], Data],
        targets: Callable[[], Data],
        evaluate: Callable[[str], Sequence[tuple[str, str]]],
        prefix: str,
    ):
        self._rules = rules
        self._targets = targets
        self._evaluate = evaluate
        self._prefix = prefix

    def routes(self) -> list[Route]:
        """The routes, at the root."""
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/alerts", self.alerts, methods=["GET"]),
            Route("/rules", self.rules, methods=["GET"]),
            Route("/targets", self.targets, methods=["GET"]),
            Route("/graph", self.graph, methods=["GET"]),
            Route("/query", self.graph, methods=["GET"]),
        ]

    async def index(self, _: Request) -> Response:
        """The alerts are what one comes for."""
        return RedirectResponse(f"{self._prefix}/alerts")

    async def alerts(self, _: Request) -> Response:
        """Every alerting rule, those that fire first."""
        order = {"firing": 0, "pending": 1, "inactive": 2}
        rules = [r for g in self._rules()["groups"] for r in g["rules"] if r["type"] == "alerting"]
        rules.sort(key=lambda r: order.get(r["state"], 3))
        rows = []
        for rule in rules:
            alerts = rule.get("alerts") or []
            rows.append(
                f"<tr><td class={rule['state']}>{rule['state']}<td><b>{escape(rule['name'])}</b> {_health(rule)}"
                f"<br>{self._expr(rule['query'])}<td>{_for(rule)}<td>{len(alerts) or ''}</tr>"
            )
            rows += [
                f"<tr><td><td>{_labels(a['labels'], 'alertname')}{_annotations(a['annotations'])}"
                f"<td class={a['state']}>{a['state']}<br><small>since {escape(a['activeAt'])}</small>"
                f"<td>{escape(a['value'])}</tr>"
                for a in alerts
            ]
        return self._page(
            "Alerts", _table(("State", "Alert", "For", "Value"), rows) if rules else "<p>No alerting rules."
        )

    async def rules(self, _: Request) -> Response:
        """Every group with its rules and when they were last evaluated."""
        parts = []
        for group in self._rules()["groups"]:
            rows = [
                f"<tr><td>{escape(r['name'])}<td>{self._expr(r['query'])}{_error(r.get('lastError'))}<td>{_health(r)}"
                f"<td>{r['evaluationTime'] * 1000:.2f} ms<td><small>{escape(r['lastEvaluation'])}</small></tr>"
                for r in group["rules"]
            ]
            parts.append(
                f"<h2>{escape(group['name'])}</h2><small>{escape(group['file'])}, every {group['interval']:g}s</small>"
                + _table(("Rule", "Expression", "Health", "Took", "Last evaluation"), rows)
            )
        return self._page("Rules", "".join(parts) or "<p>No rule files.")

    async def targets(self, _: Request) -> Response:
        """Every target with what went wrong at its last scrape."""
        rows = [
            f"<tr><td class={t['health']}>{t['health']}<td>{escape(t['scrapeUrl'])}{_error(t['lastError'])}"
            f"<td>{_labels(t['labels'])}<td><small>{escape(t['lastScrape'])}</small>"
            f"<td>{t['lastScrapeDuration'] * 1000:.1f} ms</tr>"
            for t in self._targets()["activeTargets"]
        ]
        return self._page("Targets", _table(("State", "Endpoint", "Labels", "Last scrape", "Took"), rows))

    async def graph(self, request: Request) -> Response:
        """Where an alert's generatorURL leads: the expression, and what it gives now."""
        expr = request.query_params.get("g0.expr") or request.query_params.get("expr", "")
        form = (
            f'<form action="{self._prefix}/graph"><textarea name="g0.expr" autofocus>{escape(expr)}</textarea>'
            '<input type="hidden" name="g0.tab" value="1"><button>Execute</button></form>'
        )
        if not expr:
            return self._page("Query", form)
        try:
            rows = [f"<tr><td><code>{escape(labels)}</code><td>{escape(v)}</tr>" for labels, v in self._evaluate(expr)]
        except RulepushError as e:
            return self._page("Query", form + _error(str(e)))
        return self._page("Query", form + (_table(("Series", "Value"), rows) if rows else "<p>Empty result."))

    def _expr(self, expr: str) -> str:
        return f'<a href="{self._prefix}/graph?g0.expr={quote_plus(expr)}&g0.tab=1"><code>{escape(expr)}</code></a>'

    def _page(self, title: str, body: str) -> Response:
        links = "".join(f'<a href="{self._prefix}/{path}">{text}</a>' for path, text in _NAV)
        return HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} - rulepush</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
            f"<nav><b>rulepush</b>{links}</nav><h1>{title}</h1>{body}<small>rulepush {__version__}</small></html>",
            headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"},
        )


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{h}' for h in heads)}</tr>{''.join(rows)}</table>"


def _labels(labels: Mapping[str, str], *hidden: str) -> str:
    shown = ((n, v) for n, v in labels.items() if n not in hidden)
    return "".join(f'<span class="label">{escape(n)}={escape(chr(34) + v + chr(34))}</span>' for n, v in shown)


def _annotations(annotations: Mapping[str, str]) -> str:
    return "".join(f"<br><small>{escape(n)}: {escape(v)}</small>" for n, v in annotations.items())


def _error(text: str | None) -> str:
    return f"<pre class=err>{escape(text)}</pre>" if text else ""


def _health(rule: Data) -> str:
    return f"<span class={rule['health']}>{rule['health']}</span>"


def _for(rule: Data) -> str:
    return f"{rule['duration']:g}s" if rule.get("duration") else ""
