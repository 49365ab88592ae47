"""Keeping all that is whole of damaged files (R10).

Everything that can be read goes into one new snapshot, with a new journal behind it. The damaged files are kept
beside, as NAME.damaged-N. The snapshot's rename is the moment at which all of it counts: after a crash before that
the damage is still found, and salvaging once more does it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

from twisted.logger import Logger

from chattwist.errors import DiskFailed, DiskFull
from chattwist.model import AnyOperation
from chattwist.store import codec
from chattwist.store.disk import IDisk
from chattwist.store.files import explained, journal_name, layout, new_file, readable, snapshot_name, sync_directory
from chattwist.store.history import Damage, History, lines_of, understood
from chattwist.store.journal import Journal
from chattwist.store.snapshot import write

log = Logger()


class WholeRecords:
    """The records of all files that are whole, whatever is around them; counts them, and what is not.

    It is chattwist.store.history.Operations: nothing that was stored before continues behind it.
    """

    def __init__(self, disk: IDisk, names: list[str]) -> None:
        self.previous = 0
        self._disk = disk
        self._names = names
        self._reset()

    def _reset(self) -> None:
        self.kept = self.lost_lines = self.lost_bytes = 0
        self.damaged: list[str] = []

    def batches(self) -> Iterator[list[AnyOperation]]:
        """The operations, a record at a time."""
        self._reset()
        for name in self._names:
            lost_before = self.lost_lines
            with understood(self._disk, name), readable(self._disk, name), self._disk.reader(name) as file:
                for line, good in codec.whole(lines_of(file)):
                    yield from self._sort(line, good)
            if self.lost_lines > lost_before:
                self.damaged.append(name)

    def _sort(self, line: bytes, good: bool) -> Iterator[list[AnyOperation]]:
        if not good:
            self.lost_lines += 1
            self.lost_bytes += len(line)
        elif codec.is_record(line):
            operations = codec.decode(line)
            self.kept += len(operations)
            yield operations
        elif codec.is_header(line):
            codec.decode_header(line)


def salvage(disk: IDisk) -> None:
    """Make damaged files usable with all their whole records, and log what was lost; do nothing if all is well.

    StoreError, DiskFull and DiskFailed leave the files as they were.
    """
    damage = _first_damage(disk)
    if damage is None:
        log.info("salvage: nothing is damaged in {path}", path=disk.path)
        return
    found = layout(disk.names())
    records = WholeRecords(disk, found.names)
    number = max(found.snapshot, *found.journals, 0) + 1
    with new_file(disk, snapshot_name(number)) as file:
        write(file, number, 0, lambda: records)
        beside = [_keep_beside(disk, name) for name in records.damaged]
        with _all_or_none(disk, file.name, journal_name(number + 1)):
            Journal.create(disk, number + 1, records.previous).close()
            file.publish()
    disk.close(file.handle)
    _tell(damage, records, beside)


@contextmanager
def _all_or_none(disk: IDisk, snapshot: str, journal: str) -> Iterator[None]:
    """Take both away if not both could be made: left alone, either would stand in the way of a backup that is restored.

    The snapshot goes first, and if it stays the journal does, too: for without one behind it, it would be damage.
    """
    try:
        yield
    except (DiskFull, DiskFailed):
        with suppress(OSError):
            for name in (snapshot, journal):
                with suppress(FileNotFoundError):
                    disk.unlink(name)
            disk.sync_directory()
        raise


def _first_damage(disk: IDisk) -> Damage | None:
    try:
        for _ in History(disk).batches():
            pass
    except Damage as damage:
        return damage
    return None


def _keep_beside(disk: IDisk, name: str) -> str:
    """A second name for a damaged file, which stays when the first goes; no file that is there already is replaced."""
    taken = set(disk.names())
    beside = next(new for new in (f"{name}.damaged-{number}" for number in count(1)) if new not in taken)
    with explained(beside):
        disk.link(name, beside)
    sync_directory(disk)
    return beside


def _tell(damage: Damage, records: WholeRecords, beside: list[str]) -> None:
    log.error(
        "salvage: {what}. Lost: {size} bytes (damaged lines: {lines}), and what a missing or shortened file held; kept: "
        "{kept} operations. Damaged files are kept as: {names}",
        what=damage.what,
        lines=records.lost_lines,
        size=records.lost_bytes,
        kept=records.kept,
        names=", ".join(beside) or "(none)",
    )
