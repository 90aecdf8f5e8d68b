"""The getting-started page, walked word by word in an empty directory, with a simulated Nacos."""

from __future__ import annotations

import json
from pathlib import Path

from rulepush.clock import SystemClock
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.docs.walk import Walk
from tests.livecheck.servers import Reply, serving
from tests.servers import alertmanager_command, free_port, get_json, running, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "getting-started-nacos.md"


def _reply(path: str) -> Reply:
    if path == METRICS_PATH:
        return 200, "text/plain;version=0.0.4", FakeNacos("2.4.3").body(SystemClock().now())
    return 200, "application/json", b"{}"


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    port, am = free_port(), free_port()
    alertmanager = running(alertmanager_command(tmp_path / "am", am), tmp_path / "am.log", f"http://127.0.0.1:{am}/")
    with serving(_reply) as nacos, alertmanager:
        walk = Walk(
            PAGE,
            tmp_path / "walk",
            replace={
                "127.0.0.1:8848": nacos,
                "127.0.0.1:9093": f"127.0.0.1:{am}",
                "9095": str(port),
                "--storage.path data": f"--storage.path data --web.listen-address 127.0.0.1:{port}",
            },
            instead={"python3 -m venv": ":", ".venv/bin/pip install": ":"},
            excused={"management.endpoints": "a file of Nacos"},
            ready={"rulepush run": f"http://127.0.0.1:{port}/-/ready"},
        )
        with walk:
            walk.until("## 4.")
            walk.apply_to("prometheus.yml")
            assert "87 alerts" in walk.run("rulepush check config prometheus.yml")
            walk.until("## 5.")
            active = json.loads(walk.run(f"curl -s http://127.0.0.1:{port}/api/v1/targets"))["data"]["activeTargets"]
            assert sorted(t["labels"]["job"] for t in active) == ["nacos", "rulepush"]
            walk.until("## 6.")
            assert "0 with problems" in walk.output
            wait_for("the first alert", lambda: get_json(f"http://127.0.0.1:{am}/api/v2/alerts"), 60)
            walk.rest()
            assert json.loads(walk.output)[0]["labels"]["alertname"] == "Watchdog"
            assert (walk.cwd / "data").is_dir()
