"""Lines of the log, for people and for machines."""

from __future__ import annotations

import json
import logging

import pytest
from freezegun import freeze_time

from rulepush.logs import JsonFormatter, LogfmtFormatter


def record(message: str, level: int = logging.INFO, *args: object) -> logging.LogRecord:
    return logging.LogRecord("rulepush.rules", level, __file__, 1, message, args, None)


@freeze_time("2026-11-21T03:04:05.678Z")
def test_logfmt_quotes_what_needs_it() -> None:
    line = LogfmtFormatter().format(record('PENDING => FIRING: alert={a="b"}', logging.WARNING))
    assert line == (
        'time=2026-11-21T03:04:05.678Z level=WARN component=rules msg="PENDING => FIRING: alert={a=\\"b\\"}"'
    )
    assert LogfmtFormatter().format(record("ready")).endswith(" msg=ready")
    assert "\n" not in LogfmtFormatter().format(record("two\nlines"))


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        (
            "scrape failed: target=%s err=%s",
            ("http://a", "no route"),
            'msg="scrape failed" target=http://a err="no route"',
        ),
        ("%d wait, next in %.1fs: url=%s", (3, 1.25, "http://b"), 'msg="3 wait, next in 1.2s" url=http://b'),
        ("%s: alert=%s", ("a=%s", '{a="b"}'), 'msg="a=%s" alert="{a=\\"b\\"}"'),
        ("listening: address=%s:%d after=%dms", ("::1", 80, 5), "msg=listening address=::1:80 after=5ms"),
        ("not named: %s", ("it",), 'msg="not named: it"'),
        ("in a=%s the middle", ("x",), 'msg="in a=x the middle"'),
        ("100%% of a=%s", ("x",), 'msg="100% of a=x"'),
        ("no arguments: a=%s", (), 'msg="no arguments: a=%s"'),
        ("empty: a=%s", ("",), 'msg=empty a=""'),
    ],
)
def test_what_a_message_names_at_its_end_become_keys(message: str, args: tuple[object, ...], expected: str) -> None:
    line = LogfmtFormatter().format(record(message, logging.INFO, *args))
    assert line.partition("component=rules ")[2] == expected


@freeze_time("2026-11-21T03:04:05Z")
def test_json_has_the_same_keys() -> None:
    named = json.loads(JsonFormatter().format(record("failed: a=%s", logging.INFO, "b c")))
    assert (named["msg"], named["a"]) == ("failed", "b c")
    fields = json.loads(JsonFormatter().format(record("坏了")))
    assert fields == {"time": "2026-11-21T03:04:05.000Z", "level": "INFO", "component": "rules", "msg": "坏了"}
