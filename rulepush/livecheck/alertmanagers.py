"""What the configured Alertmanagers said when they were asked whether they can take alerts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AlertmanagerAnswer:
    """One Alertmanager, or an entry of `alertmanagers` that leads to none.

    `where`    the URL that alerts are posted to, without user and password; or what leads to none
    `fault`    why it cannot take alerts, "" when it can
    `version`  "" when unknown
    `meant`    that it is none is what its configuration says: relabelling drops it
    """

    where: str
    fault: str = ""
    version: str = ""
    meant: bool = False

    @property
    def failed(self) -> bool:
        """Whether somebody must do something about it."""
        return bool(self.fault) and not self.meant


def alertmanagers_failed(answers: tuple[AlertmanagerAnswer, ...]) -> bool:
    """Whether an Alertmanager cannot take alerts, or none is left of those that are configured."""
    return any(a.failed for a in answers) or (bool(answers) and all(a.fault for a in answers))


def alertmanager_lines(answers: tuple[AlertmanagerAnswer, ...]) -> list[str]:
    """A line for each."""
    if not answers:
        return ["no Alertmanager is configured: alerts are only logged"]
    return [f"Alertmanager {a.where}: {a.fault or ', '.join(filter(None, ('ok', a.version)))}" for a in answers]
