"""Target: what is scraped, and how it stands. From discovered labels to a target: prometheus scrape/target.go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Final
from urllib.parse import quote, quote_plus

from rulepush.discovery.groups import ADDRESS
from rulepush.discovery.static import address_fault
from rulepush.errors import ScrapeError
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.gotext.goquote import go_quote
from rulepush.model.durations import format_duration, parse_duration
from rulepush.model.labels import EMPTY_LABELS, INSTANCE, JOB, Labels
from rulepush.model.secret import MASK, masked_parameters, tells_of_a_secret
from rulepush.relabel.relabel import Relabel
from rulepush.scrape.sharding import ScrapeSharding

SCHEME: Final = "__scheme__"
METRICS_PATH: Final = "__metrics_path__"
INTERVAL: Final = "__scrape_interval__"
TIMEOUT: Final = "__scrape_timeout__"
NATIVE: Final = "__scrape_native_histograms__"
CLASSIC_TOO: Final = "__always_scrape_classic_histograms__"
TO_CUSTOM_BUCKETS: Final = "__convert_classic_histograms_to_nhcb__"
HISTOGRAM_LABELS: Final = (NATIVE, CLASSIC_TOO, TO_CUSTOM_BUCKETS)
"""Each `true` or `false`, as strconv.ParseBool reads it. Prometheus 3.5 does not have them."""
_PARAM: Final = "__param_"
_META: Final = "__meta_"
_RESERVED: Final = "__"
_BOOLEANS: Final = {  # strconv.ParseBool
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}

Params = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class TargetDefaults:
    """What a job says about targets that do not say it themselves."""

    job_name: str
    interval_ms: int
    timeout_ms: int
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: Params = ()
    histograms: HistogramScraping = CLASSIC_ONLY

    @cached_property
    def pairs(self) -> dict[str, str]:
        """The settings as labels."""
        pairs = {
            JOB: self.job_name,
            INTERVAL: format_duration(self.interval_ms),
            TIMEOUT: format_duration(self.timeout_ms),
            METRICS_PATH: self.metrics_path,
            SCHEME: self.scheme,
            NATIVE: _boolean(self.histograms.native),
            CLASSIC_TOO: _boolean(self.histograms.classic_too),
            TO_CUSTOM_BUCKETS: _boolean(self.histograms.to_custom_buckets),
        }
        return pairs | {_PARAM + name: values[0] for name, values in self.params if values}


def _boolean(value: bool) -> str:
    return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Discovered:
    """A label set as a discovery gave it: a target's `own` labels, which win over those of its `group`, and these over
    the job's `defaults`. Kept in place of the labels together, which would be a copy of all of them for each target."""

    own: Labels
    defaults: TargetDefaults
    group: Labels = EMPTY_LABELS

    @property
    def labels(self) -> Labels:
        """All of them, built anew each time."""
        return Labels({**self.defaults.pairs, **dict(self.group.pairs), **dict(self.own.pairs)})


def shown_labels(labels: Labels) -> Labels:
    """Discovered labels for people: a `__param_` that is a secret, `__param_token`, is masked."""
    hidden = [name for name, _ in labels if name.startswith(_PARAM) and tells_of_a_secret(name.removeprefix(_PARAM))]
    return labels.with_(dict.fromkeys(hidden, MASK)) if hidden else labels


@dataclass(frozen=True)
class Target:
    """`found` is what relabelling made it of, `all_labels` are the labels after it, but for `__meta_*`."""

    found: Discovered
    all_labels: Labels
    params: Params
    interval_ms: int
    timeout_ms: int

    @property
    def discovered(self) -> Labels:
        """The labels before relabelling."""
        return self.found.labels

    @cached_property
    def labels(self) -> Labels:
        """The labels that its samples get."""
        return Labels(p for p in self.all_labels if not p[0].startswith(_RESERVED))

    @cached_property
    def label_text(self) -> str:
        """The labels in Prometheus' notation, the same at each scrape."""
        return str(self.labels)

    @cached_property
    def url(self) -> str:
        """What is fetched."""
        params = {name: list(values) for name, values in self.params if values}
        for name, value in self.all_labels:
            if name.startswith(_PARAM):
                params.setdefault(name.removeprefix(_PARAM), [""])[0] = value
        query = "&".join(f"{quote_plus(n)}={quote_plus(v)}" for n in sorted(params) for v in params[n])
        path = self.all_labels.get(METRICS_PATH)
        path = quote(path if path.startswith("/") else "/" + path, safe="/:@!$&'()*+,;=~-._")
        base = f"{self.all_labels.get(SCHEME)}://{self.all_labels.get(ADDRESS)}{path}"
        return f"{base}?{query}" if query else base

    def histograms(self, of_job: HistogramScraping) -> HistogramScraping:
        """What is made of its histograms: as the job says, but for what labels say otherwise."""
        labels = self.all_labels
        own = {
            "native": _BOOLEANS.get(labels.get(NATIVE), of_job.native),
            "classic_too": _BOOLEANS.get(labels.get(CLASSIC_TOO), of_job.classic_too),
            "to_custom_buckets": _BOOLEANS.get(labels.get(TO_CUSTOM_BUCKETS), of_job.to_custom_buckets),
        }
        made = replace(of_job, **own)
        return of_job if made == of_job else made

    @property
    def shown_url(self) -> str:
        """The URL for people: without the values of parameters that are secrets."""
        return masked_parameters(self.url)

    @property
    def job(self) -> str:
        """The job label that its samples get."""
        return self.labels.get(JOB)

    @property
    def key(self) -> tuple[Labels, str]:
        """Two targets with the same key are one."""
        return self.all_labels, self.url

    def __str__(self) -> str:
        return self.shown_url


