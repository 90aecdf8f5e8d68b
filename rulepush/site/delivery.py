"""`/delivery`: how the sending to each Alertmanager, remote write receiver and Pushgateway stands, the
heartbeats, and the engines that evaluate rules elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.datasource.status import DatasourceStatus
from rulepush.delivery import DeliveryStatus, HeartbeatStatus, ReceiverKind
from rulepush.site.frame import Frame
from rulepush.site.language import Message, message
from rulepush.web.status import Status


@dataclass(frozen=True, slots=True)
class DeliverySection:
    """The receivers of one kind, failing and refusing ones first; `unit` is what is delivered to them."""

    kind: ReceiverKind
    title: Message
    unit: Message
    receivers: Sequence[DeliveryStatus]


class DeliveryPage:
    """`deliveries()` are all receivers now; `status()` names the Alertmanagers that relabelling dropped."""

    def __init__(
        self,
        frame: Frame,
        deliveries: Callable[[], Iterable[DeliveryStatus]],
        status: Callable[[], Status],
        heartbeats: Callable[[], Iterable[HeartbeatStatus]] = tuple,
        datasources: Callable[[], Iterable[DatasourceStatus]] = tuple,
    ):
        self._frame = frame
        self._deliveries = deliveries
        self._status = status
        self._heartbeats = heartbeats
        self._datasources = datasources

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
            sections=delivery_sections(list(self._deliveries()), self._frame.clock.now()),
            heartbeats=list(self._heartbeats()),
            datasources=sorted(self._datasources(), key=lambda one: one.is_up is not False),
            dropped=self._status().dropped_alertmanagers,
        )


def delivery_sections(deliveries: Sequence[DeliveryStatus], now: int) -> list[DeliverySection]:
    """Alertmanagers in any case, for their absence must be seen; the others where there are any."""
    sections = []
    for kind in ReceiverKind:
        title, unit = _names(kind)
        receivers = sorted((s for s in deliveries if s.kind is kind), key=lambda s: (not s.failing, not s.refuses(now)))
        if receivers or kind is ReceiverKind.ALERTMANAGER:
            sections.append(DeliverySection(kind, title, unit, receivers))
    return sections


def _names(kind: ReceiverKind) -> tuple[Message, Message]:
    match kind:
        case ReceiverKind.ALERTMANAGER:
            return message("Alertmanagers"), message("alerts")
        case ReceiverKind.REMOTE_WRITE:
            return message("Remote write"), message("samples")
        case ReceiverKind.PUSHGATEWAY:
            return message("Pushgateways"), message("pushes")
