"""The optional receivers: remote write, and pushes as a Pushgateway takes them. What they need is imported only when
one is enabled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rulepush.clock import Clock
from rulepush.exposition import FamilyMetadata
from rulepush.model.sample import Sample
from rulepush.model.schedule import TickGrid
from rulepush.rules.context import Samples
from rulepush.storage.head import Head
from rulepush.telemetry import Telemetry

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from rulepush.push.groups import PushedGroups
    from rulepush.remote.receiver import MetricMetadata

_MAX_FAMILIES: Final = 50_000


class ReceivedMetadata:
    """What remote write senders said about metric families, the newest of each; bounded."""

    def __init__(self) -> None:
        self.families: dict[str, FamilyMetadata] = {}

    def note(self, received: Iterable[MetricMetadata]) -> None:
        """Remember it."""
        for m in received:
            if m.family in self.families or len(self.families) < _MAX_FAMILIES:
                self.families[m.family] = FamilyMetadata(m.type, m.help, m.unit)


class RemoteWriteIntake:
    """`--web.enable-remote-write-receiver`. `out_of_order_window_ms` may change at a reload."""

    def __init__(
        self,
        head: Head,
        clock: Clock,
        on_samples: Callable[[Sequence[Sample]], None],
        on_metadata: Callable[[Sequence[MetricMetadata]], None],
        out_of_order_window_ms: int = 0,
        *,
        type_and_unit_labels: bool = False,
        zero_at_start: bool = False,
    ):
        """`on_samples` gets what was accepted, whether a rule needs it or not. With `type_and_unit_labels` series get
        these from the metadata of a 2.0 request, with `zero_at_start` a zero at their start timestamps."""
        from rulepush.remote.apply import RemoteWriteReceiver

        self.out_of_order_window_ms = out_of_order_window_ms
        self._clock = clock
        self._receiver = RemoteWriteReceiver(
            head,
            on_metadata=on_metadata,
            on_samples=on_samples,
            out_of_order_window_ms=lambda: self.out_of_order_window_ms,
            type_and_unit_labels=type_and_unit_labels,
            zero_at_start=zero_at_start,
        )

    def routes(self) -> list[BaseRoute]:
        """POST /api/v1/write and its alias."""
        from rulepush.remote.http import remote_write_routes

        return [*remote_write_routes(self._receiver, self._clock)]

    def expose(self, telemetry: Telemetry) -> None:
        """Register own metrics."""
        from rulepush.remote.metrics import expose_remote_write_receiver

        expose_remote_write_receiver(telemetry, self._receiver.counts)


class PushReceiver:
    """`--web.enable-push-receiver`: pushed groups, read into the storage as a scrape of a Pushgateway would be."""

    def __init__(self, path: Path | None, default_ttl_ms: int, clock: Clock):
        """`path` is where groups survive a restart; None: in memory."""
        from rulepush.push.groups import PushedGroups
        from rulepush.push.store import SqliteGroupStore

        self._store = SqliteGroupStore(path)
        self.groups: PushedGroups = PushedGroups(self._store, default_ttl_ms)
        self._clock = clock
        self._collected_at = 0

    def routes(self) -> list[BaseRoute]:
        """Pushgateway's routes."""
        from rulepush.push.http import push_routes

        return [*push_routes(self.groups, self._clock)]

    def expose(self, telemetry: Telemetry) -> None:
        """Register own metrics."""
        from rulepush.push.metrics import expose_pushes

        expose_pushes(telemetry, self.groups)

    def collect(self, ts: int, samples: Samples) -> None:
        """Put what is pushed into the storage at `ts` (ms), once."""
        if self._collected_at > self._clock.now():  # the clock was set back
            self._collected_at = 0
        if ts > self._collected_at:
            self._collected_at = ts
            samples.append_many(self.groups.collect(ts))

    async def run(self, grid: TickGrid, interval_ms: Callable[[], int], samples: Samples) -> None:
        """Collect at every moment of the interval's grid, until cancelled. A reload may change `interval_ms()`."""
        while True:
            ts = grid.next_tick(self._clock.now() + 1, interval_ms())
            await self._clock.sleep((ts - self._clock.now()) / 1000)
            self.collect(ts, samples)

    def close(self) -> None:
        """Close the file."""
        self._store.close()
