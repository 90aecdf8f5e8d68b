"""From the text of a script to its commands. Source: Prometheus promql/promqltest/test.go."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rulepush.errors import RegexError
from rulepush.model.durations import parse_duration
from rulepush.model.floats import parse_float
from rulepush.model.labels import Labels
from rulepush.model.regex import compile_regex
from rulepush.promql.syntax.strings import unquote
from rulepush.promql.testscript.series import Cell, SeriesLine, parse_series

_LOAD: Final = re.compile(r"load(?:_(with_nhcb))?\s+(.+?)", re.IGNORECASE)
_INSTANT: Final = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)")
_RANGE: Final = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)")
_EXPECT: Final = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?")
_RANGE_VECTOR: Final = re.compile(r"expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)")
_STRING: Final = "expect string"
MAX_CELLS: Final = 1_000_000  # of a series: a script loads all of it at once (in a rule test, as far as it gets)


@dataclass(frozen=True, slots=True)
class ScriptProblem:
    """A line that is not a command, or an invalid command. `line` is 1-based."""

    line: int
    message: str


class Expectation(Enum):
    """What an `expect` line asks for."""

    ORDERED = "ordered"
    FAIL = "fail"
    WARN = "warn"
    NO_WARN = "no_warn"
    INFO = "info"
    NO_INFO = "no_info"


@dataclass(frozen=True, slots=True)
class Expect:
    """One `expect` line; `matches` tests a text against it, `wanted` is the expected text or pattern."""

    kind: Expectation
    wanted: str = ""
    matches: Callable[[str], bool] = field(default=lambda text: True, compare=False)


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget all data."""

    line: int


@dataclass(frozen=True, slots=True)
class Load:
    """Series whose values are `gap_ms` apart, from time 0. `with_nhcb`: classic histograms become native ones too."""

    line: int
    gap_ms: int
    with_nhcb: bool
    series: tuple[SeriesLine, ...]

    def start_lines(self) -> dict[Labels, SeriesLine]:
        """The start timestamps of the samples of a series."""
        return {line.labels: line for line in self.series if line.start_times}

    def sample_lines(self) -> list[SeriesLine]:
        """The lines with values; of a series that is given twice only the last."""
        return list({line.labels: line for line in self.series if not line.start_times}.values())


@dataclass(frozen=True, slots=True)
class StepRange:
    """Steps in ms; `step` 0 when there is only `start`."""

    start: int
    end: int
    step: int


@dataclass(frozen=True, slots=True)
class ExpectedSeries:
    """One expected series: a value each step, and its place in the list (from 1)."""

    labels: Labels
    cells: tuple[Cell, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Eval:
    """One case. `header` is its first line; `grid` the steps of the query, `result` those of the expected values."""

    line: int
    header: str
    is_range: bool
    expr: str
    grid: StepRange
    result: StepRange
    expects: tuple[Expect, ...]
    series: tuple[ExpectedSeries, ...]
    scalar: float | None
    string: str | None
    range_vector: bool

    def expecting(self, kind: Expectation) -> tuple[Expect, ...]:
        """The expect lines of one kind."""
        return tuple(e for e in self.expects if e.kind is kind)


Command = Clear | Load | Eval


def parse_script(text: str) -> list[Command | ScriptProblem]:
    """All commands in order. An invalid block becomes a ScriptProblem in its place, and the next one is read."""
    lines = [_bare(line) for line in text.split("\n")]
    commands: list[Command | ScriptProblem] = []
    at = 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end]:
            end += 1
        word = lines[at].split(maxsplit=1)[0].lower()
        if word == "clear":
            commands.append(Clear(at + 1))
            at += 1
            continue
        parse = _parse_load if word.startswith("load") else _parse_eval if word.startswith("eval") else None
        try:
            if parse is None:
                raise _Bad(at, f"invalid command {lines[at]!r}")
            commands.append(parse(lines, at, end))
        except _Bad as e:
            commands.append(ScriptProblem(e.at + 1, str(e)))
        at = end
    return commands


class _Bad(Exception):
    """Raised and caught in this file only."""

    def __init__(self, at: int, message: str):
        self.at = at
        super().__init__(message)


def _bare(line: str) -> str:
    line = line.strip()
    return "" if line.startswith("#") else line


def _parse_load(lines: list[str], at: int, end: int) -> Load:
    match = _LOAD.fullmatch(lines[at])
    if match is None:
        raise _Bad(at, "invalid load command. (load[_with_nhcb] <step:duration>)")
    gap = _duration(match.group(2), at)
    series = [_series(lines[i], i) for i in range(at + 1, end)]
    for i, line in enumerate(series, at + 1):
        if line.start_times:
            _check_start_times(line, series[i - at] if i + 1 < end else None, i)
    return Load(at + 1, gap, match.group(1) is not None, tuple(series))


def _check_start_times(line: SeriesLine, samples: SeriesLine | None, at: int) -> None:
    """The start timestamps stand right before their samples, one for each (promql/promqltest/test.go, parseLoad)."""
    if samples is None or samples.start_times:
        raise _Bad(at, "@st line has no following sample line")
    if samples.labels != line.labels:
        raise _Bad(at, "@st metric does not match the following sample line metric")
    if samples.count != line.count:
        raise _Bad(at, f"@st line has {line.count} values but sample line has {samples.count}")


