"""The journal that is being written: one record an append, durable before append returns (R1)."""

from collections.abc import Sequence
from contextlib import suppress

from chattwist.errors import DiskFailed, DiskFull
from chattwist.model import AnyOperation
from chattwist.store import codec
from chattwist.store.disk import IDisk
from chattwist.store.files import explained, journal_name, new_file, sync, write_all


class Journal:
    """An open journal file.

    ``size`` is its length in bytes, up to its last whole record, and ``crc`` that record's sum. With ``unfinished``
    the newline of the last record is missing.
    """

    def __init__(self, disk: IDisk, number: int, handle: int, size: int, crc: int, unfinished: bool = False) -> None:
        self.number = number
        self.name = journal_name(number)
        self.size = size
        self.crc = crc
        self._disk = disk
        self._handle = handle
        self._unfinished = unfinished

    @classmethod
    def create(cls, disk: IDisk, number: int, previous: int) -> "Journal":
        """A new journal, durable under its name; ``previous`` is the last sum of the one before it."""
        line, crc = codec.encode_meta(codec.JournalHeader(number=number, previous=codec.hexadecimal(previous)))
        with new_file(disk, journal_name(number)) as file:
            file.write(line)
            file.publish()
        return cls(disk, number, file.handle, file.size, crc)

    def append(self, operations: Sequence[AnyOperation]) -> None:
        """Record operations, all or none.

        DiskFull: none was recorded, and the journal goes on. DiskFailed: whether they were is not known, and
        nothing may be appended any more. ValueError: more than codec.LONGEST bytes; none was recorded.
        """
        self.finish_line()
        line, crc = codec.encode(operations, self.crc)
        self._write(line)
        self.crc = crc

    def finish_line(self) -> None:
        """Give the last record its newline, if it is missing. DiskFull, DiskFailed."""
        if self._unfinished:
            self._write(b"\n")
            self._unfinished = False

    def close(self) -> None:
        """Give the file back."""
        with suppress(OSError):
            self._disk.close(self._handle)

    def _write(self, data: bytes) -> None:
        try:
            with explained(self.name):
                write_all(self._disk, self._handle, data, self.size)
        except DiskFull:
            self._cut_back()
            raise
        sync(self._disk, self._handle, self.name)
        self.size += len(data)

    def _cut_back(self) -> None:
        """Leave nothing of a record that did not fit; durably, lest the next one be written over what is left of it."""
        try:
            self._disk.truncate(self._handle, self.size)
            self._disk.sync(self._handle)
        except OSError as error:
            raise DiskFailed(f"{self.name}: cannot be cut back to its last whole record: {error.strerror}") from error
