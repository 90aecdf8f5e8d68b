"""Flags and features of Prometheus that have no effect in `rulepush run`: accepted, so that a command line of
Prometheus works unchanged, and named in the log.

Names: Prometheus' cmd/prometheus/main.go, of 3.5 and 3.14, and those of 2.x that are gone.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any, Final

from rulepush.cli.options import OptionContainer

log = logging.getLogger("rulepush.main")

_KEPT: Final = "samples are kept as long as the rules need them; storage.record in the configuration keeps all"
_NO_TSDB: Final = "there is no TSDB"
_NO_CONSOLES: Final = "there are no console templates"
_NO_AGENT: Final = "there is no agent mode: what is scraped is sent on with remote_write, rules or not"
_NO_REMOTE_READ: Final = "there is no remote read"
_ALL_SENT: Final = "the newest state of every alert is kept until an Alertmanager takes it"
_GO: Final = "it is a setting of Go's runtime"
_LINKED: Final = "the pages have it built in"

# Flag -> why it has no effect, or what has that effect here.
_WITH_VALUE: Final = {
    "storage.tsdb.retention": _KEPT,
    "storage.tsdb.retention.time": _KEPT,
    "storage.tsdb.retention.size": _KEPT,
    "storage.tsdb.min-block-duration": _NO_TSDB,
    "storage.tsdb.max-block-duration": _NO_TSDB,
    "storage.tsdb.max-block-chunk-segment-size": _NO_TSDB,
    "storage.tsdb.wal-segment-size": _NO_TSDB,
    "storage.tsdb.wal-compression-type": _NO_TSDB,
    "storage.tsdb.head-chunks-write-queue-size": _NO_TSDB,
    "storage.tsdb.samples-per-chunk": _NO_TSDB,
    "storage.tsdb.delayed-compaction.max-percent": _NO_TSDB,
    "storage.tsdb.delay-compact-file.path": _NO_TSDB,
    "storage.tsdb.block-reload-interval": _NO_TSDB,
    "storage.agent.path": "--storage.path is the directory",
    "storage.agent.wal-segment-size": _NO_AGENT,
    "storage.agent.wal-compression-type": _NO_AGENT,
    "storage.agent.wal-truncate-frequency": _NO_AGENT,
    "storage.agent.retention.min-time": _NO_AGENT,
    "storage.agent.retention.max-time": _NO_AGENT,
    "storage.agent.checkpoint-batch-size": _NO_AGENT,
    "storage.remote.flush-deadline": "what is left for remote_write at the end is kept in --storage.path",
    "storage.remote.read-sample-limit": _NO_REMOTE_READ,
    "storage.remote.read-concurrent-limit": _NO_REMOTE_READ,
    "storage.remote.read-max-bytes-in-frame": _NO_REMOTE_READ,
    "web.console.templates": _NO_CONSOLES,
    "web.console.libraries": _NO_CONSOLES,
    "web.local-assets": _LINKED,
    "web.user-assets": "there is no /user",
    "web.page-title": "the title of the pages is fixed",
    "web.read-timeout": "the time-outs of connections are fixed",
    "web.max-connections": "their number is not bounded: a proxy in front of it can",
    "web.max-notifications-subscribers": "how many may listen to notifications is fixed",
    "web.search.max-limit": "there is no search API",
    "web.remote-write-receiver.accepted-protobuf-messages": "it takes remote write 1.0 and 2.0, always",
    "rules.max-concurrent-evals": "groups are evaluated in one process, in turn",
    "scrape.timestamp-tolerance": "samples carry the moment that the scrape was planned for",
    "alertmanager.notification-queue-capacity": _ALL_SENT,
    "alertmanager.notification-batch-size": _ALL_SENT,
    "alertmanager.timeout": "timeout of an alertmanagers section in the configuration",
    "auto-gomemlimit.ratio": _GO,
    "auto-gomemlimit.refresh-interval": _GO,
}
_SWITCHES: Final = {
    "storage.tsdb.no-lockfile": _NO_TSDB,
    "storage.tsdb.allow-overlapping-blocks": _NO_TSDB,
    "storage.tsdb.allow-overlapping-compaction": _NO_TSDB,
    "storage.tsdb.wal-compression": _NO_TSDB,
    "storage.agent.wal-compression": _NO_AGENT,
    "storage.agent.no-lockfile": _NO_AGENT,
    "storage.agent.checkpoint-from-in-memory-series": _NO_AGENT,
    "agent": _NO_AGENT,
    "scrape.adjust-timestamps": "samples carry the moment that the scrape was planned for",
    "alertmanager.drain-notification-queue-on-shutdown": "what is pending is sent, or saved in --storage.path, always",
    "auto-gomaxprocs": _GO,
    "auto-gomemlimit": _GO,
}
# These leave out something that another process may count on.
_MISSED: Final = {
    "web.enable-admin-api": "there is no admin API: /api/v1/admin/ is not answered",
    "web.enable-otlp-receiver": "there is no OTLP receiver: use remote write, --web.enable-remote-write-receiver",
}

_ON: Final = "it is always on"
# Feature -> the same.
_FEATURES: Final = {
    "promql-experimental-functions": _ON,
    "promql-duration-expr": _ON,
    "promql-extended-range-selectors": _ON,
    "promql-at-modifier": _ON,
    "promql-negative-offset": _ON,
    "promql-binop-fill-modifiers": _ON,
    "expand-external-labels": _ON,
    "utf8-names": _ON,
    "no-default-scrape-port": _ON,
    "no-scrape-default-port": _ON,
    "new-service-discovery-manager": _ON,
    "exemplar-storage": "exemplars are not kept",
    "memory-snapshot-on-shutdown": "--storage.path keeps the samples that rules need over a restart",
    "metadata-wal-records": _NO_TSDB,
    "delayed-compaction": _NO_TSDB,
    "use-uncached-io": _NO_TSDB,
    "xor2-encoding": _NO_TSDB,
    "fast-startup": _NO_TSDB,
    "ooo-native-histograms": "samples are not taken out of order, floats neither",
    "histograms-st-encoding": _NO_TSDB,
    "promql-per-step-stats": "queries count no samples by step",
    "concurrent-rule-eval": "groups are evaluated in one process, in turn",
    "agent": _NO_AGENT,
    "old-ui": "there is one kind of pages",
    "search-api": "there is no search API",
    "auto-gomaxprocs": _GO,
    "auto-gomemlimit": _GO,
    "otlp-write-receiver": _MISSED["web.enable-otlp-receiver"],
    "otlp-deltatocumulative": _MISSED["web.enable-otlp-receiver"],
    "otlp-native-delta-ingestion": _MISSED["web.enable-otlp-receiver"],
}
# With these the values that rules see would be others.
_MISSED_FEATURES: Final = {
    "extra-scrape-metrics": "set extra_scrape_metrics: true in the configuration, in global or a job",
    "native-histograms": "set scrape_native_histograms: true in the configuration, in global or a job",
    "st-storage": "start timestamps are not kept",
    "st-synthesis": "start timestamps are not kept",
    "use-start-timestamps": "start timestamps are not kept",
}
FEATURES_WITHOUT_EFFECT: Final = frozenset(_FEATURES.keys() | _MISSED_FEATURES.keys())


class _WithoutEffect(argparse.Action):
    """Remembers the name that the flag was given by, and forgets a value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.without_effect = [*namespace.without_effect, option_string or ""]


