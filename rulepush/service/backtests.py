"""What the backtest page reads: the recording that is being written, and the settings in force."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from rulepush.config.sections import Config
from rulepush.service.recording import SampleRecording
from rulepush.service.resources import ProcessResources
from rulepush.site.backtest_place import RecordedPlace

if TYPE_CHECKING:
    from rulepush.backtest import EventSource, ReplayOptions


class RecordedPlaces:
    """`now()` is the place of now. Rules are evaluated there with the settings of `config()`, the configuration in
    force, as `rulepush backtest --config.file` does."""

    def __init__(self, resources: ProcessResources, recording: SampleRecording, config: Callable[[], Config]):
        self._resources = resources
        self._recording = recording
        self._config = config
        self._source: EventSource | None = None

    def now(self) -> RecordedPlace | None:
        """None where nothing is recorded."""
        writer = self._recording.writer
        if writer is None:
            return None
        return RecordedPlace(
            self._opened, self._recording.flush, self._options, writer.stopped_since, writer.last_error
        )

    def _opened(self) -> EventSource:
        """The same each time: it remembers what the files have."""
        if self._source is None:
            from rulepush.recorded.recording import Recording
            from rulepush.recorded.records import DIRECTORY

            directory = self._resources.options.storage_path
            assert directory is not None
            self._source = Recording(directory / DIRECTORY)
            # A backtest makes many objects, so that full collections come often: each would search all that stays for
            # the life of the process, too, and hold the event loop meanwhile (40 ms with the modules alone).
            gc.collect(1)
            gc.freeze()
        return self._source

    def _options(self) -> ReplayOptions:
        from rulepush.backtest import ReplayOptions

        config, flags = self._config(), self._resources.options
        return ReplayOptions(
            default_interval_ms=config.global_.evaluation_interval_ms,
            query_offset_ms=config.global_.rule_query_offset_ms,
            external_labels=config.global_.external_labels,
            external_url=self._resources.external_url,
            hold_ms=config.alerting.hold_on_scrape_failure_ms,
            out_of_order_ms=config.storage.out_of_order_window_ms,
            resend_delay_ms=flags.resend_delay_ms,
            lookback_delta_ms=flags.lookback_delta_ms,
            delayed_name_removal="promql-delayed-name-removal" in flags.features,
        )
