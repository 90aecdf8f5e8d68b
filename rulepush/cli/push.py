"""`rulepush push`: push the metrics of a batch job, to rulepush or to a Pushgateway."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rulepush import __version__
from rulepush.cli.options import Subparsers, add_client_options, add_command, add_timeout, headers_of
from rulepush.clock import SystemClock
from rulepush.errors import PushError, RulepushError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig, ProxyConfig, TLSConfig
from rulepush.http_client.tls import client_context
from rulepush.model.durations import parse_duration
from rulepush.model.labels import JOB, is_legacy_label_name
from rulepush.push.client import PushRequest, push
from rulepush.push.url import TTL_HEADER, GroupKey


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """rulepush's own flags."""
    p = add_command(
        subparsers,
        "push",
        "Push the metrics of a batch job to rulepush or to a Pushgateway.",
        {0: "The push was accepted.", 1: "The push was refused, or the receiver could not be reached."},
        ["collect.sh | rulepush push --job backup --label host=db1 --ttl 26h http://rulepush:9095"],
    )
    p.add_argument("url", metavar="URL", help="Base URL of the receiver; can contain user:password@.")
    p.add_argument("--job", required=True, help="Job label of the group.")
    p.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Additional label of the group; can be repeated.",
    )
    p.add_argument(
        "--method",
        choices=("put", "post", "delete"),
        default="put",
        help="put: replace the group; post: replace only metrics of the same name; delete: delete the group.",
    )
    p.add_argument(
        "--ttl",
        metavar="DURATION",
        help="Time after which the group is deleted unless it is pushed again, such as 26h (rulepush only).",
    )
    p.add_argument("--file", default="-", metavar="FILE", help="File with the metrics; - for standard input.")
    p.add_argument("--openmetrics", action="store_true", help="The metrics are OpenMetrics, not the text format.")
    add_client_options(p)
    add_timeout(p, "Timeout of one attempt.")
    p.add_argument(
        "--retries",
        type=int,
        default=3,
        metavar="N",
        help="Number of further attempts when the receiver cannot be reached or is overloaded.",
    )
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Read the metrics and push them; errors go to standard error."""
    tls = TLSConfig(ca_file=args.ca_file or "")
    try:
        request = build_request(args)
        if args.ca_file:
            client_context(tls)  # before the first attempt: a retry would not help
    except (RulepushError, OSError) as e:
        print(f"rulepush push: {e}", file=sys.stderr)
        return 1
    # As curl: proxies of the environment are used, redirects are not followed.
    config = HTTPClientConfig(tls=tls, proxy=ProxyConfig(from_environment=True), follow_redirects=False)
    return asyncio.run(_push(request, config, args.retries))


async def _push(request: PushRequest, config: HTTPClientConfig, retries: int) -> int:
    def report_retry(reason: str, pause: float) -> None:
        print(f"rulepush push: {reason}; retrying in {pause:.1f}s", file=sys.stderr)

    async with build_client(config, f"rulepush/{__version__}") as client:
        try:
            await push(client, request, SystemClock(), retries, report_retry)
        except PushError as e:
            print(f"rulepush push: {e}", file=sys.stderr)
            return 1
    return 0


def build_request(args: argparse.Namespace) -> PushRequest:
    """The request that the flags describe. Raises PushError for invalid flags, OSError when the file cannot be read."""
    try:
        headers = headers_of(args.header)
    except ValueError as e:
        raise PushError(400, str(e)) from None
    if args.ttl is not None:
        try:
            parse_duration(args.ttl)
        except ValueError as e:
            raise PushError(400, f"--ttl: {e}") from None
        headers[TTL_HEADER] = args.ttl
    if args.openmetrics:
        headers["Content-Type"] = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    body = b""
    if args.method != "delete":
        body = sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()
    return PushRequest(args.url, grouping_key(args.job, args.label), args.method.upper(), body, headers, args.timeout)


def grouping_key(job: str, labels: list[str]) -> GroupKey:
    """The group that `--job` and `--label` name. Raises PushError."""
    if not job:
        raise PushError(400, "--job is empty")
    key = {JOB: job}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not is_legacy_label_name(name) or name.startswith("__") or name in key:
            raise PushError(400, f"--label {label!r}: expected NAME=VALUE, each name once")
        key[name] = value
    return tuple(sorted(key.items()))
