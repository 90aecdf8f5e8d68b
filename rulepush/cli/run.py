"""`rulepush run`: scrape targets, evaluate rules, send alerts."""

from __future__ import annotations

import argparse
import gc
import logging
import socket
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from rulepush import __version__
from rulepush.cli.options import (
    AUTO_RELOAD_FEATURE,
    FEATURES,
    Subparsers,
    add_auto_reload,
    add_command,
    add_config_file,
    add_enable_feature,
    add_log_options,
    add_storage_path,
    add_switch,
    add_web_options,
    auto_reload_ms,
    directory_path,
    duration_ms,
    feature_names,
    positive_int,
    regex,
)
from rulepush.cli.process import run_until_signal
from rulepush.cli.prometheus_flags import FEATURES_WITHOUT_EFFECT, add_flags_without_effect, log_without_effect
from rulepush.config.client_file import load_http_client
from rulepush.errors import RulepushError
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.logs import setup_logging
from rulepush.model.durations import format_duration
from rulepush.model.typed_url import without_credentials
from rulepush.peers.address import PEERS_FLAG, read_peer
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.rules.sharding import RULES_SHARD_FLAG, read_rule_shard
from rulepush.scrape.sharding import read_sharding
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions

log = logging.getLogger("rulepush.main")

DEFAULT_ADDRESS: Final = "127.0.0.1:9095"
_REMOTE_WRITE_FEATURE: Final = "remote-write-receiver"  # of Prometheus 2


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Prometheus' flag names."""
    p = add_command(
        subparsers,
        "run",
        """Scrape targets, evaluate Prometheus alerting rules in memory, and send alerts to Alertmanager.

SIGHUP reloads the configuration and the rules; SIGTERM and SIGINT stop the process.""",
        {0: "Stopped on request.", 1: "The process could not start; the log says why."},
        ["rulepush run --config.file prometheus.yml --storage.path /var/lib/rulepush"],
        usage="rulepush run [--config.file FILE] [--storage.path DIR] [FLAG ...]",
    )
    add_config_file(p, "Configuration file, in Prometheus' format.", "prometheus.yml")
    add_auto_reload(p, "the configuration, rule files and scrape config files")
    add_storage_path(p, "alert states and their history, undelivered notifications and samples")
    add_web_options(p, DEFAULT_ADDRESS)
    p.add_argument(
        "--web.external-url",
        dest="external_url",
        default="",
        metavar="URL",
        help="URL under which rulepush is externally reachable, for example via a reverse proxy. Used for links in "
        "alerts and on the pages. If omitted, this host's name and the port.",
    )
    p.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        default="",
        metavar="PATH",
        help="Prefix for the routes of all HTTP endpoints. Defaults to the path of --web.external-url.",
    )
    p.add_argument(
        "--web.cors.origin",
        dest="cors_origin",
        type=regex,
        default=".*",
        metavar="REGEX",
        help="Origins whose pages may read the HTTP API: a regular expression, fully anchored. Example: "
        "'https?://(domain1|domain2)\\.com'. '' for none.",
    )
    p.add_argument(
        PEERS_FLAG,
        dest="peers",
        action="append",
        default=[],
        metavar="URL",
        help="Another rulepush whose rules and alerts are shown here, too; may be repeated, and may be this one. "
        "dns+http://NAME:PORT takes all addresses of a name, dnssrv+http://NAME those of its SRV records.",
    )
    p.add_argument(
        "--web.peers.config.file",
        dest="peers_config_file",
        default="",
        metavar="FILE",
        help="HTTP client settings for --web.peers: credentials, TLS, as in a scrape configuration.",
    )
    add_switch(
        p,
        "--web.enable-remote-write-receiver",
        "enable_remote_write",
        "Accept remote write requests: POST /api/v1/write.",
    )
    add_switch(
        p,
        "--web.enable-push-receiver",
        "enable_push",
        "Accept pushed metrics, as a Pushgateway does: PUT, POST and DELETE /metrics/job/...",
    )
    add_switch(
        p,
        "--web.enable-target-bodies",
        "enable_target_bodies",
        "Keep the last body of each target in memory, at most 32 MiB in all, and show it on the target's page. A "
        "body may hold what not every reader of the pages should see.",
    )
    _add_sharding(p)
    _duration(p, "--rules.alert.resend-delay", "resend_delay", "1m", "Minimum time before an alert is sent again.")
    _duration(
        p,
        "--rules.alert.for-outage-tolerance",
        "outage_tolerance",
        "1h",
        "Maximum downtime after which the `for` state of alerts is restored.",
    )
    _duration(
        p,
        "--rules.alert.for-grace-period",
        "grace_period",
        "10m",
        "Minimum time between a restart and the firing of a restored pending alert, for alerts with a longer `for`.",
    )
    _duration(
        p,
        "--rules.datasource.hold",
        "datasource_hold",
        "1h",
        "How long alerts of rules on a datasource are sent on as they are while it gives no answer; afterwards "
        "Alertmanager ends them.",
    )
    p.add_argument(
        RULES_SHARD_FLAG,
        dest="rules_shard",
        default="",
        metavar="INDEX/NUMBER",
        help="Evaluate only the rule groups of this shard, by a hash of file and group name. Counted from 0: three "
        "shards are 0/3, 1/3 and 2/3; from-hostname/3 takes the number at the end of the host name, as in a "
        "StatefulSet. If omitted, all groups.",
    )
    _duration(
        p,
        "--query.lookback-delta",
        "lookback_delta",
        "5m",
        "Maximum age of a sample that an instant selector finds.",
    )
    _duration(p, "--query.timeout", "query_timeout", "2m", "Maximum time a query may take before it is aborted.")
    _count(
        p,
        "--query.max-concurrency",
        "query_concurrency",
        2,
        "Maximum number of queries of the HTTP API that are evaluated at the same time.",
    )
    _count(
        p,
        "--query.max-samples",
        "max_samples",
        50_000_000,
        "Maximum number of samples that a query of a rule or of the HTTP API may load into memory.",
    )
    _count(
        p,
        "--web.query-max-samples",
        "web_max_samples",
        5_000_000,
        "Maximum number of samples that a query of the HTTP API may load, at about 30 bytes each. Lower, so that "
        "queries leave memory for the rules.",
    )
    _duration(
        p,
        "--storage.history.retention.time",
        "history_age",
        "15d",
        "How long the changes of alerts, and what became of their notifications, are kept for the pages and "
        "/api/v1/alerts/history.",
    )
    _count(
        p,
        "--storage.history.max-rows",
        "history_rows",
        50_000,
        "Maximum number of changes of alerts that are kept.",
    )
    _duration(
        p,
        "--scrape.discovery-reload-interval",
        "discovery_settle",
        "5s",
        "How long changes of discoveries are gathered before they take effect. The first list does at once.",
    )
    add_enable_feature(p)
    add_log_options(p)
    p.add_argument("--version", action="version", version=f"rulepush {__version__}", help="Show the version and exit.")
    p.add_argument("--storage.tsdb.path", dest="tsdb_path", type=directory_path, help=argparse.SUPPRESS)
    add_flags_without_effect(p)
    p.set_defaults(func=run, shown_flags=partial(_shown_flags, p))


