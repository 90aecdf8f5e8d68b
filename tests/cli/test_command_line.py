"""What the command line takes and refuses, before any command does its work."""

import argparse
import json
import logging
from collections.abc import Iterator

import pytest

from rulepush.__main__ import main
from rulepush.cli.run import add_parser


@pytest.fixture
def own_logging() -> Iterator[None]:
    """`run` sets the logging of the process up; put it back."""
    root, ours = logging.getLogger(), logging.getLogger("rulepush")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The last line of the complaint; the exit code must be 2."""
    with pytest.raises(SystemExit) as e:
        main(words)
    assert e.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "scrape, evaluate rules, push alerts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("chek",), "(did you mean check?)"),
        (("check", "confg"), "(did you mean config?)"),
        (("run", "--web.enable-lifecycl"), "--web.enable-lifecycl (did you mean --web.enable-lifecycle?)"),
        (("run", "--storage.tsdb.path=x"), "(did you mean --storage.path?)"),
        (("check", "rules", "--lint-fata"), "(did you mean --lint-fatal?)"),
        (("run", "--query.max-samples", "0"), "0 is not above 0"),
        (("run", "--query.timeout", "5"), 'not a valid duration string: "5"'),
        (("check", "metrics", "--timeout", "nan"), "nan is not a number of seconds above 0"),
        (("check", "metrics", "body.prom"), "rulepush check metrics: error: unrecognized arguments: body.prom"),
    ],
)
def test_what_was_meant_is_suggested(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str) -> None:
    assert text in refused(capsys, *words)


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--web.external-url", "ftp://x"), "is not a URL"),
        (("--web.external-url", "http://x/y?z=1"), "is not a URL"),
        (("--enable-feature", "foo"), "unknown foo"),
        (("--config.file", "/nowhere/prometheus.yml"), "/nowhere/prometheus.yml: cannot be read"),
        (("--enable-feature", "promql-duration-expr,foo,promql-extended-range-selectors"), "unknown foo;"),
    ],
)
def test_a_run_that_cannot_start_says_why_and_ends_with_1(
    capfd: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    assert main(["run", "--log.format", "json", *words]) == 1
    told = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (told["level"], text in told["msg"]) == ("ERROR", True)


def test_flags_are_shown_in_the_notation_of_prometheus() -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["run", "--query.timeout", "90s", "--web.enable-lifecycle", "--enable-feature", "a,b"])
    shown = args.shown_flags(args)
    assert shown["query.timeout"] == "1m30s"
    assert shown["web.enable-lifecycle"] == "true"
    assert shown["web.enable-push-receiver"] == "false"
    assert shown["enable-feature"] == "a,b"
    assert shown["storage.path"] == ""
    assert shown["rules.alert.resend-delay"] == "1m"
    assert "help" not in shown


@pytest.mark.parametrize("file", ["/nowhere/x.test", "/"])
def test_a_script_that_cannot_be_read_fails(capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert main(["test", "promql", file]) == 1
    told = capsys.readouterr()
    assert f"{file}: cannot be read: " in told.err
    assert "Errno" not in told.err
    assert told.out == "0 passed, 1 failed, 0 skipped\n"
