"""HTTP clients with the credentials, TLS and proxies of Prometheus' configuration."""

from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig, read_http_client
from rulepush.http_client.files import CredentialsError
from rulepush.http_client.network import IDEMPOTENT

__all__ = [
    "IDEMPOTENT",
    "NO_CLIENT_SETTINGS",
    "CredentialsError",
    "HTTPClientConfig",
    "build_client",
    "read_http_client",
]
