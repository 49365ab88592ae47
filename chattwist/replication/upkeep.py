"""What is to be done next, though nobody asks for it: keep the view as it should be, or look for a primary; pure."""

from chattwist.cluster import Timings
from chattwist.replication.catchup import Catchup
from chattwist.replication.change import Changes
from chattwist.replication.contact import Contact
from chattwist.replication.election import Election
from chattwist.replication.entry import Entry
from chattwist.replication.messages import Heartbeat, TakeOver, View
from chattwist.replication.own import Own
from chattwist.replication.rounds import Rounds
from chattwist.replication.steps import TICKS, Abort

SPREADS = 3  # times ``timings.silence``: how long what members caught up with may take to get to all of them


class Upkeep:
    """Looked to with each tick, and with each event that may change something."""

    def __init__(
        self, own: Own, contact: Contact, catchup: Catchup, election: Election, entry: Entry, changes: Changes, rounds: Rounds,
        timings: Timings,
    ) -> None:  # fmt: skip
        self._own, self._contact, self._catchup, self._election = own, contact, catchup, election
        self._entry, self._changes, self._rounds, self._timings = entry, changes, rounds, timings
        self.renew = False  # the view, so that all members have what one of them caught up with
        self.leaderless = own.now  # since when nobody serves
        self._stand_again = own.now  # not before: a change has just come to nothing
        self._asked_to_lead = own.now
        self._settled = own.now, 0  # since when nothing more was caught up with, and how much there was

    def came_to_nothing(self) -> None:
        """A change of view did: the next one is not begun at once, nor by all at the same time."""
        self._stand_again = self._own.now + self._timings.heartbeat / TICKS * (1 + self._own.rank)

    def consider(self) -> None:
        """Do what is to be done now."""
        self._contact.forgive()
        self._own.try_again()
        self._catch_up()
        if self._own.leads and not self._own.fit(self._timings.silence):
            self._step_down()
        if self._changes.change is not None or not self._own.leads:
            self._settled = self._own.now, 0
        if self._changes.change is not None:
            return
        if self._own.leads:
            self.leaderless = self._own.now
            self._keep_members()
        elif self._entry.follows() or self._contact.primary() is not None:
            self.leaderless = self._own.now
        elif self._should_stand():
            self._changes.stand(rank for rank, beat in self._contact.beats().items() if beat.fit)

    def _step_down(self) -> None:
        """This disk takes nothing: another has to lead, if there is one (R9)."""
        view = self._own.view
        heirs = [rank for rank, beat in self._contact.beats().items() if beat.fit and self._contact.peers[rank].has_all]
        if view is not None and (len(view.members) > 1 or heirs):
            self._own.leave()

    def _should_stand(self) -> bool:
        """Nobody serves; whether it is up to this replica to change that (R14, R15, R16)."""
        if not self._own.fit(self._timings.silence) or self._contact.primary_by_hearsay():
            return False
        if self._own.now < self._stand_again or not self._contact.has_listened():
            return False
        others_first = any(map(self._election.goes_first, self._contact.alive()))
        waited = self._own.now - self.leaderless > 2 * self._timings.silence
        if self._is_cut_off_only() and not waited:
            return False
        return (not others_first or waited) and self._election.may_stand()

    def _is_cut_off_only(self) -> bool:
        """Whether others hear the last primary, which is then just changing its view, most likely without this replica (R14)."""
        view = self._own.state.view
        lost = view is not None and view.primary in self._contact.peers and not self._contact.is_alive(view.primary)
        return lost and view is not None and self._contact.others_hear(view.primary)

    def _keep_members(self) -> None:
        """Leave out who is gone or keeps a round waiting (R18), and take in who has caught up."""
        view = self._own.view
        assert view is not None
        for rank in self._rounds.late(self._timings.silence):
            self._contact.was_late(rank)
            self._own.effects.append(Abort(rank))
        wanted = {rank for rank, beat in self._contact.beats().items() if self._is_wanted(rank, beat, view)}
        if self.renew or self._is_overdue(view) or wanted != set(view.members) - {self._own.rank}:
            self.renew = False
            if self._own.fit(self._timings.silence):
                self._changes.stand(wanted)
        else:
            self._hand_over(view)

    def _is_overdue(self, view: View) -> bool:
        """Whether a member has long had something of a replica that did not come into the view with it (R2)."""
        beats = [self._contact.peers[rank].beat for rank in view.members if rank != self._own.rank]
        theirs = any(beat is not None and beat.unsettled and beat.view == view for beat in beats)
        mine = len(self._own.unsettled)
        if mine > self._settled[1] or not (mine or theirs):
            self._settled = self._own.now, mine
        return self._own.now - self._settled[0] > SPREADS * self._timings.silence

    def _is_wanted(self, rank: int, beat: Heartbeat, view: View) -> bool:
        """Whether it should be in the view: a member as long as it does its part, another once it has caught up."""
        peer = self._contact.peers[rank]
        if not beat.fit:
            return False
        if rank in view.members:
            left = beat.view is not None and beat.view.epoch > view.epoch
            return not (peer.broken or peer.slow or left)
        # of two that lead the lower takes in the other, and at once
        may = rank > self._own.rank if beat.primary == rank else not self._contact.is_put_off(peer)
        return peer.pulled and peer.given and may

    def _hand_over(self, view: View) -> None:
        """Let a lower port lead once it has been steady for its hold-down (R17)."""
        if self._own.now - self._asked_to_lead < self._timings.silence:
            return
        for rank in view.members:
            if rank < self._own.rank:
                peer = self._contact.peers[rank]
                if self._own.now - peer.steady >= self._contact.hold_down(peer):
                    self._asked_to_lead = self._own.now
                    self._own.send(rank, TakeOver(view.epoch))
                return

    def _catch_up(self) -> None:
        """Get what those have that share no view with this replica (R2); of one after the other, for much of it is the same."""
        if self._own.fit(self._timings.silence) and not self._catchup.waits():
            peers = [peer for peer in self._contact.alive() if peer.up and not peer.pulled]
            needed = [peer for peer in peers if self._catchup.is_needed(peer.rank)]
            if needed:
                self._catchup.pull(min(needed, key=lambda peer: peer.question).rank)
