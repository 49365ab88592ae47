"""The rules of chattwist/replication/DESIGN.md, each broken in the production code: does the simulation notice?

A rule that can be missing without any run noticing it is either not needed or not tried hard enough.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from unittest.mock import patch

import msgspec

from chattwist import model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.model import place
from chattwist.errors import DiskFailed, OutcomeUnknown
from chattwist.grants import Grants
from chattwist.names import Claim
from chattwist.protocol.backend import Committed
from chattwist.protocol.session import Session
from chattwist.replication import messages
from chattwist.replication.change import Changes
from chattwist.replication.contact import Contact, Peer
from chattwist.replication.core import Core
from chattwist.replication.log import Log
from chattwist.replication.own import Own, Tags
from chattwist.replication.rounds import Rounds
from chattwist.requests import Send, Stamp
from chattwist.router import Errand, Router
from chattwist.store import files, journal
from chattwist.store.disk import IDisk
from chattwist.store.files import NewFile
from chattwist.store.store import Store
from tests.simulation.machine import Machine
from tests.simulation.process import Process
from tests.simulation.run import broken, many

Mutant = Callable[[], AbstractContextManager[None]]


def until_noticed(seeds: Iterable[str], modes: Iterable[bool], mutant: Mutant) -> tuple[int, str]:
    """After how many runs a broken rule is noticed, and by which promise; an empty one if it is not."""
    count = 0
    for result in many(seeds, modes, mutant):
        count += 1
        if result.violations:
            return count, broken(result)
    return count, ""


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
def vector_ahead() -> Iterator[None]:
    """R3: the version vector moves before the data is durable."""
    new_of = Log.new_of

    def at_once(self: Log, operations: Iterable[model.AnyOperation]) -> list[model.AnyOperation]:
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

    def stamp(self: Any) -> tuple[str, int]:
        _, at = self._stamps.next(self._now(), self._chat.latest)
        self._stamps._count = max(self._stamps._count, self._journal._core.own.log.vector.get("anyone00", 0) + 1)
        return f"anyone00-{self._stamps._count}", at

    with patch("chattwist.commits.Commits._stamp", stamp), patch.object(Machine, "_origin", lambda self: "anyone00"):
        yield


@contextmanager
def keys_beside() -> Iterator[None]:
    """R6: the retry key is not part of what is replicated."""
    decide = Send.decide

    def without(self: Send, chat: Chat, stamp: Stamp) -> model.AnyOperation:
        return msgspec.structs.replace(decide(self, chat, stamp), key="")

    with patch.object(Send, "decide", without):
        yield


@contextmanager
def repetitions_at_once() -> Iterator[None]:
    """R6: a repetition is answered by what one replica has, whoever else has it."""
    with patch.object(Core, "is_settled", lambda self, operation: True):
        yield


@contextmanager
def no_tombstones() -> Iterator[None]:
    """R7: the deletion of a message that is not known is forgotten."""
    drop = Chat._drop

    def forgetful(self: Chat, message_id: str) -> None:
        known = message_id in self.messages
        drop(self, message_id)
        if not known:
            self._gone.discard(message_id)

    with patch.object(Chat, "_drop", forgetful):
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

    with patch.object(journal, "sync", sync), patch.object(Store, "_rewrite_last_line", lambda self, file, handle: None):
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


@contextmanager
def old_epochs() -> Iterator[None]:
    """R12: a follower goes on to take what an older primary sends."""

    def append(self: Rounds, rank: int, message: messages.Append) -> None:
        self._own.store(
            message.operations,
            lambda durable: self._own.send(rank, messages.Ack(message.epoch, message.number)), message.tags,
        )  # fmt: skip

    with patch.object(Rounds, "append", append):
        yield


@contextmanager
def promises_forgotten() -> Iterator[None]:
    """R12: what is promised and which view it was in, a replica does not remember over a restart."""
    with patch.object(Store, "save_state", lambda self, data: None):
        yield


@contextmanager
def pauses_unnoticed() -> Iterator[None]:
    """R13: a process that was stopped goes on as if nothing had been."""

    def pass_time(self: Core, now: float) -> None:
        self._running = True
        self.own.now = self.contact.now = now

    with patch.object(Core, "_pass_time", pass_time):
        yield


@contextmanager
def no_hearsay() -> Iterator[None]:
    """R14: who does not hear the primary itself elects itself."""
    with patch.object(Contact, "primary_by_hearsay", lambda self: False):
        yield


@contextmanager
def one_way() -> Iterator[None]:
    """R15: contact one way is enough."""

    def is_two_way(self: Contact, rank: int) -> bool:
        return self.is_alive(rank) and self.peers[rank].beat is not None

    with patch.object(Contact, "is_two_way", is_two_way):
        yield


@contextmanager
def nobody_waited_for() -> Iterator[None]:
    """R16: whoever is alone after a start leads."""
    with patch("chattwist.replication.change.holds_all", lambda known: True):
        yield


@contextmanager
def no_hold_down() -> Iterator[None]:
    """R17: a lower port that comes back leads at once."""
    with patch.object(Contact, "hold_down", lambda self, peer: 0.0):
        yield


@contextmanager
def not_caught_up() -> Iterator[None]:
    """R17: a replica comes into the view before it has caught up, and nothing is sent to it then."""

    def is_wanted(self: Core, peer: Peer, view: messages.View) -> bool:
        return True

    def fill(self: Changes, rank: int, promise: messages.Promise) -> bool:
        return True

    with patch.object(Core, "_is_wanted", is_wanted), patch.object(Changes, "_fill", fill):
        yield


@contextmanager
def late_ones_stay() -> Iterator[None]:
    """R18: a follower that does not acknowledge stays in the view."""
    with (
        patch.object(Rounds, "late", lambda self, silence: set()),
        patch.object(Own, "fit", lambda self, patience: self.now >= self.full_until),
    ):
        yield


@contextmanager
def first_come() -> Iterator[None]:
    """R19: the earlier registration has the name, whether anybody was told of it or not."""

    def claim(self: Account) -> Claim:
        assert self.registered is not None
        return False, *place(self.registered)

    with patch.object(Account, "claim", property(claim)):
        yield


@contextmanager
def answered_before_applied() -> Iterator[None]:
    """R20: the primary waits for nobody's disk but its own, and a follower answers before it has applied."""
    begin, committed = Rounds.begin, Router._committed

    def alone(self: Rounds, operations: Any, tags: Tags) -> None:
        begin(self, operations, tags)
        if self.round is not None:
            self.round.waiting &= {self._own.rank}

    def unseen(self: Router, message: messages.Result) -> Any:
        result = committed(self, message)
        if isinstance(result, OutcomeUnknown):
            origin, _, _ = message.operation.rpartition("-")
            operation: Any = model.Sent(message.operation, 0, "", self._anybody(), "", "")  # type: ignore[attr-defined]
            return Committed(operation, message.replicas, message.pushed)
        return result

    def anybody(self: Router) -> str:
        return next(iter(self._log)).id

    with (
        patch.object(Rounds, "begin", alone), patch.object(Router, "_committed", unseen),
        patch.object(Router, "_anybody", anybody, create=True),
    ):  # fmt: skip
        yield


