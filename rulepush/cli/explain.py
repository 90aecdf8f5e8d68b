"""`rulepush explain`: why a rule has its result, and its alerts their states."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from rulepush import __version__
from rulepush.cli.options import (
    Subparsers,
    add_client_options,
    add_command,
    add_config_file,
    add_timeout,
    headers_of,
    positive_int,
)
from rulepush.cli.terminal import Ink, InkRules, coloured, inked, terminal_text
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.config.sections import Config, DatasourceConfig
from rulepush.errors import ConfigError, EvaluationError, RulepushError
from rulepush.explain import Bounds, Explanation, Focus, RecordedMetric, RuleFacts, Surroundings, TargetView, explain
from rulepush.explain.find import UnknownRule, find_rules
from rulepush.explain.text import WIDTH, explanation_text
from rulepush.explain.wire import explanation_json, explanation_of
from rulepush.http_client.build import build_client
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.config import HTTPClientConfig, ProxyConfig, TLSConfig
from rulepush.http_client.tls import client_context
from rulepush.livecheck import LiveData, TargetScrapes, live_rules
from rulepush.livecheck.fetch import Visit, environment, visit_jobs
from rulepush.livecheck.firing import record
from rulepush.livecheck.trees import metrics_of
from rulepush.promql import Engine
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RecordingSpec, RuleGroup

DEFAULT_URL: Final = "http://127.0.0.1:9095"
_PATH: Final = "/api/v1/rules/explain"
_INKS: Final[InkRules] = (
    (re.compile(r"[\w:]+: (firing)\b"), Ink.ERROR),
    (re.compile(r"[\w:]+: (pending|unknown)\b"), Ink.WARNING),
    (re.compile(r"[\w:]+: (inactive)\b"), Ink.GOOD),
    (re.compile(r"  (firing) "), Ink.ERROR),
    (re.compile(r"  (pending) "), Ink.WARNING),
    (re.compile(r"  (resolved) "), Ink.GOOD),
    (re.compile("  last error: .*"), Ink.ERROR),
    (re.compile("(why|but): "), Ink.STRONG),
    (re.compile(".*(<- this is why)$"), Ink.WARNING),
)
_MAX_READ: Final = 64 << 20  # bytes of an answer


class ExplainError(RulepushError):
    """What keeps the command from explaining anything, in one message."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """A name, and where to ask."""
    p = add_command(
        subparsers,
        "explain",
        """Say why a rule has its result, and its alerts their states.

