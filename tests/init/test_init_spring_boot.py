"""`rulepush init spring-boot`: looks first, and writes what fits the applications that it finds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.livecheck.servers import Reply, serving
from tests.spring_boot import BootApp

ACTUATOR = "/actuator/prometheus"
TEXT = "text/plain;version=0.0.4"
NOT_FOUND: Reply = (404, "application/json", b'{"status":404}')


def answering(pages: Mapping[str, bytes]) -> Callable[[str], Reply]:
    """Metrics at some paths, and an Alertmanager's status."""
    status: Reply = (200, "application/json", b'{"cluster":{"status":"ready"},"versionInfo":{"version":"0.33.1"}}')
    return lambda path: (200, TEXT, pages[path]) if path in pages else status if path == "/api/v2/status" else NOT_FOUND


def init(directory: Path, targets: str, *more: str) -> int:
    return main(["init", "spring-boot", "--target", targets, "--lang", "en", "--dir", str(directory), *more])


def sidecar(directory: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((directory / "kubernetes/sidecar.yaml").read_text(encoding="utf-8")))


def test_the_application_is_found_and_named_by_its_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = BootApp((3, 5), tags={"application": "shop"})
    with serving(answering({ACTUATOR: app.body()})) as address:
        assert init(tmp_path / "out", address, "--alertmanager", address) == 0
        said = capsys.readouterr()
        assert main(["check", "config", str(tmp_path / "out/prometheus.yml")]) == 0
    assert f"shop at http://{address}{ACTUATOR}: 75 samples, looks like Spring Boot 3 or later on a JVM" in said.out
    assert f"Alertmanager at http://{address}: ready" in said.out
    assert said.err == ""
    config = load_config(str(tmp_path / "out/prometheus.yml"))
    job, own = config.scrape_configs
    assert (job.job_name, job.metrics_path) == ("shop", ACTUATOR)
    assert own.job_name == "rulepush"
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "README.md",
        "compose.yaml",
        "kubernetes/sidecar.yaml",
        "prometheus.yml",
        "rules/jvm.yml",
        "rules/self.yml",
        "rules/spring-boot.yml",
        "rules/targets.yml",
    ]
    assert "kubernetes/sidecar.yaml" in (tmp_path / "out/README.md").read_text()


def test_instances_share_a_job_and_other_applications_have_their_own(tmp_path: Path) -> None:
    shop = answering({ACTUATOR: BootApp(tags={"application": "shop"}).body()})
    stock = answering({"/app" + ACTUATOR: BootApp((2, 7), tags={"application": "stock room"}).body()})
    with serving(shop) as a, serving(shop) as b, serving(stock) as c:
        assert init(tmp_path, f"http://{a},{b}", "--target", f"{c}/app/actuator/prometheus") == 0
    jobs = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    assert [(job["job_name"], job["static_configs"][0]["targets"]) for job in jobs[:-1]] == [
        ("shop", [a, b]),
        ("stock-room", [c]),
    ]
    assert jobs[1]["metrics_path"] == "/app/actuator/prometheus"


def test_one_name_behind_two_paths_is_two_jobs(tmp_path: Path) -> None:
    body = BootApp(tags={"application": "shop"}).body()
    with serving(answering({ACTUATOR: body})) as a, serving(answering({"/metrics": body})) as b:
        assert init(tmp_path, f"{a} {b}") == 0
    names = [job.job_name for job in load_config(str(tmp_path / "prometheus.yml")).scrape_configs]
    assert names == ["shop", "shop-2", "rulepush"]


@pytest.mark.parametrize(
    ("tag", "name"), [("", "spring-boot"), ("true", '"true"'), ("nacos-demo", "spring-boot"), ("订单", "spring-boot")]
)
def test_names_that_no_job_can_have(tag: str, name: str, tmp_path: Path) -> None:
    with serving(answering({ACTUATOR: BootApp(tags={"application": tag} if tag else {}).body()})) as address:
        assert init(tmp_path, address) == 0
    assert f"- job_name: {name}\n" in (tmp_path / "prometheus.yml").read_text()
    assert load_config(str(tmp_path / "prometheus.yml")).scrape_configs[0].job_name == name.strip('"')


