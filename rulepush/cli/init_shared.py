"""What every `rulepush init APP` shares: the options of where alerts go and what is written, and the steps of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rulepush.cli.options import OptionContainer
from rulepush.cli.progress import elapsing, shown_progress
from rulepush.cli.terminal import Ink, inked, terminal_text
from rulepush.init.addresses import Address, alertmanager_address, split_addresses
from rulepush.init.commands import start_commands, test_command
from rulepush.init.compose_yaml import secret_files
from rulepush.init.directory import working_directory
from rulepush.init.external import external_url, machine_address
from rulepush.init.probe import PROBE_SECONDS, ask_alertmanager
from rulepush.init.robots import RobotFlags, refuse_robots
from rulepush.init.setup import (
    ALERTMANAGER,
    CONTAINER_USER,
    DEBIAN_PROGRAM,
    OWN_ALERTMANAGER,
    PORT,
    README,
    RELAY_PORT,
    UPSTREAM_PROGRAM,
    Robot,
    Setup,
)
from rulepush.init.write import write_files
from rulepush.model.host_port import bracketed
from rulepush.model.typed_url import is_loopback_host
from rulepush.nacos.diagnose import TargetProblem
from rulepush.relay.settings import Language, RobotType

INIT_EXIT_CODES = {
    0: "The files are written, with warnings when a server does not answer yet.",
    1: "Nothing is written.",
}


def add_init_options(p: OptionContainer) -> None:
    """`--alertmanager`, the robots, `--external-url`, `--lang`, `--dir` and `--force`."""
    p.add_argument(
        "--alertmanager",
        action="append",
        default=[],
        metavar="URL[,URL...]",
        help="URL of Alertmanager, such as http://alertmanager:9093; can be repeated. Without it, the compose file "
        "brings one.",
    )
    for kind, product, example in (
        (RobotType.DINGTALK, "DingTalk", "https://oapi.dingtalk.com/robot/send?access_token=..."),
        (RobotType.FEISHU, "Feishu or Lark", "https://open.feishu.cn/open-apis/bot/v2/hook/..."),
        (RobotType.WECOM, "WeCom", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=..."),
    ):
        p.add_argument(
            f"--{kind.value}",
            dest="robots",
            action=_RobotAction,
            metavar="URL",
            help=f"Webhook address of a {product} robot that tells its group of alerts; can be repeated. {example}",
        )
    p.add_argument(
        "--secret",
        dest="robots",
        action=_RobotAction,
        metavar="SEC",
        help="Secret of the robot before it, where its security setting is a signature.",
    )
    p.add_argument(
        "--keyword",
        dest="robots",
        action=_RobotAction,
        metavar="WORD",
        help="Keyword of the robot before it, where its security setting is a custom keyword.",
    )
    p.add_argument(
        "--external-url",
        metavar="URL",
        help="Address under which phones reach rulepush, for the links in messages. Without it, it is asked for on a "
        "terminal, else guessed from the addresses of this machine.",
    )
    p.add_argument(
        "--lang",
        choices=[language.value for language in Language],
        default=_locale_language().value,
        help="Language of the messages, and of the comments in the files.",
    )
    p.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="Directory to write to.")
    p.add_argument("--force", action="store_true", help="Overwrite existing files whose content differs.")


class _RobotAction(argparse.Action):
    """Keeps the order of the robots, their secrets and keywords, by which they belong together."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        given = [*(getattr(namespace, self.dest) or ()), (str(option_string), str(values))]
        setattr(namespace, self.dest, given)


def _locale_language() -> Language:
    """Chinese where the environment asks programs for it, as the locale does."""
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return Language.ZH if name.lower().startswith("zh") else Language.EN


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """What `add_init_options` read. `external_url` is "" where it was not given."""

    alertmanagers: tuple[Address, ...]
    robots: tuple[Robot, ...]
    external_url: str
    language: Language


def shared_options(args: argparse.Namespace) -> SharedOptions:
    """Raises AddressError and RobotError."""
    flags = RobotFlags()
    for flag, value in args.robots or ():
        if flag in ("--secret", "--keyword"):
            flags.add_detail(flag, value)
        else:
            flags.add_robot(RobotType(flag.removeprefix("--")), value)
    alertmanagers = split_addresses(args.alertmanager)
    refuse_robots("--alertmanager", alertmanagers)
    if args.external_url:
        refuse_robots("--external-url", [args.external_url])
    return SharedOptions(
        tuple(dict.fromkeys(map(alertmanager_address, alertmanagers))),
        flags.robots(),
        external_url(args.external_url) if args.external_url else "",
        Language(args.lang),
    )


@dataclass(frozen=True, slots=True)
class Reachable:
    """How others reach this machine: see Setup's `external_url` and `machine`. `guessed`: nobody said so."""

    external_url: str
    machine: str
    guessed: bool = False


def question_of_terminal() -> Callable[[str], str] | None:
    """How to ask the person at the terminal; None where there is none."""
    return input if sys.stdin.isatty() and sys.stdout.isatty() else None


