"""What the relay tells of the alerts of `rulepush test delivery`, and that it tells nothing of others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.relay.trial_record import TRIAL_ALERT
from tests.fakes import FakeClock
from tests.relay.fake_robot import NOW, FakeDingTalk, alert, body, robot_transport

SECRET_TOKEN = "c4na7y" * 8
URL = f"http://robot.test/robot/send?access_token={SECRET_TOKEN}"


class _Relay:
    """The relay, with a robot that has this token, asked through its application."""

    def __init__(self, tmp_path: Path):
        config = tmp_path / "c.yml"
        config.write_text(f"targets:\n  ops: {{url: '{URL}'}}\n")
        self.clock = FakeClock(NOW)
        self.robot = FakeDingTalk(self.clock, token=SECRET_TOKEN)
        client = httpx.AsyncClient(transport=robot_transport(self.robot))
        self.app = RelayApp(RelayOptions(str(config), "127.0.0.1:0", False), self.clock, client)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app.http.asgi), base_url="http://relay")

    async def send(self, test_id: str, *, target: str = "ops", resolved: bool = False, name: str = TRIAL_ALERT) -> int:
        name = f"{name}_{test_id}" if name == TRIAL_ALERT else name
        content = body([alert(name, resolved=resolved, labels={"test_id": test_id})], group=name)
        return (await self.http.post(f"/dingtalk/{target}/send", content=content)).status_code

    async def record(self, test_id: str) -> list[dict[str, Any]]:
        answer = await self.http.get("/dingtalk/deliveries", params={"test_id": test_id})
        deliveries: list[dict[str, Any]] = answer.json()["deliveries"]
        return deliveries


def _run(tmp_path: Path, scenario: Callable[[_Relay], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(_Relay(tmp_path))

    asyncio.run(main())


def test_what_the_robot_took_and_refused_is_told_by_the_id_of_the_test(tmp_path: Path) -> None:
    async def scenario(relay: _Relay) -> None:
        assert await relay.send("one") == 200
        assert await relay.send("one", resolved=True) == 200
        relay.robot.keywords = ("nothing has this",)
        assert await relay.send("two") == 400
        at = "2023-11-14T22:13:20Z"
        [firing, resolved] = await relay.record("one")
        assert firing == {"target": "ops", "status": "firing", "fate": "sent", "reason": "", "at": at}
        assert resolved["status"] == "resolved"
        [refused] = await relay.record("two")
        assert refused["fate"] == "refused"
        assert refused["reason"].startswith("310000 description:关键词不匹配;keywords not in content (put one")

    _run(tmp_path, scenario)


def test_an_unknown_target_is_told_with_the_known_ones(tmp_path: Path) -> None:
    async def scenario(relay: _Relay) -> None:
        assert await relay.send("one", target="opps") == 404
        assert (await relay.http.post("/dingtalk/opps/send", content=b"{")).status_code == 404
        [told] = await relay.record("one")
        assert (told["target"], told["fate"]) == ("opps", "unknown")
        assert told["reason"] == "the relay has no target 'opps'; it has ops"

    _run(tmp_path, scenario)


def test_no_other_alert_and_no_secret_is_told(tmp_path: Path) -> None:
    async def scenario(relay: _Relay) -> None:
        await relay.send("one", name="NacosDown")
        await relay.send("")
        relay.robot.answers.append({"errcode": 300001, "errmsg": f"token {SECRET_TOKEN} is not exist"})
        await relay.send("two")
        assert await relay.record("one") == []
        assert await relay.record("") == []
        assert "token <secret> is not exist" in (await relay.record("two"))[0]["reason"]

    _run(tmp_path, scenario)


def test_one_that_waited_for_a_digest_is_told_when_it_was_sent(tmp_path: Path) -> None:
    async def scenario(relay: _Relay) -> None:
        for i in range(15):
            await relay.send(f"before {i}")
        assert await relay.send("one") == 200
        assert [told["fate"] for told in await relay.record("one")] == ["waits"]
        await relay.clock.advance(61)
        await relay.app.relay.flush()
        assert [told["fate"] for told in await relay.record("one")] == ["waits", "sent"]

    _run(tmp_path, scenario)
