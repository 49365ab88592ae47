"""Rules R12 to R22, on who leads and who acts, each broken in the production code while a context lasts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from chattwist import model
from chattwist.accounts import Account, Accounts
from chattwist.errand import Errand
from chattwist.grants import Grants
from chattwist.model import place
from chattwist.names import Claim
from chattwist.protocol.backend import Committed
from chattwist.replication import messages
from chattwist.replication.change import Changes
from chattwist.replication.contact import Contact
from chattwist.replication.core import Core
from chattwist.replication.own import Own, Tags
from chattwist.replication.rounds import Rounds
from chattwist.replication.upkeep import Upkeep
from chattwist.requests import Send
from chattwist.router import Router
from chattwist.store.store import Store
from tests.simulation.process import Process


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
    """R14: who does not hear the primary itself elects itself, and who does hear it lets that happen."""
    prepare = Changes.prepare

    def heedless(self: Changes, rank: int, message: messages.Prepare) -> None:
        with patch.object(self._contact, "primary", lambda: None):
            prepare(self, rank, message)

    with (
        patch.object(Contact, "primary_by_hearsay", lambda self: False),
        patch.object(Changes, "prepare", heedless),
    ):
        yield


@contextmanager
def one_way() -> Iterator[None]:
    """R15: who is heard is asked into the view, whether it hears anything or not."""

    def is_two_way(self: Contact, rank: int) -> bool:
        return self.is_alive(rank) and self.peers[rank].beat is not None

    def is_wanted(self: Upkeep, rank: int, beat: messages.Heartbeat, view: messages.View) -> bool:
        return beat.fit and not self._contact.peers[rank].slow and beat.primary != rank

    with patch.object(Contact, "is_two_way", is_two_way), patch.object(Upkeep, "_is_wanted", is_wanted):
        yield


@contextmanager
def nobody_waited_for() -> Iterator[None]:
    """R16: whoever is alone after a start leads."""
    with patch("chattwist.replication.election.holds_all", lambda known: True):
        yield


@contextmanager
def no_hold_down() -> Iterator[None]:
    """R17: a lower port that comes back leads at once."""
    with patch.object(Contact, "hold_down", lambda self, peer: 0.0):
        yield


@contextmanager
def not_caught_up() -> Iterator[None]:
    """R17: a replica comes into the view before it has caught up, and nothing is sent to it then."""

    def is_wanted(self: Upkeep, rank: int, beat: messages.Heartbeat, view: messages.View) -> bool:
        return True

    def fill(self: Changes, rank: int, promise: messages.Promise) -> bool:
        return True

    with patch.object(Upkeep, "_is_wanted", is_wanted), patch.object(Changes, "_fill", fill):
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
    confirmed = Accounts.confirmed

    def claim(self: Account) -> Claim:
        assert self.registered is not None
        return 0, *place(self.registered)

    def without_effect(self: Accounts, operation: model.Confirmed) -> None:
        confirmed(self, operation)
        self.unconfirmed.discard(operation.account)

    with patch.object(Account, "claim", property(claim)), patch.object(Accounts, "confirmed", without_effect):
        yield


@contextmanager
def answered_before_applied() -> Iterator[None]:
    """R20: the primary waits for nobody's disk but its own, and a follower answers before it has applied."""
    begin, committed = Rounds.begin, Router._committed

    def alone(self: Rounds, operations: Any, tags: Tags) -> None:
        begin(self, operations, tags)
        if self.round is not None:
            self.round.waiting &= {self._own.rank}

    def unseen(self: Router, rank: int, message: messages.Result) -> None:
        errand = self._forwarded._errands.get(message.number)
        if errand is None or not isinstance(errand.what, Send) or self._log.get(message.operation) is not None:
            return committed(self, rank, message)
        account = errand.what.account
        made_up = model.Sent(message.operation, 0, account, account, errand.what.text)
        self._settle(message.number, Committed(made_up, message.replicas, message.pushed))

    with patch.object(Rounds, "begin", alone), patch.object(Router, "_committed", unseen):
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