def add_flags_without_effect(p: OptionContainer) -> None:
    """They do not show in the help; those that a command line has are in `without_effect`."""
    p.set_defaults(without_effect=[])
    for name in _WITH_VALUE:
        _add(p, [f"--{name}"], None)
    for name in (*_SWITCHES, *_MISSED):
        _add(p, [f"--{name}", f"--no-{name}"], 0)


def _add(p: OptionContainer, flags: Sequence[str], nargs: int | None) -> None:
    p.add_argument(
        *flags,
        dest="without_effect",
        action=_WithoutEffect,
        nargs=nargs,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def log_without_effect(flags: Sequence[str], features: frozenset[str]) -> None:
    """A line for each. `flags`: as they were given, with their dashes."""
    for flag in dict.fromkeys(flags):
        name = flag.removeprefix("--")
        if name in _MISSED:
            log.warning("flag has no effect here, %s: flag=%s", _MISSED[name], flag)
        else:
            base = name if name in _WITH_VALUE or name in _SWITCHES else name.removeprefix("no-")
            why = _WITH_VALUE.get(base) or _SWITCHES.get(base)
            if why is not None:  # --no- of what there is not
                log.info("flag has no effect here, %s: flag=%s", why, flag)
    for feature in sorted(features):
        if feature in _MISSED_FEATURES:
            log.warning("feature has no effect here, %s: feature=%s", _MISSED_FEATURES[feature], feature)
        elif feature in _FEATURES:
            log.info("feature has no effect here, %s: feature=%s", _FEATURES[feature], feature)
