"""Pages in place of an answer."""

from __future__ import annotations

import pytest

from rulepush.http_client.pages import is_html, is_page, page_named, page_title


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("<!doctype html><title>Sign in</title>", 'a page "Sign in"'),
        ('\ufeff\n <html><TITLE lang="en">\n Sign\n  in </TITLE>', 'a page "Sign in"'),
        ("<?xml version='1.0'?><Error/>", "a page"),
        ("<html><title> </title>", "a page"),
        (f"<title>{'long ' * 30}</title>", f'a page "{("long " * 16).rstrip()} "'),
    ],
)
def test_a_page_is_named_by_its_title(text: str, named: str) -> None:
    assert is_page(text)
    assert page_named(text) == named


def test_a_text_is_no_page() -> None:
    assert not is_page('{"status": "<b>"}')
    assert page_title("no title") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<!DOCTYPE html>", True),
        ("\ufeff\n<html lang='en'>", True),
        ('<?xml version="1.0"?>\n<!-- gateway -->\n<!doctype HTML PUBLIC>', True),
        ("<applications><html/></applications>", False),
        ("<htmlish>", False),
        ("no html", False),
    ],
)
def test_html_is_told_from_other_xml(text: str, found: bool) -> None:
    assert is_html(text) is found
