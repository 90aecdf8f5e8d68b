"""The layout of the HTML pages, and the elements that they share. Without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from starlette.responses import HTMLResponse, Response

from rulepush import __version__
from rulepush.model.durations import format_duration
from rulepush.model.timestamps import parse_rfc3339

_STYLE: Final = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--soft:#f3f4f6;--line:#d9dce1;--muted:#5f6772;--link:#1557b0;
--red:#c02b2b;--red-bg:#fde8e8;--amber:#8a5a00;--amber-bg:#fdf0d5;--green:#1d6f42;--green-bg:#e2f4e9}
@media(prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e4e7eb;--soft:#20242a;--line:#363c45;--muted:#9aa3af;
--link:#7fb2ff;--red:#ff8a80;--red-bg:#4a1f1f;--amber:#ffc766;--amber-bg:#46350f;--green:#7fd6a2;--green-bg:#173a27}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0;background:var(--bg);color:var(--fg)}
header{border-bottom:1px solid var(--line);background:var(--soft)}
header nav,main{max-width:80rem;margin:0 auto;padding:.6rem 1rem}
main{padding-bottom:3rem}
nav{display:flex;gap:.3rem 1.2rem;flex-wrap:wrap;align-items:baseline}
nav b{margin-right:.8rem;font-size:1.05rem}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
nav a[aria-current]{color:var(--fg);font-weight:600}
h1{font-size:1.5rem;margin:.9rem 0 .3rem}
h2{font-size:1.1rem;margin:1.6rem 0 .3rem;overflow-wrap:anywhere}
h2 small,p.sum{font-weight:400}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.3rem 0 .6rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--muted);font-size:.85rem}
td.n{white-space:nowrap;width:1%}
code,pre,textarea{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
code{overflow-wrap:anywhere}
pre{background:var(--soft);padding:.6rem .8rem;margin:.4rem 0;overflow:auto;white-space:pre-wrap;
overflow-wrap:anywhere;border-radius:4px}
pre.err,.box.err{background:var(--red-bg);color:var(--red)}
.box{padding:.4rem .8rem;margin:.4rem 0;border-radius:4px;background:var(--amber-bg);color:var(--amber)}
textarea{width:100%;min-height:4.5rem;padding:.5rem;color:inherit;background:var(--bg);border:1px solid var(--line);
border-radius:4px}
button{font:inherit;padding:.3rem 1rem;margin:.4rem 0;border:0;border-radius:4px;background:var(--link);color:var(--bg)}
.badge{display:inline-block;padding:0 .5rem;border-radius:4px;font-size:.85rem;font-weight:600;white-space:nowrap;
background:var(--soft);color:var(--muted)}
.firing,.down,.err{background:var(--red-bg);color:var(--red)}
.pending,.unknown{background:var(--amber-bg);color:var(--amber)}
.inactive,.up,.ok{background:var(--green-bg);color:var(--green)}
.label{display:inline-block;background:var(--soft);border-radius:3px;padding:0 .35rem;margin:0 .3rem .2rem 0;
font:12.5px/1.6 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.2rem 0;overflow-wrap:anywhere}
dt{color:var(--muted)}dd{margin:0;white-space:pre-wrap}
small,footer,.muted{color:var(--muted);font-size:.87rem}
footer{margin-top:2rem}details{margin:.4rem 0}summary{cursor:pointer}
"""
_NAV: Final = (
    ("alerts", "Alerts"),
    ("rules", "Rules"),
    ("targets", "Targets"),
    ("graph", "Query"),
    ("status", "Status"),
    ("metrics", "Metrics"),
)
_NEVER_YEAR: Final = "0001-"


def page(prefix: str, path: str, title: str, body: str) -> Response:
    """A whole page; `path` is its entry in the navigation."""
    links = "".join(
        f'<a href="{escape(prefix)}/{p}"{" aria-current=page" if p == path else ""}>{text}</a>' for p, text in _NAV
    )
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - rulepush</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<header><nav><b>rulepush</b>{links}</nav></header><main><h1>{title}</h1>{body}"
        f"<footer>rulepush {__version__}</footer></main></body></html>",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"},
    )


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    """`rows` come from `row`."""
    cells = "".join(f"<th>{h}</th>" for h in heads)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(*cells: str) -> str:
    """`cells` come from `narrow` and `wide`."""
    return f"<tr>{''.join(cells)}</tr>"


def narrow(html: str) -> str:
    """A cell as narrow as its content: a state, a time, a number."""
    return f'<td class="n">{html}</td>'


def wide(html: str) -> str:
    """A cell that wraps."""
    return f"<td>{html}</td>"


def badge(kind: str, text: str = "") -> str:
    """A coloured badge; `kind` is a state or a health."""
    return f'<span class="badge {escape(kind)}">{escape(text or kind)}</span>'


def label_chips(labels: Mapping[str, str], *hidden: str) -> str:
    """`name="value"` for each label, as separate elements, so that a long list wraps."""
    shown = ((n, v) for n, v in labels.items() if n not in hidden)
    return " ".join(f'<span class="label">{escape(n)}=&quot;{escape(v)}&quot;</span>' for n, v in shown)


def definitions(pairs: Mapping[str, str]) -> str:
    """Names and texts, such as annotations."""
    return f"<dl>{''.join(f'<dt>{escape(n)}</dt><dd>{escape(v)}</dd>' for n, v in pairs.items())}</dl>" if pairs else ""


def error_box(text: str | None) -> str:
    """An error text; nothing when there is none."""
    return f'<pre class="err">{escape(text)}</pre>' if text else ""


def ago(then: str, now: int) -> str:
    """An RFC 3339 time of the API relative to `now` (ms), with the time itself as tooltip."""
    if then.startswith(_NEVER_YEAR):
        return "never"
    ms = max(0, now - parse_rfc3339(then))
    seconds = ms // 1000
    short = f"{ms} ms" if seconds == 0 else _rounded(seconds)
    return f'<span title="{escape(then)}">{short} ago</span>'


def _rounded(seconds: int) -> str:
    """The two largest units."""
    days, rest = divmod(seconds, 86_400)
    if days:
        return f"{days}d{rest // 3_600}h"
    return format_duration((seconds // 60 * 60 if seconds >= 3_600 else seconds) * 1000)
