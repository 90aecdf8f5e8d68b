"""The command line: finds the command and runs it."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from rulepush import __version__

# name -> (module, help). A command's module is imported only when it runs, to save memory.
COMMANDS: Final = {
    "run": ("rulepush.cli.run", "Scrape targets, evaluate alerting rules, send alerts to Alertmanager."),
    "demo": ("rulepush.cli.demo", "Show the life of an alert, with simulated servers."),
    "explain": ("rulepush.cli.explain", "Say why an alert fires, or does not, from a running rulepush."),
    "backtest": ("rulepush.cli.backtest", "Say what rules would have done with recorded samples."),
    "push": ("rulepush.cli.push", "Push the metrics of a batch job to rulepush or a Pushgateway."),
    "health": ("rulepush.cli.health", "Ask a running rulepush, or its relay, if it is healthy or ready."),
    "dingtalk": ("rulepush.cli.dingtalk", "Relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots."),
    "completion": ("rulepush.cli.completion", "Print the script with which a shell completes commands and flags."),
    "init": ("rulepush.cli.init", "Write a working directory for an app: configuration, rules, compose file."),
}
# These run every half a minute beside the service: they must cost little, and so does what is imported here.
_WITHOUT_ASYNCIO: Final = frozenset({"health"})
GROUPS: Final = {
    "check": (
        "Check configuration files, rule files, metrics, or rules on live targets.",
        {
            "config": (
                "rulepush.cli.check_config",
                "Check if configuration files are valid, with the files they refer to.",
            ),
            "rules": ("rulepush.cli.check_rules", "Check if rule files are valid."),
            "metrics": ("rulepush.cli.check_metrics", "Check if metrics can be scraped, and lint their names."),
            "live": ("rulepush.cli.check_live", "Report rules that can never fire on the real targets."),
        },
    ),
    "test": (
        "Run unit tests for rules, PromQL test scripts, or a test of the delivery.",
        {
            "rules": ("rulepush.cli.test_rules", "Run unit tests for rules, in promtool's format."),
            "promql": ("rulepush.cli.test_promql", "Run PromQL test scripts, in the format of Prometheus' own."),
            "delivery": (
                "rulepush.cli.test_delivery",
                "Send a test alert through Alertmanager and the relay, and say where it stopped.",
            ),
        },
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        parser_for(words).print_help(sys.stderr)
        return 2
    if words[0] not in _WITHOUT_ASYNCIO:
        from rulepush.openssl_on_demand import import_asyncio_without_ssl

        import_asyncio_without_ssl()
    if words[0] != "push":  # which hands its environment on to a command, and has no arrays
        # The arrays here are small: threads of the linear algebra library would only cost memory and CPU.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    args = parse_arguments(words)
    try:
        code: int = args.func(args)
    except BrokenPipeError:
        # The reader went away (`| head`): not our error. Keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as e:
        from rulepush.errors import RulepushError  # not before: see _WITHOUT_ASYNCIO

        if not isinstance(e, RulepushError):
            raise
        from rulepush.cli.terminal import Ink, inked

        print(inked(f"rulepush: {e}", Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    return code


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command; `func` runs it. Exits with code 2 when they are invalid.

    Where the parser has a default `command`, that gets what stands behind `--`: argparse itself would take it for the
    positional arguments that are left out.
    """
    parser = parser_for(words)
    chosen = parser.innermost(words)
    takes_command = chosen.get_default("command") is not None
    command: Sequence[str] = ()
    if takes_command and "--" in words:
        split = list(words).index("--")
        words, command = words[:split], words[split + 1 :]
        if not command:
            chosen.error("no command behind --")
    chosen.refuse_unknown_flags(words)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        chosen.refuse(unknown, " (a command stands behind --)" if takes_command else "")
    if takes_command:
        args.command = tuple(command)
    return args


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviated flags, so that a flag added later cannot change the meaning of a command line; its errors
    suggest what may have been meant."""

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        if self._subparsers is not None and message.startswith("the following arguments are required"):
            self.print_help(sys.stderr)  # without a command its list helps more than the message
            self.exit(2)
        choice = re.match(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice is not None:
            message += _did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        switch = re.match(r"argument (.*): ignored explicit argument ", message)
        if switch is not None:
            message = f"argument {switch[1]}: takes no value"
        super().error(message)

    def innermost(self, words: Sequence[str]) -> _Parser:
        """The parser of the subcommand that the words begin with: of `init nacos` for `init nacos --force`."""
        for action in self._actions:
            if words and isinstance(action, argparse._SubParsersAction) and words[0] in action.choices:
                parser: _Parser = action.choices[words[0]]
                return parser.innermost(words[1:])
        return self

    def refuse_unknown_flags(self, words: Sequence[str]) -> None:
        """Before parsing: the required flag that argparse would find missing may be the one that is misspelt. Where the
        command itself is, argparse says that: its flags are not known here."""
        rest = words[len(self.prog.split()) - 1 :]
        if self._subparsers is not None and rest and not rest[0].startswith("-"):
            return
        words = words[: words.index("--")] if "--" in words else words
        flags = self._flags()
        unknown = [w for w in words if w.startswith("--") and " " not in w and w.partition("=")[0] not in flags]
        if unknown and "-h" not in words and "--help" not in words:
            self.refuse(unknown)

    def refuse(self, unknown: Sequence[str], hint: str = "") -> NoReturn:
        """Exit code 2: these arguments are not known here."""
        flags = self._flags()
        shown = [word + _did_you_mean(word.partition("=")[0], flags) for word in unknown]
        self.error(f"unrecognized arguments: {' '.join(shown)}{hint}")

    def _flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def parser_for(words: Sequence[str]) -> _Parser:
    """The parser of all commands, with the options of the one that the words begin with."""
    return _parser(list(words), all_of_them=False)


def parser_of_all() -> _Parser:
    """The parser of all commands, with the options of each."""
    return _parser([], all_of_them=True)


def _parser(words: list[str], all_of_them: bool) -> _Parser:
    parser = _Parser(
        prog="rulepush",
        description="Scrapes pull-only apps, evaluates Prometheus alerting rules in memory, "
        "and sends firing and resolved alerts to Alertmanager.",
        epilog="Run 'rulepush COMMAND --help' for the options of a command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"rulepush, version {__version__}", help="show the version and exit"
    )
    parser.set_defaults(parser_of_all=parser_of_all)  # for `completion`
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        _add_command(commands, name, module, summary, all_of_them or words[:1] == [name])
    for group, (summary, members) in GROUPS.items():
        members_parser = commands.add_parser(group, help=summary, description=summary)
        subcommands = members_parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for name, (module, member_summary) in members.items():
            _add_command(subcommands, name, module, member_summary, all_of_them or words[:2] == [group, name])
    return parser


def _add_command(subparsers: argparse._SubParsersAction[Any], name: str, module: str, summary: str, load: bool) -> None:
    """`load`: import the command's module, and let it add its parser; else it gets a line in the list of commands."""
    if load:
        importlib.import_module(module).add_parser(subparsers)
    else:
        subparsers.add_parser(name, help=summary, add_help=False)  # one whose help is wanted is loaded


if __name__ == "__main__":
    sys.exit(main())
