"""`rulepush dingtalk --test`: one message to a robot on loopback, and what its answer means in words.

The answers are those that the documentations of the robots list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rulepush.__main__ import main
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import free_port

TOKEN = "c4na7y" * 8
SECRET = "SECc4na7y5ecre7"


@dataclass
class _Robot:
    """Answers with `reply`, and keeps what came."""

    reply: HttpReply = field(default_factory=lambda: _json({"errcode": 0, "errmsg": "ok"}))
    bodies: list[Any] = field(default_factory=list)

    def __call__(self, request: HttpRequest) -> HttpReply:
        self.bodies.append(json.loads(request.body))
        return self.reply


def _json(value: object, status: int = 200) -> HttpReply:
    return HttpReply(json.dumps(value).encode(), status, "application/json")


@pytest.fixture
def robot() -> _Robot:
    return _Robot()


@pytest.fixture
def url(robot: _Robot) -> Iterator[str]:
    server = LoopbackServer(robot)
    yield f"http://{server.address}/robot/send?access_token={TOKEN}"
    server.close()


def _send(tmp_path: Path, target: str, *flags: str, name: str = "ops") -> int:
    """The exit code of `--test NAME` with one target, `ops`."""
    file = tmp_path / "dingtalk.yml"
    file.write_text(f"targets:\n  ops: {target}\n", encoding="utf-8")
    return main(["dingtalk", f"--config.file={file}", "--test", name, *flags])


MENTION = "mention: {all: true, mobiles: ['13800000000']}"


@pytest.mark.parametrize(
    ("lang", "title", "text"),
    [("en", "[TEST] rulepush", "This is a test message"), ("zh", "【测试】rulepush", "这是 rulepush 的测试消息")],
)
def test_the_message_says_that_it_is_a_test_with_the_keyword_and_mentions_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], robot: _Robot, url: str, lang: str, title: str, text: str
) -> None:
    assert _send(tmp_path, f"{{url: '{url}', lang: {lang}, keyword: 巡检, {MENTION}}}") == 0
    assert capfd.readouterr().out == "ops: the DingTalk robot took the message\n"
    [body] = robot.bodies
    assert body["markdown"]["title"] == title
    assert body["markdown"]["text"].startswith(f"### {title}\n\n{text}")
    assert body["markdown"]["text"].endswith("\n\n巡检")
    assert "at" not in body
    assert "@" not in body["markdown"]["text"]


def test_with_mention_it_mentions_whom_the_target_mentions(tmp_path: Path, robot: _Robot, url: str) -> None:
    assert _send(tmp_path, f"{{url: '{url}', {MENTION}}}", "--mention") == 0
    assert robot.bodies[0]["at"] == {"atMobiles": ["13800000000"], "atUserIds": [], "isAtAll": True}


def test_mention_without_a_test_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        main(["dingtalk", "--mention"])
    assert e.value.code == 2
    assert "--mention needs --test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "secret", "answer", "shown"),
    [
        (
            "dingtalk",
            "",
            {"errcode": 310000, "errmsg": "description:关键词不匹配;keywords not in content"},
            "the DingTalk robot refused the message: 310000 description:关键词不匹配;keywords not in content "
            "(put one of the robot's keywords into the title or text of the message, which the target's `keyword` does",
        ),
        ("dingtalk", SECRET, {"errcode": 310000, "errmsg": "sign not match"}, "(the target's `secret` is not the rob"),
        ("dingtalk", "", {"errcode": 310000, "errmsg": "sign not match"}, "give the target the robot's `secret`"),
        ("dingtalk", "", {"errcode": 310000, "errmsg": "ip 1.2.3.4 not in whitelist"}, "is not in the robot's IP list"),
        (
            "dingtalk",
            "",
            {"errcode": 300001, "errmsg": "token is not exist"},
            "(the access_token in the target's `url`",
        ),
        ("dingtalk", "", {"errcode": 130101, "errmsg": "send too fast"}, "it takes nothing for 10 min"),
        ("feishu", "", {"code": 19024, "msg": "Key Words Not Found"}, "the Feishu robot refused the message: 19024 "),
        ("feishu", SECRET, {"code": 19021, "msg": "sign match fail"}, "(the target's `secret` is not the robot's"),
        ("wecom", "", {"errcode": 93000, "errmsg": "invalid webhook url"}, "(the key in the target's `url` is wrong"),
        ("wecom", "", {"errcode": 45009, "errmsg": "api freq out of limit"}, "its rate limit is exceeded: 45009"),
        ("wecom", "", {"errmsg": "?"}, "ops: the robot's answer has no error code\n"),
    ],
)
def test_what_a_robot_refuses_is_told_with_its_cure(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    robot: _Robot,
    url: str,
    kind: str,
    secret: str,
    answer: object,
    shown: str,
) -> None:
    robot.reply = _json(answer)
    more = f", secret: {secret}" if secret else ""
    assert _send(tmp_path, f"{{url: '{url}', type: {kind}{more}}}") == 1
    assert len(robot.bodies) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert shown in said.err
    assert TOKEN not in said.err
    assert SECRET not in said.err


def test_a_page_and_a_wrong_path_are_told_apart_from_a_robot(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], robot: _Robot, url: str
) -> None:
    for reply, shown in (
        (
            HttpReply(b"<html>log in", 200, "text/html"),
            "did not take the message: 200 HTTP status 200, and not the resp",
        ),
        (
            HttpReply(b"not found", 404),
            "refused the message: 404 HTTP status 404 (is the url that of a robot's webhook?)",
        ),
    ):
        robot.reply = reply
        assert _send(tmp_path, f"{{url: '{url}'}}") == 1
        assert shown in capfd.readouterr().err


def test_a_robot_that_cannot_be_reached_is_named_without_its_token(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = f"http://127.0.0.1:{free_port()}/robot/send?access_token={TOKEN}"
    assert _send(tmp_path, f"{{url: '{closed}'}}") == 1
    shown = capfd.readouterr().err
    assert shown.startswith("ops: the robot cannot be reached: ")
    assert TOKEN not in shown


def test_an_unknown_target_names_the_known_ones(tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str) -> None:
    assert _send(tmp_path, f"{{url: '{url}'}}", name="opps") == 1
    assert "--test: no target 'opps' (did you mean ops?): " in (shown := capfd.readouterr().err)
    assert "dingtalk.yml has ops" in shown
