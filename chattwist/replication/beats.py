"""What a replica says of itself, to all others that it can reach; pure."""

from collections.abc import Callable

import msgspec

from chattwist.cluster import Timings
from chattwist.replication.catchup import Catchup
from chattwist.replication.contact import Contact
from chattwist.replication.messages import Heartbeat
from chattwist.replication.own import Own


class Beats:
    """This replica's heartbeats."""

    def __init__(self, own: Own, contact: Contact, catchup: Catchup, timings: Timings, wall: Callable[[], int]) -> None:
        """``wall`` gives microseconds since 1970."""
        self._own, self._contact, self._catchup, self._timings, self._wall = own, contact, catchup, timings, wall
        self._last: Heartbeat | None = None
        self._last_at = own.now

    def greet(self, rank: int) -> None:
        """Say it to one that is in reach from now on."""
        self._own.send(rank, self._with_clock(self._present()))

    def beat(self) -> None:
        """Say it to all, when it is time to or there is something new in it."""
        due = self._own.now - self._last_at >= self._timings.heartbeat
        present = self._present()
        gist = msgspec.structs.replace(present, hears=tuple((rank, 0.0) for rank, _ in present.hears))
        if not due and gist == self._last:
            return
        if due:
            self._last_at = self._own.now
            for peer in self._contact.peers.values():  # what was caught up with may have gone on since
                peer.pulled = peer.pulled and not self._catchup.is_needed(peer.rank)
        self._last = gist
        beat = self._with_clock(present)
        for peer in self._contact.peers.values():
            if peer.up:
                self._own.send(peer.rank, beat)

    def _present(self) -> Heartbeat:
        own = self._own
        primary = own.rank if own.leads else self._contact.primary()
        hears = tuple((peer.rank, peer.beat.sent if peer.beat else -1.0) for peer in self._contact.alive())
        fit = own.fit(self._timings.silence)
        serving = own.serving and own.view is not None
        return Heartbeat(
            own.state.view, own.current, -1 if primary is None else primary, hears, fit, own.promised, 0, 0.0,
            own.state.damaged, serving, bool(own.unsettled),
        )  # fmt: skip

    def _with_clock(self, beat: Heartbeat) -> Heartbeat:
        return msgspec.structs.replace(beat, wall=self._wall(), sent=self._own.now)
