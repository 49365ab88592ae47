"""One replica among others: ``step(event) → effects``; pure. DESIGN.md in this folder says what is promised and by which rules.

The core decides who leads, what is committed and who catches up. It does no I/O and knows no clock: times are given, in
seconds on a monotonic clock, and effects are to be carried out in their order.
"""

from collections.abc import Callable
from typing import Any

from chattwist.cluster import Timings
from chattwist.replication import messages, steps
from chattwist.replication.beats import Beats
from chattwist.replication.catchup import Catchup
from chattwist.replication.change import Change, Changes, Merge
from chattwist.replication.contact import Contact
from chattwist.replication.election import Election
from chattwist.replication.entry import Entry, GiveLogins
from chattwist.replication.log import Log
from chattwist.replication.messages import Heartbeat, State, TakeOver, View
from chattwist.replication.own import Own
from chattwist.replication.rounds import Rounds
from chattwist.replication.upkeep import Upkeep

FAR_AHEAD = 60_000_000  # microseconds that clocks may differ by


class Core:
    """All of it: the parts, which event and message goes to which, and what is to be done next."""

    def __init__(
        self, rank: int, size: int, *, majority: bool, timings: Timings, log: Log, state: State, now: float,
        wall: Callable[[], int], logins: GiveLogins, merge: Merge, heard: GiveLogins = list,
    ) -> None:  # fmt: skip
        """``log`` and ``state`` are what is on disk; ``wall`` gives microseconds since 1970. For ``merge`` see Changes."""
        self.own = Own(rank, log, state, now)
        self.contact = Contact(rank, size, timings, now)
        self.catchup = Catchup(self.own, self.contact, timings.silence)
        election = Election(self.own, self.contact, timings, size, majority)
        self.entry = Entry(self.own, self.contact, timings, logins, heard)
        self.changes = Changes(
            self.own, self.contact, self.catchup, election, self.entry, timings, size, majority, merge
        )
        self.rounds = Rounds(self.own, timings.patience)
        self._upkeep = Upkeep(
            self.own, self.contact, self.catchup, election, self.entry, self.changes, self.rounds, timings
        )
        self.heartbeat = timings.heartbeat
        self._beats = Beats(self.own, self.contact, self.catchup, timings, wall)
        self._timings = timings
        self._role = steps.Role("", None)
        self._running = False
        self._events = self._table_of_events()
        self._messages = self._table_of_messages()

    def step(self, event: steps.Event, now: float) -> list[steps.Effect]:
        """Take one event; what is to be done, in this order."""
        self._pass_time(now)
        if isinstance(event, steps.Received) and type(event.message) not in self._messages and not self.own.effects:
            self.contact.heard(event.rank)  # most messages are such, and change nothing else here
            return [steps.Deliver(event.rank, event.message)]
        stood, routine = self.changes.change, self._is_routine(event)
        self._events[type(event)](event)
        if not routine:
            self._think(stood)
        effects, self.own.effects = self.own.effects, []
        return effects

    def _is_routine(self, event: steps.Event) -> bool:
        """Whether it is a part of a commit and nothing else: what time brings about, the next tick sees soon enough."""
        if not self.own.serving or self.own.view is None or self.own.effects or self.changes.change is not None:
            return False
        if isinstance(event, steps.Received):
            return isinstance(event.message, (messages.Append, messages.Ack))
        return isinstance(event, steps.Commit) or (
            isinstance(event, steps.Written) and not event.full and self.own.writes_round
        )

    def _think(self, stood: Change | None) -> None:
        """See what follows, of the event or of the time that passed; ``stood`` is the change before the event."""
        self.changes.advance()
        if stood is not None and self.changes.change is None and not self.own.leads:
            self._upkeep.came_to_nothing()
        self._upkeep.consider()
        self._show_role()
        self._end_round()
        self._beats.beat()

    def _table_of_events(self) -> dict[type, Callable[[Any], None]]:
        return {
            steps.Tick: lambda event: None,
            steps.Connected: self._connected,
            steps.Lost: lambda event: self.contact.lost(event.rank),
            steps.Refused: lambda event: self.contact.is_refused(event.rank),
            steps.Received: self._received,
            steps.Written: lambda event: self.own.written(event.full),
            steps.Commit: lambda event: self.rounds.begin(event.operations, event.tags),
        }

    def _table_of_messages(self) -> dict[type, Callable[[int, Any], None]]:
        return {
            messages.Heartbeat: self._heartbeat,
            messages.Prepare: self.changes.prepare,
            messages.Promise: self.changes.promised,
            messages.Refusal: self._refused,
            messages.Pull: self.catchup.asked,
            messages.Pulled: self.catchup.took,
            messages.Fill: self.entry.fill,
            messages.Install: self.entry.install,
            messages.Installed: self.changes.installed,
            messages.Serving: self.entry.serving,
            messages.Append: self.rounds.append,
            messages.Ack: self.rounds.acked,
            messages.Unfit: self._unfit,
            messages.TakeOver: self._take_over,
        }

    # -- for the shell to ask

    @property
    def view(self) -> View | None:
        """The view that this replica is in; or else that of a primary that it hears."""
        primary = self.contact.primary()
        beat = None if primary is None else self.contact.peers[primary].beat
        return self._role.view or (None if beat is None else beat.view)

    @property
    def fit(self) -> bool:
        """Whether this replica could write to its disk when it last tried."""
        return self.own.writes(self._timings.silence)

    def retire(self) -> None:
        """This replica is about to stop: if it is primary, another one is to be, and none counts on it (R17)."""
        self.own.retired = True

    def seen(self, rank: int) -> tuple[str, str]:
        """A replica's role and state, as STATUS shows them."""
        view = self.view
        if view is not None and rank in view.members:
            return ("primary" if rank == view.primary else "follower"), "live"
        alive = rank == self.own.rank or self.contact.is_alive(rank)
        return "-", ("joining" if alive else "down")

    def gone(self) -> list[int]:
        """The ranks of those outside the view whom nobody hears that can be reached."""
        return self.contact.gone(self.view.members if self.view is not None else ())

    def relay(self) -> int | None:
        """The replica to go through where this one is in no view, but reaches one that hears a live primary (R14)."""
        return self.contact.relay()

    def is_settled(self, operation: str) -> bool:
        """Whether all members have an operation that this replica has and did not commit in this view itself."""
        return operation not in self.own.unsettled

    def settle(self) -> None:
        """Let all members get what this one caught up with (R6): a new view fills them."""
        self._upkeep.renew = True

    def clamped(self, wall: int) -> int:
        """This replica's clock, but not far ahead of all others: later stamps would have to follow it (R22)."""
        clocks = [peer.beat.wall + int((self.own.now - peer.told) * 1e6) for peer in self.contact.alive() if peer.beat]
        return min(wall, max(clocks) + FAR_AHEAD) if clocks else wall

    # -- events

    def _pass_time(self, now: float) -> None:
        """A process that was stopped may have missed anything that others did (R13)."""
        gap = now - self.own.now if self._running else 0.0
        self._running = True
        self.own.now = self.contact.now = now
        if gap > self._timings.silence / 2 and self.contact.peers:
            self.own.leave()
            self.own.incomplete_since = now
            self.changes.change = None
            self.contact.forget()
            self._upkeep.leaderless = now
            self.own.effects.append(steps.Say(f"this process did not run for {gap:.1f} s: it joins anew"))

    def _connected(self, event: steps.Connected) -> None:
        self.contact.connected(event.rank)
        self._beats.greet(event.rank)
        view = self.own.view
        if view is not None and view.primary == event.rank:
            self.rounds.acknowledge_again()

    def _received(self, event: steps.Received) -> None:
        self.contact.heard(event.rank)
        take = self._messages.get(type(event.message))
        if take is None:
            self.own.effects.append(steps.Deliver(event.rank, event.message))
        else:
            take(event.rank, event.message)

    def _heartbeat(self, rank: int, beat: Heartbeat) -> None:
        self.contact.said(rank, beat)
        self.own.highest = max(self.own.highest, beat.promised[0])
        mine = self.own.state.view
        if beat.view is not None and mine is not None and beat.view.is_newer(mine):
            self.own.incomplete()  # others went on without this replica
        self._follow_no_more(rank, beat.view)

    def _follow_no_more(self, rank: int, theirs: View | None) -> None:
        """Leave a view that a member of it has left: it is over, and this replica was not asked into the next."""
        view = self.own.view
        if view is None or theirs is None or view.primary == self.own.rank:
            return
        if rank in view.members and theirs.is_newer(view):
            self.own.leave()

    def _refused(self, rank: int, message: messages.Refusal) -> None:
        self.changes.refused(rank, message)
        view = self.own.view
        if view is not None and view.primary == self.own.rank and rank in view.members:
            self.contact.peers[rank].broken = True

    def _unfit(self, rank: int, message: messages.Unfit) -> None:
        self.changes.unfit(rank, message)
        view = self.own.view
        if view is not None and view.epoch == message.epoch:
            self.contact.peers[rank].slow = True

    def _take_over(self, rank: int, message: TakeOver) -> None:
        view = self.own.view
        follows = view is not None and view.epoch == message.epoch and view.primary == rank and self.own.serving
        if follows and self.changes.change is None and self.own.fit(self._timings.silence):
            self.changes.stand(peer.rank for peer in self.contact.two_way())

    # -- what follows

    def _end_round(self) -> None:
        """A round that was begun in an earlier view; after the role is shown, by which its result is told."""
        if self.own.serving and self.own.view is not None:
            self.rounds.completed_by_view()
        else:
            self.rounds.give_up()

    def _show_role(self) -> None:
        view = self.own.view
        role = ""
        if view is not None and self.own.serving:
            follows = view.primary != self.own.rank
            alive = follows and self.contact.serves(view.primary)
            role = "primary" if not follows else "follower" if alive else ""
        shown = steps.Role(role, view if role else None)
        if shown != self._role:
            self._role = shown
            self.own.effects.append(shown)
