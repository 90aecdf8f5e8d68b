"""The files of examples/fleet load, fit each other, and keep what the containers promise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import main, parse_arguments
from rulepush.cli.health import url_of_command_line
from rulepush.config import load_config
from rulepush.packs import pack_directory
from rulepush.scrape.sharding import read_sharding

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "fleet"
IN_IMAGE = "/usr/share/rulepush/rules"
WORKLOADS = {"rulepush-scrape": "kubernetes/scrape.yaml", "rulepush-evaluate": "kubernetes/evaluate.yaml"}
CONFIGS = ("scrape.yml", "evaluate.yml", *WORKLOADS.values())


def documents(name: str) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all((FLEET / name).read_text(encoding="utf-8")) if d]


def of_kind(name: str, kind: str) -> list[dict[str, Any]]:
    return [d for d in documents(name) if d["kind"] == kind]


def config_file(name: str, directory: Path) -> Path:
    """The configuration of a file or of its ConfigMap, with its paths on this machine."""
    text = (FLEET / name).read_text(encoding="utf-8")
    if "kubernetes" in name:
        (data,) = (d["data"] for d in of_kind(name, "ConfigMap"))
        text = data["prometheus.yml"].replace("/etc/rulepush/fleet.yml", f"{directory}/fleet.yml")
        (directory / "fleet.yml").write_text(data.get("fleet.yml", ""), encoding="utf-8")
    file = directory / "prometheus.yml"
    file.write_text(text.replace(IN_IMAGE, str(pack_directory())).replace("/etc/rulepush", str(FLEET)))
    return file


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_valid(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = config_file(name, tmp_path)
    assert main(["check", "config", "--lint-fatal", str(file)]) == 0
    assert "warning" not in capfd.readouterr().err
    config = load_config(str(file))
    assert config.alerting.alertmanagers
    assert [write.name for write in config.remote_write] == ["central"]
    assert config.ignored == ()
    rules = (*config.rule_files, *(path for d in config.datasources for path in d.rule_files))
    assert rules
    assert all(Path(path).is_file() for path in rules)


def test_rules_mean_every_target_only_where_all_are_seen(tmp_path: Path) -> None:
    from rulepush.service.loaded_config import load_config_and_rules
    from rulepush.service.shard_warning import shard_warnings

    sharding = read_sharding("0/3", None, "", "")
    assert sharding is not None
    for name in ("scrape.yml", "kubernetes/scrape.yaml"):
        loaded = load_config_and_rules(str(config_file(name, tmp_path)))
        assert list(shard_warnings(sharding, loaded.groups, loaded.config.scrape_configs)) == []
    in_memory = load_config_and_rules(str(config_file("evaluate.yml", tmp_path)))
    assert {group.datasource for group in in_memory.groups} == {"central"}


def test_the_rules_in_the_config_map_are_those_of_the_file() -> None:
    (data,) = (d["data"] for d in of_kind("kubernetes/evaluate.yaml", "ConfigMap"))
    assert data["fleet.yml"] == (FLEET / "rules" / "fleet.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("workload", "name"), WORKLOADS.items())
def test_the_container_is_locked_down_probed_and_keeps_its_state(workload: str, name: str) -> None:
    (stateful,) = of_kind(name, "StatefulSet")
    spec, pod = stateful["spec"], stateful["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = {**pod["securityContext"], **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["fsGroup"] == security["runAsUser"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    assert container["startupProbe"]["exec"]["command"] == ["/opt/rulepush/bin/rulepush", "health"]
    assert "memory" in container["resources"]["limits"]
    claims = {c["metadata"]["name"] for c in spec["volumeClaimTemplates"]}
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert mounts["/var/lib/rulepush"]["name"] in claims
    assert {m["name"] for m in mounts.values()} == set(volumes) | claims
    assert not any("subPath" in m for m in mounts.values()), "a file of a subPath never changes"
    (config_map,) = of_kind(name, "ConfigMap")
    assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
    labels = spec["selector"]["matchLabels"]
    assert labels == spec["template"]["metadata"]["labels"] == {"app.kubernetes.io/name": workload}
    headless = next(s for s in of_kind(name, "Service") if s["metadata"]["name"] == spec["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    assert all(s["spec"]["selector"] == labels for s in of_kind(name, "Service"))


@pytest.mark.parametrize(
    ("name", "flag"), [("kubernetes/scrape.yaml", "--scrape.shard"), ("kubernetes/evaluate.yaml", "--rules.shard")]
)
def test_there_are_as_many_pods_as_shards(name: str, flag: str) -> None:
    (stateful,) = of_kind(name, "StatefulSet")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert f"{flag}=from-hostname/{stateful['spec']['replicas']}" in container["args"]
    args = parse_arguments(container["args"])
    assert args.auto_reload_interval == 30_000
    assert args.external_url.startswith("https://")


def compose_services(prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    services = documents("compose.yaml")[0]["services"]
    yield from ((name, service) for name, service in services.items() if name.startswith(prefix))


@pytest.mark.parametrize(("prefix", "flag"), [("scrape-", "--scrape.shard"), ("evaluator-", "--rules.shard")])
def test_compose_starts_every_shard_once(prefix: str, flag: str) -> None:
    services = dict(compose_services(prefix))
    ports = set()
    for index, (name, service) in enumerate(services.items()):
        assert service["hostname"] == name == f"{prefix}{index}"
        command = [re.sub(r"\$\{ADDRESS:-([\w.]+)\}", r"\1", word) for word in service["command"]]
        assert f"{flag}=from-hostname/{len(services)}" in command
        assert read_sharding(f"from-hostname/{len(services)}", None, "", service["hostname"]) is not None
        args = parse_arguments(command)
        (port,) = service["ports"]
        ports.add(port)
        assert port == f"${{ADDRESS:-127.0.0.1}}:{args.external_url.rpartition(':')[2]}:9095"
        assert url_of_command_line(["/opt/rulepush/bin/rulepush", *command]) == "http://127.0.0.1:9095"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert len(ports) == len(services)


def test_what_the_compose_file_mounts_is_there_and_what_is_named_is_a_service() -> None:
    compose = documents("compose.yaml")[0]
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (FLEET / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    assert sum("build" in service for service in compose["services"].values()) == 1
    for name in ("scrape.yml", "evaluate.yml"):
        text = (FLEET / name).read_text(encoding="utf-8")
        hosts = set(re.findall(r"[\"/]([a-z][a-z0-9-]*):\d+", text))
        assert hosts
        assert hosts <= set(compose["services"])


def test_every_service_of_the_cluster_is_where_the_others_look_for_it() -> None:
    cluster = documents("kubernetes/victoriametrics.yaml")
    ports = {(s["metadata"]["name"], p["port"]) for s in cluster if s["kind"] == "Service" for p in s["spec"]["ports"]}
    for name in WORKLOADS.values():
        text = next(d["data"]["prometheus.yml"] for d in of_kind(name, "ConfigMap"))
        asked = {(host, int(port)) for host, port in re.findall(r"http://(vm\w+):(\d+)/", text)}
        assert asked
        assert asked <= ports
    for workload in cluster:
        if workload["kind"] in ("Deployment", "StatefulSet"):
            (container,) = workload["spec"]["template"]["spec"]["containers"]
            for host, port in re.findall(r"-storageNode=vmstorage-\d\.(\w+):(\d+)", " ".join(container["args"])):
                assert (host, int(port)) in ports
            assert container["image"] == f"victoriametrics/{workload['metadata']['name']}:v1.145.0-cluster"


def test_the_lines_for_mimir_and_for_thanos_are_valid(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (FLEET / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yml"
        file.write_text(block)
        assert main(["check", "config", str(file)]) == 0, capfd.readouterr().err
