"""Reads the .cases files: a template on one line, what is expected of it on the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    template: str
    expected: str
    fails: bool  # `expected` is the error


HERE = Path(__file__).parent


def read_cases(path: Path) -> list[Case]:
    """The cases of a file."""
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    cases = []
    for template, expected in zip(lines[::2], lines[1::2], strict=True):
        mark, body = expected[:3], expected[3:]
        assert mark in ("=> ", "!! "), f"{path}: no expectation after {template!r}"
        body = body.replace("\\\\", "\x00").replace("\\n", "\n").replace("\x00", "\\")
        cases.append(Case(template, body, mark == "!! "))
    return cases
