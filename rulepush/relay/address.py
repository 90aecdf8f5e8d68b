"""What can be told of a robot's address, secret or time zone without asking anybody. Pure; no message repeats a value
that may be secret."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from rulepush.relay.settings import RobotType

_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f\u200b\ufeff]")
_QUOTES: Final = "\"'`<>“”‘’「」《》"
_FILLER: Final = re.compile(r"x{4,}|\*{2,}|\.{2,}|…|[<>{}$\[\]]|123456|abcdef", re.IGNORECASE)
_WORDS: Final = re.compile(
    r"your|replace|change.?me|example|placeholder|dummy|fixme|todo|access.?token|替换|你的|填"
    r"|^(?:sec|secret|token|key|id|uuid|test|demo|foo|abc)$",
    re.IGNORECASE,
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[0-9A-Za-z_=+-]{16,}")
_OWNERS: Final = {
    "oapi.dingtalk.com": RobotType.DINGTALK,
    "open.feishu.cn": RobotType.FEISHU,
    "open.larksuite.com": RobotType.FEISHU,
    "qyapi.weixin.qq.com": RobotType.WECOM,
}
_TYPE_FAULTS: Final = {
    RobotType.DINGTALK: "is a DingTalk robot's; leave `type` out",
    RobotType.FEISHU: "is a Feishu robot's; add `type: feishu`",
    RobotType.WECOM: "is a WeCom robot's; add `type: wecom`",
}
_FEISHU_PATH: Final = "/open-apis/bot/v2/hook/"
_PATHS: Final = {RobotType.DINGTALK: "/robot/send", RobotType.WECOM: "/cgi-bin/webhook/send"}
_COPY: Final = "copy the webhook address from the robot's settings in the group"
CHINA: Final = "Asia/Shanghai"
_MEANS_CHINA: Final = re.compile(
    r"(asia/)?(beijing|bejing|peking|shanghai|shenzhen|guangzhou|hangzhou|chongqing|chengdu|wuhan|nanjing|tianjin)"
    r"|china( standard time)?|(utc|gmt)? *\+ *0?8(:?00)?|cst-8|bjt|东八区|北京(时间)?|上海|中国(标准时间)?",
    re.IGNORECASE,
)


def url_fault(text: str) -> str:
    """Why this is not the URL of a robot; "" when it is one."""
    start = "expected a URL that starts with http:// or https://"
    if not text:
        return f"{start}, this is empty"
    if text != text.strip():
        return "has blanks before or after it: remove them"
    if text[0] in _QUOTES or text[-1] in _QUOTES.replace(">", ""):
        return "has quotes or brackets inside the value: leave them out"
    if "：" in text.partition("/")[0] or "／" in text:
        return "has a full-width ： or ／ in it: write : and /"
    if "://" not in text:
        return f"{start}, this has no scheme: {_COPY}"
    if _BLANK.search(text):
        return "has blanks or a line break in it: it must be in one piece"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return f"{start} and a host, this cannot be read as one"
    if parts.scheme not in ("http", "https"):
        return f"{start}, this has another scheme"
    return "" if parts.hostname else f"{start} and a host, this has no host"


def robot_owner(url: str) -> RobotType | None:
    """Whose robot a URL belongs to; None when its host does not tell."""
    return _OWNERS.get(urlsplit(url).hostname or "")


def owner_fault(robot: RobotType, url: str) -> str:
    """Whose robot it is, when it is not one of this type; "" when it is, or when that cannot be told."""
    owner = robot_owner(url)
    return "" if owner in (None, robot) else _TYPE_FAULTS[owner]


def address_faults(robot: RobotType, url: str) -> Iterator[str]:
    """What keeps this address from being a robot's: a placeholder in it, a wrong path, a key that is none."""
    parts = urlsplit(url)
    known = _OWNERS.get(parts.hostname or "") is robot
    name, value = _token(robot, parts)
    if known:
        fault = _path_fault(robot, parts.path)
        if fault:
            yield fault
            return
        if not value:
            yield f"has no {name}: {_COPY}"
            return
    if value and is_placeholder(value, words=known):
        yield f"the {name} in it is a placeholder: {_COPY}"
    elif known and robot is RobotType.WECOM and not _UUID.fullmatch(value):
        yield f"the key in it is no UUID, as those of WeCom are: {_COPY}"


