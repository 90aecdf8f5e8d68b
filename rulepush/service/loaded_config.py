"""LoadedConfig: a configuration file with its rule files, read and checked whole before anything that runs changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rulepush.config import examine_config
from rulepush.config.load import expand_globs
from rulepush.config.sections import Config, KeepMode
from rulepush.errors import ConfigError, RuleFileError
from rulepush.rules.group import ALERT_SERIES
from rulepush.rules.rulefmt import RuleFile, read_rule_files
from rulepush.rules.sharding import RULES_SHARD_FLAG, GroupKey, RuleShard
from rulepush.rules.specs import RecordingSpec, RuleGroup, demanded
from rulepush.storage.demand import Demand
from rulepush.yaml.source import ReferenceKind

log = logging.getLogger("rulepush.config")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """What a start or a reload puts into effect. `warnings`: what its files may say, but probably by mistake.
    `groups` are those that this process evaluates, `of_other_shards` those that it leaves to others."""

    config: Config
    groups: tuple[RuleGroup, ...]
    demand: Demand
    warnings: tuple[str, ...] = ()
    of_other_shards: tuple[RuleGroup, ...] = ()

    @property
    def rule_count(self) -> int:
        """Rules of all groups."""
        return sum(len(group.rules) for group in self.groups)

    @property
    def written(self) -> frozenset[str]:
        """The metrics that rules write, here or on another shard."""
        everywhere = (*self.groups, *self.of_other_shards)
        recorded = (r.name for group in everywhere for r in group.rules if isinstance(r, RecordingSpec))
        return frozenset((*ALERT_SERIES, *recorded))

    @property
    def keys_of_other_shards(self) -> frozenset[GroupKey]:
        """The (file, name) of their groups."""
        return frozenset(group.key for group in self.of_other_shards)

    def log_warnings(self) -> None:
        """Log them, once for each start or reload."""
        for warning in self.warnings:
            log.warning("%s", warning)


def load_config_and_rules(
    path: str, lookback_delta_ms: int = 300_000, shard: RuleShard | None = None, *, divide_in_memory: bool = True
) -> LoadedConfig:
    """`shard`: only its groups are evaluated here; without `divide_in_memory`, and all that are evaluated in memory.
    Raises ConfigError with every problem of the configuration and of its rule files."""
    config, problems = examine_config(path)
    files: list[RuleFile] = []
    groups: tuple[RuleGroup, ...] = ()
    for datasource, paths in (("", config.rule_files), *((d.name, d.rule_files) for d in config.datasources)):
        try:
            of_datasource = read_rule_files(paths)
        except RuleFileError as e:
            problems += e.problems
            continue
        files += of_datasource
        groups += tuple(replace(group, datasource=datasource) for file in of_datasource for group in file.groups)
    if problems:
        raise ConfigError(problems)
    others: tuple[RuleGroup, ...] = ()
    if shard is not None:
        groups, others = shard.split(groups)
        if not divide_in_memory:
            groups += tuple(group for group in others if not group.datasource)
            others = tuple(group for group in others if group.datasource)
    wants = demanded(groups, config.global_.rule_query_offset_ms, lookback_delta_ms)
    if config.storage.keep is KeepMode.ALL:
        demand = Demand.keep_all(config.storage.retention_ms, wants)
    else:
        demand = Demand.of(wants)
    warnings = (*config.warnings, *(f"{file.name}: {warning}" for file in files for warning in file.warnings))
    missing = tuple(
        f"{r.file}:{r.line}: {r.key}: {r.path!r} does not point to an existing file"
        for r in config.references
        if r.refers in (ReferenceKind.RULES, ReferenceKind.JOBS) and not expand_globs((r.path,))
    )
    divided = _in_memory_warning(shard, (*groups, *others)) if divide_in_memory else ()
    return LoadedConfig(config, groups, demand, warnings + missing + divided, others)


def _in_memory_warning(shard: RuleShard | None, groups: Iterable[RuleGroup]) -> tuple[str, ...]:
    count = sum(not group.datasource for group in groups)
    if shard is None or not count:
        return ()
    return (
        f"{RULES_SHARD_FLAG} {shard}: {count} groups of rule_files are evaluated in memory, each by one shard and over "
        "the samples of that shard alone: every shard must scrape what they read, or put them under a datasource",
    )
