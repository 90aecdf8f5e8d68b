"""`rulepush dingtalk`: relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import Final

from rulepush import __version__
from rulepush.errors import RulepushError
from rulepush.logs import LEVELS, setup_logging
from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.relay.load import load_settings
from rulepush.web.security import WebConfigReloader

log = logging.getLogger("rulepush.dingtalk")

DEFAULT_ADDRESS: Final = "127.0.0.1:8060"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """prometheus-webhook-dingtalk's flag names."""
    p = subparsers.add_parser(
        "dingtalk",
        help="relay Alertmanager's webhook to DingTalk, Feishu and WeCom robots",
        description=__doc__,
        epilog="Alertmanager's webhook_configs url is http://HOST:PORT/dingtalk/<target>/send",
    )
    p.add_argument("--config.file", dest="config_file", default="config.yml", metavar="FILE")
    p.add_argument(
        "--storage.path",
        dest="storage_path",
        type=Path,
        metavar="DIR",
        help="where messages that wait for a robot's limit survive a crash; without it they do not",
    )
    p.add_argument("--web.listen-address", dest="listen_address", default=DEFAULT_ADDRESS, metavar="HOST:PORT")
    p.add_argument("--web.config.file", dest="web_config_file", default="", metavar="FILE", help="TLS and passwords")
    p.add_argument(
        "--web.enable-lifecycle", dest="enable_lifecycle", action="store_true", help="POST /-/reload, /-/quit"
    )
    for flag in ("--web.enable-ui", "--web.ui-enabled"):  # the original's playground, by its two names
        p.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--version", action="version", version=f"rulepush {__version__}")
    p.add_argument("--check", action="store_true", help="check the configuration file and end")
    p.add_argument("--log.level", dest="log_level", choices=sorted(LEVELS), default="info")
    p.add_argument("--log.format", dest="log_format", choices=["logfmt", "json"], default="logfmt")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean stop, 1 when it could not start."""
    setup_logging(args.log_level, args.log_format)
    try:
        if args.check:
            settings = load_settings(args.config_file)
            WebConfigReloader(args.web_config_file)
            print(f"{args.config_file}: {len(settings.targets)} targets, all good")
            return 0
        options = RelayOptions(
            args.config_file, args.listen_address, args.enable_lifecycle, args.storage_path, args.web_config_file
        )
        asyncio.run(_serve(options))
    except RulepushError as e:
        for line in str(e).splitlines():
            log.error("%s", line)
        return 1
    return 0


async def _serve(options: RelayOptions) -> None:
    log.info("starting the relay: version=%s", __version__)
    app = RelayApp(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, app.stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, app.reload_and_log)
    await app.run()
