"""What the files are called, and how one comes to be: never half there, durable before it counts."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import attrs

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.store.disk import IDisk

_NAME = re.compile(r"(journal|snapshot)-(?!000000)(\d{6}|[1-9]\d{6,})\.jsonl")
_TEMPORARY = re.compile(r"((journal|snapshot)-.*|state\.json)\.tmp-\d+")
_FOR_NOW = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}  # ends when there is room again


def journal_name(number: int) -> str:
    """The name of a journal file."""
    return f"journal-{number:06d}.jsonl"


def snapshot_name(upto: int) -> str:
    """The name of the snapshot that stands for the journals up to ``upto``."""
    return f"snapshot-{upto:06d}.jsonl"


def temporary_name(name: str, process: int) -> str:
    """What a file is called while a process is writing it; two processes that write the same file do not meet."""
    return f"{name}.tmp-{process}"


@attrs.frozen
class Layout:
    """Which files there are: the newest snapshot's number (0: none), the journals behind it, and all that it covers."""

    snapshot: int
    journals: list[int]
    covered: list[str]

    @property
    def names(self) -> list[str]:
        """The files to read, in order."""
        return [snapshot_name(self.snapshot)] * bool(self.snapshot) + [journal_name(n) for n in self.journals]


def layout(names: Iterable[str], upto: int | None = None) -> Layout:
    """Sort a directory's names; with ``upto``, as if no file of a higher number were there."""
    numbers: dict[str, list[int]] = {"journal": [], "snapshot": []}
    for match in filter(None, map(_NAME.fullmatch, names)):
        if upto is None or int(match[2]) <= upto:
            numbers[match[1]].append(int(match[2]))
    newest = max(numbers["snapshot"], default=0)
    covered = [snapshot_name(n) for n in numbers["snapshot"] if n < newest]
    covered += [journal_name(n) for n in numbers["journal"] if n <= newest]
    return Layout(newest, sorted(n for n in numbers["journal"] if n > newest), covered)


def missing(found: Layout, upto: int | None = None) -> str:
    """The first journal that ought to be there: one behind the snapshot, and each number up to the highest (or ``upto``)."""
    behind_snapshot = found.snapshot + 1 if found.snapshot else 0
    last = max([behind_snapshot, *found.journals]) if upto is None else upto
    return next((journal_name(n) for n in range(found.snapshot + 1, last + 1) if n not in found.journals), "")


def remove(disk: IDisk, names: Iterable[str]) -> None:
    """Take files away that nobody needs; one that stays is taken away the next time."""
    for name in names:
        with suppress(OSError):
            disk.unlink(name)


def remove_temporary(disk: IDisk) -> None:
    """Take away what a process that was killed had begun to write."""
    remove(disk, [name for name in disk.names() if _TEMPORARY.fullmatch(name)])


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Raise DiskFull for an OSError that says there is no room, DiskFailed for any other."""
    try:
        yield
    except OSError as error:
        kind = DiskFull if error.errno in _FOR_NOW else DiskFailed
        raise kind(f"{name}: {error.strerror}") from error


@contextmanager
def readable(disk: IDisk, name: str) -> Iterator[None]:
    """Raise StoreError for a file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{disk.path}/{name}: cannot be read: {error.strerror}; nothing was changed") from error


def write_all(disk: IDisk, handle: int, data: bytes, offset: int) -> None:
    """Write all of ``data``, or raise OSError with some of it written."""
    while data:
        taken = disk.write(handle, data, offset)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data, offset = data[taken:], offset + taken


def sync(disk: IDisk, handle: int, name: str) -> None:
    """Make a file durable. Any error is DiskFailed: the kernel may have dropped what it could not write (R9)."""
    try:
        disk.sync(handle)
    except OSError as error:
        raise DiskFailed(f"{name}: fsync: {error.strerror}") from error


def sync_directory(disk: IDisk) -> None:
    """Make all names durable; any error is DiskFailed (R9)."""
    try:
        disk.sync_directory()
    except OSError as error:
        raise DiskFailed(f"{disk.path}: fsync: {error.strerror}") from error


class NewFile:
    """A file that gets its name once it is complete and durable (R11).

    All methods raise DiskFull or DiskFailed.
    """

    def __init__(self, disk: IDisk, name: str) -> None:
        self.name = name
        self.size = 0
        self._disk = disk
        self._temporary = temporary_name(name, os.getpid())
        with explained(name):
            with suppress(FileNotFoundError):
                disk.unlink(self._temporary)
            self.handle = disk.create(self._temporary)

    def write(self, data: bytes) -> None:
        """Add to the end."""
        with explained(self.name):
            write_all(self._disk, self.handle, data, self.size)
        self.size += len(data)

    def sync(self) -> None:
        """Make durable what was written so far."""
        sync(self._disk, self.handle, self.name)

    def publish(self) -> None:
        """Make it durable under its name. The handle stays open."""
        self.sync()
        with explained(self.name):
            self._disk.rename(self._temporary, self.name)
        sync_directory(self._disk)

    def discard(self) -> None:
        """Give up; whatever was written goes away."""
        with suppress(OSError):
            self._disk.close(self.handle)
        remove(self._disk, [self._temporary])


@contextmanager
def new_file(disk: IDisk, name: str) -> Iterator[NewFile]:
    """A new file that is discarded if its making fails."""
    file = NewFile(disk, name)
    try:
        yield file
    except BaseException:
        file.discard()
        raise
