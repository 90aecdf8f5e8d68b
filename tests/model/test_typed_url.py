"""URLs that a person types: what is one, and what of it may be shown."""

from __future__ import annotations

import pytest

from rulepush.model.typed_url import typed_url, without_credentials


@pytest.mark.parametrize(
    ("text", "host", "port", "user", "path"),
    [
        ("nacos", "nacos", None, None, ""),
        ("nacos:8848/x", "nacos", 8848, None, "/x"),
        ("[::1]:1", "::1", 1, None, ""),
        ("https://u%2F:p%40@h/y?mail=a@b", "h", None, "u%2F", "/y"),
        ("http://u:p@h/of/a@b", "h", None, "u", "/of/a@b"),
        ("h/y?mail=a@b", "h", None, None, "/y"),
    ],
)
def test_what_is_a_url(text: str, host: str, port: int | None, user: str | None, path: str) -> None:
    parts = typed_url(text)
    assert (parts.hostname, parts.port, parts.username, parts.path) == (host, port, user, path)


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://h", "http:/h:1", "https:h", "h:0", "h:x", "http://[h", "http://h\t:1", "two words", "//h"],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        typed_url(text)


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
@pytest.mark.parametrize("password", ["pa/ss", "pa#ss", "pa?ss", "12/ss", "12#ss", "12?ss", "1@2/ss", "/"])
def test_a_password_that_cuts_the_url_is_not_shown_and_the_cure_is(scheme: str, password: str) -> None:
    """Of http://admin:12/ss@h the server would be `admin`, port 12, and the rest a path that messages show."""
    text = f"{scheme}admin:{password}@host:8848/x"
    if "@" not in password:
        with pytest.raises(ValueError, match=r"^; in a user or a password, / is written %2F"):
            typed_url(text)
    assert without_credentials(text) == f"{scheme}host:8848/x"


def test_what_has_no_credentials_is_shown_whole() -> None:
    assert without_credentials("http//h:1/x?y") == "http//h:1/x?y"
    assert without_credentials("http:/u:secret@h") == "h"
