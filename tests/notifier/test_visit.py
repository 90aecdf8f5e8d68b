"""Asking the Alertmanagers of a configuration, and what `check live` and `check config --live` say of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from rulepush.__main__ import main
from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import ADDRESS, Discoverer, Environment, GroupSink
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.discovery.static import StaticConfig
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer, alertmanager_lines, alertmanagers_failed
from rulepush.model.labels import EMPTY_LABELS
from rulepush.model.secret import Secret
from rulepush.notifier.visit import visit_alertmanagers
from rulepush.relabel.relabel import Action, RelabelConfig
from tests.fakes import FakeClock
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.notifier.test_probe import STATUS


@dataclass(frozen=True, slots=True)
class SilentConfig:
    """A discovery that never answers; `error`, when set, says why, `awaited` what it waits for."""

    error: str = ""
    awaited: str = ""
    kind: str = "dns"

    def discoverer(self, env: Environment) -> Discoverer:
        return Silent(self, env)


class Silent:
    def __init__(self, config: SilentConfig, env: Environment):
        self._error, self._env = config.error, env
        if config.awaited:
            env.reporter.awaited["dns SRV am.local"] = config.awaited

    async def run(self, sink: GroupSink) -> None:
        try:
            if self._error:
                self._env.reporter.failed("dns", "SRV am.local", self._error)
            await asyncio.Event().wait()
        finally:
            self._env.reporter.forget("dns", "SRV am.local")


def section(*addresses: str, **settings: object) -> AlertmanagerConfig:
    found = (StaticConfig(addresses, EMPTY_LABELS),)
    return replace(AlertmanagerConfig(sd_configs=found), **settings)  # type: ignore[arg-type]


def visit(*configs: AlertmanagerConfig) -> tuple[AlertmanagerAnswer, ...]:
    """At good.* is an Alertmanager below /am, which wants a password at good.locked."""

    def answer(request: httpx.Request) -> httpx.Response:
        locked = request.url.host == "good.locked" and request.headers.get("Authorization") != "Basic dTpzZWNyZXQ="
        if locked:
            return httpx.Response(401)
        if request.url.host.startswith("good.") and request.url.path == "/am/api/v2/status":
            return httpx.Response(200, text=STATUS)
        return httpx.Response(404)

    async def go() -> tuple[AlertmanagerAnswer, ...]:
        clock = FakeClock()
        env = Environment(clock, DiscoveryReporter(), "test")
        task = asyncio.create_task(visit_alertmanagers(configs, env, httpx.MockTransport(answer)))
        await clock.advance(10)  # of a discovery that does not answer
        return await task

    return asyncio.run(go())


LEAVE_OUT = RelabelConfig(action=Action.DROP, source_labels=(ADDRESS,), regex="bad.*")


def test_each_is_asked_as_its_section_says() -> None:
    auth = HTTPClientConfig(basic_auth=BasicAuth("u", password=Secret("secret")))
    answers = visit(
        section("good.a:9093", "bad.b:9093", path_prefix="/am", relabel_configs=(LEAVE_OUT,)),
        section("good.locked:9093", path_prefix="/am/", http_client=auth),
        section("good.locked:9093", path_prefix="/am", scheme="https"),
        section("user:pw@good.c:9093"),
    )
    assert [(a.where, a.version) for a in answers] == [
        ("http://good.a:9093/am/api/v2/alerts", "0.27.0"),
        ("http://good.locked:9093/am/api/v2/alerts", "0.27.0"),
        ("https://good.locked:9093/am/api/v2/alerts", ""),
        ("http://good.c:9093/api/v2/alerts", ""),
    ]
    assert [a.fault.partition(":")[0] for a in answers] == [
        "",
        "",
        "refused with 401 Unauthorized",
        "refused with 404 Not Found",
    ]
    assert "pw" not in str(answers)
    assert "secret" not in str(answers)


def test_a_section_that_leads_to_no_alertmanager_says_why() -> None:
    dropped = section("bad.a:9093", "bad.b:9093", relabel_configs=(LEAVE_OUT,))
    silent = AlertmanagerConfig(sd_configs=(SilentConfig(), SilentConfig("refused"), SilentConfig("", "2 of 9 lack")))
    where = "of alerting.alertmanagers"
    assert visit(silent) == (
        AlertmanagerAnswer(where, "its dns discovery gave no answer: nothing came within 10s"),
        AlertmanagerAnswer(where, "its dns discovery gave no answer: dns SRV am.local: refused"),
        AlertmanagerAnswer(where, "its dns discovery gave no answer: dns SRV am.local: 2 of 9 lack after 10s"),
    )
    assert visit(section()) == (AlertmanagerAnswer("of alerting.alertmanagers", "its discovery is empty"),)
    (meant,) = visit(dropped)
    assert meant.fault == "relabel_configs drop all of its 2 Alertmanagers"
    assert not meant.failed
    assert alertmanagers_failed((meant,)), "alerts go nowhere"
    assert not alertmanagers_failed((meant, AlertmanagerAnswer("http://am")))
    (wrong,) = visit(section("bad/path:9093"))
    assert "bad/path" in wrong.fault
    assert wrong.failed


def test_without_alertmanagers_alerts_are_only_logged() -> None:
    assert visit() == ()
    assert not alertmanagers_failed(())
    assert alertmanager_lines(()) == ["no Alertmanager is configured: alerts are only logged"]


@pytest.mark.parametrize("good", [True, False])
def test_both_commands_ask_and_count(good: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reply(request: HttpRequest) -> HttpReply:
        assert request.method == "GET", "nothing is posted"
        if request.path == "/metrics":
            return HttpReply(b"m 1\n")
        if request.path == "/am/api/v2/status":
            return HttpReply(STATUS.encode(), content_type="application/json")
        return HttpReply(b"404 page not found\n", 404)

    server = LoopbackServer(reply)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{server.address}']}}]}}]\n"
        "alerting:\n"
        "  alertmanagers:\n"
        f"    - {{path_prefix: {'/am' if good else '/x/'}, static_configs: [{{targets: ['{server.address}']}}]}}\n"
    )
    try:
        code_of_config = main(["check", "config", "--live", str(config)])
        said = capsys.readouterr()
        code_of_live = main(["check", "live", "--config.file", str(config)])
        text = capsys.readouterr().out
        main(["check", "live", "--config.file", str(config), "--format", "json"])
        document = json.loads(capsys.readouterr().out)
    finally:
        server.close()
    url = f"http://{server.address}/{'am' if good else 'x'}/api/v2/alerts"
    line = f"Alertmanager {url}: " + ("ok, 0.27.0" if good else "refused with 404 Not Found: there is no Alertmanager")
    assert (code_of_config, code_of_live, document["ok"]) == ((0, 0, True) if good else (1, 1, False))
    assert f"target http://{server.address}/metrics (app): ok, 1 samples" in said.out
    assert line in said.out
    assert line in text
    assert ("1 of 1 Alertmanager cannot take alerts" in said.err) is not good
    (shown,) = document["alertmanagers"]
    assert (shown["url"], shown["ok"], shown["version"]) == (url, good, "0.27.0" if good else "")


def test_a_file_that_is_not_valid_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("alerting: {alertmanagers: [{static_configs: [{targets: ['am.invalid:9093']}]}]}\nbad: 1\n")
    assert main(["check", "config", "--live", str(config)]) == 1
    said = capsys.readouterr()
    assert "am.invalid" not in said.out + said.err
    with pytest.raises(SystemExit):
        main(["check", "config", "--live", "--syntax-only", str(config)])
