"""`rulepush test rules` beside `promtool test rules`: the same generated files, one after the other on one machine.

    .venv/bin/python benchmarks/rule_tests_vs_promtool.py [--repeat 3]

Each case is a kind that real test files are slow in: long subqueries at every tick, a rate within a subquery, a test of
many days. The time is CPU time of the process, start included; below 1 we are faster. Both must pass every file.
promtool is the one on the PATH.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TestCase:
    """A rule file's expressions, and how long and over which series the test runs."""

    exprs: tuple[str, ...]
    interval: str
    values: str
    until: str


SCENARIOS = 6  # of each case in its file, so that the start of the process does not decide
CASES = {
    "range of 12h": TestCase(("avg_over_time(x[12h]) > 1e9",) * 4, "5m", "0+0x144 2+0x288", "25h"),
    "subquery of 12h": TestCase(("avg_over_time((x or on() vector(1))[12h:]) > 1e9",), "5m", "0+0x144 2+0x288", "25h"),
    "rate in a subquery": TestCase(("rate(x[5m]) < 0.5 * avg_over_time(rate(x[5m])[1h:])",) * 3, "1m", "0+9x600", "8h"),
    "many days": TestCase(
        ("x == 2 and on(i) y == 1", "sum by (i) (x) > 9", "x offset 5m > 9"), "2m", "1x10000000", "8d"
    ),
}


def write(case: TestCase, folder: Path) -> Path:
    rules = "".join(f"  - {{alert: A{i}, expr: '{expr}'}}\n" for i, expr in enumerate(case.exprs))
    (folder / "rules.yml").write_text(f"groups:\n- name: g\n  rules:\n{rules}")
    series = "".join(f"  - {{series: 'x{{i=\"{i}\"}}', values: '{case.values}'}}\n" for i in range(3))
    test = folder / "test.yml"
    test.write_text(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n"
        + f"- interval: {case.interval}\n  input_series:\n{series}  alert_rule_test:\n"
        f"  - {{alertname: A9, eval_time: {case.until}, exp_alerts: []}}\n" * SCENARIOS
    )
    return test


def cpu_seconds(command: list[str]) -> float:
    """CPU time of a command. Exits when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    print(f"{'':22}{'promtool':>10}{'rulepush':>10}{'ratio':>8}   ({os.cpu_count()} cores)")
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            test = str(write(case, Path(folder)))
            ours = [sys.executable, "-m", "rulepush", "test", "rules", test]
            theirs = ["promtool", "test", "rules", test]
            a, b = (statistics.median(cpu_seconds(c) for _ in range(repeat)) for c in (theirs, ours))
        print(f"{name:22}{a:9.2f}s{b:9.2f}s{b / a:8.2f}")


if __name__ == "__main__":
    main()
