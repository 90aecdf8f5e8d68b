"""SampleConsumers: who gets every sample beside the memory, whether a rule needs it or not: outputs and the recording.

Whatever is passed on went into the memory just before, without a turn of the event loop in between. So the order in
which the recording has samples and evaluations is the one in which they happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rulepush.clock import Clock
from rulepush.exposition import FamilyMetadata
from rulepush.histogram.sample import block_of_samples
from rulepush.model.block import SampleBlock
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.recorded.events import Origin, RecordedBlock
from rulepush.scrape.target import Target
from rulepush.service.outputs import Outputs
from rulepush.service.recording import SampleRecording
from rulepush.storage.head import Head
from rulepush.storage.selection import Querier
from rulepush.storage.table import AppendOutcome


class SampleConsumers:
    """`wrote`, `scraped` and `received` cost nothing while there are no consumers."""

    def __init__(self, outputs: Outputs, recording: SampleRecording, clock: Clock):
        self._outputs = outputs
        self._recording = recording
        self._clock = clock
        self._series: dict[tuple[Origin, str], tuple[Labels, ...]] = {}

    @property
    def active(self) -> bool:
        """Whether there are any."""
        return self._recording.active or self._outputs.active

    def scraped(
        self, target: Target, blocks: Sequence[SampleBlock], metadata_source: Callable[[], Mapping[str, FamilyMetadata]]
    ) -> None:
        """All samples of one scrape; `metadata_source()` is what the target says of its metric families."""
        if self._recording.active:
            now, source = self._clock.now(), target.label_text
            for block in blocks:
                self._recording.record(RecordedBlock(now, Origin.SCRAPE, source, block))
        if self._outputs.active:
            samples = [sample for block in blocks for sample in block.samples()]
            self._outputs.scraped(target, samples, metadata_source)

    def wrote(self, origin: Origin, source: str, samples: Sequence[Sample]) -> None:
        """Samples that were written one by one. `source` as in `RecordedBlock`."""
        if not self.active:
            return
        if self._recording.active and samples:
            block = self._settled(origin, source, block_of_samples(samples))
            self._recording.record(RecordedBlock(self._clock.now(), origin, source, block))
        self._outputs.offer(samples)

    def received(self, samples: Sequence[Sample]) -> None:
        """Samples that came by remote write, and were accepted."""
        self.wrote(Origin.REMOTE_WRITE, "", samples)

    def _settled(self, origin: Origin, source: str, block: SampleBlock) -> SampleBlock:
        """The block; with the same tuple as before while its source goes on giving the same series."""
        if not source:
            return block
        before = self._series.get((origin, source))
        if before is not None and before == block.series:
            return replace(block, series=before)
        self._series[origin, source] = block.series
        return block


class TeeAppender:
    """The storage as rules and pushes write it: what they write is passed on as well."""

    def __init__(self, head: Head, consumers: SampleConsumers, origin: Origin):
        self._head = head
        self._consumers = consumers
        self._origin = origin

    def querier(self) -> Querier:
        """See `Head`."""
        return self._head.querier()

    def append_many(self, samples: Iterable[Sample]) -> Mapping[AppendOutcome, int]:
        """See `Head`."""
        if not self._consumers.active:
            return self._head.append_many(samples)
        everything = list(samples)
        outcomes = self._head.append_many(everything)
        self._consumers.wrote(self._origin, self._source(everything), everything)
        return outcomes

    def _source(self, samples: Sequence[Sample]) -> str:
        """What wrote them: the receiver of pushes, or a rule."""
        if self._origin is not Origin.RULE or not samples:
            return self._origin.value
        labels = samples[0].labels
        return f"{labels.name} {labels.get(ALERT_NAME)}"
