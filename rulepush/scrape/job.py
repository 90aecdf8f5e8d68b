"""Job: what one scrape configuration asks of its targets, resolved for the scrape loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from rulepush.config.sections import PROTOBUF_FIRST, SCRAPE_PROTOCOLS, ScrapeConfig
from rulepush.exposition import Format
from rulepush.exposition.content_type import PROTOCOL_FORMATS
from rulepush.relabel.relabel import Relabel, RelabelConfig, relabel
from rulepush.scrape.fetch import accept_header
from rulepush.scrape.sample_labels import DEFAULT_RULES, SampleRules
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.target import TargetDefaults


@dataclass(frozen=True, slots=True)
class Job:
    """Made by `job_of`, or by hand in tests."""

    defaults: TargetDefaults
    rules: SampleRules = DEFAULT_RULES
    accept: str = field(default_factory=lambda: accept_header(("OpenMetricsText1.0.0", "PrometheusText0.0.4")))
    compression: bool = True
    body_size_limit: int = 0
    target_limit: int = 0
    fallback: Format | None = None
    extra_metrics: bool = False
    zero_at_start: bool = False  # feature created-timestamp-zero-ingestion
    keep_dropped: int = 0  # most dropped targets that are remembered; 0 for all
    relabel: Relabel | None = None
    relabel_configs: tuple[RelabelConfig, ...] = ()  # what `relabel` applies, for pages that show it step by step
    sharding: ScrapeSharding | None = None

    @property
    def name(self) -> str:
        """The job's name."""
        return self.defaults.job_name


def job_of(
    config: ScrapeConfig,
    sharding: ScrapeSharding | None = None,
    *,
    type_and_unit_labels: bool = False,
    zero_at_start: bool = False,
) -> Job:
    """The job of one scrape configuration, as the shard `sharding` has it."""
    limits, protocols = config.limits, config.scrape_protocols
    if zero_at_start and protocols == SCRAPE_PROTOCOLS:  # the default is another one with this feature
        protocols = PROTOBUF_FIRST
    return Job(
        defaults=TargetDefaults(
            config.job_name,
            config.scrape_interval_ms,
            config.scrape_timeout_ms,
            config.scheme,
            config.metrics_path,
            config.params,
            config.histograms,
        ),
        rules=SampleRules(
            honor_labels=config.honor_labels,
            honor_timestamps=config.honor_timestamps,
            track_timestamps_staleness=config.track_timestamps_staleness,
            metric_relabel=_relabelling(config.metric_relabel_configs),
            sample_limit=limits.samples,
            label_limit=limits.labels,
            label_name_length_limit=limits.label_name_length,
            label_value_length_limit=limits.label_value_length,
            legacy_names=config.legacy_names,
            type_and_unit_labels=type_and_unit_labels,
        ),
        accept=accept_header(protocols, config.name_escaping),
        compression=config.enable_compression,
        body_size_limit=limits.body_size,
        target_limit=limits.targets,
        fallback=PROTOCOL_FORMATS[config.fallback_scrape_protocol] if config.fallback_scrape_protocol else None,
        extra_metrics=config.extra_scrape_metrics,
        zero_at_start=zero_at_start,
        keep_dropped=config.keep_dropped_targets,
        relabel=_relabelling(config.relabel_configs),
        relabel_configs=tuple(config.relabel_configs),
        sharding=sharding,
    )


def _relabelling(configs: Sequence[RelabelConfig]) -> Relabel | None:
    return partial(relabel, configs=tuple(configs)) if configs else None
