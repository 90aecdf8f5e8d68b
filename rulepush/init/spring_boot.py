"""What a working directory for Spring Boot applications has: its jobs, its packs, and a sidecar's manifest. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.static import StaticConfig
from rulepush.init.setup import Inhibition, ScrapeJob
from rulepush.livecheck.candidates import NamedTarget
from rulepush.livecheck.choice import packs_of
from rulepush.livecheck.kinds import TargetKind
from rulepush.livecheck.seen import target_kinds

BOOT_PORT: Final = 8080
BOOT_PACKS: Final = ("targets", "spring-boot", "jvm", "nacos", "self")
BOOT_INHIBITIONS: Final = (Inhibition('alertname="TargetDown"', 'severity=~"warning|info"', ("job", "instance")),)
# The tag that Spring's own documentation gives as the example of a common tag, and most applications set.
_NAME_TAG: Final = "application"
_NO_NAME: Final = re.compile(r"[^\w.-]+", re.ASCII)
_NAMELESS: Final = "spring-boot"
_NO_NAMES: Final = frozenset(("", "localhost"))
_OTHERS: Final = re.compile("(?i)nacos|rulepush")


def boot_jobs(found: Sequence[NamedTarget]) -> tuple[ScrapeJob, ...]:
    """A job for each application, by its name and the way in which it is reached; the targets in their order."""
    jobs: dict[ScrapeJob, list[str]] = {}
    for target in found:
        job, host = _way(target.job)
        jobs.setdefault(replace(job, name=application_name(target)), []).append(host)
    used: dict[str, int] = {}
    named = []
    for job, hosts in jobs.items():
        number = used[job.name] = used.get(job.name, 0) + 1
        name = job.name if number == 1 else f"{job.name}-{number}"
        named.append(replace(job, name=name, targets=tuple(dict.fromkeys(hosts))))
    return tuple(named)


def _way(config: ScrapeConfig) -> tuple[ScrapeJob, str]:
    """Without its target, which stands beside it."""
    (static,) = config.sd_configs
    assert isinstance(static, StaticConfig)
    basic = config.http_client.basic_auth
    credentials = (basic.username, basic.password.reveal()) if basic is not None and basic.password else ("", "")
    return ScrapeJob("", (), config.scheme, config.metrics_path, *credentials), static.targets[0]


def application_name(target: NamedTarget) -> str:
    """The value of the tag `application`, when it has one; else the first part of its host's name. The rules take a
    job with "nacos" or "rulepush" in its name for one of these."""
    if TargetKind.NACOS in target_kinds(target.answer):
        return "nacos"
    samples = target.answer.scrapes[-1].samples
    tagged = {sample.labels.get(_NAME_TAG) for sample in samples} - {""}
    host = urlsplit(target.answer.url).hostname or ""
    candidates = [*(tagged if len(tagged) == 1 else ()), "" if _is_ip(host) else host.partition(".")[0]]
    names = (_NO_NAME.sub("-", candidate).strip("-") for candidate in candidates)
    return next((name for name in names if name not in _NO_NAMES and not _OTHERS.search(name)), _NAMELESS)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def boot_packs(found: Sequence[NamedTarget], packs: Mapping[str, str]) -> dict[str, str]:
    """Those for what the targets are; one that does not answer yet is taken for what the command is about."""
    wanted = {"targets", "self", *packs_of(target.answer for target in found)}
    if any(target.answer.trouble or not target_kinds(target.answer) for target in found):
        wanted |= {"spring-boot", "jvm"}
    return {name: text for name, text in packs.items() if name in wanted}


def strangers(found: Sequence[NamedTarget]) -> list[NamedTarget]:
    """The targets that answer, and do not look like Spring Boot."""
    return [t for t in found if t.answer.trouble is None and TargetKind.SPRING_BOOT not in target_kinds(t.answer)]
