"""The text of /metrics, read by the parser that everybody uses."""

from __future__ import annotations

import os
import time

from prometheus_client.parser import text_string_to_metric_families

from rulepush.telemetry import MetricReading, Telemetry, single


def read(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(telemetry.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_counters_get_total_and_labels_survive_any_text() -> None:
    telemetry = Telemetry()
    nasty = 'C:\\x "quoted"\nnext {line}'
    telemetry.counter("rulepush_things", "Things.\nBack\\slash.", lambda: [MetricReading((nasty, "b"), 3)], ("a", "c"))
    telemetry.gauge("rulepush_level", "Level.", single(lambda: -1.5))
    telemetry.gauge("rulepush_nothing", "No reading yet.", list)
    found = read(telemetry)
    assert found["rulepush_things_total", (("a", nasty), ("c", "b"))] == 3
    assert found["rulepush_level", ()] == -1.5
    assert not any(name == "rulepush_nothing" for name, _ in found)
    assert b"# HELP rulepush_things_total Things.\\nBack\\\\slash.\n" in telemetry.render()


def test_the_process_is_described_under_the_usual_names() -> None:
    found = read(Telemetry())
    assert 1 << 20 < found["process_resident_memory_bytes", ()] < found["process_virtual_memory_bytes", ()]
    assert found["process_cpu_seconds_total", ()] > 0
    assert found["process_open_fds", ()] >= 3
    times = os.times()
    assert abs(found["process_cpu_seconds_total", ()] - (times.user + times.system)) < 1
    assert time.time() - 86_400 < found["process_start_time_seconds", ()] < time.time() + 1


def test_large_counts_keep_every_digit() -> None:
    telemetry = Telemetry()
    telemetry.counter("rulepush_bytes", "Bytes.", single(lambda: 123456789012))
    assert b"rulepush_bytes_total 123456789012\n" in telemetry.render()
