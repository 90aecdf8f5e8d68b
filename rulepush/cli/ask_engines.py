"""Asking the engines of datasources about their rules, for `check rules --datasource` and `check live`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rulepush import __version__
from rulepush.clock import SystemClock
from rulepush.config.sections import Config, DatasourceConfig
from rulepush.datasource.engine import RemoteEngine
from rulepush.datasource.label_values import label_values
from rulepush.http_client.build import build_client
from rulepush.http_client.client import server_of
from rulepush.livecheck import LiveRule, live_rules
from rulepush.livecheck.analyse import EngineReport
from rulepush.livecheck.on_engine import check_on_engine
from rulepush.rules.asking import Answer, Question
from rulepush.rules.rulefmt import load_rule_files


class _Asked:
    """A RemoteEngine whose labels can be asked for too."""

    def __init__(self, config: DatasourceConfig):
        self._config = config
        self._client = build_client(config.http_client, f"rulepush/{__version__}")
        self._engine = RemoteEngine(config, self._client, SystemClock())

    async def ask(self, question: Question, within_s: float) -> Answer:
        return await self._engine.ask(question, within_s)

    async def label_values(self, label: str, selector: str, within_s: float) -> list[str]:
        return await label_values(self._client, self._config, label, selector, within_s)

    async def aclose(self) -> None:
        await self._engine.aclose()


def rules_of(files: Sequence[str]) -> list[LiveRule]:
    """The rules of these files. Raises ConfigError."""
    return live_rules(load_rule_files(files), lambda file: Path(file).read_text(encoding="utf-8").splitlines())


async def ask_engines(config: Config, rules: Mapping[DatasourceConfig, Sequence[LiveRule]]) -> tuple[EngineReport, ...]:
    """What each of these datasources says of these rules. `config` has the global query offset."""
    return tuple(await asyncio.gather(*map(partial(_ask, config), rules, rules.values())))


async def _ask(config: Config, source: DatasourceConfig, rules: Sequence[LiveRule]) -> EngineReport:
    offset = config.global_.rule_query_offset_ms if source.query_offset_ms is None else source.query_offset_ms
    asked = _Asked(source)
    try:
        url = server_of(source.url.reveal())
        return await check_on_engine(source.name, url, rules, asked, SystemClock().now() - offset)
    finally:
        await asked.aclose()
