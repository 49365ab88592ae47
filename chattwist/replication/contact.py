"""Who can be heard: the failure detector; pure. Times are seconds on this replica's monotonic clock (R22)."""

from collections.abc import Collection

import attrs

from chattwist.cluster import Timings
from chattwist.replication.messages import Heartbeat

NEVER = float("-inf")
NOT_YET = float("inf")
LONGEST_HOLD_DOWN = 12  # times the shortest
MOST_DOUBLED = 30  # times: longer than anything, and far from what a float can hold
FIRST_BATCH = 64_000  # bytes


@attrs.define(eq=False)
class Peer:
    """What is known of another replica.

    ``up``: what is sent to it goes out. ``broken``: something that was sent to it may be lost. ``slow``: since the last
    view it did not answer in time. ``pulled``: this replica has all that it had; ``given``: it has all that this
    one has, but for a little, ``has_all``: and that, too, when it last asked; ``behind``: it was found to lack too much to be
    in a view.
    """

    rank: int
    up: bool = False
    broken: bool = False
    slow: bool = False
    heard: float = NEVER
    refused: float = NOT_YET  # since when no process is there
    beat: Heartbeat | None = None
    told: float = NEVER  # when it said ``beat``
    pulling: float = NEVER  # when it was last asked for operations, and has not answered
    question: int = 0  # how often it was asked
    batch: int = FIRST_BATCH  # how many bytes of operations it is asked for
    pulled: bool = False
    joined: float = NEVER  # when it came into the last view, by what it says
    complete: float = NEVER  # when ``pulled`` was last found true, of what it has had since then
    given: bool = False
    has_all: bool = False
    behind: bool = False
    steady: float = NEVER  # since when it has been a member of the view
    losses: int = 0  # how often it was lost lately
    late: float = NEVER  # when it last kept a round or a change of view waiting for too long, though it was there
    delays: int = 0  # how often it did so lately


