"""A real rulepush, a real Alertmanager that dies and comes back, and a server that hears the heartbeats."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import alertmanager_command, free_port, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

INTERVAL_S = 1.0


def test_heartbeats_stop_with_the_alertmanager_and_go_on_with_it(tmp_path: Path) -> None:
    beats: list[float] = []

    def hear(request: HttpRequest) -> HttpReply:
        assert request.path == "/ping/tokentoken"
        beats.append(time.monotonic())
        return HttpReply(b"OK")

    def beaten_since(moment: float) -> bool:
        return any(at > moment for at in beats)

    am, port = free_port(), free_port()
    receiver = LoopbackServer(hear)
    (tmp_path / "rules.yml").write_text("groups: [{name: g, rules: [{alert: Never, expr: vector(0) > 1}]}]\n")
    (tmp_path / "prometheus.yml").write_text(
        "global: {evaluation_interval: 1s}\n"
        "rule_files: [rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{am}']}}]}}]}}\n"
        f"heartbeats: [{{url: 'http://{receiver.address}/ping/tokentoken', interval: {INTERVAL_S:g}s}}]\n"
    )
    config, listen = tmp_path / "prometheus.yml", f"127.0.0.1:{port}"
    command = rulepush_command("run", "--config.file", str(config), "--web.listen-address", listen)
    try:
        with (
            running(alertmanager_command(tmp_path / "am", am), tmp_path / "am.log", f"http://127.0.0.1:{am}/") as alert,
            running(command, tmp_path / "rulepush.log", f"http://{listen}/-/ready") as watcher,
        ):
            wait_for("the first heartbeat", lambda: len(beats) >= 2)
            alert.kill()
            wait_for("it is withheld", lambda: "the heartbeat is withheld" in watcher.output())
            withheld = time.monotonic()
            time.sleep(3 * INTERVAL_S)  # for another process: there is nothing to wait for
            assert not beaten_since(withheld)
            alert.start()
            wait_for("it goes on", lambda: beaten_since(withheld))
            wait_for("its line", lambda: "the heartbeat goes on" in watcher.output())
            log = watcher.output()
    finally:
        receiver.close()
    assert log.count("the heartbeat is withheld") == 1
    assert "takes no alerts: not reached: connection refused" in log
    assert "tokentoken" not in log