class TargetHealth(Enum):
    """How the last scrape went."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class TargetStatus:
    """How a target stands; times in ms since the epoch, 0 for never.

    `failing_since`    the moment of the first of the failed scrapes in a row, 0 when the last one was good
    `samples_scraped`  in the last body, as far as it was read; `samples_kept` of them a rule needs
    `body_bytes`       of the last body, decompressed; 0 where there was none
    `skipped`          scrapes left out since the start, for rulepush had too much to do
    """

    health: TargetHealth = TargetHealth.UNKNOWN
    last_error: str = ""
    last_scrape: int = 0
    last_duration_s: float = 0.0
    failing_since: int = 0
    samples_scraped: int = 0
    samples_kept: int = 0
    body_bytes: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A discovered label set that relabelling dropped, or that is no target: then `error` says why. `shards` are those
    that scrape it, where it is left to others."""

    found: Discovered
    error: str = ""
    shards: tuple[int, ...] = ()

    @property
    def discovered(self) -> Labels:
        """The labels before relabelling."""
        return self.found.labels


def build_targets(
    found: Iterable[Labels],
    defaults: TargetDefaults,
    relabel: Relabel | None,
    sharding: ScrapeSharding | None = None,
) -> tuple[list[Target], list[Dropped]]:
    """All targets of a job that this shard scrapes, each once, in the order found; and what was dropped."""
    targets: dict[tuple[Labels, str], Target] = {}
    dropped: list[Dropped] = []
    for labels in found:
        discovered = Discovered(labels, defaults)
        try:
            target = build_target(discovered, relabel, sharding)
        except ScrapeError as e:
            dropped.append(Dropped(discovered, str(e)))
            continue
        if isinstance(target, Target):
            targets.setdefault(target.key, target)
        else:
            dropped.append(target)
    return list(targets.values()), dropped


def shared_label_warnings(targets: Iterable[tuple[Labels, str]]) -> list[str]:
    """A warning for each set of final labels that more than one target has, from (labels, URL) pairs: the series of
    these targets are the same, and the samples of one replace or refuse those of the other."""
    urls: dict[Labels, dict[str, None]] = {}
    for labels, url in targets:
        urls.setdefault(labels, {})[url] = None
    return [
        f"job {labels.get(JOB)!r}: {len(found)} targets have the same labels (instance {labels.get(INSTANCE)!r}), so "
        f"their series overwrite each other: give each an instance of its own: {', '.join(list(found)[:3])}"
        + (", ..." if len(found) > 3 else "")
        for labels, found in urls.items()
        if len(found) > 1
    ]


def with_defaults(labels: Labels, defaults: TargetDefaults) -> Labels:
    """Discovered labels with the job's settings as labels, where they are not set already."""
    return Discovered(labels, defaults).labels


def build_target(
    found: Discovered, relabel: Relabel | None, sharding: ScrapeSharding | None = None
) -> Target | Dropped:
    """The target of a label set, Dropped when relabelling drops it or only other shards scrape it: whether it is a
    target is then theirs to find. Raises ScrapeError."""
    labels = relabel(found.labels) if relabel is not None else found.labels
    if not labels:
        return Dropped(found)
    if sharding is not None:
        taken = sharding.taken(labels)
        if taken is None:
            return Dropped(found, shards=sharding.owners(labels))
        labels = taken
    address = labels.get(ADDRESS)
    if fault := address_fault(address):
        raise ScrapeError(fault)
    interval, timeout = _duration(labels, INTERVAL, "interval"), _duration(labels, TIMEOUT, "timeout")
    if timeout > interval:
        raise ScrapeError(
            f'scrape timeout cannot be greater than scrape interval ("{labels.get(TIMEOUT)}" >'
            f' "{labels.get(INTERVAL)}")'
        )
    _check_boolean(labels, TO_CUSTOM_BUCKETS, "convert classic histograms to nhcb")
    _check_boolean(labels, CLASSIC_TOO, "always scrape classic histograms")
    _check_boolean(labels, NATIVE, "scrape native histograms")
    pairs = {n: v for n, v in labels if not n.startswith(_META)}
    pairs.setdefault(INSTANCE, address)
    return Target(found, Labels(pairs), found.defaults.params, interval, timeout)


def _check_boolean(labels: Labels, name: str, what: str) -> None:
    value = labels.get(name)
    if value and value not in _BOOLEANS:
        raise ScrapeError(f"error parsing {what}: strconv.ParseBool: parsing {go_quote(value)}: invalid syntax")


def _duration(labels: Labels, name: str, what: str) -> int:
    try:
        ms = parse_duration(labels.get(name))
    except ValueError as e:
        raise ScrapeError(f"error parsing scrape {what}: {e}") from None
    if ms == 0:
        raise ScrapeError(f"scrape {what} cannot be 0")
    return ms