def _series(text: str, at: int) -> SeriesLine:
    try:
        line = parse_series(text)
    except ValueError as e:
        raise _Bad(at, str(e)) from None
    if line.count > MAX_CELLS:
        raise _Bad(at, f"a series of {line.count:,} values, more than {MAX_CELLS:,} are not supported")
    return line


def _duration(text: str, at: int) -> int:
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * parse_duration(text.removeprefix("-"))
    except ValueError as e:
        raise _Bad(at, f"invalid time or step {text!r}: {e}") from None


def _parse_eval(lines: list[str], at: int, end: int) -> Eval:
    instant, ranged = _INSTANT.fullmatch(lines[at]), _RANGE.fullmatch(lines[at])
    if instant is not None:
        mode, when, expr = instant.groups()
        start = _duration(when, at) if when else 0
        grid = StepRange(start, start, 0)
    elif ranged is not None:
        mode, first, last, step, expr = ranged.groups()
        grid = StepRange(_duration(first, at), _duration(last, at), _duration(step, at))
        if grid.end < grid.start:
            raise _Bad(at, f"invalid test definition, end ({last}) is before start ({first})")
    else:
        raise _Bad(
            at,
            "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered|_info] instant [at <time>] <query>'"
            " or 'eval[_fail|_warn|_info] range from <from> to <to> step <step> <query>'",
        )
    body = _Body(grid, instant is not None)
    if mode:
        body.expects.append(Expect(Expectation(mode)))
    for i in range(at + 1, end):
        if body.line(lines[i], i, mode == "fail"):
            if i + 1 < end:
                raise _Bad(i + 1, f"unexpected {lines[i + 1]!r} after the expected number")
            break
    body.check(at)
    return Eval(
        at + 1,
        lines[at],
        instant is None,
        expr,
        grid,
        body.result,
        tuple(body.expects),
        tuple(body.series.values()),
        body.scalar,
        body.string,
        body.range_vector,
    )


class _Body:
    """The lines under an `eval`."""

    def __init__(self, grid: StepRange, instant: bool):
        self.result = grid
        self.expects: list[Expect] = []
        self.series: dict[Labels, ExpectedSeries] = {}
        self.scalar: float | None = None
        self.string: str | None = None
        self.range_vector = False
        self._instant = instant
        self._position = 0

    def line(self, text: str, at: int, failing: bool) -> bool:
        """Take one line; true when none may follow."""
        if failing and text.startswith(("expected_fail_message", "expected_fail_regexp")):
            word, _, wanted = text.partition(" ")
            self.expects[0] = _expect(Expectation.FAIL, "msg" if word.endswith("message") else "regex", wanted, at)
            return True
        if ranged := _RANGE_VECTOR.fullmatch(text):
            start, end, step = (_duration(part, at) for part in ranged.groups())
            self.result, self.range_vector = StepRange(start, end, step), True
        elif text.startswith(_STRING):
            try:
                self.string = unquote(text.removeprefix(_STRING).strip())
            except (ValueError, IndexError) as e:
                raise _Bad(at, f"invalid string: {e}") from None
        elif text.split(maxsplit=1)[0] == "expect":
            match = _EXPECT.fullmatch(text)
            if match is None:
                raise _Bad(at, "invalid expect statement, must match `expect <type> <match_type> <string>` format")
            self.expects.append(_expect(Expectation(match.group(1)), match.group(2), match.group(3) or "", at))
        elif (number := _number(text)) is not None:
            self.scalar = number
            return True
        else:
            self._position += 1
            series = _series(text, at)
            if series.count > 1 and self._instant and not self.range_vector:
                raise _Bad(at, "expecting multiple values in instant evaluation not allowed")
            if not series.count:
                raise _Bad(at, f"no value expected in {text!r}")
            self.series[series.labels] = ExpectedSeries(series.labels, tuple(series.cells()), self._position)
        return False

    def check(self, at: int) -> None:
        """Raises _Bad for expectations that contradict each other."""
        kinds = {e.kind for e in self.expects}
        for one, other in ((Expectation.WARN, Expectation.NO_WARN), (Expectation.INFO, Expectation.NO_INFO)):
            if one in kinds and other in kinds:
                message = f"invalid expect lines, {one.value} and {other.value} cannot be used together"
                raise _Bad(at, message)
        if Expectation.ORDERED in kinds and not self._instant:
            raise _Bad(at, "expecting ordered results from a range query is not possible")


def _expect(kind: Expectation, how: str | None, wanted: str, at: int) -> Expect:
    wanted = wanted.strip()
    if how is None:
        return Expect(kind)
    if how == "msg":
        return Expect(kind, wanted, lambda text: text == wanted)
    try:
        pattern = compile_regex(wanted)
    except RegexError as e:
        raise _Bad(at, str(e)) from None
    return Expect(kind, wanted, lambda text: pattern.search(text) is not None)


def _number(text: str) -> float | None:
    """Go's ParseInt with base 0, else ParseFloat."""
    try:
        return float(int(text, 0))
    except ValueError:
        pass
    try:
        return parse_float(text)
    except ValueError:
        return None
