"""What `rulepush run` is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig
from rulepush.model.feature_flags import TYPE_AND_UNIT_FEATURE, ZERO_AT_START_FEATURE
from rulepush.peers.address import PeerAddress
from rulepush.rules.sharding import RuleShard
from rulepush.scrape.sharding import ScrapeSharding


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The flags of `rulepush run`. Durations in ms."""

    config_file: str
    storage_path: Path | None = None
    storage_optional: bool = False
    listen_address: str = "127.0.0.1:0"
    external_url: str = ""
    has_external_url: bool = True  # False: `external_url` is guessed
    route_prefix: str = ""
    web_config_file: str = ""
    cors_origin: str = ".*"
    enable_lifecycle: bool = False
    enable_remote_write: bool = False
    enable_push: bool = False
    enable_target_bodies: bool = False
    resend_delay_ms: int = 60_000
    outage_tolerance_ms: int = 3_600_000
    grace_period_ms: int = 600_000
    datasource_hold_ms: int = 3_600_000
    rule_shard: RuleShard | None = None  # None: every group is evaluated here
    peers: tuple[PeerAddress, ...] = ()
    peers_client: HTTPClientConfig = NO_CLIENT_SETTINGS
    lookback_delta_ms: int = 300_000
    query_timeout_ms: int = 120_000
    query_concurrency: int = 2
    max_samples: int = 50_000_000
    web_max_samples: int = 5_000_000
    history_rows: int = 50_000
    history_age_ms: int = 15 * 86_400_000
    discovery_settle_ms: int = 5_000
    sharding: ScrapeSharding | None = None
    auto_reload_ms: int = 0  # 0: never
    features: frozenset[str] = frozenset()
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def type_and_unit_labels(self) -> bool:
        """Whether series get `__type__` and `__unit__` from what is known of their metrics."""
        return TYPE_AND_UNIT_FEATURE in self.features

    @property
    def zero_at_start(self) -> bool:
        """Whether counters get a zero where they say that they began."""
        return ZERO_AT_START_FEATURE in self.features

    @property
    def divides_rules_in_memory(self) -> bool:
        """Where scraping is in shards, each has other samples, and evaluates every rule in memory over its own."""
        return self.sharding is None
