"""SENDs of one session that came together, on their way to their answers; pure. See the note in chattwist.requests.Sends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.protocol import grammar
from chattwist.protocol.backend import Committed
from chattwist.requests import Sends

if TYPE_CHECKING:
    from chattwist.protocol.session import Session


VERBS = frozenset((b"SEND ", b"send "))  # in other spellings they are taken one by one


def plain_message(content: bytes) -> tuple[str, str] | None:
    """Recipient and text of a line behind its verb; None where somebody has to look closer."""
    try:
        name, _, text = content.decode("utf-8").partition(" ")
    except UnicodeDecodeError:
        return None
    return (name, text) if name and text.isprintable() and text.isascii() and not text.isspace() and text else None


class Run:
    """Consecutive SENDs that have neither tags nor mistakes: as a Call, it is answered once, with all their replies."""

    __slots__ = ("_account", "answer", "count", "sends", "session")

    def __init__(self, session: "Session", account: Account) -> None:
        self.session = session
        self.sends = Sends(account.id, session.backend.mailbox)
        self._account = account
        self.answer: bytes | None = None  # once there is one
        self.count = 0  # of commands

    def add(self, message: tuple[str, str]) -> None:
        """One more."""
        self.sends.items.append(message)
        self.count += 1

    def submit(self) -> None:
        """Have them committed."""
        try:
            self.session.backend.send_all(self.sends, self._done)
        except Exception:
            self.session.backend.log_bug()
            self._done([errors.Internal(errors.BUG) for _ in self.sends.items], False)

    def _done(self, results: list[Committed | errors.ChatError], marked: bool) -> None:
        session = self.session
        if not marked:
            session.not_marked(self._account, self.sends.read)
        try:
            self.answer = self._replies(results)
        except Exception:
            session.backend.log_bug()
            self.answer = self._replies([errors.Internal(errors.BUG)] * self.count)
        session.answered()

    def _replies(self, results: Sequence[Committed | errors.ChatError]) -> bytes:
        session = self.session
        accounts, ending = session.backend.chat.accounts, session.sink.ending.decode()
        replies = []
        for result in results:
            if isinstance(result, Committed):
                replies.append(f"250 {sent_text(accounts, result)}{ending}")
                session.show(result.operation.id)
            else:
                replies.append(f"{result.code} {grammar.clean(result.text)}{ending}")
        return "".join(replies).encode()


def sent_text(accounts: dict[str, Account], done: Committed) -> str:
    """What is told of a message that was sent."""
    message = done.operation
    assert isinstance(message, model.Sent)
    how = "sent to" if done.pushed else "queued for"
    recipient = accounts[message.recipient]
    name = recipient.shown if recipient.deleted else recipient.name
    return f"{message.id} {how} {name}, on {done.replicas} replicas"
