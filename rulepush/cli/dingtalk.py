"""`rulepush dingtalk`: relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots."""

from __future__ import annotations

import argparse
import logging
from typing import Final

from rulepush import __version__
from rulepush.cli.options import (
    Subparsers,
    add_command,
    add_config_file,
    add_log_options,
    add_storage_path,
    add_web_options,
)
from rulepush.cli.process import run_until_signal
from rulepush.errors import RulepushError
from rulepush.logs import setup_logging
from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.relay.load import load_settings
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
            0: "Stopped on request, or the configuration is valid (--check).",
            1: "The process could not start, or the configuration is not valid (--check).",
        },
        ["rulepush dingtalk --config.file config.yml", "rulepush dingtalk --config.file config.yml --check"],
    )
    add_config_file(p, "Configuration file with the robots, in prometheus-webhook-dingtalk's format.", "config.yml")
    add_storage_path(p, "notifications that wait for a robot's rate limit")
    add_web_options(p, DEFAULT_ADDRESS)
    for flag in ("--web.enable-ui", "--web.ui-enabled"):  # the original's playground, by its two names
        p.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--version", action="version", version=f"rulepush {__version__}", help="Show the version and exit.")
    p.add_argument("--check", action="store_true", help="Check the configuration files and exit.")
    add_log_options(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean stop, 1 when it could not start."""
    setup_logging(args.log_level, args.log_format)

    def start() -> RelayApp:
        log.info("starting the relay: version=%s", __version__)
        return RelayApp(
            RelayOptions(
                args.config_file, args.listen_address, args.enable_lifecycle, args.storage_path, args.web_config_file
            )
        )

    return _check(args) if args.check else run_until_signal(start, log)


def _check(args: argparse.Namespace) -> int:
    try:
        settings = load_settings(args.config_file)
        WebConfigReloader(args.web_config_file)
    except RulepushError as e:
        for line in str(e).splitlines():
            log.error("%s", line)
        return 1
    print(f"{args.config_file}: {len(settings.targets)} targets, all good")
    return 0
