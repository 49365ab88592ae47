"""Getting what others have and this replica lacks, and giving it; pure.

Catching up is merging (R2): each replica asks each other one that it does not share a view with, in batches, one at a time.
"""

from chattwist.replication.contact import NEVER, Contact
from chattwist.replication.messages import Pull, Pulled
from chattwist.replication.own import Own

LEAST, MOST = 16_000, 1_000_000  # bytes of a batch
QUICK, SLOW = 0.1, 0.3  # of ``patience`` until it is here: then the next one may be larger, or has to be smaller


class Catchup:
    """Both sides of it."""

    def __init__(self, own: Own, contact: Contact, patience: float) -> None:
        """``patience``: seconds until a question that was not answered is asked again."""
        self._own, self._contact, self._patience = own, contact, patience

    def is_needed(self, rank: int) -> bool:
        """Whether a replica may have what this one lacks: not if it commits with it, and has nothing from elsewhere either.

        The primary asks members for that, and they ask the primary, before a new view: during its change nobody is served,
        and who lacks much is left out. They don't ask each other, who may have got a commit of the view a moment sooner.
        """
        own, beat = self._own, self._contact.peers[rank].beat
        view = own.view
        if view is None or not own.serving or rank not in view.members:
            return True
        return view.primary in (own.rank, rank) and beat is not None and beat.unsettled

    def waits(self) -> bool:
        """Whether an answer is on its way."""
        return any(self._own.now - peer.pulling <= self._patience for peer in self._contact.peers.values())

    def pull(self, rank: int) -> None:
        """Ask for the next batch, unless it is on its way; for less of it if that never came."""
        peer = self._contact.peers[rank]
        if self._own.now - peer.pulling > self._patience:
            if peer.pulling != NEVER:
                peer.batch = max(LEAST, peer.batch // 2)
            peer.pulling, peer.question = self._own.now, peer.question + 1
            self._own.send(rank, Pull(peer.question, self._own.log.vector, self._own.log.lost, peer.batch))

    def asked(self, rank: int, message: Pull) -> None:
        """Give a batch."""
        operations, more = self._own.log.missing(message.vector, message.lost, min(message.most, MOST))
        peer = self._contact.peers[rank]
        peer.given, peer.has_all = not more, not operations
        peer.behind = peer.behind and more
        self._own.send(rank, Pulled(message.number, operations, more))

    def took(self, rank: int, message: Pulled) -> None:
        """A batch came: once it is durable, ask for the next; an answer that comes late is taken, and asks for nothing."""
        peer = self._contact.peers[rank]
        number, asked = message.number, peer.pulling
        waited = self._own.now - asked

        def stored(durable: bool) -> None:
            if number != peer.question:
                return
            peer.pulling = NEVER
            peer.pulled = durable and not message.more
            if peer.pulled and asked >= peer.joined:
                peer.complete = self._own.now
            if durable and message.more:
                peer.batch = _next_batch(peer.batch, waited / self._patience)
                self.pull(rank)

        self._own.store(message.operations, stored, unsettled=True)


def _next_batch(batch: int, waited: float) -> int:
    """How much to ask for after an answer that took so much of the time: heartbeats wait behind it, and have to be heard."""
    if waited > SLOW:
        return max(LEAST, batch // 2)
    return min(MOST, batch * 2) if waited < QUICK else batch
