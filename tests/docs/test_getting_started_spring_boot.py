"""The getting-started pages for Spring Boot, walked word by word in an empty directory: real Alertmanager, relay and
rulepush; the application and the robot are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH, FakeDingTalk
from tests.docs.walk import Walk
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.needs import binary
from tests.robot_server import serving_robot
from tests.servers import free_port, wait_for
from tests.spring_boot import BootApp

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "SEC4c9f27d1b80e6a35"
TOKEN = "b7d2a91c58e3f704"


class _Shop:
    """The application, which can be stopped and started again at its address."""

    def __init__(self) -> None:
        self.stopped = False
        self._app = BootApp((3, 5), tags={"application": "shop"}, hikari=True)
        self._server = LoopbackServer(self._answer)
        self.address = self._server.address

    def _answer(self, request: HttpRequest) -> HttpReply:
        if self.stopped:
            return HttpReply(status=503)
        if request.path == "/actuator/prometheus":
            return HttpReply(self._app.body())
        return HttpReply(b'{"status":404}', 404, "application/json")

    def close(self) -> None:
        self._server.close()


@contextmanager
def _shop() -> Iterator[_Shop]:
    shop = _Shop()
    try:
        yield shop
    finally:
        shop.close()


@pytest.mark.parametrize(
    ("page", "first", "last"),
    [
        ("getting-started-spring-boot.md", "TargetDown", "RESOLVED"),
        ("getting-started-spring-boot.zh.md", "【告警 1】 TargetDown shop", "恢复"),
    ],
)
def test_the_page_can_be_followed(page: str, first: str, last: str, tmp_path: Path) -> None:
    binary("prometheus-alertmanager")
    am, relay, own, robot_port = (free_port() for _ in range(4))
    robot = FakeDingTalk(SystemClock(), token=TOKEN, secret=SECRET)
    with _shop() as shop, serving_robot(robot, robot_port):
        walk = Walk(
            DOCS / page,
            tmp_path,
            replace={
                "127.0.0.1:8080": shop.address,
                "9093": str(am),
                "9095": str(own),
                "8060": str(relay),
                "https://oapi.dingtalk.com/robot/send?access_token=TOKEN": (
                    f"http://127.0.0.1:{robot_port}{PATH}?access_token={TOKEN}"
                ),
                "SEC...": SECRET,
                "--cluster.listen-address=": f"--cluster.listen-address= --web.listen-address=127.0.0.1:{am}",
                "--storage.path=relay-data": f"--storage.path=relay-data --web.listen-address=127.0.0.1:{relay}",
                "--storage.path=data": f"--storage.path=data --web.listen-address=127.0.0.1:{own}",
                # Seconds in place of minutes.
                "15s": "3s",
                "for: 30s": "for: 1s",
                "group_wait: 10s": "group_wait: 1s",
                "group_interval: 1m": "group_interval: 2s",
            },
            instead={"python3 -m venv": ":", ".venv/bin/pip install": ":"},
            excused={
                "<dependency>": "a file of the application",
                "management.metrics": "a file of the application",
                "kubectl": "there is no cluster here; tests/examples reads the manifest",
            },
            ready={"rulepush run": f"http://127.0.0.1:{own}/-/ready"},
        )
        with walk:
            walk.until("## 5.")
            walk.apply_to("prometheus.yml", "alertmanager.yml", "rules/targets.yml")
            walk.until("## 6.")
            shop.stopped = True
            walk.until("## 7.")
            wait_for("the message", lambda: robot.messages, 60)
            shop.stopped = False
            wait_for("the resolution", lambda: len(robot.messages) > 1, 60)
            walk.rest()
    assert first in robot.messages[0].title
    assert f"shop {shop.address}" in robot.messages[0].text
    assert last in robot.messages[1].title
