"""The files of examples/spring-boot load, fit each other, and are what `init spring-boot` writes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import parse_arguments
from rulepush.config import load_config
from rulepush.init.setup import ScrapeJob, Setup
from rulepush.init.sidecar_yaml import sidecar_yaml
from rulepush.packs import pack_directory
from rulepush.relay.settings import Language
from tests.needs import binary

ROOT = Path(__file__).parents[2]
BOOT = ROOT / "examples" / "spring-boot"
IN_IMAGE = "/usr/share/rulepush/rules"
SETUP = Setup(
    "spring-boot",
    "Spring Boot",
    (ScrapeJob("shop", ("shop:8080",), metrics_path="/actuator/prometheus"),),
    dict.fromkeys(("targets", "spring-boot", "jvm", "self"), ""),
    "http://rulepush.example",
    "127.0.0.1",
    sidecar=True,
)


def _documents(name: str) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all((BOOT / name).read_text(encoding="utf-8")) if d]


def test_the_manifest_is_the_one_that_init_writes() -> None:
    assert (BOOT / "kubernetes/sidecar.yaml").read_text(encoding="utf-8") == sidecar_yaml(SETUP)


@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes/sidecar.yaml"])
def test_the_configuration_loads_and_finds_its_rules(name: str, tmp_path: Path) -> None:
    text = (BOOT / name).read_text(encoding="utf-8")
    if "kubernetes" in name:
        data = _documents(name)[0]["data"]
        text = data["prometheus.yml"]
        (tmp_path / "rules.yml").write_text(data["rules.yml"])
        text = text.replace("/etc/rulepush/", f"{tmp_path}/")
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(IN_IMAGE, str(pack_directory())))
    config = load_config(str(file))
    assert all(Path(rules).is_file() for rules in config.rule_files)
    assert len(config.rule_files) == 4
    assert config.scrape_configs[0].metrics_path == "/actuator/prometheus"
    assert config.alerting.alertmanagers
    assert config.ignored == ()


def test_the_container_is_locked_down_probed_and_reloads() -> None:
    config_map, workload = _documents("kubernetes/sidecar.yaml")
    pod = workload["spec"]["template"]["spec"]
    app, container = pod["containers"]
    security = {**pod["securityContext"], **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["fsGroup"] == security["runAsUser"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "rulepush"}
    assert "readinessProbe" not in container
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert {"/etc/rulepush", "/var/lib/rulepush"} <= set(mounts)
    assert not any("subPath" in m for m in mounts.values()), "a file of a subPath never changes"
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert {m["name"] for m in mounts.values()} == set(volumes)
    assert volumes["rulepush-config"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert "memory" in container["resources"]["limits"]
    assert {"name": "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE", "value": "health,prometheus"} in app["env"]
    labels = workload["spec"]["selector"]["matchLabels"]
    assert labels.items() <= workload["spec"]["template"]["metadata"]["labels"].items()


def test_the_commands_of_the_containers_are_understood() -> None:
    container = _documents("kubernetes/sidecar.yaml")[1]["spec"]["template"]["spec"]["containers"][1]
    for command in (container["args"], _documents("compose.yaml")[0]["services"]["rulepush"]["command"]):
        assert parse_arguments([word.replace("${RULEPUSH_URL:-", "").replace("}", "") for word in command]).func
        assert any(word.startswith("--web.external-url=") for word in command)
    assert any(word.startswith("--config.auto-reload-interval=") for word in container["args"])


def test_what_the_compose_file_mounts_is_there() -> None:
    services = _documents("compose.yaml")[0]["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (BOOT / source).is_file(), volume
    assert services["rulepush"]["read_only"] is True
    assert services["shop"]["environment"]["MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE"] == "health,prometheus"


def test_alertmanager_accepts_its_configuration() -> None:
    command = [binary("amtool"), "check-config", str(BOOT / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", list(Language))
def test_the_manifest_is_yaml_in_each_language(language: Language) -> None:
    from dataclasses import replace

    documents = list(yaml.safe_load_all(sidecar_yaml(replace(SETUP, language=language))))
    assert [d["kind"] for d in documents] == ["ConfigMap", "Deployment"]
    assert documents[1] == _documents("kubernetes/sidecar.yaml")[1]
