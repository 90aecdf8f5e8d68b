"""`rulepush health`: ask a running rulepush, or its relay, whether it is healthy or ready.

Container runtimes run this beside the service every half a minute. So it speaks the little HTTP that it needs over a
socket of its own, and imports neither an HTTP client nor, without TLS, OpenSSL.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from rulepush.cli.options import Subparsers, add_client_options, add_command, add_timeout, headers_of
from rulepush.model.typed_url import is_loopback_host, typed_url, without_credentials

if TYPE_CHECKING:
    import ssl

DEFAULT_URL: Final = "http://127.0.0.1:9095"
RELAY_URL: Final = "http://127.0.0.1:8060"
URL_VARIABLE: Final = "RULEPUSH_HEALTH_URL"
FIRST_COMMAND_LINE: Final = "/proc/1/cmdline"
_TIMEOUT: Final = 4.0  # below the 5 seconds that a HEALTHCHECK gives
_MAX_BYTES: Final = 1 << 16
_PORTS: Final = {"http": 80, "https": 443}
_PATHS: Final = ("/-/healthy", "/-/ready")
_HAS_TLS: Final = re.compile(r"""^[^#]*?["']?\btls_server_config["']?\s*:""", re.MULTILINE)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")


class HealthTLS(NamedTuple):
    """How to speak TLS: the files of authorities, of a client certificate and of its key, "" for none; whether to trust
    anybody. No dataclass: to import these takes longer than the request."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False


class NotHealthy(Exception):
    """The server is not healthy, or could not be asked; `run` prints why. No RulepushError: to import that module takes
    longer than the request."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """rulepush's own flags, and those of the server that tell where it listens."""
    p = add_command(
        subparsers,
        "health",
        f"""Ask a running rulepush, or its relay, if it is healthy (GET /-/healthy), and say so in one line.

Without a URL and without --web.* flags: {URL_VARIABLE} of the environment; else, in a container, where the
container's command line (process 1) says that rulepush listens; else {DEFAULT_URL}.
Proxies of the environment are not used, redirects are not followed. A certificate on a loopback address is not
verified unless --ca-file is given: it is issued for another name.
An answer that asks for a password or for a client certificate shows that the process works: healthy, not ready.""",
        {0: "It is healthy, or ready.", 1: "It is not, or it could not be asked."},
        [
            "rulepush health",
            "rulepush health --ready https://user:password@127.0.0.1:9095/rulepush",
            f"rulepush health {RELAY_URL}",
        ],
    )
    p.add_argument(
        "url", nargs="?", metavar="URL", help="Address, with the path of a route prefix; can contain user:password@."
    )
    p.add_argument("--ready", action="store_true", help="Ask if it is ready (GET /-/ready) instead.")
    add_client_options(p)
    p.add_argument("--cert-file", metavar="FILE", help="Client certificate for an https URL, in PEM format.")
    p.add_argument("--key-file", metavar="FILE", help="Key of the client certificate; without it, in the same file.")
    p.add_argument("--insecure", action="store_true", help="Do not verify the server's certificate, wherever it is.")
    add_timeout(p, "How long it may take.", _TIMEOUT)
    p.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default="",
        metavar="HOST:PORT",
        help="In place of a URL: the flag that the server was started with.",
    )
    p.add_argument(
        "--web.config.file",
        dest="web_config_file",
        default="",
        metavar="FILE",
        help="In place of a URL: the server's file, which tells whether it speaks TLS.",
    )
    p.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        default="",
        metavar="PATH",
        help="In place of a URL: the server's route prefix.",
    )
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Ask once; one line to standard output, or why not to standard error."""
    url = _url(args, os.environ)
    tls = HealthTLS(args.ca_file or "", args.cert_file or "", args.key_file or "", args.insecure)
    try:
        words = ask_health(url, args.ready, args.timeout, headers_of(args.header), tls)
    except (NotHealthy, ValueError) as e:
        print(f"rulepush health: {asked_url(url)}: {e}", file=sys.stderr)
        return 1
    print(f"{asked_url(url)}: {words}")
    return 0


def _url(args: argparse.Namespace, environment: Mapping[str, str]) -> str:
    if args.url:
        return str(args.url)
    if args.listen_address or args.web_config_file or args.route_prefix:
        return listening_url(args.listen_address, args.web_config_file, args.route_prefix)
    return environment.get(URL_VARIABLE) or url_of_command_line(_first_command_line()) or DEFAULT_URL


def _first_command_line() -> list[str]:
    """The words of process 1: in a container, what it was started with."""
    try:
        with open(FIRST_COMMAND_LINE, "rb") as f:
            return f.read(_MAX_BYTES).decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def url_of_command_line(words: Sequence[str]) -> str:
    """Where the server with this command line can be asked; "" when it is none of rulepush. An init process before it
    (`tini --`) does not matter."""
    commands = [i for i, word in enumerate(words) if word in ("run", "dingtalk")]
    start = next((i for i in commands if i and _is_rulepush(words[i - 1])), None)
    if start is None:
        return ""
    flags: dict[str, str] = {}
    rest = list(words[start + 1 :])
    for i, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            flags[name] = value if equals else "".join(rest[i + 1 : i + 2])
    address = flags.get("--web.listen-address") or ("" if words[start] == "run" else urlsplit(RELAY_URL).netloc)
    prefix = flags.get("--web.route-prefix") or _path_of(flags.get("--web.external-url", ""))
    return listening_url(address, flags.get("--web.config.file", ""), prefix)


def _is_rulepush(word: str) -> bool:
    return word.rpartition("/")[2] == "rulepush" or word.endswith("/rulepush/__main__.py")


def _path_of(url: str) -> str:
    return urlsplit(url if "://" in url else f"//{url}").path


def listening_url(address: str, web_config_file: str, prefix: str) -> str:
    """The URL of a server on this machine with these flags. An address that means all is asked on loopback."""
    host, _, port = (address or urlsplit(DEFAULT_URL).netloc).rpartition(":")
    if host in ("", "0.0.0.0"):
        host = "127.0.0.1"
    elif host == "[::]":
        host = "[::1]"
    return f"{'https' if _has_tls(web_config_file) else 'http'}://{host}:{port}/{prefix.strip('/')}".rstrip("/")


def _has_tls(path: str) -> bool:
    """A glance instead of the YAML: reading that takes longer than all the rest. Who writes the key means it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return _HAS_TLS.search(f.read(1 << 20)) is not None
    except OSError:
        return False


