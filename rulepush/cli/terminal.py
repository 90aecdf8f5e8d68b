"""What may be written to a terminal: texts of targets and servers can contain sequences that it obeys."""

from __future__ import annotations

import re
from typing import Final

# C0 but for the line feed, DEL, C1, and the characters that turn the direction of writing around.
_OBEYED: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def terminal_text(text: str) -> str:
    r"""The text with each character that a terminal obeys as its code: `\x1b`, `\u202e`. Line feeds stay."""
    return _OBEYED.sub(_code, text)


def terminal_json(text: str) -> str:
    r"""The same for a JSON document, which stays one that says the same: `\u009b`."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _code(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
