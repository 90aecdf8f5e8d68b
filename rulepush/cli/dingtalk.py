"""`rulepush dingtalk`: relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Final

from rulepush import __version__
from rulepush.cli.options import (
    Subparsers,
    add_auto_reload,
    add_command,
    add_config_file,
    add_log_options,
    add_storage_path,
    add_web_options,
    auto_reload_ms,
)
from rulepush.cli.process import run_until_signal
from rulepush.cli.terminal import terminal_text
from rulepush.clock import SystemClock
from rulepush.errors import ConfigError, RulepushError
from rulepush.logs import setup_logging
from rulepush.relay.app import HttpPost, RelayApp, RelayOptions, robot_client
from rulepush.relay.load import load_settings
from rulepush.relay.preview import preview, read_payload
from rulepush.relay.settings import NO_MENTION, RobotTarget, Settings
from rulepush.relay.trial import send_trial
from rulepush.web.security import WebConfigReloader

log = logging.getLogger("rulepush.dingtalk")

DEFAULT_ADDRESS: Final = "127.0.0.1:8060"


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """prometheus-webhook-dingtalk's flag names."""
    p = add_command(
        subparsers,
        "dingtalk",
        """Relay Alertmanager's webhook notifications to DingTalk, Feishu and WeCom robots.

The url of Alertmanager's webhook_configs is http://HOST:PORT/dingtalk/TARGET/send.""",
        {
            0: "Stopped on request; with --check the configuration is valid, with --test the robot took the message.",
            1: "The process could not start, or what --check, --test or --render was asked for failed.",
        },
        [
            "rulepush dingtalk --config.file config.yml",
            "rulepush dingtalk --config.file config.yml --check",
            "rulepush dingtalk --config.file config.yml --test ops",
            "rulepush dingtalk --config.file config.yml --render payload.json --target ops",
        ],
    )
    add_config_file(p, "Configuration file with the robots, in prometheus-webhook-dingtalk's format.", "config.yml")
    add_auto_reload(p, "the configuration and its templates")
    add_storage_path(p, "notifications that wait for a robot's rate limit")
    add_web_options(p, DEFAULT_ADDRESS)
    for flag in ("--web.enable-ui", "--web.ui-enabled"):  # the original's playground, by its two names
        p.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--version", action="version", version=f"rulepush {__version__}", help="Show the version and exit.")
    instead = p.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="Check the configuration files and exit.")
    instead.add_argument(
        "--test",
        metavar="TARGET",
        help="Send one message that says that it is a test to the robot of this target, print its answer, and exit.",
    )
    instead.add_argument(
        "--render",
        metavar="FILE",
        help="Show the messages for this webhook payload of Alertmanager (- for standard input), and send nothing.",
    )
    p.add_argument("--mention", action="store_true", help="With --test: mention whom the target mentions.")
    p.add_argument("--target", metavar="TARGET", help="With --render: the target; not needed when there is one only.")
    add_log_options(p)
    p.set_defaults(func=partial(_validated, p))


def _validated(p: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.mention and args.test is None:
        p.error("--mention needs --test")
    if args.target is not None and args.render is None:
        p.error("--target needs --render")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean stop, 1 when it could not start."""
    setup_logging(args.log_level, args.log_format)

    def start() -> RelayApp:
        log.info("starting the relay: version=%s", __version__)
        return RelayApp(
            RelayOptions(
                args.config_file,
                args.listen_address,
                args.enable_lifecycle,
                args.storage_path,
                args.web_config_file,
                auto_reload_ms(args),
                args.storage_optional,
            )
        )

    instead = _check if args.check else _test if args.test is not None else _render if args.render is not None else None
    if instead is not None:
        try:
            return instead(args, load_settings(args.config_file))
        except RulepushError as e:
            print(terminal_text(str(e)), file=sys.stderr)
            return 1
    return run_until_signal(start, log)


def _check(args: argparse.Namespace, settings: Settings) -> int:
    WebConfigReloader(args.web_config_file)
    if settings.faults:
        raise ConfigError(settings.faults)
    print(f"{args.config_file}: {len(settings.targets)} targets, all good")
    return 0


def _target(args: argparse.Namespace, settings: Settings, name: str, flag: str) -> RobotTarget:
    """The target of this name. Raises RulepushError, with the names that there are."""
    if name in settings.targets:
        return settings.targets[name]
    names = list(settings.targets)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise RulepushError(f"{flag}: no target {name!r}{hint}: {args.config_file} has {', '.join(names) or 'none'}")


def _test(args: argparse.Namespace, settings: Settings) -> int:
    target = _target(args, settings, args.test, "--test")
    if target.faults:
        raise ConfigError(target.faults)
    mention = target.mention if args.mention else NO_MENTION
    if args.mention and not mention:
        log.warning("--mention: target %s mentions nobody", target.name)

    async def send() -> tuple[bool, str]:
        async with robot_client() as client:
            return await send_trial(target, HttpPost(client, settings.timeout_ms), SystemClock(), mention)

    took, answer = asyncio.run(send())
    print(terminal_text(f"{target.name}: {answer}"), file=sys.stdout if took else sys.stderr)
    return 0 if took else 1


def _render(args: argparse.Namespace, settings: Settings) -> int:
    if args.target is not None:
        target = _target(args, settings, args.target, "--target")
    elif len(settings.targets) == 1:
        target = next(iter(settings.targets.values()))
    else:
        raise RulepushError(f"--render: choose one by --target: {args.config_file} has {', '.join(settings.targets)}")
    name = "standard input" if args.render == "-" else args.render
    try:
        body = sys.stdin.buffer.read() if args.render == "-" else Path(args.render).read_bytes()
    except OSError as e:
        raise RulepushError(f"{name}: cannot be read: {e.strerror or e}") from None
    notification, missing = read_payload(body, name)
    shown = preview(target, notification, SystemClock().now(), args.config_file)
    print(terminal_text(shown.text), end="")
    if missing:
        print(f"{name}: note: {', '.join(missing)} missing, which Alertmanager always sends", file=sys.stderr)
    for failure in shown.failures:
        print(terminal_text(f"{failure}; the built-in template was used instead"), file=sys.stderr)
    return 1 if shown.failures else 0
