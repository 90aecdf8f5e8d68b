"""The configuration as typed, frozen sections. Times are milliseconds, sizes bytes, 0 means no limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rulepush.discovery.groups import SdConfig
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.secret import Secret
from rulepush.relabel.relabel import RelabelConfig
from rulepush.yaml.nodes import Reference

SCRAPE_PROTOCOLS: Final = (
    "OpenMetricsText1.0.0",
    "OpenMetricsText0.0.1",
    "PrometheusText1.0.0",
    "PrometheusText0.0.4",
)
PROTOBUF_FIRST: Final = ("PrometheusProto", *SCRAPE_PROTOCOLS)
"""What is asked for where native histograms are scraped."""


@dataclass(frozen=True, slots=True)
class ScrapeLimits:
    """The limits of one scrape; `targets` bounds the job."""

    body_size: int = 0
    samples: int = 0
    targets: int = 0
    labels: int = 0
    label_name_length: int = 0
    label_value_length: int = 0


@dataclass(frozen=True, slots=True)
class GlobalConfig:
    """`global`: what jobs and rule groups inherit."""

    scrape_interval_ms: int = 60_000
    scrape_timeout_ms: int = 10_000
    evaluation_interval_ms: int = 60_000
    rule_query_offset_ms: int = 0
    external_labels: Labels = EMPTY_LABELS
    scrape_protocols: tuple[str, ...] = ()  # empty: as each job needs them
    histograms: HistogramScraping = CLASSIC_ONLY
    limits: ScrapeLimits = ScrapeLimits()
    keep_dropped_targets: int = 0
    extra_scrape_metrics: bool = False
    legacy_names: bool = False
    name_escaping: str = ""  # metric_name_escaping_scheme


@dataclass(frozen=True, slots=True)
class ScrapeConfig:
    """One job, with everything inherited filled in."""

    job_name: str
    scrape_interval_ms: int
    scrape_timeout_ms: int
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    enable_compression: bool = True
    scrape_protocols: tuple[str, ...] = SCRAPE_PROTOCOLS
    fallback_scrape_protocol: str = ""
    histograms: HistogramScraping = CLASSIC_ONLY
    limits: ScrapeLimits = ScrapeLimits()
    keep_dropped_targets: int = 0
    extra_scrape_metrics: bool = False
    legacy_names: bool = False  # metric_name_validation_scheme: legacy
    name_escaping: str = "allow-utf-8"  # metric_name_escaping_scheme, as targets are asked
    sd_configs: tuple[SdConfig, ...] = ()
    relabel_configs: tuple[RelabelConfig, ...] = ()
    metric_relabel_configs: tuple[RelabelConfig, ...] = ()
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS


@dataclass(frozen=True, slots=True)
class AlertmanagerConfig:
    """One entry of `alerting.alertmanagers`."""

    scheme: str = "http"
    path_prefix: str = ""
    timeout_ms: int = 10_000
    api_version: str = "v2"
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS
    sd_configs: tuple[SdConfig, ...] = ()
    relabel_configs: tuple[RelabelConfig, ...] = ()
    alert_relabel_configs: tuple[RelabelConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertingConfig:
    """`alerting`. `hold_on_scrape_failure_ms` (ours): how long alerts keep their state while their target fails."""

    alertmanagers: tuple[AlertmanagerConfig, ...] = ()
    alert_relabel_configs: tuple[RelabelConfig, ...] = ()
    hold_on_scrape_failure_ms: int = 0


class KeepMode(Enum):
    """What the head keeps."""

    RULES = "rules"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class RecordConfig:
    """`storage.record`: the bounds of the recording below `--storage.path`. The oldest goes first."""

    retention_ms: int = 24 * 3600 * 1000
    max_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """`storage`, mostly rulepush's own keys.

    `retention_ms`            counts with `keep: all`; with `keep: rules` the rules' look-backs do
    `out_of_order_window_ms`  `tsdb.out_of_order_time_window`, for samples that remote write receives
    `record`                  None: nothing is recorded
    """

    keep: KeepMode = KeepMode.RULES
    retention_ms: int = 15 * 60_000
    out_of_order_window_ms: int = 0
    record: RecordConfig | None = None


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """`queue_config` of a remote write, with Prometheus' defaults."""

    capacity: int = 10_000
    max_shards: int = 50
    min_shards: int = 1
    max_samples_per_send: int = 2_000
    batch_send_deadline_ms: int = 5_000
    min_backoff_ms: int = 30
    max_backoff_ms: int = 5_000
    sample_age_limit_ms: int = 0


