"""Walks a guide as a reader does: every fenced block in its order, in an empty directory, with a real shell.

What a page writes, and what the walk does with it. The words after the language are not shown to readers, so the
prose beside the block has to say the same; for `running` and `repeat` the walk checks that it does.

```sh
    The commands are run by bash as one script that ends at the first failure (`set -e`). Directory and exported
    variables stay for the blocks after it. Exit code 0 is expected. A line that ends in `&` goes on in the
    background.
```sh exit=1
    The block ends with this exit code.
```sh running
    The last command stays running: it is awaited until it listens on a port, and stopped with Ctrl-C (SIGINT) at
    the end of the walk, or by `stop`. What follows is typed in another terminal, with the same directory and
    variables. The prose says so: "running" or "terminal"; 运行 or 终端.
```sh repeat
    Run again until it succeeds and gives the output of the `text` block after it (at most `patience_s` seconds). The
    prose says so: "until", "within", "again", "wait" or "repeat"; 直到, 内, 再, 等 or 重复.
```text
    The output (stdout and stderr) of the `sh` block before it, line by line. `...` on a line of its own stands for
    any lines or none, `...` within a line for any characters. The output of a block that is `running` is awaited,
    and only has to begin so.
```yaml, properties, ini, toml, json, python, conf, cron, ...
    A file, when its first line is a comment with nothing but its name: `# prometheus.yml`; or `# conf/app.ini`, whose
    directory is made. It is written in the directory that the shell is in. With a remark in brackets,
    `# prometheus.yml (at the end)` or `# prometheus.yml（加在末尾）`, the block is added to the file, which has to
    exist. A script (`sh` or another) has its name in the second line, after `#!`.

What the test says:

replace
    Text of the page -> text of the test, for ports and URLs: in commands, files and expected output. All keys at
    once, the longest first, so that a replacement is never replaced again.
instead
    The beginning of a command line -> what is run in its place (`:` for nothing): for what a test cannot do, such as
    `pip install`, `apt-get`, `systemctl`, `crontab`. `replace` is applied to the result, too.
excused
    A part of a block -> the reason for which it is not walked.
ready
    A part of a command that stays running -> the URL that has to answer with success before the walk goes on.

A block that is none of these fails the walk, and so does a key of `replace`, `instead`, `excused` or `ready` that
nothing on the page needed. Example:

    with Walk(PAGE, tmp_path, replace={"127.0.0.1:9093": am}, instead={".venv/bin/pip": ":"}) as walk:
        walk.until("## 3.")       # everything before the first line that begins so
        walk.apply_to("*.yml")    # `replace`, in files that a command has written
        walk.until("## 6.")
        nacos.close()             # what the page tells in prose
        walk.rest()

`walk.output` is that of the last block, `walk.cwd` the directory of the shell, `walk.run(line)` runs a line of the
test's own there. `rulepush` is the one that this Python has. HOME is empty, too.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.servers import answers, wait_for

_FENCE: Final = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_FILE_NAME: Final = re.compile(r"^(?:#|//|;) (?P<name>[\w./~-]*[\w-][./][\w./-]+)(?P<remark> ?[(（].*[)）])?:?$")
_SHELLS: Final = ("sh", "bash", "shell")
_SAID: Final = {
    "running": ("running", "terminal", "运行", "终端"),
    "repeat": ("until", "within", "again", "wait", "repeat", "直到", "内", "再", "等", "重复"),
}
_LISTENS: Final = "0A"  # state of a socket in /proc/net/tcp, proc(5)


class WalkError(AssertionError):
    """Where the page cannot be followed: page, line, and what was seen."""


@dataclass(frozen=True, slots=True)
class GuideBlock:
    """A fenced block: the line of its fence, the words after the fence, its text, and the prose around it."""

    line: int
    language: str
    words: tuple[str, ...]
    text: str
    before: str
    after: str

    def file(self) -> tuple[str, bool] | None:
        """The name of the file that it is, and whether it is added to that file."""
        lines = self.text.splitlines()
        script = bool(lines) and lines[0].startswith("#!")
        if self.language in _SHELLS and not script:
            return None
        found = _FILE_NAME.match(lines[script]) if len(lines) > script else None
        return (found["name"], found["remark"] is not None) if found else None


def guide_blocks(text: str) -> list[GuideBlock]:
    """The fenced blocks of a page, in order. Raises ValueError for one that is not closed."""
    lines = text.splitlines()
    found: list[tuple[int, int, re.Match[str]]] = []
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened:
            end = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == opened["fence"]), None)
            if end is None:
                raise ValueError(f"line {number + 1}: the block is not closed")
            found.append((number, end, opened))
            number = end
        number += 1
    blocks = []
    for i, (start, end, opened) in enumerate(found):
        language, *words = opened["info"].split() or [""]
        before = [_between(lines, found, n) for n in range(i, -1, -1)]
        after = [_between(lines, found, n) for n in range(i + 1, len(found) + 1)]
        blocks.append(
            GuideBlock(
                start + 1,
                language,
                tuple(words),
                textwrap.dedent("\n".join(lines[start + 1 : end])) + "\n",
                next(filter(None, before), ""),
                next(filter(None, after), ""),
            )
        )
    return blocks


def _between(lines: list[str], found: list[tuple[int, int, re.Match[str]]], number: int) -> str:
    """The prose before the block of this number, or after the last."""
    start = found[number - 1][1] + 1 if number else 0
    end = found[number][0] if number < len(found) else len(lines)
    return "\n".join(lines[start:end]).strip()


def same_output(expected: str, output: str, begins: bool = False) -> bool:
    """Whether the output is what a `text` block writes; `begins`: its first lines are."""
    parts = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*")
        else:
            parts.append("[^\n]*".join(re.escape(part.rstrip(" ")) for part in line.split("...")) + r"[ ]*\n")
    pattern = re.compile("".join(parts))
    output = output.rstrip("\n") + "\n"
    return bool(pattern.match(output) if begins else pattern.fullmatch(output))


@dataclass(slots=True)
class _Started:
    """A command that stays running, or a block that left some behind."""

    command: str
    log: Path
    process: subprocess.Popen[bytes]
    stays: bool

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@dataclass
class Walk:
    """A page being followed. See the module for the arguments."""

    page: Path
    directory: Path
    replace: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    excused: Mapping[str, str] = field(default_factory=dict)
    ready: Mapping[str, str] = field(default_factory=dict)
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        self.text = self.page.read_text(encoding="utf-8")
        self.output = ""
        self._blocks = guide_blocks(self.text)
        self._next = 0
        self._used: set[tuple[str, str]] = set()
        self._started: list[_Started] = []
        self._last: _Started | None = None  # where the output came from, when it may still grow
        self._logs = 0
        self.cwd = self.directory / "walk"
        self._kept = self.directory / "kept"
        home, programs = self._kept / "home", self._kept / "bin"
        for path in (self.cwd, home, programs):
            path.mkdir(parents=True)
        rulepush = programs / "rulepush"
        rulepush.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rulepush "$@"\n')
        rulepush.chmod(0o755)
        found = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        self._env = {**os.environ, "PATH": found, "HOME": str(home), "NO_PROXY": "127.0.0.1,localhost", "TERM": "dumb"}

    def __enter__(self) -> Walk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        problems = []
        for started in self._started:
            problem = self._stop(started)
            if problem:
                problems.append(problem)
        if error is not None:
            tails = "".join(f"\n--- {s.command}\n{s.output()[-3000:]}" for s in self._started if s.output())
            error.add_note(f"while {self.page.name} was walked{tails}")
            return
        if self._next < len(self._blocks):
            problems.append(f"{self._at(self._blocks[self._next])}: this block and those after it were not walked")
        for kind_, keys in self._keys().items():
            problems += [
                f"{kind_}: nothing on the page needs {key!r}" for key in keys if (kind_, key) not in self._used
            ]
        if problems:
            raise WalkError("\n".join(problems))

    # What a test calls.

    def until(self, line: str) -> None:
        """Walk every block before the first line of the page that begins with this text."""
        numbers = [n for n, text in enumerate(self.text.splitlines(), 1) if text.startswith(line)]
        if not numbers:
            raise WalkError(f"{self.page.name} has no line that begins with {line!r}")
        self._walk_before(numbers[0])

    def rest(self) -> None:
        """Walk what is left of the page."""
        self._walk_before(sys.maxsize)

    def run(self, command: str) -> str:
        """Run a command of the test's own in the shell of the page; its output."""
        self._shell(command, 0, "a command of the test")
        return self.output

    def apply_to(self, *globs: str) -> None:
        """Apply `replace` to the files below the directory of the shell that match. Each glob has to match a file."""
        for glob in globs:
            files = [path for path in sorted(self.cwd.glob(glob)) if path.is_file()]
            if not files:
                raise WalkError(f"{self.cwd} has no {glob}")
            for path in files:
                path.write_text(self._replaced(path.read_text(encoding="utf-8")), encoding="utf-8")

    def stop(self, command: str) -> str:
        """Ctrl-C for the one whose command has this text; its whole output."""
        found = [s for s in self._started if command in s.command]
        if not found:
            raise WalkError(f"{self.page.name}: nothing runs whose command has {command!r}")
        problem = self._stop(found[-1])
        if problem:
            raise WalkError(problem)
        self._started.remove(found[-1])
        return found[-1].output()

    # How a page is walked.

    def _walk_before(self, line: int) -> None:
        while self._next < len(self._blocks) and self._blocks[self._next].line < line:
            block = self._blocks[self._next]
            self._next += 1
            excuses = [key for key in self.excused if key in block.text]
            self._used |= {("excused", key) for key in excuses}
            if not excuses:
                self._step(block)

    def _step(self, block: GuideBlock) -> None:
        for word in block.words:
            said = _SAID.get(word, ())
            prose = f"{_beside(block.before, last=True)}\n{_beside(block.after)}"
            if said and not any(one in prose.lower() for one in said):
                raise WalkError(f"{self._at(block)}: the prose does not say that it is {word}: {', '.join(said)}")
        file = block.file()
        if file is not None:
            self._write(block, *file)
        elif block.language in _SHELLS:
            self._commands(block)
        elif block.language == "text":
            self._expect(block)
        else:
            raise WalkError(
                f"{self._at(block)}: neither run nor written nor excused; a file begins with a comment that is its "
                f"name:\n{block.text}"
            )

    def _write(self, block: GuideBlock, name: str, added: bool) -> None:
        path = self.cwd / self._replaced(name)
        if not path.resolve().is_relative_to(self.directory.resolve()):
            raise WalkError(f"{self._at(block)}: {name} is outside of the walk: replace or excuse it")
        text = self._replaced(block.text)
        if added:
            if not path.is_file():
                raise WalkError(f"{self._at(block)}: {name} is to be added to, and does not exist")
            text = path.read_text(encoding="utf-8") + text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _commands(self, block: GuideBlock) -> None:
        code, running, repeat = 0, False, False
        for word in block.words:
            if word.startswith("exit="):
                code = int(word.removeprefix("exit="))
            elif word == "running":
                running = True
            elif word == "repeat":
                repeat = True
            else:
                raise WalkError(f"{self._at(block)}: {word!r} after the language means nothing")
        lines = [self._ours(line) for line in _logical_lines(block.text)]
        if not lines:
            raise WalkError(f"{self._at(block)}: no command")
        if repeat:
            self._repeat("\n".join(lines), block)
        elif running:
            if lines[:-1]:
                self._shell("\n".join(lines[:-1]), 0, self._at(block))
            self._stay(lines[-1], self._at(block))
        else:
            self._shell("\n".join(lines), code, self._at(block))

    def _ours(self, script: str) -> str:
        lines = script.split("\n")
        for key, command in self.instead.items():
            if any(line.startswith(key) for line in lines):
                self._used.add(("instead", key))
                lines = [command if line.startswith(key) else line for line in lines]
        return self._replaced("\n".join(lines))

    def _repeat(self, script: str, block: GuideBlock) -> None:
        following = self._blocks[self._next] if self._next < len(self._blocks) else None
        if following is None or following.language != "text":
            raise WalkError(f"{self._at(block)}: what is repeated needs a `text` block that says until what")
        expected = self._replaced(following.text)
        deadline = time.monotonic() + self.patience_s
        while self._bash(script) != 0 or not same_output(expected, self.output):
            if time.monotonic() > deadline:
                raise self._differs(following, expected, f"not within {self.patience_s:g}s")
            time.sleep(0.2)  # for another process: there is nothing else to wait for

    def _expect(self, block: GuideBlock) -> None:
        expected = self._replaced(block.text)
        if not expected.replace("...", "").strip():
            raise WalkError(f"{self._at(block)}: this output says nothing")
        last = self._last
        if last is None:
            if not same_output(expected, self.output):
                raise self._differs(block, expected, "the output is another one")
            return
        deadline = time.monotonic() + self.patience_s
        while not same_output(expected, last.output(), begins=True):
            if time.monotonic() > deadline or last.process.poll() is not None:
                self.output = last.output()
                raise self._differs(block, expected, "the output does not begin so")
            time.sleep(0.1)  # for another process, as above

    def _shell(self, script: str, code: int, where: str) -> None:
        got = self._bash(script)
        if got != code:
            raise WalkError(f"{where}: exit code {got}, not {code}:\n{script}\n--- output:\n{self.output}")

    def _bash(self, script: str) -> int:
        """Run a script to its end, and keep its output, its directory and its exported variables."""
        state = self._kept / "state"
        keep = f"trap 'code=$?; {{ pwd; env -0; }} > {shlex.quote(str(state))}; exit $code' EXIT; set -e\n"
        started = self._start(keep + script, script, stays=False)
        try:
            code = started.process.wait(self.patience_s * 3)
        except subprocess.TimeoutExpired:
            raise WalkError(f"{self.page.name}: does not end:\n{script}\n{started.output()}") from None
        self.output, self._last = started.output(), None
        if not list(_members(started.process.pid)):
            self._started.remove(started)
        directory, _, env = state.read_text(encoding="utf-8").partition("\n")
        self.cwd = Path(directory)
        pairs = (pair.partition("=") for pair in env.split("\0") if pair)
        self._env = {name: value for name, _, value in pairs if name not in ("_", "SHLVL", "PWD", "OLDPWD")}
        return code

    def _stay(self, command: str, where: str) -> None:
        started = self._start(command, command, stays=True)
        self._last = started  # its output may go on

        def listening() -> bool:
            if started.process.poll() is not None:
                raise WalkError(f"{where}: ended with {started.process.returncode}: {command}\n{started.output()}")
            return _listens(started.process.pid)

        wait_for(f"{where}: {command}: a port to listen on", listening, self.patience_s)
        for key, url in self.ready.items():
            if key in command:
                self._used.add(("ready", key))
                wait_for(f"{where}: {url}", partial(answers, url), self.patience_s)
        self.output = started.output()

    def _start(self, script: str, command: str, stays: bool) -> _Started:
        self._logs += 1
        log = self._kept / f"{self._logs}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = _Started(command, log, process, stays)
        self._started.append(started)
        return started

    def _stop(self, started: _Started) -> str | None:
        """End a process and all that it left behind, by the group that only they are in; what is wrong with its end."""
        ended_before = started.process.poll() is not None
        _signal(started, signal.SIGINT if started.stays else signal.SIGTERM)
        try:
            code = started.process.wait(60)
        except subprocess.TimeoutExpired:
            _signal(started, signal.SIGKILL)
            started.process.wait(10)
            return f"{self.page.name}: did not end 60s after Ctrl-C: {started.command}\n{started.output()[-3000:]}"
        if not started.stays:
            return None
        if ended_before or code not in (0, 130, -signal.SIGINT) or "Traceback" in started.output():
            when = "by itself" if ended_before else "after Ctrl-C"
            return f"{self.page.name}: ended {when} with {code}: {started.command}\n{started.output()[-3000:]}"
        return None

    def _replaced(self, text: str) -> str:
        if not self.replace:
            return text
        keys = sorted(self.replace, key=len, reverse=True)

        def one(found: re.Match[str]) -> str:
            self._used.add(("replace", found.group()))
            return self.replace[found.group()]

        return re.sub("|".join(map(re.escape, keys)), one, text)

    def _keys(self) -> dict[str, Mapping[str, str]]:
        return {"replace": self.replace, "instead": self.instead, "excused": self.excused, "ready": self.ready}

    def _at(self, block: GuideBlock) -> str:
        return f"{self.page.name}:{block.line}"

    def _differs(self, block: GuideBlock, expected: str, what: str) -> WalkError:
        return WalkError(f"{self._at(block)}: {what}\n--- expected:\n{expected}--- output:\n{self.output}")