Every part of the expression is shown with its value now: what a comparison dropped and by how much it missed, which
label made a join find no partner, why a selector has no series. Pending alerts say when they fire, resolved ones what
ended them.""",
        {0: "The rule was explained.", 1: "There is no such rule, or the server could not be asked."},
        [
            "rulepush explain NacosServerDown",
            "rulepush explain HighHeap --url https://rulepush.example:9095 --labels instance=nacos-0:8848",
            "rulepush explain HighHeap --config.file prometheus.yml",
        ],
    )
    p.add_argument("name", metavar="NAME", help="Name of an alert, or of a recorded metric.")
    source = p.add_mutually_exclusive_group()
    source.add_argument(
        "--url",
        default=DEFAULT_URL,
        metavar="URL",
        help="Base URL of a running rulepush, with its path prefix; can contain user:password@.",
    )
    add_config_file(
        source,
        "Configuration file whose targets are scraped once, and for rules of datasources their engines asked, in place "
        "of asking a server. No alert has a state then.",
    )
    p.add_argument("--group", default="", metavar="NAME", help="Group of the rule, where several have its name.")
    p.add_argument("--file", default="", metavar="FILE", help="File of the rule, or the end of its path.")
    p.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="List only alerts, elements and misses that may be about these labels.",
    )
    p.add_argument(
        "--limit", type=positive_int, default=3, metavar="N", help="Elements to list of each part, at most 100."
    )
    p.add_argument("--format", choices=["text", "json"], default="text", help="Format of the explanation.")
    add_client_options(p)
    add_timeout(p, "Timeout of the request.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 when the rule was explained."""
    try:
        labels = _labels(args.labels)
        if args.config_file:
            found = asyncio.run(_from_config(args, labels))
        else:
            found = asyncio.run(_from_server(args))
    except (ExplainError, ConfigError) as e:
        print(inked(terminal_text(f"rulepush explain: {e}"), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    if args.format == "json":
        document = {"rules": [explanation_json(one) for one in found]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        text = terminal_text("\n".join(explanation_text(one, WIDTH) for one in found))
        print(coloured(text, _INKS, sys.stdout), end="")
    return 0


def _labels(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ExplainError(f"--labels {text!r}: expected NAME=VALUE")
        found[name] = value
    return found


# From a running rulepush.


async def _from_server(args: argparse.Namespace) -> list[Explanation]:
    base = args.url if "://" in args.url else f"http://{args.url}"
    asked = [("name", args.name), ("group", args.group), ("file", args.file), ("limit", str(args.limit))]
    asked += [("label", text) for text in args.labels]
    url = f"{base.rstrip('/')}{_PATH}?{urlencode([pair for pair in asked if pair[1]])}"
    tls = TLSConfig(ca_file=args.ca_file or "")
    try:
        headers = headers_of(args.header)
        if args.ca_file:
            client_context(tls)
    except (RulepushError, OSError, ValueError) as e:
        raise ExplainError(str(e)) from None
    config = HTTPClientConfig(tls=tls, proxy=ProxyConfig(from_environment=True), follow_redirects=False)
    shown = shown_url(base)
    try:
        async with build_client(config, f"rulepush/{__version__}") as client, asyncio.timeout(args.timeout):
            response = await _get(client, url, headers)
    except (TimeoutError, httpx.TimeoutException):
        raise ExplainError(f"{shown} gave no answer within {args.timeout:g}s") from None
    except httpx.HTTPError as e:
        why = reason(e).rstrip(".")
        raise ExplainError(
            f"{shown} cannot be reached: {why}. --url says where rulepush listens (by default {DEFAULT_URL})"
        ) from None
    return explanations_in(response.status_code, response.headers, response.content, shown)


async def _get(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> httpx.Response:
    async with client.stream("GET", url, headers={"Accept": "application/json", **headers}) as response:
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_READ:
                raise httpx.RemoteProtocolError(f"the answer is longer than {_MAX_READ >> 20} MiB")
        return httpx.Response(response.status_code, headers=_without_encoding(response.headers), content=body)


def _without_encoding(headers: httpx.Headers) -> dict[str, str]:
    """The body is decoded already."""
    return {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}


def explanations_in(status: int, headers: Mapping[str, str], body: bytes, shown: str) -> list[Explanation]:
    """The explanations in an answer of the server `shown`. Raises ExplainError, which says what the answer means."""
    media = headers.get("content-type", "").partition(";")[0].strip() or "nothing"
    if 300 <= status < 400:
        raise ExplainError(f"{shown} redirects to {headers.get('location', 'elsewhere')}: ask there, with --url")
    if status in (401, 403):
        raise ExplainError(
            f"{shown} answered {status}: credentials are needed, in the URL (https://user:password@...) or with "
            '--header "Authorization: ..."'
        )
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    known = isinstance(data, dict) and data.get("status") in ("success", "error")
    if known and data["status"] == "error" and isinstance(data.get("error"), str):
        raise ExplainError(data["error"])
    if status == 404:
        raise ExplainError(
            f"{shown} answered 404: it has no {_PATH}. Prometheus and older releases of rulepush do not have it; is "
            "the path prefix of --url right?"
        )
    if status != 200 or not known:
        what = f"with {media}" if status == 200 else f"{status} with {media}"
        raise ExplainError(f"{shown} answered {what}, not as rulepush's API does: is the path of --url right?")
    try:
        return [explanation_of(rule) for rule in data["data"]["rules"]]
    except (KeyError, TypeError, ValueError) as e:
        raise ExplainError(f"{shown} answered what this release cannot read: {e}") from None


# From one scrape.


async def _from_config(args: argparse.Namespace, labels: dict[str, str]) -> list[Explanation]:
    config = load_config(args.config_file)
    groups = load_rule_files(config.rule_files)
    facts = [
        _facts(group, i, config.global_.evaluation_interval_ms) for group in groups for i in range(len(group.rules))
    ]
    elsewhere = _of_datasources(config)
    try:
        chosen = find_rules([*facts, *elsewhere], args.name, args.group, args.file)
    except UnknownRule as e:
        raise ExplainError(str(e)) from None
    asked = [await _on_engine(one, elsewhere[one], args, labels) for one in chosen if one in elsewhere]
    chosen = [one for one in chosen if one not in elsewhere]
    if not chosen:
        return asked
    env = environment(SystemClock(), f"rulepush/{__version__}")
    answers, _ = await visit_jobs(list(config.scrape_configs), env, Visit())
    good = [answer for answer in answers if answer.trouble is None]
    if not good:
        raise ExplainError(f"no target of {args.config_file} could be scraped: `rulepush check live` says why")
    seen = LiveData(good)
    record(live_rules(groups, lambda file: Path(file).read_text(encoding="utf-8").splitlines()), seen)
    around = Surroundings(tuple(map(_view, answers)), seen, _recorded(groups))
    bounds = Bounds(args.limit, args.limit)
    return asked + [
        explain(one, Engine(), seen.head.querier(), seen.now, around, focus=Focus(labels), bounds=bounds)
        for one in chosen
    ]


def _of_datasources(config: Config) -> dict[RuleFacts, DatasourceConfig]:
    """The rules of all datasources."""
    found = {}
    for source in config.datasources:
        offset = config.global_.rule_query_offset_ms if source.query_offset_ms is None else source.query_offset_ms
        for group in load_rule_files(source.rule_files):
            own = offset if group.query_offset_ms is None else group.query_offset_ms
            for i in range(len(group.rules)):
                facts = _facts(group, i, config.global_.evaluation_interval_ms)
                found[replace(facts, query_offset_ms=own)] = source
    return found


async def _on_engine(
    rule: RuleFacts, source: DatasourceConfig, args: argparse.Namespace, labels: dict[str, str]
) -> Explanation:
    # Imported here: few configurations have a datasource.
    from rulepush.datasource.engine import RemoteEngine
    from rulepush.rules.engine_samples import samples_of_engine

    clock = SystemClock()
    client = build_client(source.http_client, f"rulepush/{__version__}")
    engine = RemoteEngine(source, client, clock)
    now = clock.now()
    try:
        head = await samples_of_engine(engine, rule.query, now - rule.query_offset_ms, args.timeout)
    except EvaluationError as e:
        raise ExplainError(f"the datasource {source.name} gives no samples: {e}") from None
    finally:
        await engine.aclose()
    bounds = Bounds(args.limit, args.limit)
    return explain(rule, Engine(), head.querier(), now, Surroundings(), focus=Focus(labels), bounds=bounds)


def _facts(group: RuleGroup, position: int, interval_ms: int) -> RuleFacts:
    return RuleFacts(
        spec=group.rules[position],
        group=group.name,
        file=group.file,
        interval_ms=group.interval_ms or interval_ms,
        state="",
    )


def _view(answer: TargetScrapes) -> TargetView:
    last, trouble = answer.scrapes[-1], answer.trouble
    message = f"{trouble.message}. {trouble.suggestion}".rstrip(". ") if trouble is not None else ""
    return TargetView(answer.job, answer.url, answer.labels, last.ts if trouble is not None else 0, message)


def _recorded(groups: Sequence[RuleGroup]) -> dict[str, RecordedMetric]:
    return {
        rule.name: RecordedMetric(rule.name, group.name, metrics_of(rule.query.root))
        for group in groups
        for rule in group.rules
        if isinstance(rule, RecordingSpec)
    }
