"""What clients here have read: told to the primary together at the end of each turn of the reactor; pure."""

from collections.abc import Callable

from chattwist.protocol.backend import Done
from chattwist.requests import MOST_MARKED, MarkRead


class ReadMarks:
    """Collects them: each SEND of somebody who was sent messages brings such a mark, which would cost as much as the SEND."""

    def __init__(
        self,
        submit: Callable[[MarkRead, Done], None],
        later: Callable[[Callable[[], None]], object],
        log_bug: Callable[[], None],
    ) -> None:
        """``later`` calls a function once the present turn is over; ``log_bug`` logs the exception being handled."""
        self._submit, self._later, self._log_bug = submit, later, log_bug
        self._ids: list[str] = []
        self._waiting: list[Done] = []

    def add(self, ids: tuple[str, ...], done: Done) -> None:
        """Count at most MOST_MARKED messages as read by those to whom they were sent; ``done(Committed | ChatError)``."""
        if len(self._ids) + len(ids) > MOST_MARKED:
            self.flush()
        if not self._waiting:
            self._later(self.flush)
        self._ids += ids
        self._waiting.append(done)

    def flush(self) -> None:
        """Tell of those now."""
        if not self._waiting:
            return
        ids, waiting = tuple(self._ids), self._waiting
        self._ids, self._waiting = [], []

        def ended(result: object) -> None:
            for done in waiting:
                try:
                    done(result)
                except Exception:  # the other sessions must not wait for ever
                    self._log_bug()

        self._submit(MarkRead(account="", messages=ids), ended)
