"""`kubeconfig_file`: the API server and the credentials of its current context.

After kubernetes.io/docs/reference/config-api/kubeconfig.v1 and client-go's clientcmd (BuildConfigFromFlags with a path,
as Prometheus calls it: neither KUBECONFIG nor ~/.kube/config is read). Relative paths are relative to the file, and the
`-data` form of a certificate wins over its file.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import yaml

from rulepush.discovery.kubernetes.connection import ApiServer
from rulepush.discovery.kubernetes.exec_plugin import ExecPlugin
from rulepush.errors import DiscoveryError
from rulepush.http_client.config import (
    Authorization,
    BasicAuth,
    HTTPClientConfig,
    HTTPHeader,
    ProxyConfig,
    TLSConfig,
)
from rulepush.http_client.files import Stamp, stamp
from rulepush.model.secret import NO_SECRET, Secret

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_BYTES: Final = 1 << 20
_EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
_OF_A_HEADER: Final = "!#$&'*+^`|"  # what stands for itself in the name of a header, beside letters, digits and _.-~


@dataclass(slots=True)
class _LastRead:
    stamp: Stamp | None = None
    server: ApiServer | None = None


@dataclass(frozen=True, slots=True)
class KubeconfigConnection:
    """Reads the file again when it changes: some clusters' tokens are renewed by rewriting it."""

    path: str
    _last: _LastRead = field(default_factory=_LastRead, compare=False, repr=False)

    def __str__(self) -> str:
        return f"the cluster of {self.path}"

    def server(self) -> ApiServer:
        now = stamp(self.path)
        if self._last.server is None or now is None or now != self._last.stamp:
            self._last.server = read_kubeconfig(self.path)
            self._last.stamp = now
        return self._last.server


