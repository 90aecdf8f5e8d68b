"""The relay's configuration as typed, frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.errors import Problem
from rulepush.model.secret import Secret
from rulepush.template import Template

DEFAULT_TITLE: Final = '{{ template "ding.link.title" . }}'
DEFAULT_TEXT: Final = '{{ template "ding.link.content" . }}'


class RobotType(Enum):
    """The product that a robot belongs to."""

    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    WECOM = "wecom"


class Language(Enum):
    """The language of the built-in texts."""

    EN = "en"
    ZH = "zh"


@dataclass(frozen=True, slots=True)
class Mention:
    """Whom a message mentions."""

    everyone: bool = False
    mobiles: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.everyone or bool(self.mobiles) or bool(self.user_ids)

    def joined(self, other: Mention) -> Mention:
        """The union of both."""
        return Mention(
            self.everyone or other.everyone,
            tuple(dict.fromkeys(self.mobiles + other.mobiles)),
            tuple(dict.fromkeys(self.user_ids + other.user_ids)),
        )


NO_MENTION: Final = Mention()


@dataclass(frozen=True, slots=True)
class RobotTarget:
    """One path of the relay, `/dingtalk/<name>/send`, and the robot behind it.

    `title` and `text` are parsed with the templates of the configuration; `time_zone` is the name of the zone in
    which the built-in texts show times. `faults` keep this target from working and no other, such as a placeholder for
    a token.
    """

    name: str
    type: RobotType
    url: Secret
    secret: Secret
    mention: Mention
    keyword: str  # required in every message by the robot's security settings; "" for none
    language: Language
    time_zone: str
    title: Template
    text: Template
    fallback_title: Template  # the built-in ones, for when the configured ones fail
    fallback_text: Template
    title_line: int = 0  # the line of the file on which `title` begins; 0 when the file has none
    text_line: int = 0
    faults: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. `timeout_ms` bounds one request to a robot."""

    timeout_ms: int
    targets: Mapping[str, RobotTarget]

    @property
    def faults(self) -> tuple[Problem, ...]:
        """The faults of all targets."""
        return tuple(fault for target in self.targets.values() for fault in target.faults)
