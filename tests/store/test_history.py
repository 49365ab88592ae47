"""Reading: all that was stored, or a refusal that says where the damage is; never quietly less."""

import errno
import json
from typing import IO

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import StoreError
from chattwist.model import AnyOperation
from chattwist.store import codec, state
from chattwist.store.history import Damage
from chattwist.store.snapshot import compact
from tests.store.memory import MemoryDisk
from tests.store.samples import filled, flips, loaded, messages, started

ONE = "journal-000001.jsonl"
OPERATIONS = messages(200)


def one_journal(count: int = 200) -> bytes:
    """A journal of so many records."""
    disk = MemoryDisk()
    filled(disk, OPERATIONS[:count])
    return disk.contents(ONE)


def many_files() -> MemoryDisk:
    """A snapshot up to 2, and the journals 3 to 5."""
    disk = MemoryDisk()
    filled(disk, OPERATIONS[:9], journal_size=300)
    store = started(disk, journal_size=300)
    compact(disk, 2, now=0)
    store.remove_covered()
    for operation in OPERATIONS[9:12]:
        store.append([operation])
    store.close()
    return disk


class ReadabilityTests(SynchronousTestCase):
    def test_every_line_is_json(self) -> None:
        """All files can be read by people, with less and jq: UTF-8, one JSON object a line."""
        for name, data in many_files().everything().items():
            parsed = [json.loads(line) for line in data.decode().splitlines()]
            self.assertEqual(parsed[0]["chattwist"], name.split("-")[0])
            self.assertEqual(parsed[1]["ops"][0]["op"], "sent")

    def test_several_files_in_order(self) -> None:
        """Operations come in the order in which they were recorded, from however many files."""
        disk = many_files()
        self.assertGreater(len(disk.names()), 3)
        self.assertEqual(loaded(disk), OPERATIONS[:12])


