"""`rulepush test delivery` through a real Alertmanager and the real relay, stopped at each place on the way."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH, FakeDingTalk
from rulepush.model.timestamps import format_rfc3339
from tests.http_server import HttpReply, LoopbackServer
from tests.robot_server import serving_robot
from tests.servers import Server, alertmanager_command, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

TOKEN = "c4na7y" * 8
SECRET = "SECc4na7y5ecre7"


@dataclass
class _World:
    """An Alertmanager, a relay, a robot, and the prometheus.yml that leads to the first."""

    directory: Path
    robot: FakeDingTalk
    relay: str
    alertmanager: str
    config: Path

    def run(self, *flags: str, relay: str | None = None) -> int:
        """The exit code of a test that gives up soon."""
        where = self.relay if relay is None else relay
        more = ["--relay", where] if where else []
        return main(["test", "delivery", f"--config.file={self.config}", "--timeout=4", *more, *flags])

    def listed(self) -> list[Any]:
        """The alerts of tests that are not resolved."""
        alerts = get_json(f"{self.alertmanager}/api/v2/alerts")
        return [a for a in alerts if a["labels"]["alertname"].startswith("RulepushDeliveryTest")]


def _alertmanager_config(relay: str) -> str:
    hook = f"{relay}/dingtalk"
    return f"""
route:
  receiver: dingtalk
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  routes:
  - {{receiver: nobody, matchers: [team="nobody"]}}
  - {{receiver: opps, matchers: [team="opps"]}}
  - {{receiver: lost, matchers: [team="lost"]}}
  - {{receiver: away, matchers: [team="away"]}}
  - {{receiver: mail, matchers: [team="mail"]}}
  - {{receiver: quiet, matchers: [team="quiet"]}}
  - {{receiver: dingtalk, matchers: [team="night"], mute_time_intervals: [always]}}
time_intervals: [{{name: always, time_intervals: [{{times: [{{start_time: '00:00', end_time: '24:00'}}]}}]}}]
inhibit_rules: [{{source_matchers: [source="yes"], target_matchers: [team="inhibited"]}}]
receivers:
- name: nobody
- {{name: dingtalk, webhook_configs: [{{url: '{hook}/ops/send', send_resolved: true}}]}}
- {{name: quiet, webhook_configs: [{{url: '{hook}/ops/send', send_resolved: false}}]}}
- {{name: opps, webhook_configs: [{{url: '{hook}/opps/send'}}]}}
- {{name: lost, webhook_configs: [{{url: '{hook}/lost/send'}}]}}
- {{name: away, webhook_configs: [{{url: 'http://127.0.0.1:{free_port()}/dingtalk/ops/send'}}]}}
- name: mail
  email_configs: [{{to: a@example.org, from: b@example.org, smarthost: '127.0.0.1:{free_port()}', require_tls: false}}]
"""


@contextlib.contextmanager
def _robot_server(robot: FakeDingTalk) -> Iterator[str]:
    """The robot's URL, without its token."""
    port = free_port()
    with serving_robot(robot, port):
        yield f"http://127.0.0.1:{port}{PATH}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    directory = tmp_path_factory.mktemp("delivery")
    robot = FakeDingTalk(SystemClock(), token=TOKEN, secret=SECRET)
    am, relay = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    with _robot_server(robot) as url, contextlib.ExitStack() as stack:
        (directory / "dingtalk.yml").write_text(
            f"targets:\n  ops: {{url: '{url}?access_token={TOKEN}', secret: {SECRET}, lang: zh}}\n"
            f"  lost: {{url: 'http://127.0.0.1:{free_port()}{PATH}?access_token={TOKEN}'}}\n"
        )
        command = rulepush_command(
            "dingtalk", f"--config.file={directory / 'dingtalk.yml'}", f"--web.listen-address={relay[7:]}"
        )
        stack.enter_context(running(command, directory / "relay.log", f"{relay}/-/ready"))
        command = alertmanager_command(directory / "am", int(am.rpartition(":")[2]), _alertmanager_config(relay))
        stack.enter_context(running(command, directory / "am.log", f"{am}/-/ready"))
        config = directory / "prometheus.yml"
        config.write_text(_prometheus_yml(am))
        yield _World(directory, robot, relay, am, config)


def _prometheus_yml(am: str, more: str = "") -> str:
    return f"alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['{am.removeprefix('http://')}']}}]\n{more}"


@pytest.fixture(autouse=True)
def robot_as_new(world: _World) -> None:
    """What a former test left in the robot is gone, its rate limit too."""
    world.robot.messages.clear()
    world.robot.answers.clear()
    world.robot.keywords = ()
    world.robot._arrivals.clear()


