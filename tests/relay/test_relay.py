"""The relay over HTTP: what Alertmanager is answered, reload, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import bcrypt
import httpx
import pytest

from rulepush.errors import ConfigError
from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.relay.relay import MAX_BODY_BYTES
from tests.fakes import FakeClock
from tests.relay.fake_robot import URL, Failure, FakeDingTalk, alert, body, robot_transport

CONFIG = f"""
targets:
  ops: {{url: "{URL}"}}
  dev: {{url: "{URL}", lang: zh}}
"""


class _Process:
    """A relay as it runs, but for its sockets: requests go to the application, messages to a fake robot."""

    def __init__(self, tmp_path: Path, lifecycle: bool = True, storage: bool = False, web_config_file: str = ""):
        self.config = tmp_path / "config.yml"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.clock = FakeClock()
        self.robot = FakeDingTalk(self.clock)
        self.failures: list[Failure] = []
        client = httpx.AsyncClient(transport=robot_transport(self.robot, self.failures))
        state = tmp_path / "state" if storage else None
        options = RelayOptions(
            str(self.config), "127.0.0.1:0", lifecycle, state, web_config_file, auto_reload_ms=30_000
        )
        self.app = RelayApp(options, self.clock, client)
        transport = httpx.ASGITransport(self.app.http.asgi)
        self.http = httpx.AsyncClient(transport=transport, base_url=f"http://{self.app.address}")

    async def send(self, target: str = "ops", content: bytes | None = None) -> httpx.Response:
        content = body([alert()]) if content is None else content
        return await self.http.post(f"/dingtalk/{target}/send", content=content)


def _run(tmp_path: Path, scenario: Callable[[_Process], Awaitable[None]], lifecycle: bool = True) -> None:
    async def main() -> None:
        process = _Process(tmp_path, lifecycle)
        runner = asyncio.create_task(process.app.run())
        try:
            await scenario(process)
        finally:
            process.app.stop()
            await asyncio.wait_for(runner, 60)

    asyncio.run(main())


def test_a_notification_goes_through(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        answer = await process.send()
        assert (answer.status_code, answer.text) == (200, "OK\n")
        assert [m.title for m in process.robot.messages] == ["[FIRING:1] NacosDown"]

    _run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("target", "content", "status", "text"),
    [
        ("none", body([alert()]), 404, "target not found\n"),
        ("ops", b"hello", 400, "not JSON: Expecting value: line 1 column 1 (char 0)\n"),
        ("ops", b"{}", 400, 'no list "alerts": is this Alertmanager\'s webhook?\n'),
        ("ops", body([]), 200, "OK\n"),
    ],
)
def test_other_requests_are_answered_clearly(
    tmp_path: Path, target: str, content: bytes, status: int, text: str
) -> None:
    async def scenario(process: _Process) -> None:
        answer = await process.send(target, content)
        assert (answer.status_code, answer.text) == (status, text)
        assert process.robot.requests == 0

    _run(tmp_path, scenario)


def test_a_body_that_cannot_be_read_is_refused_and_counted(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        path = "/dingtalk/ops/send"
        answer = await process.http.post(path, content=b" " * (MAX_BODY_BYTES + 1))
        assert (answer.status_code, answer.text) == (413, "the body is larger than the limit of 16777216 bytes\n")
        answer = await process.http.post(path, content=b"x", headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.text) == (415, "content encoding gzip is not supported: send none\n")
        metrics = (await process.http.get("/metrics")).text
        assert 'rulepush_dingtalk_notifications_total{target="ops",fate="bad"} 2' in metrics
        assert process.robot.requests == 0

    _run(tmp_path, scenario)


def test_alertmanager_is_asked_to_retry_only_where_that_helps(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        process.failures.append(httpx.ConnectError("no route to host"))
        answer = await process.send()
        assert (answer.status_code, answer.text) == (503, "the robot cannot be reached: no route to host\n")
        process.robot.answers.append({"errcode": 310000, "errmsg": "keywords not in content"})
        answer = await process.send()
        assert answer.status_code == 400
        assert "put one of the robot's keywords into the title or text" in answer.text
        assert (await process.send()).status_code == 200

    _run(tmp_path, scenario)


def test_targets_of_one_robot_share_its_limit_and_its_digest(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        for i in range(30):
            content = body([alert(f"Alert{i}")], f"Alert{i}")
            assert (await process.send("ops" if i % 2 else "dev", content)).status_code == 200
        assert len(process.robot.messages) == 15
        await process.clock.advance(2)
        assert len(process.robot.messages) == 16
        assert "15" in process.robot.messages[-1].title

    _run(tmp_path, scenario)


def test_what_waits_is_sent_when_the_relay_stops(tmp_path: Path) -> None:
    seen = []

    async def scenario(process: _Process) -> None:
        for i in range(17):
            await process.send("ops", body([alert(f"Alert{i}")], f"Alert{i}"))
        assert len(process.robot.messages) == 15
        seen.append(process)

    _run(tmp_path, scenario)
    assert len(seen[0].robot.messages) == 16


def test_what_waits_survives_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        first = _Process(tmp_path, storage=True)
        for i in range(17):
            await first.send("ops", body([alert(f"Alert{i}"), alert("Old", resolved=True)], f"Alert{i}"))
        assert len(first.robot.messages) == 15
        # No orderly end: the process is gone. The next one begins with what the file holds.
        second = _Process(tmp_path, storage=True)
        await second.app.relay.flush()
        (digest,) = second.robot.messages
        assert digest.title == "[DIGEST] 2 notifications: 2 firing, 2 resolved"
        assert "🔥 Alert15: " in digest.text
        third = _Process(tmp_path, storage=True)
        await third.app.relay.flush()
        assert third.robot.messages == []

    asyncio.run(main())


def test_a_reload_changes_targets_and_keeps_the_limits(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        for i in range(15):
            await process.send("ops", body([alert(f"Alert{i}")], f"Alert{i}"))
        process.config.write_text(f"targets:\n  new: {{url: '{URL}'}}\n", encoding="utf-8")
        assert (await process.http.post("/-/reload")).status_code == 200
        assert (await process.send("ops")).status_code == 404
        answer = await process.send("new")
        assert answer.text == "the robot's rate limit is reached: this will be part of a digest\n"

    _run(tmp_path, scenario)


def test_a_bad_file_keeps_all_as_it_was_and_says_why(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        process.config.write_text("targets:\n  ops: {}\n", encoding="utf-8")
        answer = await process.http.post("/-/reload")
        assert answer.status_code == 500
        assert "config.yml:2: targets.ops: needs a url" in answer.text
        assert (await process.send()).status_code == 200
        assert "rulepush_config_last_reload_successful 0\n" in (await process.http.get("/metrics")).text

    _run(tmp_path, scenario)


def test_files_that_change_are_reloaded_by_themselves_and_a_mistake_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template = tmp_path / "t.tmpl"
    template.write_text('{{ define "mine" }}first{{ end }}')
    config = (
        f"templates: ['*.tmpl']\ntargets:\n  ops: {{url: '{URL}', message: {{title: '{{{{template \"mine\" .}}}}'}}}}\n"
    )

    async def scenario(process: _Process) -> None:
        await process.clock.settle()
        process.config.write_text(config)
        await process.clock.advance(40)
        await process.send()
        template.write_text('{{ define "mine" }}')
        await process.clock.advance(300)
        assert len([r for r in caplog.records if "t.tmpl" in r.getMessage()]) == 1
        await process.send(content=body([alert("Other")], "Other"))
        template.write_text('{{ define "mine" }}second{{ end }}')
        await process.clock.advance(40)
        await process.send(content=body([alert("Third")], "Third"))
        assert [m.title for m in process.robot.messages] == ["first", "first", "second"]

    _run(tmp_path, scenario)


def test_the_lifecycle_interface_is_off_unless_asked_for(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        assert (await process.http.post("/-/reload")).status_code == 403
        assert (await process.http.get("/-/healthy")).status_code == 200
        assert (await process.http.get("/-/ready")).status_code == 200

    _run(tmp_path, scenario, lifecycle=False)


def test_the_metrics_tell_what_became_of_notifications(tmp_path: Path) -> None:
    async def scenario(process: _Process) -> None:
        await process.send()
        await process.send(content=b"x")
        text = (await process.http.get("/metrics")).text
        assert 'rulepush_dingtalk_notifications_total{target="ops",fate="sent"} 1\n' in text
        assert 'rulepush_dingtalk_notifications_total{target="ops",fate="bad"} 1\n' in text
        assert 'rulepush_dingtalk_messages_sent_total{target="ops"} 1\n' in text
        assert 'rulepush_dingtalk_waiting{target="ops"} 0\n' in text
        assert "token" not in text.replace("rulepush", "")

    _run(tmp_path, scenario)


def test_it_does_not_start_with_a_bad_file(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("nothing: here\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        RelayApp(RelayOptions(str(tmp_path / "config.yml"), "127.0.0.1:0", False))


def test_the_door_asks_for_a_password(tmp_path: Path) -> None:
    """`--web.config.file`, as for `rulepush run`."""
    digest = bcrypt.hashpw(b"wonder", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{alice: {digest}}}\n")

    async def main() -> None:
        process = _Process(tmp_path, web_config_file=str(web))
        runner = asyncio.create_task(process.app.run())
        assert (await process.send()).status_code == 401
        assert (await process.http.get("/metrics")).status_code == 401
        process.http.auth = httpx.BasicAuth("alice", "wonder")
        assert (await process.send()).status_code == 200
        assert len(process.robot.messages) == 1
        process.app.stop()
        await asyncio.wait_for(runner, 60)

    asyncio.run(main())
