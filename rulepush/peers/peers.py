"""Peers: asks the other evaluators, side by side, for what they have; never longer than a second, never too much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rulepush.clock import Clock
from rulepush.errors import DiscoveryError
from rulepush.http_client.exchange import exchange
from rulepush.peers.address import PeerAddress, PeerLookup
from rulepush.peers.answer import (
    ASKER_PARAMETER,
    OWN_SHARD,
    SHARD_PARAMETER,
    EvaluatorIdentity,
    GroupJson,
    PeerAnswer,
    PeerError,
    read_peer_answer,
)
from rulepush.peers.merge import Evaluator, MissingPeer, PeersView

if TYPE_CHECKING:
    from rulepush.discovery.dns import Lookup, Record
    from rulepush.http_client.on_demand import AnyClient

MAX_PEER_BYTES: Final = 16 << 20
PEER_SECONDS: Final = 1.0
FRESH_MS: Final = 5_000  # an answer is shown again for so long
RESOLVED_MS: Final = 30_000  # and what DNS has answered
RECENT_MS: Final = 60_000  # what is known of missing peers is told for so long after they were asked

InThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class _PeerState:
    """What was last known of one URL. `answer` is None while it is missing."""

    answer: PeerAnswer | None = None
    shard: str = ""
    failing_since: int | None = None
    error: str = ""


class Peers:
    """`identity` is this process; a peer that turns out to be it is left out, so that all evaluators may have one list.
    A peer is asked for its own groups only, and asks nobody because of that."""

    def __init__(
        self,
        addresses: Sequence[PeerAddress],
        client: AnyClient,
        clock: Clock,
        own_groups: Callable[[], Sequence[GroupJson]],
        identity: EvaluatorIdentity,
        name: str = "",
        look_up: Lookup | None = None,
        in_thread: InThread = asyncio.to_thread,
        seconds: float = PEER_SECONDS,
    ):
        """`own_groups()` gives the groups that are evaluated here; `name` is what this process is called where
        `identity` has no URL. A peer has `seconds` for its answer."""
        self.identity = identity
        self._name = identity.url or name
        self._addresses = addresses
        self._client = client
        self._clock = clock
        self._own_groups = own_groups
        self._look_up = look_up or _system_lookup
        self._in_thread = in_thread
        self._seconds = seconds
        self._states: dict[PeerAddress, _PeerState] = {}
        self._resolved: dict[PeerAddress, tuple[int, Sequence[PeerAddress]]] = {}
        self._asked_at: int | None = None
        self._asking: asyncio.Task[None] | None = None

    async def view(self) -> PeersView:
        """What all have now, or had a few seconds ago; the own groups are of now."""
        await self._refresh()
        own = Evaluator(self._name, "", self.identity.shard, self._own_groups(), is_self=True)
        found: dict[str, Evaluator] = {self.identity.instance: own}
        for address, state in self._states.items():
            if state.answer is None:
                continue
            identity = state.answer.identity
            name = identity.url or address.shown
            if identity.instance == self.identity.instance:
                continue
            found.setdefault(
                identity.instance or address.shown, Evaluator(name, name, identity.shard, state.answer.groups)
            )
        return PeersView(tuple(found.values()), tuple(self._missing()))

    def missing(self) -> Sequence[MissingPeer]:
        """The peers that did not answer when they were last asked; none where that is long ago."""
        if self._asked_at is None or self._clock.now() - self._asked_at > RECENT_MS:
            return ()
        return self._missing()

    def _missing(self) -> list[MissingPeer]:
        shown = {self.identity.shard} | {s.answer.identity.shard for s in self._states.values() if s.answer is not None}
        return [
            MissingPeer(address.shown, state.failing_since, state.error, state.shard, state.shard in shown - {""})
            for address, state in self._states.items()
            if state.failing_since is not None
        ]

    async def _refresh(self) -> None:
        """Ask, unless that was done lately; who comes meanwhile waits for the same answers."""
        now = self._clock.now()
        if self._asking is None and self._asked_at is not None and 0 <= now - self._asked_at < FRESH_MS:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all(), name="peers")
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    def _asked(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _ask_all(self) -> None:
        before, after = self._states, dict[PeerAddress, _PeerState]()
        asked: dict[PeerAddress, None] = {}
        looked_up = await asyncio.gather(*(self._peers_at(address) for address in self._addresses))
        for address, (found, error) in zip(self._addresses, looked_up, strict=True):
            asked |= dict.fromkeys(found)
            if error:
                after[address] = self._failed(before.get(address, _PeerState()), error)
        states = await asyncio.gather(*(self._ask(address, before.get(address, _PeerState())) for address in asked))
        self._states = after | dict(zip(asked, states, strict=True))
        self._asked_at = self._clock.now()

    async def _peers_at(self, address: PeerAddress) -> tuple[Sequence[PeerAddress], str]:
        """Those of one value of the flag, and why they are not known, "" where they are. A name that was known once is
        taken for what it was."""
        if address.lookup is PeerLookup.STATIC:
            return (address,), ""
        now = self._clock.now()
        at, known = self._resolved.get(address, (now, ()))
        if known and 0 <= now - at < RESOLVED_MS:
            return known, ""
        try:
            async with asyncio.timeout(self._seconds):
                found = await address.resolve(self._look_up)
        except TimeoutError:
            return known, "" if known else f"DNS does not answer within {self._seconds:g}s"
        except DiscoveryError as e:
            return known, "" if known else str(e)
        self._resolved[address] = now, found
        return found, ""

    async def _ask(self, address: PeerAddress, before: _PeerState) -> _PeerState:
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._answer(address)
        except TimeoutError:
            return self._failed(before, f"no answer within {self._seconds:g}s")
        except PeerError as e:
            return self._failed(before, str(e))
        return _PeerState(answer, answer.identity.shard)

    def _failed(self, before: _PeerState, error: str) -> _PeerState:
        since = self._clock.now() if before.failing_since is None else before.failing_since
        return replace(before, answer=None, failing_since=since, error=error)

    async def _answer(self, address: PeerAddress) -> PeerAnswer:
        """Raises PeerError, or TimeoutError."""
        asked = urlencode({SHARD_PARAMETER: OWN_SHARD, ASKER_PARAMETER: self.identity.instance})
        url = f"{address.url.reveal()}/api/v1/rules?{asked}"
        headers = {"Accept": "application/json"}
        try:
            got = await exchange(
                self._client, "GET", url, b"", headers, self._seconds, idempotent=True, max_bytes=MAX_PEER_BYTES
            )
        except TimeoutError:
            raise
        except Exception as e:
            import httpx

            if not isinstance(e, httpx.HTTPError):
                raise
            from rulepush.http_client.client import reason

            raise PeerError(f"not reached: {reason(e)}") from None
        if len(got.text) >= MAX_PEER_BYTES:
            raise PeerError(f"its answer has more than {MAX_PEER_BYTES >> 20} MiB")
        content_type = got.headers.get("content-type", "")
        found = await self._in_thread(partial(read_peer_answer, got.status, got.phrase, content_type, got.text))
        assert isinstance(found, PeerAnswer)
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        if self._asking is not None:
            self._asking.cancel()
        await self._client.aclose()


async def _system_lookup(name: str, kind: str) -> list[Record]:
    from rulepush.discovery.dns import system_lookup  # for a list of URLs it is not needed

    return await system_lookup(name, kind)