def _add_sharding(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--scrape.shard",
        dest="shard",
        default="",
        metavar="INDEX/NUMBER",
        help="Scrape only this shard of all targets, counted from 0: 0/3, 1/3 and 2/3 are three shards. "
        "from-hostname/3 takes the index from the end of the host name, as a StatefulSet numbers its pods. The targets "
        "are those that hashmod relabelling on __address__ gives each shard.",
    )
    p.add_argument(
        "--scrape.shard-replicas",
        dest="shard_replicas",
        type=positive_int,
        metavar="N",
        help="How many shards scrape each target: its own and those that follow. If omitted, 1.",
    )
    p.add_argument(
        "--scrape.shard-by",
        dest="shard_by",
        default="",
        metavar="LABEL[,LABEL]",
        help="The labels, after relabelling, that decide which shard a target is in. If omitted, __address__.",
    )


def _duration(p: argparse.ArgumentParser, flag: str, dest: str, default: str, text: str) -> None:
    p.add_argument(flag, dest=dest, type=duration_ms, default=default, metavar="DURATION", help=text)


def _count(p: argparse.ArgumentParser, flag: str, dest: str, default: int, text: str) -> None:
    p.add_argument(flag, dest=dest, type=positive_int, default=default, metavar="N", help=text)


def _shown_flags(p: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, str]:
    """The flags as `/api/v1/status/flags` shows them: by name without dashes, in Prometheus' notation."""
    shown = {}
    for action in p._actions:
        value = getattr(args, action.dest, None)
        if not action.option_strings or action.help == argparse.SUPPRESS or action.dest in ("help", "version"):
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif action.dest == "peers":
            text = ",".join(read_peer(url).shown for url in value or ())  # without passwords
        elif isinstance(value, list):
            text = ",".join(value)
        elif action.type is duration_ms:
            text = format_duration(value or 0)
        else:
            text = "" if value is None else str(value)
        shown[action.option_strings[-1].removeprefix("--")] = text
    return shown


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean stop, 1 when it could not start."""
    setup_logging(args.log_level, args.log_format)

    def start() -> App:
        options = _options(args)
        log.info("starting rulepush: version=%s", __version__)
        log_without_effect(args.without_effect, feature_names(args.features))
        app = App(options)
        gc.collect()
        gc.freeze()  # what there is now lives as long as the process: see LongLivedObjects
        return app

    return run_until_signal(start, log)


def _options(args: argparse.Namespace) -> ServiceOptions:
    features = _features(args.features)
    external_url = _external_url(args.external_url, args.listen_address)
    args.auto_reload_interval = auto_reload_ms(args, features)
    args.enable_remote_write = args.enable_remote_write or _REMOTE_WRITE_FEATURE in features
    if args.tsdb_path is not None:
        _take_tsdb_path(args)
    # As Prometheus: with a leading slash, also where the flags are shown.
    args.route_prefix = "/" + (args.route_prefix or urlsplit(external_url).path).strip("/")
    return ServiceOptions(
        config_file=args.config_file,
        storage_path=args.storage_path,
        storage_optional=args.storage_optional,
        listen_address=args.listen_address,
        external_url=external_url,
        has_external_url=bool(args.external_url),
        route_prefix=args.route_prefix,
        web_config_file=args.web_config_file,
        cors_origin=args.cors_origin,
        enable_lifecycle=args.enable_lifecycle,
        enable_remote_write=args.enable_remote_write,
        enable_push=args.enable_push,
        enable_target_bodies=args.enable_target_bodies,
        resend_delay_ms=args.resend_delay,
        discovery_settle_ms=args.discovery_settle,
        outage_tolerance_ms=args.outage_tolerance,
        grace_period_ms=args.grace_period,
        datasource_hold_ms=args.datasource_hold,
        peers=tuple(dict.fromkeys(map(read_peer, args.peers))),
        peers_client=load_http_client(args.peers_config_file) if args.peers_config_file else NO_CLIENT_SETTINGS,
        rule_shard=read_rule_shard(args.rules_shard, socket.gethostname()),
        lookback_delta_ms=args.lookback_delta or DEFAULT_LOOKBACK_MS,  # Prometheus takes 0 for the default, too
        query_timeout_ms=args.query_timeout,
        query_concurrency=args.query_concurrency,
        max_samples=args.max_samples,
        web_max_samples=args.web_max_samples,
        history_rows=args.history_rows,
        history_age_ms=args.history_age,
        sharding=read_sharding(args.shard, args.shard_replicas, args.shard_by, socket.gethostname()),
        auto_reload_ms=args.auto_reload_interval,
        features=features & FEATURES,
        flags=args.shown_flags(args),
    )


def _take_tsdb_path(args: argparse.Namespace) -> None:
    """Without --storage.path, state is kept below Prometheus' directory: who has given one wants it to survive. In a
    directory of its own there, for both have a file that is called lock."""
    if args.storage_path is not None:
        log.info("flag has no effect here, --storage.path is given: flag=--storage.tsdb.path")
        return
    args.storage_path = args.tsdb_path / "rulepush"
    log.info("--storage.tsdb.path is taken for --storage.path: path=%s", args.storage_path)


def _features(values: list[str]) -> frozenset[str]:
    """Raises RulepushError for a name that neither Prometheus nor rulepush knows."""
    names = feature_names(values)
    unknown = names - FEATURES - FEATURES_WITHOUT_EFFECT - {_REMOTE_WRITE_FEATURE, AUTO_RELOAD_FEATURE}
    if unknown:
        known = ", ".join(sorted(FEATURES))
        raise RulepushError(f"--enable-feature: unknown {', '.join(sorted(unknown))}; there is {known}")
    return names


def _external_url(url: str, listen_address: str) -> str:
    """As Prometheus: without one, this host's name and the port that is listened on. No slash at the end."""
    if not url:
        port = listen_address.rpartition(":")[2]
        return "" if port == "0" else f"http://{socket.gethostname()}:{port}"  # "": the app knows which port it got
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.netloc) and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        raise RulepushError(f"--web.external-url: {without_credentials(url)!r} is not a URL such as https://host/path")
    return url.rstrip("/")
