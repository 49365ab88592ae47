"""Everything that can go wrong, one tree; each error a client may see has its wire code and says what to do next."""

MAYBE = "it may or may not be recorded; repeat it if it had a retry key, else look first (HISTORY)"

BUG = "internal error, logged; nothing is half done; other commands still work"


class ChattwistError(Exception):
    """The root of the tree."""


class StartError(ChattwistError):
    """The replica cannot start; the text is one line for the person who started it."""


class StoreError(StartError):
    """The files on disk cannot be used as they are (damaged, of a newer version, locked); nothing was changed."""


class DiskFull(ChattwistError):
    """The disk took only part or none of a write; the file was cut back to its last whole record, nothing was recorded."""


class DiskFailed(ChattwistError):
    """A write or an fsync failed, so what the disk holds is not known: the process has to end (rule R9)."""


class Unsettled(ChattwistError):
    """A commit was begun, and this replica lost its part in the view: nobody here can say whether it is recorded."""


class NotBegun(ChattwistError):
    """A commit was not begun, since this replica does not lead; nothing was recorded."""


class ChatError(ChattwistError):
    """A refusal that a client is told: ``code`` is its three digits, the exception's text the rest of the line."""

    code = 554

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class TryLater(ChatError):
    """Too many attempts or too much waiting."""

    code = 450


class NoPrimary(ChatError):
    """No primary can commit it now; nothing was recorded."""

    code = 451


class NoSpace(ChatError):
    """This replica cannot write to its disk; nothing was recorded."""

    code = 452


class LoggedInElsewhere(ChatError):
    """The account has a session already."""

    code = 453


class OutcomeUnknown(ChatError):
    """It may or may not have been recorded."""

    code = 454


class Unreadable(ChatError):
    """Not a command, or a line that cannot be read."""

    code = 500


class WrongArguments(ChatError):
    """Arguments or text that are not allowed."""

    code = 501


class WrongState(ChatError):
    """Not now, e.g. LOGIN when logged in."""

    code = 503


class LoginFirst(ChatError):
    """Only for an account that is logged in."""

    code = 530


WRONG = "wrong name or password; try again"


class WrongPassword(ChatError):
    """Wrong name or wrong password; which one is not told."""

    code = 535


class NotFound(ChatError):
    """No such account, or no such message of this account."""

    code = 550


class NameTaken(ChatError):
    """An account has that name."""

    code = 551


class OverLimit(ChatError):
    """A mailbox is full."""

    code = 552


class NotAName(ChatError):
    """What was given cannot be a name."""

    code = 553


class Internal(ChatError):
    """A bug, logged; nothing is half done."""

    code = 554


def chat_error(code: int, text: str) -> ChatError:
    """The error of that code, as another replica told it."""
    return next((kind for kind in ChatError.__subclasses__() if kind.code == code), ChatError)(text)
