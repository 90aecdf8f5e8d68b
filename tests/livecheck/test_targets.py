"""Finding and scraping the targets, and what is said of those that give nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.livecheck import LiveData, LiveRule, SilentJob, TargetScrapes, analyse
from rulepush.livecheck.candidates import target_jobs, visit_target
from rulepush.livecheck.fetch import Visit, environment, first_list, visit_jobs
from rulepush.livecheck.report import as_json, report_text
from rulepush.nacos.diagnose import diagnose_answer, diagnose_error, diagnose_status
from rulepush.nacos.fake_server import FakeNacos
from rulepush.promql import parse_expr
from tests.discovery.driving import read_sd
from tests.discovery.kubernetes.following import until
from tests.fakes import FakeClock
from tests.http_server import HttpReply, LoopbackServer
from tests.kubernetes_objects import pod
from tests.kubernetes_server import KubernetesServer, forbidden
from tests.livecheck.bodies import NOW

URL = "http://nacos:8848/nacos/actuator/prometheus"


def _visit(
    handler: Callable[[httpx.Request], httpx.Response], url: str = URL, visit: Visit | None = None
) -> list[TargetScrapes]:
    """Scrape one target; time passes by itself."""

    async def go() -> list[TargetScrapes]:
        clock = FakeClock(NOW)
        going = asyncio.create_task(
            visit_target(target_jobs(url), environment(clock, "test"), visit or Visit(), httpx.MockTransport(handler))
        )
        while not going.done():
            await clock.advance(1)
        return [(await going).answer]

    return asyncio.run(go())


def _fixed(status: int, body: str, content_type: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, text=body, headers={"content-type": content_type})


def test_a_target_is_scraped_with_its_labels_and_types() -> None:
    fake = FakeNacos("2.4", clock=FakeClock(NOW))
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=fake.body(NOW), headers={"content-type": "text/plain;version=0.0.4"})

    (found,) = _visit(handler, visit=Visit(times=3, step_s=15))
    assert [str(r.url) for r in asked] == [URL] * 3
    assert "openmetrics" in asked[0].headers["accept"]
    assert [s.ts - found.scrapes[0].ts for s in found.scrapes] == [0, 15_000, 30_000]
    assert found.labels.as_dict() == {"instance": "nacos:8848", "job": "nacos"}
    seen = LiveData([found])
    assert seen.type_of("nacos_monitor") == "gauge"
    assert seen.series("up") == {found.labels.with_({"__name__": "up"}): 1.0}


@pytest.mark.parametrize(
    ("answer", "message", "suggestion"),
    [
        (_fixed(404, '{"status":404}', "application/json"), "HTTP 404", "management.endpoints.web.exposure.include"),
        (_fixed(401, "", "text/plain"), "HTTP 401", "basic_auth"),
        (_fixed(503, "no upstream", "text/plain"), "HTTP 503", "running"),
        (_fixed(200, "<html>Sign in</html>", "text/html"), "a web page", "gateway"),
        (_fixed(200, "[]", "application/json"), "JSON", "metrics_path"),
        (_fixed(200, "", "text/plain"), "empty body", "includedNames"),
        (_fixed(200, "a b c\n", "text/plain"), "line 1", "check metrics"),
        (_fixed(200, "a 1\n", "application/xml"), "Content-Type", "fail whole"),
    ],
)
def test_a_target_without_metrics_is_explained(
    answer: Callable[[httpx.Request], httpx.Response], message: str, suggestion: str
) -> None:
    (found,) = _visit(answer)
    assert found.trouble is not None
    assert message in found.trouble.message
    assert suggestion in found.trouble.suggestion


@pytest.mark.parametrize(
    ("version", "suggestion"),
    [
        ("3.0.0", "This is Nacos 3.0.0, which was built without this endpoint: no setting brings it. Upgrade to 3.0.1"),
        ("3.2.1", "This is Nacos 3.2.1, which was built without this endpoint: no setting brings it. Upgrade to 3.2.2"),
        ("2.4.3", "container, and restart it. It is Nacos 2.4.3."),
    ],
)
def test_metrics_that_are_not_there_are_explained_by_the_release(version: str, suggestion: str) -> None:
    nacos = FakeNacos(version, clock=FakeClock(NOW))
    nacos.metrics_exposed = False
    (found,) = _visit(nacos.handle)
    assert found.trouble is not None
    assert suggestion in found.trouble.suggestion


def test_without_a_version_both_reasons_are_given() -> None:
    suggestion = diagnose_status(URL, 404).suggestion
    assert "management.endpoints.web.exposure.include=prometheus" in suggestion
    assert (
        "3.0.0 and 3.2.1 were built without this endpoint and always answer 404: upgrade to 3.0.1, 3.2.2." in suggestion
    )


def test_a_refused_connection() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed") from ConnectionRefusedError(
            111, "Connection refused"
        )

    (found,) = _visit(refuse)
    assert found.trouble is not None
    assert found.trouble.message == "connection refused"
    assert "8848" in found.trouble.suggestion


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://n:8848/nacos/actuator/prometheus", "3.0.1"),
        ("http://n:8080/nacos/actuator/prometheus", "its console"),
        ("http://n:8848/actuator/prometheus", "the path is /nacos/actuator/prometheus"),
        ("http://n:8848/metrics", "metrics_path: /nacos/actuator/prometheus"),
    ],
)
def test_404_by_path_and_port(url: str, hint: str) -> None:
    assert hint in diagnose_status(url, 404).suggestion


def test_the_service_discovery_path_is_not_metrics() -> None:
    trouble = diagnose_answer("http://n:8848/nacos/prometheus", "application/json", b"[]")
    assert trouble is not None
    assert "service discovery" in trouble.suggestion


def test_time_outs_and_names() -> None:
    assert "scrape_timeout" in diagnose_error("context deadline exceeded").suggestion
    assert "resolve" in diagnose_error("Name or service not known").suggestion


def test_a_configuration_gives_its_targets_with_relabelling(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(
        """\
