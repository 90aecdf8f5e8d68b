"""`check live` finds the metrics of a server by itself, and checks the packs for what it looks like."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.livecheck.candidates import NamedTarget, target_jobs, visit_target
from rulepush.livecheck.fetch import Visit, environment
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from rulepush.packs import pack_directory
from tests.livecheck.servers import Reply, serving
from tests.needs import binary, shared
from tests.servers import free_port, running
from tests.spring_boot import BootApp, Release

ACTUATOR = "/actuator/prometheus"
TEXT = "text/plain;version=0.0.4;charset=utf-8"
NOT_FOUND = (404, "application/json", b'{"timestamp":"2026-11-29T00:00:00Z","status":404,"error":"Not Found"}')
LINKS = b'{"_links":{"self":{"href":"http://shop/actuator"},"health":{"href":"http://shop/actuator/health"}}}'


def boot(app: BootApp, path: str = ACTUATOR) -> Callable[[str], Reply]:
    """As a Boot application that exposes only its metrics answers."""
    return lambda asked: (200, TEXT, app.body()) if asked == path else NOT_FOUND


def visit(address: str) -> NamedTarget:
    return asyncio.run(visit_target(target_jobs(address), environment(SystemClock(), "test"), Visit()))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://shop:8080", [ACTUATOR, METRICS_PATH, "/metrics"]),
        ("http://shop:8848", [METRICS_PATH, ACTUATOR, "/metrics"]),
        ("http://nacos", [METRICS_PATH, ACTUATOR, "/metrics"]),
        ("shop:8080/", [ACTUATOR, METRICS_PATH, "/metrics"]),
        ("http://shop:8080/manage/prometheus", ["/manage/prometheus"]),
    ],
)
def test_the_paths_that_are_tried_in_their_order(url: str, asked: list[str]) -> None:
    assert [job.metrics_path for job in target_jobs(url)] == asked


def test_only_what_is_called_nacos_gets_its_port_and_its_job() -> None:
    def address_and_job(url: str) -> tuple[object, str]:
        job = target_jobs(url)[0]
        return job.sd_configs[0].targets[0], job.job_name  # type: ignore[attr-defined]

    assert address_and_job("http://nacos-1.example") == ("nacos-1.example:8848", "nacos")
    assert address_and_job("http://shop") == ("shop", "shop")
    assert address_and_job("http://shop:8848") == ("shop:8848", "nacos")


def test_a_url_with_a_typo_shows_no_password() -> None:
    with pytest.raises(
        ValueError, match=r"^--target: 'http://shop:x' is not a URL such as http://127.0.0.1:8080/actuator"
    ):
        target_jobs("http://user:secret@shop:x")


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (BootApp((2, 1)), "Spring Boot 2"),
        (BootApp((2, 5), server="netty", logback=False, requests=0), "Spring Boot 2"),
        (BootApp((2, 7), hikari=True, tags={"application": "shop"}), "Spring Boot 2"),
        (BootApp((3, 0), requests=0, executor=False), "Spring Boot 3 or later"),
        (BootApp((3, 5), server="undertow", logback=False, executor=False), "Spring Boot 3 or later"),
        (BootApp((3, 5), hikari=True), "Spring Boot 3 or later"),
    ],
)
def test_a_boot_application_gets_its_packs_and_no_problem(
    app: BootApp, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(boot(app)) as address:
        assert main(["check", "live", "--target", address]) == 0
    out = capsys.readouterr().out
    assert f"target http://{address}{ACTUATOR} (127.0.0.1): ok" in out
    assert f"looks like {kind} on a JVM\nrules: spring-boot, jvm\n" in out
    assert "31 rules: 0 with problems, 0 true now, 31 fine" in out
    assert "acos" not in out


@pytest.mark.parametrize("release", [(2, 7), (3, 5)])
def test_rates_over_time_have_no_problem_either(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(boot(BootApp(release, hikari=True, errors=1))) as address:
        assert main(["check", "live", "--target", address, "--for", "200ms"]) == 0
    assert "31 rules: 0 with problems, 0 true now, 31 fine" in capsys.readouterr().out


def test_the_boot_3_sample_of_the_new_client(capsys: pytest.CaptureFixture[str]) -> None:
    body = shared("samples/boot34om-synthetic.prom").read_bytes()
    content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    with serving(lambda path: (200, content_type, body) if path == ACTUATOR else NOT_FOUND) as address:
        assert main(["check", "live", "--target", address, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["packs"] == ["spring-boot", "jvm"]
    assert document["targets"][0]["looks_like"] == "Spring Boot 3 or later on a JVM"
    assert document["summary"]["problems"] == 0


def test_a_jvm_without_spring_gets_one_pack(capsys: pytest.CaptureFixture[str]) -> None:
    app = BootApp((2, 5), requests=0, server="netty", logback=False)
    with serving(boot(app, "/metrics")) as address:
        assert main(["check", "live", "--target", address]) == 0
    out = capsys.readouterr().out
    assert "looks like a JVM with Micrometer\nrules: jvm\n" in out
    assert "18 rules: 0 with problems" in out


def test_a_nacos_server_is_found_at_its_path_on_any_port(capsys: pytest.CaptureFixture[str]) -> None:
    body = FakeNacos("2.4").body(SystemClock().now())
    with serving(lambda path: (200, TEXT, body) if path == METRICS_PATH else NOT_FOUND) as address:
        assert main(["check", "live", "--target", address]) == 0
    assert "looks like Nacos 2.3.1 to 2.5\nrules: nacos, spring-boot, jvm\n" in capsys.readouterr().out


def test_a_real_node_exporter_has_no_pack_and_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [binary("prometheus-node-exporter"), f"--web.listen-address={address}"]
    with running(command, tmp_path / "log", f"http://{address}/metrics"):
        assert main(["check", "live", "--target", address]) == 0
    out = capsys.readouterr().out
    assert f"target http://{address}/metrics (127.0.0.1): ok" in out
    assert "looks like node_exporter\nrules: none, for no rule pack is for such a target" in out


def test_where_nothing_is_found_the_paths_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _: NOT_FOUND) as address:
        assert main(["check", "live", "--target", address]) == 1
    out = capsys.readouterr().out
    assert "HTTP 404 at /actuator/prometheus, /nacos/actuator/prometheus and /metrics" in out
    assert "Give the URL with its path. A Spring Boot application has its metrics there with the dependencies" in out
    assert "rules:" not in out


@pytest.mark.parametrize("path", ["", ACTUATOR, "/actuator/promethues", "/actuatr/prometheus"])
def test_the_actuator_itself_says_that_it_has_no_metrics(path: str) -> None:
    with serving(lambda asked: (200, "application/json", LINKS) if asked == "/actuator" else NOT_FOUND) as address:
        trouble = visit(address + path).answer.trouble
    assert trouble is not None
    assert trouble.suggestion == (
        "Its actuator answers and lists health, but no prometheus: add the dependency "
        "io.micrometer:micrometer-registry-prometheus, set "
        "management.endpoints.web.exposure.include=health,prometheus, and restart it."
    )


@pytest.mark.parametrize("path", ["/actuator/promethues", "/actuatr/prometheus", "/metrics"])
def test_the_actuator_says_where_the_metrics_are(path: str) -> None:
    links = b'{"_links":{"prometheus":{"href":"http://shop:8080/actuator/prometheus","templated":false}}}'
    with serving(lambda asked: (200, "application/json", links) if asked == "/actuator" else NOT_FOUND) as address:
        trouble = visit(address + path).answer.trouble
    assert trouble is not None
    assert trouble.message == f"HTTP 404 at {path}"
    assert trouble.suggestion == "Its actuator has the metrics at /actuator/prometheus: set metrics_path to that."


@pytest.mark.parametrize("listed", [b"[]", b'{"_links":3}', b"\xff", b"{" * 70_000, b'{"_links":{"a":3}}'])
def test_what_is_no_actuator_is_not_believed(listed: bytes) -> None:
    with serving(lambda asked: (200, "application/json", listed) if asked == "/actuator" else NOT_FOUND) as address:
        trouble = visit(f"{address}{ACTUATOR}").answer.trouble
    assert trouble is not None
    assert "prometheus" in trouble.suggestion


@pytest.mark.parametrize(
    ("reply", "message", "suggestion"),
    [
        ((401, "application/json", b""), "HTTP 401: credentials are needed", "Spring Security refuses it"),
        ((403, "application/json", b""), "HTTP 403: credentials are needed", 'EndpointRequest.to("prometheus")'),
        ((406, "application/json", b""), "HTTP 406: not acceptable", "scrape_protocols: [PrometheusText0.0.4]"),
        ((200, "text/html", b"<html>Please sign in</html>"), "HTTP 200 with a web page", "sends whom it does not know"),
    ],
)
def test_one_answer_for_each_path_is_told_of_the_likeliest(reply: Reply, message: str, suggestion: str) -> None:
    with serving(lambda _: reply) as address:
        found = visit(address).answer
    assert found.url == f"http://{address}{ACTUATOR}"
    assert found.trouble is not None
    assert found.trouble.message.startswith(message)
    assert suggestion in found.trouble.suggestion


def test_what_is_refused_at_one_path_may_be_at_another() -> None:
    replies: dict[str, Reply] = {ACTUATOR: (403, "text/plain", b""), "/metrics": (200, TEXT, b"a 1\n")}
    with serving(lambda path: replies.get(path, NOT_FOUND)) as address:
        assert visit(address).job.metrics_path == "/metrics"
        del replies["/metrics"]
        trouble = visit(address).answer.trouble
    assert trouble is not None
    assert trouble.message == "HTTP 403: credentials are needed", "it says more than 404 at the others"


def test_a_port_where_nothing_listens_is_asked_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert main(["check", "live", "--target", f"127.0.0.1:{unused.getsockname()[1]}"]) == 1
    out = capsys.readouterr().out
    assert "connection refused\n    Nothing listens there: is the application running, and is it this port" in out


def _config(directory: Path, address: str, packs: str, job: str = "shop", path: str = ACTUATOR) -> str:
    file = directory / "prometheus.yml"
    files = ", ".join(f'"{pack_directory()}/{name}.yml"' for name in packs.split())
    file.write_text(
        f"rule_files: [{files}]\n"
        f"scrape_configs:\n"
        f"  - job_name: {job}\n"
        f"    metrics_path: {path}\n"
        f"    static_configs: [{{targets: ['{address}']}}]\n"
    )
    return str(file)


def test_packs_for_others_give_one_note_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(boot(BootApp())) as address:
        config = _config(tmp_path, address, "nacos jvm spring-boot self")
        assert main(["check", "live", "--config.file", config]) == 0
        out = capsys.readouterr().out
        assert main(["check", "live", "--config.file", config, "--verbose"]) == 0
        verbose = capsys.readouterr().out
    assert (
        "note: 28 rules of rules/nacos.yml can never fire: they are for a Nacos server, and no job has 'nacos'" in out
    )
    assert "note: 13 rules of rules/self.yml can never fire: they are for rulepush itself" in out
    assert "0 with problems, 2 true now, 41 can never fire on these servers" in out
    assert "NacosNoTargets" in out, "that one would fire"
    assert "NacosServerDown" not in out
    assert "NacosServerDown" in verbose


def test_a_job_called_nacos_that_is_none_keeps_its_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(boot(BootApp())) as address:
        assert main(["check", "live", "--config.file", _config(tmp_path, address, "nacos", "nacos-1")]) == 1
    assert "none of them looks like a Nacos server" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("packs", "note"),
    [
        ("jvm", "note: job shop looks like Spring Boot 3 or later on a JVM; rules/spring-boot.yml is not loaded\n"),
        ("self", "on a JVM; rules/spring-boot.yml and rules/jvm.yml are not loaded\n"),
    ],
)
def test_a_pack_that_a_configuration_lacks_is_named(
    packs: str, note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(boot(BootApp())) as address:
        assert main(["check", "live", "--config.file", _config(tmp_path, address, packs)]) == 0
    assert note in capsys.readouterr().out


def test_nacos_is_not_told_that_it_is_spring_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = FakeNacos("2.4").body(SystemClock().now())
    with serving(lambda path: (200, TEXT, body) if path == METRICS_PATH else NOT_FOUND) as address:
        config = _config(tmp_path, address, "nacos jvm", "nacos", METRICS_PATH)
        assert main(["check", "live", "--config.file", config]) == 0
    assert "not loaded" not in capsys.readouterr().out