def read_kubeconfig(path: str) -> ApiServer:
    """The server of the current context. Raises DiscoveryError, which names the file and what is missing in it."""
    try:
        with open(path, "rb") as f:
            body = f.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            raise DiscoveryError(f"{path}: larger than {_MAX_BYTES >> 20} MiB")
        whole = yaml.load(body, _LOADER)
    except OSError as e:
        raise DiscoveryError(f"unable to read {path}: {e.strerror}") from None
    except yaml.MarkedYAMLError as e:
        line = f":{e.problem_mark.line + 1}" if e.problem_mark else ""
        raise DiscoveryError(f"{path}{line}: no YAML: {e.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise DiscoveryError(f"{path}: no YAML") from None
    return _Kubeconfig(path, whole).server()


class _Kubeconfig:
    def __init__(self, path: str, whole: Any):
        self._path = path
        self._directory = os.path.dirname(os.path.abspath(path))
        self._whole = self._mapping(whole, "the file")

    def server(self) -> ApiServer:
        name = self._text(self._whole, "current-context", "the file")
        if not name:
            contexts = ", ".join(str(c.get("name")) for c in self._entries("contexts")) or "none"
            raise self._error(f"current-context is missing (contexts: {contexts})")
        context = self._named("contexts", "context", name)
        cluster_name = self._text(context, "cluster", f"context {name}")
        if not cluster_name:
            raise self._error(f'context "{name}" names no cluster')
        cluster = self._named("clusters", "cluster", cluster_name)
        where = f"cluster {cluster_name}"
        url = self._text(cluster, "server", where)
        if not url:
            raise self._error(f"no server found for {where}")
        if not url.startswith(("http://", "https://")):
            url = f"https://{url}" if "://" not in url else url
        if not url.startswith(("http://", "https://")):
            raise self._error(f"{where}: server must be a http:// or https:// URL")
        user_name = self._text(context, "user", f"context {name}")
        user = self._named("users", "user", user_name) if user_name else {}
        who = f"user {user_name}"
        client = self._client(cluster, where, user, who)
        plugin = self._plugin(cluster, where, user, who, url)
        given = client.authorization or client.basic_auth or client.tls.cert or client.tls.cert_file
        return ApiServer(Secret(url), client, None if given else plugin)

    def _client(self, cluster: Mapping[str, Any], where: str, user: Mapping[str, Any], who: str) -> HTTPClientConfig:
        proxy_url = self._text(cluster, "proxy-url", where)
        ca = self._data(cluster, "certificate-authority-data", where)
        cert, key = self._data(user, "client-certificate-data", who), self._data(user, "client-key-data", who)
        tls = TLSConfig(
            ca=ca,
            ca_file="" if ca else self._file(cluster, "certificate-authority", where),
            cert=cert,
            cert_file="" if cert else self._file(user, "client-certificate", who),
            key=Secret(key) if key else NO_SECRET,
            key_file="" if key else self._file(user, "client-key", who),
            server_name=self._text(cluster, "tls-server-name", where),
            insecure_skip_verify=self._flag(cluster, "insecure-skip-tls-verify", where),
        )
        if tls.insecure_skip_verify and (tls.ca or tls.ca_file):
            raise self._error(f"{where}: specifying a root certificates file with the insecure flag is not allowed")
        if bool(tls.cert or tls.cert_file) != bool(tls.key or tls.key_file):
            raise self._error(f"{who}: client-certificate and client-key must be given together")
        basic, authorization = self._credentials(user, who)
        return HTTPClientConfig(
            basic_auth=basic,
            authorization=authorization,
            tls=tls,
            proxy=ProxyConfig(url=Secret(proxy_url)) if proxy_url else ProxyConfig(from_environment=True),
            headers=self._impersonation(user, who),
        )

    def _credentials(self, user: Mapping[str, Any], who: str) -> tuple[BasicAuth | None, Authorization | None]:
        provider = user.get("auth-provider")
        if provider:
            name = self._text(self._mapping(provider, "auth-provider"), "name", who)
            raise self._error(
                f'{who}: No Auth Provider found for name "{name}": Kubernetes has given auth-provider up. Write the '
                "kubeconfig anew with the tool of the cluster's provider, which gives an exec plugin (GKE: "
                "gke-gcloud-auth-plugin; Azure: kubelogin), or use a token or tokenFile"
            )
        token_file = self._file(user, "tokenFile", who)
        token, name = self._text(user, "token", who), self._text(user, "username", who)
        if name and (token or token_file):
            raise self._error(f"{who}: more than one authentication method: a token, and a username")
        if token_file:  # wins over `token`, for it is renewed
            return None, Authorization(credentials_file=token_file)
        if token:
            return None, Authorization(credentials=Secret(token))
        return (BasicAuth(name, "", Secret(self._text(user, "password", who))), None) if name else (None, None)

    def _impersonation(self, user: Mapping[str, Any], who: str) -> tuple[HTTPHeader, ...]:
        headers = []
        for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
            value = self._text(user, key, who)
            if value:
                headers.append(HTTPHeader(header, (value,)))
        groups = self._texts(user, "as-groups", who)
        if groups:
            headers.append(HTTPHeader("Impersonate-Group", groups))
        extra = self._mapping(user.get("as-user-extra") or {}, f"{who}: as-user-extra")
        headers += [
            HTTPHeader(f"Impersonate-Extra-{quote(key, safe=_OF_A_HEADER)}", self._texts(extra, key, who))
            for key in map(str, extra)
        ]
        if headers and headers[0].name != "Impersonate-User":
            raise self._error(f"{who}: requesting uid, groups or user-extra without impersonating a user (as)")
        return tuple(headers)

    def _plugin(
        self, cluster: Mapping[str, Any], where: str, user: Mapping[str, Any], who: str, url: str
    ) -> ExecPlugin | None:
        """`exec`, with the checks of client-go (tools/clientcmd/validation.go, validateAuthInfo)."""
        if not user.get("exec"):
            return None
        given = self._mapping(user["exec"], f"{who}: exec")
        who = f"{who}: exec"
        command = self._text(given, "command", who)
        if not command:
            raise self._error(f"{who}: command must be specified")
        version = self._text(given, "apiVersion", who)
        if version not in _EXEC_VERSIONS:
            known = " or ".join(_EXEC_VERSIONS)
            raise self._error(
                f'{who}: invalid apiVersion "{version}", expected {known}: update {command}, then write the kubeconfig '
                "anew with it"
            )
        mode = self._text(given, "interactiveMode", who) or ("IfAvailable" if version == _EXEC_VERSIONS[1] else "")
        if mode == "Always":
            raise self._error(
                f"{who}: interactiveMode is Always, and no standard input is available: {command} can ask nobody"
            )
        if mode not in ("Never", "IfAvailable"):
            raise self._error(f'{who}: interactiveMode must be specified (Never or IfAvailable), it is "{mode}"')
        spec: dict[str, Any] = {"interactive": False}
        if self._flag(given, "provideClusterInfo", who):
            spec = {"cluster": self._cluster_info(cluster, where, url), **spec}
        info = {"kind": "ExecCredential", "apiVersion": version, "spec": spec}
        return ExecPlugin(
            where=f"{self._path}: {who.removesuffix(': exec')}",
            command=self._file(given, "command", who) if os.sep in command else command,
            api_version=version,
            args=self._texts(given, "args", who),
            env=tuple(self._environment(given, who)),
            info=json.dumps(info, separators=(",", ":"), default=str),
            install_hint=self._text(given, "installHint", who),
        )

    def _environment(self, given: Mapping[str, Any], who: str) -> Iterator[tuple[str, str]]:
        entries = given.get("env") or []
        if not isinstance(entries, list):
            raise self._error(f"{who}: env must be a list")
        for entry in entries:
            variable = self._mapping(entry, f"{who}: env")
            name = self._text(variable, "name", f"{who}: env")
            if not name:
                raise self._error(f"{who}: env variable name must be specified")
            yield name, self._text(variable, "value", f"{who}: env")

    def _cluster_info(self, cluster: Mapping[str, Any], where: str, url: str) -> dict[str, Any]:
        """`spec.cluster` of an ExecCredential (client-go, rest/exec.go ConfigToExecCluster)."""
        ca = self._data(cluster, "certificate-authority-data", where)
        ca_file = self._file(cluster, "certificate-authority", where)
        if not ca and ca_file:
            try:
                with open(ca_file, encoding="ascii") as f:
                    ca = f.read(_MAX_BYTES)
            except (OSError, UnicodeDecodeError) as e:
                why = e.strerror if isinstance(e, OSError) else "it is no PEM"
                raise self._error(f"{where}: unable to read certificate-authority {ca_file}: {why}") from None
        extensions = cluster.get("extensions") or []
        if not isinstance(extensions, list):
            raise self._error(f"{where}: extensions must be a list")
        named = {e.get("name"): e.get("extension") for e in (self._mapping(e, where) for e in extensions)}
        optional = {
            "tls-server-name": self._text(cluster, "tls-server-name", where),
            "insecure-skip-tls-verify": self._flag(cluster, "insecure-skip-tls-verify", where),
            "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
            "proxy-url": self._text(cluster, "proxy-url", where),
            "disable-compression": self._flag(cluster, "disable-compression", where),
        }
        said = {key: value for key, value in optional.items() if value}
        return {"server": url, **said, "config": named.get(_EXEC_EXTENSION)}

    def _error(self, text: str) -> DiscoveryError:
        return DiscoveryError(f"{self._path}: {text}")

    def _mapping(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error(f"{where} is no kubeconfig: a mapping is expected")
        return value

    def _entries(self, section: str) -> Sequence[Mapping[str, Any]]:
        entries = self._whole.get(section) or []
        if not isinstance(entries, list):
            raise self._error(f"{section} must be a list")
        return [self._mapping(e, section) for e in entries]

    def _named(self, section: str, key: str, name: str) -> Mapping[str, Any]:
        for entry in self._entries(section):
            if entry.get("name") == name:
                return self._mapping(entry.get(key) or {}, f"{key} {name}")
        known = ", ".join(str(e.get("name")) for e in self._entries(section)) or "none"
        raise self._error(f'{key} "{name}" does not exist ({section}: {known})')

    def _text(self, section: Mapping[str, Any], key: str, where: str) -> str:
        value = section.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._error(f"{where}: {key} must be a text")
        return value

    def _texts(self, section: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = section.get(key) or []
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._error(f"{where}: {key} must be a list of texts")
        return tuple(value)

    def _flag(self, section: Mapping[str, Any], key: str, where: str) -> bool:
        value = section.get(key) or False
        if not isinstance(value, bool):
            raise self._error(f"{where}: {key} must be true or false")
        return value

    def _file(self, section: Mapping[str, Any], key: str, where: str) -> str:
        path = self._text(section, key, where)
        return os.path.join(self._directory, path) if path else ""

    def _data(self, section: Mapping[str, Any], key: str, where: str) -> str:
        text = self._text(section, key, where)
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise self._error(f"{where}: {key} is no PEM in base64") from None
