"""Getting into a view: the promise to its candidate, what is filled in, the entry (R12); pure."""

from collections.abc import Callable

import msgspec

from chattwist.cluster import Timings
from chattwist.replication.contact import Contact
from chattwist.replication.messages import (
    Epoch,
    Fill,
    Install,
    Installed,
    Login,
    Refusal,
    Serving,
    State,
    Unfit,
)
from chattwist.replication.own import Own
from chattwist.replication.steps import Entered

GiveLogins = Callable[[], list[Login]]


class Entry:
    """The side of those that a candidate asks; the candidate itself enters by it, too."""

    def __init__(self, own: Own, contact: Contact, timings: Timings, logins: GiveLogins, heard: GiveLogins) -> None:
        """``logins`` gives the sessions of this replica, ``heard`` those of others."""
        self._own, self._contact, self._timings, self.logins, self._heard = own, contact, timings, logins, heard
        self._lacking: Epoch | None = None  # the coming view's, if not all that it was filled with could be kept
        # the candidate that was promised to, and until when it is waited for
        self._followed: tuple[int, float] | None = None

    def promise(self, rank: int, epoch: Epoch) -> None:
        """Promise a candidate its epoch, once that is durable; it may still come to nothing."""
        own = self._own
        self._followed = rank, own.now + 2 * self._timings.silence
        own.serving = False
        own.save(State(epoch, own.state.view, own.state.damaged), lambda durable: self._promised(rank, epoch, durable))

    def _promised(self, rank: int, epoch: Epoch, durable: bool) -> None:
        own = self._own
        if not durable:
            own.send(rank, Unfit(epoch))  # or else the candidate would wait for it
        elif own.promised == epoch:
            own.unsettled.clear()  # whoever makes a view with this replica gets all of this vector to its members
            own.send(
                rank,
                msgspec.structs.replace(own.word(), vector=own.log.vector, logins=self.logins(), heard=self._heard()),
            )

    def fill(self, rank: int, message: Fill) -> None:
        """Take in what was lacking."""
        if message.epoch != self._own.promised:
            return

        def stored(durable: bool) -> None:
            self._own.settle(message.operations)
            if not durable or not all(self._own.log.get(operation.id) for operation in message.operations):
                self._lacking = message.epoch

        self._own.store(message.operations, stored)

    def install(self, rank: int, message: Install) -> None:
        """Enter the view that this replica promised to."""
        epoch = message.view.epoch
        if epoch != self._own.promised or epoch[1] != rank or self._own.rank not in message.view.members:
            self._own.send(rank, Refusal(self._own.promised))
            return
        self.enter(message, lambda: self._own.send(rank, Installed(epoch)))

    def enter(self, install: Install, then: Callable[[], None]) -> None:
        """Enter a view, then call ``then``."""
        own, view = self._own, install.view

        def saved(durable: bool) -> None:
            if self._lacking == view.epoch:
                own.send(view.primary, Unfit(view.epoch))
            if not durable or own.promised != view.epoch or self._lacking == view.epoch:
                return
            own.installed, own.current, own.serving = view, True, False
            self._contact.note_members(view.members)
            own.effects.append(Entered(view, install.logins, install.over))
            then()

        own.save(State(view.epoch, view), saved)

    def serving(self, rank: int, message: Serving) -> None:
        """All members are in the view."""
        view = self._own.view
        if view is not None and view.epoch == message.epoch and view.primary == rank:
            self._own.serving = True

    def follows(self) -> bool:
        """Whether a candidate was promised to that may still come to something: one whose disk is too slow does not (R18)."""
        if self._followed is None:
            return False
        rank, until = self._followed
        peer = self._contact.peers[rank]
        view = peer.beat.view if peer.beat is not None and self._contact.serves(rank) else None
        serves = view is not None and view.epoch == self._own.promised  # and not an older view
        stuck = peer.beat is not None and not peer.beat.fit and peer.told > until - 2 * self._timings.silence
        if stuck:
            self._contact.was_late(rank)
        if self._own.now > until or not self._contact.is_alive(rank) or serves or stuck:
            self._followed = None
        return self._followed is not None