def reachable(options: SharedOptions, towards: Sequence[str], ask: Callable[[str], str] | None) -> Reachable:
    """As given, else asked for with `ask`, else guessed. `towards`: hosts of the servers. Raises AddressError for an
    answer that is no URL."""
    machine = machine_address([*towards, *(host_of(a) for a in options.alertmanagers)])
    guess = f"http://{machine}:{PORT}"
    given = options.external_url
    if not given and ask is not None:
        try:
            answer = ask(f"Address under which phones reach rulepush, for the links in messages [{guess}]: ").strip()
        except EOFError:
            answer = ""
        given = external_url(answer or guess)
    if not given:
        return Reachable(guess, machine, guessed=True)
    parts = urlsplit(given)
    host = parts.hostname or ""
    if parts.port == PORT and not is_loopback_host(host):  # not a proxy's address, which would be another machine's
        machine = bracketed(host)
    return Reachable(given, machine)


def host_of(address: Address) -> str:
    """The host without its port and brackets."""
    return urlsplit(f"//{address.host}").hostname or ""


@asynccontextmanager
async def asking_servers() -> AsyncIterator[None]:
    """A line of progress on a terminal: a server behind a firewall that drops packets takes the whole timeout."""
    with shown_progress(sys.stderr) as line:
        async with elapsing(line, PROBE_SECONDS, "asking the servers"):
            yield


async def probe_alertmanagers(addresses: Sequence[Address]) -> list[tuple[Address, TargetProblem | None]]:
    """Each one's problem, None when it is ready. Without any, the place of the one that the compose file brings."""
    asked = addresses or (OWN_ALERTMANAGER,)
    return list(zip(asked, await asyncio.gather(*map(ask_alertmanager, asked)), strict=True))


def print_alertmanagers(probed: Sequence[tuple[Address, TargetProblem | None]], options: SharedOptions) -> None:
    """What became of the probes."""
    for address, problem in probed:
        if not options.alertmanagers:
            if problem is None:
                print_warning(
                    f"an Alertmanager runs at {address.base} already, and the compose file brings another one for that "
                    "port",
                    TargetProblem("one of them is enough", f"To use it: --alertmanager {address.base}"),
                )
        elif problem is None:
            print(f"Alertmanager at {address.base}: ready")
        else:
            print_warning(f"Alertmanager at {address.base} cannot take alerts yet", problem)


def print_warning(what: str, problem: TargetProblem) -> None:
    """On stderr."""
    print(inked(terminal_text(f"warning: {what}: {problem.message}"), Ink.WARNING, sys.stderr), file=sys.stderr)
    if problem.suggestion:
        print(f"  {terminal_text(problem.suggestion)}", file=sys.stderr)


def write_setup(args: argparse.Namespace, setup: Setup, *, guessed: bool) -> None:
    """Write the files, and print what they are and what to do next. Raises WriteError."""
    setup = replace(setup, alertmanager_program=_alertmanager_program())
    files = working_directory(setup)
    write_files(args.dir, files, force=args.force)
    print(f"\nwritten to {args.dir.resolve()}: {', '.join(f.path for f in files)}")
    secret = secret_files(setup)
    if secret:
        print(
            f"readable by you only, for what they contain: {', '.join(secret)}; before containers can use them: "
            f"chown {CONTAINER_USER} {' '.join(secret)}"
        )
    if args.dir.stat().st_mode & 0o005 != 0o005:
        print(
            f"others cannot look into {args.dir.resolve()}; before containers can use it: "
            f"chmod o+rx {shlex.quote(str(args.dir))}"
        )
    _print_addresses(setup, guessed)
    _print_next(args, setup)


def _alertmanager_program() -> str:
    """What it is called on this machine, if it is there: Debian has a name of its own."""
    found = next(filter(shutil.which, (UPSTREAM_PROGRAM, DEBIAN_PROGRAM)), None)
    return found or UPSTREAM_PROGRAM


def _print_addresses(setup: Setup, guessed: bool) -> None:
    loopback = is_loopback_host(urlsplit(setup.external_url).hostname or "")
    if guessed:
        print(
            f"links in messages lead to {setup.external_url}: a guess from the addresses of this machine. Where phones "
            f"need another one: --external-url URL --force, or --web.external-url in {README} and the compose file"
        )
    if loopback:
        text = f"warning: {setup.external_url} is this machine alone: no phone can open it; give --external-url"
        print(inked(text, Ink.WARNING, sys.stderr), file=sys.stderr)
    if setup.relay_is_open:
        print(
            f"Alertmanager on another machine reaches the relay at {setup.relay_address}, and so does everybody in "
            f"that network: let a firewall keep port {RELAY_PORT} for Alertmanager, or give it a --web.config.file"
        )
    if setup.robots and not setup.brings_alertmanager:
        print(f"take over {ALERTMANAGER} into the configuration of your Alertmanager, and reload it")
    if setup.brings_alertmanager and not setup.robots:
        print(
            f"nobody is told of alerts yet: give --dingtalk, --feishu or --wecom, or put a receiver into {ALERTMANAGER}"
        )


def _print_next(args: argparse.Namespace, setup: Setup) -> None:
    here = args.dir.resolve() == Path.cwd()
    commands = [*([] if here else [f"cd {shlex.quote(str(args.dir))}"]), *start_commands(setup)]
    if len(start_commands(setup)) > 1:
        print(f"\nnext, each command in a terminal of its own ({README} has the way with containers, too):")
    else:
        print("\nnext:")
    for command in commands:
        print(f"  {command}")
    test = test_command(setup)
    if test:
        print(f"  {test}     # a test alert on the whole way")
    print("  rulepush check live --config.file prometheus.yml     # reports rules that can never fire")
    if not setup.writes_alertmanager:
        print(
            "\nThe alert Watchdog of rules/self.yml fires all the time, to show that alerts get through: route it to a "
            "dead man's\nswitch, or delete it."
        )
