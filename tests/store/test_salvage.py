"""Salvage: all that is whole is kept, what is not stays beside, and no crash in between makes it worse."""

import errno
from collections.abc import Iterator

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import DiskFailed, StoreError
from chattwist.model import AnyOperation
from chattwist.store import codec
from chattwist.store.history import Damage
from chattwist.store.salvage import salvage
from chattwist.store.snapshot import compact
from tests.store.memory import MemoryDisk, PowerLoss
from tests.store.samples import filled, loaded, message, messages, started

OPERATIONS = messages(14)
SNAPSHOT = "snapshot-000002.jsonl"
CLOSED = "journal-000004.jsonl"


def several_files() -> MemoryDisk:
    """A snapshot of several records up to 2, and the journals behind it."""
    disk = MemoryDisk()
    filled(disk, OPERATIONS, journal_size=400)
    compact(disk, 2, now=0)
    started(disk).close()
    return disk


def damaged(disk: MemoryDisk, name: str, line: int) -> MemoryDisk:
    """Let a bit fall over in a file's line."""
    lines = disk.contents(name).splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"at"', b'"au"').replace(b'"number"', b'"numbes"')
    disk.put(name, b"".join(lines))
    return disk


def each_damage() -> Iterator[tuple[MemoryDisk, list[AnyOperation]]]:
    """Disks with one damaged line, and what is whole of them."""
    for name in sorted(several_files().names()):
        if name.startswith("snapshot"):
            continue
        data = several_files().contents(name).splitlines(keepends=True)
        for number, line in enumerate(data):
            lost = codec.decode(line) if codec.is_record(line) else []
            yield damaged(several_files(), name, number), [found for found in OPERATIONS if found not in lost]


class SalvageTests(SynchronousTestCase):
    def test_nothing_to_do(self) -> None:
        """Without damage, --salvage changes nothing."""
        disk = several_files()
        before = disk.everything()
        self.assertEqual(loaded(disk, salvage=True), OPERATIONS)
        self.assertEqual(disk.everything(), before)

    def test_one_damaged_line_in_any_journal(self) -> None:
        """Whichever line is damaged, all others are kept, in their order; and the store goes on as before."""
        for disk, whole in each_damage():
            self.assertRaises(Damage, loaded, disk)
            again = disk.after_kill()
            self.assertEqual(loaded(again, salvage=True), whole)
            filled(again, [message(900)], journal_size=10)
            self.assertEqual(loaded(again.after_power_loss()), [*whole, message(900)])

    def test_damaged_snapshot(self) -> None:
        """Of a snapshot all whole records are kept, also if its end is missing."""
        disk = several_files()
        disk.put(SNAPSHOT, disk.contents(SNAPSHOT)[:-5])
        self.assertEqual(loaded(disk, salvage=True), OPERATIONS)
        self.assertEqual(loaded(disk), OPERATIONS)

    def test_missing_file(self) -> None:
        """With a file missing, all others are kept."""
        disk = several_files()
        lost = [o for line in disk.contents(CLOSED).splitlines(True)[1:] for o in codec.decode(line)]
        disk.drop(CLOSED)
        self.assertEqual(loaded(disk, salvage=True), [found for found in OPERATIONS if found not in lost])

    def test_closed_file_cut_short(self) -> None:
        """A file that is cut short gives what it has."""
        disk = several_files()
        *lines, last = disk.contents(CLOSED).splitlines(keepends=True)
        disk.put(CLOSED, b"".join(lines))
        self.assertEqual(loaded(disk, salvage=True), [o for o in OPERATIONS if o not in codec.decode(last)])

    def test_damaged_files_stay_beside(self) -> None:
        """What was damaged is never overwritten: each time it is kept under a name of its own."""
        disk = damaged(several_files(), CLOSED, 1)
        bad = disk.contents(CLOSED)
        disk.put(f"{CLOSED}.damaged-1", b"from another time")
        loaded(disk, salvage=True)
        self.assertEqual(disk.contents(f"{CLOSED}.damaged-2"), bad)
        self.assertEqual(disk.contents(f"{CLOSED}.damaged-1"), b"from another time")
        self.assertNotIn(CLOSED, disk.names())

    def test_the_loss_is_told(self) -> None:
        """The log says as an error what was lost and what was kept."""
        disk = damaged(several_files(), CLOSED, 1)
        with capturedLogs() as events:
            loaded(disk, salvage=True)
        [event] = [event for event in events if event["log_level"] == LogLevel.error]
        size = len(disk.contents(f"{CLOSED}.damaged-1").splitlines(True)[1])
        self.assertEqual((event["lines"], event["size"], event["kept"]), (1, size, 13))
        self.assertIn(f"{CLOSED}: line 2, at byte ", event["what"])
        self.assertEqual(event["names"], f"{CLOSED}.damaged-1")

    def test_newer_version_is_no_damage(self) -> None:
        """Nothing of a newer version is salvaged, even with damage in front of it."""
        disk = damaged(several_files(), CLOSED, 1)
        line, _ = codec.encode_meta(codec.JournalHeader(version=2, number=5, previous="00000000"))
        disk.put("journal-000005.jsonl", line)
        before = disk.everything()
        self.assertIn("needs a newer chattwist", str(self.assertRaises(StoreError, loaded, disk, True)))
        self.assertEqual(disk.everything(), before)


