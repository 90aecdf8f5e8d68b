"""Reading `remote_write`, `pushgateways` and `push_receiver`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

import yaml

from rulepush.config.sections import (
    BufferConfig,
    MetadataConfig,
    PushgatewayConfig,
    PushReceiverConfig,
    QueueConfig,
    RemoteWriteConfig,
    RemoteWriteMessage,
)
from rulepush.errors import RegexError
from rulepush.http_client.config import ALWAYS_RESERVED_HEADERS, check_header, read_http_client
from rulepush.model.labels import is_legacy_label_name
from rulepush.model.regex import compile_regex
from rulepush.model.secret import Secret
from rulepush.relabel.relabel import read_relabel_configs
from rulepush.yaml.nodes import MapReader

_MAX_NAME_BYTES: Final = 200  # bytes; file systems take 255


def read_remote_writes(m: MapReader) -> tuple[RemoteWriteConfig, ...]:
    """Read `remote_write`; names must be unique, and two equal entries are an error."""
    seen: set[str] = set()
    configs = []
    entries = list(m.sections("remote_write"))
    urls = Counter(entry.text("url") for entry in entries if not entry.text("name"))
    for entry in entries:
        config = _read_remote_write(entry)
        if not entry.text("name") and urls[entry.text("url")] > 1:
            # Prometheus hashes every entry as a whole. Here only those that would get one name: a name from the URL
            # alone survives other changes, and with it what waits on disk.
            config = replace(config, name=_short_hash(yaml.serialize(entry.node, Dumper=yaml.SafeDumper)))
            if config.name in seen:
                entry.problem("duplicate remote write configs are not allowed: this one is as one before it", "url")
        elif config.name in seen:
            entry.problem(f'found multiple remote write configs with job name "{config.name}"', "name")
        seen.add(config.name)
        configs.append(config)
    return tuple(configs)


def _read_remote_write(m: MapReader) -> RemoteWriteConfig:
    if not m.has("url"):
        m.problem("url for remote_write is empty", None)
    url = m.url("url")
    headers = m.text_map("headers")
    m.mask_all("headers")  # tenants' and gateways' keys are sent in headers
    for name, value in headers.items():
        if name.lower() in ALWAYS_RESERVED_HEADERS:
            m.problem(f"{name} is a reserved header. It must not be changed", "headers")
        check_header(m, "headers", name, value)
    message = m.one_of("protobuf_message", [v.value for v in RemoteWriteMessage], RemoteWriteMessage.V1.value)
    config = RemoteWriteConfig(
        url=url,
        name=_name(m, url),
        remote_timeout_ms=m.duration("remote_timeout", 30_000) or 30_000,
        headers=tuple(headers.items()),
        write_relabel_configs=read_relabel_configs(m, "write_relabel_configs"),
        protobuf_message=RemoteWriteMessage(message),
        http_client=read_http_client(m),
        send_native_histograms=m.flag("send_native_histograms"),
        queue=_read_queue(m.section("queue_config")),
        metadata=_read_metadata(m.section("metadata_config")),
        buffer=_read_buffer(m.section("buffer")),
    )
    if m.flag("send_exemplars"):
        text = f"{m.where}: send_exemplars has no effect: rulepush does not keep exemplars, so it sends none"
        m.source.reading.warnings.append(text)
    m.ignore("round_robin_dns")
    for key in ("sigv4", "azuread", "google_iam"):
        if m.has(key):  # also an empty one: it means the credentials of the machine
            m.problem(f"{key} is not supported yet by rulepush (Prometheus knows it)", key)
    m.finish()
    return config


def _name(m: MapReader, url: Secret) -> str:
    """`name`, by default from the URL as in Prometheus. It names a directory or a file of `--storage.path`."""
    name = m.text("name")
    if name in (".", "..") or "/" in name or not name.isprintable():
        m.problem(f'name: {name!r} cannot name a file: leave out "/" and control characters', "name")
    elif len(name.encode()) > _MAX_NAME_BYTES:
        m.problem(f"name: longer than {_MAX_NAME_BYTES} bytes, so it cannot name a file", "name")
    return name or _short_hash(url.reveal())


def _short_hash(text: str) -> str:
    import hashlib  # with it comes OpenSSL, 4 MiB

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:6]


def _read_queue(m: MapReader | None) -> QueueConfig:
    default = QueueConfig()
    if m is None:
        return default
    config = QueueConfig(
        capacity=m.count("capacity", default.capacity),
        max_shards=m.count("max_shards", default.max_shards),
        min_shards=m.count("min_shards", default.min_shards),
        max_samples_per_send=m.count("max_samples_per_send", default.max_samples_per_send),
        batch_send_deadline_ms=m.duration("batch_send_deadline", default.batch_send_deadline_ms),
        min_backoff_ms=m.duration("min_backoff", default.min_backoff_ms),
        max_backoff_ms=m.duration("max_backoff", default.max_backoff_ms),
        sample_age_limit_ms=m.duration("sample_age_limit"),
    )
    for key in ("capacity", "max_shards", "min_shards", "max_samples_per_send"):
        if m.has(key) and getattr(config, key) == 0:
            m.problem(f"{key}: expected a number above 0", key)
    m.flag("retry_on_http_429")
    m.ignore("retry_on_http_429")  # it always is: the samples can wait on disk
    if config.min_shards > config.max_shards:
        m.problem("min_shards is greater than max_shards", "min_shards")
    m.finish()
    return config


def _read_metadata(m: MapReader | None) -> MetadataConfig:
    default = MetadataConfig()
    if m is None:
        return default
    config = MetadataConfig(
        m.flag("send", default.send),
        m.duration("send_interval", default.send_interval_ms),
        m.count("max_samples_per_send", default.max_samples_per_send),
    )
    m.finish()
    return config


def _read_buffer(m: MapReader | None) -> BufferConfig:
    default = BufferConfig()
    if m is None:
        return default
    config = BufferConfig(m.size("max_size", default.max_bytes), m.duration("max_age", default.max_age_ms))
    m.finish()
    return config


def read_pushgateways(m: MapReader) -> tuple[PushgatewayConfig, ...]:
    """Read `pushgateways`; names must be unique."""
    seen: set[str] = set()
    configs = []
    for entry in m.sections("pushgateways"):
        config = _read_pushgateway(entry)
        if config.name in seen:
            text = "give each entry a name of its own" if not entry.has("name") else ""
            entry.problem(f'found multiple pushgateways with name "{config.name}"; {text}'.rstrip("; "), "name")
        seen.add(config.name)
        configs.append(config)
    return tuple(configs)


def _read_pushgateway(m: MapReader) -> PushgatewayConfig:
    if not m.has("url"):
        m.problem("url of a pushgateway is empty")
    jobs = m.texts("jobs")
    if not jobs:
        m.problem("jobs is empty: name the jobs to send on, as regular expressions ('.*' for all)")
    for job in jobs:
        try:
            compile_regex(job)
        except RegexError as e:
            m.problem(f"jobs: {e}", "jobs")
    url = m.url("url")
    config = PushgatewayConfig(
        url=url,
        name=_name(m, url),
        jobs=jobs,
        grouping_key=m.texts("grouping_key") if m.has("grouping_key") else ("instance",),
        timeout_ms=m.duration("timeout", 10_000) or 10_000,
        min_interval_ms=m.duration("min_interval"),
        delete_when_gone=m.flag("delete_when_gone", True),
        write_relabel_configs=read_relabel_configs(m, "write_relabel_configs"),
        http_client=read_http_client(m),
    )
    for name in config.grouping_key:
        if name == "job" or not is_legacy_label_name(name):
            text = "job is always part of the key" if name == "job" else f"{name!r} is not a valid label name"
            m.problem(f"grouping_key: {text}", "grouping_key")
    m.finish()
    return config


def read_push_receiver(m: MapReader | None) -> PushReceiverConfig:
    """Read `push_receiver`."""
    if m is None:
        return PushReceiverConfig()
    config = PushReceiverConfig(default_ttl_ms=m.duration("default_ttl"))
    m.finish()
    return config
