"""How many instructions the same work takes in two revisions: of rules, queries, scrapes, remote write and storage.

    .venv/bin/python benchmarks/instructions.py BEFORE [AFTER] [--only rules]

BEFORE and AFTER are revisions of git; without AFTER it is the work tree. `valgrind --tool=callgrind` counts: what else
the machine does makes no difference, and a second run differs by some 0.1 %. What waits for memory or for the disk is
not seen, and valgrind's processor has no AVX-512. The cases are in `instruction_cases.py`, with hashes and the
collector held still. A whole run takes some minutes. Exit code 1 when a case takes over `--limit` per cent more.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parent
MARKS: Final = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(void) { CALLGRIND_DUMP_STATS; CALLGRIND_STOP_INSTRUMENTATION; }
"""
_SUMMARY: Final = re.compile(r"^summary: (\d+)", re.MULTILINE)


def unpacked(revision: str, into: Path) -> Path:
    """The directory that holds the package of a revision; of the work tree when it is empty."""
    if not revision:
        return PROJECT
    into.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(PROJECT), "archive", revision, "rulepush"], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(into)], check=True, input=archive)
    return into


def started(source: Path, home: Path, only: str) -> subprocess.Popen[str]:
    """The cases under callgrind, which leaves a file for each."""
    home.mkdir()
    library = home / "marks.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], check=True, input=MARKS, text=True)
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={home}/out", "--instr-atstart=no", "-q"]
    command += [sys.executable, str(HERE / "instruction_cases.py"), f"--only={only}", f"--marks={library}"]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": f"{source}:{HERE}", "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True)


def counted(run: subprocess.Popen[str], home: Path) -> dict[str, float]:
    """Instructions a step, by case."""
    printed, _ = run.communicate()
    if run.returncode:
        raise SystemExit("the cases do not run with this revision")
    found = {}
    for i, line in enumerate(printed.splitlines()):
        steps, name = line.split("\t")
        summary = _SUMMARY.search((home / f"out.{i + 1}").read_text())
        assert summary is not None
        found[name] = int(summary[1]) / int(steps)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after", nargs="?", default="")
    parser.add_argument("--only", default="", help="only the cases whose names have this in them")
    parser.add_argument("--limit", type=float, default=0.5, help="per cent")
    args = parser.parse_args()
    if shutil.which("valgrind") is None or shutil.which("gcc") is None:
        raise SystemExit("valgrind (with its headers) and gcc are needed: apt install valgrind gcc")
    with tempfile.TemporaryDirectory(prefix="instructions-") as made:
        home = Path(made)
        sources = [unpacked(revision, home / name) for name, revision in (("a", args.before), ("b", args.after))]
        runs = [started(source, home / f"run{i}", args.only) for i, source in enumerate(sources)]
        before, after = (counted(run, home / f"run{i}") for i, run in enumerate(runs))
    over = 0
    for name, was in before.items():
        more = 100 * (after[name] / was - 1)
        over += more > args.limit
        print(f"{name:45} {was / 1e6:10.3f} {after[name] / 1e6:10.3f} million {more:+7.2f} %")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
