"""The robots of the command line: which secret is whose, and what cannot be right, said without a token."""

from __future__ import annotations

import pytest

from rulepush.init.robots import RobotError, RobotFlags, refuse_robots
from rulepush.init.setup import Robot
from rulepush.model.secret import Secret
from rulepush.relay.settings import RobotType
from tests.init.robot_urls import DINGTALK_URL, FEISHU_URL, ROBOT_SECRET, WECOM_URL

D, F, W = RobotType.DINGTALK, RobotType.FEISHU, RobotType.WECOM
TOKEN = "5f0c1b7de92a4"


def _robots(*flags: tuple[RobotType | str | None, str]) -> tuple[Robot, ...]:
    """`None` is --secret."""
    given = RobotFlags()
    for kind, value in flags:
        if isinstance(kind, RobotType):
            given.add_robot(kind, value)
        else:
            given.add_detail(kind or "--secret", value)
    return given.robots()


def test_a_secret_belongs_to_the_robot_before_it() -> None:
    other = "SEC" + ROBOT_SECRET[:2:-1]
    robots = _robots((D, DINGTALK_URL), (D, DINGTALK_URL), (None, ROBOT_SECRET), (F, FEISHU_URL), (None, other))
    assert [(r.name, r.secret) for r in robots] == [
        ("dingtalk", Secret()),
        ("dingtalk-2", Secret(ROBOT_SECRET)),
        ("feishu", Secret(other)),
    ]


def test_a_keyword_belongs_to_the_robot_before_it() -> None:
    ding, feishu = _robots((D, DINGTALK_URL), ("--keyword", "告警"), (None, ROBOT_SECRET), (F, FEISHU_URL))
    assert (ding.keyword, ding.secret, feishu.keyword) == ("告警", Secret(ROBOT_SECRET), "")
    with pytest.raises(RobotError, match=r"^--keyword: robots of WeCom"):
        _robots((W, WECOM_URL), ("--keyword", "告警"))


def test_a_secret_before_the_only_robot_is_its_own() -> None:
    (robot,) = _robots((None, ROBOT_SECRET), (D, DINGTALK_URL))
    assert robot == Robot(D, "dingtalk", Secret(DINGTALK_URL), Secret(ROBOT_SECRET))


@pytest.mark.parametrize("kind", list(RobotType))
def test_a_robot_behind_a_proxy_of_ones_own(kind: RobotType) -> None:
    url = "http://robots.internal:8080/send?access_token=3b9ac27d51e8&key=3b9ac27d51e8"
    assert _robots((kind, url))[0].url.reveal() == url


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        (D, f"oapi.dingtalk.com/robot/send?access_token={TOKEN}", ("--dingtalk", "https://")),
        (D, TOKEN, ("--dingtalk", "has no scheme", "copy the webhook address")),
        (D, "https://oapi.dingtalk.com/robot/send", ("--dingtalk", "token")),
        (D, "https://oapi.dingtalk.com/robot/send?access_token=", ("--dingtalk", "token")),
        (D, f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}", ("--dingtalk", "open.feishu.cn", "--feishu")),
        (D, f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={TOKEN}", ("--dingtalk", "--wecom")),
        (F, f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}", ("--feishu", "--dingtalk")),
        (W, f"https://open.larksuite.com/open-apis/bot/v2/hook/{TOKEN}", ("--wecom", "--feishu")),
        (F, f"https://open.feishu.cn/{TOKEN}", ("--feishu", "/open-apis/bot/v2/hook/")),
        (W, f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?token={TOKEN}", ("--wecom", "key")),
        (D, f"ftp://oapi.dingtalk.com/robot/send?access_token={TOKEN}", ("--dingtalk", "http")),
        (D, f"https://[oapi/robot/send?access_token={TOKEN}", ("--dingtalk",)),
        (D, f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN} x", ("--dingtalk",)),
    ],
)
def test_an_address_that_cannot_be_right_is_one_message_without_the_token(
    kind: RobotType, url: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(RobotError) as raised:
        _robots((kind, url))
    said = str(raised.value)
    assert TOKEN not in said
    assert "\n" not in said
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "token", ["xxxxxxxxxxxx", "...", "XXXX-XXXX", "<token>", "YOUR_ACCESS_TOKEN", "000000000000", "token"]
)
def test_a_placeholder_is_no_token(token: str) -> None:
    for kind, url in (
        (D, f"https://oapi.dingtalk.com/robot/send?access_token={token}"),
        (F, f"https://open.feishu.cn/open-apis/bot/v2/hook/{token}"),
        (W, f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={token}"),
    ):
        with pytest.raises(RobotError, match="placeholder"):
            _robots((kind, url))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([(None, ROBOT_SECRET)], "no robot"),
        ([(D, DINGTALK_URL), (None, ROBOT_SECRET), (None, ROBOT_SECRET)], "two for one robot"),
        ([(D, DINGTALK_URL), (None, TOKEN)], "begins with SEC"),
        ([(D, DINGTALK_URL), (None, "SECxxxxxxxxxx")], "placeholder"),
        ([(D, DINGTALK_URL), (None, " ")], "--secret"),
        ([(W, WECOM_URL), (None, ROBOT_SECRET)], "WeCom"),
    ],
)
def test_a_secret_that_cannot_be_right(flags: list[tuple[RobotType | None, str]], message: str) -> None:
    with pytest.raises(RobotError, match=message) as raised:
        _robots(*flags)
    assert TOKEN not in str(raised.value)
    assert ROBOT_SECRET not in str(raised.value)


def test_a_robot_is_no_server() -> None:
    refuse_robots("--alertmanager", ["http://am:9093", "am", "http://[::1"])
    with pytest.raises(RobotError, match=r"^--alertmanager: this is the address of a robot: .* --feishu$"):
        refuse_robots("--alertmanager", [FEISHU_URL])
