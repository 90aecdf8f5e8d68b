"""os.Expand: the cases of Go's own env_test.go, and Prometheus' `$$`."""

from __future__ import annotations

import pytest

from rulepush.config.expand import expand_environment, expand_variables


def lookup(name: str) -> str:
    known = {
        "*": "all the args",
        "#": "NARGS",
        "$": "PID",
        "1": "ARGUMENT1",
        "HOME": "/usr/gopher",
        "H": "(Value of H)",
    }
    return (known | {"home_1": "/usr/foo", "_": "underscore"}).get(name, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("$*", "all the args"),
        ("$$", "PID"),
        ("${*}", "all the args"),
        ("$1", "ARGUMENT1"),
        ("${1}", "ARGUMENT1"),
        ("now is the time", "now is the time"),
        ("$HOME", "/usr/gopher"),
        ("$home_1", "/usr/foo"),
        ("${HOME}", "/usr/gopher"),
        ("${H}OME", "(Value of H)OME"),
        ("A$$$#$1$H$home_1*B", "APIDNARGSARGUMENT1(Value of H)/usr/foo*B"),
        ("start$+middle$^end$", "start$+middle$^end$"),
        ("mixed$|bag$$$", "mixed$|bagPID$"),
        ("$", "$"),
        ("$}", "$}"),
        ("${", ""),
        ("${}", ""),
    ],
)
def test_expands_as_go(text: str, expected: str) -> None:
    assert expand_variables(text, lookup) == expected


def test_a_double_dollar_is_a_dollar() -> None:
    empty: list[str] = []
    assert expand_environment("a$$b-${X}-${Y}", {"X": "1"}, empty.append) == "a$b-1-"
    assert empty == ["Y"]
