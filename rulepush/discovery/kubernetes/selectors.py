"""Label and field selectors: whether the API server can understand them.

Grammar of k8s.io/apimachinery: pkg/labels/selector.go (Parse) and pkg/fields/selector.go (ParseSelector).
"""

from __future__ import annotations

import re
from typing import Final

_LABEL_TOKEN: Final = re.compile(r"\s*(?:(==|!=|=|<|>|!|,|\(|\))|([^\s=!<>,()]+))")
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTEGER: Final = re.compile(r"[0-9]{1,19}")


def label_selector_fault(text: str) -> str:
    """Why a label selector such as `app=web,tier in (a,b),!old` cannot be used; "" when it can."""
    try:
        _LabelSelector(text).check()
    except ValueError as e:
        return f"invalid label selector {text!r}: {e}"
    return ""


def field_selector_fault(text: str) -> str:
    """Why a field selector such as `spec.nodeName=a,status.phase!=Failed` cannot be used; "" when it can."""
    for term in _field_terms(text):
        found = re.match(r".*?(!=|==|=)(.*)", term, re.DOTALL)
        if term and found is None:
            return f"invalid selector: '{text}'; can't understand '{term}'"
        if found is not None and (bad := re.search(r"(?<!\\)(?:\\\\)*(=|\\(?![\\,=]))", found[2])):
            return f"invalid field selector {text!r}: {bad[1]!r} in a value needs a backslash before it"
    return ""


def _field_terms(text: str) -> list[str]:
    """The parts between commas that no backslash escapes."""
    return re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)


class _LabelSelector:
    """A parser by recursive descent; it raises ValueError with what is wrong."""

    def __init__(self, text: str):
        self._tokens = [m[1] or m[2] for m in _LABEL_TOKEN.finditer(text)]
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def check(self) -> None:
        while self._peek():
            self._requirement()
            token = self._next()
            if token not in ("", ","):
                raise ValueError(f"found {token!r}, expected ','")
            if token == "," and not self._peek():
                raise ValueError("found nothing after the last ','")

    def _requirement(self) -> None:
        absent = self._peek() == "!"
        if absent:
            self._next()
        _check_key(self._word("a label's name"))
        operator = self._peek()
        if absent or operator in ("", ","):
            return
        self._next()
        if operator in ("in", "notin"):
            self._values(operator)
        elif operator in ("=", "==", "!="):
            _check_value(self._word("", empty=True))
        elif operator in ("<", ">"):
            value = self._word("a whole number")
            if not _INTEGER.fullmatch(value) or int(value) >= 1 << 63:
                raise ValueError(f"for {operator!r} the value must be a whole number that fits 64 bits, got {value!r}")
        else:
            raise ValueError(f"found {operator!r}, expected one of in, notin, =, ==, !=, <, >")

    def _values(self, operator: str) -> None:
        if self._next() != "(":
            raise ValueError(f"{operator} needs values in parentheses, such as '{operator} (a, b)'")
        while True:
            _check_value(self._word("", empty=True))
            token = self._next()
            if token == ")":
                return
            if token != ",":
                raise ValueError(f"found {token!r}, expected ',' or ')'" if token else "')' is missing")

    def _word(self, expected: str, *, empty: bool = False) -> str:
        token = self._peek()
        if token in ("", ",", "(", ")", "=", "==", "!=", "<", ">", "!"):
            if empty and token in ("", ",", ")"):
                return ""
            raise ValueError(f"found {token!r}, expected {expected or 'a value'}")
        return self._next()


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise ValueError(f"{key!r} is not a label's name")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        raise ValueError(f"{key!r} is not a label's name: what stands before the '/' must be a DNS name")


def _check_value(value: str) -> None:
    if value and (len(value) > 63 or not _NAME.fullmatch(value)):
        raise ValueError(f"{value!r} is not a label's value")
