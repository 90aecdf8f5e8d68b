"""Log lines as Prometheus writes them: logfmt or JSON, to standard error.

A message says first what happened and then names things: `"scrape failed: target=%s err=%s"`. Those at its end become
keys of the line.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Final

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_LEVEL_NAMES: Final = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}


_FIELD: Final = re.compile(r"\w+=\S*%\S+")
_DIRECTIVE: Final = re.compile(r"%[-#0 +]*[0-9]*(?:\.[0-9]+)?[a-z]")


class LogfmtFormatter(logging.Formatter):
    """`time=... level=INFO component=rules msg="scrape failed" target=... err=...`"""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_logfmt_value(value)}" for key, value in _fields(self, record).items())


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the same keys."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(self, record), ensure_ascii=False)


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    text, named = _message(record)
    fields = {
        "time": _time(record.created),
        "level": _LEVEL_NAMES.get(record.levelno, record.levelname),
        "component": record.name.removeprefix("rulepush."),
        "msg": text,
        **named,
    }
    if record.exc_info:
        fields["err"] = formatter.formatException(record.exc_info)
    return fields


def _message(record: logging.LogRecord) -> tuple[str, dict[str, str]]:
    """Split a message into what happened and the key=value pairs at its end."""
    words = record.msg.split(" ") if isinstance(record.msg, str) else []
    args = record.args
    at = len(words)
    while at and _FIELD.fullmatch(words[at - 1]):
        at -= 1
    parts = [" ".join(words[:at]), *(word.partition("=")[2] for word in words[at:])]
    counts = [len(_DIRECTIVE.findall(part)) for part in parts]
    if not isinstance(args, tuple) or "%%" in str(record.msg) or sum(counts) != len(args):
        return record.getMessage(), {}
    rendered, used = [], 0
    for part, count in zip(parts, counts, strict=True):
        rendered.append(part % args[used : used + count] if count else part)
        used += count
    names = [word.partition("=")[0] for word in words[at:]]
    return rendered[0].removesuffix(":"), dict(zip(names, rendered[1:], strict=True))


def _time(seconds: float) -> str:
    """RFC 3339 with three decimals always, so that lines are aligned and sort as text."""
    ms = int(seconds * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


def _logfmt_value(value: str) -> str:
    if value and all(c not in ' ="\\' and c.isprintable() for c in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def setup_logging(level: str, form: str) -> None:
    """`level` is a key of LEVELS, `form` is "logfmt" or "json". httpx's line per request is left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("rulepush").setLevel(LEVELS[level])
