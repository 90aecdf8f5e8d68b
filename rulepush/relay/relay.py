"""The relay: its targets and their robots, and the HTTP interface."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import BodyError
from rulepush.http_request import NO_ENCODING, read_content
from rulepush.model.secret import Secret
from rulepush.relay.notification import Notification, NotificationError, parse_notification
from rulepush.relay.robot import Delivery, DeliveryStatus, Post, Robot
from rulepush.relay.senders import SENDERS
from rulepush.relay.settings import RobotTarget, RobotType, Settings
from rulepush.relay.trial_record import RECORD_PATH, TRIAL_LABEL, TrialRecord
from rulepush.relay.waiting import Key, NoStore, WaitingStore
from rulepush.telemetry import MetricReading, Telemetry

log = logging.getLogger("rulepush.dingtalk")

MAX_BODY_BYTES: Final = 16 << 20
_STATUS: Final = {
    DeliveryStatus.SENT: 200,
    DeliveryStatus.WAITS: 200,
    DeliveryStatus.LATER: 503,
    DeliveryStatus.REFUSED: 400,
}
_TICK_SECONDS: Final = 1.0


class Relay:
    """The targets, the robots behind them, and the routes. `configure` may be called at any time: a robot whose address
    stays keeps its rate limit."""

    def __init__(self, post: Post, clock: Clock, store: WaitingStore | None = None):
        self._post = post
        self._store = store or NoStore()
        self._clock = clock
        self._targets: Mapping[str, RobotTarget] = {}
        self._robots: dict[tuple[RobotType, Secret, Secret], Robot] = {}
        self._notifications: Counter[tuple[str, str]] = Counter()
        self._trials = TrialRecord()

    def configure(self, settings: Settings) -> None:
        """Put a configuration into effect. A robot without a target is kept while notifications wait for it."""
        self._targets = dict(settings.targets)
        wanted = {_address(t) for t in self._targets.values()}
        for address in wanted - self._robots.keys():
            sender = SENDERS[address[0]](address[1], address[2])
            self._robots[address] = Robot(
                sender, self._post, self._clock, sender.rate_limit(), self._store, self._record
            )
        for address in [a for a, r in self._robots.items() if a not in wanted and not r.waiting]:
            del self._robots[address]

    def restore(self, waiting: Iterable[tuple[Key, int, Notification]]) -> None:
        """Restore the notifications that waited when the last process ended, but for those of targets that are not
        configured any more."""
        for key, since, notification in waiting:
            target = self._targets.get(key[0])
            if target is None:
                log.warning("dropping a waiting notification: target %s is not configured any more", key[0])
                self._store.remove([key])
            else:
                self._robots[_address(target)].restore(target, key, since, notification)

    # -- HTTP

    def routes(self) -> list[Route]:
        """The path that Alertmanager posts to, and the record of test alerts."""
        return [
            Route("/dingtalk/{target:str}/send", self.send, methods=["POST"]),
            Route(RECORD_PATH, self.trials, methods=["GET"]),
        ]

    async def send(self, request: Request) -> Response:
        """200: sent, or queued for a digest. 4xx: a retry would fail, too. 503: to be retried."""
        target = self._targets.get(request.path_params["target"])
        if target is None:
            return await self._unknown_target(request, request.path_params["target"])
        try:
            body = await read_content(request, MAX_BODY_BYTES, NO_ENCODING)
            notification = parse_notification(body)
        except BodyError as e:
            return self._refuse(target, str(e), e.status)
        except NotificationError as e:
            return self._refuse(target, str(e), 400)
        if not notification.alerts:
            return PlainTextResponse("OK\n")
        delivery = await self._robots[_address(target)].deliver(target, notification, request.is_disconnected)
        self._notifications[target.name, delivery.status.value] += 1
        self._record(target, notification, delivery)
        log.debug(
            "notification: target=%s alerts=%d fate=%s", target.name, len(notification.alerts), delivery.status.value
        )
        return _answer(delivery)

    async def _unknown_target(self, request: Request, name: str) -> Response:
        log.warning("notification for an unknown target: %r", name)
        try:
            notification = parse_notification(await read_content(request, MAX_BODY_BYTES, NO_ENCODING))
        except (BodyError, NotificationError):
            pass
        else:
            reason = f"the relay has no target {name!r}; it has {', '.join(self._targets) or 'none'}"
            self._trials.add(name, notification, "unknown", reason, self._clock.now())
        return PlainTextResponse("target not found\n", 404)

    async def trials(self, request: Request) -> Response:
        """What became of the alerts of one `rulepush test delivery`: their fates and reasons, no contents."""
        found = self._trials.of(request.query_params.get(TRIAL_LABEL, ""))
        return JSONResponse({"deliveries": [delivery.as_json() for delivery in found]})

    def _record(self, target: RobotTarget, notification: Notification, delivery: Delivery) -> None:
        self._trials.add(target.name, notification, delivery.status.value, delivery.reason, self._clock.now())

    def _refuse(self, target: RobotTarget, reason: str, status: int) -> Response:
        log.warning("bad notification for target %s: %s", target.name, reason)
        self._notifications[target.name, "bad"] += 1
        return PlainTextResponse(f"{reason}\n", status)

    # -- waiting notifications

    async def flush_loop(self) -> None:
        """Send digests when they are due; runs until cancelled."""
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            await self.flush()

    async def flush(self, final: bool = False) -> None:
        """Send the digests that are due, for all robots concurrently."""
        async with asyncio.TaskGroup() as group:
            for robot in list(self._robots.values()):
                if robot.waiting:
                    group.create_task(robot.flush(final))

    # -- metrics

    def expose(self, telemetry: Telemetry) -> None:
        """Add the relay's metrics."""
        telemetry.counter(
            "rulepush_dingtalk_notifications",
            "Notifications received, by outcome.",
            lambda: [MetricReading(key, count) for key, count in sorted(self._notifications.items())],
            ("target", "fate"),
        )
        for name, text, read in _ROBOT_COUNTERS:
            telemetry.counter(name, text, self._per_target(read), ("target",))
        telemetry.gauge(
            "rulepush_dingtalk_waiting",
            "Notifications that wait for the robot's rate limit.",
            self._per_target(lambda r: r.waiting),
            ("target",),
        )

    def _per_target(self, read: Callable[[Robot], int]) -> Callable[[], list[MetricReading]]:
        return lambda: [MetricReading((name,), read(robot)) for name, robot in self._first_targets()]

    def _first_targets(self) -> Iterator[tuple[str, Robot]]:
        """Each robot under the name of the first of its targets, so that a sum over targets counts it once."""
        seen: set[int] = set()
        for name, target in self._targets.items():
            robot = self._robots[_address(target)]
            if id(robot) not in seen:
                seen.add(id(robot))
                yield name, robot


_ROBOT_COUNTERS: Final[tuple[tuple[str, str, Callable[[Robot], int]], ...]] = (
    ("rulepush_dingtalk_messages_sent", "Messages that robots accepted.", lambda r: r.stats.sent),
    ("rulepush_dingtalk_messages_failed", "Messages that robots did not accept.", lambda r: r.stats.failed),
    ("rulepush_dingtalk_digests", "Digest messages sent.", lambda r: r.stats.digests),
    ("rulepush_dingtalk_dropped", "Notifications that were lost.", lambda r: r.stats.dropped),
)


def _address(target: RobotTarget) -> tuple[RobotType, Secret, Secret]:
    return target.type, target.url, target.secret


def _answer(delivery: Delivery) -> Response:
    text = "OK" if delivery.status is DeliveryStatus.SENT else delivery.reason
    return PlainTextResponse(f"{text}\n", _STATUS[delivery.status])
