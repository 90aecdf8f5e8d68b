"""LiveData: what the targets exposed, indexed for the checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from rulepush.histogram.sample import HistogramSample
from rulepush.livecheck.kinds import TargetKind, kinds_of
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, exact_metric_name
from rulepush.model.sample import Sample
from rulepush.nacos.diagnose import TargetProblem
from rulepush.nacos.knowledge import release_range
from rulepush.nacos.releases import Release
from rulepush.scrape.target import shared_label_warnings
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape at `ts` (ms), which took `seconds`. `samples` hold their final labels; `types` go by the names of
    `# TYPE` lines."""

    ts: int
    samples: tuple[Sample, ...] = ()
    types: Mapping[str, str] | None = None
    trouble: TargetProblem | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TargetScrapes:
    """One target and its scrapes, oldest first, at least one."""

    job: str
    url: str
    labels: Labels
    scrapes: tuple[Scrape, ...]

    @property
    def trouble(self) -> TargetProblem | None:
        """What was wrong at the last scrape."""
        return self.scrapes[-1].trouble


@dataclass(frozen=True, slots=True)
class SilentJob:
    """A job without targets, and why. `meant`: intended by its configuration (shards). `in_part`: it has some, but a
    discovery failed that knows of more."""

    name: str
    reason: str
    meant: bool = False
    in_part: bool = False


class LiveData:
    """Everything that was scraped.

    `labels_known`  whether the targets' own labels are those of the real configuration; with `--target` they are not,
                    and a matcher on a label that no body has cannot be judged
    `silent`        the jobs without targets
    `more`          samples that no scrape brought: recorded, pushed
    `head`          the samples, with `up` and the other series of a scrape; recorded series are added by the analysis
    """

    def __init__(
        self,
        answers: Sequence[TargetScrapes],
        *,
        labels_known: bool = True,
        silent: Sequence[SilentJob] = (),
        more: Iterable[Sample] = (),
    ):
        self.answers = tuple(answers)
        self.silent = tuple(silent)
        self.labels_known = labels_known
        self.head = Head(Demand.keep_all(_DAY_MS))
        self._types: dict[str, str] = {}
        self._series: dict[str, dict[Labels, float]] = {}
        self._natives: set[str] = set()
        for answer in self.answers:
            for scrape in answer.scrapes:
                self._types.update(scrape.types or {})
                self._add(scrape.samples)
                self._add(_own_series(answer.labels, scrape))
        self._exposed = frozenset(self._series)
        self._add(more)
        self.times = tuple(sorted({scrape.ts for answer in self.answers for scrape in answer.scrapes}))

    def _add(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            self.keep(sample)
            self._series.setdefault(sample.labels.name, {})[sample.labels] = sample.value

    def keep(self, sample: Sample) -> None:
        """Put a sample into the head."""
        if isinstance(sample, HistogramSample):
            self._natives.add(sample.labels.name)
            self.head.append_histogram(sample.labels, sample.ts, sample.histogram)
        else:
            self.head.append(sample.labels, sample.ts, sample.value)

    @property
    def now(self) -> int:
        """The time of the last scrape."""
        return self.times[-1]

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted(self._series))

    @cached_property
    def shared_labels(self) -> tuple[str, ...]:
        """A warning for each set of labels that several targets have."""
        return tuple(shared_label_warnings((answer.labels, answer.url) for answer in self.answers))

    @cached_property
    def nacos_releases(self) -> tuple[tuple[Release, Release, str], ...]:
        """For each Nacos server that answered, the lowest and the highest release that it may be, and their name."""
        found = (nacos_releases_of(answer) for answer in self.answers)
        return tuple(releases for releases in found if releases is not None)

    @cached_property
    def any_trouble(self) -> bool:
        """Whether some target gave nothing, or a job has no target, so that a missing series may exist there."""
        return any(answer.trouble for answer in self.answers) or not all(job.meant for job in self.silent)

    @cached_property
    def nothing(self) -> bool:
        """Whether no target answered."""
        return all(answer.trouble for answer in self.answers)

    def series(self, metric: str) -> Mapping[Labels, float]:
        """The series of a metric with their last values."""
        return self._series.get(metric, {})

    def matching(self, matchers: Iterable[Matcher]) -> dict[Labels, float]:
        """The series that satisfy all of the matchers."""
        wanted = tuple(matchers)
        name = exact_metric_name(wanted)
        pools = [self.series(name)] if name is not None else list(self._series.values())
        return {
            labels: value
            for pool in pools
            for labels, value in pool.items()
            if all(m.matches_labels(labels) for m in wanted)
        }

    def values_of(self, metric: str, label: str) -> tuple[str, ...]:
        """The values that a label has on the series of a metric, sorted, "" left out."""
        return tuple(sorted({labels.get(label) for labels in self.series(metric)} - {""}))

    def label_names(self, metric: str) -> tuple[str, ...]:
        """The label names of a metric, sorted, without __name__."""
        return tuple(sorted({name for labels in self.series(metric) for name, _ in labels} - {METRIC_NAME}))

    def may_be_native(self, metric: str) -> bool:
        """Whether series of a metric are native histograms, or may be: of what no target exposes that is not known.
        The series of a classic histogram have suffixes."""
        return self.is_native(metric) or metric not in self._exposed

    def is_native(self, metric: str) -> bool:
        """Whether series of a metric are native histograms."""
        typed = metric in self._exposed and self._types.get(metric) in ("histogram", "gaugehistogram")
        return typed or metric in self._natives

    def type_of(self, metric: str) -> str:
        """counter, gauge, ...; "" when nothing says so. Parts of a summary or histogram count as counters."""
        known = self._types.get(metric)
        if known is not None:
            return known
        if metric.endswith("_total") and self._types.get(metric.removesuffix("_total")) == "counter":
            return "counter"  # OpenMetrics names the family without its suffix
        for part in ("_count", "_sum", "_bucket"):
            if metric.endswith(part) and self._types.get(metric.removesuffix(part)) in ("summary", "histogram"):
                return "counter"
        return ""


def nacos_releases_of(answer: TargetScrapes) -> tuple[Release, Release, str] | None:
    """The releases that the last scrape of a target may be of; None when it is not Nacos."""
    names = frozenset(s.labels.name for s in answer.scrapes[-1].samples)
    return release_range(names, monitor_names_of(answer))


def target_kinds(answer: TargetScrapes) -> frozenset[TargetKind]:
    """What the target looks like, by its last scrape. Empty when nothing tells."""
    return kinds_of((s.labels.pairs for s in answer.scrapes[-1].samples), urlsplit(answer.url).path)


def monitor_names_of(answer: TargetScrapes) -> frozenset[str]:
    """The values of `name` in nacos_monitor on this server: they differ by release."""
    return frozenset(s.labels.get("name") for s in answer.scrapes[-1].samples if s.labels.name == "nacos_monitor")


def _own_series(target: Labels, scrape: Scrape) -> list[Sample]:
    """The series that every scrape makes about itself."""
    kept = float(len(scrape.samples))
    values = {"up": 0.0 if scrape.trouble else 1.0, "scrape_duration_seconds": scrape.seconds}
    values["scrape_series_added"] = 0.0
    values |= {"scrape_samples_scraped": kept, "scrape_samples_post_metric_relabeling": kept}
    return [Sample(target.with_({METRIC_NAME: name}), scrape.ts, value) for name, value in values.items()]
