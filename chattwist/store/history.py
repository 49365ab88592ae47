"""Reading what was stored, each line verified: all of it in the order of the files, or StoreError."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from chattwist.errors import StoreError
from chattwist.model import AnyOperation
from chattwist.store import codec, state
from chattwist.store.disk import IDisk
from chattwist.store.files import journal_name, layout, missing, readable, snapshot_name

ADVICE = (
    "Nothing was changed. Restore it from a backup, or start it once by twistd chatreplica, its options and --salvage"
)


class Damage(StoreError):
    """A file is not what was written."""

    def __init__(self, disk: IDisk, name: str, what: str) -> None:
        super().__init__(f"{disk.path}/{name}: {what}. {ADVICE}")
        self.what = f"{name}: {what}"


class Operations(Protocol):
    """Stored operations; ``previous`` is what the next journal has to carry, known once all batches were taken."""

    previous: int

    def batches(self) -> Iterator[list[AnyOperation]]:
        """The operations, a record at a time."""


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """A file's lines; what is too long to be a line of ours comes in pieces."""
    while line := file.readline(codec.LONGEST):
        yield line


@contextmanager
def understood(disk: IDisk, name: str) -> Iterator[None]:
    """Raise StoreError for a line that was written by a newer version."""
    try:
        yield
    except codec.NewerVersion as error:
        raise StoreError(f"{disk.path}/{name}: {error}. Nothing was changed") from error


class VerifiedFile:
    """One file's lines, each checked against the sum of the line before (R10).

    While they are taken, ``number`` tells which line was given last, counted from 1, ``start`` and ``end`` at which
    bytes it starts and ends, and ``crc`` is its sum. Where ``open_ended`` says that this file was being written
    when the process ended, its last line may be torn: it is left out and ``torn`` is its length; or be whole but
    for its newline, which ``unfinished`` tells.
    """

    def __init__(self, disk: IDisk, name: str, open_ended: bool = False) -> None:
        self.name = name
        self.number = self.start = self.end = self.crc = self.torn = 0
        self.unfinished = False
        self._disk = disk
        self._open_ended = open_ended

    def lines(self) -> Iterator[bytes]:
        """The whole lines, with their newline; Damage at the first that is not whole."""
        with readable(self._disk, self.name), self._disk.reader(self.name) as file:
            for line in lines_of(file):
                crc = codec.verify(line, self.crc)
                if crc is None:
                    yield from self._not_whole(line, file)
                    return
                self._advance(len(line), crc)
                yield line

    def _advance(self, length: int, crc: int) -> None:
        self.number += 1
        self.start, self.end = self.end, self.end + length
        self.crc = crc

    def _not_whole(self, line: bytes, file: IO[bytes]) -> Iterator[bytes]:
        if not self._open_ended or not self.number or file.read(1):
            raise self._damage()
        crc = codec.verify(line + b"\n", self.crc)
        if crc is not None:
            self.unfinished = True
            self._advance(len(line), crc)
            yield line + b"\n"
        elif codec.is_torn(line, self.end):
            self.torn = len(line)
        else:
            raise self._damage()

    def _damage(self) -> Damage:
        with self._disk.reader(self.name) as file:
            behind = sum(good for _, good in codec.whole(lines_of(file))) - self.number
        where = f"line {self.number + 1}, at byte {self.end}"
        return Damage(self._disk, self.name, f"{where}, is damaged; {behind} whole records stand behind it")


class History:
    """All that a directory holds, or with ``upto`` what its snapshot and journals up to that number do.

    Damage, also at once when a file is missing. ``last`` is the journal file read last, None before or without one.
    """

    def __init__(self, disk: IDisk, upto: int | None = None) -> None:
        self.found = layout(disk.names(), upto)
        self.previous = 0
        self.last: VerifiedFile | None = None
        self._disk = disk
        self._open_ended = upto is None
        if name := missing(self.found, upto):
            raise Damage(disk, name, "this file is missing")
        if upto is None and not self.found.names and state.NAME in disk.names():
            raise Damage(disk, journal_name(1), "all journals are missing")

    def batches(self) -> Iterator[list[AnyOperation]]:
        """The operations, a record at a time."""
        if self.found.snapshot:
            yield from self._snapshot(self.found.snapshot)
        for number in self.found.journals:
            yield from self._journal(number)

    def _journal(self, number: int) -> Iterator[list[AnyOperation]]:
        open_ended = self._open_ended and number == self.found.journals[-1]
        file = self.last = VerifiedFile(self._disk, journal_name(number), open_ended)
        lines = file.lines()
        with understood(self._disk, file.name):
            expected = codec.JournalHeader(number=number, previous=codec.hexadecimal(self.previous))
            self._check_header(file, lines, expected)
            for line in lines:
                yield codec.decode(line)
        self.previous = file.crc

    def _snapshot(self, number: int) -> Iterator[list[AnyOperation]]:
        file = VerifiedFile(self._disk, snapshot_name(number))
        lines = file.lines()
        count = 0
        with understood(self._disk, file.name):
            self._check_header(file, lines, codec.SnapshotHeader(upto=number))
            for line in lines:
                if not codec.is_record(line):
                    break
                operations = codec.decode(line)
                count += len(operations)
                yield operations
            else:
                raise Damage(self._disk, file.name, f"it is cut short behind line {file.number}")
            self._check_end(file, lines, codec.decode_end(line), count)

    def _check_header(self, file: VerifiedFile, lines: Iterator[bytes], expected: codec.Header) -> None:
        line = next(lines, None)
        if line is None:
            raise Damage(self._disk, file.name, "it is empty")
        if codec.decode_header(line) != expected:
            raise Damage(self._disk, file.name, "line 1, at byte 0: it does not continue the file before it, "
                         "one of the two was cut short or replaced")  # fmt: skip

    def _check_end(self, file: VerifiedFile, lines: Iterator[bytes], end: codec.SnapshotEnd, count: int) -> None:
        if end.end != count or next(lines, None) is not None:
            raise Damage(self._disk, file.name, f"it does not end at line {file.number} with {end.end} operations")
        self.previous = int(end.previous, 16)
