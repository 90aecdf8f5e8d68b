"""Refusals of the Kubernetes API in words: what it did not allow, and what its role needs.

The API tells a failure as a Status object (`reason`, `message`, `code`); a proxy in front of it, or another server,
sends a page or a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rulepush.errors import DiscoveryError
from rulepush.http_client.client import met_plain_http, met_unknown_authority, server_of
from rulepush.http_client.pages import is_page, page_named

if TYPE_CHECKING:
    import httpx

    from rulepush.discovery.kubernetes.scope import ResourceScope

_USER: Final = re.compile(r'\bUser "([^"]{1,300})"')
_IS_IT: Final = "is it the API server of a Kubernetes cluster?"
# Of resources whose version is younger than some clusters; Prometheus has no older one either.
_SINCE: Final = {
    "endpointslices": "Kubernetes has it since 1.21; with an older one use `role: endpoints`",
    "ingresses": "Kubernetes has it since 1.19",
}
_MAX_QUOTED: Final = 300
_MAX_RETRY_AFTER: Final = 300.0
_RELIST: Final = 410
# A watch that ends with one of these goes on from where it was (client-go, reflector.go); any other needs a new list.
_GOES_ON: Final = (429, 500)


class KubernetesApiError(DiscoveryError):
    """A request that failed. `broken`: it had been answered, and the connection was lost on the way. `was_open`: it
    was a watch that the server had accepted, and `poisoned`: by what it sent, which it would send again.
    `unauthorized`: the credentials do not count (any more)."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float = 0.0,
        broken: bool = False,
        was_open: bool = False,
        poisoned: bool = False,
        unauthorized: bool = False,
        lasting: bool = False,
    ):
        super().__init__(message, retry_after_s=retry_after_s, lasting=lasting)
        self.broken = broken
        self.was_open = was_open or poisoned
        self.poisoned = poisoned
        self.unauthorized = unauthorized


class ResourceExpired(KubernetesApiError):
    """The version that was asked for is too old, or the server does not know it: the objects have to be listed anew."""


def refusal(response: httpx.Response, text: str, scope: ResourceScope[Any]) -> KubernetesApiError:
    """Of an answer that is not 200. `text` is its body."""
    code = response.status_code
    told = _status(text)
    retry_after = _retry_after(response)
    message = str(told.get("message") or "")
    if code == _RELIST:
        return ResourceExpired(message or "HTTP status 410 Gone")
    if code == 403 and told:
        return KubernetesApiError(_forbidden(scope, message), lasting=True)
    if code == 401:
        return KubernetesApiError(
            f"unauthorized: {scope}: {server_of(str(response.url))} does not accept the credentials, or asks for some",
            unauthorized=True,
            lasting=True,
        )
    if code == 404 and not told:
        path = scope.resource.path()
        hint = _SINCE.get(scope.resource.name, _IS_IT)
        text = f"HTTP status 404 Not Found: {server_of(str(response.url))} has no {path}: {hint}"
        return KubernetesApiError(text, lasting=True)
    phrase = f"HTTP status {code} {response.reason_phrase}".strip()
    if response.has_redirect_location:
        return KubernetesApiError(
            f"{phrase}: redirected to {server_of(response.headers['Location']) or 'another path'}", lasting=True
        )
    return KubernetesApiError(f"{phrase}: {_quoted(message or text)}".rstrip(": "), retry_after_s=retry_after)


def strange(text: str, server: str, content_type: str) -> KubernetesApiError:
    """Of an answer with status 200 that is no JSON: a login page, perhaps, or the port of another server."""
    found = page_named(text) if is_page(text) else f'an answer of the type "{content_type}"'
    return KubernetesApiError(f"{server} sent {found}: {_IS_IT}", lasting=True)


def unreached(detail: str) -> str:
    """Why no answer came, and what to do where that can be told."""
    if met_unknown_authority(detail):
        return f"{detail}: set ca_file in tls_config to the cluster's authority, which issued it"
    if "certificate has expired" in detail:
        return f"{detail}: that of the API server has to be renewed (kubeadm certs renew)"
    if met_plain_http(detail):
        return f"{detail} (the server speaks plain HTTP: is api_server http://?)"
    return detail


def event_error(status: Mapping[str, Any], scope: str) -> KubernetesApiError:
    """Of an ERROR event, with its Status."""
    code = status.get("code")
    message = f"{scope}: {_quoted(str(status.get('message') or status))}"
    return KubernetesApiError(message, was_open=True) if code in _GOES_ON else ResourceExpired(message)


def _forbidden(scope: ResourceScope[Any], message: str) -> str:
    user = _USER.search(message)
    who = f"of {user[1]} " if user else ""
    group = scope.resource.api.removeprefix("/apis/").partition("/")[0] if "/apis/" in scope.resource.api else ""
    api = f" (API group {group})" if group else ""
    if scope.namespace:
        return f"forbidden: {scope}: the role {who}needs list and watch for {scope.resource.name}{api}"
    return f"forbidden: {scope}: a ClusterRole {who}needs list and watch for {scope.resource.name}{api}"


def _status(text: str) -> Mapping[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and told.get("kind") == "Status" else {}


def _quoted(text: str) -> str:
    if is_page(text):
        return page_named(text)
    return " ".join(text.split())[:_MAX_QUOTED]


def _retry_after(response: httpx.Response) -> float:
    """Kubernetes sends whole seconds."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), _MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
