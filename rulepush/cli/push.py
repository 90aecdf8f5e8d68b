"""`rulepush push`: push the metrics of a batch job, to rulepush or to a Pushgateway."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx

from rulepush import __version__
from rulepush.cli.options import (
    Subparsers,
    add_client_options,
    add_command,
    add_timeout,
    duration_ms,
    headers_of,
    positive_duration_ms,
)
from rulepush.cli.push_job import OWN_FAULT, JobCommand, say
from rulepush.clock import SystemClock
from rulepush.errors import PushError, RulepushError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig, ProxyConfig, TLSConfig
from rulepush.http_client.tls import client_context
from rulepush.model.durations import parse_duration
from rulepush.model.labels import JOB, is_legacy_label_name
from rulepush.model.secret import masked_parameters
from rulepush.model.typed_url import typed_url, without_credentials
from rulepush.push.client import PushRequest, push
from rulepush.push.job import JobLimits
from rulepush.push.url import TTL_HEADER, GroupKey

URL_VARIABLE: Final = "RULEPUSH_PUSH_URL"
DEFAULT_URL: Final = "http://127.0.0.1:9095"
USER_AGENT: Final = f"rulepush/{__version__}"


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """rulepush's own flags."""
    p = add_command(
        subparsers,
        "push",
        "Push the metrics of a batch job to rulepush or to a Pushgateway: those on standard input or,\n"
        "with -- COMMAND, when the command started and how it ended.",
        {
            0: "The push was accepted.",
            1: "The push was refused, there was nothing to push, or the receiver could not be reached.",
            OWN_FAULT: "With -- COMMAND: it was not run, because an option is invalid. Else its exit code is given on.",
        },
        [
            "rulepush push --job backup --ttl 26h -- ./backup.sh --full",
            "collect.sh | rulepush push --job backup --label host=db1 --ttl 26h http://rulepush:9095",
        ],
        usage="rulepush push --job JOB [options] [URL] [-- COMMAND [ARGUMENT ...]]",
    )
    p.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="Base URL of the receiver; can contain user:password@. If omitted, the environment variable "
        f"{URL_VARIABLE}, else {DEFAULT_URL}.",
    )
    p.add_argument("--job", required=True, help="Job label of the group.")
    p.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Additional label of the group; can be repeated.",
    )
    p.add_argument(
        "--ttl",
        metavar="DURATION",
        help="Time after which the group is deleted unless it is pushed again, such as 26h (rulepush only).",
    )
    p.add_argument(
        "--file",
        metavar="FILE",
        help="File with the metrics; - or nothing for standard input. With -- COMMAND, a file that the command writes: "
        "pushed after its end, beside the result.",
    )
    p.add_argument("--openmetrics", action="store_true", help="The metrics are OpenMetrics, not the text format.")
    _add_input_options(p)
    _add_job_options(p)
    add_client_options(p)
    add_timeout(p, "Timeout of one attempt.")
    p.add_argument(
        "--retries",
        type=int,
        default=3,
        metavar="N",
        help="Number of further attempts when the receiver cannot be reached or is overloaded. With -- COMMAND, for "
        "the result: the start is tried until the command ends.",
    )
    p.set_defaults(func=run, command=())  # parse_arguments gives `command` what stands behind --


def _add_input_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("without a command")
    group.add_argument(
        "--method",
        choices=("put", "post", "delete"),
        help="put: replace the group (the default); post: replace only metrics of the same name; delete: delete the "
        "group.",
    )
    group.add_argument("--allow-empty", action="store_true", help="Push even if there are no metrics.")