def test_the_alert_and_its_end_arrive_and_every_step_is_told(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    assert world.run("--label", "severity=warning") == 0
    lines = capfd.readouterr().out.splitlines()
    name = lines[0].partition('alertname="')[2].partition('"')[0]
    assert name.startswith("RulepushDeliveryTest_")
    shown, relay = f"Alertmanager {world.alertmanager}", f"relay {world.relay}"
    labels = f'{{alertname="{name}", severity="warning", test_id="{name.partition("_")[2]}"}}'
    assert lines == [
        f"ok      {shown}: took the alert {labels}",
        f"ok      {shown}: routed to the receiver dingtalk (webhook)",
        "        waiting for the message, up to 5s (group_wait 1s)",
        f"ok      {shown}: webhook: 1 sent and answered with success",
        f"ok      {relay}: target ops: the robot took the message",
        f"ok      {shown}: took the resolution",
        "        waiting for the message that it is resolved, up to 6s (group_interval 2s)",
        f"ok      {shown}: webhook: 1 sent and answered with success",
        f"ok      {relay}: target ops: the robot took the message",
        "The alert arrived.",
    ]
    assert [m.title for m in world.robot.messages] == [f"【告警 1】 {name}", f"【恢复 1】 {name}"]
    assert "【测试】rulepush 告警链路测试" in world.robot.messages[0].text
    assert world.listed() == []


def test_without_the_relay_what_cannot_be_seen_is_said(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    assert world.run(relay="") == 3
    said = capfd.readouterr().out
    assert ": webhook: 1 sent and answered with success\n" in said
    assert ": webhook: what its receiver did with the message cannot be seen from here\n" in said
    assert "-> if that is `rulepush dingtalk`, ask it: --relay http://HOST:8060\n" in said
    assert said.endswith("Nothing failed, but not everything could be seen: see unseen.\n")


def test_the_end_is_not_waited_for_where_nobody_is_told_of_it(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    assert world.run("--label", "team=quiet") == 0
    assert "ok      nobody is told that it is resolved: send_resolved is false\n" in capfd.readouterr().out
    assert world.run("--no-resolved") == 0
    assert "that it is resolved" not in capfd.readouterr().out
    assert world.listed() == []
    # It is told all the same, later, and Alertmanager would count that in the next test.
    wait_for("the message that it is resolved", lambda: len(world.robot.messages) >= 3)


@pytest.mark.parametrize(
    ("team", "shown"),
    [
        ("nobody", "FAILED  {am}: routed to the receiver nobody (no integration): nobody is told\n        -> follow"),
        (
            "opps",
            "FAILED  {relay}: target opps: the relay has no target 'opps'; it has ops, lost\n        -> write one",
        ),
        ("opps", "FAILED  {am}: webhook: given up: the receiver answered with a status of 400 to 499\n"),
        ("lost", "FAILED  {relay}: target lost: not sent yet, Alertmanager tries again: the robot cannot be reached: "),
        ("away", "-> the connection was refused: nothing listens at the url of webhook_configs, seen from the Alert"),
        ("away", "FAILED  {relay}: the relay was told nothing\n        -> the url of webhook_configs leads elsewhere"),
        ("mail", "FAILED  {am}: email: not sent: "),
        ("night", "FAILED  {am}: muted now by the time interval always of its route\n"),
    ],
)
def test_where_it_stopped_is_told_and_the_alert_is_resolved(
    world: _World, capfd: pytest.CaptureFixture[str], team: str, shown: str
) -> None:
    assert world.run("--label", f"team={team}") == 1
    said = capfd.readouterr().out
    names = {"am": f"Alertmanager {world.alertmanager}", "relay": f"relay {world.relay}"}
    assert shown.format(**names) in said
    assert f"ok      Alertmanager {world.alertmanager}: took the resolution\n" in said
    assert "waiting for the message that it is resolved" not in said
    assert world.listed() == []


def test_a_robot_that_refuses_is_told_with_its_reason(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    world.robot.keywords = ("nothing has this",)
    assert world.run() == 1
    said = capfd.readouterr().out
    reason = "310000 description:关键词不匹配;keywords not in content (put one of the robot's keywords into the title"
    assert f"FAILED  relay {world.relay}: target ops: the robot refused the message: {reason}" in said
    assert TOKEN not in said
    assert SECRET not in said


def test_a_silence_is_told_with_who_made_it(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    now = int(time.time() * 1000)
    silence = {
        "matchers": [{"name": "team", "value": "silenced", "isRegex": False, "isEqual": True}],
        "startsAt": format_rfc3339(now),
        "endsAt": format_rfc3339(now + 60_000),
        "createdBy": "ann",
        "comment": "maintenance",
    }
    answer = httpx.post(f"{world.alertmanager}/api/v2/silences", json=silence, trust_env=False, timeout=60)
    identity = answer.json()["silenceID"]
    assert world.run("--label", "team=silenced") == 1
    said = capfd.readouterr().out
    assert f": silenced by {identity} (by ann, until " in said
    assert f"): maintenance)\n        -> expire it (amtool silence expire {identity})" in said.replace("Z: ", "): ")


def test_an_alert_that_inhibits_it_is_told(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    source = [{"labels": {"alertname": "Source", "source": "yes", "team": "nobody"}}]
    httpx.post(f"{world.alertmanager}/api/v2/alerts", json=source, trust_env=False, timeout=60).raise_for_status()
    [listed] = [a for a in get_json(f"{world.alertmanager}/api/v2/alerts") if a["labels"]["alertname"] == "Source"]
    assert world.run("--label", "team=inhibited") == 1
    mark = listed["fingerprint"]
    assert f": inhibited by the alert with the fingerprint {mark}, by an inhibit_rule\n" in capfd.readouterr().out


def test_a_relay_that_is_away_is_told(world: _World, capfd: pytest.CaptureFixture[str]) -> None:
    for relay, shown in (
        (f"http://127.0.0.1:{free_port()}", "not reached: connection refused"),
        (world.alertmanager, "there is no relay of this version at this address\n"),
    ):
        assert world.run(relay=relay) == 1
        said = capfd.readouterr().out
        assert f"FAILED  relay {relay}: {shown}" in said
        # More than one where a former test's resolution is sent meanwhile.
        assert re.search(r": webhook: \d sent and answered with success\n", said)
    assert world.listed() == []


def test_an_alertmanager_that_takes_nothing_is_told_and_the_other_is_followed(
    world: _World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = LoopbackServer(lambda request: HttpReply(b"<html><title>Sign in</title>", 200, "text/html"))
    locked = LoopbackServer(lambda request: HttpReply(b"", 401))
    away = f"127.0.0.1:{free_port()}"
    address = world.alertmanager.removeprefix("http://")
    world_config = tmp_path / "prometheus.yml"
    world_config.write_text(
        f"""
alerting:
  alertmanagers:
  - static_configs: [{{targets: ['{away}', '{page.address}', '{locked.address}', '{address}']}}]
  - static_configs: [{{targets: ['{address}']}}]
    path_prefix: /wrong
  - static_configs: [{{targets: ['{address}']}}]
    timeout: 9s
    alert_relabel_configs: [{{source_labels: [severity], regex: info, action: drop}}]
"""
    )
    other = _World(world.directory, world.robot, world.relay, world.alertmanager, world_config)
    try:
        assert other.run() == 1
    finally:
        page.close()
        locked.close()
    said = capfd.readouterr().out
    assert f"FAILED  Alertmanager http://{away}: not reached: connection refused: nothing listens at this addr" in said
    assert f'FAILED  Alertmanager http://{page.address}: answered with a page "Sign in" instead of' in said
    assert f"FAILED  Alertmanager http://{locked.address}: refused with 401 Unauthorized: it wants credentials" in said
    assert f"FAILED  Alertmanager {world.alertmanager}/wrong: refused with 404 Not Found: leave path_prefix out" in said
    assert f"FAILED  Alertmanager {world.alertmanager}: alert_relabel_configs drop the alert\n" in said
    assert f"ok      relay {world.relay}: target ops: the robot took the message\n" in said


def test_no_alertmanager_and_bad_flags_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")
    assert main(["test", "delivery", f"--config.file={config}"]) == 1
    assert "FAILED  the configuration names no Alertmanager" in capfd.readouterr().out
    for flags, shown in (
        (["--label", "x"], "--label 'x': expected NAME=VALUE"),
        (["--label", "alertname=x"], "alertname marks the alert as a test"),
        (["--relay", "user:pass@relay:8060"], "--relay: expected a URL such as"),
        (["--config.file=/nowhere.yml"], "/nowhere.yml: cannot be read"),
    ):
        assert main(["test", "delivery", f"--config.file={config}", *flags]) == 1
        assert shown in (said := capfd.readouterr().err)
        assert "pass" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_test_resolves_its_alert(world: _World, tmp_path: Path, number: signal.Signals) -> None:
    # Three seconds at group_wait 1s: it waits for a robot that cannot be reached.
    command = rulepush_command(
        "test", "delivery", f"--config.file={world.config}", "--timeout=60", "--label=team=lost", "--relay", world.relay
    )
    server = Server(command, tmp_path / "out.log")
    try:
        wait_for("the wait", lambda: "waiting for the message" in server.output())
        assert len(world.listed()) == 1
        assert server.process is not None
        server.process.send_signal(number)
        assert server.process.wait(60) == (130 if number is signal.SIGINT else 143)
    finally:
        server.close()
    assert "took the resolution" in server.output()
    assert "Traceback" not in server.output()
    assert world.listed() == []
