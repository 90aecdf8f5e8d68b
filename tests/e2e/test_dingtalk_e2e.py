"""The relay behind a real Alertmanager, with a robot at the end that checks signatures and enforces the limits."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH, FakeDingTalk
from rulepush.model.timestamps import format_rfc3339
from tests.harness import Bench
from tests.robot_server import serving_robot
from tests.servers import Server, alertmanager_command, answers, free_port, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

SECRET = "SECe2e"


class _Chain:
    """Alertmanager, the relay, a robot: their ports and files."""

    def __init__(self, directory: Path, more: str = ""):
        self.directory = directory
        self.robot = FakeDingTalk(SystemClock(), secret=SECRET, keywords=("NacosDown", "Breach", "Alert"))
        self.am_port, self.relay_port, self.robot_port = free_port(), free_port(), free_port()
        self.config = directory / "dingtalk.yml"
        self.config.write_text(
            f"targets:\n  ops:\n    url: http://127.0.0.1:{self.robot_port}{PATH}?access_token=token\n"
            f"    secret: {SECRET}\n    mention: {{mobiles: ['13800000000']}}\n{more}"
        )

    @contextlib.contextmanager
    def relay(self) -> Iterator[Server]:
        command = rulepush_command(
            "dingtalk", f"--config.file={self.config}", f"--web.listen-address=127.0.0.1:{self.relay_port}"
        )
        ready = f"http://127.0.0.1:{self.relay_port}/-/ready"
        with running(command, self.directory / "relay.log", ready) as server:
            yield server

    @contextlib.contextmanager
    def alertmanager(self, group_wait: str = "0s", group_interval: str = "1s") -> Iterator[Server]:
        config = (
            f"route: {{receiver: dingtalk, group_by: [alertname], group_wait: {group_wait},"
            f" group_interval: {group_interval}}}\n"
            "receivers:\n- name: dingtalk\n  webhook_configs:\n"
            f"  - {{url: 'http://127.0.0.1:{self.relay_port}/dingtalk/ops/send', send_resolved: true}}\n"
        )
        command = alertmanager_command(self.directory / "am", self.am_port, config)
        ready = f"http://127.0.0.1:{self.am_port}/-/ready"
        with running(command, self.directory / "am.log", ready) as server:
            yield server

    def serving(self) -> contextlib.AbstractContextManager[None]:
        return serving_robot(self.robot, self.robot_port)

    def post(self, *names: str, resolved: bool = False) -> None:
        """Push alerts into Alertmanager."""
        now = int(time.time() * 1000)
        alerts: list[dict[str, Any]] = [
            {
                "labels": {"alertname": name, "instance": "10.0.0.1:8848", "severity": "critical"},
                "annotations": {"summary": f"{name} on 10.0.0.1:8848"},
                "startsAt": format_rfc3339(now - 60_000),
                "endsAt": format_rfc3339(now - 1000 if resolved else now + 300_000),
                "generatorURL": "http://rulepush:9095/graph?g0.expr=up",
            }
            for name in names
        ]
        answer = httpx.post(f"http://127.0.0.1:{self.am_port}/api/v2/alerts", json=alerts, trust_env=False, timeout=60)
        answer.raise_for_status()

    def titles(self) -> list[str]:
        return [m.title for m in self.robot.messages]


def test_an_alert_and_its_resolution_arrive_once_each(tmp_path: Path) -> None:
    chain = _Chain(tmp_path, "    lang: zh\n")
    with chain.serving(), chain.relay() as relay, chain.alertmanager():
        chain.post("NacosDown")
        wait_for("the alert", lambda: chain.titles())
        chain.post("NacosDown", resolved=True)
        wait_for("the resolution", lambda: len(chain.titles()) == 2)
        assert chain.titles() == ["【告警 1】 NacosDown", "【恢复 1】 NacosDown"]
        message = chain.robot.messages[0]
        assert "**NacosDown on 10.0.0.1:8848** (critical)" in message.text
        assert "持续 1分钟" in message.text
        assert message.text.endswith("@13800000000")
        assert message.at["atMobiles"] == ["13800000000"]
        assert relay.terminate() == 0
        assert "token=token" not in relay.output()
        assert SECRET not in relay.output()


def test_alertmanager_tries_again_while_the_robot_is_away(tmp_path: Path) -> None:
    chain = _Chain(tmp_path)
    with chain.relay() as relay, chain.alertmanager():
        chain.post("NacosDown")
        wait_for("a failed try", lambda: "cannot be reached" in relay.output())
        with chain.serving():
            wait_for("the alert", lambda: chain.titles(), 60)
            assert chain.titles() == ["[FIRING:1] NacosDown"]


def test_alertmanager_does_not_repeat_what_the_robot_refuses(tmp_path: Path) -> None:
    chain = _Chain(tmp_path)
    chain.robot.keywords = ("something else",)
    with chain.serving(), chain.relay() as relay, chain.alertmanager(group_interval="1h"):
        chain.post("NacosDown")
        wait_for("the refusal", lambda: "put one of the robot's keywords" in relay.output())
        wait_for("Alertmanager's verdict", lambda: "unrecoverable error" in (tmp_path / "am.log").read_text())
        assert chain.robot.requests == 1


def test_a_burst_stays_within_the_limit_and_tells_of_every_alert(tmp_path: Path) -> None:
    chain = _Chain(tmp_path)
    names = [f"Alert{i:02d}" for i in range(40)]
    with chain.serving(), chain.relay(), chain.alertmanager():
        chain.post(*names)
        wait_for(
            "every alert",
            lambda: all(any(n in m.title or f"{n}:" in m.text for m in chain.robot.messages) for n in names),
            40,
        )
        assert chain.robot.requests == len(chain.robot.messages) <= 20
        assert any(m.title.startswith("[DIGEST]") for m in chain.robot.messages)


def test_sighup_takes_a_new_configuration(tmp_path: Path) -> None:
    chain = _Chain(tmp_path)
    with chain.serving(), chain.relay() as relay, chain.alertmanager():
        chain.config.write_text(chain.config.read_text() + "    lang: zh\n")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: "configuration loaded" in relay.output())
        chain.post("NacosDown")
        wait_for("the alert", lambda: chain.titles())
        assert chain.titles() == ["【告警 1】 NacosDown"]


def test_the_whole_road_from_a_metric_to_the_group(tmp_path: Path) -> None:
    bench, chain = Bench(tmp_path), _Chain(tmp_path)
    chain.am_port = bench.ports[0]
    with chain.serving(), chain.relay(), chain.alertmanager(), bench.rulepush():
        bench.target.value = 99
        wait_for("the alert", lambda: chain.titles())
        bench.target.value = 0
        wait_for("the resolution", lambda: len(chain.titles()) == 2)
        assert chain.titles() == ["[FIRING:1] Breach", "[RESOLVED:1] Breach"]
        assert f"**{bench.target.address} is at 99**" in chain.robot.messages[0].text
        assert answers(f"http://127.0.0.1:{chain.relay_port}/-/healthy")
