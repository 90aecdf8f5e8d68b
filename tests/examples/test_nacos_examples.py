"""The files of examples/nacos load, fit each other, and keep what the container promises."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import main, parse_arguments
from rulepush.cli.health import url_of_command_line
from rulepush.config import load_config
from rulepush.init.directory import working_directory
from rulepush.init.nacos import NACOS_INHIBITIONS
from rulepush.init.setup import Robot, Setup
from rulepush.model.secret import Secret
from rulepush.packs import pack_directory
from rulepush.relay.settings import RobotType
from tests.needs import binary

ROOT = Path(__file__).parents[2]
NACOS = ROOT / "examples" / "nacos"
IN_IMAGE = "/usr/share/rulepush/rules"


def _documents(name: str) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all((NACOS / name).read_text(encoding="utf-8")) if d]


def _config_map(name: str) -> str:
    text: str = next(d["data"]["prometheus.yml"] for d in _documents(name) if d["kind"] == "ConfigMap")
    return text


@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes/standalone.yaml", "kubernetes/sidecar.yaml"])
def test_the_configuration_loads_and_finds_its_rules(name: str, tmp_path: Path) -> None:
    text = _config_map(name) if "kubernetes" in name else (NACOS / name).read_text(encoding="utf-8")
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(IN_IMAGE, str(pack_directory())))
    config = load_config(str(file))
    assert all(Path(rules).is_file() for rules in config.rule_files)
    assert len(config.rule_files) >= 2
    assert config.scrape_configs[0].metrics_path == "/nacos/actuator/prometheus"
    assert config.alerting.alertmanagers
    assert config.ignored == ()


@pytest.mark.parametrize("name", ["kubernetes/standalone.yaml", "kubernetes/sidecar.yaml"])
def test_the_container_is_locked_down_and_probed(name: str) -> None:
    (workload,) = (d for d in _documents(name) if d["kind"] in ("Deployment", "StatefulSet"))
    pod = workload["spec"]["template"]["spec"]
    (container,) = (c for c in pod["containers"] if c["name"] == "rulepush")
    security = {**pod.get("securityContext", {}), **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert {"/etc/rulepush", "/var/lib/rulepush"} <= set(mounts)
    volumes = {v["name"] for v in pod["volumes"]}
    assert {m["name"] for m in mounts.values()} <= volumes
    assert "memory" in container["resources"]["limits"]


def test_what_the_compose_file_mounts_is_there() -> None:
    services = _documents("compose.yaml")[0]["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (NACOS / source).is_file(), volume
    assert services["rulepush"]["read_only"] is True
    assert services["nacos"]["environment"]["MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE"] == "prometheus"
    webhook = _documents("alertmanager.yml")[0]["receivers"][0]["webhook_configs"][0]["url"]
    target = re.fullmatch(r"http://dingtalk:8060/dingtalk/(\w+)/send", webhook)
    assert target is not None
    assert target[1] in _documents("dingtalk.yml")[0]["targets"]


def _command(service: dict[str, Any], address: str | None) -> list[str]:
    """As compose substitutes `${ADDRESS:-...}`."""
    return [re.sub(r"\$\{ADDRESS:-([\w.]+)\}", lambda m: address or m[1], word) for word in service["command"]]


def test_one_variable_is_where_phones_find_it() -> None:
    services = _documents("compose.yaml")[0]["services"]
    for name, port in (("rulepush", 9095), ("alertmanager", 9093)):
        service = services[name]
        assert service["ports"] == [f"${{ADDRESS:-127.0.0.1}}:{port}:{port}"]
        assert f"--web.external-url=http://192.168.1.10:{port}" in _command(service, "192.168.1.10")
        assert f"--web.external-url=http://localhost:{port}" in _command(service, None)
    assert "ports" not in services["dingtalk"], "who reaches the relay can write into the group"


def test_the_healthchecks_ask_where_the_services_listen() -> None:
    services = _documents("compose.yaml")[0]["services"]
    for name, url in (("rulepush", "http://127.0.0.1:9095"), ("dingtalk", "http://127.0.0.1:8060")):
        service = services[name]
        assert service["healthcheck"]["test"] == ["CMD", "/opt/rulepush/bin/rulepush", "health"]
        command = ["/usr/bin/tini", "--", "/opt/rulepush/bin/rulepush", *_command(service, None)]
        assert url_of_command_line(command) == url
        assert parse_arguments(_command(service, None)).func is not None


def test_it_is_what_init_writes() -> None:
    """The same Alertmanager, the same care for containers, the same routes."""
    robot = Robot(RobotType.DINGTALK, "ops", Secret("https://robot.test"), Secret("SECrobot"))
    setup = Setup("nacos", "Nacos", (), {}, "http://h:9095", "h", (), (robot,), NACOS_INHIBITIONS)
    written = {file.path: yaml.safe_load(file.text) for file in working_directory(setup) if file.path.endswith("ml")}
    services = _documents("compose.yaml")[0]["services"]
    for ours, theirs in (("rulepush", "rulepush"), ("alertmanager", "alertmanager"), ("relay", "dingtalk")):
        for key in ("image", "healthcheck", "read_only", "tmpfs", "cap_drop", "security_opt", "restart"):
            assert services[theirs][key] == written["compose.yaml"]["services"][ours][key], (ours, key)
    example, own = _documents("alertmanager.yml")[0], written["alertmanager.yml"]
    assert example["inhibit_rules"] == own["inhibit_rules"]
    assert example["route"] == {**own["route"], "receiver": "dingtalk"}
    assert [r["name"] for r in example["receivers"]] == ["dingtalk", "watchdog"]
    assert _documents("dingtalk.yml")[0]["targets"]["ops"].keys() == set(written["dingtalk.yml"]["targets"]["ops"])


@pytest.mark.parametrize("name", ["kubernetes/standalone.yaml", "kubernetes/sidecar.yaml"])
def test_the_manifests_say_where_phones_find_it(name: str) -> None:
    (workload,) = (d for d in _documents(name) if d["kind"] in ("Deployment", "StatefulSet"))
    (container,) = (c for c in workload["spec"]["template"]["spec"]["containers"] if c["name"] == "rulepush")
    assert parse_arguments(container["args"]).external_url == "https://rulepush.example.com"


def test_alertmanager_accepts_its_configuration() -> None:
    command = [binary("amtool"), "check-config", str(NACOS / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image_copies_what_is_there_and_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
    stages = text.split("\nFROM ")
    assert "USER 10001:10001" in stages[-1]
    assert "HEALTHCHECK" in stages[-1]
    assert "tini" in stages[-1]


def test_the_relay_accepts_its_configuration_once_it_is_filled_in(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    example = NACOS / "dingtalk.yml"
    assert main(["dingtalk", "--check", "--config.file", str(example)]) == 1
    assert capfd.readouterr().err.count("placeholder: copy") == 2
    text = example.read_text(encoding="utf-8").replace("xxxxxxxxxxxx", "3f5a" * 16).replace("0" * 21, "9c1e" * 16)
    (tmp_path / "dingtalk.yml").write_text(text, encoding="utf-8")
    assert main(["dingtalk", "--check", "--config.file", str(tmp_path / "dingtalk.yml")]) == 0


def test_the_commands_of_the_containers_are_understood() -> None:
    for service in _documents("compose.yaml")[0]["services"].values():
        if service["image"].startswith("rulepush") and "command" in service:
            assert parse_arguments(service["command"]).func
    for name in ("kubernetes/standalone.yaml", "kubernetes/sidecar.yaml"):
        (workload,) = (d for d in _documents(name) if d["kind"] in ("Deployment", "StatefulSet"))
        (container,) = (c for c in workload["spec"]["template"]["spec"]["containers"] if c["name"] == "rulepush")
        args = parse_arguments(container["args"])
        assert args.auto_reload_interval == 30_000
        assert args.external_url.startswith("https://")
        # What is mounted with subPath never changes.
        assert all("subPath" not in mount for mount in container["volumeMounts"])
    words = re.search(r"^CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert words is not None
    command = yaml.safe_load(words[1])
    assert parse_arguments(command).func
