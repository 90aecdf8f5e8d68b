"""What a plain run has in memory: modules are most of what a process with one target takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

import rulepush
from tests.http_server import HttpReply, HttpRequest, LoopbackServer

# Names its modules when it ends.
_RUN = """
import atexit, json, sys
from pathlib import Path
from rulepush.__main__ import main

atexit.register(lambda: Path("modules.json").write_text(json.dumps(sorted(sys.modules))))
sys.exit(main(["run", "--storage.path=state", "--web.listen-address=127.0.0.1:0"]))
"""

# Top-level packages, and packages of ours.
_NOT_OF_A_PLAIN_RUN = {
    "_hashlib": "OpenSSL: hashmod, and names of remote_write",
    "_ssl": "TLS",
    "anyio": "requests that are not plain, and the HTTP API",
    "bcrypt": "passwords of --web.config.file",
    "click": "nothing: it comes with httpx and with uvicorn",
    "cramjam": "remote write",
    "dns": "dns_sd_configs",
    "google": "remote write",
    "h11": "requests that are not plain, and the HTTP API",
    "httpcore": "requests that are not plain: with TLS, a proxy, credentials",
    "httpx": "requests that are not plain",
    "jinja2": "the pages",
    "multiprocessing": "nothing: uvicorn's, which is there once somebody connects",
    "prometheus_client": "check metrics",
    "rulepush.config.web_config": "--web.config.file",
    "rulepush.demo": "another command",
    "rulepush.discovery.consul": "consul_sd_configs",
    "rulepush.discovery.dns": "dns_sd_configs",
    "rulepush.discovery.docker": "docker_sd_configs",
    "rulepush.discovery.file": "file_sd_configs",
    "rulepush.discovery.http": "http_sd_configs",
    "rulepush.discovery.nacos": "nacos_sd_configs",
    "rulepush.discovery.nomad": "nomad_sd_configs",
    "rulepush.discovery.registry_api": "consul_sd_configs, docker_sd_configs, nomad_sd_configs",
    "rulepush.exposition.expfmt": "pushes",
    "rulepush.forward.pushgateway": "pushgateways",
    "rulepush.histogram.histogram": "native histograms",
    "rulepush.http_client.oauth2": "oauth2",
    "rulepush.init": "another command",
    "rulepush.livecheck": "another command",
    "rulepush.nacos.dialects": "nacos_sd_configs",
    "rulepush.notifier.probe": "heartbeats",
    "rulepush.promql.eval.histogram_operators": "native histograms",
    "rulepush.promql.eval.histogram_range_call": "native histograms",
    "rulepush.promql.functions.histogram_rates": "native histograms",
    "rulepush.promql.testscript": "another command",
    "rulepush.push": "--web.enable-push-receiver",
    "rulepush.relay": "another command",
    "rulepush.remote.sender": "remote_write",
    "rulepush.rules.unittest": "another command",
    "rulepush.site": "the pages",
    "rulepush.web.routes": "the HTTP API",
    "starlette": "the HTTP API",
    "uvicorn": "the HTTP API",
    "zoneinfo": "templates that name a time zone",
}

RULES = """
groups:
- name: plain
  rules:
  - alert: Seen
    expr: max by (instance) (m) > 0
    annotations: {summary: "{{ $labels.instance }} has {{ $value | humanize }}"}
"""


# What an engine elsewhere answers the rule.
_ANSWER = {"resultType": "vector", "result": [{"metric": {"instance": "a"}, "value": [1, "1"]}]}


def modules_of_a_run(directory: Path, *, elsewhere: bool = False) -> set[str]:
    """The modules of `rulepush run` after an alert about a target has reached Alertmanager; with `elsewhere`, of one
    that scrapes nothing and evaluates on a datasource, after ALERTS were written there as well."""
    sent, written = threading.Event(), threading.Event()

    def reply(request: HttpRequest) -> HttpReply:
        match request.path:
            case "/api/v1/query":
                return HttpReply(json.dumps({"status": "success", "data": _ANSWER}).encode())
            case "/api/v1/write":
                written.set()
                return HttpReply(status=204)
            case "/api/v2/alerts":
                sent.set()
                return HttpReply(b"{}")
        return HttpReply(b"# TYPE m gauge\nm 1\n")

    server = LoopbackServer(reply, keep_alive=True)
    base = f"http://{server.address}"
    config: dict[str, object] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [server.address]}]}]},
    }
    if elsewhere:
        config["remote_write"] = [{"name": "central", "url": f"{base}/api/v1/write"}]
        config["datasources"] = [{"name": "central", "url": base, "rule_files": ["rules.yml"], "write_to": "central"}]
    else:
        config["rule_files"] = ["rules.yml"]
        config["scrape_configs"] = [{"job_name": "j", "static_configs": [{"targets": [server.address]}]}]
    (directory / "prometheus.yml").write_text(json.dumps(config))
    (directory / "rules.yml").write_text(RULES)
    environment = {**os.environ, "PYTHONPATH": str(Path(rulepush.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", _RUN], cwd=directory, env=environment)
    try:
        assert sent.wait(60)
        if elsewhere:
            assert written.wait(60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        server.close()
    return set(json.loads((directory / "modules.json").read_text()))


def loaded(modules: set[str], which: Mapping[str, str]) -> dict[str, str]:
    """Those of `which` that are in `modules`, or have a part there."""
    parents = {name[:i] for name in modules for i in [*_dots(name), len(name)]}
    return {name: why for name, why in which.items() if name in parents}


def _dots(name: str) -> list[int]:
    return [i for i, character in enumerate(name) if character == "."]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return modules_of_a_run(tmp_path_factory.mktemp("plain"))


def test_a_plain_run_imports_nothing_that_it_does_not_use(plain: set[str]) -> None:
    assert loaded(plain, _NOT_OF_A_PLAIN_RUN) == {}


def test_a_run_that_evaluates_on_an_engine_elsewhere_needs_no_httpx(tmp_path: Path) -> None:
    """Neither for the queries nor for the remote write of ALERTS."""
    found = modules_of_a_run(tmp_path, elsewhere=True)
    assert {"rulepush.datasource.engine", "rulepush.remote.sender"} <= found
    used = {"cramjam", "rulepush.remote.sender"}
    not_used = {name: why for name, why in _NOT_OF_A_PLAIN_RUN.items() if name not in used}
    assert loaded(found, not_used) == {}


def test_the_list_of_modules_is_that_of_the_run(plain: set[str]) -> None:
    """Else the test above could not fail."""
    assert {"numpy", "sqlite3", "rulepush.scrape.cache", "rulepush.notifier.alertmanager"} <= plain
    assert loaded({"a.b.c", "d"}, {"a": "1", "a.b": "2", "a.b.c": "3", "d": "4", "b": "5"}).keys() == {
        "a", "a.b", "a.b.c", "d",
    }  # fmt: skip
