"""What the other tests measure pages with finds what is wrong: each page here is wrong in one way."""

from __future__ import annotations

from pathlib import Path

from tests.browser.browser import PHONE, Browser, View
from tests.browser.stage import Stage

HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>x</title>'
BODY = "body { font: 15px/1.5 sans-serif; margin: 8px; background: #fff; color: #222 }"


def show(browser: Browser, directory: Path, style: str, body: str) -> None:
    page = directory / "page.html"
    page.write_text(f"{HEAD}<style>{BODY} {style}</style><body>{body}")
    browser.open(page.as_uri(), View(PHONE))


def test_a_good_page_is_good(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, "", '<p>Some words of a usual length, in a paragraph.</p><a href="#x">a link</a>')
    assert browser.too_wide() == []
    assert browser.poor_contrasts() == []
    assert browser.narrow_texts("p") == []
    assert browser.tab()["seen"]


def test_what_is_too_wide_is_named_but_not_what_scrolls_by_itself(browser: Browser, tmp_path: Path) -> None:
    wide = '<div class="row">wide</div>'
    show(browser, tmp_path, ".row { width: 600px }", wide)
    assert any("div.row" in one for one in browser.too_wide())
    show(browser, tmp_path, ".row { width: 600px } .box { overflow-x: auto }", f'<div class="box">{wide}</div>')
    assert browser.too_wide() == []


def test_a_poor_contrast_is_named(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, "p { color: #999 } i { color: #222; background: #333 }", "<p>grey <i>and dark</i></p>")
    assert browser.poor_contrasts() == ["P. 2.85: grey", "I. 1.26: and dark"]


def test_one_letter_a_line_is_named(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, "p { width: 1em; overflow-wrap: anywhere }", "<p>an annotation of an alert on a phone</p>")
    assert browser.narrow_texts("p") == ["P: an annotation of an alert on a phone"]


def test_a_focus_that_one_does_not_see_is_noticed(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, "a:focus { outline: none }", '<a href="#x">a link</a>')
    assert browser.tab() == {"tag": "a", "text": "a link", "seen": False}


def test_a_violation_of_the_policy_is_in_the_console(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/status"))
    browser.run("document.body.setAttribute('style', 'color: red')")
    assert any("Content Security Policy" in text for text in browser.console())
