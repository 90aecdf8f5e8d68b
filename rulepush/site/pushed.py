"""`/groups`: the groups that were pushed to the door, when `--web.enable-push-receiver` opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.site.frame import Frame
from rulepush.site.language import message

if TYPE_CHECKING:
    from rulepush.push.group import PushedGroup

PushedSource = Callable[[], Iterable["PushedGroup"]]


@dataclass(frozen=True, slots=True)
class ShownPushedGroup:
    """One pushed group; times in ms, 0 for never."""

    labels: Labels
    families: int
    pushed_at: int
    failed_at: int


class PushedGroupsPage:
    """`pushed()` gives the groups; None where the receiver is not enabled."""

    def __init__(self, frame: Frame, pushed: PushedSource | None):
        self._frame = frame
        self._pushed = pushed

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/groups", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        groups = [_group(group) for group in self._pushed()] if self._pushed is not None else []
        enabled = self._pushed is not None
        return await self._frame.page(
            request, "groups.html", message("Pushed groups"), "/groups", groups=groups, enabled=enabled
        )


def _group(group: PushedGroup) -> ShownPushedGroup:
    return ShownPushedGroup(Labels(group.key), len(group.families), group.pushed_at, group.failed_at)
