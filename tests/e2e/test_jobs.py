"""rules/jobs.yml in a real process that keeps only what the rules need, with real jobs, one of which is killed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rulepush.packs import pack
from tests.needs import binary
from tests.servers import free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [jobs.yml]
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A rulepush with the pack; its only `for` is cut short."""
    directory = tmp_path_factory.mktemp("jobs")
    rules = pack("jobs").read_text(encoding="utf-8")
    assert rules.count("for: 30s") == 1
    (directory / "jobs.yml").write_text(rules.replace("for: 30s", "for: 1s"), encoding="utf-8")
    (directory / "prometheus.yml").write_text(CONFIG)
    url = f"http://127.0.0.1:{free_port()}"
    command = rulepush_command(
        "run",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-push-receiver",
    )
    with running(command, directory / "rulepush.log", f"{url}/-/ready"):
        yield url


def job(url: str, name: str, command: str, *options: str) -> subprocess.Popen[bytes]:
    words = ["push", "--job", name, "--label", "instance=db1", *options, url, "--", "sh", "-c", command]
    return subprocess.Popen(rulepush_command(*words))


def firing(url: str, name: str) -> list[str]:
    alerts = get_json(f"{url}/api/v1/alerts")["data"]["alerts"]
    of_job = [a for a in alerts if a["labels"]["job"] == name and a["state"] == "firing"]
    return sorted(a["labels"]["alertname"] for a in of_job)


def comes(url: str, name: str, *alerts: str) -> None:
    wait_for(f"{alerts} of {name}", lambda: firing(url, name) == sorted(alerts))


def test_a_failure_ends_with_the_next_success(url: str) -> None:
    assert job(url, "failing", "exit 3").wait(60) == 3
    comes(url, "failing", "JobFailed")
    (alert,) = (a for a in get_json(f"{url}/api/v1/alerts")["data"]["alerts"] if a["labels"]["job"] == "failing")
    assert alert["labels"]["instance"] == "db1"
    assert alert["annotations"]["summary"] == "Job failing failed on db1"
    assert alert["annotations"]["description"].startswith("Its last run ended with exit code 3.")
    assert job(url, "failing", "true").wait(60) == 0
    comes(url, "failing")


def test_kill_9_of_a_job_is_noticed_and_ends_with_the_next_run(url: str) -> None:
    process = job(url, "killed", "exec sleep 60", "--heartbeat", "1s", "--ttl", "1h")
    wait_for("its start", lambda: running_since(url, "killed"))
    process.kill()
    process.wait(60)
    comes(url, "killed", "JobNeverCameBack")
    assert job(url, "killed", "true").wait(60) == 0
    comes(url, "killed")


def running_since(url: str, name: str) -> list[object]:
    expr = f'job:rulepush_job_running_since:timestamp_seconds{{job="{name}"}}'
    result: list[object] = get_json(f"{url}/api/v1/query", query=expr)["data"]["result"]
    return result


def test_the_end_of_a_lifetime_is_seen_though_the_series_are_gone(url: str) -> None:
    assert job(url, "gone", "true", "--ttl", "3s").wait(60) == 0
    comes(url, "gone", "JobPushesStopped")
    assert job(url, "gone", "true", "--ttl", "1h").wait(60) == 0
    comes(url, "gone")


def test_late_and_too_long_by_the_limits_that_the_job_itself_pushes(url: str) -> None:
    assert job(url, "late", "true", "--max-age", "2s").wait(60) == 0
    comes(url, "late", "JobLate")
    assert job(url, "slow", "sleep 0.2", "--max-duration", "100ms").wait(60) == 0
    comes(url, "slow", "JobTakesTooLong")
    process = job(url, "running", "exec sleep 60", "--max-duration", "1s", "--heartbeat", "2s")
    comes(url, "running", "JobTakesTooLong")
    process.terminate()
    assert process.wait(60) == 143
    comes(url, "running", "JobFailed", "JobTakesTooLong")


def test_a_push_that_contradicts_is_an_alert(url: str) -> None:
    statuses = []
    for name, kind in (("counts", "counter"), ("gauges", "gauge")):
        body = f"# TYPE jobs_e2e {kind}\njobs_e2e 1\n"
        statuses.append(httpx.post(f"{url}/metrics/job/{name}", content=body, trust_env=False, timeout=60).status_code)
    assert statuses == [200, 400]
    comes(url, "gauges", "JobPushRefused")


def test_a_restart_keeps_what_is_known(tmp_path: Path) -> None:
    """The groups, and with them the alert, survive kill -9 of rulepush itself."""
    (tmp_path / "prometheus.yml").write_text(CONFIG)
    (tmp_path / "jobs.yml").write_text(pack("jobs").read_text(encoding="utf-8"), encoding="utf-8")
    url = f"http://127.0.0.1:{free_port()}"
    command = rulepush_command(
        "run",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-push-receiver",
    )
    with running(command, tmp_path / "rulepush.log", f"{url}/-/ready") as server:
        assert job(url, "failing", "exit 1").wait(60) == 1
        comes(url, "failing", "JobFailed")
        server.kill()
    with running(command, tmp_path / "rulepush.log", f"{url}/-/ready"):
        comes(url, "failing", "JobFailed")
        groups = get_json(f"{url}/api/v1/metrics")["data"]
        assert json.dumps(groups).count("rulepush_job_last_exit_code") == 1


def test_the_pack_works_in_prometheus_with_a_pushgateway(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    gateway, prometheus = (f"http://127.0.0.1:{port}" for port in ports)
    scrape = f"{{job_name: gw, honor_labels: true, static_configs: [{{targets: ['127.0.0.1:{ports[0]}']}}]}}"
    (tmp_path / "prometheus.yml").write_text(CONFIG + f"scrape_configs: [{scrape}]\n")
    rules = pack("jobs").read_text(encoding="utf-8").replace("for: 30s", "for: 1s")
    (tmp_path / "jobs.yml").write_text(rules, encoding="utf-8")
    commands = (
        [binary("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{ports[0]}"],
        [
            binary("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
        ],
    )
    with (
        running(commands[0], tmp_path / "gw.log", f"{gateway}/-/ready"),
        running(commands[1], tmp_path / "prometheus.log", f"{prometheus}/-/ready"),
    ):
        killed = job(gateway, "killed", "exec sleep 60", "--heartbeat", "1s", "--ttl", "1h")
        assert job(gateway, "failing", "exit 3").wait(60) == 3
        assert job(gateway, "late", "true", "--max-age", "2s").wait(60) == 0
        wait_for("its start", lambda: running_since(prometheus, "killed"))
        killed.kill()
        killed.wait(60)
        comes(prometheus, "failing", "JobFailed")
        comes(prometheus, "late", "JobLate")
        comes(prometheus, "killed", "JobNeverCameBack")
