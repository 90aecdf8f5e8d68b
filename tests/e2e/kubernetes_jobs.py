"""A cluster with something of everything, and scrape jobs over it as people write them.

The relabelling is in the style of Prometheus' documentation/examples/prometheus-kubernetes.yml, of the helm chart
prometheus-community/prometheus, and of what prometheus-operator generates for ServiceMonitors and PodMonitors.
"""

from __future__ import annotations

from typing import Any, Final

from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    ingress,
    namespace,
    node,
    owner,
    pod,
    service,
    subset,
    target_ref,
)

Json = dict[str, Any]

SCRAPED: Final = {"prometheus.io/scrape": "true", "prometheus.io/port": "9102", "prometheus.io/path": "/stats"}


def web_pod(number: int, **changes: Any) -> Json:
    """A pod of the deployment `web`."""
    made: dict[str, Any] = {
        "ip": f"10.1.0.{10 + number}",
        "node": f"node-{1 + number % 2}",
        "labels": {"app": "web", "app.kubernetes.io/version": "1"},
        "annotations": SCRAPED,
        "owners": [owner("ReplicaSet", "web-5d8f")],
        "containers": [
            container("app", "shop/web:7", [("http", 8080), ("metrics", 9102)]),
            container("agent", "shop/agent:1", [("", 5000, "UDP")]),
            container("helper", "shop/helper:1"),
        ],
        "init_containers": [
            container("setup", "shop/setup:1"),
            container("proxy", "shop/proxy:2", [("admin", 15000)]) | {"restartPolicy": "Always"},
        ],
    }
    return pod(f"web-5d8f-{number}", "shop", **made | changes)


