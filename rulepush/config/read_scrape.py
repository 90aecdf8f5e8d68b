"""Reading `global` and `scrape_configs`, with Prometheus' checks and inheritance (config/config.go)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from rulepush.config.expand import expand_environment
from rulepush.config.sections import (
    PROTOBUF_FIRST,
    SCRAPE_PROTOCOLS,
    GlobalConfig,
    ScrapeConfig,
    ScrapeLimits,
)
from rulepush.discovery.registry import read_sd_configs
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.http_client.config import read_http_client
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels, is_legacy_label_name
from rulepush.model.secret import tells_of_a_secret
from rulepush.relabel.relabel import read_relabel_configs
from rulepush.yaml.nodes import MapReader
from rulepush.yaml.scalars import did_you_mean

_SCHEMES: Final = ("utf8", "legacy")
_ESCAPING: Final = ("allow-utf-8", "underscores", "dots", "values")


def read_global(m: MapReader | None) -> GlobalConfig:
    """Read `global`."""
    if m is None:
        return GlobalConfig()
    default = GlobalConfig()
    interval = m.duration("scrape_interval") or default.scrape_interval_ms
    timeout = m.duration("scrape_timeout")
    if timeout > interval:
        m.problem("global scrape timeout greater than scrape interval", "scrape_timeout")
    legacy = _legacy(m, inherited=False)
    config = GlobalConfig(
        scrape_interval_ms=interval,
        scrape_timeout_ms=timeout or min(default.scrape_timeout_ms, interval),
        evaluation_interval_ms=m.duration("evaluation_interval") or default.evaluation_interval_ms,
        rule_query_offset_ms=m.duration("rule_query_offset"),
        external_labels=_external_labels(m, legacy),
        scrape_protocols=_protocols(m),
        histograms=_histograms(m, CLASSIC_ONLY),
        limits=_limits(m, ScrapeLimits()),
        keep_dropped_targets=m.count("keep_dropped_targets"),
        extra_scrape_metrics=m.flag("extra_scrape_metrics"),
        legacy_names=legacy,
        name_escaping=_escaping(m, legacy, ""),
    )
    m.ignore("query_log_file", "scrape_failure_log_file")
    m.finish()
    return config


def _external_labels(m: MapReader, legacy: bool) -> Labels:
    def warn(name: str) -> None:
        m.source.reading.warnings.append(f"external_labels: the environment variable {name} is empty or not set")

    labels = m.labels("external_labels")
    for name, _ in labels:
        if legacy and not is_legacy_label_name(name):
            m.problem(f'external_labels: "{name}" is not a valid label name', "external_labels")
    return Labels((name, expand_environment(value, os.environ, warn)) for name, value in labels)


def read_scrape_config(m: MapReader, inherited: GlobalConfig) -> ScrapeConfig:
    """Read one job."""
    job = m.text("job_name")
    if not job:
        m.problem("job_name is empty", "job_name" if "job_name" in m.keys() else None)  # noqa: SIM118
    interval = m.duration("scrape_interval") or inherited.scrape_interval_ms
    timeout = m.duration("scrape_timeout")
    if timeout > interval:
        text = f'scrape timeout greater than scrape interval for scrape config with job name "{job}"'
        m.problem(f"{text} ({format_duration(timeout)} > {format_duration(interval)})", "scrape_timeout")
    legacy = _legacy(m, inherited.legacy_names)
    histograms = _histograms(m, inherited.histograms)
    default = PROTOBUF_FIRST if histograms.native else SCRAPE_PROTOCOLS
    config = ScrapeConfig(
        job_name=job,
        scrape_interval_ms=interval,
        scrape_timeout_ms=timeout or min(inherited.scrape_timeout_ms, interval),
        scheme=m.one_of("scheme", ("http", "https"), "http"),
        metrics_path=m.text("metrics_path") or "/metrics",
        params=_params(m),
        honor_labels=m.flag("honor_labels"),
        honor_timestamps=m.flag("honor_timestamps", True),
        track_timestamps_staleness=m.flag("track_timestamps_staleness"),
        enable_compression=m.flag("enable_compression", True),
        scrape_protocols=_protocols(m) or inherited.scrape_protocols or default,
        fallback_scrape_protocol=m.one_of("fallback_scrape_protocol", ("", *PROTOBUF_FIRST), ""),
        histograms=replace(
            histograms,
            bucket_limit=m.count("native_histogram_bucket_limit"),
            min_bucket_factor=m.number("native_histogram_min_bucket_factor"),
        ),
        limits=_limits(m, inherited.limits),
        keep_dropped_targets=m.count("keep_dropped_targets") or inherited.keep_dropped_targets,
        extra_scrape_metrics=m.flag("extra_scrape_metrics", inherited.extra_scrape_metrics),
        legacy_names=legacy,
        name_escaping=_escaping(m, legacy, inherited.name_escaping) or ("underscores" if legacy else "allow-utf-8"),
        sd_configs=read_sd_configs(m),
        relabel_configs=read_relabel_configs(m, "relabel_configs", legacy_names=legacy),
        metric_relabel_configs=read_relabel_configs(m, "metric_relabel_configs", legacy_names=legacy),
        http_client=read_http_client(m),
    )
    m.ignore("scrape_failure_log_file")
    m.finish()
    return config


def _histograms(m: MapReader, inherited: HistogramScraping) -> HistogramScraping:
    classic_too = m.flag("scrape_classic_histograms", inherited.classic_too)  # the name before Prometheus 3
    return HistogramScraping(
        native=m.flag("scrape_native_histograms", inherited.native),
        classic_too=m.flag("always_scrape_classic_histograms", classic_too),
        to_custom_buckets=m.flag("convert_classic_histograms_to_nhcb", inherited.to_custom_buckets),
    )


def _escaping(m: MapReader, legacy: bool, inherited: str) -> str:
    """What the target is asked to do with names that are not legacy names; "" where nothing says so."""
    scheme = m.one_of("metric_name_escaping_scheme", ("", *_ESCAPING), "") or inherited
    if scheme == "allow-utf-8" and legacy:
        text = "utf8 metric names requested but validation scheme is not set to UTF8"
        m.problem(text, "metric_name_escaping_scheme")
    return scheme


def _legacy(m: MapReader, inherited: bool) -> bool:
    """Whether `metric_name_validation_scheme` is `legacy`."""
    scheme = m.one_of("metric_name_validation_scheme", ("", *_SCHEMES), "")
    return scheme == "legacy" if scheme else inherited


def _protocols(m: MapReader) -> tuple[str, ...]:
    """The formats to ask for, best first; empty where nothing says so."""
    names = m.texts("scrape_protocols")
    if not names and m.has("scrape_protocols"):
        m.problem("scrape_protocols: cannot be empty", "scrape_protocols")
    for name in names:
        if name not in PROTOBUF_FIRST:
            hint = did_you_mean(name, PROTOBUF_FIRST)
            text = f"scrape_protocols: unknown scrape protocol {name}, supported: {', '.join(PROTOBUF_FIRST)}{hint}"
            m.problem(text, "scrape_protocols")
    if len(set(names)) < len(names):
        m.problem("scrape_protocols: duplicated protocol", "scrape_protocols")
    return names


def _limits(m: MapReader, inherited: ScrapeLimits) -> ScrapeLimits:
    return ScrapeLimits(
        body_size=m.size("body_size_limit") or inherited.body_size,
        samples=m.count("sample_limit") or inherited.samples,
        targets=m.count("target_limit") or inherited.targets,
        labels=m.count("label_limit") or inherited.labels,
        label_name_length=m.count("label_name_length_limit") or inherited.label_name_length,
        label_value_length=m.count("label_value_length_limit") or inherited.label_value_length,
    )


def _params(m: MapReader) -> tuple[tuple[str, tuple[str, ...]], ...]:
    inner = m.section("params")
    if inner is None:
        return ()
    for name in filter(tells_of_a_secret, inner.keys()):
        inner.mask_all(name)
    return tuple((name, inner.texts(name)) for name in inner.keys())  # noqa: SIM118
