"""SENDs of one session that came together, on their way to their answers; pure. See the note in chattwist.requests.Sends."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.protocol import grammar
from chattwist.protocol.backend import Committed
from chattwist.requests import Sends

if TYPE_CHECKING:
    from chattwist.protocol.session import Session


# a SEND that needs no closer look: visible ASCII, of which the text has some; in other spellings they are taken one by one
SEND = re.compile(rb"(?:SEND|send) ([!-~]+) ([ -~]*[!-~] *)(\r?\n)")


class Run(Sends):
    """Consecutive SENDs that have neither tags nor mistakes: as a Call, it is answered once, with all their replies."""

    __slots__ = ("_sender", "answer", "session")

    def __init__(self, session: "Session", account: Account) -> None:
        super().__init__(account.id, session.backend.mailbox)
        self.session = session
        self._sender = account
        self.answer: bytes | None = None  # once there is one

    @property
    def count(self) -> int:
        """How many commands."""
        return len(self.items)

    def submit(self) -> None:
        """Have them committed."""
        try:
            self.session.backend.send_all(self, self._done)
        except Exception:
            self.session.backend.log_bug()
            self._done([errors.Internal(errors.BUG) for _ in self.items], False)

    def _done(self, results: list[Committed | errors.ChatError], marked: bool) -> None:
        session = self.session
        if not marked:
            session.not_marked(self._sender, self.read)
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
