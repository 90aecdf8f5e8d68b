"""`/groups`: the groups that were pushed to the door, when `--web.enable-push-receiver` opens it. Only to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.site.frame import Frame
from rulepush.site.group_views import group_list
from rulepush.site.language import message
from rulepush.site.paging import page_number

if TYPE_CHECKING:
    from rulepush.push.groups import PushedGroups

PushedSource = Callable[[], "PushedGroups"]


class PushedGroupsPage:
    """`pushed()` gives the groups; None where the receiver is not enabled."""

    def __init__(self, frame: Frame, pushed: PushedSource | None):
        self._frame = frame
        self._pushed = pushed

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/groups", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page; `text` restricts the list, `page` is its page."""
        text, number = request.query_params.get("text", ""), page_number(request.query_params.get("page", ""))
        now = self._frame.clock.now()
        groups = group_list(self._pushed(), now, text, number) if self._pushed is not None else None
        return await self._frame.page(
            request, "groups.html", message("Pushed groups"), "/groups", groups=groups, text=text
        )
