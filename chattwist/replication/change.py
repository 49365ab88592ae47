"""Changing the view, as in Viewstamped Replication (R12): the one way to become primary, to lose a member or to gain one; pure.

The candidate asks all replicas that it has contact with for a durable promise of its epoch, gets what it lacks from them,
sends each what that one lacks, lets them enter the view, and serves once all are in it.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import attrs

from chattwist import model
from chattwist.cluster import Timings
from chattwist.replication.catchup import Catchup
from chattwist.replication.contact import Contact
from chattwist.replication.election import Election, is_majority, newest
from chattwist.replication.entry import Entry
from chattwist.replication.log import split
from chattwist.replication.messages import (
    Epoch,
    Fill,
    Install,
    Installed,
    Login,
    Prepare,
    Promise,
    Refusal,
    Serving,
    State,
    Unfit,
    View,
)
from chattwist.replication.own import Own
from chattwist.replication.ranges import without
from chattwist.replication.steps import Say

Merge = Callable[[list[Login], list[Login]], tuple[list[Login], list[str]]]

MOST_BRIDGED = 20_000  # operations; the next change goes on, so that none keeps a replica busy for long
MOST_FILLED = 20  # batches; who lacks more is not waited for, and comes in later


@attrs.define
class Change:
    """A change of view under way; ``moved`` is when it last got further, ``promised``: so has this replica itself."""

    epoch: Epoch
    asked: set[int]
    moved: float
    promised: bool = False
    promises: dict[int, Promise] = attrs.Factory(dict)
    view: View | None = None
    installed: set[int] = attrs.Factory(set)


class Changes:
    """The candidate's side; for the side of those that it asks see Entry."""

    def __init__(
        self, own: Own, contact: Contact, catchup: Catchup, election: Election, entry: Entry, timings: Timings, size: int,
        majority: bool, merge: Merge,
    ) -> None:  # fmt: skip
        """``size``: how many replicas the cluster has.

        ``merge`` gives of the members' sessions, by those and by what else was heard of, the ones that stay, and the
        ids of those that have to end.
        """
        self._own, self._contact, self._catchup, self._timings = own, contact, catchup, timings
        self._election, self._entry, self._size, self._majority, self._merge = election, entry, size, majority, merge
        self.change: Change | None = None

    def stand(self, asked: Iterable[int]) -> None:
        """Begin a change; ``asked`` are the ranks of those that are to be in the view."""
        own = self._own
        own.serving = False
        change = self.change = Change((own.highest + 1, own.rank), set(asked), own.now)

        def promised(durable: bool) -> None:
            if self.change is change and not durable:
                self._stay(change)
            elif self.change is change:
                change.promised = True
                self.advance()

        own.save(State(change.epoch, own.state.view, own.state.damaged), promised)
        for rank in change.asked:
            own.send(rank, Prepare(change.epoch))

    def _stay(self, change: Change) -> None:
        """There was no room even for the promise: who serves alone goes on as before."""
        own, view = self._own, self._own.installed
        self.change = None
        if own.promised == change.epoch and view is not None and view.epoch == own.state.promised:
            own.promised = own.state.promised
            own.serving = view.members == (own.rank,)

    def promised(self, rank: int, message: Promise) -> None:
        """A promise came."""
        change = self.change
        if change is not None and message.epoch == change.epoch and rank in change.asked and change.view is None:
            change.promises[rank] = message
            change.moved = self._own.now
            self.advance()

    def refused(self, rank: int, message: Refusal) -> None:
        """Somebody promised a later epoch, or serves: this change can come to nothing."""
        self._own.highest = max(self._own.highest, message.promised[0])
        if self.change is not None and rank in self.change.asked:
            self.change = None

    def unfit(self, rank: int, message: Unfit) -> None:
        """A coming member could not keep what it was filled with: the view has to do without it."""
        if self.change is not None and self.change.epoch == message.epoch:
            self.change = None

    def installed(self, rank: int, message: Installed) -> None:
        """A member is in the view."""
        change = self.change
        if change is not None and change.view is not None and message.epoch == change.epoch:
            change.installed.add(rank)
            change.moved = self._own.now
            self.advance()

    def advance(self) -> None:
        """Go on as far as that is possible now."""
        change = self.change
        if change is None or not change.promised:
            return
        if not self._own.fit(self._timings.silence):
            self.change = None
            if self._own.is_late(self._timings.silence):
                self._election.was_late()
            return
        if change.view is not None:
            if change.installed >= set(change.view.members):
                self._serve(change.view)
            elif self._is_stuck(change, set(change.view.members) - change.installed - {self._own.rank}):
                self.change = None
            return
        missing = change.asked - change.promises.keys()
        if missing and not self._is_stuck(change, missing):
            return
        change.asked -= missing
        if not self._election.may_lead({self._own.rank: self._own.word(), **change.promises}):
            self.change = None
        elif not self._pull(change) and not self._mend(change):
            self._install(change)

    def _is_stuck(self, change: Change, missing: set[int]) -> bool:
        """Whether those that are waited for are gone, or do nothing."""
        late = self._own.now - change.moved > self._timings.silence
        for rank in missing:
            if late:
                self._contact.peers[rank].pulled = self._contact.peers[rank].given = False
                self._contact.was_late(rank)
        return bool(missing) and (
            late or not any(self._contact.is_alive(rank) and self._contact.peers[rank].up for rank in missing)
        )

    def _pull(self, change: Change) -> bool:
        """Get what those that promised hold and this replica lacks; whether there is something."""
        lacking = [
            rank for rank, promise in change.promises.items() if not self._own.log.covers(promise.vector, promise.lost)
        ]
        for rank in lacking:
            if self._contact.is_alive(rank) and not self._contact.is_late(rank):
                self._catchup.pull(rank)
            else:  # it is gone, and what it alone has comes when it is back
                del change.promises[rank]
        return bool(lacking)

    def _mend(self, change: Change) -> bool:
        """Whether damage left gaps, which are closed first: the next change finds what is behind them."""
        if lost := self._lost(change):
            self._bridge(change, lost)
        return bool(lost) or self._uncover(change)

    def _lost(self, change: Change) -> list[model.AnyOperation]:
        """What damage took from all replicas, though some hold what came behind it (R10): known only once all are here."""
        if len(change.promises) + 1 < self._size:
            return []
        behind: dict[str, set[int]] = {}
        for word in (self._own.word(), *change.promises.values()):
            for origin, numbers in word.loose.items():
                behind.setdefault(origin, set()).update(numbers)
        vector = self._own.log.vector
        lost = (
            model.Lost(f"{origin}-{number}", 0)
            for origin, numbers in behind.items()
            for number in range(vector.get(origin, 0) + 1, max(numbers))
            if number not in numbers
        )
        return list(islice(lost, MOST_BRIDGED))

    def _bridge(self, change: Change, lost: list[model.AnyOperation]) -> None:
        """Put something into the gaps."""
        self._own.effects.append(Say(f"{len(lost)} operations were damaged and are on no replica", loud=True))
        self._own.store(lost, lambda durable: None)
        for rank in change.promises:
            self._own.send(rank, Fill(change.epoch, lost))
        self.change = None

    def _uncover(self, change: Change) -> bool:
        """Whether a coming member gets what fills its gaps, since there is more behind them than this replica has."""
        vector = self._own.log.vector
        behind = [
            rank
            for rank, promise in change.promises.items()
            if any(vector.get(origin, 0) + 1 in numbers for origin, numbers in promise.loose.items())
        ]
        filled = [rank for rank in behind if self._fill(rank, change.promises[rank])]
        if filled:
            self.change = None
        return bool(filled)

    def _install(self, change: Change) -> None:
        members = sorted([self._own.rank, *(rank for rank, one in change.promises.items() if self._fill(rank, one))])
        if self._majority and not is_majority(len(members), self._size):
            self.change = None
            return
        self._own.unsettled.clear()
        change.view = view = View(change.epoch, tuple(members), self._is_forced(change, members))
        change.moved = self._own.now
        install = Install(view, *self._logins(change, members))
        for rank in members:
            if rank != self._own.rank:
                self._own.send(rank, install)
        self._entry.enter(install, lambda: self.installed(self._own.rank, Installed(view.epoch)))

    def _is_forced(self, change: Change, members: list[int]) -> bool:
        """Whether the view may lack what was acknowledged (R16)."""
        last = newest({self._own.rank: self._own.word(), **change.promises})
        return len(members) < self._size and (self._election.forcing or (last is not None and last.forced))

    def _logins(self, change: Change, members: Iterable[int]) -> tuple[list[Login], list[str]]:
        """The sessions of the coming members that stay, and the ids of those that have to end (R21)."""
        own = self._own.rank
        logins = {own: self._entry.logins(), **{rank: one.logins for rank, one in change.promises.items()}}
        known = {own: self._own.word(), **change.promises}
        last = newest(known)
        lost: list[Login] = []
        if self._majority and last is not None and not any(one.current and one.view == last for one in known.values()):
            # nobody here knows whom the last view let in while these replicas were not in it
            lost = [login for rank in members if rank not in last.members for login in logins.pop(rank)]
        heard = [login for one in change.promises.values() for login in one.heard]
        stay, over = self._merge([login for rank in members for login in logins.get(rank, ())], heard)
        return stay, [*over, *(login.session for login in lost)]

    def _fill(self, rank: int, promise: Promise) -> bool:
        """Send a coming member what it lacks; False where that is too much: it is asked again once it has caught up."""
        vector, lost = dict(promise.vector), dict(promise.lost)
        batches = []
        more = True
        while more:
            operations, more = self._own.log.missing(vector, lost)
            if operations:
                batches.append(operations)
            if len(batches) > MOST_FILLED:
                peer = self._contact.peers[rank]
                peer.given, peer.behind = False, True
                return False
            for operation in operations:
                origin, number = split(operation.id)
                vector[origin] = max(number, vector.get(origin, 0))
                lost[origin] = without(lost.get(origin, []), [(number, number)])
        for operations in batches:
            self._own.send(rank, Fill(promise.epoch, operations))
        return True

    def _serve(self, view: View) -> None:
        self.change = None
        for rank in view.members:
            if rank != self._own.rank:
                self._own.send(rank, Serving(view.epoch))
        self._own.serving = True
        if self._election.forcing and len(view.members) < self._size:
            text = f"view {view.epoch[0]} serves without all of the last one: what only they hold comes with them"
            self._own.effects.append(Say(text, loud=True))

    def prepare(self, rank: int, message: Prepare) -> None:
        """Promise, unless there is a primary that has to be gone through (R14), or a better candidate."""
        own = self._own
        primary = own.rank if own.leads else self._contact.primary()
        better = (primary is not None and primary < rank) or (self.change is not None and own.rank < rank)
        own.highest = max(own.highest, message.epoch[0])
        if message.epoch <= own.promised or better or not own.fit(self._timings.silence):
            own.send(rank, Refusal(own.promised))
            return
        self.change = None
        self._entry.promise(rank, message.epoch)
