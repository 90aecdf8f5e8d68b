"""Reading `alerting`."""

from __future__ import annotations

from rulepush.config.sections import AlertingConfig, AlertmanagerConfig
from rulepush.discovery.registry import read_sd_configs
from rulepush.http_client.config import read_http_client
from rulepush.relabel.relabel import read_relabel_configs
from rulepush.yaml.nodes import MapReader


def read_alerting(m: MapReader | None) -> AlertingConfig:
    """Read `alerting`, with rulepush's own `hold_on_scrape_failure`."""
    if m is None:
        return AlertingConfig()
    config = AlertingConfig(
        alertmanagers=tuple(_read_alertmanager(entry) for entry in m.sections("alertmanagers")),
        alert_relabel_configs=read_relabel_configs(m, "alert_relabel_configs"),
        hold_on_scrape_failure_ms=m.duration("hold_on_scrape_failure"),
    )
    m.finish()
    return config


def _read_alertmanager(m: MapReader) -> AlertmanagerConfig:
    version = m.text("api_version", "v2")
    if version != "v2":
        m.problem(f"expected Alertmanager api version to be one of [v2] but got {version}", "api_version")
    timeout = m.duration("timeout", 10_000)
    if timeout == 0:
        m.wrong("timeout", "expected a duration above 0")
    config = AlertmanagerConfig(
        scheme=m.one_of("scheme", ("http", "https"), "http"),
        path_prefix=m.text("path_prefix"),
        timeout_ms=timeout,
        http_client=read_http_client(m),
        sd_configs=read_sd_configs(m),
        relabel_configs=read_relabel_configs(m, "relabel_configs"),
        alert_relabel_configs=read_relabel_configs(m, "alert_relabel_configs"),
    )
    m.unsupported("sigv4")
    m.finish()
    return config
