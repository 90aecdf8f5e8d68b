"""The text of prometheus.yml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from rulepush.init.addresses import Address
from rulepush.init.setup import CONFIG, PORT, ScrapeJob, Setup
from rulepush.init.wording import Wording, comment, wording

_PLAIN: Final = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_WORDS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def prometheus_yml(setup: Setup) -> str:
    """Jobs, rules, the recording and the Alertmanagers."""
    say = wording(setup.language)
    own = ScrapeJob(
        "rulepush",
        (f"127.0.0.1:{PORT}",),
        metrics_path=f"{setup.prefix}/metrics",
        above=say("rulepush itself, for rules/self.yml.", "rulepush 自身，供 rules/self.yml 使用。"),
    )
    jobs = "\n".join(_job(job) for job in (*setup.jobs, own))
    check_live = say(
        "rules that cannot fire on the real targets",
        "在真实目标上永远不会触发的规则",
    )
    labels = say(
        "Labels that every alert gets, to tell your sites apart.",
        "每条告警都会带上的标签，用来区分不同的环境。",
    )
    record = say(
        "Of rulepush alone, Prometheus refuses this key: every sample of the last day, compressed, in the directory\n"
        "of --storage.path. It costs no alert when the disk is full.",
        "rulepush 独有，Prometheus 不接受这个键：最近一天的全部样本，压缩后存放在 --storage.path 目录中。\n"
        "磁盘写满时不影响告警。",
    )
    heartbeats = say(
        "Of rulepush alone, too: a URL that is called while scraping, evaluation and delivery work. The service\n"
        "behind it (healthchecks.io, Uptime Kuma and the like) raises the alarm when no call comes.",
        "同样是 rulepush 独有：抓取、计算和发送都正常时才会调用的地址。对方（healthchecks.io、Uptime Kuma 等）\n"
        "收不到调用就会报警。",
    )
    return f"""\
{comment(_head(setup, say))}\
#   rulepush check config {CONFIG}
#   rulepush check live --config.file {CONFIG}     {check_live}
global:
  scrape_interval: 15s
  evaluation_interval: 15s
{comment(labels, "  ")}\
  # external_labels: {{site: hz1}}

rule_files:
  - rules/*.yml

scrape_configs:
{jobs}
{comment(record)}\
storage:
  record: {{retention: 24h, max_size: 512MB}}

{comment(heartbeats)}\
# heartbeats:
#   - url: https://hc-ping.com/...

alerting:
  alertmanagers:
{"".join(_alertmanagers(setup))}"""


def _head(setup: Setup, say: Wording) -> str:
    return say(
        f"Written by `rulepush init {setup.app}`. The format is Prometheus' own.",
        f"由 `rulepush init {setup.app}` 生成，格式与 Prometheus 相同。",
    )


def _job(job: ScrapeJob) -> str:
    scheme = f"    scheme: {job.scheme}\n" if job.scheme != "http" else ""
    path = f"    metrics_path: {quoted(job.metrics_path)}\n" if job.metrics_path != "/metrics" else ""
    return (
        f"{comment(job.above, '  ')}"
        f"  - job_name: {yaml_name(job.name)}\n"
        f"{scheme}{path}"
        f"{_basic_auth(job.username, job.password, '    ')}"
        "    static_configs:\n"
        f"      - targets: {json.dumps(list(job.targets))}\n"
        f"{job.below}"
    )


def _alertmanagers(setup: Setup) -> Iterator[str]:
    """One entry for all that are reached the same way."""
    alike: dict[Address, list[str]] = {}
    for a in setup.receivers:
        alike.setdefault(Address(a.scheme, "", a.path, a.username, a.password), []).append(a.host)
    for way, hosts in alike.items():
        prefix = f"      path_prefix: {quoted(way.path)}\n" if way.path else ""
        yield (
            f"    - scheme: {way.scheme}\n"
            f"{prefix}{_basic_auth(way.username, way.password, '      ')}"
            f"      static_configs:\n        - targets: {json.dumps(hosts)}\n"
        )


def quoted(text: str) -> str:
    """A text as YAML takes it in any place."""
    return json.dumps(text, ensure_ascii=False)


def yaml_name(text: str) -> str:
    """A name as it is where YAML takes it for a text, else in quotes."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def _basic_auth(username: str, password: str, indent: str) -> str:
    if not username:
        return ""
    return f"{indent}basic_auth:\n{indent}  username: {quoted(username)}\n{indent}  password: {quoted(password)}\n"
