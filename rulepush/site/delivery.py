"""`/delivery`: how the sending to each Alertmanager, remote write receiver and Pushgateway stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.site.trouble import AlertSending, SampleSending


@dataclass(frozen=True, slots=True)
class ShownAlertmanager:
    """One Alertmanager; times in ms. `error` is that of the last attempt, "" when it was good."""

    url: str
    waiting: int
    oldest_waiting: int | None
    error: str
    failing_since: int | None
    refused: int
    refusal: str


@dataclass(frozen=True, slots=True)
class ShownReceiver:
    """One remote write receiver or Pushgateway."""

    name: str
    error: str


class DeliveryPage:
    """`alertmanagers()` and `receivers()` are what is sent to now."""

    def __init__(
        self,
        frame: Frame,
        alertmanagers: Callable[[], Iterable[AlertSending]],
        receivers: Callable[[], Iterable[SampleSending]],
    ):
        self._frame = frame
        self._alertmanagers = alertmanagers
        self._receivers = receivers

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/delivery", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        return await self._frame.page(
            request,
            "delivery.html",
            message("Delivery"),
            "/delivery",
            alertmanagers=[_alertmanager(am) for am in self._alertmanagers()],
            receivers=[ShownReceiver(r.name, r.last_error) for r in self._receivers()],
        )


def _alertmanager(am: AlertSending) -> ShownAlertmanager:
    refused = am.refusals
    return ShownAlertmanager(
        am.url,
        am.waiting,
        am.oldest_waiting,
        am.last_error,
        am.failing_since,
        refused.alerts if refused is not None else 0,
        refused.reason if refused is not None else "",
    )
