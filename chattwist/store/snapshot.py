"""Compaction: one snapshot in the place of the journals that are closed, without what can never be used again.

Every operation's id stays, for replicas catch up by them. What goes is the text of deleted messages and of those
between two deleted accounts, password hashes that were replaced or whose account is deleted, and retry keys older
than a day. A message's retry key stays with its text, because a second copy of the message, maybe to somebody else,
may be here or yet come from a replica that was cut off. Only the key tells that it is one, and an empty text would say
that all of them are deleted (see chattwist.chat).

``python -m chattwist.store.snapshot DIRECTORY UPTO`` does it in a process of its own, at low priority.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import attrs
import msgspec

from chattwist import model
from chattwist.errors import ChattwistError
from chattwist.retrykeys import LIFETIME
from chattwist.store import codec
from chattwist.store.disk import Disk, IDisk
from chattwist.store.files import NewFile, new_file, snapshot_name
from chattwist.store.history import History, Operations

RECORD = 500  # operations in a record
SLICE = 1024 * 1024  # bytes between two fsyncs: the journal's own fsync never waits for more than this


@attrs.define
class Obsolete:
    """What later operations made useless; as large as the deletions are many, whatever the number of messages."""

    keys_before: int
    messages: set[str] = attrs.Factory(set)
    accounts: set[str] = attrs.Factory(set)
    passwords: dict[str, model.Rank] = attrs.Factory(dict)  # account → rank of the change that counts

    def note(self, operation: model.AnyOperation) -> None:
        """First pass: remember what this operation makes useless."""
        match operation:
            case model.Deleted():
                self.messages.update(operation.messages)
            case model.Unregistered():
                self.accounts.add(operation.account)
            case model.PasswordChanged():
                rank = model.rank(operation)
                self.passwords[operation.account] = max(rank, self.passwords.get(operation.account, rank))

    def strip(self, operation: model.AnyOperation) -> model.AnyOperation:
        """Second pass: the operation without what is useless."""
        if isinstance(operation, model.Sent):
            return msgspec.structs.replace(operation, text="") if self._is_gone(operation) else operation
        # by a registration's key its copies are known, of which only one is to be an account
        if operation.key and operation.at < self.keys_before and not isinstance(operation, model.Registered):
            operation = msgspec.structs.replace(operation, key="")
        if isinstance(operation, model.Registered | model.PasswordChanged) and self._is_replaced(operation):
            return msgspec.structs.replace(operation, password="")
        return operation

    def _is_gone(self, message: model.Sent) -> bool:
        if message.id in self.messages:
            return True
        return not message.key and message.sender in self.accounts and message.recipient in self.accounts

    def _is_replaced(self, operation: model.Registered | model.PasswordChanged) -> bool:
        account = operation.id if isinstance(operation, model.Registered) else operation.account
        counts = self.passwords.get(account)
        return account in self.accounts or (counts is not None and model.rank(operation) < counts)


def compact(disk: IDisk, upto: int, now: int) -> None:
    """Write the snapshot that stands for all journals up to ``upto``, which must be closed; ``now`` in microseconds.

    Verifies what it reads: Damage, DiskFull and DiskFailed leave everything as it was. The files that the snapshot
    covers stay, for the caller to remove.
    """
    with new_file(disk, snapshot_name(upto)) as file:
        write(file, upto, now, lambda: History(disk, upto))
        file.publish()
    disk.close(file.handle)


def write(file: NewFile, upto: int, now: int, history: Callable[[], Operations]) -> None:
    """Write a whole snapshot of what ``history()`` gives, which is read twice."""
    obsolete = Obsolete(now - LIFETIME)
    for operations in history().batches():
        for operation in operations:
            obsolete.note(operation)
    _write_sliced(file, _lines(upto, history(), obsolete))


def _lines(upto: int, source: Operations, obsolete: Obsolete) -> Iterator[bytes]:
    line, crc = codec.encode_meta(codec.SnapshotHeader(upto=upto))
    yield line
    count = 0
    for operations in _batched(source.batches()):
        line, crc = codec.encode([obsolete.strip(operation) for operation in operations], crc)
        count += len(operations)
        yield line
    yield codec.encode_meta(codec.SnapshotEnd(count, codec.hexadecimal(source.previous)), crc)[0]


def _batched(batches: Iterable[list[model.AnyOperation]]) -> Iterator[list[model.AnyOperation]]:
    """The same operations in records of a readable size."""
    waiting: list[model.AnyOperation] = []
    for operations in batches:
        waiting += operations
        while len(waiting) >= RECORD:
            yield waiting[:RECORD]
            waiting = waiting[RECORD:]
    if waiting:
        yield waiting


def _write_sliced(file: NewFile, lines: Iterable[bytes]) -> None:
    """Write lines, and never leave the disk more than a slice to catch up with."""
    waiting: list[bytes] = []
    length = 0
    for line in lines:
        waiting.append(line)
        length += len(line)
        if length >= SLICE:
            file.write(b"".join(waiting))
            file.sync()
            waiting, length = [], 0
    file.write(b"".join(waiting))


def main(arguments: list[str]) -> int:
    """Compact the directory that is named; the exit status, with one line on stderr if it is not 0."""
    try:
        directory, upto = arguments
        os.nice(10)
        compact(Disk(directory, make=False), int(upto), time.time_ns() // 1000)
    except (ChattwistError, OSError, ValueError) as error:
        print(f"compaction failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
