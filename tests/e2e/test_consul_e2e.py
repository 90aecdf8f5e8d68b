"""consul_sd_configs in the real process: targets and Alertmanagers come from a fake agent over HTTP.

There is no real Prometheus to compare with: Debian's build has no Consul discovery.
"""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import httpx
import pytest

from rulepush.clock import SystemClock
from tests.discovery.consul_server import Entry, FakeConsul, instance
from tests.faults.recording import RecordingAlertmanager
from tests.harness import Scene, Target
from tests.registry_server import serving
from tests.servers import rulepush_command, wait_for

pytestmark = pytest.mark.e2e


def at(address: str, service: str) -> Entry:
    host, _, port = address.rpartition(":")
    return instance(f"node-{port}", host, int(port), service=service)


def sd(server: str, service: str, more: str = "") -> str:
    return f"consul_sd_configs: [{{server: '{server}', services: [{service}], refresh_interval: 1s{more}}}]"


def test_targets_and_alertmanagers_come_from_consul_and_stay_while_it_is_away(tmp_path: Path) -> None:
    apps = [Target(), Target()]
    apps[0].value = apps[1].value = 99
    alertmanager = RecordingAlertmanager()
    consul = FakeConsul(SystemClock(), tokens={"hunter2": "all"})
    consul.put("app", at(apps[0].address, "app"))
    consul.put("am", at(alertmanager.address, "am"))
    with serving(consul.handle, tmp_path / "consul.sock") as path:
        by_socket = f"unix://{path}"
        scene = Scene(
            tmp_path,
            [f"{{job_name: app, {sd(by_socket, 'app', ', token: hunter2')}}}"],
            [f"{{{sd(by_socket, 'am', ', authorization: {credentials: hunter2}')}, timeout: 1s}}"],
        )
        with scene.rulepush():
            wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
            consul.fail = lambda _: httpx.Response(500, text="No cluster leader")
            put(consul, "app", at(apps[0].address, "app"))  # ends the requests that are held
            put(consul, "am", at(alertmanager.address, "am"))
            failures = partial(scene.own, "rulepush_discovery_failures_total", mechanism="consul")
            wait_for("failures", lambda: failures() >= 2)
            assert set(scene.targets()) == {apps[0].address}
            assert scene.own("rulepush_alertmanagers") == 1
            consul.fail = None
            put(consul, "app", *(at(app.address, "app") for app in apps))
            wait_for("a new target", lambda: len(alertmanager.last()) == 2)
            assert not any(p.resolved for p in alertmanager.posted)
            assert "No cluster leader" in scene.log()
            assert "works again" in scene.log()
            assert "hunter2" not in scene.log()
            assert "hunter2" not in httpx.get(f"{scene.url}/api/v1/status/config", trust_env=False, timeout=60).text
        assert "Traceback" not in scene.log()
    alertmanager.close()
    for app in apps:
        app.close()


def put(consul: FakeConsul, name: str, *entries: Entry) -> None:
    """Change the agent from another thread than its own."""
    loops = {future.get_loop() for future in list(consul._waiting)}
    if loops:
        loops.pop().call_soon_threadsafe(consul.put, name, *entries)
    else:
        consul.put(name, *entries)


def command(*args: str) -> str:
    done = subprocess.run(rulepush_command(*args), capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_check_live_finds_what_consul_has_and_check_config_knows_the_keys(tmp_path: Path) -> None:
    app = Target()
    consul = FakeConsul(SystemClock(), tokens={"hunter2": "all"})
    consul.put("app", at(app.address, "app"))
    with serving(consul.handle) as address:
        rules = "groups: [{name: g, rules: [{alert: A, expr: e2e_breach > 1}, {alert: B, expr: e2e_braech > 1}]}]"
        scene = Scene(tmp_path, [f"{{job_name: app, {sd(address, 'app', ', token: hunter2')}}}"], [], rules)
        file = str(tmp_path / "prometheus.yml")
        assert "app: consul discovery" in command("check", "config", file)
        seen = command("check", "live", f"--config.file={file}")
        assert f"target http://{app.address}/metrics (app): ok" in seen
        assert "no target exposes e2e_braech" in seen
        scene.configure([f"{{job_name: app, {sd(address, 'app', ', token: hunter3')}}}"], [], rules)
        seen = command("check", "live", f"--config.file={file}")
        assert "Consul does not know the token (status 403 Forbidden: ACL not found): set `token`" in seen
        assert "hunter" not in seen
    app.close()
