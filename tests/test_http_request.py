"""Bodies are read within bounds, and a client that disconnects is noticed."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Sequence

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from rulepush.errors import BodyError
from rulepush.http_request import (
    GZIP,
    NO_ENCODING,
    gunzip,
    in_thread_if_large,
    read_body,
    read_content,
    while_connected,
)

DISCONNECT: Message = {"type": "http.disconnect"}


class Sender:
    """A request whose body arrives in these pieces; then the client disconnects. `read` counts the pieces taken."""

    def __init__(self, pieces: Sequence[bytes], complete: bool = True, **headers: str):
        self.read = 0
        self._pieces = pieces
        self._complete = complete
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.request = Request({"type": "http", "method": "POST", "path": "/", "headers": named}, self._receive)

    async def _receive(self) -> Message:
        if self.read == len(self._pieces):
            return DISCONNECT
        self.read += 1
        more = self.read < len(self._pieces) or not self._complete
        return {"type": "http.request", "body": self._pieces[self.read - 1], "more_body": more}


def content(sender: Sender, limit: int = 100) -> bytes:
    return asyncio.run(read_content(sender.request, limit, GZIP))


def refused(sender: Sender, limit: int = 100) -> tuple[int, str]:
    with pytest.raises(BodyError) as caught:
        content(sender, limit)
    return caught.value.status, str(caught.value)


def test_a_body_as_large_as_the_limit_is_taken_whole() -> None:
    assert content(Sender([b"abc", b"", b"defgh"]), limit=8) == b"abcdefgh"


def test_a_larger_body_is_not_read_on() -> None:
    sender = Sender([b"x" * 60, b"x" * 60, b"x" * 60])
    assert refused(sender) == (413, "the body is larger than the limit of 100 bytes")
    assert sender.read == 2


def test_a_body_announced_as_larger_is_not_read_at_all() -> None:
    sender = Sender([b"x"], content_length="101")
    assert refused(sender)[0] == 413
    assert sender.read == 0
    assert content(Sender([b"x"], content_length="100")) == b"x"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip "])
def test_gzip_of_several_members_is_decompressed(encoding: str) -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    assert content(Sender([body[:5], body[5:]], content_encoding=encoding)) == b"one two"


def test_what_a_body_decompresses_to_is_bounded_too() -> None:
    bomb = gzip.compress(b"x" * 101)
    assert len(bomb) < 100
    assert refused(Sender([bomb], content_encoding="gzip"))[0] == 413
    assert content(Sender([bomb], content_encoding="gzip"), limit=101) == b"x" * 101
    both = gzip.compress(b"x" * 60) * 2
    assert refused(Sender([both], content_encoding="gzip"))[0] == 413


def test_decompression_stops_at_the_limit() -> None:
    """The second half of the body is corrupt: to read it would be 400."""
    body = gzip.compress(b"x" * 200_000, 0)[:100_000] + b"\xff" * 100_000
    with pytest.raises(BodyError, match="invalid block type"):
        gunzip(body, 1_000_000)
    with pytest.raises(BodyError, match="larger than the limit"):
        gunzip(body, 1000)


@pytest.mark.parametrize(
    "body",
    [b"not gzip", gzip.compress(b"abc", mtime=0)[:-1], gzip.compress(b"abc", mtime=0) + b"garbage"],
    ids=["no gzip", "truncated", "garbage after it"],
)
def test_corrupt_gzip_is_refused(body: bytes) -> None:
    assert refused(Sender([body], content_encoding="gzip"))[0] == 400


def test_an_unknown_encoding_is_refused_before_reading() -> None:
    sender = Sender([b"x"], content_encoding="br")
    assert refused(sender) == (415, "content encoding br is not supported: send gzip, or none")
    assert sender.read == 0
    with pytest.raises(BodyError, match=r"^content encoding gzip is not supported: send none$"):
        asyncio.run(read_content(Sender([b"x"], content_encoding="gzip").request, 100, NO_ENCODING))


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_identity_is_no_encoding(encoding: str) -> None:
    assert content(Sender([b"x"], content_encoding=encoding)) == b"x"


def test_a_raw_body_keeps_its_encoding() -> None:
    assert asyncio.run(read_body(Sender([b"\x01x"], content_encoding="snappy").request, 100)) == b"\x01x"


def test_a_client_that_disconnects_within_the_body_is_noticed() -> None:
    with pytest.raises(ClientDisconnect):
        content(Sender([b"half"], complete=False))


def test_large_bodies_are_decoded_off_the_event_loop() -> None:
    async def main() -> None:
        here = threading.current_thread()
        assert await in_thread_if_large(b"x" * 1000, lambda _: threading.current_thread()) is here
        assert await in_thread_if_large(b"x" * 100_000, lambda _: threading.current_thread()) is not here

    asyncio.run(main())


def test_work_is_cancelled_when_its_client_disconnects() -> None:
    cancelled = False

    async def forever() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async def main() -> None:
        with pytest.raises(ClientDisconnect):
            await while_connected(Sender([]).request, forever())

    asyncio.run(main())
    assert cancelled


def test_work_that_ends_first_gives_its_result() -> None:
    async def silent() -> Message:
        await asyncio.Event().wait()
        return DISCONNECT

    async def work() -> int:
        return 42

    async def main() -> int:
        return await while_connected(Request({"type": "http", "headers": []}, silent), work())

    assert asyncio.run(main()) == 42
