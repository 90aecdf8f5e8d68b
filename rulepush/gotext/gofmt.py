"""Go's fmt: Sprintf with all verbs and flags that templates can reach, Sprint, Sprintln.

A bad format never fails: Go writes the problem into the text (`%!d(string=x)`), and so does this.
Source of the rules: the documentation of package fmt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rulepush.gotext.gofmt_numbers import Flags, format_integer, go_format_float, pad
from rulepush.gotext.goquote import can_backquote, go_quote, quote_char
from rulepush.gotext.limits import OutputBudget
from rulepush.gotext.values import NO_VALUE, GoKind, GoObject, GoType, GoValue, kind_of, type_of

_TOO_LARGE: Final = 1_000_000
_POINTER: Final = "0xc000012345"  # an address means nothing here, but its place in the text is Go's


def sprint(values: Sequence[object]) -> str:
    """fmt.Sprint: a space between two operands when neither is a string."""
    out: list[str] = []
    room = OutputBudget()
    previous_string = True
    for i, value in enumerate(values):
        is_string = value is not None and value is not NO_VALUE and kind_of(value) is GoKind.STRING
        if i and not is_string and not previous_string:
            out.append(" ")
        out.append(room.take(_Printer(Flags(), "v", room).value(value, 0)))
        previous_string = is_string
    return "".join(out)


def sprintln(values: Sequence[object]) -> str:
    """fmt.Sprintln: always spaces, and a newline."""
    printer = _Printer(Flags(), "v", OutputBudget())
    return " ".join(printer.value(value, 0) for value in values) + "\n"


def go_format_value(value: object) -> str:
    """`%v`."""
    if type(value) is str:
        return value
    return _Printer(Flags(), "v", OutputBudget()).value(value, 0)


def format_printed(value: object) -> str:
    """What an action prints: `%v`, of what a pointer points to."""
    if isinstance(value, GoObject) and value.go_type.kind is GoKind.POINTER and value.go_string() is None:
        return go_format_value(value).removeprefix("&")
    return "<no value>" if value is NO_VALUE or value is None else go_format_value(value)


def sprintf(form: str, args: Sequence[object]) -> str:
    """fmt.Sprintf."""
    return _Sprintf(form, args).run()


class _Sprintf:
    """One pass over a format; the cursor and the argument counter are its state."""

    def __init__(self, form: str, args: Sequence[object]):
        self._form = form
        self._args = args
        self._pos = 0
        self._next_arg = 0
        self._reordered = False
        self._good_index = True
        self._after_index = False
        self._room = OutputBudget()

    def run(self) -> str:
        out: list[str] = []
        form = self._form
        while self._pos < len(form):
            percent = form.find("%", self._pos)
            if percent < 0:
                out.append(form[self._pos :])
                break
            out.append(form[self._pos : percent])
            self._pos = percent + 1
            out.append(self._room.take(self._directive()))
        if not self._reordered and self._next_arg < len(self._args):
            rest = [self._extra(value) for value in self._args[self._next_arg :]]
            out.append("%!(EXTRA " + ", ".join(rest) + ")")
        return "".join(out)

    def _extra(self, value: object) -> str:
        if value is None or value is NO_VALUE:
            return "<nil>"
        return f"{type_of(value)}={_Printer(Flags(), 'v', self._room).value(value, 0)}"

    def _peek(self) -> str:
        return self._form[self._pos] if self._pos < len(self._form) else ""

    def _directive(self) -> str:
        self._good_index = True
        self._after_index = False
        flags = self._flags()
        problems: list[str] = []
        self._index()
        flags = self._width(flags, problems)
        if self._peek() == ".":
            flags = self._precision(flags, problems)
        if not self._after_index:
            self._index()
        verb = self._peek()
        if not verb:
            return "".join(problems) + "%!(NOVERB)"
        self._pos += 1
        return "".join(problems) + self._verb(verb, flags)

    def _verb(self, verb: str, flags: Flags) -> str:
        if verb == "%":
            return "%"
        if not self._good_index:
            return f"%!{verb}(BADINDEX)"
        if self._next_arg >= len(self._args):
            return f"%!{verb}(MISSING)"
        value = self._args[self._next_arg]
        self._next_arg += 1
        if verb == "w":
            return _Printer(flags, "w", self._room).bad_verb(value)
        if verb == "v":
            flags = replace(flags, sharp_v=flags.sharp, sharp=False, plus_v=flags.plus, plus=False)
        return _Printer(flags, verb, self._room).value(value, 0)

    def _flags(self) -> Flags:
        minus = plus = sharp = space = zero = False
        while True:
            match self._peek():
                case "#":
                    sharp = True
                case "0":
                    zero = True
                case "+":
                    plus = True
                case "-":
                    minus = True
                case " ":
                    space = True
                case _:
                    return Flags(minus, plus, sharp, space, zero and not minus)
            self._pos += 1

    def _index(self) -> None:
        """`[2]`: the argument to use next."""
        if self._peek() != "[":
            return
        self._reordered = True
        end = self._form.find("]", self._pos)
        if end < 0:
            self._good_index = False
            self._pos += 1
            return
        digits = self._form[self._pos + 1 : end]
        self._pos = end + 1
        if digits.isascii() and digits.isdigit() and len(digits) < 8 and 1 <= int(digits) <= len(self._args):
            self._next_arg = int(digits) - 1
            self._after_index = True
        else:
            self._good_index = False

    def _number(self) -> int | None:
        start = self._pos
        while "0" <= self._peek() <= "9" and self._peek():
            self._pos += 1
        digits = self._form[start : self._pos]
        if not digits:
            return None
        return int(digits) if len(digits) < 10 and int(digits) <= _TOO_LARGE else None

    def _star(self) -> int | None:
        """The value of an argument that gives a width or a precision; None when it cannot."""
        self._pos += 1
        self._after_index = False
        if self._next_arg >= len(self._args):
            return None
        value = self._args[self._next_arg]
        self._next_arg += 1
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _TOO_LARGE:
            return None
        return int(value)

    def _width(self, flags: Flags, problems: list[str]) -> Flags:
        if self._peek() == "*":
            width = self._star()
            if width is None:
                problems.append("%!(BADWIDTH)")
            elif width < 0:
                flags = replace(flags, width=-width, minus=True, zero=False)
            else:
                flags = replace(flags, width=width)
            return flags
        width = self._number()
        if self._after_index and width is not None:  # "%[3]2d"
            self._good_index = False
        return flags if width is None else replace(flags, width=width)

    def _precision(self, flags: Flags, problems: list[str]) -> Flags:
        self._pos += 1
        if self._after_index:  # "%[3].2d"
            self._good_index = False
        self._index()
        if self._peek() == "*":
            precision = self._star()
            if precision is None or precision < 0:
                problems.append("%!(BADPREC)")
                return flags
            return replace(flags, precision=precision)
        return replace(flags, precision=self._number() or 0)


@dataclass(frozen=True, slots=True)
class _Printer:
    """Formats values under one verb and its flags."""

    flags: Flags
    verb: str
    room: OutputBudget

    def value(self, value: object, depth: int) -> str:
        return self.room.take(self._value(value, depth))

    def _value(self, value: object, depth: int) -> str:
        if value is None or value is NO_VALUE:
            return self._nil() if depth == 0 else "<nil>"
        go_type = type_of(value)
        if self.verb == "T":
            return self._text(go_type.name, "s")
        if self.verb == "p":
            has_address = go_type.kind in (GoKind.MAP, GoKind.SLICE, GoKind.POINTER)
            return pad(_POINTER, self.flags) if has_address else self.bad_verb(value)
        stringer = self._stringer(value)
        if stringer is not None:
            return self._text(stringer, self.verb)
        return self._by_kind(value, go_type, depth)

    def _stringer(self, value: object) -> str | None:
        if self.flags.sharp_v or self.verb not in ("v", "s", "x", "X", "q"):
            return None
        return value.go_string() if isinstance(value, GoValue) else None

    def _by_kind(self, value: object, go_type: GoType, depth: int) -> str:
        if isinstance(value, bool):
            return self._bool(value)
        if isinstance(value, int):
            return self._int(value)
        if isinstance(value, float):
            return self._float(value)
        if isinstance(value, str):
            return self._text_or_bad(value)
        if isinstance(value, Mapping):
            return self._map(value, go_type, depth)
        if isinstance(value, GoObject):
            return self._struct(value, go_type, depth)
        if isinstance(value, Sequence):
            return self._slice(value, go_type, depth)
        return self.bad_verb(value)

    def _nil(self) -> str:
        if self.verb in ("v", "T"):
            return pad("<nil>", self.flags)
        return f"%!{self.verb}(<nil>)"

    def bad_verb(self, value: object) -> str:
        """`%!d(string=x)`."""
        if value is None or value is NO_VALUE:
            return f"%!{self.verb}(<nil>)"
        plain = _Printer(replace(self.flags, plus_v=False), "v", self.room)
        return f"%!{self.verb}({type_of(value)}={plain.value(value, 0)})"

    # -- basic kinds

    def _bool(self, value: bool) -> str:
        if self.verb in ("t", "v"):
            return pad("true" if value else "false", self.flags)
        return self.bad_verb(value)

    def _int(self, value: int) -> str:
        if self.verb in ("v", "d"):
            return format_integer(value, 10, self.flags, "d")
        bases = {"b": 2, "o": 8, "O": 8, "x": 16, "X": 16}
        if self.verb in bases:
            return format_integer(value, bases[self.verb], self.flags, self.verb)
        if self.verb == "c":
            return pad(_char(value), self.flags)
        if self.verb == "q":
            return pad(quote_char(value, ascii_only=self.flags.plus), self.flags)
        if self.verb == "U":
            precision = max(self.flags.precision or 0, 4)
            text = f"U+{value & 0xFFFFFFFFFFFFFFFF:0{precision}X}"
            if self.flags.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable():
                text += f" '{chr(value)}'"
            return pad(text, self.flags, zeros=False)
        return self.bad_verb(value)

    def _float(self, value: float) -> str:
        if self.verb in ("v", "b", "g", "G", "x", "X", "f", "F", "e", "E"):
            return go_format_float(value, self.verb, self.flags)
        return self.bad_verb(value)

    def _text_or_bad(self, value: str) -> str:
        if self.verb in ("v", "s", "x", "X", "q"):
            return self._text(str(value), self.verb)
        return self.bad_verb(value)

    def _text(self, text: str, verb: str) -> str:
        flags = self.flags
        if verb in ("x", "X"):
            return self._hex(text, verb)
        if flags.precision is not None:
            text = text[: flags.precision]
        if verb == "q" or (verb == "v" and flags.sharp_v):
            if flags.sharp and can_backquote(text):
                return pad("`" + text + "`", flags)
            return pad(go_quote(text, ascii_only=flags.plus), flags)
        return pad(text, flags)

    def _hex(self, text: str, verb: str) -> str:
        flags = self.flags
        data = text.encode("utf-8", "surrogateescape")
        if flags.precision is not None:
            data = data[: flags.precision]
        prefix = "0x" if flags.sharp else ""
        if flags.space:
            out = " ".join(prefix + f"{b:02x}" for b in data)
        else:
            out = (prefix if data else "") + data.hex()
        return pad(out.upper() if verb == "X" else out, flags)

    # -- composites

    def _map(self, value: Mapping[str, object], go_type: GoType, depth: int) -> str:
        items = sorted(value.items())
        if self.flags.sharp_v:
            inner = ", ".join(f"{self.value(k, depth + 1)}:{self._element(v, go_type, depth)}" for k, v in items)
            return f"{go_type}{{{inner}}}"
        inner = " ".join(f"{self.value(k, depth + 1)}:{self.value(v, depth + 1)}" for k, v in items)
        return f"map[{inner}]"

    def _slice(self, value: Sequence[object], go_type: GoType, depth: int) -> str:
        if self.flags.sharp_v:
            return f"{go_type}{{{', '.join(self._element(v, go_type, depth) for v in value)}}}"
        return "[" + " ".join(self.value(v, depth + 1) for v in value) + "]"

    def _element(self, value: object, go_type: GoType, depth: int) -> str:
        if value is None and self.flags.sharp_v:
            return f"{go_type.elem or 'interface {}'}(nil)"
        return self.value(value, depth + 1)

    def _struct(self, value: GoObject, go_type: GoType, depth: int) -> str:
        prefix = ""
        if go_type.kind is GoKind.POINTER:
            if depth:
                return _POINTER
            prefix = "&"
        fields = value.fields()
        if self.flags.sharp_v:
            name = go_type.name.removeprefix("*")
            return prefix + name + "{" + ", ".join(f"{n}:{self.value(v, depth + 1)}" for n, v in fields.items()) + "}"
        if self.flags.plus_v:
            return prefix + "{" + " ".join(f"{n}:{self.value(v, depth + 1)}" for n, v in fields.items()) + "}"
        return prefix + "{" + " ".join(self.value(v, depth + 1) for v in fields.values()) + "}"


def _char(code: int) -> str:
    if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
        return chr(code)
    return "�"
