"""`exec` of a kubeconfig: a program of the cluster's provider that prints credentials (`aws eks get-token`,
`gke-gcloud-auth-plugin`, `kubelogin`).

As client-go does it (plugin/pkg/client/auth/exec/exec.go; the shapes are those of client.authentication.k8s.io/v1 and
v1beta1, which are the same). Unlike there, a plugin is never given a terminal, and has a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from rulepush.clock import Clock
from rulepush.errors import DiscoveryError
from rulepush.http_client.config import Authorization, HTTPClientConfig
from rulepush.http_client.tls import load_certificate
from rulepush.model.secret import NO_SECRET, Secret

_INFO: Final = "KUBERNETES_EXEC_INFO"
_KIND: Final = "ExecCredential"
_SECONDS: Final = 60.0
_SOON_SECONDS: Final = 0.5  # for its last words, and for its end
_STDERR: Final = 2
_MAX_OUTPUT: Final = 1 << 20
_MAX_QUOTED: Final = 300
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """How the plugin is run. `where` names it in messages; `info` is what it finds in KUBERNETES_EXEC_INFO."""

    where: str
    command: str
    api_version: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    info: str = field(default="", repr=False)
    install_hint: str = ""

    def error(self, text: str) -> DiscoveryError:
        """What went wrong with it."""
        return DiscoveryError(f"{self.where}: exec plugin {self.command}: {text}")


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a plugin printed: a token, a certificate with its key, or both. `expires_at` in ms, None: never."""

    token: Secret = NO_SECRET
    cert: str = field(default="", repr=False)
    key: Secret = NO_SECRET
    expires_at: int | None = None

    def added_to(self, settings: HTTPClientConfig) -> HTTPClientConfig:
        """The settings of a client with this credential."""
        if self.token:
            settings = replace(settings, authorization=Authorization(credentials=self.token))
        if self.cert:
            settings = replace(settings, tls=replace(settings.tls, cert=self.cert, key=self.key))
        return settings


class PluginCredentials:
    """The credentials of one plugin, kept until they expire or are refused."""

    def __init__(
        self, plugin: ExecPlugin, clock: Clock, deadline: Callable[[float], asyncio.Timeout] = asyncio.timeout
    ):
        self.plugin = plugin
        self._clock = clock
        self._deadline = deadline
        self._lock = asyncio.Lock()
        self._known: ExecCredential | None = None
        self._runs = 0
        self._last_failure: DiscoveryError | None = None

    def refused(self, credential: ExecCredential) -> None:
        """The API server does not take this one."""
        if self._known is credential:
            self._known = None

    async def get(self) -> ExecCredential:
        """The credential of now. Raises DiscoveryError."""
        runs = self._runs
        async with self._lock:
            known = self._known
            if known is not None and (known.expires_at is None or self._clock.now() <= known.expires_at):
                return known
            if self._runs != runs and self._last_failure is not None:
                raise self._last_failure  # of a run that was awaited here
            try:
                self._known = await run_plugin(self.plugin, self._deadline)
                self._last_failure = None
            except DiscoveryError as e:
                self._last_failure = e
                raise
            finally:
                self._runs += 1
            return self._known


async def run_plugin(
    plugin: ExecPlugin, deadline: Callable[[float], asyncio.Timeout] = asyncio.timeout
) -> ExecCredential:
    """Run it once. Raises DiscoveryError, which quotes what it wrote to stderr, never what it printed."""
    path = shutil.which(plugin.command)
    if path is None:
        hint = f": {_shown(plugin.install_hint)}" if plugin.install_hint else ""
        raise plugin.error(f"executable not found; install it where rulepush runs{hint}")
    return read_credential(plugin, await _output(plugin, path, deadline))


