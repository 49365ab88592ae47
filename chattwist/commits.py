"""From requests to committed operations: one commit at a time, and all that comes meanwhile shares the next one."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.protocol.backend import Committed, Done
from chattwist.requests import HERE, AnyRequest, Claim, Tag

MOST_OPERATIONS = 2000  # in one commit: bounds a journal record, and how long the reactor is busy with one


@attrs.define(eq=False)
class Waiting:
    """A request before it is decided; None stands for a barrier.

    ``session`` is the id of the session that makes it, at the replica ``home``.
    """

    request: AnyRequest | None
    done: Done
    session: str = ""
    home: int = -1
    tag: Tag = HERE


@attrs.define(eq=False)
class Taken:
    """What is committed next: an operation; or none, for a barrier, or for a request of which ``known`` is the result (R6)."""

    waiting: Waiting
    operation: model.AnyOperation | None = None
    known: model.AnyOperation | None = None


Answer: TypeAlias = tuple[object, Done]


class Journal(Protocol):
    """Where operations are committed: durable on all replicas of the view, and applied to this one's chat."""

    def commit(
        self,
        operations: Sequence[model.AnyOperation],
        tags: Sequence[Tag],
        done: Callable[[BaseException | None, int], None],
    ) -> None:
        """Commit, then ``done(None, replicas)``, or with DiskFull, DiskFailed, Unsettled or NotBegun of chattwist.errors.

        ``replicas``: how many hold it. With no operations it only finds out whether this replica leads still.
        """


class Commits:
    """The queue of requests before the journal, on the replica that leads."""

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        chat: Chat,
        stamps: model.Stamps,
        now: Callable[[], int],
        journal: Journal,
        result: Callable[[model.AnyOperation, int], Committed],
        is_settled: Callable[[str], bool],
    ) -> None:
        """``now`` gives microseconds since 1970, ``result`` what to tell of an operation that so many replicas hold.

        ``is_settled`` tells of the id of an operation that is here whether all others have it, too.
        """
        self._reactor, self._chat, self._stamps, self._now, self._journal = reactor, chat, stamps, now, journal
        self._result, self._is_settled = result, is_settled
        self._waiting: list[Waiting] = []
        self._busy = False
        self._full = False  # the disk, when it was last written to

    def submit(self, request: AnyRequest, done: Done, session: str = "", home: int = -1, tag: Tag = HERE) -> None:
        """Have a request committed; ``done(Committed | ChatError)`` is called once, later."""
        self._add(Waiting(request, done, session, home, tag))

    def barrier(self, done: Done) -> None:
        """``done(None)`` once all that was submitted before is settled, and this replica leads still: all members said so.

        ``done(ChatError)`` if it does not.
        """
        self._add(Waiting(None, done))

    def give_back(self) -> list[Waiting]:
        """What was not begun: another replica leads now."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            self._reactor.callLater(0, self._commit)  # later in this turn: what other clients sent comes along

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting[:MOST_OPERATIONS], self._waiting[MOST_OPERATIONS:]
        mark = self._stamps.mark()
        taken: list[Taken] = []
        answers: list[Answer] = []
        later: list[Waiting] = []
        claimed: set[Claim] = set()
        self._chat.forget_keys(self._now())
        for one in waiting:
            claims = [] if one.request is None else list(one.request.claims())
            if not claimed.isdisjoint(claims) or (one.request is None and later):
                later.append(one)
                continue
            claimed.update(claims)
            result = self._decide(one)
            if isinstance(result, Taken):
                taken.append(result)
            else:
                answers.append((result, one.done))
        self._waiting[:0] = later
        self._write(mark, taken, answers)

    def _decide(self, one: Waiting) -> Taken | errors.ChatError:
        if one.request is None:
            return Taken(one)
        try:
            known = one.request.done_before(self._chat, self._now())
            if known is None:
                return Taken(one, operation=one.request.decide(self._chat, self._stamp))
            if self._is_settled(known.id):
                return Taken(one, known=known)
            return errors.OutcomeUnknown("it is recorded, and on its way to all replicas; repeat it in a moment")
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

        def written(failure: BaseException | None, replicas: int) -> None:
            if failure is not None:
                error = self._not_committed(failure, mark)
                return self._finish([*((error, one.waiting.done) for one in taken), *answers])
            if self._full and new:
                self._full = False
                self.log.info("there is room on the disk again")
            for one in taken:
                self._answer(one.waiting.done, self._result_of(one.operation or one.known, replicas))
            self._finish(answers)

        new = [(one.operation, one.waiting.tag) for one in taken if one.operation is not None]
        self._journal.commit([operation for operation, _ in new], [tag for _, tag in new], written)

    def _result_of(self, operation: model.AnyOperation | None, replicas: int) -> object:
        try:
            return None if operation is None else self._result(operation, replicas)
        except Exception:  # the others of this commit, and all later ones, must not wait for ever
            self.log.failure("the result of what is committed could not be told")
            return errors.OutcomeUnknown("it is recorded, but an internal error came then; it was logged")

    def _not_committed(self, failure: BaseException, mark: tuple[int, int]) -> errors.ChatError:
        if isinstance(failure, errors.DiskFull):
            if not self._full:
                reason = str(failure)
                self.log.error("the disk is full ({reason}): nothing is recorded until there is room", reason=reason)
            self._full = True
            self._stamps.back_to(mark)
            return errors.NoSpace("not recorded: this replica's disk is full; free some space there and try again")
        if isinstance(failure, errors.NotBegun):
            self._stamps.back_to(mark)
            return errors.NoPrimary("another replica became primary just now, nothing was recorded; send it again")
        if isinstance(failure, errors.Unsettled):
            self._stamps.renew()  # other replicas may have got what this one did not: these ids are used up
            return errors.OutcomeUnknown(
                "the primary was lost: it may or may not be recorded; repeat it with its retry key, or look it up"
            )
        return errors.OutcomeUnknown(
            "this replica failed: it may or may not be recorded; connect again soon, repeat it with its retry key or look it up"
        )

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
