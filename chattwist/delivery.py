"""Operations that are durable here: they are merged into the chat, and the sessions that they concern are told; pure."""

from collections.abc import Callable

from chattwist import model
from chattwist.chat import Chat
from chattwist.online import Online
from chattwist.protocol.session import Session
from chattwist.replication.log import Log
from chattwist.roster import Roster

DELETED = "this account was deleted"


class Delivery:
    """From operations to sessions. ``deleting``: accounts whose own session deletes them now, and is told by its reply."""

    def __init__(
        self, chat: Chat, log: Log, online: Online, roster: Roster, later: Callable[[Callable[[], None]], object],
        log_bug: Callable[[], None],
    ) -> None:  # fmt: skip
        """``later`` calls a function once the present turn is over; ``log_bug`` logs the exception being handled."""
        self._chat, self._log, self._online, self._roster, self._later = chat, log, online, roster, later
        self._log_bug = log_bug
        self.deleting: set[str] = set()
        self._arrived: list[tuple[Session, model.Sent]] = []

    def take(self, operation: model.AnyOperation) -> None:
        """Merge one operation, and tell of it."""
        if isinstance(operation, model.Deleted):
            return self._delete(operation)
        self._chat.apply(operation)
        if isinstance(operation, model.Sent):
            self._arrive(operation)
        elif isinstance(operation, model.Unregistered):
            self._end(operation.account)

    def _delete(self, operation: model.Deleted) -> None:
        shown = self._sessions_that_saw(operation)
        self._chat.apply(operation)
        for message_id in operation.messages:
            self._log.forget_text(message_id)
        for session, message_id in shown:
            session.event(f"DELETED {message_id}")

    def _arrive(self, message: model.Sent) -> None:
        if message.id in self._chat.gone:
            self._log.forget_text(message.id)
        elif (session := self._online.sessions.get(message.recipient)) is not None:
            self._arrived.append((session, message))

    def push(self) -> None:
        """Push what arrived since the last time, to sessions that are still there and did not READ it meanwhile."""
        arrived, self._arrived = self._arrived, []
        sessions, known = self._online.sessions, self._chat.messages.known
        for session, message in arrived:
            is_here = sessions.get(message.recipient) is session
            if is_here and known(message.id) is not None and not session.was_read(message.id):
                try:
                    session.push(message)
                except Exception:  # the others, and the commit whose answers come behind these, must not wait for ever
                    self._log_bug()

    def _end(self, account: str) -> None:
        self._roster.leave(account)
        if account not in self.deleting:
            self._later(lambda: self._online.end(account, DELETED))

    def _sessions_that_saw(self, operation: model.Deleted) -> list[tuple[Session, str]]:
        """The other parties' sessions, each with a message that was shown there."""
        found = []
        for message in filter(None, map(self._chat.messages.get, operation.messages)):
            for account in {message.sender, message.recipient} - {operation.account}:
                session = self._online.sessions.get(account)
                if session is not None and session.was_shown(message.id):
                    found.append((session, message.id))
        return found
