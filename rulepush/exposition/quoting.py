"""Quotes and escapes of the two texts."""

from __future__ import annotations

import re
from typing import Final

_SHOWN_BYTES: Final = 200


def show(text: bytes) -> str:
    """Bytes in quotes, as Go's %q does, cut to a readable length."""
    if len(text) > _SHOWN_BYTES:
        text = text[:_SHOWN_BYTES] + b"..."
    shown = text.decode("utf-8", "backslashreplace").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + shown.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r").replace("\0", "\\x00") + '"'


_ESCAPES: Final = {b'\\"': b'"', b"\\\\": b"\\", b"\\n": b"\n"}
_ESCAPE: Final = re.compile(rb'\\["\\n]')
_HELP_ESCAPE: Final = re.compile(rb"\\[\\n]")


def unescape(text: bytes) -> bytes:
    """A quoted string's content: `\\"`, `\\\\` and `\\n`; any other backslash stays."""
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], text) if b"\\" in text else text


def unescape_help(text: bytes) -> str:
    """The text of a HELP line: `\\\\` and `\\n` only."""
    return _HELP_ESCAPE.sub(lambda m: _ESCAPES[m[0]], text).decode("utf-8", "replace")
