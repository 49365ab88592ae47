"""One command on its way to its answer; pure."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from chattwist import errors
from chattwist.accounts import Account
from chattwist.protocol import grammar
from chattwist.protocol.backend import Backend, Done
from chattwist.protocol.commands import LOGIN_FIRST

if TYPE_CHECKING:
    from chattwist.protocol.session import Session

Then: TypeAlias = Callable[[str], None]


class Call:
    """One command of a session on its way to its answer."""

    __slots__ = ("answer", "command", "session")
    count = 1  # commands

    def __init__(self, session: "Session", command: grammar.Command) -> None:
        self.session = session
        self.command = command
        self.answer: bytes | None = None  # once there is one

    @property
    def backend(self) -> Backend:
        """The replica behind the session."""
        return self.session.backend

    @property
    def account(self) -> Account:
        """The account that is logged in; errors.LoginFirst where its login ended meanwhile."""
        if self.session.account is None:
            raise errors.LoginFirst(LOGIN_FIRST)
        return self.session.account

    def reply(self, code: int, *lines: str) -> None:
        """Answer the command; each line without its code."""
        self.answer = grammar.reply(code, lines, self.command.tag, self.session.sink.ending)
        self.session.answered()

    def fail(self, error: errors.ChatError) -> None:
        """Answer the command with an error."""
        self.reply(error.code, error.text)

    def ask(self, question: str, then: Then) -> None:
        """Answer with 331; the next line goes to ``then``."""
        self.session.ask(self, then)
        seen = "" if self.session.sink.telnet else "; it shows while you type (telnet hides it)"
        self.reply(331, f"{question}; an empty line cancels{seen}")

    def then(self, go: Callable[..., None]) -> Done:
        """A callback that answers with the error it gets, or goes on with what else it gets."""
        return partial(self._go_on, go)

    def _go_on(self, go: Callable[..., None], result: object) -> None:
        if isinstance(result, errors.ChatError):
            self.fail(result)
        else:
            self.guard(go, result)

    def guard(self, function: Callable[..., None], *arguments: object) -> None:
        """Run a part of the command; an error becomes the answer."""
        try:
            function(*arguments)
        except errors.ChatError as error:
            self.fail(error)
        except Exception:
            self.backend.log_bug()
            self.fail(errors.Internal(errors.BUG))