class Contact:
    """All others; ``mine`` is the rank of this replica, ``now`` is moved on by the core."""

    def __init__(self, mine: int, size: int, timings: Timings, now: float) -> None:
        self.peers = {rank: Peer(rank) for rank in range(size) if rank != mine}
        self.now = self._since = now
        self._mine = mine
        self._timings = timings

    def forget(self) -> None:
        """Nobody was heard: what was heard before a pause is no news (R13)."""
        self._since = self.now
        for peer in self.peers.values():
            peer.heard, peer.beat, peer.pulling = NEVER, None, NEVER
            peer.pulled = peer.given = peer.has_all = peer.behind = False

    def connected(self, rank: int) -> None:
        """Messages go out to it."""
        peer = self.peers[rank]
        peer.up, peer.refused = True, NOT_YET

    def lost(self, rank: int) -> None:
        """They don't, and some may be lost."""
        peer = self.peers[rank]
        peer.up, peer.broken, peer.pulling = False, True, NEVER
        peer.pulled = peer.given = peer.has_all = peer.behind = False

    def said(self, rank: int, beat: Heartbeat) -> None:
        """A heartbeat came. One that has just got into a view has more than what was got from it before."""
        peer = self.peers[rank]
        if beat.current and not (peer.beat is not None and peer.beat.current):
            peer.joined, peer.complete = self.now, NEVER
        peer.beat, peer.told = beat, self.now

    def is_refused(self, rank: int) -> None:
        """No process is there: no need to wait until it has been silent for long enough."""
        peer = self.peers[rank]
        peer.heard, peer.beat, peer.broken = NEVER, None, True
        if peer.refused == NOT_YET:
            peer.refused = self.now

    def heard(self, rank: int) -> None:
        """It said something."""
        self.peers[rank].heard = self.now

    def is_alive(self, rank: int) -> bool:
        """Whether it was heard lately."""
        return self.now - self.peers[rank].heard <= self._timings.silence

    def is_two_way(self, rank: int) -> bool:
        """Whether each hears the other (R15), by a round trip since the start or the last pause (R13)."""
        peer = self.peers[rank]
        if not self.is_alive(rank) or not peer.up or peer.beat is None:
            return False
        return any(heard == self._mine and sent >= self._since for heard, sent in peer.beat.hears)

    def is_late(self, rank: int) -> bool:
        """Whether it was asked for operations long ago, and has not answered."""
        asked = self.peers[rank].pulling
        return asked != NEVER and self.now - asked > self._timings.silence

    def serves(self, rank: int) -> bool:
        """Whether it is heard and says that it serves."""
        beat = self.peers[rank].beat
        return self.is_alive(rank) and beat is not None and beat.primary == rank

    def alive(self) -> list[Peer]:
        """Those heard lately, by rank."""
        return [peer for rank, peer in self.peers.items() if self.is_alive(rank)]

    def two_way(self) -> list[Peer]:
        """Those with contact both ways, by rank."""
        return [peer for rank, peer in self.peers.items() if self.is_two_way(rank)]

    def beats(self) -> dict[int, Heartbeat]:
        """What those with contact both ways said last, by rank."""
        return {peer.rank: peer.beat for peer in self.two_way() if peer.beat is not None}

    def primary(self) -> int | None:
        """The lowest other replica that is heard and says that it serves."""
        return next((rank for rank in self.peers if self.serves(rank)), None)

    def primary_by_hearsay(self) -> bool:
        """Whether one that can be reached hears a live primary (R14)."""
        return any(beat.primary not in (-1, self._mine) for beat in self.beats().values())

    def others_hear(self, rank: int) -> bool:
        """Whether one that can be reached hears that replica, serving or not."""
        return any(heard == rank for beat in self.beats().values() for heard, _ in beat.hears)

    def has_listened(self) -> bool:
        """Whether there was time to hear all others, since the start or the last pause: electing oneself needs silence (R15)."""
        return all(map(self._is_met, self.peers)) or self.now - self._since > self._timings.silence

    def _is_met(self, rank: int) -> bool:
        """Whether it hears this replica and is heard, or is down: where nobody listened a moment ago, one may have started."""
        down = self.peers[rank].refused != NOT_YET and not self.is_alive(rank) and not self.others_hear(rank)
        return down or self.is_two_way(rank)

    def gone(self, members: Collection[int]) -> list[int]:
        """The ranks of those that are not among ``members`` and that neither this replica hears nor one it reaches (R21)."""
        return [
            rank
            for rank in self.peers
            if rank not in members and not self.is_alive(rank) and not self.others_hear(rank)
        ]

    def relay(self) -> int | None:
        """One that can be reached, hears a live primary, and gives this replica all that is committed: the primary first."""
        with_primary = [rank for rank, beat in self.beats().items() if _is_with_primary(rank, beat)]
        found = [rank for rank in with_primary if self.now - self.peers[rank].complete <= self._timings.silence]
        return min(found, key=lambda rank: (not self.serves(rank), rank), default=None)

    def hold_down(self, peer: Peer) -> float:
        """How long a lower port has to be steady before it leads again (R17)."""
        shortest = self._timings.hold_down
        return min(shortest * LONGEST_HOLD_DOWN, shortest * 2.0 ** min(max(0, peer.losses - 1), MOST_DOUBLED))

    def was_late(self, rank: int) -> None:
        """All clients waited for it: it is left out, and put off (R18) if it was there all the time, and not cut off or dead."""
        peer = self.peers[rank]
        if not peer.slow and self.now - peer.heard <= 2 * self._timings.heartbeat:
            peer.late, peer.delays = self.now, peer.delays + 1
        peer.slow = True

    def is_put_off(self, peer: Peer) -> bool:
        """Whether it was late just now, and may be so again; each time for twice as long."""
        longest = LONGEST_HOLD_DOWN * self._timings.hold_down
        return self.now - peer.late < min(longest, self._timings.silence * 2.0 ** min(peer.delays, MOST_DOUBLED))

    def note_members(self, members: tuple[int, ...]) -> None:
        """A view begins: who left it, and who comes in."""
        for peer in self.peers.values():
            if peer.rank not in members:
                peer.losses += peer.steady != NEVER
                peer.steady = NEVER
            elif peer.steady == NEVER:
                peer.steady = self.now
            peer.slow = False
            if peer.rank in members:
                peer.broken = peer.behind = False

    def forgive(self) -> None:
        """Forget the losses and delays of those that have been steady for longer than any hold-down."""
        for peer in self.peers.values():
            if peer.steady != NEVER and self.now - peer.steady > 2 * LONGEST_HOLD_DOWN * self._timings.hold_down:
                peer.losses = peer.delays = 0


def _is_with_primary(rank: int, beat: Heartbeat) -> bool:
    """Whether a replica is in the view of the primary that it hears, or is it."""
    view = beat.view
    return view is not None and beat.serving and rank in view.members and beat.primary == view.primary