def _beside(prose: str, last: bool = False) -> str:
    """The first paragraph, or the last."""
    paragraphs = [p for p in re.split(r"\n\s*\n", prose) if p.strip()]
    return paragraphs[-1 if last else 0] if paragraphs else ""


def _logical_lines(text: str) -> list[str]:
    r"""Command lines with the lines that go on: after `\`, and what is within quotes, braces or a here-document is the
    shell's to know, so a script with one of these is one line."""
    joined = text.replace("\\\n", "")
    if "<<" in joined or any(len(re.findall(quote, line)) % 2 for line in joined.splitlines() for quote in "'\""):
        return [joined.strip("\n")]
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _members(group: int) -> Iterator[Path]:
    """The processes of a group (proc(5))."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                yield process
        except OSError:
            continue  # it has ended meanwhile


def _listens(group: int) -> bool:
    """Whether a process of this group listens on a TCP port (proc(5))."""
    for process in _members(group):
        try:
            sockets = {os.readlink(fd) for fd in (process / "fd").iterdir()}
            tables = "".join((process / "net" / name).read_text() for name in ("tcp", "tcp6"))
        except OSError:
            continue  # as above
        rows = (line.split() for line in tables.splitlines())
        if any(len(row) > 9 and row[3] == _LISTENS and f"socket:[{row[9]}]" in sockets for row in rows):
            return True
    return False


def _signal(started: _Started, number: signal.Signals) -> None:
    try:
        os.killpg(started.process.pid, number)
    except ProcessLookupError:
        pass  # all have ended
