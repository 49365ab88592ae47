"""A request, or the wish for a session, or its end, on its way to the primary, and what surrounds its router; pure."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

import attrs

from chattwist import errors, model
from chattwist.protocol.backend import Committed, Done, SendsDone
from chattwist.replication.messages import (
    NEVER,
    Again,
    AnyMessage,
    Enter,
    Entered,
    Epoch,
    Failure,
    Leave,
    Left,
    Login,
    Result,
)
from chattwist.requests import AnyRequest, Confirm, Delete, MarkRead, OwnAccount, Send, Sends, Tag

OVER = "this login is over, nothing was done; LOGIN again"
NONE = "no primary can commit it now, nothing was recorded; try again soon"
UNKNOWN = f"the primary was lost: {errors.MAYBE}"
AROUND = 80  # characters of four bytes: a message to another replica, without what may be long in it

What: TypeAlias = AnyRequest | Enter | Leave


class Outside(Protocol):
    """What surrounds the router."""

    def send(self, rank: int, message: AnyMessage) -> None:
        """Send a message to another replica; it may be lost."""

    def relay(self) -> int | None:
        """The replica to go through where this one is in no view (R14)."""

    def unfit(self) -> errors.ChatError | None:
        """Why this replica cannot take part at all, if there is a reason."""

    def result(self, operation: model.AnyOperation, replicas: int) -> Committed:
        """What to tell of an operation that so many replicas hold."""

    def is_begun(self, what: What) -> bool:
        """Whether an operation is here that was made under its retry key."""

    def mark_read(self, ids: tuple[str, ...], done: Done) -> None:
        """Count messages as read."""

    def is_here(self, account: str, session: str) -> bool:
        """Whether it is the account's session on this replica."""

    def log_bug(self) -> None:
        """Log the exception being handled, which is a bug."""

    def over(self, account: str, session: str) -> None:
        """The primary says that this session is over."""


class Apart:
    """Messages that were to be sent together, and have to go one by one: told when all are done."""

    def __init__(self, sends: Sends, done: SendsDone) -> None:
        self._sends, self._done = sends, done
        self._results: list[Any] = [None] * len(sends.items)
        self._left = len(sends.items) + bool(sends.read)
        self._marked = True

    def submit(self, submit: Callable[..., None], mark_read: Callable[[tuple[str, ...], Done], None]) -> None:
        """Have each committed by ``submit(request, done=...)``, and what was read."""
        if self._sends.read:
            mark_read(self._sends.read, self._read)
        for index, request in enumerate(self._sends.apart()):
            submit(request, done=partial(self._sent, index))

    def _sent(self, index: int, result: object) -> None:
        self._results[index] = result
        self._ended()

    def _read(self, result: object) -> None:
        self._marked = not isinstance(result, errors.ChatError)
        self._ended()

    def _ended(self) -> None:
        self._left -= 1
        if not self._left:
            self._done(self._results, self._marked)


@attrs.define(eq=False)
class Errand:
    """A request, or the wish for a session, or its end, on its way; ``session`` makes it, at the replica ``home``.

    ``tell`` gets its result, by way of ``ended``. ``tag`` says who gave it to this replica, and ``until`` when it has
    waited for a primary for long enough; where there has been none for as long, only one that is ``patient`` waits.
    ``sent`` counts the other replicas that had it and may have begun it. While one has it, ``at`` is that one's rank,
    ``answer_by`` until when, ``epoch`` that view's (NEVER for a relay), and ``operation`` the id of the operation that
    does it, once it is seen.
    """

    what: What
    tell: Done
    ended: "Callable[[Errand, object], None]"
    session: str
    home: int
    tag: Tag
    until: float
    patient: bool = False
    sent: int = 0
    at: int = -1
    answer_by: float = 0.0
    epoch: Epoch = NEVER
    operation: str = ""

    def done(self, result: object) -> None:
        """It ended: with a Committed, Login or None (of Leave), errors.ChatError, or errors.NotBegun if another gave it."""
        self.ended(self, result)

    def over(self) -> errors.ChatError:
        """Its session is over: so nothing was done, unless by a replica that had it before."""
        return errors.OutcomeUnknown(UNKNOWN) if self.sent else errors.LoginFirst(OVER)

    @property
    def account(self) -> str:
        """The id of the account whose session alone may ask for this; or ``""``."""
        return self.what.account if isinstance(self.what, OwnAccount) and self.what.by_session else ""

    @property
    def size(self) -> int:
        """About how many characters there are in it, and around it on its way."""
        what = self.what
        if isinstance(what, Send):  # the recipient is whatever its client wrote
            return AROUND + len(what.recipient) + len(what.text)
        return AROUND + (sum(map(len, what.messages)) if isinstance(what, Delete | MarkRead) else 0)

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice comes to the same as once."""
        return isinstance(self.what, Enter | Leave | MarkRead | Confirm) or bool(self.what.key)


def answer(number: int, result: Committed | Login | errors.ChatError | errors.NotBegun | None) -> AnyMessage:
    """What to tell another replica of an errand that it gave under this number."""
    if isinstance(result, errors.NotBegun):
        return Again(number)
    if isinstance(result, errors.ChatError):
        return Failure(number, result.code, result.text)
    if isinstance(result, Committed):
        return Result(number, result.operation.id, result.replicas, result.pushed)
    return Left(number) if result is None else Entered(number, result)
