"""Rules R1 to R11, on data, each broken in the production code while a context lasts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import msgspec

from chattwist import model
from chattwist.batch import Batch, Deciding, Waiting
from chattwist.chat import Chat
from chattwist.errors import DiskFailed
from chattwist.model import place
from chattwist.protocol.session import Session
from chattwist.replication import messages
from chattwist.replication.beats import Beats
from chattwist.replication.change import Changes
from chattwist.replication.core import Core
from chattwist.replication.log import Log
from chattwist.replication.rounds import Rounds
from chattwist.replication.upkeep import Upkeep
from chattwist.requests import Send, Together
from chattwist.store import files, journal
from chattwist.store.disk import IDisk
from chattwist.store.files import NewFile
from chattwist.store.store import Store
from tests.simulation.machine import Machine


@contextmanager
def no_fsync() -> Iterator[None]:
    """R1: what was written counts as durable."""
    with patch.object(journal, "sync", lambda disk, handle, name: None):
        yield


@contextmanager
def acknowledged_at_once() -> Iterator[None]:
    """R1: a follower acknowledges what it has not written yet."""
    append = Rounds.append

    def at_once(self: Rounds, rank: int, message: messages.Append) -> None:
        append(self, rank, message)
        self._own.send(rank, messages.Ack(message.epoch, message.number))

    with patch.object(Rounds, "append", at_once):
        yield


@contextmanager
def nothing_collected() -> Iterator[None]:
    """R2: a new primary goes on from what it has itself, and does not merge what the others have."""
    with patch.object(Changes, "_pull", lambda self, change: False):
        yield


@contextmanager
def nothing_passed_on() -> Iterator[None]:
    """R2: what a member caught up with goes no further until somebody comes or goes."""
    present = Beats._present

    def silent(self: Beats) -> messages.Heartbeat:
        return msgspec.structs.replace(present(self), unsettled=False)

    with patch.object(Beats, "_present", silent), patch.object(Upkeep, "_is_overdue", lambda self, view: False):
        yield


@contextmanager
def vector_ahead() -> Iterator[None]:
    """R3: the version vector moves before the data is durable."""
    new_of = Log.new_of

    def at_once(self: Log, operations: Sequence[model.AnyOperation]) -> Sequence[model.AnyOperation]:
        found = new_of(self, operations)
        for operation in found:
            self.add(operation)
        return found

    with patch.object(Log, "new_of", at_once):
        yield


@contextmanager
def one_origin_a_replica() -> Iterator[None]:
    """R4: a replica has the same origin at each start, and counts from 1."""
    with patch.object(Machine, "_origin", lambda self: f"replica{self.rank}"):
        yield


@contextmanager
def ids_of_the_primary() -> Iterator[None]:
    """R5: whoever is primary counts on from what it knows."""
    decide = Deciding.decide

    def counting_on(self: Deciding, waiting: list[Waiting], now: int) -> Batch:
        replica: Any = self._is_settled
        known = replica.__self__.core.own.log.vector.get("anyone00", 0)
        self._stamps._count = max(self._stamps._count, known)
        return decide(self, waiting, now)

    with patch.object(Deciding, "decide", counting_on), patch.object(Machine, "_origin", lambda self: "anyone00"):
        yield


@contextmanager
def keys_beside() -> Iterator[None]:
    """R6: the retry key is not part of what is replicated."""
    decide = Send.decide

    def without(self: Send, chat: Chat, together: Together) -> model.AnyOperation:
        return msgspec.structs.replace(decide(self, chat, together), key="")

    with patch.object(Send, "decide", without):
        yield


@contextmanager
def repetitions_at_once() -> Iterator[None]:
    """R6: a repetition is answered by what one replica has, whoever else has it."""
    with patch.object(Core, "is_settled", lambda self, operation: True):
        yield


@contextmanager
def no_tombstones() -> Iterator[None]:
    """R7: the deletion of a message that is not known is forgotten, and texts are kept."""
    deleted = Chat._deleted

    def forgetful(self: Chat, operation: model.Deleted) -> None:
        unknown = {message for message in operation.messages if message not in self.messages} - self.gone
        deleted(self, operation)
        self.gone -= unknown

    with patch.object(Chat, "_deleted", forgetful), patch.object(Log, "forget_text", lambda self, message_id: None):
        yield


@contextmanager
def high_water_mark() -> Iterator[None]:
    """R8: with a message all older ones count as read."""
    marked = Chat._marked_read

    def older_too(self: Chat, operation: model.Read) -> None:
        known = [self.messages[message] for message in operation.messages if message in self.messages]
        marked(self, operation)
        if known and operation.account in self.accounts:
            latest = max(map(place, known))
            for message in list(self.accounts[operation.account].unread.values()):
                if place(message) < latest:
                    self._forget_unread(message)

    with patch.object(Chat, "_marked_read", older_too):
        yield


@contextmanager
def marked_before_sent() -> Iterator[None]:
    """R8: READ marks messages before their text has gone out."""

    def at_once(self: Session, ids: tuple[str, ...], key: str) -> None:
        self._mark(ids, key)

    with patch.object(Session, "read_when_gone", at_once):
        yield


@contextmanager
def fsync_again() -> Iterator[None]:
    """R9: a failed fsync is tried once more, and the next start makes nothing durable anew."""

    def sync(disk: IDisk, handle: int, name: str) -> None:
        with suppress(DiskFailed):
            return files.sync(disk, handle, name)
        files.sync(disk, handle, name)

    with (
        patch.object(journal, "sync", sync),
        patch.object(Store, "_rewrite_last_line", lambda self, file, handle: None),
    ):
        yield


@contextmanager
def no_checksums() -> Iterator[None]:
    """R10: whatever has the form of a record is one."""

    def verify(line: bytes, start: int) -> int | None:
        with suppress(ValueError):
            return int(line[-11:-3], 16) if line.endswith(b'"}\n') else None
        return None

    with patch("chattwist.store.codec.verify", verify):
        yield


@contextmanager
def rename_only() -> Iterator[None]:
    """R11: a new file is renamed, and neither it nor its name is made durable."""

    def publish(self: NewFile) -> None:
        self._disk.rename(self._temporary, self.name)

    with patch.object(NewFile, "publish", publish):
        yield