class CrashTests(SynchronousTestCase):
    def test_power_lost_at_every_call(self) -> None:
        """A salvage that loses power at any moment has happened or can be done once more; nothing is lost by it."""
        whole = [found for found in OPERATIONS if found not in self.lost]
        for crash_at in range(1, self.calls + 1):
            disk = damaged(several_files(), CLOSED, 1).after_kill()
            disk.crash_at = crash_at
            self.assertRaises(PowerLoss, loaded, disk, True)
            for seed in range(8):
                self.assertEqual(self.loaded_or_salvaged(disk, seed), whole, f"crash at {crash_at}, seed {seed}")

    def loaded_or_salvaged(self, disk: MemoryDisk, seed: int) -> list[AnyOperation]:
        """What a start finds after a power loss, with --salvage if it has to; the damaged file must be somewhere."""
        after = disk.after_power_loss(seed)
        self.assertIn(self.bad, after.everything().values())
        try:
            return loaded(after)
        except Damage:
            return loaded(again := after.after_kill(), salvage=True) and loaded(again)

    def test_errors_leave_the_damage_as_it_was(self) -> None:
        """With no room to salvage, the start is refused in one line, and nothing is lost."""
        for room in (0, 100, 1500):
            disk = damaged(several_files(), CLOSED, 1).after_kill()
            disk.room = room
            self.assertIn("No space left", str(self.assertRaises(StoreError, loaded, disk, True)))
            again = disk.after_kill()
            self.assertEqual(loaded(again, salvage=True), [found for found in OPERATIONS if found not in self.lost])

    def test_a_backup_can_be_restored_after_an_error(self) -> None:
        """Whichever call fails, what salvaging began is taken back: with the damaged file restored, all is there."""
        for call in range(1, self.calls + 1):
            disk = damaged(several_files(), CLOSED, 1).after_kill()
            disk.faults = {call: errno.EIO}
            try:
                salvage(disk)
            except (StoreError, DiskFailed):
                again = disk.after_kill()
                again.put(CLOSED, several_files().contents(CLOSED))
                self.assertEqual(loaded(again), OPERATIONS, f"error at {call}")
            else:  # the call was one that may fail
                self.assertEqual(loaded(disk.after_kill()), [found for found in OPERATIONS if found not in self.lost])

    def setUp(self) -> None:
        """One life without a crash, to know what is to be expected."""
        disk = damaged(several_files(), CLOSED, 1).after_kill()
        self.bad = disk.contents(CLOSED)
        self.lost = codec.decode(several_files().contents(CLOSED).splitlines(True)[1])
        loaded(disk, salvage=True)
        self.calls = len(disk.calls)
