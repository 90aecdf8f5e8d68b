"""The functions of the relay's templates: Alertmanager's, prometheus-webhook-dingtalk's `markdown`, and sprig's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rulepush.gotext.values import STRING, STRING_SLICE, Function, GoSlice
from rulepush.relay.escape import dingtalk_text, escape_markdown, feishu_text, one_line, safe_link, wecom_text
from rulepush.relay.settings import RobotType
from rulepush.relay.sprig import SPRIG_FUNCTIONS
from rulepush.relay.sprig_collections import COLLECTION_FUNCTIONS
from rulepush.relay.sprig_texts import TEXT_FUNCTIONS
from rulepush.template.prometheus import STATIC_FUNCTIONS, title, to_lower, to_upper

# With sprig, `mustFirst` returns the error that `first` panics with; here both are errors of the template.
_WITH_MUST: Final = (
    *("append", "chunk", "compact", "deepCopy", "first", "has", "initial", "last", "merge", "mergeOverwrite"),
    *("prepend", "push", "regexFind", "regexFindAll", "regexMatch", "regexReplaceAll"),
    *("regexReplaceAllLiteral", "regexSplit", "rest", "reverse", "slice", "uniq", "without"),
)
_SHARED: Final = ("humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "match", "reReplaceAll")
_SPRIG: Final[Mapping[str, Function]] = {**SPRIG_FUNCTIONS, **COLLECTION_FUNCTIONS, **TEXT_FUNCTIONS}

FUNCTIONS: Final[Mapping[str, Function]] = {
    **_SPRIG,
    **{f"must{name[0].upper()}{name[1:]}": _SPRIG[name] for name in _WITH_MUST},
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
