"""The getting-started pages, walked word by word in an empty directory to the message in the group: real Alertmanager,
rulepush and relay; Nacos and the robot are simulated."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH, FakeDingTalk
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.docs.walk import Walk
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.robot_server import serving_robot
from tests.servers import binary, free_port, get_json, wait_for

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "SEC8f1d0b2c94e7a653"
TOKEN = "d04be7a9216f58c3"
FASTER = {
    "prometheus.yml": {"15s": "1s"},
    "alertmanager.yml": {"group_wait: 10s": "group_wait: 1s", "group_interval: 1m": "group_interval: 2s"},
    "rules/nacos.yml": {"for: 30s": "for: 1s"},
}
"""Seconds in place of minutes, in the files that were written."""
TITLES = {
    "getting-started-nacos.md": ["[FIRING:1] NacosServerDown nacos", "[RESOLVED:1] NacosServerDown nacos"],
    "getting-started-nacos.zh.md": ["【告警 1】 NacosServerDown nacos", "【恢复 1】 NacosServerDown nacos"],
}


class _Nacos:
    """A lone Nacos that can be stopped and started at its address."""

    def __init__(self) -> None:
        self.stopped = False
        self._fake = FakeNacos("2.4.3")
        self._server = LoopbackServer(self._answer)
        self.address = self._server.address
        self.close = self._server.close

    def _answer(self, request: HttpRequest) -> HttpReply:
        if self.stopped:
            return HttpReply(b"", 503)
        if request.path == METRICS_PATH:
            return HttpReply(self._fake.body(SystemClock().now()))
        return HttpReply(b"{}", 404, "application/json")


@pytest.mark.parametrize("page", list(TITLES))
def test_the_page_can_be_followed_into_the_group(tmp_path: Path, page: str) -> None:
    port, am, relay, robot_port = (free_port() for _ in range(4))
    robot = FakeDingTalk(SystemClock(), token=TOKEN, secret=SECRET)
    alertmanager = binary("prometheus-alertmanager")
    with contextlib.closing(_Nacos()) as nacos, serving_robot(robot, robot_port):
        walk = Walk(
            DOCS / page,
            tmp_path / "walk",
            replace={
                "127.0.0.1:8848": nacos.address,
                "127.0.0.1:9093": f"127.0.0.1:{am}",
                "127.0.0.1:8060": f"127.0.0.1:{relay}",
                "127.0.0.1:9095": f"127.0.0.1:{port}",
                "0.0.0.0:9095": f"127.0.0.1:{port}",
                "192.168.1.10:9095": f"127.0.0.1:{port}",
                "https://oapi.dingtalk.com/robot/send?access_token=YOUR_TOKEN": (
                    f"http://127.0.0.1:{robot_port}{PATH}?access_token={TOKEN}"
                ),
                "SEC_YOUR_SECRET": SECRET,
            },
            instead={
                "python3 -m venv": ":",
                ".venv/bin/pip install": ":",
                "alertmanager ": f"{alertmanager} --config.file=alertmanager.yml --storage.path=alertmanager-data "
                f"--cluster.listen-address= --web.listen-address=127.0.0.1:{am}",
                "rulepush dingtalk": "rulepush dingtalk --config.file=dingtalk.yml --storage.path=relay-data "
                f"--web.listen-address=127.0.0.1:{relay}",
            },
            excused={"management.endpoints": "a file of Nacos"},
            ready={"rulepush run": f"http://127.0.0.1:{port}/-/ready"},
        )
        with walk:
            walk.until("## 4.")
            walk.apply_to("prometheus.yml", "alertmanager.yml")
            for name, changes in FASTER.items():
                text = (walk.cwd / name).read_text(encoding="utf-8")
                for old, new in changes.items():
                    assert old in text, (name, old)
                    text = text.replace(old, new)
                (walk.cwd / name).write_text(text, encoding="utf-8")
            walk.until("## 5.")
            rules = [path.read_text(encoding="utf-8") for path in (walk.cwd / "rules").iterdir()]
            assert len(rules) == 4
            alerts = sum(text.count("- alert: ") for text in rules)
            assert f"{alerts} alerts" in walk.run("rulepush check config prometheus.yml")
            walk.until("## 6.")
            active = json.loads(walk.run(f"curl -s http://127.0.0.1:{port}/api/v1/targets"))["data"]["activeTargets"]
            assert sorted(t["labels"]["job"] for t in active) == ["nacos", "rulepush"]
            walk.until("## 7.")
            assert walk.output.endswith("The alert arrived.\n")
            tested = len(robot.messages)
            assert tested == 2, "the test alert and its resolution"
            walk.until("## 8.")
            assert "0 with problems" in walk.output
            nacos.stopped = True
            received = f"http://127.0.0.1:{am}/api/v2/alerts"
            wait_for("the alert", lambda: get_json(received, filter='alertname="NacosServerDown"'), 60)
            walk.rest()
            assert "NacosServerDown" in {a["labels"]["alertname"] for a in json.loads(walk.output)}
            wait_for("the message", lambda: len(robot.messages) > tested, 60)
            nacos.stopped = False
            wait_for("its resolution", lambda: len(robot.messages) > tested + 1, 60)
            assert [m.title for m in robot.messages[tested:]] == TITLES[page]
            assert (walk.cwd / "data").is_dir()
