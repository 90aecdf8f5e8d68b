"""The command line: finds the command and runs it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from rulepush import __version__
from rulepush.errors import RulepushError

# The arrays here are small: threads of the linear algebra library would only cost memory and CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# name -> (module, help). A command's module is imported only when it is the one that runs: a sidecar pays for memory.
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
    args = _parser(words).parse_args(words)
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


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rulepush",
        description="Scrapes pull-only apps, evaluates Prometheus alerting rules in memory, "
        "pushes firing and resolved alerts to Alertmanager.",
    )
    parser.add_argument("--version", action="version", version=f"rulepush, version {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        _add(commands, name, module, text, chosen=words[:1] == [name])
    for group, (text, members) in GROUPS.items():
        sub = commands.add_parser(group, help=text, description=text).add_subparsers(metavar="WHAT", required=True)
        for name, (module, member_text) in members.items():
            _add(sub, name, module, member_text, chosen=words[:2] == [group, name])
    return parser


def _add(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, module: str, text: str, chosen: bool
) -> None:
    if chosen:
        importlib.import_module(module).add_parser(subparsers)
    else:
        subparsers.add_parser(name, help=text)


if __name__ == "__main__":
    sys.exit(main())
