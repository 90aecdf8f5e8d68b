"""What every kind of robot must do, and what is particular to each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.model.secret import NO_SECRET, Secret
from rulepush.relay.senders import SENDERS, Message, Sender, VerdictKind
from rulepush.relay.senders.base import shorten
from rulepush.relay.settings import Mention, RobotType

URLS = {
    RobotType.DINGTALK: "https://oapi.dingtalk.com/robot/send?access_token=tok3n",
    RobotType.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook/tok3n",
    RobotType.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=tok3n",
}
LIMITS = {RobotType.DINGTALK: 20_000, RobotType.FEISHU: 20_000, RobotType.WECOM: 4096 + 200}
EVERYBODY = Mention(True, ("13800000000", "+1-555000"), ("user1",))
TS = 1_700_000_000_000


def _sender(kind: RobotType, secret: str = "") -> Sender:
    return SENDERS[kind](Secret(URLS[kind]), Secret(secret) if secret else NO_SECRET)


def _verdict(kind: RobotType, answer: object, status: int = 200) -> VerdictKind:
    return _sender(kind).verdict(status, json.dumps(answer).encode()).kind


every_kind = pytest.mark.parametrize("kind", list(RobotType), ids=lambda kind: kind.value)


def test_every_type_has_a_sender() -> None:
    assert set(SENDERS) == set(RobotType)


@every_kind
def test_title_and_text_are_in_the_body(kind: RobotType) -> None:
    bodies = _sender(kind).bodies(Message("a title", "some **text** 中文", True))
    assert len(bodies) == 1
    shown = json.dumps(bodies, ensure_ascii=False)
    assert "a title" in shown
    assert "some **text** 中文" in shown


@every_kind
def test_mentions_are_in_the_body(kind: RobotType) -> None:
    mention = Mention(True, (), ("user1",)) if kind is RobotType.FEISHU else EVERYBODY
    shown = json.dumps(_sender(kind).bodies(Message("t", "x", True, mention)))
    for who in (*mention.mobiles, *mention.user_ids):
        assert who in shown
    assert "all" in shown.lower()


@every_kind
@pytest.mark.parametrize("char", ["a", "中", '"', "\n", "😀"])
def test_a_text_is_cut_to_the_limit_and_not_much_below(kind: RobotType, char: str) -> None:
    sender = _sender(kind)
    message = Message("t", char * 30_000, True, EVERYBODY if kind is not RobotType.FEISHU else Mention(True))
    assert not sender.fits(message)
    short = shorten(message, sender)
    assert sender.fits(short)
    size = len(sender.request(sender.bodies(short)[0], TS).content)
    assert LIMITS[kind] * (0.4 if kind is RobotType.WECOM else 0.95) < size <= LIMITS[kind] * 2
    if kind is not RobotType.WECOM:  # whose limit counts the text, not the JSON
        assert size <= LIMITS[kind]


@every_kind
def test_a_text_that_fits_stays_as_it_is(kind: RobotType) -> None:
    message = Message("t", "x" * 3000, False)
    assert shorten(message, _sender(kind)) is message


@every_kind
def test_success_is_success(kind: RobotType) -> None:
    good = {"code": 0, "msg": "success"} if kind is RobotType.FEISHU else {"errcode": 0, "errmsg": "ok"}
    assert _verdict(kind, good) is VerdictKind.SENT


@every_kind
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_of_the_server_is_worth_another_try(kind: RobotType, status: int) -> None:
    assert _sender(kind).verdict(status, b"<html>").kind is VerdictKind.LATER


@every_kind
def test_an_unknown_code_is_worth_another_try(kind: RobotType) -> None:
    answer = {"code": 987654, "msg": "?"} if kind is RobotType.FEISHU else {"errcode": 987654, "errmsg": "?"}
    assert _verdict(kind, answer) is VerdictKind.LATER


@every_kind
@pytest.mark.parametrize(
    ("status", "content", "verdict"),
    [
        (404, b"not found", VerdictKind.REFUSED),
        (403, b"", VerdictKind.REFUSED),
        (200, b"<html>gateway in maintenance", VerdictKind.LATER),
        (302, b"", VerdictKind.LATER),
    ],
)
def test_what_is_no_robot_comes_with_a_hint(kind: RobotType, status: int, content: bytes, verdict: VerdictKind) -> None:
    found = _sender(kind).verdict(status, content)
    assert found.kind is verdict
    assert "url" in found.hint


@every_kind
@given(status=st.integers(100, 599), content=st.binary(max_size=50))
def test_no_answer_raises(kind: RobotType, status: int, content: bytes) -> None:
    _sender(kind).verdict(status, content)


@every_kind
@pytest.mark.parametrize("answer", [{}, {"errcode": None}, {"errcode": "x"}, {"code": []}, {"code": True}])
def test_no_odd_object_raises_or_counts_as_sent(kind: RobotType, answer: object) -> None:
    assert _verdict(kind, answer) is not VerdictKind.SENT


@every_kind
def test_the_token_and_the_secret_are_named_as_secrets(kind: RobotType) -> None:
    assert set(_sender(kind, "s3cret").secrets()) == {"tok3n", "s3cret"}


@every_kind
def test_the_limit_lets_a_burst_through_and_then_holds(kind: RobotType) -> None:
    limit = _sender(kind).rate_limit()
    assert limit.may_send(TS, 10)
    assert not limit.may_send(TS, 101)


# -- DingTalk


def test_dingtalk_signs_in_the_query() -> None:
    sender = _sender(RobotType.DINGTALK, "SECabc")
    query = parse_qs(urlsplit(sender.request({}, TS).url).query)
    mac = hmac.new(b"SECabc", f"{TS}\nSECabc".encode(), hashlib.sha256).digest()
    assert query == {
        "access_token": ["tok3n"],
        "timestamp": [str(TS)],
        "sign": [base64.b64encode(mac).decode()],
    }


def test_dingtalk_without_a_secret_does_not_sign() -> None:
    assert _sender(RobotType.DINGTALK).request({}, TS).url == URLS[RobotType.DINGTALK]


def test_dingtalk_names_the_mentioned_in_the_text_once() -> None:
    body = _sender(RobotType.DINGTALK).bodies(Message("t", "see @13800000000", True, EVERYBODY))[0]
    assert body["markdown"]["text"] == "see @13800000000\n\n@+1-555000 @user1"
    assert body["at"] == {"atMobiles": ["13800000000", "+1-555000"], "atUserIds": ["user1"], "isAtAll": True}


@pytest.mark.parametrize(
    ("code", "reason", "kind", "hint"),
    [
        (-1, "system busy", VerdictKind.BUSY, ""),
        (130101, "send too fast, exceed 20 times per minute", VerdictKind.TOO_FAST, "20 messages"),
        (660026, "too fast", VerdictKind.TOO_FAST, "20 messages"),
        (310000, "keywords not in content", VerdictKind.REFUSED, "keywords"),
        (310000, "description:机器人发送签名不匹配;sign not match", VerdictKind.REFUSED, "`secret`"),
        (310000, "invalid timestamp", VerdictKind.REFUSED, "clock"),
        (310000, "ip 1.2.3.4 not in whitelist", VerdictKind.REFUSED, "IP list"),
        (310000, "something new", VerdictKind.REFUSED, "security settings"),
        (300001, "token is not exist", VerdictKind.REFUSED, "access_token"),
        (400102, "robot stopped", VerdictKind.REFUSED, "stopped"),
        (430101, "bad words", VerdictKind.REFUSED, "policy"),
        (460101, "message too long", VerdictKind.REFUSED, "20000 bytes"),
    ],
)
def test_dingtalk_codes(code: int, reason: str, kind: VerdictKind, hint: str) -> None:
    verdict = _sender(RobotType.DINGTALK).verdict(200, json.dumps({"errcode": code, "errmsg": reason}).encode())
    assert (verdict.kind, verdict.code) == (kind, str(code))
    assert hint in verdict.hint


# -- Feishu


def test_feishu_signs_in_the_body() -> None:
    content = json.loads(_sender(RobotType.FEISHU, "key").request({"msg_type": "interactive"}, TS + 999).content)
    mac = hmac.new(f"{TS // 1000}\nkey".encode(), b"", hashlib.sha256).digest()
    assert content == {
        "timestamp": str(TS // 1000),
        "sign": base64.b64encode(mac).decode(),
        "msg_type": "interactive",
    }


def test_feishu_cards_show_the_state_in_colour() -> None:
    sender = _sender(RobotType.FEISHU)
    assert sender.bodies(Message("t", "x", True))[0]["card"]["header"]["template"] == "red"
    assert sender.bodies(Message("t", "x", False))[0]["card"]["header"]["template"] == "green"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"code": 19021, "msg": "sign match fail"}, VerdictKind.REFUSED),
        ({"code": 19024, "msg": "Key Words Not Found"}, VerdictKind.REFUSED),
        ({"code": 9499, "msg": "too many request"}, VerdictKind.TOO_FAST),
        ({"StatusCode": 0, "StatusMessage": "success"}, VerdictKind.SENT),
    ],
)
def test_feishu_codes(answer: object, kind: VerdictKind) -> None:
    assert _verdict(RobotType.FEISHU, answer) is kind


def test_a_refusal_with_an_http_error_is_read_too() -> None:
    assert _verdict(RobotType.FEISHU, {"code": 19021, "msg": "sign match fail"}, status=400) is VerdictKind.REFUSED


# -- WeCom


def test_wecom_calls_everybody_in_a_second_text() -> None:
    bodies = _sender(RobotType.WECOM).bodies(Message("t", "x", True, EVERYBODY))
    assert bodies[0] == {"msgtype": "markdown", "markdown": {"content": "### t\nx\n<@user1>"}}
    assert bodies[1] == {
        "msgtype": "text",
        "text": {
            "content": "t",
            "mentioned_list": ["@all"],
            "mentioned_mobile_list": ["13800000000", "+1-555000"],
        },
    }


@pytest.mark.parametrize(
    ("code", "kind"),
    [(45009, VerdictKind.TOO_FAST), (93000, VerdictKind.REFUSED), (-1, VerdictKind.BUSY)],
)
def test_wecom_codes(code: int, kind: VerdictKind) -> None:
    assert _verdict(RobotType.WECOM, {"errcode": code, "errmsg": "x"}) is kind
