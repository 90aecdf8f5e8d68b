"""Completion in real shells: bash everywhere, zsh and fish where they are installed."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rulepush.__main__ import main, parser_of_all
from rulepush.cli.completion import SHELLS, completion_script


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the script of each shell, as `_rulepush` for zsh's fpath, and files to complete."""
    directory = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        (directory / f"{'_rulepush' if shell == 'zsh' else shell}").write_text(
            completion_script(parser_of_all(), shell)
        )
    (directory / "rules.yml").touch()
    (directory / "data").mkdir()
    return directory


def _in_bash(scripts: Path, *words: str) -> list[str]:
    """What bash offers for the last word, where readline has broken the line into these; without any program."""
    call = 'source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rulepush; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        [shutil.which("bash") or "bash", "--norc", "-c", call, "bash", *words],
        cwd=scripts,
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ch",), ["check"]),
        (("check", ""), ["config", "rules", "metrics", "live"]),
        (("init", "n"), ["nacos"]),
        (("check", "live", "--fo"), ["--for", "--format"]),
        (("check", "live", "--format", ""), ["text", "json"]),
        (("check", "live", "--format", "="), ["text", "json"]),
        (("check", "live", "--format", "=", "j"), ["json"]),
        (("run", "--log.level", "=", "debug", "--storage.p"), ["--storage.path"]),
        (("run", "--config.file", "ru"), ["rules.yml"]),
        (("run", "--config.file", "=", "ru"), ["rules.yml"]),
        (("run", "--storage.path", "da"), ["data"]),
        (("check", "rules", "--lint-fatal", "ru"), ["rules.yml"]),
        (("backtest", "--rules", "a.yml", "ru"), ["rules.yml"]),
        (("completion", "z"), ["zsh"]),
        (("run", "--no-such"), []),
    ],
)
def test_bash_completes_commands_flags_choices_and_files(
    scripts: Path, words: tuple[str, ...], offered: list[str]
) -> None:
    assert _in_bash(scripts, "rulepush", *words) == offered


# No skips without them: nothing that `make servers` unpacks has these shells.
if shutil.which("fish"):

    def test_fish_completes_commands_flags_and_choices(scripts: Path) -> None:
        def offered(line: str) -> list[str]:
            done = subprocess.run(
                ["fish", "-N", "-c", f"source {scripts / 'fish'}; complete -C '{line}'"],
                capture_output=True,
                text=True,
                check=True,
            )
            return [one.split("\t")[0] for one in done.stdout.splitlines()]

        assert offered("rulepush ch") == ["check"]
        assert offered("rulepush check live --fo") == ["--for", "--format"]
        assert offered("rulepush check live --format=") == ["--format=text", "--format=json"]
        assert offered("rulepush run --log.level d") == ["debug"]


if shutil.which("zsh"):

    @pytest.mark.parametrize(
        ("typed", "becomes"),
        [
            ("rulepush ch", "rulepush check "),
            ("rulepush check live --format=j", "rulepush check live --format=json "),
            ("rulepush check live --format j", "rulepush check live --format json "),
            ("rulepush run --web.listen-ad", "rulepush run --web.listen-address="),
            ("rulepush run --config.file=ru", "rulepush run --config.file=rules.yml "),
            ("rulepush run --config.file ru", "rulepush run --config.file rules.yml "),
        ],
    )
    def test_zsh_completes_commands_flags_choices_and_files(scripts: Path, typed: str, becomes: str) -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(scripts)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "HOME": str(scripts)})

        def read_until(text: str) -> str:
            seen, deadline = "", time.monotonic() + 20
            while text not in seen:
                assert time.monotonic() < deadline, seen
                if select.select([terminal], [], [], 0.1)[0]:
                    seen += os.read(terminal, 65536).decode(errors="replace")
            return seen

        try:
            setup = f"fpath=({scripts} $fpath); autoload -U compinit; compinit -u -D; PS1=rea'dy> '"
            os.write(terminal, f"{setup}\n".encode())
            read_until("ready> ")
            os.write(terminal, f"{typed}\t".encode())
            read_until(becomes)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    flags: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            flags = flags.union(*map(_flags, action.choices.values()))
        if action.help != argparse.SUPPRESS:
            flags.update(flag for flag in action.option_strings if flag.startswith("--"))
    return flags


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_has_every_flag(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    flags = _flags(parser_of_all())
    assert len(flags) > 60
    assert {flag for flag in flags if (f"-l {flag[2:]}" if shell == "fish" else flag) not in script} == set()


def test_a_shell_without_a_script_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
    assert "choose from" in capsys.readouterr().err


def test_no_other_command_pays_for_it() -> None:
    code = (
        "import sys, rulepush.__main__ as m; m.parse_arguments(['check', 'rules', 'x']); print('shtab' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
