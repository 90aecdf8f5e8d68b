"""Ask every Alertmanager of a configuration whether it can take alerts: found, relabelled and reached as the notifier
does it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import httpx

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import Environment
from rulepush.http_client.build import build_client
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer
from rulepush.livecheck.fetch import first_list
from rulepush.notifier.endpoints import Endpoints, endpoints, shown_endpoint
from rulepush.notifier.probe import probe_alertmanager

_AT_ONCE: Final = 16  # requests
_DISCOVERY_SECONDS: Final = 10.0
_ALL_SECONDS: Final = 60.0


async def visit_alertmanagers(
    configs: Sequence[AlertmanagerConfig], env: Environment, transport: httpx.AsyncBaseTransport | None = None
) -> tuple[AlertmanagerAnswer, ...]:
    """Each Alertmanager of each section, in their order; a section that leads to none has an answer of its own. Takes
    about a minute at most. `transport` replaces the network in tests."""
    limit = asyncio.Semaphore(_AT_ONCE)
    sections = await asyncio.gather(*(_section(config, env, limit, transport) for config in dict.fromkeys(configs)))
    return tuple(answer for answers in sections for answer in answers)


async def found_endpoints(config: AlertmanagerConfig, env: Environment) -> tuple[Endpoints, tuple[str, ...]]:
    """Where the Alertmanagers of a section are, by the first list of each of its discoveries, and why some gave none
    within 10 s, or not the whole."""
    lists = await asyncio.gather(*(first_list(sd, env, _DISCOVERY_SECONDS) for sd in config.sd_configs))
    faults = dict.fromkeys(found.fault for found in lists if found.fault)
    return endpoints(config, [group for found in lists for group in found.groups]), tuple(faults)


async def _section(
    config: AlertmanagerConfig, env: Environment, limit: asyncio.Semaphore, transport: httpx.AsyncBaseTransport | None
) -> list[AlertmanagerAnswer]:
    found, silent = await found_endpoints(config, env)
    faults = [AlertmanagerAnswer("of alerting.alertmanagers", fault) for fault in found.faults]
    faults += [AlertmanagerAnswer("of alerting.alertmanagers", f"its {fault}") for fault in silent]
    client = build_client(config.http_client, env.user_agent, clock=env.clock, transport=transport)
    try:

        async def ask(url: str) -> AlertmanagerAnswer:
            async with limit:
                probe = await probe_alertmanager(client, url, config.timeout_ms / 1000)
            return AlertmanagerAnswer(shown_endpoint(url), probe.fault, probe.version)

        asking = {url: asyncio.create_task(ask(url)) for url in found.active}
        if asking:
            _, late = await asyncio.wait(asking.values(), timeout=_ALL_SECONDS)
            await _cancel(late)
    finally:
        await client.aclose()
    answers = [
        AlertmanagerAnswer(shown_endpoint(url), f"not asked within {_ALL_SECONDS:g}s")
        if task.cancelled()
        else task.result()
        for url, task in asking.items()
    ]
    if answers or faults:
        return answers + faults
    if found.dropped:
        text = f"relabel_configs drop all of its {len(found.dropped)} Alertmanagers"
        return [AlertmanagerAnswer("of alerting.alertmanagers", text, meant=True)]
    return [AlertmanagerAnswer("of alerting.alertmanagers", "its discovery is empty")]


async def _cancel(tasks: Iterable[asyncio.Task[AlertmanagerAnswer]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
