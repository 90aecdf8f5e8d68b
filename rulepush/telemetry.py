"""The registry of rulepush's own metrics, and the text of `/metrics`.

The code that does the work counts with plain integers in a `*Stats` object and knows nothing of telemetry. The
`metrics.py` of each package registers functions that read these numbers when `/metrics` is asked for. The text is
written here: it is a few lines, and prometheus_client would cost a sidecar more than a MiB.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rulepush import __version__
from rulepush.model.floats import format_float

_PROC: Final = Path("/proc")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MetricReading:
    """One sample of an own metric: its label values and its number."""

    labels: tuple[str, ...]
    value: float


Readings = Callable[[], Iterable[MetricReading]]
"""Reads a metric now: one reading for each set of label values."""


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric that is read on demand. `name` has no `_total`; counters get it when written."""

    name: str
    help: str
    kind: str  # "counter" or "gauge"
    label_names: tuple[str, ...]
    read: Readings


class Telemetry:
    """The registry of own metrics."""

    def __init__(self) -> None:
        self._metrics: list[OwnMetric] = []
        self.gauge(
            "rulepush_build_info",
            "Version of rulepush and of the Python that runs it; always 1.",
            lambda: [MetricReading((__version__, platform.python_version()), 1)],
            ("version", "python_version"),
        )
        _process(self)

    def counter(self, name: str, text: str, read: Readings, label_names: tuple[str, ...] = ()) -> None:
        """Expose a number that only grows; `name` without its `_total`."""
        self._metrics.append(OwnMetric(name, text, "counter", label_names, read))

    def gauge(self, name: str, text: str, read: Readings, label_names: tuple[str, ...] = ()) -> None:
        """Expose a number that goes up and down."""
        self._metrics.append(OwnMetric(name, text, "gauge", label_names, read))

    def metrics(self) -> Sequence[OwnMetric]:
        """All that are registered."""
        return self._metrics

    def render(self) -> bytes:
        """The text format 0.0.4."""
        return "".join(line for metric in self._metrics for line in _lines(metric)).encode()


def single(read: Callable[[], float]) -> Readings:
    """Reads a metric without labels from a function that returns its number."""
    return lambda: (MetricReading((), read()),)


def for_each(items: Callable[[], Iterable[T]], label: Callable[[T], str], number: Callable[[T], float]) -> Readings:
    """Reads a metric with one label from objects that come and go: `label` and `number` of each of `items()`."""
    return lambda: [MetricReading((label(item),), number(item)) for item in items()]


def _lines(metric: OwnMetric) -> Iterator[str]:
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"
    for reading in metric.read():
        pairs = ",".join(f'{n}="{_escaped(v)}"' for n, v in zip(metric.label_names, reading.labels, strict=True))
        yield (
            f"{name}{{{pairs}}} {format_float(float(reading.value))}\n"
            if pairs
            else (f"{name} {format_float(float(reading.value))}\n")
        )


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def resident_bytes() -> int:
    """The resident memory of this process; 0 where it is not known."""
    try:
        return int((_PROC / "self/statm").read_text().split()[1]) * _page_size()
    except (OSError, IndexError, ValueError):  # not Linux
        return 0


# --- the process itself, under the names that every Prometheus client library uses


def _process(t: Telemetry) -> None:
    t.counter(
        "process_cpu_seconds", "User and system CPU time spent.", _from_proc(lambda f: (f[11] + f[12]) / _ticks())
    )
    t.gauge("process_resident_memory_bytes", "Resident memory.", _from_proc(lambda f: f[21] * _page_size()))
    t.gauge("process_virtual_memory_bytes", "Virtual memory.", _from_proc(lambda f: f[20]))
    t.gauge(
        "process_start_time_seconds",
        "Start of the process since the Unix epoch.",
        _from_proc(lambda f: _boot_time() + f[19] / _ticks()),
    )
    t.gauge("process_open_fds", "Open file descriptors.", _open_fds)


def _from_proc(number: Callable[[list[int]], float]) -> Readings:
    """`number` of the fields of /proc/self/stat after the command's name; proc(5) counts the first of them as 3."""

    def read() -> Iterable[MetricReading]:
        try:
            fields = (_PROC / "self/stat").read_text().rpartition(")")[2].split()
            return (MetricReading((), number([int(f) if f.lstrip("-").isdigit() else 0 for f in fields])),)
        except OSError:  # not Linux
            return ()

    return read


def _open_fds() -> Iterable[MetricReading]:
    try:
        return (MetricReading((), len(os.listdir(_PROC / "self/fd"))),)
    except OSError:
        return ()


def _boot_time() -> int:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")


def _page_size() -> int:
    return os.sysconf("SC_PAGE_SIZE")
