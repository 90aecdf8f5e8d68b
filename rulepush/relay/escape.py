"""Escapes text of alerts for the Markdown of each robot.

Three layers. The built-in templates escape every value (`dingtalk_text`, `feishu_text`, `wecom_text`). Users' templates
call the same functions through `markdown`. And whatever a template does, markup in labels is broken up before it sees
them, because they come from targets. Annotations are written by the author of a rule, who may want markup in them; only
their links to anything but a web page are broken up.
"""

from __future__ import annotations

import re
from typing import Final

_BREAKS: Final = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_LINE_START: Final = re.compile(r"(?m)^([ \t]{0,3})([#>]|[=-]+[ \t]*$)")
_DINGTALK: Final = str.maketrans({**{c: "\\" + c for c in "\\_*`[]"}, "<": "&lt;"})
_MARKDOWN: Final = str.maketrans({c: "\\" + c for c in "\\_*`[]"})
# Feishu has no backslash escapes; WeCom has neither those nor entities, and "<@" would mention a user.
_FEISHU: Final = str.maketrans({c: f"&#{ord(c)};" for c in "_*`~<>[]"})
_WECOM: Final = str.maketrans({"<": "＜", "`": "'", "[": "［", "]": "］"})
_STARS: Final = re.compile(r"\*(?=\*)")
_URL: Final = re.compile(r"https?://[^\s]", re.IGNORECASE)
_URL_UNSAFE: Final = re.compile(r"[()<>\"'`\\|^{}\x00-\x20\x7f-\x9f\u2028\u2029*_\[\]]")
_HOSTILE: Final = re.compile(r"(?<=[\]!])(?=[(\[])|(?<=<)(?=[@/!a-zA-Z])|(?<=\A)(?=[#>])")
_BAD_LINK: Final = re.compile(r"(?<=\])(?=\(\s*<?(?!\s*<?(?:https?|dingtalk|mailto|tel):)[^)\s]*:)", re.IGNORECASE)
_SEPARATOR: Final = "\u200b"  # zero width: the text looks the same and is not markup any more


def one_line(text: str) -> str:
    """Without line breaks."""
    return _BREAKS.sub(" ", text)


def escape_markdown(text: str) -> str:
    """For DingTalk, to be followed by `html` or not."""
    return _LINE_START.sub(r"\1\\\2", text.translate(_MARKDOWN).replace("](", "]\\("))


def dingtalk_text(text: str) -> str:
    """For DingTalk, tags too."""
    return _LINE_START.sub(r"\1\\\2", text.translate(_DINGTALK).replace("](", "]\\("))


def feishu_text(text: str) -> str:
    """For the Markdown of Feishu's cards."""
    return _LINE_START.sub(lambda m: m[1] + f"&#{ord(m[2][0])};" + m[2][1:], text.translate(_FEISHU))


def wecom_text(text: str) -> str:
    """For WeCom, with full-width characters where its Markdown has no escape."""
    text = _STARS.sub("*" + _SEPARATOR, text.translate(_WECOM))
    return _LINE_START.sub(lambda m: m[1] + chr(ord(m[2][0]) + 0xFEE0) + m[2][1:], text)


def wecom_heading(title: str) -> str:
    """A title, which is text, as WeCom's heading. Its labels are defused already; brackets stay as they are."""
    return _STARS.sub("*" + _SEPARATOR, title.replace("`", "'"))


def safe_link(url: str) -> str:
    """A URL that stays inside the parentheses of a link; "" for anything but http and https."""
    url = url.strip()
    if _URL.match(url) is None:
        return ""
    scheme, _, rest = url.partition("://")
    end = next((i for i, c in enumerate(rest) if c in "/?#"), len(rest))
    host, path = rest[:end], rest[end:]
    host = "".join(c if c in "[]_" else _percent(c) for c in host)
    return f"{scheme.lower()}://{host}{_URL_UNSAFE.sub(lambda m: _kept(m.group()), path)}"


def _kept(char: str) -> str:
    return char if char in "_*" else _percent(char)


def _percent(char: str) -> str:
    return "".join(f"%{b:02X}" for b in char.encode("utf-8", "replace")) if _URL_UNSAFE.match(char) else char


def defuse_label(text: str) -> str:
    """A label value that cannot start a heading, link, image or tag; the same text where it could not anyway."""
    return _HOSTILE.sub(_SEPARATOR, one_line(text))


def defuse_annotation(text: str) -> str:
    """An annotation whose links lead to web pages only."""
    return _BAD_LINK.sub(_SEPARATOR, text)