@contextmanager
def sessions_for_ever() -> Iterator[None]:
    """R21: nobody asks whether a session is still the account's one, and a new one does not end it."""
    roster_get = Grants.enter

    def enter(self: Grants, wish: messages.Enter, answer: Any, again: Callable[[], None]) -> None:
        self._roster.leave(wish.account)
        roster_get(self, wish, answer, again)

    def may_act(self: Router, errand: Errand) -> bool:
        return True

    with patch.object(Grants, "enter", enter), patch.object(Router, "_may_act", may_act):
        yield


@contextmanager
def wall_time() -> Iterator[None]:
    """R22: timers run by the wall clock."""
    seconds = Process.seconds
    with patch.object(Process, "seconds", lambda self: seconds(self) + self.wall_ahead()):
        yield


MUTANTS: dict[str, Mutant] = {
    "R1 no fsync": no_fsync,
    "R1 acknowledged at once": acknowledged_at_once,
    "R2 nothing collected": nothing_collected,
    "R3 vector ahead of the disk": vector_ahead,
    "R4 one origin a replica": one_origin_a_replica,
    "R5 ids of the primary": ids_of_the_primary,
    "R6 keys beside": keys_beside,
    "R6 repetitions at once": repetitions_at_once,
    "R7 no tombstones": no_tombstones,
    "R8 high-water mark": high_water_mark,
    "R8 marked before sent": marked_before_sent,
    "R9 fsync again": fsync_again,
    "R10 no checksums": no_checksums,
    "R11 rename only": rename_only,
    "R12 old epochs": old_epochs,
    "R12 promises forgotten": promises_forgotten,
    "R13 pauses unnoticed": pauses_unnoticed,
    "R14 no hearsay": no_hearsay,
    "R15 one way": one_way,
    "R16 nobody waited for": nobody_waited_for,
    "R17 no hold-down": no_hold_down,
    "R17 not caught up": not_caught_up,
    "R18 late ones stay": late_ones_stay,
    "R19 first come": first_come,
    "R20 answered before applied": answered_before_applied,
    "R21 sessions for ever": sessions_for_ever,
    "R22 wall time": wall_time,
}
