"""Blocks that wait to be sent: in memory while sending succeeds, on disk as soon as it fails."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

from rulepush.remote.block import QueueBlock
from rulepush.remote.disk_queue import DiskQueue

log = logging.getLogger("rulepush.remote")


class Backlog:
    """First in, first out. Either all blocks are in memory or all are on disk, so their order is always known.

    Without a directory all stay in memory, and the oldest are dropped when there are more than `max_memory_samples`.
    """

    def __init__(self, directory: Path | None, max_bytes: int, max_memory_samples: int):
        self.lost_samples = 0
        self._max_bytes = max_bytes
        self._max_memory_samples = max_memory_samples
        self._memory: deque[QueueBlock] = deque()
        self._memory_samples = 0
        self._peeked: QueueBlock | None = None
        self._done: tuple[int, ...] = ()
        self._disk: DiskQueue | None = None
        self._on_disk = False
        if directory is not None:
            try:
                self._disk = DiskQueue(directory, max_bytes)
                self._on_disk = self._disk.peek() is not None
            except OSError as e:
                self._disk = None
                log.error("the buffer is not usable, samples wait in memory only: path=%s err=%s", directory, e)

    @property
    def memory_samples(self) -> int:
        """Samples that wait in memory."""
        return self._memory_samples

    @property
    def oldest(self) -> int:
        """When the oldest block was made (ms), 0 for none or not known. Unlike `peek` it changes nothing: `pop` takes
        the block that was peeked at last."""
        if self._on_disk and self._disk is not None:
            return self._disk.oldest
        return self._memory[0].created if self._memory else 0

    @property
    def disk_bytes(self) -> int:
        """Bytes of the files in which samples wait."""
        return self._disk.nbytes if self._disk is not None else 0

    @property
    def dropped_samples(self) -> int:
        """Samples dropped because the bound was reached."""
        return self.lost_samples + (self._disk.dropped_samples if self._disk is not None else 0)

    @property
    def damaged_files(self) -> int:
        """Buffer files that could not be read to their end."""
        return self._disk.damaged_files if self._disk is not None else 0

    def append(self, block: QueueBlock) -> None:
        """Add a block at the end."""
        if self._on_disk and self._write(block):
            return
        self._memory.append(block)
        self._memory_samples += block.samples
        if self._memory_samples > self._max_memory_samples and not self.spill():
            self._drop_until_it_fits()

    def peek(self) -> QueueBlock | None:
        """The oldest block, None when there is none."""
        if self._on_disk and self._disk is not None:
            try:
                block = self._disk.peek()
            except OSError as e:
                self._give_up(e)
                block = None
            if block is not None:
                return block
            self._on_disk = False
        self._peeked = self._memory[0] if self._memory else None
        return self._peeked

    def done(self) -> tuple[int, ...]:
        """How many requests of each lane of the block that `peek` returned are done; () for none."""
        return self._disk.done if self._on_disk and self._disk is not None else self._done

    def note(self, done: tuple[int, ...]) -> None:
        """Record the progress with the block that `peek` returned: a restart continues from there."""
        self._done = done
        if self._on_disk and self._disk is not None:
            try:
                self._disk.note(done)
            except OSError as e:
                self._give_up(e)

    def pop(self) -> None:
        """Remove the block that `peek` returned. It may have moved to disk since, or have been dropped."""
        self._done = ()
        if self._on_disk and self._disk is not None:
            try:
                self._disk.pop()
            except OSError as e:
                self._give_up(e)
        elif self._memory and self._memory[0] is self._peeked:
            self._memory_samples -= self._memory.popleft().samples

    def spill(self) -> bool:
        """Move all blocks to disk, where they survive a restart. Returns whether that worked."""
        if self._disk is None:
            return False
        if self._on_disk or not self._memory:
            return True
        while self._memory:
            if not self._write(self._memory[0]):
                return False
            self._memory_samples -= self._memory.popleft().samples
            self._on_disk = True
        self.peek()  # so that `pop` takes the block that is being sent now, and no other
        self.note(self._done)
        return self._on_disk

    def close(self) -> None:
        """Write the blocks in memory to disk, and close the files."""
        self.spill()
        if self._disk is not None:
            self._disk.close()

    def _write(self, block: QueueBlock) -> bool:
        if self._disk is None:
            return False
        try:
            self._disk.append(block)
        except OSError as e:
            self._give_up(e)
            return False
        return True

    def _give_up(self, e: OSError) -> None:
        """The disk is full or broken: continue in memory. What is on the disk is sent after the next start."""
        log.error("the buffer fails, samples wait in memory only: err=%s", e)
        if self._disk is not None:
            try:
                self._disk.close()
            except OSError:
                pass
        self._disk, self._on_disk = None, False

    def _drop_until_it_fits(self) -> None:
        lost = 0
        while self._memory_samples > self._max_memory_samples and len(self._memory) > 1:
            samples = self._memory.popleft().samples
            self._memory_samples -= samples
            lost += samples
        self.lost_samples += lost
        log.error("samples are lost, memory is full and there is no buffer on disk: samples=%d", lost)
