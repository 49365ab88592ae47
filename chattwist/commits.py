"""From requests to committed operations: one commit at a time, and all that comes meanwhile shares the next one."""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.batch import Batch, Deciding, Waiting
from chattwist.chat import Chat
from chattwist.protocol.backend import Committed, Done, SendsDone
from chattwist.requests import HERE, AnyRequest, Sends, Tag

# in one commit, and as many more as one client sent together: bounds a journal record, and how long the reactor is busy
MOST_OPERATIONS = 2000
QUIET_TURNS = 10  # of the reactor that bring nothing, and nobody else is waited for
FEW_TURNS = 2  # the same behind a large commit, where to wait for longer brings nothing
MANY = 300  # operations in a large commit
RECORDED = "it is recorded, but it could not be confirmed now; repeat it in a moment"


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
        results: Callable[[Sequence[model.Sent | errors.ChatError], int], list[Committed | errors.ChatError]],
        is_settled: Callable[[str], bool],
    ) -> None:
        """``now`` gives microseconds since 1970, ``result`` what to tell of an operation that so many replicas hold.

        ``results`` does so for several messages, and leaves errors among them as they are.
        ``is_settled`` tells of the id of an operation that is here whether all others have it, too.
        """
        self._reactor, self._stamps, self._now, self._journal = reactor, stamps, now, journal
        self._result, self._results = result, results
        self._when_idle: Callable[[], None] | None = None
        self._deciding = Deciding(chat, stamps, is_settled, lambda: self.log.failure("a request could not be decided"))
        self._waiting: list[Waiting] = []
        self._busy = False
        self._begun = 0.0  # when, the last commit
        # how many may come along with the next one, until when, and for how many turns that bring nothing it waits
        self._expected, self._gather_until, self._quiet_turns = 0, 0.0, 0
        self._full = False  # the disk, when it was last written to

    def submit(self, request: AnyRequest, done: Done, session: str = "", tag: Tag = HERE) -> None:
        """Have a request committed; ``done(Committed | ChatError)`` is called once, later."""
        self._add(Waiting(request, done, session, tag))

    def send_all(self, sends: Sends, done: SendsDone, session: str) -> None:
        """Have messages committed, all of them in one commit; see Backend.send_all."""
        self._add(Waiting(sends, done, session))

    def barrier(self, done: Done) -> None:
        """``done(None)`` once all that was submitted before is settled, and this replica leads still: all members said so.

        ``done(ChatError)`` if it does not.
        """
        self._add(Waiting(None, done))

    def is_shared(self, account: str) -> bool:
        """Whether all others know an account as this replica does; if not, they soon will, by a new view."""
        return self._deciding.is_shared(account)

    @property
    def idle(self) -> bool:
        """Whether all that was submitted is done."""
        return not self._busy

    def when_idle(self, done: Callable[[], None]) -> None:
        """Call ``done`` once that is so."""
        self._when_idle = done

    def give_back(self) -> list[Waiting]:
        """What was not begun: another replica leads now."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            self._reactor.callLater(0, self._gather)  # later in this turn: what other clients sent comes along

    def _commit(self) -> None:
        self._begun = self._reactor.seconds()
        waiting = self._take()
        mark = self._stamps.mark()
        batch = self._deciding.decide(waiting, self._now())
        self._waiting[:0] = batch.later
        if not (batch.told or batch.operations):
            self._tell_sends(batch, None, 0)
            return self._finish(batch)
        self._journal.commit(
            batch.operations, batch.tags, lambda failure, replicas: self._written(batch, mark, failure, replicas)
        )

    def _take(self) -> list[Waiting]:
        """As many of those that wait as fit in a commit."""
        most, room = 0, MOST_OPERATIONS
        while room > 0 and most < len(self._waiting):
            request = self._waiting[most].request
            room -= len(request.items) if isinstance(request, Sends) else 1
            most += 1
        waiting, self._waiting = self._waiting[:most], self._waiting[most:]
        return waiting

    def _written(self, batch: Batch, mark: tuple[int, int], failure: BaseException | None, replicas: int) -> None:
        if isinstance(failure, errors.DiskFull) and batch.operations:
            return self._without_room(batch, mark, failure)
        if failure is not None:
            self._tell_failed(batch, mark, failure)
        else:
            if self._full and batch.operations:
                self._full = False
                self.log.info("there is room on the disk again")
            for done, operation in batch.told:
                self._answer(done, self._result_of(operation, replicas))
            self._tell_sends(batch, None, replicas)
        self._finish(batch)

    def _without_room(self, batch: Batch, mark: tuple[int, int], failure: errors.DiskFull) -> None:
        """What was to be recorded is refused; barriers, which record nothing, pass by themselves."""
        barriers = [one for one in batch.told if one[1] is None]
        batch.told = [one for one in batch.told if one[1] is not None]
        self._tell_failed(batch, mark, failure)
        if barriers:
            rest = Batch(told=barriers, refused=batch.refused)
            self._journal.commit([], [], lambda failure, replicas: self._written(rest, mark, failure, replicas))
        else:
            self._finish(batch)

    def _tell_failed(self, batch: Batch, mark: tuple[int, int], failure: BaseException) -> None:
        error = self._not_committed(failure, mark)
        made = {operation.id for operation in batch.operations}
        for done, operation in batch.told:
            before = operation is not None and operation.id not in made  # recorded under its retry key (R6)
            self._answer(done, errors.OutcomeUnknown(RECORDED) if before else error)
        self._tell_sends(batch, error, 0)

    def _tell_sends(self, batch: Batch, failure: errors.ChatError | None, replicas: int) -> None:
        for done, made in batch.sends:
            results = _failed(made, failure) if failure is not None else self._results_of(made, replicas)
            try:
                done(results, failure is None)
            except Exception:  # the others of this commit, and all later ones, must not wait for ever
                self.log.failure("an answer could not be given")

    def _results_of(
        self, made: list[model.Sent | errors.ChatError], replicas: int
    ) -> list[Committed | errors.ChatError]:
        try:
            return self._results(made, replicas)
        except Exception:
            return _failed(made, self._bug())

    def _result_of(self, operation: model.AnyOperation | None, replicas: int) -> object:
        try:
            return None if operation is None else self._result(operation, replicas)
        except Exception:  # the others of this commit, and all later ones, must not wait for ever
            return self._bug()

    def _bug(self) -> errors.ChatError:
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
            return errors.OutcomeUnknown(f"the primary was lost: {errors.MAYBE}")
        return errors.OutcomeUnknown(f"this replica failed, connect again: {errors.MAYBE}")

    def _finish(self, batch: Batch) -> None:
        for done, error in batch.refused:
            self._answer(done, error)
        self._expect(batch)
        self._busy = bool(self._waiting)
        if self._busy:
            self._reactor.callLater(0, self._gather)  # later: all of it may be refused, again and again
        elif self._when_idle is not None:
            idle, self._when_idle = self._when_idle, None
            idle()

    def _expect(self, batch: Batch) -> None:
        """Those who were answered just now may ask again at once, as long as this commit took, beside those who wait."""
        now = self._reactor.seconds()
        self._gather_until = 2 * now - self._begun
        self._expected = len(batch.told) + len(batch.sends) + len(self._waiting)
        self._quiet_turns = FEW_TURNS if len(batch.operations) >= MANY else QUIET_TURNS

    def _gather(self, known: int = 0, quiet: int = 0) -> None:
        """Let them come along; else there are two crowds that take turns, and each has a commit for itself."""
        waiting = len(self._waiting)
        quiet = 0 if waiting > known else quiet + 1
        if waiting >= self._expected or quiet >= self._quiet_turns or self._reactor.seconds() >= self._gather_until:
            self._commit()
        else:
            self._reactor.callLater(0, self._gather, waiting, quiet)

    def _answer(self, done: Done, result: object) -> None:
        try:
            done(result)
        except Exception:
            self.log.failure("an answer could not be given")


def _failed(made: list[model.Sent | errors.ChatError], failure: errors.ChatError) -> list[Committed | errors.ChatError]:
    return [failure if isinstance(one, model.Sent) else one for one in made]
