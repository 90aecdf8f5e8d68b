"""rulepush's own metrics, and the `/metrics` text. The only file that imports prometheus_client for serving.

Numbers that other objects hold already are read when `/metrics` is asked for (`watch`), so that the code that does the
work counts with plain integers and knows nothing of telemetry.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from rulepush import __version__


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of an own metric: its label values and its number."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric that is read on demand. `name` has no `_total`; counters get it when written."""

    name: str
    help: str
    kind: str  # "counter" or "gauge"
    label_names: tuple[str, ...]
    read: Callable[[], Iterable[Reading]]


class Telemetry:
    """The registry of own metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics: list[OwnMetric] = []
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.gauge(
            "rulepush_build_info",
            "Version of rulepush and of the Python that runs it; always 1.",
            lambda: [Reading((__version__, platform.python_version()), 1)],
            ("version", "python_version"),
        )

    def counter(
        self, name: str, text: str, read: Callable[[], Iterable[Reading]], label_names: tuple[str, ...] = ()
    ) -> None:
        """Expose a number that only grows; `name` without its `_total`."""
        self._metrics.append(OwnMetric(name, text, "counter", label_names, read))

    def gauge(
        self, name: str, text: str, read: Callable[[], Iterable[Reading]], label_names: tuple[str, ...] = ()
    ) -> None:
        """Expose a number that goes up and down."""
        self._metrics.append(OwnMetric(name, text, "gauge", label_names, read))

    def describe(self) -> Iterable[Metric]:
        """Nothing known in advance: names come with the metrics."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Called by the registry when `/metrics` is asked for."""
        for metric in self._metrics:
            family_type = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = family_type(metric.name, metric.help, labels=metric.label_names)
            for reading in metric.read():
                family.add_metric(reading.labels, reading.value)
            yield family

    def render(self) -> bytes:
        """The text format 0.0.4."""
        text: bytes = generate_latest(self._registry)
        return text


def single(read: Callable[[], float]) -> Callable[[], Iterable[Reading]]:
    """A metric without labels from a function that gives its number."""
    return lambda: (Reading((), read()),)
