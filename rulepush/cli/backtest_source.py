"""The options of `rulepush backtest` that say where the samples come from, when not from rulepush's own recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import httpx

from rulepush import __version__
from rulepush.backtest.sources.api import DEFAULT_TIMEOUT_S
from rulepush.backtest.sources.file import FileSource
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.sources.server import ServerSource
from rulepush.cli.options import OptionContainer, add_client_options, headers_of, positive_seconds
from rulepush.config.client_file import load_http_client
from rulepush.errors import SampleSourceError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig, HTTPHeader, ProxyConfig
from rulepush.rules.specs import RuleGroup


def add_source_options(p: OptionContainer) -> None:
    """`--from-url` with what it needs, and `--from-file`."""
    p.add_argument(
        "--from-url",
        metavar="URL",
        help="Take the samples from a server with the Prometheus HTTP API (Prometheus, VictoriaMetrics, Thanos, "
        "Mimir): its base URL without /api/v1; can contain user:password@.",
    )
    p.add_argument(
        "--from-file",
        metavar="FILE",
        help="Take the samples from a file with the output of `promtool tsdb dump` or `promtool tsdb "
        "dump-openmetrics`, or with OpenMetrics that has timestamps; gzip is recognised; - for standard input.",
    )
    p.add_argument(
        "--http.config.file",
        dest="http_config_file",
        metavar="FILE",
        help="How to reach --from-url: a file with Prometheus' HTTP client settings, such as basic_auth, "
        "authorization, tls_config, proxy_url and http_headers.",
    )
    add_client_options(p)
    p.add_argument(
        "--timeout",
        type=positive_seconds,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="Timeout of one request to --from-url.",
    )


def opened_source(
    args: argparse.Namespace, versions: Iterable[Sequence[RuleGroup]], start: int | None
) -> ServerSource | FileSource:
    """The source that the options name, for all versions of the rules, from `start` (ms) on. Close it. Raises
    SampleSourceError, and ConfigError for --http.config.file."""
    versions = list(versions)
    needed = NeededSeries.of_rules(versions)
    if args.from_url is None:
        file = FileSource(args.from_file, needed, standard_input=sys.stdin.buffer)
        if file.bounds() is None:
            raise SampleSourceError(f"{args.from_file} has no sample of what the rules read: {needed}")
        return file
    if start is None:
        raise SampleSourceError("--from-url needs --since or --from, for a server may have samples of years")
    settings = _client_settings(args)

    def client() -> httpx.AsyncClient:
        return build_client(settings, f"rulepush/{__version__}", timeout=args.timeout)

    names = {group.name for groups in versions for group in groups}
    return ServerSource(args.from_url, needed, client, group_names=names, timeout_s=args.timeout, since=start)


def _client_settings(args: argparse.Namespace) -> HTTPClientConfig:
    """Without a file as `rulepush push`: proxies of the environment are used."""
    settings = HTTPClientConfig(proxy=ProxyConfig(from_environment=True))
    if args.http_config_file:
        settings = load_http_client(args.http_config_file)
    if args.ca_file:
        settings = replace(settings, tls=replace(settings.tls, ca_file=args.ca_file))
    try:
        given = headers_of(args.header)
    except ValueError as e:
        raise SampleSourceError(str(e)) from None
    added = tuple(HTTPHeader(name, (value,)) for name, value in given.items())
    return replace(settings, headers=(*settings.headers, *added))