scrape_configs:
  - job_name: nacos
    metrics_path: /nacos/actuator/prometheus
    static_configs:
      - targets: ["a:8848", "b:8848"]
        labels: {zone: z1}
    relabel_configs:
      - {source_labels: [__address__], regex: "b:.*", action: drop}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: "jvm_.*", action: drop}
"""
    )
    config = load_config(str(tmp_path / "p.yml"))
    fake = FakeNacos("2.4", clock=FakeClock(NOW))

    async def go() -> tuple[list[TargetScrapes], list[SilentJob]]:
        transport = httpx.ASGITransport(fake.app)
        return await visit_jobs(config.scrape_configs, environment(FakeClock(NOW), "test"), Visit(), transport)

    (found,), silent = asyncio.run(go())
    assert silent == []
    assert found.labels.as_dict() == {"instance": "a:8848", "job": "nacos", "zone": "z1"}
    names = LiveData([found]).metric_names
    assert "nacos_monitor" in names
    assert not any(name.startswith("jvm_") for name in names)


def test_the_report_as_text_and_as_json() -> None:
    fake = FakeNacos("2.4", clock=FakeClock(NOW))
    (found,) = _visit(lambda _: httpx.Response(200, content=fake.body(NOW), headers={"content-type": "text/plain"}))
    rules = [
        LiveRule("Bad", parse_expr("nacos_raft_leader > 2"), "/etc/r.yml", 7, "g"),
        LiveRule("Now", parse_expr('nacos_monitor{name="serviceCount"} > 5'), "/etc/r.yml", 9, "g"),
        LiveRule("Later", parse_expr("increase(nacos_exception_total[5m]) > 0"), "/etc/r.yml", 11, "g"),
    ]
    report = analyse(rules, LiveData([found]))
    text = report_text(report)
    assert f"target {URL} (nacos): ok" in text
    assert "looks like Nacos 2.3.1 to 2.5" in text
    assert "/etc/r.yml:7: Bad (group g)\n    problem  no target exposes nacos_raft_leader" in text
    assert "3 rules: 1 with problems, 1 true now, 1 fine" in text
    assert "Later" not in text
    assert "Later" in report_text(report, verbose=True)
    document = json.loads(as_json(report))
    assert document["ok"] is False
    assert [rule["level"] for rule in document["rules"]] == ["problem", "fires", "note"]
    assert document["rules"][0]["findings"][0]["kind"] == "unknown-metric"
    assert document["rules"][0]["line"] == 7


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("1.4", "Nacos 1.x"),
        ("2.0", "Nacos 2.0 or 2.1"),
        ("2.2", "Nacos 2.2 or 2.3.0"),
        ("2.4", "Nacos 2.3.1 to 2.5"),
        ("3.0", "Nacos 3.x"),
    ],
)
def test_the_release_is_recognised(version: str, name: str) -> None:
    body = FakeNacos(version, clock=FakeClock(NOW)).body(NOW)
    (found,) = _visit(lambda _: httpx.Response(200, content=body, headers={"content-type": "text/plain"}))
    assert f"looks like {name}" in report_text(analyse([], LiveData([found])))


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("tls: failed to verify certificate: self-signed certificate", "tls_config.ca_file"),
        ("tls: wrong version number", "scheme: http "),
        ("connection reset by peer", "scheme: https"),
        ("body size limit exceeded", "body_size_limit"),
    ],
)
def test_what_to_do_about_a_connection(error: str, hint: str) -> None:
    assert hint in diagnose_error(error).suggestion + " "


def test_credentials_of_a_target_are_in_no_label_and_no_line() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b"a 1\n", headers={"content-type": "text/plain"})

    (found,) = _visit(handler, "http://user:p%40ss@nacos")
    assert asked[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert found.labels.as_dict() == {"instance": "nacos:8848", "job": "nacos"}
    assert found.url == "http://nacos:8848/nacos/actuator/prometheus"


def test_jobs_without_targets_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(
        """\
