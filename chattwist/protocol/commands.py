"""The command table: HELP, the checks before a command runs, and README's table all come from it; pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import attrs

from chattwist import errors
from chattwist.protocol import accounts, information, messages

if TYPE_CHECKING:
    from chattwist.protocol.call import Call
    from chattwist.protocol.grammar import Command

Do: TypeAlias = "Callable[[Call], None]"

LOGIN_FIRST = "log in first: LOGIN name, or REGISTER name"
MUTATION = (451, 452, 454)  # what every command that records something can meet


@attrs.frozen
class Row:
    """One command: ``codes`` are its own replies, ``MUTATION`` and the general errors aside."""

    usage: str
    does: str
    codes: tuple[int, ...]
    do: Do
    least: int = 0  # arguments, in words
    most: int | None = 0  # None: the last one is text, and ``least`` is 1
    before_login: bool = False
    after_login: bool = True
    records: bool = True
    overlaps: bool = False  # may run while others of its kind are under way in the same session
    shows: bool = False  # and what it shows does not depend on what was read, whose recording it need not wait for

    @property
    def verb(self) -> str:
        """The command's first word."""
        return self.usage.split(" ", 1)[0]

    @property
    def all_codes(self) -> tuple[int, ...]:
        """Every reply but the general errors."""
        return self.codes + tuple(code for code in MUTATION if self.records and code not in self.codes)

    def check(self, command: "Command", logged_in: bool) -> None:
        """Refuse the command in a session where it is not allowed, or with the wrong number of arguments."""
        self.check_login(logged_in)
        count = len(command.words()) if self.most is not None else bool(command.rest)
        many = self.most is not None and count > self.most
        if many or count < self.least:
            hint = "; leave out a password that has spaces, then it is asked for" if many and 331 in self.codes else ""
            raise errors.WrongArguments(f"usage: {self.usage}{hint}")

    def check_login(self, logged_in: bool) -> None:
        """Refuse the command where somebody, or nobody, is logged in."""
        if not logged_in and not self.before_login:
            raise errors.LoginFirst(LOGIN_FIRST)
        if logged_in and not self.after_login:
            raise errors.WrongState(f"you are logged in; LOGOUT first, then {self.verb}")


_ROWS = (
    Row(
        "HELP [verb]", "the commands, one a line; of one verb, its usage and replies",
        (214, 501), information.help_, most=1, before_login=True, records=False, shows=True,
    ),
    Row(
        "REGISTER name [password]", "makes the account and logs in; asks for the password twice where it is left out",
        (230, 331, 551, 553, 501, 450), accounts.register, least=1, most=2, before_login=True, after_login=False,
    ),
    Row(
        "LOGIN name [password]", "logs in; an account has one session at a time",
        (230, 331, 535, 453, 501, 450, 451, 452), accounts.login, least=1, most=2, before_login=True, after_login=False,
        records=False,
    ),
    Row(
        "TAKEOVER name [password]", "logs in and ends the account's other session",
        (230, 331, 535, 501, 450, 451, 452), accounts.takeover, least=1, most=2, before_login=True, after_login=False,
        records=False,
    ),
    Row("LOGOUT", "ends the login; the connection stays", (250, 501), accounts.logout, records=False),
    Row("QUIT", "ends the connection", (221, 501), information.quit_, before_login=True, records=False),
    Row(
        "LIST [prefix [AFTER name]]", "accounts whose name begins so, without case; * is every name; pages of 100",
        (212, 501), information.list_, most=3, before_login=True, records=False, shows=True,
    ),
    Row(
        "WHO [AFTER name]", "accounts that are logged in now; pages of 100",
        (212, 501), information.who, most=2, records=False, shows=True,
    ),
    Row(
        "SEND name text", "sends a message to one account; answered once it is on disk on every live replica",
        (250, 550, 501, 552), messages.send, least=1, most=None, overlaps=True,
    ),
    Row("UNREAD", "how many messages of whom are unread", (211, 501), messages.unread, records=False),
    Row(
        "READ [n]", "the n unread messages sent last, at most 50, and marks those read",
        (213, 501), messages.read, most=1, records=False,
    ),
    Row(
        "HISTORY [name] [n] [BEFORE id]", "the last n messages, 20 or at most 200, of all or with one account",
        (213, 501, 550), messages.history, most=4, records=False, shows=True,
    ),
    Row(
        "DELETE id [id ...]", "deletes messages for good, for sender and recipient both; all or none",
        (250, 501, 550), messages.delete, least=1, most=4096,
    ),
    Row(
        "PASSWD [old new]", "changes the password; asks three times where they are left out",
        (250, 331, 535, 501, 450), accounts.passwd, most=2,
    ),
    Row(
        "UNREGISTER [password]", "deletes the account; messages already sent stay with those they were sent to",
        (250, 331, 535, 501, 450), accounts.unregister, most=1,
    ),
    Row(
        "STATUS", "the replicas and which of them is primary",
        (211, 501), information.status, before_login=True, records=False, shows=True,
    ),
    Row("NOOP", "nothing", (250, 501), information.noop, before_login=True, records=False),
)  # fmt: skip

COMMANDS = {row.verb: row for row in _ROWS}
