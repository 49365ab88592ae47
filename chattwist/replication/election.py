"""Whether this replica may lead (R16): what the others say of themselves decides; pure."""

from collections.abc import Mapping
from typing import Protocol

from chattwist.cluster import Timings
from chattwist.replication.contact import NEVER, Contact, Peer
from chattwist.replication.messages import View
from chattwist.replication.own import Own
from chattwist.replication.steps import Say


class Known(Protocol):
    """What a replica says of itself, in a heartbeat or a promise."""

    @property
    def view(self) -> View | None:
        """Its last view."""

    @property
    def current(self) -> bool:
        """Whether it has been in it ever since."""

    @property
    def damaged(self) -> bool:
        """Whether it lost some of what it held."""


def newest(known: Mapping[int, Known]) -> View | None:
    """The newest of their last views."""
    views = [one.view for one in known.values() if one.view is not None]
    return max(views, key=lambda view: view.epoch, default=None)


def holds_all(known: Mapping[int, Known]) -> bool:
    """Whether these replicas together hold all that was acknowledged in the newest view that they know of (R16).

    They do if one of them was in it without a break, or all of its members are here.
    """
    view = newest(known)
    if view is None:
        return False
    if any(one.current and one.view == view for one in known.values()):
        return True
    return all(member in known for member in view.members) and holds_some(known, view)


def holds_some(known: Mapping[int, Known], view: View) -> bool:
    """Whether one of them holds all that was acknowledged in the view: each of its members did."""
    return any(one.view == view and not one.damaged for one in known.values())


def came_after(one: View | None, other: View | None) -> bool:
    """Whether one view came after the other, or there was no other."""
    return one is not None and (other is None or one.is_newer(other))


def is_majority(count: int, size: int) -> bool:
    """Whether ``count`` of ``size`` replicas are more than half."""
    return 2 * count > size


def majority_remembers(known: Mapping[int, Known], size: int) -> bool:
    """Whether a majority has been in views: then, in majority mode, one of them was in the last, and holds all."""
    view = newest(known)
    remembering = sum(one.view is not None for one in known.values())
    return view is not None and is_majority(remembering, size) and holds_some(known, view)


class Election:
    """Whether this replica may lead now; ``forcing``: only because it has waited for long enough; something may be missing."""

    def __init__(self, own: Own, contact: Contact, timings: Timings, size: int, majority: bool) -> None:
        self._own, self._contact, self._timings, self._size, self._majority = own, contact, timings, size, majority
        self.forcing = False
        self._said = False  # that it waits
        self._late = NEVER  # when this disk was last too slow for a change of view

    def was_late(self) -> None:
        """This disk was too slow for a change of view: if there is another one that may do better, let that try (R18)."""
        self._late = self._own.now

    def goes_first(self, peer: Peer) -> bool:
        """Whether another one is to lead if it can: the lower one, but for one that the other went on without (R17)."""
        beat, mine = peer.beat, self._own.state.view
        if beat is None or not beat.fit or self._contact.is_put_off(peer):
            return False
        if beat.current and came_after(beat.view, mine):
            return True
        return peer.rank < self._own.rank and not (self._own.current and came_after(mine, beat.view))

    def may_stand(self) -> bool:
        """Whether, by what the heartbeats say, a change that is begun now can succeed."""
        fit = {rank: beat for rank, beat in self._contact.beats().items() if beat.fit}
        if fit and self._own.now - self._late < 2 * self._timings.silence:
            return False  # always as long: where all disks were too slow for a while, nobody leads until it is over
        ready = sum(not self._contact.peers[rank].behind for rank in fit)
        if self._majority and not is_majority(1 + ready, self._size):
            return False  # without one that has to catch up first there is no view
        return self.may_lead({self._own.rank: self._own.word(), **fit})

    def may_lead(self, known: Mapping[int, Known]) -> bool:
        """Whether these replicas, this one among them, may make a view."""
        if self._majority and not is_majority(len(known), self._size):
            return False
        safe = holds_all({**known, **self._read_out()})
        safe = safe or (self._majority and majority_remembers(known, self._size))
        first = all(one.view is None for one in known.values()) and self._nobody_else(known)
        waited = self._own.now - self._own.incomplete_since >= self._timings.last_view
        self.forcing = waited and not (safe or first)
        self._say_that_it_waits(safe or first or waited, known)
        return safe or first or waited

    def _read_out(self) -> dict[int, Known]:
        """Those that cannot promise, since their disks are full, but whose operations are all here."""
        peers = self._contact.peers
        return {rank: beat for rank, beat in self._contact.beats().items() if not beat.fit and peers[rank].pulled}

    def _say_that_it_waits(self, may: bool, known: Mapping[int, Known]) -> None:
        soon = self._own.now - self._own.incomplete_since < 2 * self._timings.silence  # they may just be starting, too
        if soon:
            return
        if not may and not self._said and newest(known) is not None:
            wait = f"waiting up to {self._timings.last_view:g} s"
            text = f"{wait} for the others of the last view, or whole files: what was acknowledged may be there only"
            self._own.effects.append(Say(text))
        self._said = not may

    def _nobody_else(self, known: Mapping[int, Known]) -> bool:
        """At a cluster's first start: all are here, or no process is where the others will be."""
        others = [peer for rank, peer in self._contact.peers.items() if rank not in known]
        return all(self._own.now - peer.refused >= self._timings.alone for peer in others)
