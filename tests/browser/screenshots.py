"""Makes the pictures of the pages that docs/ shows: python -m tests.browser.screenshots docs/images

A rulepush process watches three simulated Nacos servers for a minute and a half: one dies, the heap of another fills, a
third recovers. One of its two Alertmanagers cannot be reached. The pictures show the pages in both languages, on a desk
and on a phone, light and dark. Look at each before it is committed.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import Metrics, RecordingAlertmanager
from tests.harness import Scene, section
from tests.needs import browser as browser_programs
from tests.servers import free_port, get_json, wait_for

SECONDS: Final = 90
RULES: Final = """
groups:
- name: nacos
  rules:
  - alert: NacosServerDown
    expr: up{job="nacos"} == 0
    for: 10s
    labels: {severity: critical}
    annotations:
      summary: "Nacos {{ $labels.instance }} cannot be scraped"
      summary_zh: "Nacos {{ $labels.instance }} 无法抓取"
      description: "Clients that are connected to it fail over to the other servers; a second loss costs the quorum."
      description_zh: "连接到它的客户端会切换到其他节点；再失去一个节点，集群将失去多数派。"
      runbook_url: "https://runbooks.example/nacos/down"
  - alert: NacosLongPollingHigh
    expr: nacos_monitor{name="longPolling"} > 2000
    for: 5m
    labels: {severity: warning}
    annotations:
      summary: "{{ $value | humanize }} clients poll {{ $labels.instance }}"
      summary_zh: "{{ $value | humanize }} 个客户端在长轮询 {{ $labels.instance }}"
  - alert: NacosPushFails
    expr: nacos_monitor{name="failedPush"} > 0
    labels: {severity: warning}
    annotations:
      summary: "{{ $labels.instance }} cannot push to its clients"
      summary_zh: "{{ $labels.instance }} 推送失败"
- name: jvm
  rules:
  - alert: JvmHeapNearlyFull
    expr: jvm_heap_used_ratio > 0.85
    for: 15s
    labels: {severity: critical}
    annotations:
      summary: "The heap of {{ $labels.instance }} is {{ $value | humanizePercentage }} full"
      summary_zh: "{{ $labels.instance }} 的堆内存已用 {{ $value | humanizePercentage }}"
      description: "The server stops answering when the garbage collector no longer keeps up."
      description_zh: "垃圾回收跟不上时，服务器会停止响应。"
      dashboard_url: "https://grafana.example/d/jvm?var-instance={{ $labels.instance }}"
      runbook_url: "https://runbooks.example/jvm/heap"
  - {record: "job:jvm_heap_used_ratio:max", expr: max by (job) (jvm_heap_used_ratio)}
- name: heartbeat
  rules:
  - alert: Watchdog
    expr: vector(1)
    labels: {severity: none}
    annotations: {summary: "Always fires, so that its absence is noticed", summary_zh: "始终触发，用于发现告警链路中断"}
"""


class Showcase(Scene):
    """The process and what it watches."""

    external_labels = "{site: hz1}"

    def __init__(self, directory: Path):
        self.nacos = [Metrics() for _ in range(3)]
        self.alertmanager = RecordingAlertmanager()
        self.turn(0)
        targets = [server.address for server in self.nacos]
        names = ", ".join(
            f"{{source_labels: [__address__], regex: '{address}', target_label: instance, "
            f"replacement: 'nacos-{n}:8848'}}"
            for n, address in enumerate(targets)
        )
        jobs = [f"{{job_name: nacos, static_configs: [{{targets: {targets}}}], relabel_configs: [{names}]}}"]
        alertmanagers = [section([self.alertmanager.address]), section([f"127.0.0.1:{free_port()}"])]
        super().__init__(directory, jobs, alertmanagers, RULES)
        with (directory / "prometheus.yml").open("a") as config:
            config.write("storage: {record: {}}\n")

    def turn(self, second: int) -> None:
        """What the servers measure then."""
        for n, server in enumerate(self.nacos):
            heap = 0.52 + 0.06 * n + 0.03 * math.sin(second / 5 + n)
            if n == 1:
                heap = min(0.95, 0.6 + second * 0.006) + 0.02 * math.sin(second / 3)
            server.lines = {
                "jvm_heap_used_ratio": heap,
                'nacos_monitor{name="longPolling"}': 2310 if n == 0 else 870,
                'nacos_monitor{name="failedPush"}': 3 if n == 2 and 10 < second < 30 else 0,
            }
        self.nacos[2].alive = second < 60

    def close(self) -> None:
        for server in self.nacos:
            server.close()
        self.alertmanager.close()


def alert_path(scene: Showcase, alertmanager: RecordingAlertmanager, name: str) -> str:
    """Where the notification of an alert leads."""
    received = wait_for(name, lambda: [a for a in alertmanager.received() if a["labels"]["alertname"] == name])
    parts = urlsplit(received[0]["generatorURL"])
    return f"{parts.path}?{parts.query}"


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        scene = Showcase(Path(work))
        try:
            with scene.rulepush():
                for second in range(SECONDS):
                    scene.turn(second)
                    time.sleep(1)
                wait_for("the alerts", lambda: len(get_json(f"{scene.url}/api/v1/alerts")["data"]["alerts"]) >= 4)
                browser = Browser(browser_programs(), Path(work) / "chromium")
                try:
                    for name, path, view in pictures(scene):
                        browser.open(scene.url + path, view)
                        file = directory / f"{name}.png"
                        browser.screenshot(file, 1100 if view.width == DESK else 1300)
                        print(f"{file}  {file.stat().st_size // 1024} KiB", flush=True)
                finally:
                    browser.close()
        finally:
            scene.close()


def pictures(scene: Showcase) -> list[tuple[str, str, View]]:
    """(name, path, view) of each."""
    heap = alert_path(scene, scene.alertmanager, "JvmHeapNearlyFull")
    graph = "/graph?g0.expr=jvm_heap_used_ratio&g0.tab=graph&g0.range_input=2m&g0.step_input=1"
    desk, phone = View(DESK), View(PHONE, "zh-CN", dark=True)
    pages = {
        "alerts": "/alerts",
        "alert": heap,
        "rules": "/rules",
        "query": graph,
        "backtest": "/backtest?group=jvm&rule=JvmHeapNearlyFull&threshold=0.7&for=5s&range=1h",
        "targets": "/targets",
        "delivery": "/delivery",
    }
    found = [(name, path, desk) for name, path in pages.items()]
    found += [
        (f"{name}-phone-zh-dark", pages[name], phone) for name in ("alerts", "alert", "rules", "query", "backtest")
    ]
    found += [
        ("alert-phone", heap, View(PHONE)),
        ("alerts-phone", "/alerts", View(PHONE)),
        ("alerts-zh", "/alerts", View(DESK, "zh-CN")),
        ("alert-dark", heap, View(DESK, dark=True)),
    ]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
