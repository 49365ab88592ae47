"""What a replica knows of itself, shared by the parts of the core; pure."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from chattwist import model
from chattwist.replication.log import Log
from chattwist.replication.messages import AnyMessage, Promise, State, View
from chattwist.replication.steps import Apply, Effect, Save, Say, Send, Store

Then: TypeAlias = Callable[[bool], None]  # told whether it is durable now
Tags: TypeAlias = Sequence[tuple[int, int]]


@attrs.define
class Write:
    """Something on its way to the disk."""

    what: Sequence[model.AnyOperation] | State
    tags: Tags
    then: Then
    fresh: Sequence[model.AnyOperation] = ()
    unsettled: bool = False
    early: bool = False


class Own:
    """State and disk of this replica, and the effects of the present step.

    ``state`` is what is durable, ``promised`` the epoch in it, or the one that is on its way there. ``view`` is the
    view that this replica is in: None after a start or a pause, and whenever it promised a later epoch. ``current``:
    it has been in the last view, ``state.view``, ever since. ``serving``: all members are in the view.
    """

    def __init__(self, rank: int, log: Log, state: State, now: float) -> None:
        self.rank = rank
        self.log = log
        self.state = state
        self.promised = state.promised
        self.now = now
        self.current = False
        self.serving = False
        self.installed: View | None = None
        self.incomplete_since = now  # when ``current`` became false
        self.highest = state.promised[0]  # largest number of an epoch seen
        self.retired = False  # it is about to stop, and takes part no more
        self.is_full = False  # what was to be written last found no room
        self.full_until = 0.0  # until when nothing is written after that (R9)
        # ids of operations caught up with since the view began: others may lack them (R2, R6)
        self.unsettled: set[str] = set()
        self.effects: list[Effect] = []
        self._full_for = 0.0
        self._writes: deque[Write] = deque()
        self._writing_since: float | None = None
        self._busy = False

    @property
    def view(self) -> View | None:
        """The view that this replica is in."""
        view = self.installed
        return view if view is not None and view.epoch == self.promised else None

    @property
    def leads(self) -> bool:
        """Whether it is primary and serves."""
        view = self.view
        return self.serving and view is not None and view.primary == self.rank

    def fit(self, patience: float) -> bool:
        """Whether it takes part: it can write to its disk, within ``patience`` seconds, and goes on to run."""
        return not self.retired and self.writes(patience)

    def writes(self, patience: float) -> bool:
        """Whether it can write to its disk, and within ``patience`` seconds: as long as nobody knows, it cannot."""
        return not (self.is_full or self.is_late(patience)) and self.now >= self.full_until

    def is_late(self, patience: float) -> bool:
        """Whether its disk has been at one write for longer than that."""
        return self._writing_since is not None and self.now - self._writing_since > patience

    def try_again(self) -> None:
        """See whether there is room again, when it is time to; others rely on a disk that takes writes only then (R9)."""
        if self.is_full and self.now >= self.full_until and not self._busy:
            self._write(Write(self.state, (), lambda durable: None))

    @property
    def writes_round(self) -> bool:
        """Whether what is on its way to the disk is a commit of the view, and not what is caught up with."""
        return bool(self._writes and self._writes[0].tags)

    def word(self) -> Promise:
        """What this replica says of itself, but for its operations and sessions."""
        return Promise(
            self.promised, {}, self.log.loose, self.log.lost, self.state.view, self.current, [], [], self.state.damaged
        )

    def leave(self) -> None:
        """In no view from now on, and not complete either (R13, R16)."""
        self.installed = None
        self.serving = False
        self.incomplete()

    def incomplete(self) -> None:
        """Others may have gone on without this replica (R16)."""
        if self.current:
            self.current = False
            self.incomplete_since = self.now

    def send(self, rank: int, message: AnyMessage) -> None:
        """Send a message."""
        self.effects.append(Send(rank, message))

    # -- the disk: one write at a time, so that each is judged by what is durable (R3)

    def store(
        self, operations: Sequence[model.AnyOperation], then: Then, tags: Tags = (), *, unsettled: bool = False,
        early: bool = False,
    ) -> None:  # fmt: skip
        """Make durable and apply those operations that are new and follow on what is here; ``unsettled``: see there.

        ``early``: what ``then`` brings about is done just before they are applied, and else just after.
        """
        self._write(Write(operations, tags, then, unsettled=unsettled, early=early))

    def settle(self, operations: Sequence[model.AnyOperation]) -> None:
        """All members have these, or will."""
        if self.unsettled:
            self.unsettled.difference_update(operation.id for operation in operations)

    def save(self, state: State, then: Then) -> None:
        """Replace the durable state; what is older than its promise is refused from now on."""
        self.promised = state.promised
        self.highest = max(self.highest, state.promised[0])
        self._write(Write(state, (), then))

    def _write(self, write: Write) -> None:
        self._writes.append(write)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        while self._writes:
            write = self._writes[0]
            if isinstance(write.what, State):
                self.effects.append(Save(write.what))
            else:
                write.fresh = self.log.new_of(write.what)
                if not write.fresh:
                    self._writes.popleft()
                    write.then(True)
                    continue
                self.effects.append(Store(write.fresh))
            self._writing_since = self.now
            return
        self._busy = False
        self._writing_since = None

    def written(self, full: bool) -> None:
        """The oldest write ended."""
        self.is_full = full
        write = self._writes.popleft()
        if full and self.now >= self.full_until:  # the others that were queued behind it fail alike
            self._full_for = min(60.0, max(1.0, self._full_for * 2))
            self.full_until = self.now + self._full_for
            self.effects.append(Say("this replica's disk is full: it takes part again once there is room", loud=True))
        applied = self._is_durable(write) if not full else []
        if write.early:
            write.then(not full)
        self.effects += applied
        if not write.early:
            write.then(not full)
        self._begin()

    def _is_durable(self, write: Write) -> list[Effect]:
        """Take note of what was written; gives what is to be done with it."""
        if isinstance(write.what, State):
            self.state = write.what
            return []
        self._full_for = self.full_until = 0.0
        self.log.take(write.fresh)
        if write.unsettled:
            self.unsettled.update(operation.id for operation in write.fresh)
        return [Apply(write.fresh, write.tags if len(write.fresh) == len(write.what) else ())]
