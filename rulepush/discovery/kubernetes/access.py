"""ApiAccess: the one HTTP client for an API server and its credentials, which all watches there share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rulepush.discovery.groups import Environment
from rulepush.discovery.kubernetes.api import KubernetesApi
from rulepush.discovery.kubernetes.connection import ApiServer, Connection
from rulepush.discovery.kubernetes.refusals import KubernetesApiError
from rulepush.http_client.build import build_client

if TYPE_CHECKING:
    from rulepush.discovery.kubernetes.exec_plugin import ExecCredential, PluginCredentials

_CLIENT_SECONDS: Final = 10.0  # to connect; each request has its own deadline


class _Lent:
    """A client, with the settings of one moment, and how many use it."""

    def __init__(self, server: ApiServer, env: Environment):
        self.server = server
        self.client = build_client(server.http_client, env.user_agent, timeout=_CLIENT_SECONDS, clock=env.clock)
        self.users = 0


class ApiAccess:
    """A SharedPart, one for each connection: a token of oauth2, or of a plugin, is fetched once for all watches.

    Each watch keeps connections of its own in the client, for it holds one as long as it lasts. When the settings have
    changed, the next request has a new client, and the old one ends with the last watch that uses it.
    """

    def __init__(self, connection: Connection, env: Environment):
        self._connection = connection
        self._env = env
        self._name = _free_name(connection, env)
        self._now: _Lent | None = None
        self._plugin: PluginCredentials | None = None

    def __str__(self) -> str:
        """For messages: the server, and what tells these credentials from others for it."""
        return self._name

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            lent, self._now = self._now, None
            if lent is not None:
                await lent.client.aclose()

    @asynccontextmanager
    async def open(self, owner: Hashable) -> AsyncIterator[KubernetesApi]:
        """The API as the settings are now, for a request over the connection of `owner`. Raises DiscoveryError, from
        within, too: credentials of a plugin that are refused there are not used again."""
        server, credential = await self._server()
        lent = self._now
        if lent is None or lent.server != server:
            old, lent = lent, _Lent(server, self._env)
            self._now = lent
            if old is not None:
                await self._close_if_done(old)
        lent.users += 1
        try:
            yield KubernetesApi(lent.client, server.url.reveal(), owner=owner, series_came=self._env.series_came)
        except KubernetesApiError as e:
            if e.unauthorized and credential is not None and self._plugin is not None:
                self._plugin.refused(credential)
            raise
        finally:
            lent.users -= 1
            await self._close_if_done(lent)

    async def leave(self, owner: Hashable) -> None:
        """Close the connections of an owner that asks no more."""
        if self._now is not None:
            await self._now.client.close_owned(owner)

    async def _server(self) -> tuple[ApiServer, ExecCredential | None]:
        """As it is reached now, and what its plugin gave for that."""
        server = self._connection.server()
        if server.plugin is None:
            self._plugin = None
            return server, None
        from rulepush.discovery.kubernetes.exec_plugin import PluginCredentials

        if self._plugin is None or self._plugin.plugin != server.plugin:
            self._plugin = PluginCredentials(server.plugin, self._env.clock)
        credential = await self._plugin.get()
        return replace(server, http_client=credential.added_to(server.http_client)), credential

    async def _close_if_done(self, lent: _Lent) -> None:
        if lent is not self._now and not lent.users:
            await lent.client.aclose()


def _free_name(connection: Connection, env: Environment) -> str:
    """What is secret alone may tell two connections apart: then they are numbered."""
    taken = {str(part) for part in env.shared.parts() if isinstance(part, ApiAccess)}
    name, number = str(connection), 2
    while name in taken:
        name, number = f"{connection} ({number})", number + 1
    return name
