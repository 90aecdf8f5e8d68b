"""Reading a page as its reader does: the text of well-formed HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.web.app_parts import Parts
from tests.web.asking import ask_app

VOID = {"meta", "br", "input", "link", "!doctype"}


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects the text and the addresses that links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.scripts = 0
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def outline(parts: Parts, path: str, status_code: int = 200, **options: Any) -> Outline:
    """A page, which must be well-formed and have no script but the frame's."""
    answer = get(parts, path, status_code, **options)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = Outline()
    found.feed(answer.text)
    assert found.open == []
    assert found.scripts == 1, "the frame's own"
    found.text = re.sub(r" ([,.])", r"\1", " ".join(found.text.split()))  # elements end before such a character
    return found


def read(parts: Parts, path: str, **params: str) -> str:
    """The text of a page."""
    return outline(parts, path, params=params).text


def get(parts: Parts, path: str, status_code: int = 200, **options: Any) -> httpx.Response:
    """The answer to a request."""
    answer = ask_app(parts.routes(), "GET", path, **options)
    assert answer.status_code == status_code, answer.text
    return answer
