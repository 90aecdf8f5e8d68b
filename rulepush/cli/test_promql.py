"""`rulepush test promql`: run PromQL test scripts, in the format of Prometheus' own tests."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from rulepush.cli.options import Subparsers, add_command
from rulepush.cli.progress import shown_progress
from rulepush.cli.terminal import Ink, inked
from rulepush.promql.testscript import CaseOutcome, CaseResult, run_script


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """`promql FILE.test...`"""
    p = add_command(
        subparsers,
        "promql",
        "Run PromQL test scripts, in the format of Prometheus' own promqltest (load, clear, eval, expect).",
        {0: "No case failed.", 1: "At least one case failed, or a file cannot be read."},
        ["rulepush test promql functions.test"],
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="Test scripts to run.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 when no case failed."""
    totals: Counter[CaseOutcome] = Counter()
    with shown_progress(sys.stderr) as line:
        for i, file in enumerate(args.files):
            try:
                text = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as e:
                reason = f"cannot be read: {e.strerror}" if isinstance(e, OSError) else "is not valid UTF-8"
                line.clear()
                print(inked(f"{file}: {reason}", Ink.ERROR, sys.stderr), file=sys.stderr)
                totals[CaseOutcome.FAILED] += 1
                continue
            lines = text.count("\n") + 1
            for result in run_script(text):
                line.show((i + result.line / lines) / len(args.files), f"{file}:{result.line}")
                totals[result.outcome] += 1
                if result.outcome is CaseOutcome.FAILED:
                    line.clear()
                    _print_failure(file, result)
    summary = ", ".join(f"{totals[outcome]} {outcome.value}" for outcome in CaseOutcome)
    print(inked(summary, Ink.ERROR if totals[CaseOutcome.FAILED] else Ink.GOOD, sys.stdout))
    return 1 if totals[CaseOutcome.FAILED] else 0


def _print_failure(file: str, result: CaseResult) -> None:
    print(inked(f"{file}:{result.line}: failed: {result.header}", Ink.ERROR, sys.stdout))
    if result.variant:
        print(f"    asked:    {result.variant}")
    print(f"    expected: {result.expected}")
    print(f"    got:      {result.got}")