def asked_url(url: str) -> str:
    """The URL without its secrets, for people."""
    return without_credentials(url).partition("?")[0]


def ask_health(url: str, ready: bool, seconds: float, headers: Mapping[str, str], tls: HealthTLS) -> str:
    """Ask, and return what the answer means in a few words. Raises NotHealthy: it is not healthy, or not ready."""
    try:
        parts = typed_url(url)
    except ValueError as e:
        raise NotHealthy(f"not a URL such as {DEFAULT_URL}{e}") from None
    path = next((parts.path.removesuffix(p) for p in _PATHS if parts.path.endswith(p)), parts.path).rstrip("/")
    has_credentials = parts.username is not None or any(name.lower() == "authorization" for name in headers)
    try:
        answer = _exchange(parts, _request(parts, f"{path}{_PATHS[ready]}", headers), seconds, tls)
    except TimeoutError:
        raise NotHealthy(f"no answer within {seconds:g}s") from None
    except OSError as e:
        if "CERTIFICATE_REQUIRED" not in str(e):
            raise NotHealthy(_reason(e, parts)) from None
        answer = b""
    # asyncio ends such a connection without a word: the handshake, where both sides spoke, is done by then.
    if not answer and parts.scheme == "https":
        if ready or tls.cert_file:
            raise NotHealthy(
                "the connection was closed after the TLS handshake: it wants a client certificate, or another"
            )
        return "healthy: it answers in TLS, and wants a client certificate (--cert-file)"
    return _meaning(answer, ready, has_credentials)