def _add_job_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("with a command (the alerts are those of rules/jobs.yml)")
    group.add_argument(
        "--max-age",
        type=positive_duration_ms,
        metavar="DURATION",
        help="The job is late when its last success is older, such as 26h. If omitted, the --ttl.",
    )
    group.add_argument(
        "--max-duration", type=positive_duration_ms, metavar="DURATION", help="A run takes too long after this time."
    )
    group.add_argument(
        "--heartbeat",
        type=duration_ms,
        default="1m",
        metavar="DURATION",
        help="Push this often while the command runs: a machine that died is noticed after five of them. 0 for never.",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command, or read the metrics, and push; errors go to standard error."""
    if args.command:
        return _run_command(args)
    if args.method != "delete" and args.file in (None, "-") and not args.allow_empty and sys.stdin.isatty():
        say("standard input is a terminal: pipe metrics into it, name a --file, or a command behind --")
        return 2
    tls = TLSConfig(ca_file=args.ca_file or "")
    try:
        request = build_request(args)
        if args.ca_file:
            client_context(tls)  # before the first attempt: a retry would not help
    except RulepushError as e:
        say(str(e))
        return 1
    except OSError as e:
        say(f"{e.filename or 'standard input'}: {e.strerror or e}")
        return 1
    return asyncio.run(_push(request, _client_config(args), args.retries))


def _run_command(args: argparse.Namespace) -> int:
    """An invalid option ends it before the command is run; nothing else does."""
    try:
        if args.method or args.allow_empty or args.file == "-":
            raise PushError(400, "--method, --allow-empty and --file - are for pushes without a command")
        request = request_without_body(args)
    except PushError as e:
        say(str(e))
        return OWN_FAULT
    limits = JobLimits(
        max_age=(args.max_age or (parse_duration(args.ttl) if args.ttl else 0)) / 1000,
        max_duration=(args.max_duration or 0) / 1000,
        heartbeat=args.heartbeat / 1000,
    )

    def client() -> httpx.AsyncClient:
        return build_client(_client_config(args), USER_AGENT)

    file = Path(args.file) if args.file else None
    return JobCommand(args.command, limits, request, client, args.retries, file).run()


def _client_config(args: argparse.Namespace) -> HTTPClientConfig:
    # As curl: proxies of the environment are used, redirects are not followed.
    tls = TLSConfig(ca_file=args.ca_file or "")
    return HTTPClientConfig(tls=tls, proxy=ProxyConfig(from_environment=True), follow_redirects=False)


async def _push(request: PushRequest, config: HTTPClientConfig, retries: int) -> int:
    def report_retry(reason: str, pause: float) -> None:
        say(f"{reason}; retrying in {pause:.1f}s")

    async with build_client(config, USER_AGENT) as client:
        try:
            await push(client, request, SystemClock(), retries, report_retry)
        except PushError as e:
            say(str(e))
            return 1
    return 0


def request_without_body(args: argparse.Namespace) -> PushRequest:
    """The request that the flags describe, but for its body. Raises PushError for invalid flags."""
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
    url = receiver_url(args.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    method = (args.method or "put").upper()
    return PushRequest(url, grouping_key(args.job, args.label), method, b"", headers, args.timeout)


def build_request(args: argparse.Namespace) -> PushRequest:
    """The request that the flags describe. Raises PushError for invalid flags and where there is nothing to push,
    OSError when the file cannot be read."""
    request = request_without_body(args)
    if request.method == "DELETE":
        return request
    from_stdin = args.file in (None, "-")
    body = sys.stdin.buffer.read() if from_stdin else Path(args.file).read_bytes()
    if not args.allow_empty and not has_samples(body):
        where = "on standard input" if from_stdin else f"in {args.file}"
        # A receiver takes an empty group: a job whose collector failed would look as if it had come.
        raise PushError(400, f"no metrics {where}: nothing is pushed (--allow-empty pushes an empty group)")
    return replace(request, body=body)


def has_samples(body: bytes) -> bool:
    """Whether there is a line that is no comment."""
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in body.splitlines())


def receiver_url(text: str) -> str:
    """The base URL of a receiver as somebody wrote it. Raises PushError for what is none."""
    shown = masked_parameters(without_credentials(text))
    scheme, separator, rest = text.partition("://")
    if not separator:
        command = " (a command stands behind --)" if text.startswith((".", "/")) or ":" not in text else ""
        raise PushError(400, f"{shown}: a URL begins with http:// or https://{command}")
    if scheme.lower() not in ("http", "https") or not rest.strip("/"):
        raise PushError(400, f"{shown}: not an http:// or https:// URL")
    try:
        typed_url(text)
    except ValueError as e:
        raise PushError(400, f"{shown}: not an http:// or https:// URL{e}") from None
    base, path, _ = shown.partition("/metrics/job")
    if path:
        raise PushError(400, f"{shown}: leave /metrics/job/... out, --job and --label say it: {base}")
    return text


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
