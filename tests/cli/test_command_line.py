"""What the command line takes and refuses, before any command does its work."""

import argparse
import json
import logging
from collections.abc import Iterator

import pytest

from rulepush.__main__ import COMMANDS, GROUPS, main, parser_for
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
    assert "Scrape targets, evaluate alerting rules, send alerts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("chek",), "(did you mean check?)"),
        (("check", "confg"), "(did you mean config?)"),
        (("run", "--web.enable-lifecycl"), "--web.enable-lifecycl (did you mean --web.enable-lifecycle?)"),
        (("run", "--storage.pth=x"), "(did you mean --storage.path?)"),
        (("check", "rules", "--lint-fata"), "(did you mean --lint-fatal?)"),
        (("run", "--web.enable-lifecycle=true"), "argument --web.enable-lifecycle: takes no value"),
        (("run", "--query.max-samples", "0"), "0 is not above 0"),
        (("run", "--storage.path="), "--storage.path: expected a directory, got an empty value (a variable that is"),
        (("run", "--storage.tsdb.path="), "--storage.tsdb.path: expected a directory, got an empty value"),
        (("dingtalk", "--storage.path", " "), "--storage.path: expected a directory, got an empty value"),
        (("backtest", "--storage.path="), "--storage.path: expected a directory, got an empty value"),
        (("run", "--query.timeout", "5"), 'not a valid duration string: "5"'),
        (("check", "metrics", "--timeout", "nan"), "nan is not a number of seconds above 0"),
        (("push", "--jbo", "x", "http://x"), "--jbo (did you mean --job?)"),
        (("push", "--timeout", "-1", "--job", "j", "http://x"), "-1 is not a number of seconds above 0"),
        (("init", "nacos", "--servr=http://x"), "--servr=http://x (did you mean --server?)"),
        (("check", "live", "--config.fil", "x"), "--config.fil (did you mean --config.file?)"),
        (("dingtalk", "--web.listn-address", ":1"), "(did you mean --web.listen-address?)"),
        (("run", "--log.level", "inof"), "(did you mean info?)"),
        (("run", "--query.max-samples", "many"), "'many' is not a whole number"),
        (("--versoin",), "(did you mean --version?)"),
        (("check", "metrics", "body.prom"), "rulepush check metrics: error: unrecognized arguments: body.prom"),
    ],
)
def test_a_misspelt_flag_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    assert text in refused(capsys, *words)


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--web.external-url", "ftp://x"), "is not a URL"),
        (("--web.external-url", "http://[x"), "is not a URL"),
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
    shown = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (shown["level"], text in shown["msg"]) == ("ERROR", True)


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


def test_the_peers_are_shown_without_their_passwords() -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    peers = ("http://u:hunter2@a:9095", "dns+http://u:hunter2@b:9095/x")
    args = parser.parse_args(["run", *(word for url in peers for word in ("--web.peers", url))])
    assert args.shown_flags(args)["web.peers"] == "http://a:9095,dns+http://b:9095/x"


@pytest.mark.parametrize("file", ["/nowhere/x.test", "/"])
def test_a_script_that_cannot_be_read_fails(capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert main(["test", "promql", file]) == 1
    shown = capsys.readouterr()
    assert f"{file}: cannot be read: " in shown.err
    assert "Errno" not in shown.err
    assert shown.out == "0 passed, 1 failed\n"


COMMANDS_AND_GROUPS = [
    (),
    ("run",),
    ("demo",),
    ("explain",),
    ("backtest",),
    ("push",),
    ("health",),
    ("dingtalk",),
    ("init",),
    ("init", "nacos"),
    ("check",),
    ("check", "config"),
    ("check", "rules"),
    ("check", "metrics"),
    ("check", "live"),
    ("test",),
    ("test", "rules"),
    ("test", "promql"),
    ("test", "delivery"),
    ("backtest",),
    ("completion",),
]


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as e:
        main([*words, "--help"])
    assert e.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", COMMANDS_AND_GROUPS)
def test_every_command_and_option_has_a_description(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    lines = help_of(capsys, *words).splitlines()
    assert lines[0].startswith(" ".join(("usage: rulepush", *words)))
    assert lines[lines.index("") + 1][0].isupper()  # the description, after the usage
    actions = parser_for(words).innermost(words)._actions
    without = [a.dest for a in actions if not a.help and not isinstance(a, argparse._SubParsersAction)]
    assert without == []


def test_all_commands_are_listed_and_have_a_help() -> None:
    top = {words[0] for words in COMMANDS_AND_GROUPS if words}
    assert top == COMMANDS.keys() | GROUPS.keys()
    for group, (_, members) in GROUPS.items():
        assert {
            words[1] for words in COMMANDS_AND_GROUPS if words[:1] == (group,) and len(words) == 2
        } == members.keys()


def test_help_shows_defaults_exit_codes_and_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = help_of(capsys, "check", "config")
    assert "(default: duplicate-rules)" in text
    assert "exit codes:\n  0  All files are valid.\n  1  At least one file is not valid.\n  2  " in text
    assert "\n  3  All are valid, but with --lint-fatal a lint check found something.\n" in text
    assert "examples:\n  $ rulepush check config prometheus.yml\n" in text


@pytest.mark.parametrize("group", ["check", "test", "init"])
def test_a_group_without_a_command_lists_its_commands(capsys: pytest.CaptureFixture[str], group: str) -> None:
    with pytest.raises(SystemExit) as e:
        main([group])
    assert e.value.code == 2
    assert f"usage: rulepush {group} " in (err := capsys.readouterr().err)
    assert ("nacos" if group == "init" else "rules") in err


def test_an_option_that_commands_share_means_the_same_in_each() -> None:
    shared: dict[str, set[tuple[object, ...]]] = {}
    for words in COMMANDS_AND_GROUPS:
        parser = parser_for(words).innermost(words)
        for action in parser._actions:
            for flag in action.option_strings:
                choices = tuple(action.choices) if action.choices else None
                shared.setdefault(flag, set()).add((action.dest, action.type, action.metavar, action.nargs, choices))
    # of rules or of names; of a body or of a report; what is scraped, or a robot by its name
    own_meaning = {"--lint", "--format", "--target"}
    assert [flag for flag, meanings in shared.items() if len(meanings) > 1 and flag not in own_meaning] == []
    assert len(shared["--config.file"]) == 1
