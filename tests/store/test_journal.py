"""The journal that is being written, when its disk is full or fails."""

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.model import AnyOperation
from chattwist.store.disk import Disk
from chattwist.store.journal import Journal
from chattwist.store.store import Store
from tests.store.memory import MemoryDisk, PowerLoss
from tests.store.samples import loaded, message, messages, started


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk = MemoryDisk()
        self.journal = Journal.create(self.disk, 1, 0)
        self.journal.append([message(1)])

    def found(self) -> list[AnyOperation]:
        """What the next process finds."""
        return loaded(self.disk.after_kill())

    def fail_next(self, *numbers: int) -> None:
        """Let the next calls fail."""
        for place, number in enumerate(numbers, len(self.disk.calls) + 1):
            self.disk.faults[place] = number

    def test_one_write_and_one_fsync(self) -> None:
        """However many operations are appended together, it is one record, one write and one fsync."""
        before = len(self.disk.calls)
        self.journal.append(messages(1000, first=2))
        self.assertEqual(self.disk.calls[before:], ["write", "sync"])
        self.assertEqual(self.disk.contents("journal-000001.jsonl").count(b"\n"), 3)

    def test_full_disk(self) -> None:
        """A record that does not fit is not recorded in part; when there is room, the journal goes on."""
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self.fail_next(number)
            self.assertRaises(DiskFull, self.journal.append, [message(2)])
        self.disk.room = 40
        self.assertRaises(DiskFull, self.journal.append, [message(3)])
        self.assertEqual(self.disk.room, 40)
        nothing = iter((0,))
        writing = self.patch(self.disk, "write", lambda handle, data, offset: next(nothing))
        self.assertRaises(DiskFull, self.journal.append, [message(3)])
        writing.restore()
        self.disk.room = None
        self.journal.append([message(4)])
        self.assertEqual(self.found(), [message(1), message(4)])

    def test_full_disk_and_power_loss(self) -> None:
        """Nothing of a record that did not fit ever shows behind or inside the one that was written in its place."""
        for seed in range(300):
            disk = MemoryDisk()
            journal = Journal.create(disk, 1, 0)
            disk.room = 2600
            self.assertRaises(DiskFull, journal.append, [message(1, "x" * 3000)])
            disk.crash_at = len(disk.calls) + 2
            self.assertRaises(PowerLoss, journal.append, [message(2, "y" * (seed * 7))])
            self.assertIn(loaded(disk.after_power_loss(seed)), ([], [message(2, "y" * (seed * 7))]))

    def test_cannot_be_cut_back(self) -> None:
        """If what did not fit cannot be taken back, the store takes nothing any more."""
        for faults in ((errno.ENOSPC, errno.EIO), (errno.ENOSPC, 0, errno.EIO)):
            self.refuses(*faults)

    def test_errors(self) -> None:
        """After an error of a write, or any of an fsync, the store takes nothing any more: it does not try again."""
        for faults in ((errno.EIO,), (0, errno.EIO), (0, errno.ENOSPC), (errno.EBADF,)):
            self.refuses(*faults)

    def refuses(self, *faults: int) -> None:
        """With these, a store that goes on with the journal refuses, now and ever after, without touching the disk."""
        self.setUp()
        self.disk = self.disk.after_kill()
        store = started(self.disk)
        self.fail_next(*faults)
        self.assertRaises(DiskFailed, store.append, [message(2)])
        before = len(self.disk.calls)
        self.assertRaises(DiskFailed, store.append, [message(3)])
        self.assertRaises(DiskFailed, store.save_state, b"{}")
        self.assertEqual(len(self.disk.calls), before)
        self.assertIn(self.found(), ([message(1)], [message(1), message(2)]))

    def test_too_much_for_one_record(self) -> None:
        """What is longer than a record may be is refused and leaves the journal as it is."""
        self.assertRaises(ValueError, self.journal.append, [message(2, "x" * 70_000_000)])
        self.journal.append([message(3)])
        self.assertEqual(self.found(), [message(1), message(3)])


class RotationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.recorded: list[AnyOperation] = []
        self.disk = MemoryDisk()
        self.store = started(self.disk, journal_size=1600)
        while self.disk.size("journal-000001.jsonl") <= 1600:
            self.append()

    def append(self) -> None:
        """Record the next message."""
        self.recorded = [*self.recorded, message(len(self.recorded) + 1)]
        self.store.append(self.recorded[-1:])

    def test_next_journal(self) -> None:
        """A journal that is large enough gets a successor, and says so."""
        self.assertEqual(self.store.closed, 0)
        self.append()
        self.assertEqual(self.store.closed, 1)
        self.assertEqual(loaded(self.disk.after_kill()), self.recorded)

    def test_no_room_for_the_next(self) -> None:
        """While there is no room, or no descriptor, for another journal, the old one goes on."""
        for number in (errno.ENOSPC, errno.EMFILE):
            self.setUp()
            self.disk.faults[len(self.disk.calls) + 2] = number  # unlink, then create
            self.append()
            tried = self.disk.calls.count("create")
            self.append()
            self.assertEqual(self.disk.calls.count("create"), tried, "not at every append")
            self.assertEqual(self.disk.names(), ["journal-000001.jsonl"])
            while not self.store.closed:
                self.append()
            self.assertEqual(loaded(self.disk.after_kill()), self.recorded)

    def test_room_again(self) -> None:
        """A journal that had to go on for long makes none behind it any larger than others are."""
        full = self.patch(self.disk, "create", _no_room)
        while self.disk.size("journal-000001.jsonl") < 8000:
            self.append()
        full.restore()
        while self.store.closed < 2:
            self.append()
        self.assertLess(self.disk.size("journal-000002.jsonl"), 2000)

    def test_no_file_stays_open(self) -> None:
        """However many journals there were, no more than one is open."""
        disk = Disk(self.mktemp())
        store, before = started(disk, journal_size=10), os.listdir("/proc/self/fd")
        for number in range(1, 9):
            store.append([message(number)])
        self.assertEqual((store.closed, len(os.listdir("/proc/self/fd"))), (8, len(before)))
        store.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before) - 2)

    def test_failed_rotation(self) -> None:
        """After a rotation that failed, nothing goes to the old journal any more: the new one may be there."""
        for call in range(2, 7):
            self.setUp()
            self.disk.faults[len(self.disk.calls) + call] = errno.EIO
            self.assertRaises(DiskFailed, self.append)
            self.assertRaises(DiskFailed, self.store.append, [message(99)])
            self.assertEqual(loaded(self.disk.after_kill()), self.recorded[:-1])


def _no_room(name: str) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


class FullDiskTests(SynchronousTestCase):
    def test_start_on_a_full_disk(self) -> None:
        """With no room at all, everything can be loaded, also behind a torn record or one without its newline."""
        disk = MemoryDisk()
        store = started(disk)
        store.append([message(1)])
        store.append([message(2)])
        data = disk.contents("journal-000001.jsonl")
        for cut, expected in ((0, 2), (1, 2), (10, 1)):
            full = MemoryDisk()
            full.put("journal-000001.jsonl", data[: len(data) - cut])
            full.room = 0
            store = Store.open(full)
            self.assertEqual(list(store.load()), messages(expected))
            self.assertRaises(DiskFull, store.append, [message(3)])
            full.room = None
            store.append([message(3)])
            store.append([message(4)])
            self.assertEqual(loaded(full.after_kill()), [*messages(expected), message(3), message(4)])

    def test_the_next_journal_behind_a_missing_newline(self) -> None:
        """A record whose newline waited for room has it before another journal begins: else that file would be damaged."""
        disk = MemoryDisk()
        started(disk).append([message(1)])
        full = MemoryDisk()
        full.put("journal-000001.jsonl", disk.contents("journal-000001.jsonl")[:-1])
        full.room = 0
        store = Store.open(full, journal_size=1)
        self.assertEqual(list(store.load()), [message(1)])
        full.room = None
        store.append([message(2)])
        self.assertEqual((store.closed, loaded(full.after_kill())), (1, messages(2)))

    def test_a_directory_that_cannot_be_read(self) -> None:
        """It is told in one line, as all that keeps a replica from starting."""
        disk = MemoryDisk()
        self.patch(disk, "names", lambda: _no_room(""))
        error = self.assertRaises(StoreError, Store.open, disk)
        self.assertEqual(str(error), "/memory: No space left on device")

    def test_leftovers_go(self) -> None:
        """What a killed process had begun to write is taken away, and nothing else."""
        disk = MemoryDisk()
        started(disk).close()
        others = ["journal-000000.jsonl", "notes.txt", "x.tmp-1"]
        for name in ("snapshot-000001.jsonl.tmp-77", "journal-000002.jsonl.tmp-1", *others):
            disk.put(name, b"")
        loaded(disk)
        self.assertEqual(sorted(disk.names()), sorted(["journal-000001.jsonl", *others]))

    def test_one_process_a_directory(self) -> None:
        """A store that is open cannot be opened again; one whose opening failed can."""
        disk = MemoryDisk()
        store = started(disk)
        self.assertRaises(StoreError, Store.open, disk)
        store.close()
        disk.put("journal-000003.jsonl", b"")
        self.assertIn("is missing", str(self.assertRaises(StoreError, Store.open, disk)))
        disk.drop("journal-000003.jsonl")
        Store.open(disk)
