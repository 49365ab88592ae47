"""What really is the case, as nobody in the cluster can see it: what each disk holds, who served when, and what was promised."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import attrs
import msgspec

from chattwist import model
from chattwist.replication.messages import Epoch, View
from tests.simulation.timeline import Timeline

SOME_BLANK = ("text", "key", "password")  # what compaction and deletion may take out of an operation


@attrs.frozen
class Violation:
    """A promise that was broken: which one, when, and how."""

    promise: str
    when: float
    what: str

    def __str__(self) -> str:
        return f"{self.promise} at {self.when:.3f}: {self.what}"


@attrs.define(eq=False)
class Served:
    """A view that served: ``parent`` is the last one before it that any of its members had been in."""

    view: View
    begun: float
    parent: "Served | None"
    entitled: bool  # whether it may lack what was acknowledged in another view
    apart: (
        bool  # the same of what was acknowledged after it began: one that is left out for its disk may go on by itself
    )


class Truth:
    """The record of one run; ``last_view`` is the cluster's timing of that name (R16)."""

    def __init__(self, timeline: Timeline, size: int, majority: bool, last_view: float) -> None:
        self.timeline, self.majority, self._last_view = timeline, majority, last_view
        self.violations: list[Violation] = []
        self.held: list[set[str]] = [set() for _ in range(size)]
        self.operations: dict[str, model.AnyOperation] = {}
        self.lost: list[list[float]] = [[] for _ in range(size)]  # when that replica's disk lost something
        self.forgotten: set[str] = set()  # operations that no disk held any more at some moment
        self.served: dict[View, Served] = {}  # not by epoch: after a wipe one may come twice
        self.leading: dict[int, tuple[Epoch, float]] = {}  # rank → in which view it leads, since when
        self.led_until: dict[int, float] = {}
        self.serves: Callable[[Served], None] = lambda served: None  # is told of each view that serves
        self.changes = 0
        self._last: list[Served | None] = [None] * size
        self._entered: list[list[tuple[Epoch, float]]] = [[] for _ in range(size)]  # also views that came to nothing

    def violated(self, promise: str, what: str) -> None:
        """A promise was broken."""
        self.violations.append(Violation(promise, self.timeline.now, what))

    # -- disks

    def durable(self, rank: int, operations: Sequence[model.AnyOperation]) -> None:
        """They are on that replica's disk."""
        held = self.held[rank]
        for operation in operations:
            held.add(operation.id)
            self._check_same(operation)

    def _check_same(self, operation: model.AnyOperation) -> None:
        if isinstance(operation, model.Lost):
            if operation.id not in self.forgotten:
                self.violated("what is durable stays", f"{operation.id} was called lost, and is not")
            return
        known = self.operations.setdefault(operation.id, operation)
        if known != operation and not is_stripped(operation, known):
            if is_stripped(known, operation):
                self.operations[operation.id] = operation
            else:
                self.violated("never served from damaged data", f"{operation} was {known}")

    def loaded(self, rank: int, operations: Iterable[model.AnyOperation], spoiled: bool) -> None:
        """This is what that replica found on its disk; ``spoiled``: somebody else had changed what is there."""
        found = set()
        for operation in operations:
            found.add(operation.id)
            self._check_same(operation)
        gone = self.held[rank] - found
        self.held[rank] = found
        if gone and not spoiled:
            self.violated("what is durable stays", f"{sorted(gone)[:5]} of replica {rank}, and {len(gone)} in all")
        if spoiled:
            self.lost[rank].append(self.timeline.now)
            self._note_forgotten(gone)

    def wiped(self, rank: int) -> None:
        """That disk is empty now."""
        self.lost[rank].append(self.timeline.now)
        gone, self.held[rank] = self.held[rank], set()
        self._last[rank] = None
        self._note_forgotten(gone)

    def _note_forgotten(self, gone: set[str]) -> None:
        self.forgotten |= gone.difference(*self.held)

    def holders(self, operation: str) -> int:
        """How many disks hold it."""
        return sum(operation in held for held in self.held)

    # -- views

    def leads(self, rank: int, view: View | None, awake: Sequence[float] = (), stuck: Collection[int] = ()) -> None:
        """That replica serves as primary in the view, or not any more.

        ``awake``: since when each process runs; ``stuck``: ranks of those whose disks take nothing.
        """
        now = self.timeline.now
        if view is None:
            if self.leading.pop(rank, None) is not None:
                self.led_until[rank] = now
            return
        if self.leading.get(rank, (None,))[0] == view.epoch:
            return
        self.leading[rank] = view.epoch, now
        self.changes += 1
        # one that was there before a disk lost something may come twice
        if view not in self.served or any(at > self.served[view].begun for at in self.lost[rank]):
            self._serve(view, awake, set(stuck) - {*view.members})

    def entered(self, rank: int, view: View) -> None:
        """That replica entered a view, which may serve or not: it goes on from there, and may be cut off then."""
        if view.members != (rank,):
            self._entered[rank].append((view.epoch, self.timeline.now))

    def entered_at(self, served: Served) -> float:
        """When its primary entered it, to serve once all others had."""
        entered = [when for epoch, when in self._entered[served.view.primary] if epoch == served.view.epoch]
        return min(entered, default=served.begun)

    def _serve(self, view: View, awake: Sequence[float], stuck: set[int]) -> None:
        """``stuck``: those left out since their disks take nothing; they were read and did not promise."""
        now = self.timeline.now
        before = [one for one in (self._last[rank] for rank in view.members) if one is not None]
        parent = max(before, key=lambda one: one.view.epoch, default=None)
        waited = any(awake[rank] <= now - 0.95 * self._last_view for rank in view.members)
        went_on = any(
            (self._last[rank] is parent and self._was_in(parent, awake[rank]))
            or any(epoch < view.epoch and when >= awake[rank] for epoch, when in self._entered[rank])
            for rank in view.members
        )
        served = Served(view, now, parent, waited or went_on, bool(stuck))
        self.served[view] = served
        for rank in view.members:
            self._last[rank] = served
        self.serves(served)

    def _was_in(self, parent: Served | None, awake: float) -> bool:
        """At a first start nobody was in any view: whoever finds no process at the others' ports serves alone."""
        return parent is None or awake <= parent.begun

    def served_between(self, rank: int, begin: float, end: float) -> list[Served]:
        """The views with that member that served at some time between."""
        mine = sorted((one for one in self.served.values() if rank in one.view.members), key=lambda one: one.begun)
        until = [*(one.begun for one in mine[1:]), math.inf]
        return [one for one, over in zip(mine, until, strict=True) if one.begun <= end and over >= begin]

    def may_lack(self, later: View | None, earlier: View | None, when: float) -> bool:
        """Whether ``later`` may know nothing of what was acknowledged at ``when`` in ``earlier``.

        It may where its line of views goes on from before, cut off, or after the wait of R16; never in majority mode;
        and where a disk lost something that it had acknowledged.
        """
        if later is None or earlier is None:
            return True
        if any(at >= when for rank in {*later.members, *earlier.members} for at in self.lost[rank]):
            return True
        if self.majority:
            return False
        common = set(self._line(self.served.get(earlier)))
        for one in self._line(self.served.get(later)):
            if one in common or (one.begun > when and set(one.view.members) & set(earlier.members)):
                return False
            if one.entitled or (one.apart and when > one.begun):
                return True
        return False

    def _line(self, served: Served | None) -> Iterator[Served]:
        while served is not None:
            yield served
            served = served.parent


def is_stripped(operation: Any, whole: Any) -> bool:
    """Whether it is the same but for what compaction and deletion take out."""
    if type(operation) is not type(whole):
        return False
    blank = {name: "" for name in SOME_BLANK if getattr(operation, name, None) == ""}
    return bool(msgspec.structs.replace(whole, **blank) == operation)
