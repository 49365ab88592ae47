"""The lines that the files are made of."""

import json

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.store import codec
from tests.store.samples import flips, message, messages

words = some.text(max_size=30)
numbers = some.integers(0, 2**62)
operations = some.one_of(
    some.builds(model.Registered, id=words, at=numbers, name=words, password=words, key=words),
    some.builds(model.PasswordChanged, id=words, at=numbers, account=words, password=words, key=words),
    some.builds(model.Unregistered, id=words, at=numbers, account=words, key=words),
    some.builds(model.Sent, id=words, at=numbers, sender=words, recipient=words, text=some.text(), key=words),
    some.builds(model.Deleted, id=words, at=numbers, account=words, messages=some.lists(words).map(tuple), key=words),
    some.builds(model.Read, id=words, at=numbers, account=words, messages=some.lists(words).map(tuple), key=words),
)


class RecordTests(SynchronousTestCase):
    @given(some.lists(operations), some.integers(0, 2**32 - 1))
    def test_what_is_written_is_read(self, written: list[model.AnyOperation], start: int) -> None:
        """Every operation comes back equal, whatever its texts contain; each record is one line, and plain JSON."""
        line, crc = codec.encode(written, start)
        self.assertEqual(line.count(b"\n"), 1)
        self.assertEqual(codec.verify(line, start), crc)
        self.assertEqual(codec.decode(line), written)
        self.assertEqual(json.loads(line)["sum"], codec.hexadecimal(crc))

    def test_any_bit_is_noticed(self) -> None:
        """A line with any one bit changed, also of its sum or its newline, is not whole."""
        line, _ = codec.encode([message(1)], 7)
        for offset in range(len(line)):
            for damaged in flips(line, offset):
                self.assertIsNone(codec.verify(damaged, 7))

    def test_a_line_belongs_behind_another(self) -> None:
        """A whole line in another place than its own is noticed."""
        line, crc = codec.encode([message(1)], 7)
        self.assertIsNone(codec.verify(line, 8))
        self.assertIsNone(codec.verify(line, crc))

    def test_too_long_for_a_record(self) -> None:
        """More than fits in one record is refused before anything is written."""
        self.assertRaises(ValueError, codec.encode, [message(1, "x" * codec.LONGEST)], 0)

    def test_header_of_a_newer_version(self) -> None:
        """A file of a newer version is not read as if it were of this one; what it needs is told."""
        line, _ = codec.encode_meta(codec.JournalHeader(version=2, number=1, previous="00000000"))
        error = self.assertRaises(codec.NewerVersion, codec.decode_header, line)
        self.assertIn("of version 2 and needs a newer chattwist", str(error))

    def test_file_of_another_kind(self) -> None:
        """Nor is one of a kind that this version does not know, or a snapshot that ends in another way."""
        for decode, body in (
            (codec.decode_header, b'{"chattwist":"index","version":1'),
            (codec.decode_header, b'{"chattwist":"journal","version":"one"'),
            (codec.decode_end, b'{"fin":1'),
        ):
            line, _ = codec.seal(body, 0)
            self.assertIn("cannot read" if decode is codec.decode_end else "can read",
                          str(self.assertRaises(codec.NewerVersion, decode, line)))  # fmt: skip

    def test_operation_of_a_newer_version(self) -> None:
        """An operation that this version does not know is no damage."""
        line, _ = codec.seal(b'{"ops":[{"op":"reacted","id":"a-1","at":1}]', 0)
        error = self.assertRaises(codec.NewerVersion, codec.decode, line)
        self.assertIn("cannot read", str(error))


class TornTests(SynchronousTestCase):
    line = codec.encode([message(1, "x" * 2000)], 0)[0]

    def test_every_beginning_is_torn(self) -> None:
        """A last line that ends anywhere before its sum is complete was never acknowledged."""
        for length in range(1, len(self.line) - 1):
            self.assertTrue(codec.is_torn(self.line[:length], 100), length)
        self.assertFalse(codec.is_torn(self.line[:-1], 100))

    def test_sectors_that_were_never_written(self) -> None:
        """Sectors that read as NUL are torn: the first ones, those in the middle, the last."""
        offset, size = 100, len(self.line)
        for first, last in [(0, 412), (412, 924), (924, size), (0, size), (412, size)]:
            torn = self.line[:first] + bytes(last - first) + self.line[last:]
            self.assertTrue(codec.is_torn(torn, offset), (first, last))

    def test_a_bit_that_fell_over_is_not_torn(self) -> None:
        """No single bit makes an acknowledged record one that is quietly cut off, not even one that makes a NUL."""
        for offset in range(len(self.line)):
            for damaged in flips(self.line, offset):
                self.assertFalse(codec.is_torn(damaged, 100))
        spaced = self.line.replace(b"xx", b"x\0")
        self.assertFalse(codec.is_torn(spaced, 100))
        for place in (411, 412, 923):  # the ends of sectors
            one = self.line[:place] + b"\0" + self.line[place + 1 :]
            self.assertFalse(codec.is_torn(one, 100), place)
            self.assertFalse(codec.is_torn(one[:924] + bytes(512) + one[1436:], 100), place)


class WholeTests(SynchronousTestCase):
    def lines(self) -> list[bytes]:
        crc, lines = 0, []
        for operation in messages(9):
            line, crc = codec.encode([operation], crc)
            lines.append(line)
        return lines

    def kept(self, data: bytes) -> list[bytes]:
        return [piece for piece, good in codec.whole(iter(data.splitlines(keepends=True))) if good]

    def test_all_of_a_good_file(self) -> None:
        """Nothing of a file without damage is lost."""
        lines = self.lines()
        self.assertEqual(self.kept(b"".join(lines)), lines)

    def test_one_bit_costs_one_line(self) -> None:
        """Whichever bit falls over, only the line that it stood in is lost, and none that is kept has changed."""
        lines = self.lines()
        before, line, behind = lines[:4], lines[4], lines[5:]
        for offset in range(len(line) - 1):
            for damaged in flips(line, offset):
                self.assertEqual(self.kept(b"".join([*before, damaged, *behind])), [*before, *behind], damaged)

    def test_a_newline_that_is_gone(self) -> None:
        """Two lines that run into each other are both kept."""
        lines = self.lines()
        for damaged in flips(lines[4], len(lines[4]) - 1):
            self.assertEqual(self.kept(b"".join([*lines[:4], damaged, *lines[5:]])), lines)

    def test_a_line_that_is_gone(self) -> None:
        """Behind a line that was taken out, one more cannot be told from a stranger's."""
        lines = self.lines()
        self.assertEqual(self.kept(b"".join(lines[:4] + lines[5:])), lines[:4] + lines[6:])
