"""The functions of the relay's templates: Alertmanager's, prometheus-webhook-dingtalk's `markdown`, and sprig's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rulepush.gotext.values import STRING, STRING_SLICE, Function, GoSlice
from rulepush.relay.sprig import SPRIG_FUNCTIONS
from rulepush.template.prometheus import STATIC_FUNCTIONS, title, to_lower, to_upper

_MARKDOWN: Final = str.maketrans({c: "\\" + c for c in "_*`"})
# Feishu has no backslash escapes; WeCom has neither those nor entities, and "<@" would call somebody.
_FEISHU: Final = str.maketrans({c: f"&#{ord(c)};" for c in "_*`~<>[]"})
_WECOM: Final = str.maketrans({"<": "＜", "`": "'"})
_SHARED: Final = ("humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "match", "reReplaceAll")


def escape_markdown(text: str) -> str:
    """A text that reads the same when it is taken for Markdown."""
    return text.translate(_MARKDOWN)


def _join(separator: str, items: Sequence[str]) -> str:
    return separator.join(items)


FUNCTIONS: Final[Mapping[str, Function]] = {
    **SPRIG_FUNCTIONS,
    **{name: STATIC_FUNCTIONS[name] for name in (*_SHARED, "safeHtml")},
    "join": Function(_join, (STRING, STRING_SLICE)),
    "feishuText": Function(lambda text: text.translate(_FEISHU), (STRING,)),
    "markdown": Function(escape_markdown, (STRING,)),
    "stringSlice": Function(lambda *items: GoSlice(items, STRING_SLICE), (STRING,), variadic=True),
    "title": Function(title, (STRING,)),
    "toLower": Function(to_lower, (STRING,)),
    "toUpper": Function(to_upper, (STRING,)),
    "wecomText": Function(lambda text: text.translate(_WECOM), (STRING,)),
}