scrape_configs:
  - job_name: nacos
    static_configs: [{targets: ["a:8848"]}]
  - job_name: empty
    file_sd_configs: [{files: [none.yml]}]
  - job_name: lost
    http_sd_configs: [{url: "http://127.0.0.1:1/targets"}]
    file_sd_configs: [{files: [bad.yml]}]
  - job_name: other shard
    static_configs: [{targets: ["b:8848"]}]
    relabel_configs: [{source_labels: [__address__], regex: "b:.*", action: drop}]
  - job_name: many
    target_limit: 1
    static_configs: [{targets: ["c:1", "d:1"]}]
  - job_name: large
    sample_limit: 1
    static_configs: [{targets: ["e:1"]}]
"""
    )
    (tmp_path / "bad.yml").write_text("{}")
    config = load_config(str(tmp_path / "p.yml"))

    async def go() -> tuple[list[TargetScrapes], list[SilentJob]]:
        clock = FakeClock(NOW)
        transport = httpx.MockTransport(
            lambda _: httpx.Response(200, text="a 1\nb 2\n", headers={"content-type": "text/plain"})
        )
        going = asyncio.create_task(visit_jobs(config.scrape_configs, environment(clock, "test"), Visit(), transport))
        while not going.done():
            await clock.advance(1)
        return await going

    answers, silent = asyncio.run(go())
    assert [(job.name, job.meant) for job in silent] == [
        ("empty", False),
        ("lost", False),
        ("other shard", True),
    ]
    assert silent[1].reason.startswith("its file discovery failed in part: file")
    assert "; its http discovery gave no answer: http http://127.0.0.1:1/targets: " in silent[1].reason
    assert "refused" in silent[1].reason
    troubles = {a.job: a.trouble.message.partition(" (")[0] for a in answers if a.trouble}
    assert troubles == {"many": "target_limit exceeded", "large": "sample limit exceeded: 2 samples, sample_limit is 1"}
    report = analyse([LiveRule("A", parse_expr("c > 1"))], LiveData(answers, silent=silent))
    assert not report.ok
    assert "job empty: no targets: its discovery is empty" in report_text(report)
    assert json.loads(as_json(report))["jobs_without_targets"][0]["job"] == "empty"
    assert not analyse([], LiveData(answers[:1], silent=silent)).ok
    assert analyse([], LiveData(answers[:1], silent=silent[2:])).ok, "a shard may have none"


def test_targets_with_one_instance_are_warned_of() -> None:
    (one,) = _visit(_fixed(200, "a 1\n", "text/plain"))
    other = replace(one, url=one.url + "?x")
    report = analyse([], LiveData([one, other]))
    assert "warning: job 'nacos': 2 targets have the same labels (instance 'nacos:8848')" in report_text(report)
    assert len(json.loads(as_json(report))["warnings"]) == 1
    assert json.loads(as_json(analyse([], LiveData([one]))))["warnings"] == []


def test_a_discovery_that_fails_in_part_is_told_though_there_are_targets(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("{}")
    (tmp_path / "p.yml").write_text(
        """
scrape_configs:
  - job_name: some
    file_sd_configs: [{files: [bad.yml]}]
    static_configs: [{targets: ["a:1"]}]
