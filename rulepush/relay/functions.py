"""The functions of the relay's templates: Alertmanager's, prometheus-webhook-dingtalk's `markdown`, and sprig's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rulepush.gotext.values import STRING, STRING_SLICE, Function, GoSlice
from rulepush.relay.escape import dingtalk_text, escape_markdown, feishu_text, one_line, safe_link, wecom_text
from rulepush.relay.settings import RobotType
from rulepush.relay.sprig import SPRIG_FUNCTIONS
from rulepush.relay.sprig_extra import EXTRA_FUNCTIONS
from rulepush.template.prometheus import STATIC_FUNCTIONS, title, to_lower, to_upper

_ALSO_MUST: Final = (
    *("first", "has", "initial", "last", "prepend", "regexFind", "regexMatch", "regexReplaceAll", "rest", "reverse"),
    *("uniq", "without"),
)
_SHARED: Final = ("humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "match", "reReplaceAll")


FUNCTIONS: Final[Mapping[str, Function]] = {
    **SPRIG_FUNCTIONS,
    **EXTRA_FUNCTIONS,
    **{f"must{name[0].upper()}{name[1:]}": SPRIG_FUNCTIONS[name] for name in _ALSO_MUST},
    **{name: STATIC_FUNCTIONS[name] for name in (*_SHARED, "safeHtml")},
    "dingtalkText": Function(dingtalk_text, (STRING,)),
    "feishuText": Function(feishu_text, (STRING,)),
    "link": Function(safe_link, (STRING,)),
    "markdown": Function(escape_markdown, (STRING,)),
    "stringSlice": Function(lambda *items: GoSlice(items, STRING_SLICE), (STRING,), variadic=True),
    "title": Function(title, (STRING,)),
    "toLower": Function(to_lower, (STRING,)),
    "toUpper": Function(to_upper, (STRING,)),
    "oneLine": Function(one_line, (STRING,)),
    "wecomText": Function(wecom_text, (STRING,)),
}

MARKDOWN_FUNCTIONS: Final = {
    RobotType.DINGTALK: FUNCTIONS["markdown"],
    RobotType.FEISHU: FUNCTIONS["feishuText"],
    RobotType.WECOM: FUNCTIONS["wecomText"],
}
"""What `markdown` means in a template of a robot."""
