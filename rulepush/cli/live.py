"""Asking what a configuration names: each target once, and each Alertmanager."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rulepush import __version__
from rulepush.clock import SystemClock
from rulepush.config.sections import Config
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer
from rulepush.livecheck.fetch import Visit, environment, visit_jobs
from rulepush.livecheck.seen import SilentJob, TargetScrapes
from rulepush.notifier.visit import visit_alertmanagers


@dataclass(frozen=True, slots=True)
class LiveAnswers:
    """What the targets and the Alertmanagers answered; `silent` are the jobs without targets."""

    targets: tuple[TargetScrapes, ...]
    silent: tuple[SilentJob, ...]
    alertmanagers: tuple[AlertmanagerAnswer, ...]


def ask_all(config: Config) -> LiveAnswers:
    """Ask them all, at the same time."""
    return asyncio.run(_ask(config))


async def _ask(config: Config) -> LiveAnswers:
    env = environment(SystemClock(), f"rulepush/{__version__}")
    (targets, silent), alertmanagers = await asyncio.gather(
        visit_jobs(config.scrape_configs, env, Visit()), visit_alertmanagers(config.alerting.alertmanagers, env)
    )
    return LiveAnswers(tuple(targets), tuple(silent), alertmanagers)
