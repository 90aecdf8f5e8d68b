"""The templates' environment: the only file that imports Jinja2. Imported when the first page is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from rulepush.http_client.client import shown_url
from rulepush.model.durations import format_duration
from rulepush.model.timestamps import format_rfc3339
from rulepush.relabel.steps import rule_text
from rulepush.site import links
from rulepush.site.alert_views import ShownTexts, alerts_url, shown_texts
from rulepush.site.explained import reason_message
from rulepush.site.formats import binary_size, grouped, rounded_duration, short_number
from rulepush.site.framed import FramedPage
from rulepush.site.language import Language, Message, annotations_for, message

if TYPE_CHECKING:
    from rulepush.explain import Reason

TEMPLATES: Final = Path(__file__).parent / "templates"


@cache
def templates() -> Environment:
    """Everything is escaped, a name that is not there is an error, and texts go through the catalog of the reader."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
        cache_size=64,
    )
    env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    env.filters.update(_FILTERS)
    env.globals.update(_GLOBALS)
    return env


def _page(context: Context) -> FramedPage:
    """A macro sees it only when it is imported `with context`."""
    page = context["page"]
    assert isinstance(page, FramedPage)
    return page


def _language(context: Context) -> Language:
    return _page(context).language


@pass_context
def _gettext(context: Context, text: str) -> str:
    return _language(context).gettext(text)


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    return _language(context).ngettext(one, many, count)


@pass_context
def _say(context: Context, said: Message | str) -> str:
    """A message in the reader's language; a text as it is."""
    return _language(context).say(said) if isinstance(said, Message) else said


@pass_context
def _reason(context: Context, reason: Reason) -> str:
    """The sentence of an explanation's reason."""
    return _language(context).say(reason_message(reason))


@pass_context
def _state(context: Context, kind: str) -> str:
    """The word for a state or a health."""
    return _language(context).say(_STATES[kind])


@pass_context
def _url(context: Context, path: str) -> str:
    """The address of a page of ours: below the prefix of `--web.external-url`."""
    return _page(context).prefix + path


@pass_context
def _ago(context: Context, ts: int | None) -> Markup:
    """How long ago a time (ms) is, in a <time> with the time itself."""
    page = _page(context)
    if not ts:
        return Markup("<span>{}</span>").format(page.language.say(message("never")))
    text = page.language.say(message("%(duration)s ago", duration=rounded_duration(page.now - ts, page.language)))
    return _time(ts, text)


@pass_context
def _lasting(context: Context, ts: int) -> Markup:
    """For how long something is so that began at a time (ms), in a <time> with the time itself."""
    page = _page(context)
    return _time(ts, page.language.say(message("for %(duration)s", duration=_rounded(page, page.now - ts))))


@pass_context
def _fires_in(context: Context, ts: int) -> Markup:
    """When a pending alert fires, if its condition stays true until then (ms)."""
    page = _page(context)
    if ts <= page.now:
        return _time(ts, page.language.say(message("fires at the next evaluation")))
    return _time(ts, page.language.say(message("fires in %(duration)s", duration=_rounded(page, ts - page.now))))


@pass_context
def _resolves_in(context: Context, ts: int) -> Markup:
    """When an alert resolves that is kept or held, if its condition does not become true again until then (ms)."""
    page = _page(context)
    if ts <= page.now:
        return _time(ts, page.language.say(message("resolves at the next evaluation")))
    return _time(ts, page.language.say(message("resolves in %(duration)s", duration=_rounded(page, ts - page.now))))


@pass_context
def _duration(context: Context, ms: int) -> str:
    """For reading: the two largest units."""
    return rounded_duration(ms, _language(context))


@pass_context
def _annotations(context: Context, annotations: Mapping[str, str]) -> dict[str, str]:
    """Those that the reader is shown."""
    return annotations_for(_language(context), annotations)


def _rounded(page: FramedPage, ms: int) -> str:
    return rounded_duration(ms, page.language)


@pass_context
def _texts(context: Context, annotations: Mapping[str, str]) -> ShownTexts:
    """The annotations in the reader's language, the title first, links apart."""
    return shown_texts(annotations_for(_language(context), annotations), links.safe_link)


@pass_context
def _link_name(context: Context, annotation: str) -> str:
    """`runbook_url` and `dashboard` as words; another annotation by its own name."""
    said = _LINK_NAMES.get(annotation.lower().removesuffix("_url").removesuffix("_link"))
    return annotation if said is None else _language(context).say(said)


def _moment(ts: int) -> Markup:
    """A time itself: UTC, without milliseconds."""
    return _time(ts, format_rfc3339(ts // 1000 * 1000).replace("T", " ").replace("Z", " UTC"))


def _without(pairs: Mapping[str, str], *names: str) -> dict[str, str]:
    """The pairs but for those of these names."""
    return {name: text for name, text in pairs.items() if name not in names}


def _clock(ts: int) -> str:
    """A time for a tooltip: UTC, `11-29 14:05:10`."""
    return format_rfc3339(ts // 1000 * 1000)[5:-1].replace("T", " ")


def _time(ts: int, text: str) -> Markup:
    iso = format_rfc3339(ts)
    return Markup(f'<time datetime="{iso}" title="{iso}">{escape(text)}</time>')


_STATES: Final = {
    "firing": message("firing"),
    "pending": message("pending"),
    "held": message("held"),
    "inactive": message("inactive"),
    "resolved": message("resolved"),
    "up": message("up"),
    "down": message("down"),
    "unknown": message("unknown"),
    "ok": message("ok"),
    "err": message("error"),
    "kept": message("kept firing"),
    "unseen": message("nothing recorded"),
}
_LINK_NAMES: Final = {
    "runbook": message("Runbook"),
    "dashboard": message("Dashboard"),
    "grafana": message("Dashboard"),
}
_FILTERS: Final = {
    "ago": _ago,
    "annotations": _annotations,
    "clock": _clock,
    "duration": _duration,
    "fires_in": _fires_in,
    "host": links.host_of,
    "lasting": _lasting,
    "link_name": _link_name,
    "moment": _moment,
    "number": short_number,
    "grouped": grouped,
    "prometheus_duration": format_duration,
    "reason": _reason,
    "resolves_in": _resolves_in,
    "safe_link": links.safe_link,
    "say": _say,
    "shown_url": shown_url,
    "size": binary_size,
    "state": _state,
    "texts": _texts,
    "url": _url,
    "without": _without,
}
_GLOBALS: Final = {
    "alert_url": links.alert_url,
    "alerts_url": alerts_url,
    "backtest_url": links.backtest_url,
    "query_url": links.query_url,
    "rule_url": links.rule_url,
    "rule_text": rule_text,
    "silence_url": links.silence_url,
    "with_parameters": links.with_parameters,
}
