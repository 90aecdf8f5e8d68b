"""What the frame tells every template: the page, its reader's language, the navigation, what is wrong now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rulepush import __version__
from rulepush.site.language import Language, Message, message
from rulepush.site.trouble import Trouble

NAVIGATION: Final = (
    ("/alerts", message("Alerts")),
    ("/rules", message("Rules")),
    ("/targets", message("Targets")),
    ("/graph", message("Query")),
    ("/backtest", message("Backtest")),
    ("/delivery", message("Delivery")),
    ("/groups", message("Groups")),
    ("/status", message("Status")),
)


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """A language of the switch: the address of this page in it."""

    language: Language
    url: str


@dataclass(frozen=True, slots=True)
class FramedPage:
    """What every template gets as `page`. `title` is the heading and the window's title; `section` is the path of the
    entry of the navigation, `path` and `query` those of the request; `now` in ms."""

    title: Message | str
    section: str
    path: str
    query: str
    language: Language
    prefix: str
    now: int
    troubles: Sequence[Trouble]
    choices: Sequence[LanguageChoice]
    style: str
    script: str
    version: str = __version__
    navigation: Sequence[tuple[str, Message]] = NAVIGATION
