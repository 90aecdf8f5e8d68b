"""What `rulepush init nacos` writes, started with the commands of its README, brings the death of a Nacos into a group:
real Alertmanager, rulepush and relay; Nacos and the robot are simulated."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH, FakeDingTalk
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.robot_server import serving_robot
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

SECRET = "SEC4c9f27d1b80e6a35"
TOKEN = "b7d2a91c58e3f704"


class _Nacos:
    """A lone Nacos whose metrics can go away and come back at its address."""

    def __init__(self) -> None:
        self.dead = False
        self._fake = FakeNacos("2.4.3")
        self._server = LoopbackServer(self._answer)
        self.address = self._server.address

    def _answer(self, request: HttpRequest) -> HttpReply:
        if self.dead:
            return HttpReply(b"", 503)
        if request.path == METRICS_PATH:
            return HttpReply(self._fake.body(SystemClock().now()))
        return HttpReply(b"{}", 404, "application/json")

    def close(self) -> None:
        self._server.close()


def _commands(readme: str) -> dict[str, list[str]]:
    """The commands of the first block of the README, by their programs."""
    block = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    lines = [shlex.split(line) for line in block[1].splitlines()]
    return {words[1] if words[0] == "rulepush" else "alertmanager": words for words in lines}


@contextlib.contextmanager
def _started(directory: Path, ports: dict[str, int]) -> Iterator[None]:
    """The README's three commands, each at a free port."""
    commands = _commands((directory / "README.md").read_text(encoding="utf-8"))
    assert list(commands) == ["alertmanager", "dingtalk", "run"], "in the order in which they need each other"
    with contextlib.ExitStack() as stack:
        for name, words in commands.items():
            command = words if name == "alertmanager" else rulepush_command(*words[1:])
            command.append(f"--web.listen-address=127.0.0.1:{ports[name]}")
            ready = f"http://127.0.0.1:{ports[name]}/-/ready"
            stack.enter_context(running(command, directory.parent / f"{name}.log", ready, cwd=directory))
        yield


def test_the_first_message_and_its_end_are_in_the_group_in_chinese(tmp_path: Path) -> None:
    binary("prometheus-alertmanager")  # or there is nothing to start
    nacos = _Nacos()
    robot = FakeDingTalk(SystemClock(), token=TOKEN, secret=SECRET)
    ports = {"alertmanager": free_port(), "dingtalk": free_port(), "run": free_port()}
    robot_port = free_port()
    directory = tmp_path / "alerts"
    url = f"http://127.0.0.1:{robot_port}{PATH}?access_token={TOKEN}"
    words = ["init", "nacos", "--server", nacos.address, "--dingtalk", url, "--secret", SECRET]
    assert main([*words, "--lang", "zh", "--external-url", "https://alerts.example.com", "--dir", str(directory)]) == 0
    _at_ports_and_faster(directory, ports)
    with contextlib.closing(nacos), serving_robot(robot, robot_port), _started(directory, ports):
        query = f"http://127.0.0.1:{ports['run']}/api/v1/query"
        wait_for("the first scrape", lambda: get_json(query, query='up{job="nacos"} == 1')["data"]["result"])
        received = f"http://127.0.0.1:{ports['alertmanager']}/api/v2/alerts"
        wait_for("the Watchdog", lambda: get_json(received, filter='alertname="Watchdog"'))
        nacos.dead = True
        wait_for("the alert", lambda: robot.messages, 60)
        nacos.dead = False
        wait_for("the resolution", lambda: len(robot.messages) > 1, 60)
    first, last = robot.messages[0], robot.messages[1]
    assert first.title == "【告警 1】 NacosServerDown nacos"
    assert f"Nacos {nacos.address} 无响应" in first.text
    assert "https://alerts.example.com/graph?" in first.text, "the address that phones can open"
    assert last.title == "【恢复 1】 NacosServerDown nacos"
    assert len(robot.messages) == 2, "the Watchdog and what the inhibition holds back tell nobody"


def _at_ports_and_faster(directory: Path, ports: dict[str, int]) -> None:
    """Free ports; and seconds in place of minutes, for the wait of a test."""
    changes = {
        "prometheus.yml": [("9095", f"{ports['run']}"), ("9093", f"{ports['alertmanager']}"), ("15s", "1s")],
        "alertmanager.yml": [("8060", f"{ports['dingtalk']}"), ("10s", "1s"), ("1m", "2s")],
        "rules/nacos.yml": [("for: 30s", "for: 1s")],
    }
    for name, replaced in changes.items():
        text = (directory / name).read_text(encoding="utf-8")
        for old, new in replaced:
            assert old in text, (name, old)
            text = text.replace(old, new)
        (directory / name).write_text(text, encoding="utf-8")
