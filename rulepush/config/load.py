"""Loading a configuration file: one pass that finds every problem of it and of the scrape config files it names."""

from __future__ import annotations

import glob
import os
import re
from typing import Final

import yaml

from rulepush.config.read_alerting import read_alerting
from rulepush.config.read_datasources import read_datasources
from rulepush.config.read_heartbeats import read_heartbeats
from rulepush.config.read_scrape import read_global, read_scrape_config
from rulepush.config.read_sending import read_push_receiver, read_pushgateways, read_remote_writes
from rulepush.config.sections import Config, GlobalConfig, KeepMode, RecordConfig, ScrapeConfig, StorageConfig
from rulepush.errors import ConfigError, Problem
from rulepush.yaml.hints import is_other_kind_than_config, note_helm
from rulepush.yaml.nodes import LoadSession, MapReader, ReferenceKind, SourceFile, kind, line_of, read_yaml

_WINDOW: Final = "out_of_order_time_window"
_LEAST_RECORDING: Final = 16 << 20  # bytes; less would not hold a few segments
_RULE_PATH: Final = re.compile(r"[^*\0]*(\*[^/\0]*)?")  # Prometheus allows * in the last part of a path only


def load_config(path: str) -> Config:
    """Read, check and resolve a configuration file. Raises ConfigError with every Problem found.

    Relative paths in it start at its own directory. Rule files are found, not read; credential files neither.
    """
    config, problems = examine_config(path)
    if problems:
        raise ConfigError(problems)
    return config


def examine_config(path: str) -> tuple[Config, list[Problem]]:
    """As `load_config`, but returns the problems with what could be read: the files it names can be checked as well."""
    reading = LoadSession()
    source, root = read_yaml(path, reading)
    config = _read(source, root)
    note_helm(source)
    return config, sorted(reading.problems, key=lambda p: (p.file != path, p.file, p.line))


def render_config(config: Config) -> str:
    """The configuration as YAML, with `<secret>` in place of what is secret (`/api/v1/status/config`)."""
    return config.rendered


def _read(source: SourceFile, root: yaml.Node | None) -> Config:
    if root is not None and not isinstance(root, yaml.MappingNode):
        source.problem(line_of(root), f"expected a mapping, got {kind(root)}")
        root = None
    if root is None:
        return Config(source.name)
    m = MapReader(source, root)
    if is_other_kind_than_config(m):
        return Config(source.name)
    global_ = read_global(m.section("global"))
    rule_files = expand_globs(_globs(m, "rule_files"))
    jobs: dict[str, str] = {}
    scrapes = _read_jobs(m, global_, jobs)
    rendered_jobs = []
    for file in expand_globs(_globs(m, "scrape_config_files")):
        more, text = _read_scrape_file(file, source.reading, global_, jobs)
        scrapes += more
        rendered_jobs.append(f"# {file}\n{text}")
    alerting = read_alerting(m.section("alerting"))
    storage = _read_storage(m.section("storage"))
    remote_write, pushgateways = read_remote_writes(m), read_pushgateways(m)
    push_receiver = read_push_receiver(m.section("push_receiver"))
    heartbeats = read_heartbeats(m)
    datasources = read_datasources(
        m, lambda entry: expand_globs(_globs(entry, "rule_files")), rule_files, {write.name for write in remote_write}
    )
    m.ignore("runtime", "tracing", "remote_read", "otlp")
    m.finish()
    return Config(
        path=source.name,
        global_=global_,
        rule_files=rule_files,
        scrape_configs=tuple(scrapes),
        alerting=alerting,
        storage=storage,
        remote_write=remote_write,
        pushgateways=pushgateways,
        push_receiver=push_receiver,
        heartbeats=heartbeats,
        datasources=datasources,
        ignored=tuple(source.reading.ignored),
        warnings=tuple(source.reading.warnings),
        references=tuple(source.reading.references),
        rendered="\n".join([source.render(root), *rendered_jobs]),
    )


def _read_jobs(m: MapReader, global_: GlobalConfig, jobs: dict[str, str]) -> list[ScrapeConfig]:
    """The jobs of one file; `jobs` remembers the names of all files, and where they were."""
    configs = []
    for entry in m.sections("scrape_configs"):
        config = read_scrape_config(entry, global_)
        configs.append(config)
        if config.job_name in jobs and config.job_name:
            text = f'found multiple scrape configs with job name "{config.job_name}"'
            entry.problem(f"{text}, the first in {jobs[config.job_name]}", "job_name")
        jobs.setdefault(config.job_name, f"{m.source.name}:{entry.line}")
    return configs


def _read_scrape_file(
    path: str, reading: LoadSession, global_: GlobalConfig, jobs: dict[str, str]
) -> tuple[list[ScrapeConfig], str]:
    source, root = read_yaml(path, reading)
    if root is None:
        return [], ""
    if not isinstance(root, yaml.MappingNode):
        source.problem(line_of(root), f"expected a mapping, got {kind(root)}")
        return [], ""
    m = MapReader(source, root)
    configs = _read_jobs(m, global_, jobs)
    m.finish()
    return configs, source.render(root)


def _read_storage(m: MapReader | None) -> StorageConfig:
    if m is None:
        return StorageConfig()
    default = StorageConfig()
    keep = KeepMode(m.one_of("keep", [k.value for k in KeepMode], default.keep.value))
    retention = m.duration("retention", default.retention_ms)
    if retention == 0:
        m.wrong("retention", "expected a duration above 0")
    if m.has("retention") and keep is KeepMode.RULES:
        text = "storage.retention has no effect with storage.keep: rules, where each rule's look-back counts"
        m.source.reading.warnings.append(text)
    window = 0
    tsdb = m.section("tsdb")
    if tsdb is not None:
        window = tsdb.duration(_WINDOW)
        tsdb.ignore(*(key for key in tsdb.keys() if key != _WINDOW))  # noqa: SIM118
    record = _read_record(m.section("record"))
    m.ignore("exemplars")
    m.finish()
    return StorageConfig(keep, retention, window, record)


def _read_record(m: MapReader | None) -> RecordConfig | None:
    if m is None:
        return None
    default = RecordConfig()
    retention, size = m.duration("retention", default.retention_ms), m.size("max_size", default.max_bytes)
    if retention == 0:
        m.wrong("retention", "expected a duration above 0")
    if size < _LEAST_RECORDING:
        m.wrong("max_size", f"expected {_LEAST_RECORDING >> 20}MB or more")
    m.finish()
    return RecordConfig(retention, size)


def _globs(m: MapReader, key: str) -> tuple[str, ...]:
    refers, what = (ReferenceKind.RULES, "rule") if key == "rule_files" else (ReferenceKind.JOBS, "scrape config")
    return m.globs(key, refers, _RULE_PATH, f'invalid {what} file path "{{}}"')


def expand_globs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The files that the patterns match, in order, each once. Hidden files count, as in Go."""
    found: dict[str, None] = {}
    for pattern in patterns:
        paths = sorted(glob.glob(pattern, include_hidden=True))
        found.update(dict.fromkeys(os.path.normpath(p) for p in paths))
    return tuple(found)
