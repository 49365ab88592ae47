"""From requests to committed operations: one commit at a time, and all that comes meanwhile shares the next one."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.protocol.backend import Committed, Done
from chattwist.requests import Claim, Request

MOST_OPERATIONS = 2000  # in one commit: bounds a journal record, and how long the reactor is busy with one

Taken: TypeAlias = tuple[model.AnyOperation, Done]
Answer: TypeAlias = tuple[object, Done]


class Journal(Protocol):
    """Where operations become durable."""

    def commit(self, operations: Sequence[model.AnyOperation], done: Callable[[BaseException | None], None]) -> None:
        """Write and fsync; then ``done(None)``, or with errors.DiskFull or errors.DiskFailed."""


class Commits:
    """The queue of requests before the journal."""

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        chat: Chat,
        stamps: model.Stamps,
        now: Callable[[], int],
        journal: Journal,
        took: Callable[[model.AnyOperation], Committed],
        again: Callable[[model.AnyOperation], Committed],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Nothing happens yet.

        ``now`` gives microseconds since 1970. ``took`` applies an operation that is durable and gives its result, ``again``
        gives the result of one that was done before, ``failed`` is told that the disk is broken.
        """
        self._reactor, self._chat, self._stamps, self._now, self._journal = reactor, chat, stamps, now, journal
        self._took, self._again, self._failed = took, again, failed
        self._waiting: list[tuple[Request | None, Done]] = []
        self._busy = False
        self._full = False  # the disk, when it was last written to
        self.refusal: errors.ChatError | None = None  # why nothing can be committed from now on

    def submit(self, request: Request, done: Done) -> None:
        """Have a request committed; ``done(Committed | ChatError)`` is called once, later."""
        self._add(request, done)

    def when_settled(self, done: Callable[[], None]) -> None:
        """Call ``done`` once all that was submitted before is committed or refused; at once if nothing is."""
        if self._busy or self._waiting:
            self._add(None, lambda _: done())
        else:
            done()

    def _add(self, request: Request | None, done: Done) -> None:
        self._waiting.append((request, done))
        if not self._busy:
            self._busy = True
            self._reactor.callLater(0, self._commit)  # later in this turn: what other clients sent comes along

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting[:MOST_OPERATIONS], self._waiting[MOST_OPERATIONS:]
        mark = self._stamps.mark()
        taken: list[Taken] = []
        answers: list[Answer] = []
        later: list[tuple[Request | None, Done]] = []
        claimed: set[Claim] = set()
        self._chat.forget_keys(self._now())
        for request, done in waiting:
            claims = [] if request is None else list(request.claims())
            if not claimed.isdisjoint(claims) or (request is None and later):
                later.append((request, done))
                continue
            claimed.update(claims)
            result = self._decide(request)
            if isinstance(result, model.Operation):
                taken.append((result, done))
            else:
                answers.append((result, done))
        self._waiting[:0] = later
        self._write(mark, taken, answers)

    def _decide(self, request: Request | None) -> model.AnyOperation | Committed | errors.ChatError | None:
        if request is None:
            return None
        if self.refusal is not None:
            return self.refusal
        first = request.done_before(self._chat, self._now())
        if first is not None:
            return self._again(first)
        try:
            return request.decide(self._chat, self._stamp)
        except errors.ChatError as error:
            return error
        except Exception:
            self.log.failure("a request could not be decided")
            return errors.Internal("internal error, logged; nothing was done; other commands still work")

    def _stamp(self) -> tuple[str, int]:
        return self._stamps.next(self._now(), self._chat.latest)

    def _write(self, mark: tuple[int, int], taken: list[Taken], answers: list[Answer]) -> None:
        if not taken:
            return self._finish(answers)

        def written(failure: BaseException | None) -> None:
            if failure is not None:
                answers[:0] = self._not_written(failure, mark, taken)
                return self._finish(answers)
            if self._full:
                self._full = False
                self.log.info("there is room on the disk again")
            for operation, done in taken:
                self._answer(done, self._take(operation))
            self._finish(answers)

        self._journal.commit([operation for operation, _ in taken], written)

    def _take(self, operation: model.AnyOperation) -> object:
        try:
            return self._took(operation)
        except Exception:  # the others of this commit, and all later ones, must not wait for ever
            self.log.failure("an operation that is durable could not be taken in")
            return errors.OutcomeUnknown("it is recorded, but an internal error came then; it was logged")

    def _not_written(self, failure: BaseException, mark: tuple[int, int], taken: list[Taken]) -> list[Answer]:
        error: errors.ChatError
        if isinstance(failure, errors.DiskFull):
            if not self._full:
                self.log.error(
                    "the disk is full ({reason}): nothing is recorded until there is room", reason=str(failure)
                )
            self._full = True
            self._stamps.back_to(mark)
            error = errors.NoSpace("not recorded: this replica's disk is full; free some space there and try again")
        else:
            self.refusal = errors.NoSpace(
                "not recorded: this replica's disk failed and it is stopping; connect again soon"
            )
            self._failed(failure)
            error = errors.OutcomeUnknown(
                "the disk failed: it may or may not be recorded; connect again soon, repeat it with its retry key or look it up"
            )
        return [(error, done) for _, done in taken]

    def _finish(self, answers: list[Answer]) -> None:
        for result, done in answers:
            self._answer(done, result)
        self._busy = bool(self._waiting)
        if self._busy:
            self._reactor.callLater(0, self._commit)

    def _answer(self, done: Done, result: object) -> None:
        try:
            done(result)
        except Exception:
            self.log.failure("an answer could not be given")