def _request(parts: SplitResult, path: str, headers: Mapping[str, str]) -> bytes:
    host = parts.netloc.rpartition("@")[2]
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: rulepush-health", "Connection: close"]
    if parts.username is not None:
        from base64 import b64encode

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        lines.append(f"Authorization: Basic {b64encode(pair).decode()}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _exchange(parts: SplitResult, request: bytes, seconds: float, tls: HealthTLS) -> bytes:
    """The answer, its head included. Raises OSError, TimeoutError."""
    deadline = time.monotonic() + seconds
    host = parts.hostname or ""
    context = _context(host, tls) if parts.scheme == "https" else None
    # Bytes where they will do: a text would be encoded by a module of its own.
    name: Any = host.encode() if host.isascii() else host
    stream = socket.create_connection((name, parts.port or _PORTS[parts.scheme]), seconds)
    try:
        _limit(stream, deadline)
        if context is not None:
            stream = context.wrap_socket(stream, server_hostname=host)
        stream.sendall(request)
        answer = b""
        while len(answer) < _MAX_BYTES:
            _limit(stream, deadline)
            part = stream.recv(_MAX_BYTES)
            if not part:
                break
            answer += part
        return answer
    finally:
        stream.close()


def _limit(stream: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    stream.settimeout(left)


def _context(host: str, tls: HealthTLS) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    where = tls.ca_file
    try:
        if tls.insecure or (not tls.ca_file and is_loopback_host(host)):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif tls.ca_file:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the server's own certificate will do
            context.load_verify_locations(cafile=tls.ca_file)
        else:
            context.load_default_certs()
        if tls.cert_file:
            where = f"{tls.cert_file} and {tls.key_file}" if tls.key_file else tls.cert_file
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password=lambda: "")
    except (OSError, ValueError) as e:
        reason = (e.reason if isinstance(e, ssl.SSLError) else getattr(e, "strerror", None)) or "not a valid PEM file"
        raise NotHealthy(f"{where} cannot be used: {reason}") from None
    return context


def _reason(e: OSError, parts: SplitResult) -> str:
    code = getattr(e, "reason", None)  # of an ssl.SSLError
    if code == "WRONG_VERSION_NUMBER" or code == "RECORD_LAYER_FAILURE":
        return "it does not speak TLS: use http://"
    if code == "CERTIFICATE_VERIFY_FAILED":
        return f"its certificate is not trusted: {getattr(e, 'verify_message', '')}; give --ca-file, or --insecure"
    if code:
        hint = "; does it want a client certificate (--cert-file)?" if "HANDSHAKE" in str(code) else ""
        return f"TLS failed: {str(code).lower().replace('_', ' ')}{hint}"
    if isinstance(e, socket.gaierror):
        return "name not found"
    if isinstance(e, ConnectionRefusedError):
        return f"connection refused: nothing listens on port {parts.port or _PORTS[parts.scheme]}"
    if isinstance(e, ConnectionError) and parts.scheme == "http":
        return "the connection was closed without an answer; does it speak TLS (https://)?"
    return (e.strerror or str(e)).lower()


def _meaning(answer: bytes, ready: bool, has_credentials: bool) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = _STATUS.match(head)
    if found is None:
        raise NotHealthy(
            "it does not answer in HTTP"
            if answer
            else "the connection was closed without an answer; does it speak TLS (https://)?"
        )
    status, asked, wanted = int(found[1]), _PATHS[ready], "Ready" if ready else "Healthy"
    if status == 200:
        if b"rulepush is " + wanted.encode() in body:
            return wanted.lower()
        raise NotHealthy(f"{asked} is answered with 200, but not by rulepush: another server, or a login page")
    if status == 401 and not ready and not has_credentials:
        return "healthy: it answers, and wants a user and a password"
    if status == 401:
        raise NotHealthy(
            "refused with 401: the user or the password is not right"
            if has_credentials
            else "refused with 401: it wants a user and a password (http://user:password@..., or --header)"
        )
    if status == 503 and ready:
        raise NotHealthy("not ready")
    if status == 404:
        raise NotHealthy(f"404: there is no {asked}; with a route prefix, give the URL with its path")
    if 300 <= status < 400:
        raise NotHealthy(f"{asked} is redirected ({status}): another server, a login page, or a missing path")
    raise NotHealthy(f"{asked} is answered with {status}")
