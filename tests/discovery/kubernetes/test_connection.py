"""Where the API server is: in the cluster, by kubeconfig, and with which credentials."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.discovery.kubernetes.connection import InClusterConnection
from rulepush.discovery.kubernetes.kubeconfig import KubeconfigConnection, read_kubeconfig
from rulepush.discovery.kubernetes.refusals import unreached
from rulepush.errors import DiscoveryError
from rulepush.http_client.config import HTTPHeader
from tests.discovery.kubernetes.cluster import config_of
from tests.discovery.kubernetes.following import following, until
from tests.http_client.certificates import Authority
from tests.kubernetes_objects import pod
from tests.kubernetes_server import KubernetesServer

CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def account(directory: Path, **files: str) -> InClusterConnection:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return InClusterConnection(str(directory))


class ClusterOverTls:
    """The fake as a pod finds it: by the environment, over TLS with the cluster's own authority, with a token."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, *objects: dict[str, Any]):
        authority = Authority()
        authority.issue(directory / "s.pem", directory / "s.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "s.pem", directory / "s.key")
        self.account = account(directory / "sa", token="old", ca_crt=authority.pem)
        self.api = KubernetesServer(*objects, tls=context)
        self.api.tokens = {"old": "system:serviceaccount:mon:rp"}
        host, _, port = self.api.address.rpartition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)

    def __enter__(self) -> ClusterOverTls:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()


def test_a_pod_has_its_address_in_the_environment_and_its_credentials_in_files(tmp_path: Path) -> None:
    server = account(tmp_path / "sa", token="t", ca_crt="c").server_from(CLUSTER)
    assert server.url.reveal() == "https://10.96.0.1:443"
    settings = server.http_client
    assert settings.authorization is not None
    assert settings.authorization.credentials_file == str(tmp_path / "sa" / "token")
    assert settings.tls.ca_file == str(tmp_path / "sa" / "ca.crt")
    assert settings.proxy.from_environment
    six = account(tmp_path / "sa").server_from({**CLUSTER, "KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert six.url.reveal() == "https://[fd00::1]:443"


def test_outside_of_a_cluster_the_words_are_those_of_client_go(tmp_path: Path) -> None:
    text = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined: outside of a cluster set api_server"
    with pytest.raises(DiscoveryError, match=text):
        account(tmp_path / "sa", token="t").server_from({})
    text = r"none/token is missing \(automountServiceAccountToken is false\?\)"
    with pytest.raises(DiscoveryError, match=text):
        account(tmp_path / "none", ca_crt="c").server_from(CLUSTER)


def test_the_own_namespace_is_in_a_file(tmp_path: Path) -> None:
    assert account(tmp_path / "sa", namespace="shop\n").own_namespace() == "shop"
    with pytest.raises(DiscoveryError, match=r"could not read own namespace name \(empty file\)"):
        account(tmp_path / "sa", namespace="").own_namespace()
    with pytest.raises(DiscoveryError, match=r"could not determine the pod's namespace: .*: No such file"):
        account(tmp_path / "empty").own_namespace()


def test_own_namespace_is_watched_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ClusterOverTls(tmp_path, monkeypatch, pod("a", "mine"), pod("b", "shop"), pod("c", "other")) as cluster:

        async def test() -> None:
            settings = "role: pod, namespaces: {own_namespace: true, names: [shop]}"
            async with following(settings, connection=cluster.account) as seen:
                assert "could not determine the pod's namespace" in seen.error()
                (tmp_path / "sa" / "namespace").write_text("mine")
                await until("both", lambda: seen.names() == ["pod/mine/a", "pod/shop/b"], seen.clock)
                assert seen.error() == ""

        asyncio.run(test())


def test_a_token_that_is_replaced_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ClusterOverTls(tmp_path, monkeypatch, pod("a")) as cluster:
        api = cluster.api

        async def test() -> None:
            async with following("role: pod", connection=cluster.account) as seen:
                await until("the list", lambda: seen.names() == ["pod/default/a"])
                await until("the watch", lambda: api.watches == 1)
                api.tokens = {"new": "rp"}
                api.cut_streams()
                await until("a refusal", lambda: "does not accept the credentials" in seen.error(), seen.clock)
                (tmp_path / "sa" / "token").write_text("new")
                await until("a watch with the new token", lambda: api.watches == 1, seen.clock)
                await until("its answer", lambda: seen.error() == "")
                assert len(api.asked("list", "pods")) == 1

        asyncio.run(test())


def test_another_authority_than_the_clusters_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ClusterOverTls(tmp_path, monkeypatch, pod("a")) as cluster:
        Authority("another").write(tmp_path / "sa" / "ca.crt")

        async def test() -> None:
            async with following("role: pod", connection=cluster.account) as seen:
                await until("the failure", lambda: "tls: failed to verify certificate" in seen.error())
                assert "set ca_file in tls_config to the cluster's authority" in seen.error()
                assert cluster.api.requests == []

        asyncio.run(test())


@pytest.mark.parametrize(
    ("detail", "advice"),
    [
        ("tls: failed to verify certificate: certificate has expired", "kubeadm certs renew"),
        ("tls: failed to verify certificate: self-signed certificate in certificate chain", "set ca_file in"),
        ("tls: wrong version number", "is api_server http://?"),
        ("connection refused", ""),
    ],
)
def test_what_to_do_about_a_connection_is_said_after_what_is_wrong(detail: str, advice: str) -> None:
    said = unreached(detail)
    assert said.startswith(detail)
    assert (advice in said) if advice else (said == detail)


def kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any], **more: Any) -> str:
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://k8s:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
        **more,
    }
    path.write_text(yaml.safe_dump(whole))
    return str(path)