def web_endpoints(ready: list[int], not_ready: list[int], version: str = "1") -> list[Json]:
    """Endpoints and EndpointSlice of the service `web`, as its controllers write them."""

    def address(number: int) -> Json:
        ref = target_ref("Pod", f"web-5d8f-{number}", "shop")
        return endpoint_address(f"10.1.0.{10 + number}", node=f"node-{1 + number % 2}", target=ref)

    def of_slice(number: int, is_ready: bool) -> Json:
        ref = target_ref("Pod", f"web-5d8f-{number}", "shop")
        return endpoint(
            f"10.1.0.{10 + number}",
            ready=is_ready,
            serving=is_ready,
            terminating=False,
            node=f"node-{1 + number % 2}",
            zone=f"eu-{1 + number % 2}",
            target=ref,
        )

    annotations = {"endpoints.kubernetes.io/last-change-trigger-time": version}
    http = [("http", 8080)]
    return [
        endpoints(
            "web",
            "shop",
            subsets=[subset([address(n) for n in ready], http, [address(n) for n in not_ready])],
            labels={"app": "web"},
            annotations=annotations,
        ),
        endpointslice(
            "web-x7k2p",
            "shop",
            service="web",
            endpoints=[of_slice(n, True) for n in ready] + [of_slice(n, False) for n in not_ready],
            ports=[("http", 8080, "TCP", "http")],
            labels={"app": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            annotations=annotations,
        ),
    ]


def web_service(**changes: Any) -> Json:
    made: dict[str, Any] = {"labels": {"app": "web"}, "annotations": SCRAPED}
    return service("web", "shop", **made | changes)


def kubelet_endpoints() -> list[Json]:
    """Endpoints that prometheus-operator writes for the kubelets: their addresses are nodes."""
    ports = [("https-metrics", 10250), ("http-metrics", 10255)]
    refs = [(n, f"192.168.0.{n}", target_ref("Node", f"node-{n}", "")) for n in (1, 2)]
    labels = {"app.kubernetes.io/name": "kubelet", "k8s-app": "kubelet"}
    return [
        endpoints(
            "kubelet",
            "kube-system",
            subsets=[subset([endpoint_address(ip, target=ref) for _, ip, ref in refs], ports)],
            labels=labels,
        ),
        endpointslice(
            "kubelet-a1",
            "kube-system",
            service="kubelet",
            endpoints=[endpoint(ip, target=ref) for _, ip, ref in refs],
            ports=ports,
            labels=labels,
        ),
        service("kubelet", "kube-system", ports=ports, cluster_ip="None", labels=labels),
    ]


def cluster() -> list[Json]:
    """Its objects."""
    api = endpoint_address("192.168.0.100")
    dual = service("dual", "shop", cluster_ip="10.96.0.30")
    dual["spec"] |= {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}
    balanced = service("balanced", "shop", kind="LoadBalancer", load_balancer_ip="198.51.100.1")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"ip": "203.0.113.8"}]}}
    asked = service("asked", "shop", kind="LoadBalancer", load_balancer_ip="198.51.100.2")
    classed = ingress(
        "front",
        "shop",
        hosts={"a.example": ["/", "/x"], "b.example": [], "c.b.example": ["/y"]},
        tls_hosts=["a.example", "*.b.example"],
        labels={"app": "web"},
        annotations=SCRAPED,
    )
    classed["spec"]["ingressClassName"] = "nginx"
    return [
        namespace("shop", labels={"team": "a"}),
        namespace("kube-system"),
        namespace("default"),
        node(
            "node-1",
            addresses=[("InternalIP", "192.168.0.1"), ("Hostname", "node-1.lan")],
            provider_id="aws:///eu/i-1",
            labels={"kubernetes.io/arch": "amd64", "pool": "blue"},
            annotations={"rack": "7"},
        ),
        node("node-2", addresses=[("ExternalIP", "fd00::2"), ("InternalIP", "192.168.0.2")], labels={"pool": "green"}),
        web_pod(1),
        web_pod(2, ready=False),
        pod("pending", "shop", ip="", node="", phase="Pending", labels={"app": "web"}),
        pod("done", "shop", ip="10.1.0.40", phase="Succeeded", owners=[owner("Job", "nightly-1", api="batch/v1")]),
        pod("six", "shop", ip="fd00:1::5", labels={"app": "six", "empty": ""}),
        pod("coredns", "kube-system", ip="10.1.0.50", containers=[container("dns", ports=[("dns", 53, "UDP")])]),
        *web_endpoints([1], [2]),
        web_service(),
        *kubelet_endpoints(),
        endpoints("kubernetes", "default", subsets=[subset([api], [("https", 6443)])]),
        endpointslice(
            "kubernetes", service="kubernetes", endpoints=[endpoint("192.168.0.100")], ports=[("https", 6443)]
        ),
        service("kubernetes", ports=[("https", 443)], cluster_ip="10.96.0.1"),
        # The protocol of the service's port is not that of the container's.
        endpoints(
            "dns",
            "kube-system",
            subsets=[
                subset(
                    [
                        endpoint_address(
                            "10.1.0.50", hostname="dns-0", target=target_ref("Pod", "coredns", "kube-system")
                        )
                    ],
                    [("dns-tcp", 53, "TCP")],
                )
            ],
        ),
        endpointslice(
            "dns-1",
            "kube-system",
            service="dns",
            endpoints=[endpoint("10.1.0.50", hostname="dns-0", target=target_ref("Pod", "coredns", "kube-system"))],
            ports=[("dns-tcp", 53, "TCP")],
        ),
        endpointslice(
            "six-1",
            "shop",
            service="six",
            address_type="IPv6",
            endpoints=[endpoint("fd00:1::5", target=target_ref("Pod", "six", "shop"))],
        ),
        endpointslice(
            "outside",
            "shop",
            service="outside",
            address_type="FQDN",
            endpoints=[endpoint("db.example", topology={"zone/x": "z"})],
        ),
        endpointslice("dual-4", "shop", service="dual", endpoints=[endpoint("10.1.0.60")]),
        endpointslice("dual-6", "shop", service="dual", address_type="IPv6", endpoints=[endpoint("fd00:1::60")]),
        dual,
        balanced,
        asked,
        service("outside", "shop", kind="ExternalName", external_name="db.example", ports=[("db", 5432)]),
        service("headless", "shop", cluster_ip="None", ports=[("", 80), ("u", 81, "UDP")]),
        classed,
        ingress("bare", "default", hosts={"d.example": [""]}),
    ]


