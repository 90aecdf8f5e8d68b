"""What `rulepush push -- COMMAND` says of a job: the metrics of a run that goes on, and of one that has ended.

Both are pushed with POST, which keeps the metrics of other names: the start of a run leaves the results of the last
one, and a run that fails leaves the time of the last success (as in prometheus/client_java's example of a batch job).
Whether a run goes on is told by two timestamps, not by a flag: a push that arrives late, after the end, does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "rulepush_job_"
HELP: Final = {
    "last_start_timestamp_seconds": "When the last run of the job started; the job runs while this is after its end.",
    "last_end_timestamp_seconds": "When the last run of the job that came to an end did so.",
    "last_success_timestamp_seconds": "When the last run of the job that succeeded ended.",
    "last_duration_seconds": "How long the last run of the job that ended took.",
    "last_exit_code": "Exit code of the last run of the job that ended; 128 + N when signal N ended it.",
    "last_succeeded": "Whether the last run of the job that ended had exit code 0.",
    "max_age_seconds": "The last success of the job should not be older than this; 0 when nothing was said.",
    "max_duration_seconds": "A run of the job should not take longer than this; 0 when nothing was said.",
    "heartbeat_seconds": "While the job runs, a push comes at least this often; 0 for none.",
}


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What is expected of a job, in seconds; 0 when nothing was said. `heartbeat` is what the job itself promises."""

    max_age: float = 0.0
    max_duration: float = 0.0
    heartbeat: float = 0.0

    def values(self) -> dict[str, float]:
        """As metrics, without their prefix. All of them, for a POST would keep one that is no longer given."""
        return {
            "max_age_seconds": self.max_age,
            "max_duration_seconds": self.max_duration,
            "heartbeat_seconds": self.heartbeat,
        }


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run. `started_at` is in ms of wall time, `limits` go out with every push."""

    started_at: int
    limits: JobLimits

    def goes_on(self) -> bytes:
        """The body to push at its start, and while it runs."""
        return _text({"last_start_timestamp_seconds": self.started_at / 1000, **self.limits.values()})

    def ended(self, exit_code: int, seconds: float) -> bytes:
        """The body to push at its end. `seconds` are monotonic: the end is the start plus these, so that a clock that
        is set meanwhile cannot put the end before the start."""
        end = self.started_at / 1000 + seconds
        values = {
            "last_start_timestamp_seconds": self.started_at / 1000,
            "last_end_timestamp_seconds": end,
            "last_duration_seconds": seconds,
            "last_exit_code": float(exit_code),
            "last_succeeded": float(exit_code == 0),
            **self.limits.values(),
        }
        if exit_code == 0:
            values["last_success_timestamp_seconds"] = end
        return _text(values)


def _text(values: Mapping[str, float]) -> bytes:
    lines = []
    for name, value in values.items():
        full = PREFIX + name
        lines += [f"# HELP {full} {HELP[name]}", f"# TYPE {full} gauge", f"{full} {value:.15g}"]
    return ("\n".join(lines) + "\n").encode()
