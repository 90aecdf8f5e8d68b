"""The texts of the pages: each has a Chinese one, and the catalog has no other."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import rulepush.site
from rulepush.explain.reasons import WORDS
from rulepush.nacos.diagnose import SUGGESTIONS
from rulepush.site.catalog import CatalogError, read_catalog
from rulepush.site.environment import TEMPLATES, templates

PACKAGE = Path(rulepush.site.__file__).parent


CATALOGS = sorted((PACKAGE / "locale" / "zh").iterdir())


def catalog() -> Mapping[str, str]:
    return {text: translated for path in CATALOGS for text, translated in read_catalog(path.read_text("utf-8")).items()}


def texts_of_templates() -> Iterator[tuple[str, str]]:
    """(where, text); of a text with a plural the singular, which is its key."""
    for path in sorted(TEMPLATES.rglob("*.html")):
        found = templates().extract_translations(path.read_text("utf-8"))  # type: ignore[attr-defined]
        for line, function, texts in found:
            text = texts if isinstance(texts, str) else texts[0]
            assert function in ("_", "gettext", "ngettext"), (path, line)
            assert isinstance(text, str), f"{path.name}:{line}: not a literal, its translation cannot be looked for"
            yield f"{path.name}:{line}", text


def texts_of_modules() -> Iterator[tuple[str, str]]:
    """The literals that `message` gets, which must be literals."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "message":
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path.name}:{node.lineno}: message() takes a literal"
                yield f"{path.name}:{node.lineno}", str(first.value)


def texts_of_reasons() -> Iterator[tuple[str, str]]:
    """The sentences of explanations, which stand in a package that knows nothing of pages."""
    return ((f"explain/reasons.py: {kind.name}", text) for kind, text in WORDS.items())


def texts_of_hints() -> Iterator[tuple[str, str]]:
    """The suggestions for scrapes that fail: of another such package."""
    return (("nacos/diagnose.py", text) for text in SUGGESTIONS)


def used() -> dict[str, str]:
    texts = (*texts_of_templates(), *texts_of_modules(), *texts_of_reasons(), *texts_of_hints())
    return {text: where for where, text in texts}


def test_every_text_of_a_page_has_a_chinese_one() -> None:
    have = catalog()
    missing = {text: where for text, where in used().items() if not have.get(text)}
    assert not missing


def test_the_catalog_has_no_text_that_no_page_uses() -> None:
    assert set(catalog()) - set(used()) == set()


def test_no_two_catalogs_have_the_same_text() -> None:
    texts = Counter(text for path in CATALOGS for text in read_catalog(path.read_text("utf-8")))
    assert [text for text, count in texts.items() if count > 1] == []


def test_a_translation_names_the_same_values_as_its_text() -> None:
    def values(text: str) -> set[str]:
        return {part.partition(")s")[0].partition(")d")[0] for part in text.split("%(")[1:]}

    wrong = {text: translated for text, translated in catalog().items() if values(text) != values(translated)}
    assert not wrong


def test_texts_are_found_in_templates_and_in_modules() -> None:
    found = used()
    assert "Skip to the content" in found
    assert "%(url)s refuses alerts, %(count)d so far" in found
    assert "%(count)s series" in found


def test_an_entry_may_have_several_lines_comments_and_a_plural() -> None:
    header = '# header\nmsgid ""\nmsgstr "Language: zh"\n\n'
    text = header + '#: x.html\nmsgid "one "\n"row"\nmsgid_plural "rows"\nmsgstr[0] "行\\n"\n'
    assert read_catalog(text) == {"one row": "行\n"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('msgid "a"\n', "line 1: an entry needs msgid and msgstr"),
        ('msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"\n', "line 4: 'a' is there twice"),
        ('msgid a\nmsgstr "b"\n', "line 1: a text in double quotes is expected"),
        ('msgid "a"\nmsgstr[1] "b"\n', "line 2: 'msgstr[1]' is not expected here"),
        ('msgid "a"\nmsgid "b"\n', "line 2: 'msgid' is not expected here"),
        ('msgid "\\N{x"\nmsgstr "b"\n', "line 1: the text has a bad escape"),
    ],
)
def test_a_catalog_that_is_none_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(CatalogError, match="^" + error.replace("[", "\\[")):
        read_catalog(text)
