"""What is written for each combination of robots and Alertmanagers fits together, and each program takes its part."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import main, parse_arguments
from rulepush.cli.health import url_of_command_line
from rulepush.config import load_config
from rulepush.init.addresses import Address
from rulepush.init.commands import start_commands
from rulepush.init.directory import working_directory
from rulepush.init.nacos import NACOS_INHIBITIONS
from rulepush.init.setup import Robot, ScrapeJob, Setup
from rulepush.init.write import write_files
from rulepush.model.secret import Secret
from rulepush.packs import pack
from rulepush.relay.load import load_settings
from rulepush.relay.settings import Language, RobotType
from tests.init.robot_urls import DINGTALK_URL, FEISHU_URL, ROBOT_SECRET, WECOM_URL
from tests.needs import binary

D = Robot(RobotType.DINGTALK, "dingtalk", Secret(DINGTALK_URL), Secret(ROBOT_SECRET))
F = Robot(RobotType.FEISHU, "feishu", Secret(FEISHU_URL))
W = Robot(RobotType.WECOM, "wecom", Secret(WECOM_URL))
ROBOTS: tuple[tuple[Robot, ...], ...] = ((), (D,), (D, F, W))
ELSEWHERE = Address("http", "10.0.0.7:9093")
HERE = Address("http", "127.0.0.1:9093", "/am")
ALERTMANAGERS: tuple[tuple[Address, ...], ...] = ((), (HERE,), (ELSEWHERE,), (ELSEWHERE, HERE))


def _setup(
    robots: tuple[Robot, ...] = (D,),
    alertmanagers: tuple[Address, ...] = (),
    language: Language = Language.ZH,
    url: str = "http://10.0.0.5:9095",
    target: str = "10.0.0.1:8848",
) -> Setup:
    return Setup(
        "nacos",
        "Nacos",
        (ScrapeJob("nacos", (target,), metrics_path="/nacos/actuator/prometheus"),),
        {"self": pack("self").read_text(encoding="utf-8")},
        url,
        "10.0.0.5",
        alertmanagers,
        robots,
        NACOS_INHIBITIONS,
        language,
    )


def _texts(setup: Setup) -> dict[str, str]:
    return {file.path: file.text for file in working_directory(setup)}


def _services(setup: Setup) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(_texts(setup)["compose.yaml"])["services"]
    return services


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(("robots", "alertmanagers"), list(itertools.product(ROBOTS, ALERTMANAGERS)))
def test_every_program_takes_its_file(
    tmp_path: Path, robots: tuple[Robot, ...], alertmanagers: tuple[Address, ...], language: Language
) -> None:
    setup = _setup(robots, alertmanagers, language)
    write_files(tmp_path, working_directory(setup), force=False)
    assert main(["check", "config", str(tmp_path / "prometheus.yml")]) == 0
    assert (tmp_path / "dingtalk.yml").exists() is bool(robots)
    if robots:
        assert main(["dingtalk", "--check", "--config.file", str(tmp_path / "dingtalk.yml")]) == 0
        settings = load_settings(str(tmp_path / "dingtalk.yml"))
        assert {t.language for t in settings.targets.values()} == {language}
        assert [(t.type, t.url, t.secret) for t in settings.targets.values()] == [
            (r.type, r.url, r.secret) for r in robots
        ]
        if language is Language.ZH:
            assert {t.time_zone for t in settings.targets.values()} == {"Asia/Shanghai"}
    ours = not alertmanagers
    assert (tmp_path / "alertmanager.yml").exists() is (ours or bool(robots))
    if ours or robots:
        command = [binary("amtool"), "check-config", str(tmp_path / "alertmanager.yml")]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    addresses = [f"{d}" for d in load_config(str(tmp_path / "prometheus.yml")).alerting.alertmanagers]
    assert len(addresses) == (2 if len(alertmanagers) > 1 else 1), "one entry for each way to reach them"


def test_alertmanagers_that_are_reached_alike_are_one_entry() -> None:
    pair = (ELSEWHERE, Address("http", "10.0.0.8:9093"))
    (entry,) = yaml.safe_load(_texts(_setup((), pair))["prometheus.yml"])["alerting"]["alertmanagers"]
    assert entry["static_configs"] == [{"targets": ["10.0.0.7:9093", "10.0.0.8:9093"]}]


def test_only_the_owner_reads_the_tokens(tmp_path: Path) -> None:
    (tmp_path / ".dingtalk.yml.new").touch(0o644)
    write_files(tmp_path, working_directory(_setup()), force=False)
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir() if p.is_file()}
    assert modes["dingtalk.yml"] == 0o600
    assert modes["alertmanager.yml"] & 0o044
    assert ROBOT_SECRET not in "".join(p.read_text() for p in tmp_path.iterdir() if p.suffix != ".yml" and p.is_file())
    assert "chown 10001 dingtalk.yml" in (tmp_path / "compose.yaml").read_text()


def test_the_user_of_the_container_reads_the_rest_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        write_files(tmp_path / "new", working_directory(_setup()), force=False)
    finally:
        os.umask(former)
    closed = [p.name for p in (tmp_path / "new", *(tmp_path / "new").rglob("*")) if not p.stat().st_mode & 0o004]
    assert closed == ["dingtalk.yml"]
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "new", tmp_path / "new" / "rules")} == {0o755}


def test_each_robot_hears_of_everything_but_the_watchdog() -> None:
    document = yaml.safe_load(_texts(_setup((D, F, W)))["alertmanager.yml"])
    watchdog, *routes = document["route"]["routes"]
    assert watchdog == {"matchers": ['alertname="Watchdog"'], "receiver": "watchdog"}
    assert routes == [{"receiver": name, "continue": True} for name in ("dingtalk", "feishu", "wecom")]
    receivers = {r["name"]: r.get("webhook_configs", []) for r in document["receivers"]}
    assert receivers.pop("watchdog") == []
    for name, (hook,) in receivers.items():
        assert hook == {"url": f"http://127.0.0.1:8060/dingtalk/{name}/send", "send_resolved": True}
    (inhibition,) = document["inhibit_rules"]
    assert inhibition["source_matchers"] == ['alertname="NacosServerDown"']


def test_without_a_robot_the_file_says_that_nobody_is_told() -> None:
    text = _texts(_setup((), (), Language.EN))["alertmanager.yml"]
    assert "Nobody is told yet" in text
    assert yaml.safe_load(text)["route"]["receiver"] == "nobody"


def test_the_services_are_those_that_are_needed() -> None:
    assert list(_services(_setup((D,), ()))) == ["rulepush", "alertmanager", "relay"]
    assert list(_services(_setup((D,), (ELSEWHERE,)))) == ["rulepush", "relay"]
    assert list(_services(_setup((), (ELSEWHERE,)))) == ["rulepush"]


def test_with_its_own_alertmanager_everything_meets_on_the_machines_loopback() -> None:
    """So the same files serve containers and processes that were started by hand."""
    services = _services(_setup())
    assert all(service["network_mode"] == "host" for service in services.values())
    targets = load_targets(_texts(_setup())["prometheus.yml"])
    assert targets == ["127.0.0.1:9093"]
    assert "--web.listen-address=127.0.0.1:8060" in services["relay"]["command"], "who reaches it writes into the group"


def load_targets(text: str) -> list[str]:
    """The Alertmanagers of a prometheus.yml."""
    entries = yaml.safe_load(text)["alerting"]["alertmanagers"]
    return [target for entry in entries for config in entry["static_configs"] for target in config["targets"]]


def test_an_alertmanager_on_another_machine_finds_the_relay() -> None:
    setup = _setup((D,), (ELSEWHERE,))
    hook = yaml.safe_load(_texts(setup)["alertmanager.yml"])["receivers"][0]["webhook_configs"][0]
    assert hook["url"] == "http://10.0.0.5:8060/dingtalk/dingtalk/send"
    relay = _services(setup)["relay"]
    assert relay["ports"] == ["8060:8060"]
    assert "--web.listen-address=0.0.0.0:8060" in relay["command"]
    assert any("rulepush dingtalk" in c and "0.0.0.0:8060" in c for c in start_commands(setup))


@pytest.mark.parametrize("target", ["10.0.0.1:8848", "127.0.0.1:8848"], ids=["network of its own", "the machine's"])
@pytest.mark.parametrize("alertmanagers", [(), (ELSEWHERE,)])
def test_healthchecks_ask_where_the_service_listens(target: str, alertmanagers: tuple[Address, ...]) -> None:
    services = _services(_setup((D,), alertmanagers, target=target, url="http://10.0.0.5:9095/alerts"))
    for name, port, path in (("rulepush", 9095, "/alerts"), ("relay", 8060, "")):
        service = services[name]
        assert service["healthcheck"]["test"] == ["CMD", "/opt/rulepush/bin/rulepush", "health"]
        in_container = ["/usr/bin/tini", "--", "/opt/rulepush/bin/rulepush", *service["command"]]
        assert url_of_command_line(in_container) == f"http://127.0.0.1:{port}{path}"
    if not alertmanagers:
        assert services["alertmanager"]["healthcheck"]["test"][-1] == "http://127.0.0.1:9093/-/healthy"


def test_the_containers_are_locked_down_and_their_command_lines_are_ours() -> None:
    composed = yaml.safe_load(_texts(_setup())["compose.yaml"])
    for name, service in composed["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            assert source in (".", "./alertmanager.yml") or source in composed["volumes"], mount
        if name != "alertmanager":
            assert parse_arguments(service["command"]).func is not None


def test_alertmanager_starts_with_the_flags_of_the_compose_file(tmp_path: Path) -> None:
    """A flag that it does not know is an error of its command line; --version ends it before it listens."""
    command = _services(_setup())["alertmanager"]["command"]
    done = subprocess.run(
        [binary("prometheus-alertmanager"), *command, "--version"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("url", "listens"),
    [
        ("http://10.0.0.5:9095", "0.0.0.0:9095"),
        ("https://alerts.example.com", "127.0.0.1:9095"),
        ("http://127.0.0.1:9095", "127.0.0.1:9095"),
    ],
    ids=["its own port", "a proxy's", "this machine alone"],
)
def test_it_listens_where_the_external_url_leads(url: str, listens: str) -> None:
    setup = _setup(url=url)
    words = _services(setup)["rulepush"]["command"]
    assert f"--web.listen-address={listens}" in words
    assert f"--web.external-url={url}" in words
    run = start_commands(setup)[-1]
    assert f"--web.external-url={url}" in run
    assert ("0.0.0.0:9095" in run) is (listens == "0.0.0.0:9095")


def test_a_path_of_the_external_url_is_where_rulepush_scrapes_itself() -> None:
    own = yaml.safe_load(_texts(_setup(url="https://x.example/alerts"))["prometheus.yml"])["scrape_configs"][-1]
    assert own["metrics_path"] == "/alerts/metrics"


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(("robots", "alertmanagers"), list(itertools.product(ROBOTS, ALERTMANAGERS)))
def test_the_readme_names_what_is_there_and_its_commands_are_ours(
    robots: tuple[Robot, ...], alertmanagers: tuple[Address, ...], language: Language
) -> None:
    setup = _setup(robots, alertmanagers, language)
    texts = _texts(setup)
    linked = set(re.findall(r"\]\(([^)]+)\)", texts["README.md"]))
    assert linked == {path for path in texts if "/" not in path and path != "README.md"} | {"rules/"}
    commands = [line for line in texts["README.md"].splitlines() if line.startswith("rulepush ")]
    assert len([c for c in commands if "test delivery" in c]) == bool(robots)
    for command in commands:
        assert parse_arguments(command.split()[1:]).func is not None


def test_the_languages_are_not_mixed() -> None:
    chinese = re.compile("[\u4e00-\u9fff]")
    for path, text in _texts(_setup((D, W), (ELSEWHERE,), Language.EN)).items():
        if not path.startswith("rules/"):
            assert not chinese.search(text), path
    for path in ("prometheus.yml", "alertmanager.yml", "dingtalk.yml", "compose.yaml", "README.md"):
        assert chinese.search(_texts(_setup((D, W), (ELSEWHERE,)))[path]), path


def test_what_is_commented_out_can_be_switched_on(tmp_path: Path) -> None:
    """The labels and the heartbeat of prometheus.yml."""
    text = _texts(_setup())["prometheus.yml"]
    for line in ("external_labels: ", "heartbeats:", "  - url: https://hc-ping.com/..."):
        assert text.count(f"# {line}") == 1, line
        text = text.replace(f"# {line}", line)
    (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")
    config = load_config(str(tmp_path / "prometheus.yml"))
    assert config.global_.external_labels.get("site") == "hz1"
    assert len(config.heartbeats) == 1
