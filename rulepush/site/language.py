"""The languages of the pages: which one a reader gets, and the texts in it.

Texts stand in English where they are used, and the files of `locale/zh` have them in Chinese, one a page. A test finds
every text of the templates and of Python (arguments of `message`), and holds the catalogs to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request

from rulepush.site.catalog import read_catalog

COOKIE: Final = "rulepush_lang"
PARAMETER: Final = "lang"


@dataclass(frozen=True, slots=True)
class Message:
    """A text that is shown in the reader's language: `text` with `%(name)s` for each of `values`."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)


def message(text: str, **values: object) -> Message:
    """A text for a reader, written in Python. `text` must be a literal: so a missing translation is found."""
    return Message(text, values)


class Language(Enum):
    """The value is the tag of HTML's `lang`."""

    ENGLISH = "en"
    CHINESE = "zh"

    @property
    def own_name(self) -> str:
        """How its readers call it."""
        return "English" if self is Language.ENGLISH else "中文"

    def gettext(self, text: str) -> str:
        """The text in this language; itself where the catalog does not have it."""
        return text if self is Language.ENGLISH else _catalog(self).get(text, text)

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The form for `count`."""
        if self is Language.ENGLISH:
            return one if count == 1 else many
        return _catalog(self).get(one, many)

    def say(self, said: Message) -> str:
        """A message, with its values; a value that is a message itself is said too."""
        values = {name: self.say(v) if isinstance(v, Message) else v for name, v in said.values.items()}
        return self.gettext(said.text) % values


@cache
def _catalog(language: Language) -> Mapping[str, str]:
    """Read when the first reader of the language comes."""
    merged: dict[str, str] = {}
    for file in (files("rulepush.site") / "locale" / language.value).iterdir():
        merged.update(read_catalog(file.read_text("utf-8")))
    return merged


def chosen_language(request: Request) -> Language | None:
    """What `?lang=` of this request chooses; None where it does not."""
    return _known(request.query_params.get(PARAMETER, ""))


def language_of(request: Request) -> Language:
    """What the reader chose now or earlier, else what the browser prefers, else English."""
    chosen = chosen_language(request) or _known(request.cookies.get(COOKIE, ""))
    return chosen or _preferred(request.headers.get("accept-language", ""))


def _known(tag: str) -> Language | None:
    primary = tag.strip().lower().partition("-")[0]
    return next((language for language in Language if language.value == primary), None)


def _preferred(header: str) -> Language:
    """Of an Accept-Language header (RFC 9110, 12.5.4): the known language of most weight, the first of equals."""
    best, best_weight = Language.ENGLISH, 0.0
    for item in header.split(","):
        tag, _, parameter = item.partition(";")
        language, weight = _known(tag), _weight(parameter)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def annotations_for(language: Language, annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that a reader is shown, by their plain name. `summary_zh` is the `summary` of who reads Chinese;
    others do not see it, unless there is no `summary`. Names keep their order."""
    shown: dict[str, str] = {}
    for name, text in annotations.items():
        plain = name.removesuffix("_zh")
        if plain == name:
            translated = annotations.get(f"{name}_zh", "")
            shown[name] = translated if language is Language.CHINESE and translated else text
        elif plain not in annotations:
            shown[plain if language is Language.CHINESE else name] = text
    return shown
