"""`--web.config.file`, read again while the server runs: certificates are renewed, passwords change. What it needs is
imported only when there is such a file."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.clock import Clock
from rulepush.errors import ConfigError
from rulepush.http_client.files import stamp

if TYPE_CHECKING:
    import ssl

    from rulepush.config.web_config import Passwords, WebConfig

log = logging.getLogger("rulepush.web")

CHECK_SECONDS: Final = 60.0

Verify = Callable[[str, str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class WebSecurity:
    """TLS, passwords and extra headers, from `--web.config.file`. The default: none of them."""

    tls: ssl.SSLContext | None = None
    verify: Verify | None = None  # (user, password) -> bool
    headers: tuple[tuple[str, str], ...] = ()


class WebConfigReloader:
    """`security` is what the file describes; without a file there is neither TLS nor a password.

    Whether there is TLS, whether passwords are asked for, the headers and the authorities that are no longer trusted
    are fixed at the start.
    """

    def __init__(self, path: str):
        """Raises ConfigError."""
        self.security = WebSecurity()
        self._path = path
        self._passwords: Passwords | None = None
        self._seen: object = None
        if path:
            config = self._load()
            self._passwords = config.passwords()
            verify = self._passwords.verify if self._passwords else None
            self.security = WebSecurity(config.tls_context(), verify, config.headers)

    def check(self) -> None:
        """Put changes of the file, and of those it names, into effect. A bad file is logged, and changes nothing."""
        if not self._path or self._stamps(self._config) == self._seen:
            return
        try:
            config = self._load()
            if (config.tls is not None, bool(config.users)) != (
                self.security.tls is not None,
                self._passwords is not None,
            ):
                log.warning("%s: TLS and passwords cannot be added or left out without a restart", self._path)
                return
            if self.security.tls is not None:
                config.renew(self.security.tls)
            if self._passwords is not None:
                self._passwords.replace(dict(config.users))
        except ConfigError as e:
            for problem in e.problems:
                log.error("TLS and passwords stay as they are: %s", problem)
        else:
            log.info("certificate and passwords are reloaded: file=%s", self._path)

    async def run(self, clock: Clock) -> None:
        """Check once a minute, until cancelled."""
        while True:
            await clock.sleep(CHECK_SECONDS)
            self.check()

    def _load(self) -> WebConfig:
        from rulepush.config.web_config import WebConfig, load_web_config

        self._config = WebConfig(self._path)
        self._seen = self._stamps(self._config)
        self._config = load_web_config(self._path)
        self._seen = self._stamps(self._config)
        return self._config

    def _stamps(self, config: WebConfig) -> object:
        return [stamp(path) for path in config.files()]
