"""The command line: finds the command and runs it."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from rulepush import __version__
from rulepush.errors import RulepushError

# The arrays here are small: threads of the linear algebra library would only cost memory and CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# name -> (module, help). A command's module is imported only when it runs, to save memory.
COMMANDS: Final = {
    "run": ("rulepush.cli.run", "scrape, evaluate rules, push alerts"),
    "demo": ("rulepush.cli.demo", "watch the life of an alert on embedded parts"),
    "push": ("rulepush.cli.push", "push the metrics of a short job"),
    "dingtalk": ("rulepush.cli.dingtalk", "relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots"),
    "init": ("rulepush.cli.init", "write a working directory for an app"),
}
GROUPS: Final = {
    "check": (
        "find problems before they matter",
        {
            "config": ("rulepush.cli.check_config", "check a configuration file and what it refers to"),
            "rules": ("rulepush.cli.check_rules", "check rule files"),
            "metrics": ("rulepush.cli.check_metrics", "check a metrics body"),
            "live": ("rulepush.cli.check_live", "tell what each rule would see on the real targets"),
        },
    ),
    "test": (
        "run tests",
        {
            "rules": ("rulepush.cli.test_rules", "run unit tests of rules, in promtool's format"),
            "promql": ("rulepush.cli.test_promql", "run PromQL test scripts"),
        },
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        _parsers(words)[0].print_help(sys.stderr)
        return 2
    args = parse_arguments(words)
    try:
        code: int = args.func(args)
    except RulepushError as e:
        print(f"rulepush: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader went away (`| head`): not our error. Keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command; `func` runs it. Exits with code 2 when they are invalid."""
    parser, chosen = _parsers(words)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        chosen.refuse(unknown)
    return args


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviated flags, so that a flag added later cannot change the meaning of a command line; its errors
    suggest what may have been meant."""

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        choice = re.match(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice is not None:
            message += _did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        super().error(message)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Report unknown arguments."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        told = [word + _did_you_mean(word.partition("=")[0], flags) for word in unknown]
        self.error(f"unrecognized arguments: {' '.join(told)}")


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _parsers(words: Sequence[str]) -> tuple[_Parser, _Parser]:
    """The parser of the whole command line, and that of its command."""
    parser = chosen = _Parser(
        prog="rulepush",
        description="Scrapes pull-only apps, evaluates Prometheus alerting rules in memory, "
        "pushes firing and resolved alerts to Alertmanager.",
    )
    parser.add_argument("--version", action="version", version=f"rulepush, version {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        if words[:1] == [name]:
            chosen = _loaded(commands, name, module)
        else:
            commands.add_parser(name, help=text)
    for group, (text, members) in GROUPS.items():
        sub = commands.add_parser(group, help=text, description=text).add_subparsers(metavar="WHAT", required=True)
        for name, (module, member_text) in members.items():
            if words[:2] == [group, name]:
                chosen = _loaded(sub, name, module)
            else:
                sub.add_parser(name, help=member_text)
    return parser, chosen


def _loaded(subparsers: argparse._SubParsersAction[Any], name: str, module: str) -> _Parser:
    """Import a command and let it add its parser."""
    importlib.import_module(module).add_parser(subparsers)
    made = subparsers.choices[name]
    assert isinstance(made, _Parser)
    return made


if __name__ == "__main__":
    sys.exit(main())
