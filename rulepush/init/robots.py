"""The robots of the command line. Messages never show a token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from rulepush.errors import RulepushError
from rulepush.init.setup import Robot
from rulepush.model.secret import NO_SECRET, Secret
from rulepush.relay.address import address_faults, robot_owner, secret_fault, url_fault
from rulepush.relay.settings import RobotType


class RobotError(RulepushError):
    """A robot's address or secret that cannot be right."""


class RobotFlags:
    """Collects `--dingtalk URL`, `--feishu URL`, `--wecom URL`, `--secret SEC` and `--keyword WORD` in the order of the
    command line: a secret or keyword belongs to the robot before it, one before all robots to the first."""

    def __init__(self) -> None:
        self._addresses: list[tuple[RobotType, str]] = []
        self._details: dict[tuple[str, int], str] = {}

    def add_robot(self, kind: RobotType, url: str) -> None:
        """A robot's address, as given."""
        self._addresses.append((kind, url))

    def add_detail(self, flag: str, value: str) -> None:
        """The value of `--secret` or `--keyword`. Raises RobotError for a second one of the same robot."""
        owner = max(len(self._addresses) - 1, 0)
        if (flag, owner) in self._details:
            raise RobotError(f"{flag}: two for one robot; each belongs to the robot before it")
        self._details[flag, owner] = value

    def robots(self) -> tuple[Robot, ...]:
        """All of them, checked, each with a name of its own. Raises RobotError."""
        if self._details and not self._addresses:
            flag, _ = next(iter(self._details))
            raise RobotError(f"{flag}: there is no robot that it belongs to; give --dingtalk or --feishu with it")
        kinds = [kind for kind, _ in self._addresses]
        return tuple(
            _robot(
                kind,
                _name(kind, kinds[:index]),
                url,
                self._details.get(("--secret", index)),
                self._details.get(("--keyword", index), ""),
            )
            for index, (kind, url) in enumerate(self._addresses)
        )


def refuse_robots(flag: str, urls: Iterable[str]) -> None:
    """Raises RobotError when one of the URLs, of a flag for other servers, is that of a robot: it would be shown."""
    for url in urls:
        try:
            owner = robot_owner(url if "://" in url else f"//{url}")
        except ValueError:
            continue  # the flag's own parser says so
        if owner is not None:
            raise RobotError(f"{flag}: this is the address of a robot: give it with --{owner.value}")


def _name(kind: RobotType, before: Sequence[RobotType]) -> str:
    number = before.count(kind) + 1
    return kind.value if number == 1 else f"{kind.value}-{number}"


def _robot(kind: RobotType, name: str, url: str, secret: str | None, keyword: str) -> Robot:
    flag = f"--{kind.value}"
    url = url.strip()
    fault = url_fault(url)
    if fault:
        raise RobotError(f"{flag}: {fault}")
    owner = robot_owner(url)
    if owner not in (None, kind):
        raise RobotError(f"{flag}: {urlsplit(url).hostname} has the robots of --{owner.value}: use that flag")
    for fault in address_faults(kind, url):
        raise RobotError(f"{flag}: {fault}")
    if keyword and kind is RobotType.WECOM:
        raise RobotError("--keyword: robots of WeCom ask for none; each keyword belongs to the robot before it")
    return Robot(kind, name, Secret(url), _checked_secret(kind, url, secret), keyword.strip())


def _checked_secret(kind: RobotType, url: str, secret: str | None) -> Secret:
    if secret is None:
        return NO_SECRET
    if kind is RobotType.WECOM:
        raise RobotError("--secret: robots of WeCom have none; each secret belongs to the robot before it")
    fault = secret_fault(kind, url, secret.strip())
    if fault:
        raise RobotError(f"--secret: {fault}")
    return Secret(secret.strip())
