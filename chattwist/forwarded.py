"""Errands that other replicas have, by number, and those behind them, while the channel is full of such; pure.

Note [Why not all is passed on at once]: what waits on the way to another replica is bounded (R18), and beyond that bound its
connection is dropped, as that of one that stands still. What clients here send is not to come near to that.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from chattwist import model
from chattwist.errand import Errand
from chattwist.protocol.backend import Committed
from chattwist.replication.messages import AnyMessage, Enter, Epoch, Forward, Leave, Result
from chattwist.requests import Tag

MOST = 1024 * 1024  # characters of all that others have: of four bytes at most, a quarter of what may wait to be sent


class Forwarded:
    """Who has what. Whoever answers tells its number."""

    def __init__(
        self, first: int, seconds: Callable[[], float], patience: float, send: Callable[[int, AnyMessage], None]
    ) -> None:
        """Numbers are counted from ``first``; each is answered within ``patience`` seconds, or else nobody knows."""
        self._number = first
        self._seconds, self._patience, self._send = seconds, patience, send
        self._errands: dict[int, Errand] = {}
        self._size = 0
        self._waiting: deque[tuple[Errand, int, Epoch]] = deque()
        self._awaited: dict[str, list[tuple[Errand, Result]]] = {}  # done elsewhere, by ids of operations

    def pass_on(self, errand: Errand, rank: int, epoch: Epoch) -> None:
        """Let another replica have it, behind all that is to be passed on already; ``epoch`` is of the view for which."""
        self._waiting.append((errand, rank, epoch))
        self.go_on()

    def go_on(self) -> None:
        """Pass on what waits for that, as far as there is room."""
        while self._waiting and self._size < MOST:
            self._pass_on(*self._waiting.popleft())

    def _pass_on(self, errand: Errand, rank: int, epoch: Epoch) -> None:
        errand.at, errand.epoch, errand.sent = rank, epoch, errand.sent + 1
        errand.answer_by = self._seconds() + self._patience
        self._number += 1
        self._errands[self._number] = errand
        self._size += errand.size
        what = errand.what
        if isinstance(what, Enter | Leave):
            self._send(rank, msgspec.structs.replace(what, number=self._number, epoch=epoch))
        else:
            self._send(rank, Forward(self._number, epoch, errand.home, what, errand.session))

    def all(self) -> list[tuple[int, Errand]]:
        """All that others have, each with its number, in the order in which they got it."""
        return list(self._errands.items())

    def take(self, number: int) -> Errand | None:
        """The errand of that number, which nobody has any more; None if it was taken before."""
        errand = self._errands.pop(number, None)
        if errand is not None:
            self._size -= errand.size
        return errand

    def take_waiting(self) -> list[Errand]:
        """Those that nobody has got yet."""
        waiting = [errand for errand, _, _ in self._waiting]
        self._waiting.clear()
        return waiting

    # -- what is done by operations that may not be here yet (R20)

    def wait_for(self, result: Result) -> None:
        """It is done; this replica will get the operation."""
        if (errand := self.take(result.number)) is not None:
            self._awaited.setdefault(result.operation, []).append((errand, result))

    def applied(self, operations: Sequence[model.AnyOperation], tags: Sequence[Tag], rank: int) -> None:
        """The primary commits these: note which of them do what was forwarded from here, from the replica ``rank``."""
        for operation, (home, number) in zip(operations, tags, strict=False):
            if home == rank and number in self._errands:
                self._errands[number].operation = operation.id
        if self._awaited:
            for operation in operations:
                for errand, result in self._awaited.pop(operation.id, ()):
                    errand.done(Committed(operation, result.replicas, result.pushed))

    def take_overdue(self, now: float) -> list[Errand]:
        """Those whose operations should have come by ``now``."""
        overdue = [one for one, waiting in self._awaited.items() if now >= waiting[0][0].answer_by]
        return [errand for operation in overdue for errand, _ in self._awaited.pop(operation)]
