"""The two places that read the time."""

import json
import logging

from freezegun import freeze_time

from rulepush.clock import SystemClock
from rulepush.logs import JsonFormatter, LogfmtFormatter


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("rulepush.rules", level, __file__, 1, message, (), None)


@freeze_time("2026-11-21T03:04:05Z")
def test_the_system_clock_counts_milliseconds_since_the_epoch() -> None:
    assert SystemClock().now() == 1_795_230_245_000


@freeze_time("2026-11-21T03:04:05.678Z")
def test_logfmt_quotes_what_needs_it() -> None:
    line = LogfmtFormatter().format(record('PENDING => FIRING: alert={a="b"}', logging.WARNING))
    assert line == (
        'time=2026-11-21T03:04:05.678Z level=WARN component=rules msg="PENDING => FIRING: alert={a=\\"b\\"}"'
    )
    assert LogfmtFormatter().format(record("ready")).endswith(" msg=ready")
    assert "\n" not in LogfmtFormatter().format(record("two\nlines"))


@freeze_time("2026-11-21T03:04:05Z")
def test_json_has_the_same_keys() -> None:
    fields = json.loads(JsonFormatter().format(record("坏了")))
    assert fields == {"time": "2026-11-21T03:04:05.000Z", "level": "INFO", "component": "rules", "msg": "坏了"}