def test_a_kubeconfig_gives_server_tls_and_proxy(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    cluster = {"certificate-authority": "ca.crt", "tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128"}
    user = {"client-certificate-data": data, "client-key-data": data, "client-key": "ignored.key"}
    server = read_kubeconfig(kubeconfig(tmp_path / "config", cluster, user))
    assert server.url.reveal() == "https://k8s:6443"
    tls = server.http_client.tls
    assert tls.ca_file == str(tmp_path / "ca.crt")
    assert (tls.server_name, tls.cert, tls.key.reveal(), tls.key_file) == ("kubernetes", "PEM", "PEM", "")
    assert server.http_client.proxy.url.reveal() == "http://proxy:3128"
    plain = read_kubeconfig(kubeconfig(tmp_path / "config", {"insecure-skip-tls-verify": True}, {})).http_client
    assert plain.tls.insecure_skip_verify
    assert plain.proxy.from_environment


def test_a_kubeconfig_gives_credentials(tmp_path: Path) -> None:
    def client(**user: Any) -> Any:
        return read_kubeconfig(kubeconfig(tmp_path / "config", {}, user)).http_client

    assert client(token="t").authorization.credentials.reveal() == "t"
    assert client(token="t", tokenFile="f").authorization.credentials_file == str(tmp_path / "f")
    basic = client(username="jane", password="p").basic_auth
    assert (basic.username, basic.password.reveal()) == ("jane", "p")
    headers = client(**{"token": "t", "as": "jane", "as-groups": ["a", "b"]}).headers
    assert headers == (HTTPHeader("Impersonate-User", ("jane",)), HTTPHeader("Impersonate-Group", ("a", "b")))
    extra = {"example.com/a%b": ["x", "y"]}  # escaped as by client-go (transport/round_trippers.go, headerKeyEscape)
    headers = client(**{"token": "t", "as": "jane", "as-user-extra": extra}).headers
    assert headers[1] == HTTPHeader("Impersonate-Extra-example.com%2Fa%25b", ("x", "y"))


ODD: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "auth-provider": (
        {},
        {"auth-provider": {"name": "gcp"}},
        {},
        'user u: No Auth Provider found for name "gcp": .* which gives an exec plugin',
    ),
    "nobody": ({}, {"as-groups": ["a"]}, {}, "requesting uid, groups or user-extra without impersonating a user"),
    "extra": ({}, {"as": "jane", "as-user-extra": {"a": "b"}}, {}, "user u: a must be a list of texts"),
    "no context": ({}, {}, {"current-context": ""}, r"current-context is missing \(contexts: here\)"),
    "unknown context": ({}, {}, {"current-context": "hre"}, r'context "hre" does not exist \(contexts: here\)'),
    "unknown user": ({}, {}, {"users": []}, r'user "u" does not exist \(users: none\)'),
    "no server": ({"server": ""}, {}, {}, "no server found for cluster c"),
    "other URL": ({"server": "unix:///x"}, {}, {}, "server must be a http:// or https:// URL"),
    "no base64": ({"certificate-authority-data": "%"}, {}, {}, "certificate-authority-data is no PEM in base64"),
    "key alone": ({}, {"client-key": "k"}, {}, "client-certificate and client-key must be given together"),
    "two ways": ({}, {"token": "t", "username": "j"}, {}, "more than one authentication method"),
    "a number": ({}, {"token": 5}, {}, "user u: token must be a text"),
    "insecure with ca": (
        {"insecure-skip-tls-verify": True, "certificate-authority": "x"},
        {},
        {},
        "specifying a root certificates file with the insecure flag is not allowed",
    ),
    "contexts": ({}, {}, {"contexts": {}}, r'context "here" does not exist \(contexts: none\)'),
    "clusters": ({}, {}, {"clusters": "c"}, "clusters must be a list"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_wrong_in_a_kubeconfig_is_named_with_the_file(tmp_path: Path, name: str) -> None:
    cluster, user, more, text = ODD[name]
    path = kubeconfig(tmp_path / "config", cluster, user, **more)
    with pytest.raises(DiscoveryError, match=text) as raised:
        read_kubeconfig(path)
    assert str(raised.value).startswith(path)


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    with pytest.raises(DiscoveryError, match=r"unable to read .*: No such file"):
        read_kubeconfig(str(path))
    path.write_text("- a\n")
    with pytest.raises(DiscoveryError, match="the file is no kubeconfig: a mapping is expected"):
        read_kubeconfig(str(path))
    path.write_text("a: b\nc: [\n")
    with pytest.raises(DiscoveryError, match=r"config:3: no YAML"):
        read_kubeconfig(str(path))


def test_a_kubeconfig_that_changes_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    with KubernetesServer(pod("a")) as api:
        api.tokens = {"new": "rp"}
        kubeconfig(path, {"server": api.url}, {"token": "old"})

        async def test() -> None:
            async with following(f"role: pod, kubeconfig_file: '{path}'") as seen:
                await until("a refusal", lambda: "does not accept the credentials" in seen.error())
                kubeconfig(path, {"server": api.url}, {"token": "new"})
                await until("the list", lambda: seen.names() == ["pod/default/a"], seen.clock)

        asyncio.run(test())


def test_how_the_connection_is_chosen(tmp_path: Path) -> None:
    assert config_of("role: pod").connection() == InClusterConnection()
    assert config_of("role: pod, kubeconfig_file: /k").connection() == KubeconfigConnection("/k")
    server = config_of("role: pod, api_server: 'http://user:pass@k8s:8080/prefix'").connection()
    assert str(server) == "http://k8s:8080/prefix"
    assert server.server().url.reveal() == "http://user:pass@k8s:8080/prefix"
    assert server == config_of("role: node, api_server: 'http://user:pass@k8s:8080/prefix'").connection()


def test_clusters_behind_one_proxy_are_named_and_fail_one_by_one() -> None:
    server = "https://me:hunter2@rancher.example/k8s/clusters"
    shown = [str(config_of(f"role: pod, api_server: '{server}/{name}/'").connection()) for name in ("c-1", "c-2")]
    assert shown == ["https://rancher.example/k8s/clusters/c-1", "https://rancher.example/k8s/clusters/c-2"]
