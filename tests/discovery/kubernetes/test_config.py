"""kubernetes_sd_configs: every key, Prometheus' checks in its words, and what a role watches.

The cases are those of Prometheus' config/testdata/kubernetes_*.yml, written anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.config import load_config
from rulepush.discovery.kubernetes.config import KubernetesSdConfig, ObjectSelector
from rulepush.discovery.kubernetes.labels import AttachMetadata
from rulepush.errors import ConfigError
from rulepush.http_client.config import BasicAuth, TLSConfig
from rulepush.model.secret import Secret
from tests.discovery.driving import read_sd


def read(text: str) -> tuple[KubernetesSdConfig, list[str]]:
    config, problems = read_sd("kubernetes_sd_configs", text)
    assert isinstance(config, KubernetesSdConfig)
    return config, problems


def problem(text: str) -> str:
    _, problems = read(text)
    (found,) = problems
    return found.removeprefix("kubernetes_sd_configs: ")


def watched(text: str) -> list[tuple[str, str, str]]:
    config, problems = read(text)
    assert not problems
    return [(w.resource.name, w.label_selector, w.field_selector) for w in config.watched()]


def test_a_role_alone_is_enough() -> None:
    assert read("{role: pod}") == (KubernetesSdConfig("pod"), [])


def test_every_key_is_read() -> None:
    config, problems = read(
        """{role: endpoints, api_server: 'https://k8s:6443', namespaces: {names: [a, b, a]},
        selectors: [{role: pod, label: 'app in (x, y)', field: 'status.phase=Running'}, {role: service}],
        attach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true},
        basic_auth: {username: u}, tls_config: {ca_file: ca.pem}}"""
    )
    assert problems == []
    assert config.role == "endpoints"
    assert config.api_server == Secret("https://k8s:6443")
    assert (config.namespaces, config.own_namespace) == (("a", "b"), False)
    assert config.selectors == (
        ObjectSelector("pod", "app in (x, y)", "status.phase=Running"),
        ObjectSelector("service"),
    )
    assert config.attach_metadata == AttachMetadata(True, True, True, True, True)
    assert config.http_client.basic_auth == BasicAuth("u")
    assert config.http_client.tls == TLSConfig(ca_file="/ca.pem")


def test_the_own_namespace_goes_with_named_ones() -> None:
    config, problems = read("{role: pod, namespaces: {own_namespace: true, names: [a]}}")
    assert (problems, config.namespaces, config.own_namespace) == ([], ("a",), True)


def test_a_kubeconfig_is_resolved_against_the_file() -> None:
    config, problems = read("{role: pod, kubeconfig_file: kube/config}")
    assert (problems, config.kubeconfig_file) == ([], "/kube/config")


def test_a_server_without_a_scheme_is_spoken_to_over_http() -> None:
    """As client-go's DefaultServerURL does."""
    assert read("{role: pod, api_server: 'k8s:443'}")[0].api_server == Secret("http://k8s:443")
    assert read("{role: pod, api_server: '10.0.0.1/p:1'}")[0].api_server == Secret("http://10.0.0.1/p:1")


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("10.0.0.1:6443", "10.0.0.1:6443"),
        ("[::1]:6443/x", "[::1]:6443/x"),
        ("my_host:6443", "my_host:6443"),
        ("1:hunter2@k8s:6443", "<secret>"),
    ],
)
def test_an_address_that_go_takes_for_a_path_is_refused(server: str, shown: str) -> None:
    assert problem(f"{{role: pod, api_server: '{server}'}}") == (
        f'kubernetes_sd_configs.api_server: parse "{shown}": first path segment in URL cannot contain colon; write '
        "https:// (or http://) before the host"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)"),
        (
            "{role: pods}",
            'unknown Kubernetes SD role "pods", expected one of pod, service, endpointslice, endpoints, node, ingress '
            "(did you mean 'pod'?)",
        ),
        (
            "{role: Endpoints}",
            'unknown Kubernetes SD role "Endpoints", expected one of pod, service, endpointslice, endpoints, node, '
            "ingress (did you mean 'endpoints'?)",
        ),
        (
            "{role: pod, api_server: 'https://k', kubeconfig_file: /k}",
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        ),
        (
            "{role: pod, kubeconfig_file: /k, basic_auth: {username: a}}",
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        ),
        (
            "{role: pod, authorization: {credentials: x}}",
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            "{role: pod, follow_redirects: false}",
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            "{role: pod, api_server: 'https://k', namespaces: {own_namespace: true}}",
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            "{role: pod, kubeconfig_file: /k, namespaces: {own_namespace: true}}",
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            "{role: pod, api_server: 'https://k', bearer_token: a, basic_auth: {}}",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        ("{role: pod, namespaces: {foo: bar}}", "kubernetes_sd_configs.namespaces: unknown key 'foo'"),
        (
            "{role: pod, attach_metadata: {nodes: true}}",
            "kubernetes_sd_configs.attach_metadata: unknown key 'nodes' (did you mean 'node'?)",
        ),
        ("{role: pod, namespace: {}}", "unknown key 'namespace' (did you mean 'namespaces'?)"),
        (
            "{role: pod, selectors: [{role: pod}, {role: pod}]}",
            "kubernetes_sd_configs.selectors[1]: duplicated selector role: pod",
        ),
        (
            "{role: endpoints, selectors: [{role: node}]}",
            "kubernetes_sd_configs.selectors[0]: endpoints role supports only pod, service, endpoints selectors",
        ),
        (
            "{role: node, selectors: [{label: a}]}",
            "kubernetes_sd_configs.selectors[0]: node role supports only node selectors",
        ),
        (
            "{role: endpoints, selectors: [{role: pod, field: 'metadata.status-Running'}]}",
            "kubernetes_sd_configs.selectors[0]: invalid selector: 'metadata.status-Running'; "
            "can't understand 'metadata.status-Running'",
        ),
        (
            "{role: pod, selectors: [{role: pod, label: 'a in b'}]}",
            "kubernetes_sd_configs.selectors[0]: invalid label selector 'a in b': in needs values in parentheses, "
            "such as 'in (a, b)'",
        ),
        (
            "{role: pod, selectors: [{role: Pod}]}",
            'kubernetes_sd_configs.selectors[0]: unknown Kubernetes SD role "Pod", expected one of pod, service, '
            "endpointslice, endpoints, node, ingress (did you mean 'pod'?)",
        ),
        (
            "{role: pod, api_server: ''}",
            "kubernetes_sd_configs.api_server: expected a URL that starts with http:// or https://, got ''",
        ),
    ],
)
def test_a_fault_is_told_in_prometheus_words(text: str, expected: str) -> None:
    assert problem(text) == expected


