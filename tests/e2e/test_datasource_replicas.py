"""Two evaluators with the same rules on one engine, which a third rulepush fills: one alert at a real Alertmanager."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Fleet
from tests.engines import engine
from tests.servers import alertmanager_command, free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: shared
  rules:
  - {record: "job:breach:max", expr: max by (job) (e2e_breach)}
  - {alert: Recorded, expr: "job:breach:max > 50"}
"""


def is_firing(fleet: Fleet) -> bool:
    return list(fleet.states().values()) == ["firing"]


def test_an_alert_of_both_is_one_and_outlives_either(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def active() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = get_json(f"{url}/api/v2/alerts")
        return found

    with contextlib.ExitStack() as stack:
        real = stack.enter_context(engine("victoria", tmp_path / "engine"))
        stack.enter_context(running(alertmanager_command(tmp_path / "am", port), tmp_path / "am.log", f"{url}/-/ready"))
        fleets = []
        for name in ("scraper", "a", "b"):
            (tmp_path / name).mkdir()
            fleet = Fleet(tmp_path / name, real, RULES if name != "scraper" else "groups: []", in_memory=False)
            stack.enter_context(contextlib.closing(fleet))
            fleet.flags = ["--rules.alert.resend-delay=1s"]
            sections = [f"{{static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"]
            jobs = [f"{{job_name: app, static_configs: [{{targets: ['{fleet.target.address}']}}]}}"]
            fleet.configure(jobs if name == "scraper" else [], sections)
            fleets.append(fleet)
        scraper, a, b = fleets
        scraper.target.value = 99
        stack.enter_context(scraper.rulepush())
        with a.rulepush() as first, b.rulepush():
            for fleet in (a, b):
                wait_for("firing", partial(is_firing, fleet))
            (alert,) = wait_for("the alert", active)
            first.kill()
            begin = time.monotonic()
            while time.monotonic() - begin < 6:  # what the killed one sent last has run out after 4 s
                assert [one["fingerprint"] for one in active()] == [alert["fingerprint"]]
            scraper.target.value = 0
            wait_for("the end", lambda: not active())
