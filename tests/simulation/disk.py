"""A replica's disk in simulated time: one write after the other, each takes a while, and each may go wrong."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.model import AnyOperation
from chattwist.store import snapshot
from chattwist.store.store import Store
from tests.simulation.process import Process
from tests.simulation.timeline import Event
from tests.store.memory import MemoryDisk, PowerLoss

JOURNAL_SIZE = 6000  # bytes: small, so that compaction happens

Done = Callable[[BaseException | None], object]


class Writer:
    """What chattwist.store.writer.Writer is in production; ``slowness`` multiplies how long a write takes.

    ``durable`` is told of operations that are on the disk; ``power_lost`` that the power went in the middle of a write.
    """

    def __init__(
        self, process: Process, store: Store, random: Random, wall: Callable[[], int],
        durable: Callable[[Sequence[AnyOperation]], None], power_lost: Callable[[], None], slowness: float,
    ) -> None:  # fmt: skip
        self.slowness = slowness
        self.longest = 0
        self._busy = False
        self._writing: Event | None = None
        self._process, self._store, self._random, self._wall = process, store, random, wall
        self._durable, self._power_lost = durable, power_lost
        self._queue: deque[tuple[Callable[[], None], Done]] = deque()
        self._tried = store.closed

    def commit(self, operations: Sequence[AnyOperation], done: Done) -> None:
        """See chattwist.member.Writer."""
        operations = list(operations)

        def work() -> None:
            self._store.append(operations)
            self._durable(operations)

        self._do(work, done)

    def save(self, data: bytes, done: Done) -> None:
        """See chattwist.member.Writer."""
        self._do(lambda: self._store.save_state(data), done)

    @property
    def idle(self) -> bool:
        """Whether nothing is to be written."""
        return not self._queue

    def wait(self) -> bool:
        """See chattwist.member.Writer; half of the quick writes are done at once."""
        writing = self._writing
        if writing is None or writing.call is None or len(self._queue) != 1 or self.slowness > 1:
            return False
        if self._random.random() < 0.5:
            return False
        writing.cancel()
        self._end()
        return True

    def _do(self, work: Callable[[], None], done: Done) -> None:
        self._queue.append((work, done))
        self.longest = max(self.longest, len(self._queue))
        if not self._busy:
            self._busy = True
            self._begin()

    def _begin(self) -> None:
        latency = self.slowness * (0.0004 + self._random.random() ** 6 * 0.04)
        self._writing = self._process.post(latency, "disk", self._end)

    def slow_down(self, slowness: float) -> None:
        """Writes take that many times as long, the present one too if it gets faster."""
        if slowness < self.slowness and self._writing is not None and self._writing.call is not None:
            self._writing.cancel()
            self._writing = self._process.post(0.001, "disk", self._end)
        self.slowness = slowness

    def _end(self) -> None:
        self._writing = None
        work, done = self._queue.popleft()
        failure: BaseException | None = None
        try:
            work()
        except PowerLoss:
            return self._power_lost()
        except (DiskFull, DiskFailed) as error:
            failure = error
        done(failure)
        if self._process.alive:
            self._busy = bool(self._queue)
            if self._busy:
                self._begin()
            self._compact()

    def _compact(self) -> None:
        if self._store.closed > self._tried:
            self._tried = self._store.closed
            self._process.post(0.02 + self._random.random() * 0.2, "compaction", self._write_snapshot, self._tried)

    def _write_snapshot(self, upto: int) -> None:
        try:
            snapshot.compact(self._store.disk, upto, self._wall())
            self._store.remove_covered()
        except PowerLoss:
            self._power_lost()
        except (DiskFull, DiskFailed, StoreError):
            pass  # it is tried again behind a later journal


def lose_power_soon(disk: MemoryDisk, random: Random) -> None:
    """The power goes in the middle of a write that is still to come."""
    disk.crash_at = len(disk.calls) + random.randint(1, 7)


def fail_soon(disk: MemoryDisk, random: Random) -> None:
    """One of the next calls fails: mostly an fsync."""
    disk.faults[len(disk.calls) + random.choice([1, 2, 2, 2, 3])] = errno.EIO


def rot(disk: MemoryDisk, random: Random) -> bool:
    """One bit in a journal or a snapshot falls over; whether there was one to choose."""
    names = sorted(name for name in disk.names() if name.endswith(".jsonl") and disk.size(name) > 200)
    if not names:
        return False
    name = random.choice(names)
    data = bytearray(disk.contents(name))
    place = random.randrange(len(data) - 100)
    data[place] ^= 1 << random.randrange(8)
    disk.put(name, bytes(data))
    return True


def copied(disk: MemoryDisk) -> MemoryDisk:
    """A backup, or what is restored from one."""
    copy = MemoryDisk()
    for name, data in disk.everything().items():
        copy.put(name, data)
    return copy