"""
    )
    answers, silent = found_by(tmp_path / "p.yml")
    assert [a.job for a in answers] == ["some"]
    report = analyse([], LiveData(answers, silent=silent))
    assert "job some: targets may be missing: its file discovery failed in part: file" in report_text(report)
    assert not report.ok
    document = json.loads(as_json(report))
    assert document["jobs_without_targets"] == []
    assert [job["job"] for job in document["jobs_found_in_part"]] == ["some"]


@pytest.mark.parametrize(
    ("verb", "namespace", "names"), [("watch", "shop", "[shop]"), ("list", "boot", "[shop, boot]")]
)
def test_what_rbac_forbids_is_told_though_some_pods_were_listed(
    verb: str, namespace: str, names: str, tmp_path: Path
) -> None:
    with KubernetesServer(pod("a", "shop"), pod("b", "boot")) as api:
        api.refuse = lambda r: forbidden(r) if (r.verb, r.namespace) == (verb, namespace) else None
        config = f"{{role: pod, api_server: '{api.url}', namespaces: {{names: {names}}}}}"
        (tmp_path / "p.yml").write_text(f"scrape_configs: [{{job_name: pods, kubernetes_sd_configs: [{config}]}}]")
        answers, (job,) = found_by(tmp_path / "p.yml")
    assert answers
    assert job.in_part
    assert f'forbidden: pods in namespace "{namespace}": the role' in job.reason
    assert "needs list and watch for pods" in job.reason


def found_by(path: Path) -> tuple[list[TargetScrapes], list[SilentJob]]:
    """What a configuration finds; every target answers."""

    async def go() -> tuple[list[TargetScrapes], list[SilentJob]]:
        transport = httpx.MockTransport(
            lambda _: httpx.Response(200, text="a 1", headers={"content-type": "text/plain"})
        )
        jobs = load_config(str(path)).scrape_configs
        return await visit_jobs(jobs, environment(SystemClock(), "test"), Visit(), transport)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("kubernetes_sd_configs", "role: pod, api_server: 'http://{0}'"),
        ("eureka_sd_configs", "server: 'http://{0}/eureka'"),
        ("consul_sd_configs", "server: '{0}'"),
        ("docker_sd_configs", "host: 'tcp://{0}'"),
    ],
)
def test_a_discovery_that_only_hangs_is_named_with_its_address(key: str, settings: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        sd, problems = read_sd(key, "{" + settings.format(address) + "}")
        assert not problems
        found = asyncio.run(first_list(sd, environment(SystemClock(), "test"), 0.3))
    assert found.fault.startswith(f"{sd.kind} discovery gave no answer: {sd.kind} ")
    assert address in found.fault
    assert "no answer after 0.3s (is this the right address" in found.fault


@pytest.mark.parametrize(
    ("key", "settings", "status", "said"),
    [
        ("kubernetes_sd_configs", "role: endpoints, api_server: '{0}'", 401, "unauthorized: endpoints"),
        ("kubernetes_sd_configs", "role: pod, api_server: '{0}'", 404, "HTTP status 404 Not Found"),
        ("eureka_sd_configs", "server: '{0}/eureka'", 404, "HTTP status 404 Not Found"),
        ("eureka_sd_configs", "server: '{0}/eureka'", 200, "login page"),
        ("http_sd_configs", "url: '{0}/sd'", 403, "HTTP status 403 Forbidden"),
        ("http_sd_configs", "url: '{0}/sd'", 200, "unsupported content type"),
    ],
)
def test_what_fails_for_good_is_told_without_a_wait(key: str, settings: str, status: int, said: str) -> None:
    reply = HttpReply(b"<html><title>Sign in</title></html>", status, "text/html")
    with closing(LoopbackServer(lambda _: reply)) as server:
        assert said in fault_without_a_wait(key, settings.format(f"http://{server.address}"))


def test_the_rights_that_a_role_lacks_are_told_without_a_wait() -> None:
    with KubernetesServer(pod("a", "shop")) as api:
        api.refuse = lambda r: forbidden(r, "jane")
        settings = f"role: endpoints, api_server: '{api.url}', namespaces: {{names: [shop, boot]}}"
        fault = fault_without_a_wait("kubernetes_sd_configs", settings)
    for resource in ("endpoints", "services", "pods"):
        for namespace in ("shop", "boot"):
            assert f'forbidden: {resource} in namespace "{namespace}": the role of jane' in fault


def test_a_failure_that_may_pass_is_waited_for() -> None:
    clock = FakeClock()

    async def go() -> str:
        sd, _ = read_sd("http_sd_configs", f"{{url: 'http://{server.address}/sd'}}")
        looking = asyncio.ensure_future(first_list(sd, environment(clock, "test"), 10))
        await until("the next attempt is waited for", lambda: clock.planned >= 2)  # the other is the limit
        assert not looking.done()
        await clock.advance(10)
        return (await looking).fault

    with closing(LoopbackServer(lambda _: HttpReply(b"", 503, "text/plain"))) as server:
        assert "HTTP status 503" in asyncio.run(go())


def fault_without_a_wait(key: str, settings: str) -> str:
    """What a discovery fails with while the clock stands still."""
    sd, problems = read_sd(key, "{" + settings + "}")
    assert not problems

    async def go() -> str:
        async with asyncio.timeout(30):
            return (await first_list(sd, environment(FakeClock(), "test"), 10)).fault

    return asyncio.run(go())
