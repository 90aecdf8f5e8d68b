"""`rulepush run`: the service."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rulepush import __version__
from rulepush.errors import RulepushError
from rulepush.logs import LEVELS, setup_logging
from rulepush.model.durations import format_duration, parse_duration
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions

log = logging.getLogger("rulepush.main")

DEFAULT_ADDRESS: Final = "127.0.0.1:9095"
FEATURES: Final = frozenset({"promql-delayed-name-removal"})
# Prometheus' features that change nothing here: asked for out of habit, or always on.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "promql-experimental-functions",
        "promql-duration-expr",
        "promql-extended-range-selectors",
        "promql-at-modifier",
        "promql-negative-offset",
        "expand-external-labels",
    }
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Prometheus' flag names."""
    p = subparsers.add_parser(
        "run",
        help="scrape, evaluate rules, push alerts",
        description=__doc__,
        usage="rulepush run [--config.file FILE] [--storage.path DIR] [FLAG ...]",
    )
    p.add_argument(
        "--config.file",
        dest="config_file",
        default="prometheus.yml",
        metavar="FILE",
        help="the configuration, in Prometheus' format (%(default)s)",
    )
    p.add_argument(
        "--storage.path",
        dest="storage_path",
        type=Path,
        metavar="DIR",
        help="where alert states, undelivered resolutions and samples survive a restart; without it they do not",
    )
    p.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default=DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help="where to serve the API and the pages; without a host on all addresses (%(default)s)",
    )
    p.add_argument(
        "--web.external-url", dest="external_url", default="", metavar="URL", help="as others reach this one"
    )
    p.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        default="",
        metavar="PATH",
        help="what all paths begin with; the path of --web.external-url unless given",
    )
    p.add_argument("--web.config.file", dest="web_config_file", default="", metavar="FILE", help="TLS and passwords")
    p.add_argument(
        "--web.enable-lifecycle", dest="enable_lifecycle", action="store_true", help="POST /-/reload, /-/quit"
    )
    p.add_argument(
        "--web.enable-remote-write-receiver", dest="enable_remote_write", action="store_true", help="POST /api/v1/write"
    )
    p.add_argument("--web.enable-push-receiver", dest="enable_push", action="store_true", help="as a Pushgateway")
    _duration(p, "--rules.alert.resend-delay", "resend_delay", "1m", "least time between sending an alert again")
    _duration(
        p, "--rules.alert.for-outage-tolerance", "outage_tolerance", "1h", "longest downtime a `for` clock survives"
    )
    _duration(p, "--rules.alert.for-grace-period", "grace_period", "10m", "least time to firing after a restart")
    _duration(p, "--query.lookback-delta", "lookback_delta", "5m", "how far back an instant selector looks")
    _duration(p, "--query.timeout", "query_timeout", "2m", "longest time of one query")
    p.add_argument(
        "--query.max-concurrency",
        dest="query_concurrency",
        type=_count,
        default=2,
        metavar="N",
        help="most queries of the API that are evaluated at a time, beside the rules (%(default)d)",
    )
    p.add_argument(
        "--query.max-samples",
        dest="max_samples",
        type=_count,
        default=50_000_000,
        metavar="N",
        help="most samples that one query may load, of rules and of the API (%(default)d)",
    )
    p.add_argument(
        "--web.query-max-samples",
        dest="web_max_samples",
        type=_count,
        default=5_000_000,
        metavar="N",
        help="the same for queries of the API alone: at about 30 bytes each, they share the memory with the alerts "
        "(%(default)d)",
    )
    p.add_argument(
        "--enable-feature",
        dest="features",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help=", ".join(sorted(FEATURES)),
    )
    p.add_argument("--log.level", dest="log_level", choices=list(LEVELS), default="info", help="default: %(default)s")
    p.add_argument(
        "--log.format", dest="log_format", choices=["logfmt", "json"], default="logfmt", help="default: %(default)s"
    )
    p.set_defaults(func=run, shown_flags=partial(_shown_flags, p))


def _duration(p: argparse.ArgumentParser, flag: str, dest: str, default: str, text: str) -> None:
    p.add_argument(flag, dest=dest, type=_duration_ms, default=default, metavar="DURATION", help=f"{text} ({default})")


def _duration_ms(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _shown_flags(p: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, str]:
    """The flags as `/api/v1/status/flags` shows them: by name without dashes, in Prometheus' notation."""
    shown = {}
    for action in p._actions:
        value = getattr(args, action.dest, None)
        if not action.option_strings or action.dest == "help":
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, list):
            text = ",".join(value)
        elif action.type is _duration_ms:
            text = format_duration(value or 0)
        else:
            text = "" if value is None else str(value)
        shown[action.option_strings[-1].removeprefix("--")] = text
    return shown


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean stop, 1 when it could not start."""
    setup_logging(args.log_level, args.log_format)
    try:
        asyncio.run(_serve(_options(args)))
    except RulepushError as e:
        for line in str(e).splitlines():
            log.error("%s", line)
        return 1
    return 0


def _options(args: argparse.Namespace) -> ServiceOptions:
    external_url = _external_url(args.external_url, args.listen_address)
    # As Prometheus: with the slash that it begins with, also where the flags are shown.
    args.route_prefix = "/" + (args.route_prefix or urlsplit(external_url).path).strip("/")
    return ServiceOptions(
        config_file=args.config_file,
        storage_path=args.storage_path,
        listen_address=args.listen_address,
        external_url=external_url,
        route_prefix=args.route_prefix,
        web_config_file=args.web_config_file,
        enable_lifecycle=args.enable_lifecycle,
        enable_remote_write=args.enable_remote_write,
        enable_push=args.enable_push,
        resend_delay_ms=args.resend_delay,
        outage_tolerance_ms=args.outage_tolerance,
        grace_period_ms=args.grace_period,
        lookback_delta_ms=args.lookback_delta or DEFAULT_LOOKBACK_MS,  # Prometheus takes 0 for the default, too
        query_timeout_ms=args.query_timeout,
        query_concurrency=args.query_concurrency,
        max_samples=args.max_samples,
        web_max_samples=args.web_max_samples,
        features=_features(args.features),
        flags=args.shown_flags(args),
    )


def _features(values: list[str]) -> frozenset[str]:
    names = {name for value in values for name in value.split(",") if name}
    unknown = names - FEATURES - _WITHOUT_EFFECT
    if unknown:
        known = ", ".join(sorted(FEATURES))
        raise RulepushError(f"--enable-feature: unknown {', '.join(sorted(unknown))}; there is {known}")
    return frozenset(names & FEATURES)


def _external_url(url: str, listen_address: str) -> str:
    """As Prometheus: without one, this host's name and the port that is listened on. No slash at the end."""
    if not url:
        port = listen_address.rpartition(":")[2]
        return "" if port == "0" else f"http://{socket.gethostname()}:{port}"  # "": the app knows which port it got
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise RulepushError(f"--web.external-url: {url!r} is not a URL such as https://host/path")
    return url.rstrip("/")


async def _serve(options: ServiceOptions) -> None:
    app = App(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, app.stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, app.request_reload)
    log.info("starting rulepush: version=%s", __version__)
    await app.run()