def rule(source: str = "", **settings: Any) -> Json:
    """A relabelling rule; `source` are labels without `__meta_kubernetes_`, with commas between them."""
    names = [name if name.startswith("_") else f"__meta_kubernetes_{name}" for name in source.split(",") if name]
    return {**({"source_labels": names} if names else {}), **settings}


# prometheus-kubernetes.yml and the chart: annotations choose the targets and say how they are scraped.
def by_annotation(kind: str) -> list[Json]:
    annotation = f"{kind}_annotation_prometheus_io"
    return [
        rule(f"{annotation}_scrape", action="keep", regex=True),
        rule(f"{annotation}_scheme", action="replace", target_label="__scheme__", regex="(https?)"),
        rule(f"{annotation}_path", action="replace", target_label="__metrics_path__", regex="(.+)"),
        rule(
            f"__address__,{annotation}_port",
            action="replace",
            target_label="__address__",
            regex=r"([^:]+)(?::\d+)?;(\d+)",
            replacement="$1:$2",
        ),
        {"action": "labelmap", "regex": f"__meta_kubernetes_{kind}_label_(.+)"},
        rule("namespace", action="replace", target_label="namespace"),
        rule(f"{kind}_name", action="replace", target_label=kind),
        rule("pod_phase", regex="Pending|Succeeded|Failed|Completed", action="drop"),
        rule("pod_node_name", action="replace", target_label="node"),
    ]


def blackbox(kind: str, source: str, regex: str, replacement: str) -> list[Json]:
    return [
        rule(source, regex=regex, replacement=replacement, target_label="__param_target"),
        {"target_label": "__address__", "replacement": "blackbox.example:9115"},
        rule("__param_target", target_label="instance"),
        {"action": "labelmap", "regex": f"__meta_kubernetes_{kind}_label_(.+)"},
        rule("namespace", target_label="namespace"),
        rule(f"{kind}_name", target_label=kind),
    ]


