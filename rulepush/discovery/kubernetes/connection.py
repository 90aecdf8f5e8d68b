"""Where the API server is, and how it is spoken to: the pod's own service account, a kubeconfig file, or `api_server`.

As client-go does it for Prometheus (rest.InClusterConfig, clientcmd; discovery/kubernetes/kubernetes.go, New).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from rulepush.errors import DiscoveryError
from rulepush.http_client.client import shown_url
from rulepush.http_client.config import Authorization, HTTPClientConfig, ProxyConfig, TLSConfig
from rulepush.model.host_port import join_host_port
from rulepush.model.secret import Secret

if TYPE_CHECKING:
    from rulepush.discovery.kubernetes.exec_plugin import ExecPlugin

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_HOST: Final = "KUBERNETES_SERVICE_HOST"
_PORT: Final = "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where requests go, and with which settings; `plugin` has credentials to add. `url` may hold a password."""

    url: Secret
    http_client: HTTPClientConfig
    plugin: ExecPlugin | None = None


class Connection(Protocol):
    """Knows the API server; equal connections share their watches. Its text names it in messages, without secrets."""

    def server(self) -> ApiServer:
        """As it is now: what is in files may change. Raises DiscoveryError."""
        ...


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """`api_server`, with the settings of the section."""

    api_server: ApiServer

    def __str__(self) -> str:
        """With the path, for one proxy, such as Rancher's, may stand before many clusters, which fail one by one; and
        with the credentials, for one server may know us as several."""
        credentials = _shown_credentials(self.api_server.http_client)
        server = shown_url(self.api_server.url.reveal()).rstrip("/")
        return f"{server} with {credentials}" if credentials else server

    def server(self) -> ApiServer:
        return self.api_server


def _shown_credentials(settings: HTTPClientConfig) -> str:
    """What of them is no secret."""
    basic, token, oauth2 = settings.basic_auth, settings.authorization, settings.oauth2
    if basic is not None:
        return f"user {basic.username}" if basic.username else f"the user in {basic.username_file}"
    if token is not None:
        return f"the credentials in {token.credentials_file}" if token.credentials_file else "given credentials"
    if oauth2 is not None:
        return f"oauth2 client {oauth2.client_id}"
    return f"the certificate {settings.tls.cert_file}" if settings.tls.cert_file else ""


@dataclass(frozen=True, slots=True)
class InClusterConnection:
    """What Kubernetes gives to every pod: the address in the environment, and the files of its service account.

    The token is read again when its file changes: Kubernetes replaces it long before it expires, within an hour.
    """

    directory: str = SERVICE_ACCOUNT

    def __str__(self) -> str:
        return "the cluster that rulepush runs in"

    def server(self) -> ApiServer:
        return self.server_from(os.environ)

    def server_from(self, environ: Mapping[str, str]) -> ApiServer:
        """The same, with the environment as an argument."""
        host, port = environ.get(_HOST, ""), environ.get(_PORT, "")
        if not host or not port:
            raise DiscoveryError(
                f"unable to load in-cluster configuration, {_HOST} and {_PORT} must be defined: outside of a cluster "
                "set api_server or kubeconfig_file"
            )
        token, ca = os.path.join(self.directory, "token"), os.path.join(self.directory, "ca.crt")
        if not os.path.exists(token):
            raise DiscoveryError(
                f"unable to load in-cluster configuration: {token} is missing (automountServiceAccountToken is false?)"
            )
        return ApiServer(
            Secret(f"https://{join_host_port(host, port)}"),
            HTTPClientConfig(
                authorization=Authorization(credentials_file=token),
                tls=TLSConfig(ca_file=ca if os.path.exists(ca) else ""),
                proxy=ProxyConfig(from_environment=True),
            ),
        )

    def own_namespace(self) -> str:
        """The namespace of the pod. Raises DiscoveryError."""
        path = os.path.join(self.directory, "namespace")
        try:
            with open(path, encoding="utf-8") as f:
                name = f.read().strip()
        except (OSError, UnicodeDecodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
            raise DiscoveryError(f"could not determine the pod's namespace: {path}: {why}") from None
        if not name:
            raise DiscoveryError(f"could not read own namespace name (empty file): {path}")
        return name
