"""The buffer of remote write: records, files, and the order in which blocks leave."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.config.sections import RemoteWriteMessage
from rulepush.remote.backlog import Backlog
from rulepush.remote.block import QueueBlock, TornRecordError, WriteRequest, decode_record, encode_record
from rulepush.remote.disk_queue import DiskQueue


def block(n: int, size: int = 10) -> QueueBlock:
    body = bytes([n % 256]) * size
    return QueueBlock(RemoteWriteMessage.V1, n, ((WriteRequest(1, n, body),),))


def drain(queue: DiskQueue | Backlog) -> list[int]:
    out = []
    while (found := queue.peek()) is not None:
        out.append(found.created)
        queue.pop()
    return out


REQUESTS = st.builds(WriteRequest, st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50))
BLOCKS = st.builds(
    QueueBlock,
    st.sampled_from(RemoteWriteMessage),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.lists(REQUESTS, max_size=3).map(tuple), max_size=3).map(tuple),
)


@given(BLOCKS)
def test_records_read_back(b: QueueBlock) -> None:
    assert decode_record(encode_record(b)) == b


@given(BLOCKS, st.data())
def test_damaged_records_are_noticed(b: QueueBlock, data: st.DataObject) -> None:
    record = bytearray(encode_record(b))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TornRecordError):
        decode_record(bytes(record))
    with pytest.raises(TornRecordError):
        decode_record(encode_record(b)[:at])


def test_first_in_first_out_over_many_files(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 32 * 1000)
    for n in range(100):
        queue.append(block(n, 200))
    assert len(list(tmp_path.glob("*.seg"))) > 10
    assert drain(queue) == list(range(100))
    assert list(tmp_path.iterdir()) == []
    queue.append(block(7))
    assert drain(queue) == [7]


def test_a_kill_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 32 * 1000)
    for n in range(50):
        queue.append(block(n, 200))
    for _ in range(21):
        queue.peek()
        queue.pop()
    again = DiskQueue(tmp_path, 32 * 1000)  # the first one was never closed
    again.append(block(50))
    assert drain(again) == list(range(21, 51))


def test_a_torn_last_record_is_tolerated(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 1 << 20)
    for n in range(5):
        queue.append(block(n))
    queue.close()
    (segment,) = tmp_path.glob("*.seg")
    segment.write_bytes(segment.read_bytes()[:-3])
    again = DiskQueue(tmp_path, 1 << 20)
    again.append(block(9))
    assert drain(again) == [0, 1, 2, 3, 9]
    assert again.damaged_files == 1


@given(st.binary(max_size=200), st.binary(max_size=30))
def test_rubbish_in_the_directory_is_survived(content: bytes, cursor: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "00000001.seg").write_bytes(content)
        (directory / "other.seg").write_bytes(b"x")
        (directory / "cursor").write_bytes(cursor)
        queue = DiskQueue(directory, 1 << 20)
        queue.append(block(3))
        assert drain(queue) == [3]


def test_the_bound_is_kept_by_dropping_the_oldest(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 32_000)
    for n in range(400):
        queue.append(block(n, 300))
        assert sum(p.stat().st_size for p in tmp_path.glob("*.seg")) <= 32_000
    left = drain(queue)
    assert left == list(range(left[0], 400))
    assert queue.dropped_samples == 400 - len(left)
    assert len(left) > 80  # of about 95 that fit


def test_a_block_larger_than_the_bound(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 100)
    queue.append(block(1, 500))
    queue.append(block(2, 500))
    assert drain(queue) == [2]


def memory_and_disk(backlog: Backlog) -> tuple[int, bool]:
    return backlog.memory_samples, backlog.disk_bytes > 0


def append(backlog: Backlog, numbers: Sequence[int]) -> None:
    for n in numbers:
        backlog.append(block(n))


def test_memory_while_all_goes_well(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 1 << 20, 10)
    append(backlog, range(5))
    assert memory_and_disk(backlog) == (5, False)
    assert drain(backlog) == list(range(5))


def test_what_is_being_sent_moves_to_disk_and_is_taken_off_once(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 1 << 20, 10)
    append(backlog, range(3))
    assert backlog.peek() == block(0)
    assert backlog.spill()
    assert memory_and_disk(backlog) == (0, True)
    append(backlog, [3])
    backlog.pop()
    assert drain(backlog) == [1, 2, 3]
    append(backlog, [4])
    assert memory_and_disk(backlog) == (1, False)
    assert drain(backlog) == [4]


def test_too_much_for_memory_goes_to_disk(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 1 << 20, 3)
    append(backlog, range(10))
    assert memory_and_disk(backlog) == (0, True)
    assert drain(backlog) == list(range(10))


def test_closing_saves_and_the_next_one_goes_on(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 1 << 20, 100)
    append(backlog, range(5))
    backlog.peek()
    backlog.close()
    again = Backlog(tmp_path, 1 << 20, 100)
    append(again, [5])
    assert drain(again) == list(range(6))


def test_without_a_disk_the_oldest_go() -> None:
    backlog = Backlog(None, 1 << 20, 3)
    assert backlog.peek() is None
    append(backlog, [0])
    assert backlog.peek() == block(0)
    append(backlog, range(1, 10))
    backlog.pop()  # what was being sent is gone already; nothing else must be taken off for it
    assert drain(backlog) == [7, 8, 9]
    assert backlog.dropped_samples == 7


def test_the_block_being_sent_may_be_dropped_on_disk(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 32 * 100, 3)
    append(backlog, range(3))
    backlog.peek()
    backlog.spill()
    append(backlog, range(3, 200))
    oldest = drain_first(backlog)
    assert oldest > 3


def drain_first(backlog: Backlog) -> int:
    backlog.pop()
    found = backlog.peek()
    assert found is not None
    return found.created


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    backlog = Backlog(tmp_path / "file", 1 << 20, 3)
    append(backlog, [1])
    assert drain(backlog) == [1]


def test_progress_with_a_block_survives_the_move_to_disk_and_a_restart(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path, 1 << 20, 10)
    append(backlog, range(2))
    backlog.peek()
    backlog.note((1, 0))
    backlog.spill()
    assert backlog.done() == (1, 0)
    backlog.note((1, 3))
    again = Backlog(tmp_path, 1 << 20, 10)
    assert (again.peek(), again.done()) == (block(0), (1, 3))
    again.pop()
    assert (again.peek(), again.done()) == (block(1), ())


def test_a_disk_that_fails_is_given_up_and_memory_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "buffer"
    backlog = Backlog(directory, 1 << 20, 3)
    directory.rmdir()
    directory.write_text("no directory any more")
    append(backlog, range(6))
    assert drain(backlog) == [3, 4, 5]
    assert backlog.dropped_samples == 3
    backlog.close()