# prometheus-operator, promcfg.go: a ServiceMonitor that selects app=web and the port http.
def service_monitor(kind: str) -> list[Json]:
    address = f"{kind}_address_target"
    return [
        {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
        rule("service_label_app,service_labelpresent_app", action="keep", regex="(web);true"),
        rule(f"{kind}_port_name", action="keep", regex="http"),
        rule(
            f"{address}_kind,{address}_name", separator=";", regex="Node;(.*)", replacement="${1}", target_label="node"
        ),
        rule(f"{address}_kind,{address}_name", separator=";", regex="Pod;(.*)", replacement="${1}", target_label="pod"),
        rule("namespace", target_label="namespace"),
        rule("service_name", target_label="service"),
        rule("pod_name", target_label="pod"),
        rule("pod_container_name", target_label="container"),
        rule("pod_phase", action="drop", regex="(Failed|Succeeded)"),
        rule("service_name", target_label="job", replacement="${1}"),
        rule("service_label_app", target_label="job", regex="(.+)", replacement="${1}"),
        {"target_label": "endpoint", "replacement": "http"},
        {"source_labels": ["__address__", "__tmp_hash"], "target_label": "__tmp_hash", "regex": "(.+);"},
        {"source_labels": ["__tmp_hash"], "target_label": "__tmp_hash", "modulus": 2, "action": "hashmod"},
        {"source_labels": ["__tmp_hash"], "regex": "0|1", "action": "keep"},
    ]


POD_MONITOR: Final = [
    rule("pod_phase", action="drop", regex="(Failed|Succeeded)"),
    rule("pod_label_app", action="keep", regex="web|six"),
    rule("pod_container_port_name", action="keep", regex="http|metrics"),
    rule("pod_container_init", action="drop", regex="true"),
    rule("namespace", target_label="namespace"),
    rule("pod_container_name", target_label="container"),
    rule("pod_name", target_label="pod"),
    rule("pod_controller_kind,pod_controller_name", regex="ReplicaSet;(.*)-[^-]+", target_label="workload"),
    {"target_label": "job", "replacement": "shop/web"},
]

# Every label is a label of the target. Prometheus and rulepush show of targets with the same labels another one.
EVERYTHING: Final[Json] = {"relabel_configs": [{"action": "labelmap", "regex": "__meta_kubernetes_(.+)"}]}
ROLES: Final = ("pod", "endpoints", "endpointslice", "service", "node", "ingress")


def jobs() -> dict[str, tuple[Json, Json]]:
    """By name: the discovery, but for its server, and the other settings of the job."""
    found: dict[str, tuple[Json, Json]] = {role: ({"role": role}, EVERYTHING) for role in ROLES}
    attach = {"attach_metadata": {"node": True}}
    found |= {f"{role}-nodes": ({"role": role, **attach}, EVERYTHING) for role in ROLES}
    found |= {f"{role}-in-shop": ({"role": role, "namespaces": {"names": ["shop"]}}, EVERYTHING) for role in ROLES}
    two = {"namespaces": {"names": ["kube-system", "default", "nowhere"]}}
    found |= {f"{role}-in-two": ({"role": role, **two}, EVERYTHING) for role in ("endpoints", "endpointslice")}
    select = {
        "pods": ("pod", [{"role": "pod", "label": "app in (web, six)", "field": "status.phase=Running"}]),
        "pods-of-node": ("pod", [{"role": "pod", "field": "spec.nodeName=node-2"}]),
        "services": ("service", [{"role": "service", "label": "app=web"}]),
        "blue-nodes": ("node", [{"role": "node", "label": "pool!=green"}]),
        "ingresses": ("ingress", [{"role": "ingress", "label": "!app", "field": "metadata.name=bare"}]),
        "slices": (
            "endpointslice",
            [
                {"role": "endpointslice", "label": "app"},
                {"role": "service", "label": "app=none"},
                {"role": "pod", "field": "spec.nodeName=node-1"},
            ],
        ),
        "endpoints": (
            "endpoints",
            [{"role": "endpoints", "field": "metadata.name=web"}, {"role": "pod", "label": "x"}],
        ),
    }
    found |= {f"select-{name}": ({"role": role, "selectors": s}, EVERYTHING) for name, (role, s) in select.items()}
    found |= {
        "kubernetes-apiservers": (
            {"role": "endpoints"},
            {
                "scheme": "https",
                "relabel_configs": [
                    rule("namespace,service_name,endpoint_port_name", action="keep", regex="default;kubernetes;https")
                ],
            },
        ),
        "kubernetes-nodes": (
            {"role": "node"},
            {
                "scheme": "https",
                "relabel_configs": [
                    {"action": "labelmap", "regex": "__meta_kubernetes_node_label_(.+)"},
                    {"target_label": "__address__", "replacement": "kubernetes.default.svc:443"},
                    rule(
                        "node_name",
                        regex="(.+)",
                        target_label="__metrics_path__",
                        replacement="/api/v1/nodes/$1/proxy/metrics/cadvisor",
                    ),
                ],
            },
        ),
        "kubernetes-service-endpoints": ({"role": "endpoints"}, {"relabel_configs": by_annotation("service")}),
        "kubernetes-pods": ({"role": "pod"}, {"relabel_configs": by_annotation("pod")}),
        "kubernetes-services": (
            {"role": "service"},
            {
                "metrics_path": "/probe",
                "params": {"module": ["http_2xx"]},
                "relabel_configs": blackbox("service", "__address__", "(.*)", "$1"),
            },
        ),
        "kubernetes-ingresses": (
            {"role": "ingress"},
            {
                "metrics_path": "/probe",
                "params": {"module": ["http_2xx"]},
                "relabel_configs": blackbox(
                    "ingress", "ingress_scheme,__address__,ingress_path", "(.+);(.+);(.+)", "${1}://${2}${3}"
                ),
            },
        ),
        "serviceMonitor/shop/web/0": ({"role": "endpoints"}, {"relabel_configs": service_monitor("endpoint")}),
        "serviceMonitor/shop/web/1": ({"role": "endpointslice"}, {"relabel_configs": service_monitor("endpointslice")}),
        "podMonitor/shop/web/0": ({"role": "pod"}, {"relabel_configs": POD_MONITOR}),
    }
    return found