def test_a_fault_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text(
        "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs:\n  - role: pod\n  - role: service\n"
        "    selectors:\n    - role: service\n    - label: app=x\n      role: pod\n"
    )
    with pytest.raises(ConfigError) as raised:
        load_config(str(file))
    text = "scrape_configs[0].kubernetes_sd_configs[1].selectors[1]: service role supports only service selectors"
    assert str(raised.value) == f"{file}:9: {text}"


def test_a_password_in_the_servers_url_is_masked() -> None:
    config, _ = read("{role: pod, api_server: 'https://u:hunter2@k'}")
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "!a",
        "a=b,c==d,e!=f",
        "x/y in (a, b),z notin (c)",
        "a in ()",
        "a=",
        "a>3",
        "in in (in)",
        "app.kubernetes.io/name=web",
    ],
)
def test_label_selectors_that_kubernetes_understands(text: str) -> None:
    assert read(f"{{role: pod, selectors: [{{role: pod, label: '{text}'}}]}}")[1] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "found 'b', expected one of in, notin, =, ==, !=, <, >"),
        ("a,", "found nothing after the last ','"),
        ("a=b c", "found 'c', expected ','"),
        ("a in (b", "')' is missing"),
        ("a in (b c)", "found 'c', expected ',' or ')'"),
        ("a=-b", "'-b' is not a label's value"),
        ("-a", "'-a' is not a label's name"),
        ("X/y", "'X/y' is not a label's name: what stands before the '/' must be a DNS name"),
        ("a>x", "for '>' the value must be a whole number that fits 64 bits, got 'x'"),
        (
            "a<9223372036854775808",
            "for '<' the value must be a whole number that fits 64 bits, got '9223372036854775808'",
        ),
        ("=b", "found '=', expected a label's name"),
    ],
)
def test_label_selectors_that_it_does_not(text: str, expected: str) -> None:
    found = problem(f"{{role: pod, selectors: [{{role: pod, label: '{text}'}}]}}")
    assert found == f"kubernetes_sd_configs.selectors[0]: invalid label selector {text!r}: {expected}"


def test_a_role_watches_what_its_labels_need() -> None:
    assert watched("{role: pod}") == [("pods", "", "")]
    assert watched("{role: endpoints}") == [("endpoints", "", ""), ("services", "", ""), ("pods", "", "")]
    slices = "{role: endpointslice, selectors: [{role: service, label: a=b}, {role: pod, field: spec.nodeName=n}]}"
    assert watched(slices) == [("endpointslices", "", ""), ("services", "a=b", ""), ("pods", "", "spec.nodeName=n")]
    assert watched("{role: node, selectors: [{role: node, label: x}]}") == [("nodes", "x", "")]
    assert watched("{role: service}") == [("services", "", "")]
    assert watched("{role: ingress}") == [("ingresses", "", "")]


def test_attached_metadata_is_watched_where_the_role_has_it() -> None:
    everything = "attach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}"
    around = [("nodes", "", ""), ("replicasets", "", ""), ("jobs", "", ""), ("namespaces", "", "")]
    assert watched(f"{{role: pod, {everything}}}") == [("pods", "", ""), *around]
    assert watched(f"{{role: endpoints, {everything}}}")[3:] == around
    assert watched(f"{{role: endpointslice, {everything}}}")[3:] == around
    assert watched(f"{{role: service, {everything}}}") == [("services", "", ""), ("namespaces", "", "")]
    assert watched(f"{{role: ingress, {everything}}}") == [("ingresses", "", ""), ("namespaces", "", "")]
    assert watched(f"{{role: node, {everything}}}") == [("nodes", "", "")]


def test_a_job_name_needs_no_jobs() -> None:
    """The pod itself names its Job; only the CronJob behind it has to be looked up."""
    assert watched("{role: pod, attach_metadata: {job: true}}") == [("pods", "", "")]


def test_the_selector_of_nodes_is_for_the_nodes_that_are_attached() -> None:
    text = "{role: pod, selectors: [{role: node, label: x}], attach_metadata: {node: true}}"
    assert watched(text) == [("pods", "", ""), ("nodes", "x", "")]
