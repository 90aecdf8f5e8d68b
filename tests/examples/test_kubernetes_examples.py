"""The files of examples/kubernetes fit each other, may read what they watch, no more, and find what the page says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.__main__ import main, parse_arguments
from rulepush.cli.health import url_of_command_line
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.config.sections import Config
from rulepush.discovery.groups import Environment
from rulepush.discovery.kubernetes.config import KubernetesSdConfig
from rulepush.discovery.kubernetes.labels import AttachMetadata
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.livecheck.fetch import first_list
from rulepush.packs import pack_directory
from rulepush.scrape.job import job_of
from rulepush.scrape.target import build_targets
from tests.kubernetes_server import ApiReply, ApiRequest, KubernetesServer, forbidden

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "examples" / "kubernetes"
IN_IMAGE = "/usr/share/rulepush/rules"
VARIANTS = ("namespaces", "cluster")
# A right: API group, resource, verb, and the namespace ("" for all of them).
Right = tuple[str, str, str, str]


def read(path: Path) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]


def documents(variant: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a variant: its resources, and its ConfigMap of files."""

    def build(directory: Path) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
        (kustomization,) = read(directory / "kustomization.yaml")
        found: list[dict[str, Any]] = []
        maps: dict[str, dict[str, str]] = {}
        for name in kustomization["resources"]:
            if (directory / name).is_dir():
                inner, its_maps = build(directory / name)
                found, maps = found + inner, maps | its_maps
            else:
                found += read(directory / name)
        for made in kustomization["configMapGenerator"]:
            assert kustomization["generatorOptions"] == {"disableNameSuffixHash": True}
            key = f"{made['namespace']}/{made['name']}"
            assert (key in maps) == (made.get("behavior") == "merge"), "merging needs something to merge with"
            files = {name: (directory / name).read_text(encoding="utf-8") for name in made["files"]}
            maps[key] = maps.get(key, {}) | files
        return found, maps

    found, maps = build(KUBERNETES / variant)
    for key, data in maps.items():
        namespace, name = key.split("/")
        found.append({"kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
    return found


def of_kind(variant: str, *kinds: str) -> list[dict[str, Any]]:
    return [d for d in documents(variant) if d["kind"] in kinds]


def container(variant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod's specification, and the container's."""
    (deployment,) = of_kind(variant, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    return pod, only


def config_file(variant: str, directory: Path) -> Path:
    """The configuration as it is mounted, with its paths on this machine."""
    (mounted,) = of_kind(variant, "ConfigMap")
    for name, text in mounted["data"].items():
        here = text.replace(IN_IMAGE, str(pack_directory())).replace("/etc/rulepush", str(directory))
        (directory / name).write_text(here, encoding="utf-8")
    return directory / "prometheus.yml"


def loaded(variant: str, directory: Path) -> Config:
    return load_config(str(config_file(variant, directory)))


def watched(config: Config) -> set[Right]:
    """The rights that the configuration needs."""
    needed: set[Right] = set()
    sections = [job.sd_configs for job in config.scrape_configs] + [m.sd_configs for m in config.alerting.alertmanagers]
    for sd in (sd for sds in sections for sd in sds if isinstance(sd, KubernetesSdConfig)):
        assert not sd.own_namespace
        for needs in sd.watched():
            api = needs.resource.api
            group = api.split("/")[2] if api.startswith("/apis/") else ""
            namespaces = (sd.namespaces or ("",)) if needs.resource.namespaced else ("",)
            needed |= {(group, needs.resource.name, verb, n) for verb in ("list", "watch") for n in namespaces}
    return needed


def allowed(variant: str, account: tuple[str, str]) -> set[Right]:
    """What a ServiceAccount (namespace, name) may do."""
    rights: set[Right] = set()
    for binding in of_kind(variant, "RoleBinding", "ClusterRoleBinding"):
        subjects = {(s["kind"], s["namespace"], s["name"]) for s in binding["subjects"]}
        namespace = binding["metadata"].get("namespace", "")
        assert bool(namespace) == (binding["kind"] == "RoleBinding")
        if ("ServiceAccount", *account) not in subjects:
            continue
        reference = binding["roleRef"]
        assert reference["apiGroup"] == "rbac.authorization.k8s.io"
        role = next(
            d
            for d in of_kind(variant, reference["kind"])
            if d["metadata"]["name"] == reference["name"] and d["metadata"].get("namespace", "") == namespace
        )
        rights |= {
            (group, resource, verb, namespace)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
    return rights


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_may_read_what_its_configuration_watches_and_nothing_else(variant: str, tmp_path: Path) -> None:
    pod, _ = container(variant)
    (account,) = of_kind(variant, "ServiceAccount")
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is True
    needed = watched(loaded(variant, tmp_path))
    assert needed
    assert allowed(variant, (account["metadata"]["namespace"], account["metadata"]["name"])) == needed
    bound = of_kind(variant, "RoleBinding", "ClusterRoleBinding")
    assert len(bound) == len(of_kind(variant, "Role", "ClusterRole"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_configuration_is_valid(variant: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = config_file(variant, tmp_path)
    assert main(["check", "config", "--lint-fatal", str(file)]) == 0
    assert "warning" not in capfd.readouterr().err
    config = load_config(str(file))
    assert config.alerting.alertmanagers
    assert config.ignored == ()
    assert len(config.rule_files) == 5
    assert all(Path(path).is_file() for path in config.rule_files)


def test_the_variants_differ_in_their_namespaces_only(tmp_path: Path) -> None:
    def jobs(variant: str) -> Any:
        (found,) = read(KUBERNETES / variant / "prometheus.yml")
        for job in found["scrape_configs"]:
            for sd in job.get("kubernetes_sd_configs", ()):
                sd.pop("namespaces", None)
            job["relabel_configs"] = [
                rule
                for rule in job.get("relabel_configs", ())
                if not (rule["source_labels"] == ["__meta_kubernetes_namespace"] and rule.get("action") == "keep")
            ]
        return found

    assert jobs("namespaces") == jobs("cluster")


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_is_in_the_namespace_that_is_made(variant: str) -> None:
    (namespace,) = of_kind(variant, "Namespace")
    name = namespace["metadata"]["name"]
    elsewhere = {"Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    for document in documents(variant):
        if document["kind"] not in elsewhere:
            assert document["metadata"]["namespace"] == name, document["kind"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_container_is_locked_down_probed_and_keeps_its_state(variant: str) -> None:
    pod, only = container(variant)
    security = {**pod["securityContext"], **only["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["fsGroup"] == security["runAsUser"] == 10001
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (port,) = only["ports"]
    for probe, path in (("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        assert (only[probe]["httpGet"]["path"], only[probe]["httpGet"]["port"]) == (path, port["name"])
    assert only["startupProbe"]["exec"]["command"] == ["/opt/rulepush/bin/rulepush", "health"]
    assert url_of_command_line(["/opt/rulepush/bin/rulepush", *only["args"]]) == "http://127.0.0.1:9095"
    assert "memory" in only["resources"]["limits"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["mountPath"]: m for m in only["volumeMounts"]}
    assert {m["name"] for m in mounts.values()} == set(volumes)
    assert not any("subPath" in m for m in mounts.values()), "a file of a subPath never changes"
    (mounted,) = of_kind(variant, "ConfigMap")
    assert volumes[mounts["/etc/rulepush"]["name"]]["configMap"]["name"] == mounted["metadata"]["name"]
    (claim,) = of_kind(variant, "PersistentVolumeClaim")
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    args = parse_arguments(only["args"])
    directory, _, file = args.config_file.rpartition("/")
    assert directory in mounts
    assert file in mounted["data"]
    assert str(args.storage_path) == "/var/lib/rulepush"
    assert str(args.storage_path) in mounts
    assert args.auto_reload_interval == 30_000
    assert args.external_url.startswith("https://")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_service_leads_to_the_pod(variant: str) -> None:
    (deployment,) = of_kind(variant, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}, "the volume can be mounted once"
    assert deployment["spec"]["replicas"] == 1
    (service,) = of_kind(variant, "Service")
    assert service["spec"]["selector"] == labels
    (port,) = service["spec"]["ports"]
    _, only = container(variant)
    assert port["targetPort"] == only["ports"][0]["name"]
    assert only["args"][4] == f"--web.listen-address=0.0.0.0:{only['ports'][0]['containerPort']}"


def test_the_table_of_rights_is_what_each_role_watches() -> None:
    """docs/kubernetes.md: the roles, and what attach_metadata adds."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", page.partition("## Rights")[2].partition("## Roles")[0], re.MULTILINE)
    named = {cell: re.findall(r"`([a-z]+)`", rights) for cell, rights in rows[1:]}
    for role in ("pod", "service", "endpoints", "endpointslice", "ingress", "node"):
        watches = [w.resource.name for w in KubernetesSdConfig(role).watched()]
        assert sorted(named.pop(f"`{role}`")) == sorted(watches), role
    for cell, rights in named.items():
        (key,) = re.findall(r"\{(\w+): true\}", cell)
        attach = AttachMetadata(**{key: True})
        added = {w.resource.name for w in KubernetesSdConfig("pod", attach_metadata=attach).watched()} - {"pods"}
        assert added == set(rights) - {"apps", "batch"}, key
    assert len(named) == 4


RULE_TEST = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{namespace="shop", app="cart", pod="cart-1"}', values: 1x10 stale _x200}
      - {series: 'up{namespace="shop", app="cart", pod="cart-2"}', values: 1x20 stale _x200}
      - {series: 'up{namespace="shop", app="order", pod="order-1"}', values: 0x300}
    alert_rule_test:
      - {eval_time: 15m, alertname: ApplicationWithoutPods}
      - {eval_time: 25m, alertname: ApplicationWithoutPods}
      - eval_time: 30m
        alertname: ApplicationWithoutPods
        exp_alerts:
          - exp_labels: {namespace: shop, app: cart, severity: critical}
            exp_annotations:
              summary: cart in shop has no pod that can be scraped
              description: It had one within the last hour. Is it scaled to 0, or can no pod be started?
      - {eval_time: 2h, alertname: ApplicationWithoutPods}
"""


def test_an_application_without_pods_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.yml").write_text((KUBERNETES / "base" / "rules.yml").read_text(encoding="utf-8"))
    (tmp_path / "test.yml").write_text(RULE_TEST)
    assert main(["test", "rules", str(tmp_path / "test.yml")]) == 0, capfd.readouterr()


def pod(
    namespace: str,
    name: str,
    ip: str,
    ports: list[dict[str, Any]],
    annotations: dict[str, str] | None = None,
    phase: str = "Running",
) -> dict[str, Any]:
    """As the API gives it."""
    app = name.partition("-")[0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": name,
            "labels": {"app.kubernetes.io/name": app},
            "annotations": annotations or {},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": app, "image": f"{app}:1", "ports": ports}]},
        "status": {"phase": phase, "podIP": ip, "hostIP": "192.168.0.1", "conditions": []},
    }


def port(number: int, name: str = "", protocol: str = "TCP") -> dict[str, Any]:
    return {"containerPort": number, "protocol": protocol, **({"name": name} if name else {})}


SCRAPE = "prometheus.io/scrape"
# What docs/kubernetes.md promises, pod by pod.
PODS = [
    pod("shop", "cart-1", "10.0.0.1", [port(8080)], {SCRAPE: "true"}),
    pod(
        "shop", "two-1", "10.0.0.2", [port(8080, "http"), port(9102, "extra"), port(53, "dns", "UDP")], {SCRAPE: "true"}
    ),
    pod(
        "shop",
        "order-1",
        "10.0.0.3",
        [port(8080, "http"), port(9102, "extra")],
        {SCRAPE: "true", "prometheus.io/port": "9102", "prometheus.io/path": "/m", "prometheus.io/scheme": "https"},
    ),
    pod("shop", "six-1", "fd00::6", [port(8080, "http")], {SCRAPE: "true", "prometheus.io/port": "9102"}),
    pod("shop", "bare-1", "10.0.0.4", [], {SCRAPE: "true", "prometheus.io/port": "9102"}),
    pod("shop", "named-1", "10.0.0.5", [port(80, "http"), port(9101, "metrics"), port(9102, "db-metrics")]),
    pod("shop", "silent-1", "10.0.0.6", [port(9101, "metrics")], {SCRAPE: "false"}),
    pod("shop", "plain-1", "10.0.0.7", [port(8080, "http")]),
    pod("shop", "done-1", "10.0.0.8", [port(8080)], {SCRAPE: "true"}, "Succeeded"),
    pod("shop", "new-1", "", [port(8080)], {SCRAPE: "true"}, "Pending"),
    pod("boot", "pay-1", "10.0.1.1", [port(8080, "http"), port(8081, "management")]),
    pod(
        "boot",
        "user-1",
        "10.0.1.2",
        [port(8080, "http")],
        {SCRAPE: "true", "prometheus.io/port": "8080", "prometheus.io/path": "/actuator/prometheus"},
    ),
    pod("other", "cart-9", "10.0.2.1", [port(8080)], {SCRAPE: "true"}),
    pod("other", "pay-9", "10.0.2.2", [port(8081, "management")]),
]
EXPECTED = {
    "pods": [
        "http://10.0.0.1:8080/metrics",
        "http://10.0.0.2:8080/metrics",
        "http://10.0.0.2:9102/metrics",
        "https://10.0.0.3:9102/m",
        "http://[fd00::6]:9102/metrics",
        "http://10.0.0.4:9102/metrics",
        "http://10.0.1.2:8080/actuator/prometheus",
    ],
    "pod-ports": ["http://10.0.0.5:9101/metrics", "http://10.0.0.5:9102/metrics"],
    "spring-boot": ["http://10.0.1.1:8081/actuator/prometheus"],
}
ELSEWHERE = {"pods": ["http://10.0.2.1:8080/metrics"], "pod-ports": [], "spring-boot": []}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_finds_what_the_page_says(variant: str, tmp_path: Path) -> None:
    """Where each role's namespaces are all that may be read, as the cluster would have it."""

    async def go(server: KubernetesServer) -> None:
        file = config_file(variant, tmp_path)
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("- role: pod", f"- role: pod\n        api_server: {server.url}"))
        env = Environment(SystemClock(), DiscoveryReporter(), "test")
        for job in load_config(str(file)).scrape_configs:
            if job.job_name == "rulepush":
                continue
            (sd,) = job.sd_configs
            found = await first_list(sd, env, 10)
            assert not found.fault
            built = job_of(job)
            targets, _ = build_targets([t for g in found.groups for t in g.merged()], built.defaults, built.relabel)
            expected = EXPECTED[job.job_name] + (ELSEWHERE[job.job_name] if variant == "cluster" else [])
            assert sorted(t.url for t in targets) == sorted(expected), job.job_name
            for target in targets:
                labels = target.labels.as_dict()
                name = labels["pod"]
                assert labels["app"] == name.partition("-")[0]
                assert labels["instance"] == f"{name}:{re.findall(r':([0-9]+)/', target.url)[-1]}"
                assert labels.keys() - {"container"} == {"app", "instance", "job", "namespace", "pod"}

    rights = allowed(variant, ("rulepush", "rulepush"))
    with KubernetesServer(*PODS) as server:
        server.refuse = only(rights)
        asyncio.run(go(server))
        assert {right_of(request) for request in server.requests} == rights, "each is used, and no other"


def right_of(request: ApiRequest) -> Right:
    return "", request.resource, request.verb, request.namespace


def only(rights: set[Right]) -> Callable[[ApiRequest], ApiReply | None]:
    """RBAC with these rights and no others."""
    return lambda request: None if right_of(request) in rights else forbidden(request)


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_can_do_without_none_of_its_rights(variant: str, tmp_path: Path) -> None:
    rights = allowed(variant, ("rulepush", "rulepush"))

    async def fault(server: KubernetesServer) -> str:
        file = config_file(variant, tmp_path)
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("- role: pod", f"- role: pod\n        api_server: {server.url}"))
        (sd,) = load_config(str(file)).scrape_configs[0].sd_configs
        return (await first_list(sd, Environment(SystemClock(), DiscoveryReporter(), "test"), 3)).fault

    for right in rights:
        with KubernetesServer(*PODS) as server:
            server.refuse = only(rights - {right})
            said = asyncio.run(fault(server))
        where = f'namespace "{right[3]}"' if right[3] else "all namespaces"
        assert f"forbidden: pods in {where}" in said, right
        assert "needs list and watch for pods" in said
