"""`rulepush check metrics`: whether metrics can be scraped, and a lint of their names. As `promtool check metrics`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from rulepush.cli.options import LINT_EXIT, Subparsers, add_command, add_lint_fatal, add_timeout
from rulepush.cli.terminal import VERDICTS, Ink, coloured, inked
from rulepush.errors import ExpositionError, ProtobufError, ScrapeError
from rulepush.exposition import Exposition, Format, parse_body, parse_line, readable_body
from rulepush.exposition.content_type import choose_format
from rulepush.exposition.lint import lint
from rulepush.http_client.build import build_client
from rulepush.scrape.fetch import Fetcher, accept_header

EXIT_OK: Final = 0
EXIT_BAD: Final = 1
_MAX_PROBLEMS: Final = 50


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """promtool reads standard input only; `--url` is rulepush's own."""
    p = add_command(
        subparsers,
        "metrics",
        "Check if metrics from standard input or a URL can be scraped, and lint their names.",
        {
            EXIT_OK: "The metrics can be scraped.",
            EXIT_BAD: "The metrics cannot be scraped.",
            LINT_EXIT: "The metrics can be scraped, but a lint check found something.",
        },
        [
            "curl -s http://app:8080/metrics | rulepush check metrics",
            "rulepush check metrics --url http://app:8080/metrics",
        ],
    )
    p.add_argument("--url", metavar="URL", help="URL to read the metrics from instead of standard input.")
    add_timeout(p, "Timeout for --url.")
    p.add_argument(
        "--format",
        choices=["auto", "text", "openmetrics"],
        default="auto",
        help="auto: by Content-Type or a final # EOF, as tolerant as the scraper; text: text format 0.0.4; "
        "openmetrics: strictly as the OpenMetrics specification.",
    )
    p.add_argument("--lint", choices=["all", "none"], default="all", help="Lint checks to apply to metric names.")
    add_lint_fatal(p, f"No effect: the exit code is {LINT_EXIT} whenever a lint check finds something.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Problems and lint findings go to standard error, as with promtool."""
    try:
        body, fmt = _read(args)
        body = readable_body(body, fmt)
    except (ProtobufError, ScrapeError) as e:
        print(coloured(f"error: {e}", VERDICTS, sys.stderr), file=sys.stderr)
        return EXIT_BAD
    if args.format == "openmetrics":
        return _check_strictly(body, args)
    found, problems = examine(body, fmt)
    for problem in problems:
        print(coloured(f"error: {problem}", VERDICTS, sys.stderr), file=sys.stderr)
    if found is None:
        return EXIT_BAD
    code = _lint(found, fmt, args)
    counts = f"{len(found.samples)} samples, {len(found.metadata)} families with metadata"
    print(coloured(f"SUCCESS: {counts}, read as {fmt.value}", VERDICTS, sys.stdout))
    return code


def examine(body: bytes, fmt: Format) -> tuple[Exposition | None, list[ExpositionError]]:
    """The parsed body, or None and its problems, line by line."""
    try:
        return parse_body(body, fmt), []
    except ExpositionError as e:
        first = e
    problems = [first]
    for number, line in enumerate(body.split(b"\n"), 1):
        if number <= first.line or not line:
            continue
        try:
            parse_line(line, fmt)
        except ExpositionError as e:
            problems.append(ExpositionError(number, e.message))
    return None, problems[:_MAX_PROBLEMS]


def _check_strictly(body: bytes, args: argparse.Namespace) -> int:
    from rulepush.exposition.strict import check_openmetrics  # the reference parser is slow to import

    try:
        samples, families = check_openmetrics(body)
    except ExpositionError as e:
        print(coloured(f"error: {e}", VERDICTS, sys.stderr), file=sys.stderr)
        return EXIT_BAD
    code = EXIT_OK
    found, _ = examine(body, Format.OPENMETRICS)
    if found is not None:
        code = _lint(found, Format.OPENMETRICS, args)
    print(coloured(f"SUCCESS: {samples} samples in {families} families, valid OpenMetrics", VERDICTS, sys.stdout))
    return code


def _lint(found: Exposition, fmt: Format, args: argparse.Namespace) -> int:
    findings = lint(found, fmt) if args.lint == "all" else []
    for finding in findings:
        print(inked(str(finding), Ink.WARNING, sys.stderr), file=sys.stderr)
    return LINT_EXIT if findings else EXIT_OK


def _read(args: argparse.Namespace) -> tuple[bytes, Format]:
    """The body, and the format in which the scraper would read it. Raises ScrapeError."""
    content_type = ""
    if args.url:
        body, content_type = asyncio.run(_fetch(args.url, args.timeout))
    else:
        body = sys.stdin.buffer.read()
    if args.format == "text":
        return body, Format.TEXT
    if content_type and args.format == "auto":
        return body, choose_format(content_type, None)
    return body, Format.OPENMETRICS if body.rstrip(b"\n").endswith(b"# EOF") else Format.TEXT


async def _fetch(url: str, timeout: float) -> tuple[bytes, str]:
    protocols = ("OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4")
    async with build_client() as client:
        fetched = await Fetcher(client, accept_header(protocols)).fetch(url, round(timeout * 1000))
    if not fetched.content_type:
        choose_format("", None)
    return fetched.body, fetched.content_type
