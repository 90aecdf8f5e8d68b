"""The Chinese pages say what the English ones say: same structure, same code, same names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.walk import guide_blocks

ROOT = Path(__file__).parents[2]
CHINESE = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.zh.md"), *(ROOT / "docs").glob("*.zh.md")))
# The guides speak of what is typed, in words of their own; their code has to be the same, their prose need not name
# the same flags.
WHOLE = [page for page in CHINESE if not page.name.startswith("getting-started-")]
# What a translation leaves as it is: all in backticks, and bare numbers with the names of alerts and metrics.
_QUOTED = re.compile(r"`([^`\n]+)`")
_TRANSLATED = {"DingTalk", "WeCom"}
_BARE = re.compile(r"(?<![\w.])\d[\d,.]*\d|\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b|\brulepush_\w+", re.ASCII)


def _english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh.md", ".md"))


def _text(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _prose(page: Path) -> str:
    """Without blocks and the targets of links; a name that a line break divides is one."""
    text = re.sub(r"^ *```.*?^ *```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    return re.sub(r"`[^`]+`", lambda name: " ".join(name.group().split()), text)


def _headings(page: Path) -> list[str]:
    """The level of each, and its name where that is a command or a product."""
    text = re.sub(r"^ *```.*?^ *```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    return [heading.split()[0] for heading in re.findall(r"^#+ .*", text, re.MULTILINE)]


def _code(page: Path) -> list[tuple[str, tuple[str, ...], str]]:
    """Language, words and text of each block, without comments and without what depends on the reader's language: the
    flag that chooses it, and output."""
    found = []
    for block in guide_blocks(_text(page)):
        code = re.sub(r"(^| +)# .*", "", block.text, flags=re.MULTILINE).replace("--lang zh", "--lang en")
        found.append((block.language, block.words, "" if block.language == "text" else code))
    return found


@pytest.mark.parametrize("page", CHINESE, ids=str)
def test_every_chinese_page_and_its_english_one_lead_to_each_other(page: Path) -> None:
    english = _english(page)
    assert f"[English]({english.name})" in _text(page)
    assert f"[中文]({page.name})" in _text(english)


@pytest.mark.parametrize("page", CHINESE, ids=str)
def test_headings_have_the_same_levels(page: Path) -> None:
    assert _headings(page) == _headings(_english(page))


@pytest.mark.parametrize("page", CHINESE, ids=str)
def test_code_is_the_same_but_for_comments(page: Path) -> None:
    assert _code(page) == _code(_english(page))


@pytest.mark.parametrize("page", WHOLE, ids=str)
def test_tables_and_lists_are_as_long(page: Path) -> None:
    def counted(text: str) -> Counter[str]:
        return Counter(line.split()[0] for line in re.findall(r"^ *(?:\||- |\d+\. ).*", text, re.MULTILINE))

    assert counted(_prose(page)) == counted(_prose(_english(page)))


@pytest.mark.parametrize("page", WHOLE, ids=str)
def test_flags_keys_metrics_and_numbers_are_the_same(page: Path) -> None:
    chinese, english = _prose(page), _prose(_english(page))
    assert set(_QUOTED.findall(chinese)) == set(_QUOTED.findall(english))
    bare = [set(_BARE.findall(_QUOTED.sub("", text))) - _TRANSLATED for text in (chinese, english)]
    assert bare[0] == bare[1]


def test_the_pages_that_were_promised_are_there() -> None:
    promised = {"README.zh.md", "docs/dingtalk.zh.md", "docs/operations.zh.md", "docs/getting-started-nacos.zh.md"}
    assert promised <= set(map(str, CHINESE))