class _Run(asyncio.SubprocessProtocol):
    """What a plugin does. What it started may hold its pipes for longer: that is not waited for, but for stdout."""

    def __init__(self) -> None:
        self.printed = bytearray()
        self.said = bytearray()  # the end of it: programs say last what went wrong
        self.exited, self.is_silent, self.is_over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._printing = True

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self.said += data
            del self.said[: -4 * _MAX_QUOTED]
        elif len(self.printed) <= _MAX_OUTPUT:
            self.printed += data
            if len(self.printed) > _MAX_OUTPUT:
                self.is_over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDERR:
            self.is_silent.set()
        else:
            self._printing = False
            self._end()

    def process_exited(self) -> None:
        self.exited.set()
        self._end()

    def _end(self) -> None:
        if self.exited.is_set() and not self._printing:
            self.is_over.set()


async def _output(plugin: ExecPlugin, path: str, deadline: Callable[[float], asyncio.Timeout]) -> bytes:
    try:
        transport, run = await asyncio.get_running_loop().subprocess_exec(
            _Run,
            path,
            *plugin.args,
            env={**os.environ, **dict(plugin.env), _INFO: plugin.info},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # it is ended together with what it started
        )
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise plugin.error(f"cannot be run: {why}") from None
    try:
        async with deadline(_SECONDS):
            await run.is_over.wait()
        if len(run.printed) > _MAX_OUTPUT:
            raise plugin.error(f"printed more than {_MAX_OUTPUT >> 20} MiB")
        await _soon(run.is_silent)
    except TimeoutError:
        raise plugin.error(f"printed no credentials within {_SECONDS:g}s; {_quoted(run.said)}") from None
    finally:
        code = transport.get_returncode()
        if code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            await _soon(run.exited)
        transport.close()
    if code:
        how = f"failed with exit code {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
        raise plugin.error(f"{how}; {_quoted(run.said)}")
    return bytes(run.printed)


async def _soon(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SOON_SECONDS):
            await event.wait()


def _quoted(said: bytearray) -> str:
    text = _shown(said.decode("utf-8", "replace"))
    return f"it says: {text}" if text else "it says nothing on stderr"


def _shown(text: str) -> str:
    """One line of what can be shown, its end where it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in _COLOUR.sub("", text)).split())
    return line if len(line) <= _MAX_QUOTED else f"...{line[-_MAX_QUOTED:]}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def read_credential(plugin: ExecPlugin, printed: bytes) -> ExecCredential:
    """What a plugin printed. Raises DiscoveryError, without a word of it: it may hold a secret."""
    if not printed.strip():
        raise plugin.error(f"printed nothing; an {_KIND} in JSON is expected")
    try:
        whole = json.loads(printed.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise plugin.error(f"printed no JSON; an {_KIND} is expected") from None
    if not isinstance(whole, dict) or whole.get("kind") != _KIND:
        raise plugin.error(f"printed JSON that is no {_KIND}")
    version = whole.get("apiVersion")
    if version != plugin.api_version:
        returned = _shown(version) if isinstance(version, str) else "none"
        raise plugin.error(
            f"is configured to use API version {plugin.api_version}, plugin returned version {returned}: set "
            "apiVersion of exec to that, or update the plugin"
        )
    status = whole.get("status")
    if not isinstance(status, dict):
        raise plugin.error("didn't return a status field")
    token, cert, key = (_text(plugin, status, k) for k in ("token", "clientCertificateData", "clientKeyData"))
    if not token and not cert and not key:
        raise plugin.error("didn't return a token or cert/key pair")
    if bool(cert) != bool(key):
        raise plugin.error("returned only certificate or key, not both")
    if cert:
        _check_pair(plugin, cert, key)
    return ExecCredential(Secret(token), cert, Secret(key), _expiry(plugin, status))


def _text(plugin: ExecPlugin, status: dict[str, Any], key: str) -> str:
    value = status.get(key)
    if value is not None and not isinstance(value, str):
        raise plugin.error(f"returned a {key} that is no text")
    return value or ""


def _expiry(plugin: ExecPlugin, status: dict[str, Any]) -> int | None:
    text = _text(plugin, status, "expirationTimestamp")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise plugin.error("returned an expirationTimestamp that is no time of RFC 3339") from None


def _check_pair(plugin: ExecPlugin, cert: str, key: str) -> None:
    try:
        load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, "", Secret(key), "")
    except (OSError, ValueError):
        raise plugin.error("returned a client certificate and key that do not fit, or are no PEM") from None
