"""Pages in place of an answer: a login page, or another server's, often with status 200."""

from __future__ import annotations

import re
from typing import Final

_TITLE: Final = re.compile(r"(?is)<title[^>]{0,100}>(.{1,400}?)</title")
_MAX_TITLE: Final = 80
# XHTML has an XML declaration before it, and some servers write a comment first.
_HTML: Final = re.compile(
    r"(?is)\ufeff?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,1000}?-->\s*)?<(?:!doctype\s+html|html)\b"
)


def is_page(text: str) -> bool:
    """Whether the text of an answer is a page (HTML, XML)."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def is_html(text: str) -> bool:
    """Whether it is HTML, where XML may be the right answer."""
    return _HTML.match(text) is not None


def page_title(text: str) -> str:
    """The beginning of a page's title in one line, which often says whose page it is; "" when there is none."""
    found = _TITLE.search(text)
    return " ".join(found[1].split())[:_MAX_TITLE] if found else ""


def page_named(text: str) -> str:
    """`a page "Sign in"`, for a message."""
    title = page_title(text)
    return f'a page "{title}"' if title else "a page"