class OneBadJournal(SynchronousTestCase):
    def refused(self, data: bytes) -> StoreError | None:
        """The refusal, having checked that nothing was changed; None if all operations were loaded."""
        disk = MemoryDisk()
        disk.put(ONE, data)
        try:
            found = loaded(disk)
        except StoreError as error:
            self.assertEqual(disk.everything(), {ONE: data})
            return error
        self.assertEqual(found, OPERATIONS)
        return None

    def test_a_bit_in_every_record(self) -> None:
        """Wherever one bit falls over, in each record and the header, the file is refused, not loaded as less."""
        data = one_journal()
        start = 0
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            for offset in (0, 1, len(line) // 2, len(line) - 19, len(line) - 11, len(line) - 2, len(line) - 1):
                for damaged in list(flips(data, start + offset))[number % 8 :: 8]:
                    self.assertIsInstance(self.refused(damaged), Damage)
            start += len(line)

    @settings(max_examples=300)
    @given(some.data())
    def test_any_bit(self, data: some.DataObject) -> None:
        """The same for any bit of the file."""
        journal = self.journal
        offset = data.draw(some.integers(0, len(journal) - 1))
        damaged = data.draw(some.sampled_from(list(flips(journal, offset))))
        self.assertIsInstance(self.refused(damaged), Damage)

    journal = one_journal()

    @settings(max_examples=300)
    @given(some.data())
    def test_anything_but_the_end(self, data: some.DataObject) -> None:
        """Bytes that are taken out, put in or replaced anywhere before the last record are noticed."""
        end = self.journal.rindex(b'\n{"ops"')
        first, last = sorted(data.draw(some.tuples(some.integers(0, end - 1), some.integers(0, end - 1))))
        damaged = self.journal[:first] + data.draw(some.binary(max_size=50)) + self.journal[last:]
        refusal = self.refused(damaged)
        self.assertEqual(refusal is None, damaged == self.journal)

    def test_the_text_of_a_refusal(self) -> None:
        """A refusal says which file, line and byte, what is behind it, that nothing was changed, and what to do."""
        lines = self.journal.splitlines(keepends=True)
        lines[9] = lines[9].replace(b"sent", b"SENT")
        self.assertEqual(
            str(self.refused(b"".join(lines))),
            f"/memory/{ONE}: line 10, at byte {len(b''.join(lines[:9]))}, is damaged; "
            "191 whole records stand behind it. "
            "Nothing was changed. Restore it from a backup, or start it once by twistd chatreplica, its options and --salvage",
        )

    def test_empty_or_without_header(self) -> None:
        """A journal that is empty, or all NUL, was not left so by any power loss."""
        for data in (b"", b"\0", bytes(5000), b"\n", self.journal[: self.journal.index(b"\n")]):
            self.assertIsInstance(self.refused(data), Damage)

    def test_a_line_without_end(self) -> None:
        """A file that is one endless line is refused like any other, and read in pieces."""
        self.patch(codec, "LONGEST", 1000)
        self.assertIsInstance(self.refused(self.journal[:300] + b"x" * 50_000), Damage)

    def test_newer_version(self) -> None:
        """A file of a newer version is refused and not called damaged; what to do is another thing."""
        line, _ = codec.encode_meta(codec.JournalHeader(version=2, number=1, previous="00000000"))
        refusal = self.refused(line)
        self.assertNotIsInstance(refusal, Damage)
        self.assertIn(f"/memory/{ONE}: it is of version 2 and needs a newer chattwist", str(refusal))
        self.assertIn("Nothing was changed", str(refusal))


class LastRecordTests(SynchronousTestCase):
    data = one_journal(20)
    ends = tuple(offset + 1 for offset, byte in enumerate(data) if byte == 10)

    def cut(self, length: int) -> tuple[list[AnyOperation], MemoryDisk]:
        """What a journal gives that is only so long."""
        disk = MemoryDisk()
        disk.put(ONE, self.data[:length])
        return loaded(disk), disk

    def test_cut_at_every_byte(self) -> None:
        """A journal that ends anywhere in its last records gives each record that is whole, and goes on behind them."""
        for length in range(self.ends[-4], self.ends[-1] + 1):
            found, disk = self.cut(length)
            whole = sum(end - 1 <= length for end in self.ends) - 1  # only its newline may be missing
            self.assertEqual(found, OPERATIONS[:whole])
            filled(disk.after_power_loss(), [OPERATIONS[50]])
            self.assertEqual(loaded(disk.after_kill()), found)
            self.assertTrue(disk.contents(ONE).endswith(b"\n"))

    def test_a_torn_record_is_kept_beside(self) -> None:
        """What is cut off goes to a file of its own and nothing of it stays behind the next records."""
        torn_at = self.ends[-2]
        found, disk = self.cut(torn_at + 60)
        self.assertEqual(disk.contents(f"{ONE}.torn-at-{torn_at}"), self.data[torn_at : torn_at + 60])
        self.assertEqual(disk.contents(ONE), self.data[:torn_at])
        self.assertEqual(len(found), 19)
        self.assertNotIn(b"torn", b"".join(name.encode() for name in self.cut(torn_at)[1].names()))

    def test_torn_only_at_the_very_end(self) -> None:
        """The same bytes at the end of a closed journal are damage."""
        disk = many_files()
        for name in [*sorted(disk.names())[:-2], "snapshot-000002.jsonl"]:
            whole = disk.contents(name)
            for cut in (1, 30):
                disk.put(name, whole[:-cut])
                self.assertRaises(Damage, loaded, disk.after_kill())
            disk.put(name, whole)
        self.assertEqual(loaded(disk), OPERATIONS[:12])


class FilesTests(SynchronousTestCase):
    def refused(self, disk: MemoryDisk) -> str:
        """The refusal's text."""
        before = disk.everything()
        text = str(self.assertRaises(Damage, loaded, disk))
        self.assertEqual(disk.everything(), before)
        return text

    def test_a_file_that_is_missing(self) -> None:
        """Each file is missed: the snapshot, any journal that another one follows, and the one behind the snapshot."""
        names = sorted(many_files().names())
        for name in names[:-2] + names[-1:]:
            disk = many_files()
            disk.drop(name)
            self.assertIn("this file is missing", self.refused(disk))

    def test_no_file_is_left(self) -> None:
        """Beside a state.json there is always a journal."""
        disk = many_files()
        for name in disk.names():
            disk.drop(name)
        state.save(disk, b"{}")
        self.assertIn("journal-000001.jsonl: all journals are missing", self.refused(disk))

    def test_only_the_snapshot_is_left(self) -> None:
        """A snapshot is always followed by a journal."""
        disk = many_files()
        for name in disk.names():
            if name.startswith("journal"):
                disk.drop(name)
        self.assertIn("journal-000003.jsonl: this file is missing", self.refused(disk))

    def test_a_closed_file_cut_short(self) -> None:
        """A closed journal or a snapshot that lost whole records at its end is noticed."""
        for name in [*sorted(many_files().names())[:-2], "snapshot-000002.jsonl"]:
            disk = many_files()
            lines = disk.contents(name).splitlines(keepends=True)
            disk.put(name, b"".join(lines[:-1]))
            self.assertIn("cut short", self.refused(disk))

    def test_more_than_the_end(self) -> None:
        """A snapshot with a line too many is refused."""
        disk = many_files()
        name = "snapshot-000002.jsonl"
        data = disk.contents(name)
        line, _ = codec.encode(messages(1), int(json.loads(data.splitlines()[-1])["sum"], 16))
        disk.put(name, data + line)
        self.assertIn("it does not end at line", self.refused(disk))

    def test_an_end_that_counts_otherwise(self) -> None:
        """A snapshot that holds another number of operations than its end says is refused."""
        disk = many_files()
        name = "snapshot-000002.jsonl"
        *lines, _ = disk.contents(name).splitlines(keepends=True)
        crc = int(json.loads(lines[-1])["sum"], 16)
        end, _ = codec.encode_meta(codec.SnapshotEnd(1000, "00000000"), crc)
        disk.put(name, b"".join([*lines, end]))
        self.assertIn("with 1000 operations", self.refused(disk))

    def test_another_files_name(self) -> None:
        """Two journals that were given each other's name are noticed."""
        disk = many_files()
        third, fourth = disk.contents("journal-000003.jsonl"), disk.contents("journal-000004.jsonl")
        disk.put("journal-000003.jsonl", fourth)
        disk.put("journal-000004.jsonl", third)
        self.assertIn("line 1, at byte 0: it does not continue the file before it", self.refused(disk))

    def test_a_file_that_cannot_be_read(self) -> None:
        """A file that the disk does not give is a refusal like another, not a traceback."""

        class Unreadable(MemoryDisk):
            def reader(self, name: str) -> IO[bytes]:
                raise OSError(errno.EIO, "Input/output error")

        disk = Unreadable()
        disk.put(ONE, b"")
        self.assertIn("cannot be read: Input/output error", str(self.assertRaises(StoreError, loaded, disk)))