@dataclass(frozen=True, slots=True)
class MetadataConfig:
    """`metadata_config` of a remote write."""

    send: bool = True
    send_interval_ms: int = 60_000
    max_samples_per_send: int = 2_000


@dataclass(frozen=True, slots=True)
class BufferConfig:
    """`buffer` of a remote write (ours): the bound of what waits on disk, under `--storage.path`."""

    max_bytes: int = 256 << 20
    max_age_ms: int = 2 * 3600 * 1000


class RemoteWriteMessage(Enum):
    """`protobuf_message`: remote write 1.0 or 2.0."""

    V1 = "prometheus.WriteRequest"
    V2 = "io.prometheus.write.v2.Request"


@dataclass(frozen=True, slots=True)
class RemoteWriteConfig:
    """One entry of `remote_write`."""

    url: Secret
    name: str
    remote_timeout_ms: int = 30_000
    headers: tuple[tuple[str, str], ...] = ()
    write_relabel_configs: tuple[RelabelConfig, ...] = ()
    protobuf_message: RemoteWriteMessage = RemoteWriteMessage.V1
    send_native_histograms: bool = False
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS
    queue: QueueConfig = QueueConfig()
    metadata: MetadataConfig = MetadataConfig()
    buffer: BufferConfig = BufferConfig()


@dataclass(frozen=True, slots=True)
class PushgatewayConfig:
    """One entry of `pushgateways` (ours): samples of scraped jobs go on to a real Pushgateway.

    `jobs` are anchored regular expressions on the job's name. Each target's samples become the group
    `job/<job>/<label>/<value>...` over `grouping_key`, the labels of the target that tell its groups apart.
    """

    url: Secret
    name: str
    jobs: tuple[str, ...]
    grouping_key: tuple[str, ...] = ("instance",)
    timeout_ms: int = 10_000
    min_interval_ms: int = 0
    delete_when_gone: bool = True
    write_relabel_configs: tuple[RelabelConfig, ...] = ()
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """One entry of `heartbeats` (ours): a URL that is called while scraping, evaluation and delivery work.

    `name` is by default the host of the URL. The URL is a secret as a whole: its path is what the receiver knows the
    caller by. `body` goes with POST, "" is none.
    """

    url: Secret
    name: str
    interval_ms: int = 60_000
    timeout_ms: int = 10_000
    method: str = "GET"
    body: str = field(default="", repr=False)
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS


@dataclass(frozen=True, slots=True)
class DatasourceConfig:
    """One entry of `datasources` (ours): an engine with the Prometheus HTTP API that evaluates the rules of some files.

    `url` is the base of the API, without /api/v1. `rule_files` are absolute paths, as those of Config.
    `query_offset_ms` None stands for the global one. `params` go along with every query. `write_to` is the name of the
    `remote_write` that takes what the rules record, "" for none.
    """

    name: str
    url: Secret
    rule_files: tuple[str, ...] = ()
    query_offset_ms: int | None = None
    timeout_ms: int = 30_000
    max_concurrent: int = 8
    params: tuple[tuple[str, str], ...] = ()
    write_to: str = ""
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS


@dataclass(frozen=True, slots=True)
class PushReceiverConfig:
    """`push_receiver` (ours): the lifetime of a pushed group that sets none; 0 means no limit, as in Pushgateway."""

    default_ttl_ms: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration file with the scrape config files it names.

    `rule_files`   the absolute paths that the globs match now, each once
    `ignored`      known keys that have no effect here, to be reported once
    `warnings`     what is valid, but probably not intended
    `references`   every path it names, for `check config`
    `rendered`     the file as YAML with its secrets masked; see `render`
    """

    path: str
    global_: GlobalConfig = GlobalConfig()
    rule_files: tuple[str, ...] = ()
    scrape_configs: tuple[ScrapeConfig, ...] = ()
    alerting: AlertingConfig = AlertingConfig()
    storage: StorageConfig = StorageConfig()
    remote_write: tuple[RemoteWriteConfig, ...] = ()
    pushgateways: tuple[PushgatewayConfig, ...] = ()
    push_receiver: PushReceiverConfig = PushReceiverConfig()
    heartbeats: tuple[HeartbeatConfig, ...] = ()
    datasources: tuple[DatasourceConfig, ...] = ()
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    rendered: str = ""