def _token(robot: RobotType, parts: SplitResult) -> tuple[str, str]:
    """What the secret part of an address is called, and its value."""
    if robot is RobotType.FEISHU:
        return "id at the end of it", parts.path.removeprefix(_FEISHU_PATH).rstrip("/").rpartition("/")[2]
    name = "access_token" if robot is RobotType.DINGTALK else "key"
    return name, parse_qs(parts.query).get(name, [""])[0]


def _path_fault(robot: RobotType, path: str) -> str:
    if robot is not RobotType.FEISHU:
        wanted = _PATHS[robot]
        return "" if path.rstrip("/") == wanted else f"the path of these robots is {wanted}: {_COPY}"
    if path.startswith(_FEISHU_PATH) and "/" not in path.removeprefix(_FEISHU_PATH).rstrip("/"):
        return ""
    if path.startswith("/open-apis/bot/hook/"):
        return "is that of a robot of version 1, which takes no cards: add a new robot to the group"
    return f"the path of these robots is {_FEISHU_PATH}ID: {_COPY}"


def secret_fault(robot: RobotType, url: str, secret: str) -> str:
    """Why this cannot be the secret of the robot; "" when it can."""
    if is_placeholder(secret.removeprefix("SEC"), words=True):
        return "is a placeholder: copy it from the robot's settings, or leave it out when the robot signs nothing"
    if secret != secret.strip():
        return "has blanks before or after it: remove them"
    is_dingtalk = _OWNERS.get(urlsplit(url).hostname or "") is RobotType.DINGTALK
    if is_dingtalk and robot is RobotType.DINGTALK and not secret.startswith("SEC"):
        return "a DingTalk robot's begins with SEC: copy it from the robot's settings, not from its address"
    return ""


def is_placeholder(text: str, *, words: bool) -> bool:
    """Whether a text stands for a secret instead of being one: `xxxxxxxx`, `...`, `000000`, `<token>`, `${TOKEN}`.
    With `words` also by what it says: `YOUR_TOKEN`, `change-me`."""
    meant = re.sub(r"[^0-9a-zA-Z\u4e00-\u9fff]", "", text)
    same = len(set(meant.lower())) <= 1 and (words or len(meant) >= 4)
    if same or _FILLER.search(text):
        return True
    return words and _WORDS.search(text) is not None


def zone_fault(name: str) -> str:
    """What to write instead of a time zone that the database does not know."""
    unknown = f"unknown time zone {name!r}"
    if name.strip().upper() == "CST":
        return f"{unknown}: use {CHINA} for China's (CST is also that of the central USA, America/Chicago)"
    if _MEANS_CHINA.fullmatch(name.strip()):
        return f"{unknown}: use {CHINA}"
    by_lower = {known.lower(): known for known in zoneinfo.available_timezones()}
    close = difflib.get_close_matches(name.strip().lower(), by_lower, n=1, cutoff=0.8)
    return f"{unknown}: did you mean {by_lower[close[0]]}?" if close else f"{unknown}: a name such as {CHINA} is wanted"


def zone_doubt(name: str) -> str:
    """What a name that the database knows may not be meant to say: `Etc/GMT+8` is eight hours behind UTC."""
    if name in ("Etc/GMT+8", "Etc/GMT+08"):
        return f"{name} is 8 hours behind UTC, for its sign is inverted: use {CHINA} for China's time"
    return ""


def hides_a_secret(text: str) -> bool:
    """Whether a value of the file may be an address or a secret, wherever in the file it stands."""
    if "//" in text or "access_token" in text or text.startswith("SEC"):
        return True
    return _TOKEN.fullmatch(text) is not None and re.search(r"\d", text) is not None
