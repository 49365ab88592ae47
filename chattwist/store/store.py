"""What one replica keeps on disk: loaded once, then appended to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from twisted.logger import Logger

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.model import AnyOperation
from chattwist.store import state
from chattwist.store.disk import IDisk, opened
from chattwist.store.files import (
    explained,
    layout,
    new_file,
    remove,
    remove_temporary,
    snapshot_name,
    sync,
    sync_directory,
    write_all,
)
from chattwist.store.history import History, VerifiedFile
from chattwist.store.journal import Journal
from chattwist.store.salvage import salvage as salvage_files

log = Logger()

JOURNAL_SIZE = 8 * 1024 * 1024  # bytes; compacting less is not worth the writing


class Store:
    """The operations in one directory: ``open``, ``load`` to its end, then ``append``; by one thread at a time.

    ``closed`` is the number of the newest journal that no longer changes, 0 for none.
    """

    def __init__(self, disk: IDisk, history: History, journal_size: int) -> None:
        self.closed = 0
        self.disk = disk
        self._history = history
        self._journal: Journal | None = None
        self._journal_size = self._rotate_at = journal_size
        self._snapshot_size = 0
        self._failure: DiskFailed | None = None

    @classmethod
    def open(cls, disk: IDisk, salvage: bool = False, journal_size: int = JOURNAL_SIZE) -> "Store":
        """Take the directory; with ``salvage`` damaged files are made usable first.

        A journal gets a successor when it is larger than ``journal_size`` bytes and than the snapshot. StoreError
        when the directory is in use, or a file is missing from it.
        """
        disk.lock()
        try:
            with _starting(disk):
                remove_temporary(disk)
                if salvage:
                    salvage_files(disk)
                return cls(disk, History(disk), journal_size)
        except BaseException:
            disk.release()
            raise

    def load(self) -> Iterator[AnyOperation]:
        """All operations, as they were recorded; StoreError when anything is damaged, then nothing was changed.

        All of it has to be taken before the first ``append``. Works on a disk that is full, too.
        """
        for operations in self._history.batches():
            yield from operations
        with _starting(self.disk):
            self._settle(self._history.last)

    def append(self, operations: Sequence[AnyOperation]) -> None:
        """Record operations durably, all or none (R1).

        DiskFull: none was recorded, and the store goes on. DiskFailed: whether they were is not known, and the process
        has to end. ValueError: more than codec.LONGEST bytes; none was recorded.
        """
        assert self._journal is not None, "append before all was loaded"
        with self._unless_failed():
            if self._journal.size > max(self._rotate_at, self._snapshot_size):
                self._journal = self._rotate(self._journal)
            self._journal.append(operations)

    def save_state(self, data: bytes) -> None:
        """Replace what state() gives by another JSON object; DiskFull and DiskFailed as for append."""
        with self._unless_failed():
            state.save(self.disk, data)

    @contextmanager
    def _unless_failed(self) -> Iterator[None]:
        """Do something with the disk; what fails is the last thing that is done (R9)."""
        if self._failure is not None:
            raise DiskFailed(str(self._failure))
        try:
            yield
        except DiskFailed as failure:
            self._failure = failure
            raise

    def state(self) -> bytes:
        """What was saved last, or nothing; StoreError if it is damaged."""
        return state.load(self.disk)

    def remove_covered(self) -> None:
        """Take away what a new snapshot covers; in any thread, for removing a large file takes long.

        DiskFailed: whether the snapshot's name is durable is not known, so all stays, and the store takes nothing more.
        """
        with self._unless_failed():  # in this thread the kernel tells it, so another one would never hear of it
            sync_directory(self.disk)
        found = layout(self.disk.names())
        if found.snapshot:
            self._snapshot_size = self.disk.size(snapshot_name(found.snapshot))
        remove(self.disk, found.covered)

    def close(self) -> None:
        """Give the files and the directory back."""
        if self._journal is not None:
            self._journal.close()
        self.disk.release()

    # -- starting

    def _settle(self, last: VerifiedFile | None) -> None:
        """Make durable what was read (R9), and the journal ready to go on."""
        for name in self._history.found.names:
            with explained(name), opened(self.disk, name) as handle:
                sync(self.disk, handle, name)
        self._journal = Journal.create(self.disk, 1, 0) if last is None else self._resume(last)
        self.closed = self._journal.number - 1
        self.remove_covered()

    def _resume(self, file: VerifiedFile) -> Journal:
        with explained(file.name):
            handle = self.disk.open(file.name)
            if file.torn:
                self._cut_off_torn(file, handle)  # made durable together with what follows
            self._rewrite_last_line(file, handle)
        number = self._history.found.journals[-1]
        journal = Journal(self.disk, number, handle, file.end, file.crc, file.unfinished)
        try:
            journal.finish_line()
        except DiskFull as full:
            log.warn("{full}: the newline of its last record waits for room", full=full)
        return journal

    def _cut_off_torn(self, file: VerifiedFile, handle: int) -> None:
        beside = f"{file.name}.torn-at-{file.end}"
        try:
            with new_file(self.disk, beside) as copy:
                copy.write(self._bytes(file.name, file.end, file.torn))
                copy.publish()
            self.disk.close(copy.handle)
        except (DiskFull, DiskFailed) as error:
            log.warn("no copy is kept of a torn record: {error}", error=error)
        self.disk.truncate(handle, file.end)
        log.warn("{name}: cut off a torn record, {size} bytes at {offset}; it had not been acknowledged",
                 name=file.name, size=file.torn, offset=file.end)  # fmt: skip

    def _rewrite_last_line(self, file: VerifiedFile, handle: int) -> None:
        """Write the last line once more where it stands, and make that durable.

        Note [Why not only fsync]: if the process before this one ended by a failed fsync, the kernel may still show
        the line to readers, and call it clean, though the disk never got it. Another fsync would then succeed
        without doing anything.
        """
        try:
            with explained(file.name):
                write_all(self.disk, handle, self._bytes(file.name, file.start, file.end - file.start), file.start)
        except DiskFull as full:  # a file system that writes elsewhere needs room even for this
            log.warn("{full}: the last record could not be made durable anew", full=full)
        sync(self.disk, handle, file.name)

    def _bytes(self, name: str, offset: int, length: int) -> bytes:
        with self.disk.reader(name) as file:
            file.seek(offset)
            return file.read(length)

    # -- going on

    def _rotate(self, journal: Journal) -> Journal:
        """The next journal; or the same one, to be tried again later, if there is no room for another."""
        try:
            journal.finish_line()
            successor = Journal.create(self.disk, journal.number + 1, journal.crc)
        except DiskFull as full:
            self._rotate_at = journal.size + self._journal_size // 8
            log.warn("{name} goes on, there is no room for the next: {full}", name=journal.name, full=full)
            return journal
        journal.close()
        self._rotate_at = self._journal_size
        self.closed = journal.number
        return successor


@contextmanager
def _starting(disk: IDisk) -> Iterator[None]:
    """While starting, every trouble with the disk is one line for the person who starts the replica."""
    try:
        yield
    except (DiskFull, DiskFailed) as error:
        raise StoreError(f"{disk.path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{disk.path}: {error.strerror}") from error
