"""The robots of the command line. Messages never show a token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from rulepush.errors import RulepushError
from rulepush.init.setup import Robot
from rulepush.model.secret import NO_SECRET, Secret
from rulepush.relay.settings import RobotType

_EXAMPLES: Final = {
    RobotType.DINGTALK: "https://oapi.dingtalk.com/robot/send?access_token=...",
    RobotType.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook/...",
    RobotType.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=...",
}
_OWNERS: Final = {
    "oapi.dingtalk.com": RobotType.DINGTALK,
    "api.dingtalk.com": RobotType.DINGTALK,
    "open.feishu.cn": RobotType.FEISHU,
    "open.larksuite.com": RobotType.FEISHU,
    "qyapi.weixin.qq.com": RobotType.WECOM,
}
_PLACEHOLDER: Final = re.compile(
    r"(.)\1*"  # xxxx, 0000
    r"|<.*>|\[.*\]|\{.*\}|\$.*"
    r"|.*(x{4}|\*{3}|0{8}|\.{3}|…|your).*"
    r"|(access_?)?(token|key)",
    re.IGNORECASE,
)


class RobotError(RulepushError):
    """A robot's address or secret that cannot be right."""


class RobotFlags:
    """Collects `--dingtalk URL`, `--feishu URL`, `--wecom URL` and `--secret SEC` in the order of the command line: a
    secret belongs to the robot before it, one before all robots to the first."""

    def __init__(self) -> None:
        self._addresses: list[tuple[RobotType, str]] = []
        self._secrets: dict[int, str] = {}

    def add_robot(self, kind: RobotType, url: str) -> None:
        """A robot's address, as given."""
        self._addresses.append((kind, url))

    def add_secret(self, secret: str) -> None:
        """Raises RobotError for a second one of the same robot."""
        owner = max(len(self._addresses) - 1, 0)
        if owner in self._secrets:
            raise RobotError("--secret: two for one robot; each belongs to the robot before it")
        self._secrets[owner] = secret

    def robots(self) -> tuple[Robot, ...]:
        """All of them, checked, each with a name of its own. Raises RobotError."""
        if self._secrets and not self._addresses:
            raise RobotError("--secret: there is no robot that it belongs to; give --dingtalk or --feishu with it")
        kinds = [kind for kind, _ in self._addresses]
        return tuple(
            _robot(kind, _name(kind, kinds[:index]), url, self._secrets.get(index))
            for index, (kind, url) in enumerate(self._addresses)
        )


def refuse_robots(flag: str, urls: Iterable[str]) -> None:
    """Raises RobotError when one of the URLs, of a flag for other servers, is that of a robot: it would be shown."""
    for url in urls:
        try:
            host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
        except ValueError:
            continue
        if host in _OWNERS:
            raise RobotError(f"{flag}: {host} is the address of a robot: give it with --{_OWNERS[host].value}")


def _name(kind: RobotType, before: Sequence[RobotType]) -> str:
    number = before.count(kind) + 1
    return kind.value if number == 1 else f"{kind.value}-{number}"


def _robot(kind: RobotType, name: str, url: str, secret: str | None) -> Robot:
    return Robot(kind, name, Secret(_checked_url(kind, url.strip())), _checked_secret(kind, secret))


def _checked_url(kind: RobotType, url: str) -> str:
    flag = f"--{kind.value}"
    whole = f"copy the whole webhook address from the robot's page: {_EXAMPLES[kind]}"
    if "://" not in url:
        raise RobotError(f"{flag}: the address does not begin with https://; {whole}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise RobotError(f"{flag}: this is not a URL; {whole}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url):
        raise RobotError(f"{flag}: this is not a URL of http or https; {whole}")
    owner = _OWNERS.get(parts.hostname)
    if owner not in (None, kind):
        raise RobotError(f"{flag}: {parts.hostname} is the address of a robot for --{owner.value}: use that flag")
    if owner is not None:
        if parts.scheme != "https":
            raise RobotError(f"{flag}: the address does not begin with https://; {whole}")
        token = _token(kind, parts)
        if not token:
            raise RobotError(f"{flag}: the address has no token; {whole}")
        if _PLACEHOLDER.fullmatch(token):
            raise RobotError(f"{flag}: the token in the address is a placeholder; {whole}")
    return url


def _token(kind: RobotType, parts: SplitResult) -> str:
    """The token; empty where there is none, or where the path is not that of a robot."""
    if kind is RobotType.FEISHU:
        return parts.path.rpartition("/hook/")[2] if "/hook/" in parts.path else ""
    name = "access_token" if kind is RobotType.DINGTALK else "key"
    return parse_qs(parts.query, keep_blank_values=True).get(name, [""])[0]


def _checked_secret(kind: RobotType, secret: str | None) -> Secret:
    if secret is None:
        return NO_SECRET
    if kind is RobotType.WECOM:
        raise RobotError("--secret: robots of WeCom have none; each secret belongs to the robot before it")
    text = secret.strip()
    if not text:
        raise RobotError("--secret: it is empty")
    if kind is RobotType.DINGTALK and not text.startswith("SEC"):
        raise RobotError("--secret: the secret of a DingTalk robot (加签) begins with SEC: copy it whole")
    if _PLACEHOLDER.fullmatch(text.removeprefix("SEC")):
        raise RobotError("--secret: this is a placeholder; copy the one that the robot's page shows (加签)")
    return Secret(text)