def test_an_application_that_does_not_answer_yet_is_written_as_spring_boot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert init(tmp_path, address) == 0
    err = capsys.readouterr().err
    assert f"warning: http://{address}{ACTUATOR} gives no metrics yet: connection refused" in err
    assert "is the application running, and is it this port (server.port, 8080 unless set" in err
    assert {p.stem for p in (tmp_path / "rules").iterdir()} == {"jvm", "self", "spring-boot", "targets"}
    assert load_config(str(tmp_path / "prometheus.yml")).scrape_configs[0].metrics_path == ACTUATOR


def test_without_a_port_it_is_the_one_of_spring_boot(tmp_path: Path) -> None:
    assert init(tmp_path, "shop.invalid") == 0
    job = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"][0]
    assert job["static_configs"][0]["targets"] == ["shop.invalid:8080"]
    assert job["job_name"] == "shop"


def test_what_is_no_spring_boot_is_said_and_gets_its_own_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(answering({"/metrics": b'go_info{version="go1.24"} 1\n'})) as address:
        assert init(tmp_path, address) == 0
    said = capsys.readouterr()
    assert "looks like a Go program" in said.out
    assert f"warning: http://{address}/metrics does not look like Spring Boot" in said.err
    assert {p.stem for p in (tmp_path / "rules").iterdir()} == {"self", "targets"}


def test_a_nacos_server_among_them_gets_its_pack_and_its_job(tmp_path: Path) -> None:
    nacos = answering({METRICS_PATH: FakeNacos("2.4").body(SystemClock().now())})
    with serving(nacos) as a, serving(answering({ACTUATOR: BootApp().body()})) as b:
        assert init(tmp_path, f"{a},{b}") == 0
    assert [j.job_name for j in load_config(str(tmp_path / "prometheus.yml")).scrape_configs][:2] == [
        "nacos",
        "spring-boot",
    ]
    assert "nacos" in {p.stem for p in (tmp_path / "rules").iterdir()}


def test_credentials_are_the_job_s_and_in_no_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path, "http://scraper:secret@shop.invalid:9000/actuator/prometheus") == 0
    said = capsys.readouterr()
    assert "secret" not in said.out.replace("secret_files", "") + said.err
    assert (tmp_path / "prometheus.yml").stat().st_mode & 0o777 == 0o600
    basic = load_config(str(tmp_path / "prometheus.yml")).scrape_configs[0].http_client.basic_auth
    assert basic is not None
    assert (basic.username, basic.password.reveal()) == ("scraper", "secret")
    manifest = (tmp_path / "kubernetes/sidecar.yaml").read_text()
    assert "password: " not in manifest
    assert "password_file: /etc/rulepush-secret/password" in manifest


def test_the_sidecar_scrapes_its_own_pod_and_tells_the_alertmanager_of_the_cluster(tmp_path: Path) -> None:
    app = BootApp(tags={"application": "Shop_1"})
    with serving(answering({ACTUATOR: app.body()})) as address:
        assert init(tmp_path, address, "--alertmanager", "http://127.0.0.1:9,http://am.monitoring:9093/am") == 0
    config_map, deployment = sidecar(tmp_path)
    config = yaml.safe_load(config_map["data"]["prometheus.yml"])
    port = int(address.rpartition(":")[2])
    assert config["scrape_configs"][0]["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
    assert config["alerting"]["alertmanagers"] == [
        {"scheme": "http", "path_prefix": "/am", "static_configs": [{"targets": ["am.monitoring:9093"]}]}
    ]
    assert deployment["metadata"]["name"] == "shop-1"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"] == [{"name": "app", "containerPort": port}]


def test_chinese_from_end_to_end(tmp_path: Path) -> None:
    assert init(tmp_path, "shop.invalid", "--lang", "zh") == 0
    for name in ("README.md", "prometheus.yml", "kubernetes/sidecar.yaml", "compose.yaml"):
        assert any("一" <= c <= "鿿" for c in (tmp_path / name).read_text()), name


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:y", "http://user:secret@x:99999"])
def test_what_is_no_url(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / "out", url) == 1
    err = capsys.readouterr().err
    assert "rulepush: --target: " in err
    assert "is not a URL such as http://127.0.0.1:8080/actuator/prometheus" in err
    assert "secret" not in err
    assert not (tmp_path / "out").exists()
