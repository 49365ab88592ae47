"""What a client asks to have done, as values; deciding turns each into an operation or a refusal; pure.

A request is decided against a chat that holds all that was committed before. Requests of one commit are decided against
the same chat, so those that could contradict each other must not be in one: each names in ``claims`` what it alone may touch
in its commit, and one whose claim is taken waits for the next. For how full a mailbox is they count together.
"""

from collections.abc import Callable, Collection
from typing import ClassVar, TypeAlias

import msgspec

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.names import fold, is_name

Stamp: TypeAlias = Callable[[], tuple[str, int]]  # gives the id and the time stamp of the operation that is made
Claim: TypeAlias = tuple[str, ...]
Tag: TypeAlias = tuple[int, int]  # which replica forwarded a request, and under which number
HERE: Tag = (-1, 0)

MOST_MARKED = 1000  # messages that one operation marks as read: bounds its size
DELETED = "this account was deleted; REGISTER or LOGIN with another"
NAME_RULE = "a name is 1 to 32 of A-Z a-z 0-9 . _ - and begins with a letter"


class Together:
    """What the requests of one commit have in common: stamps for their operations, and what is sent to whom."""

    __slots__ = ("sent_to", "stamp")

    def __init__(self, stamp: Stamp) -> None:
        self.stamp = stamp
        self.sent_to: dict[str, int] = {}  # id of an account → messages, which the chat does not hold yet


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    """What all requests have: ``key`` is the retry key or ``""``."""

    key: str = ""

    def done_before(self, chat: Chat, now: int) -> model.AnyOperation | None:
        """What was recorded first under the retry key; then the request is not done again."""
        raise NotImplementedError

    def claims(self) -> Collection[Claim]:
        """What no other request of the same commit may touch."""
        return ()

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        """The operation that does it; raises errors.ChatError where it cannot be done."""
        raise NotImplementedError


class Register(Request, frozen=True, tag="register"):
    """Make the account ``name``; ``password`` is the hash."""

    name: str
    password: str

    def done_before(self, chat: Chat, now: int) -> model.AnyOperation | None:
        return registered_before(chat, self.name, self.key, now)

    def claims(self) -> Collection[Claim]:
        return (("name", fold(self.name)),)

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        check_name_is_free(chat, self.name)
        if chat.accounts.used_and_deleted(self.name, self.key):  # a repetition that comes late
            raise errors.WrongArguments(
                "this retry key made an account that was deleted since; REGISTER with a new key"
            )
        return model.Registered(*together.stamp(), self.name, self.password, self.key)


class Confirm(Request, frozen=True, tag="confirm"):
    """Record that the account's registration was committed (R19); may be asked for again and again.

    ``renamed``: also where somebody else has the name by now.
    """

    account: str
    renamed: bool = False

    def done_before(self, chat: Chat, now: int) -> model.AnyOperation | None:
        account = self._known(chat)
        return account.registered if account.confirmed or account.deleted else None

    def claims(self) -> Collection[Claim]:
        return (("confirm", self.account),)

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        account = self._known(chat)
        lost = account.is_renamed and not self.renamed  # others committed it for somebody else meanwhile
        if lost or account.listed is None:
            raise errors.NameTaken("that name was taken just now; choose another")
        return model.Confirmed(*together.stamp(), self.account)

    def _known(self, chat: Chat) -> Account:
        account = chat.accounts.get(self.account)
        if account is None or account.registered is None:
            raise errors.OutcomeUnknown("the primary does not know that account; LOGIN in a moment")
        return account


class OwnAccount(Request, frozen=True):
    """A request about the account that makes it; ``account`` is its id. ``by_session``: only its session may ask for it."""

    by_session: ClassVar[bool] = True
    account: str

    def done_before(self, chat: Chat, now: int) -> model.AnyOperation | None:
        return chat.keys.done_before(self.account, self.key, now) if self.key else None

    def claims(self) -> Collection[Claim]:
        return [("key", self.account, self.key)] if self.key else ()

    def living(self, chat: Chat) -> Account:
        """The account itself; a session can outlive it by a moment."""
        account = chat.accounts.get(self.account)
        if account is None or account.deleted:
            raise errors.LoginFirst(DELETED)
        return account


class ChangePassword(OwnAccount, frozen=True, tag="password"):
    """Replace the password hash ``old``, which was verified, by ``new``."""

    old: str
    new: str

    def claims(self) -> Collection[Claim]:
        return [*super().claims(), ("account", self.account)]

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        account = self.living(chat)
        if account.password != self.old:
            raise errors.WrongPassword("the password was changed meanwhile; try again with the new one")
        view, _, _ = account.password_set  # a later one than this primary's, if another set it that was cut off
        return model.PasswordChanged(*together.stamp(), self.account, self.new, self.key, view)


class Unregister(OwnAccount, frozen=True, tag="unregister"):
    """Delete the account, whose password hash ``password`` was verified."""

    password: str

    def claims(self) -> Collection[Claim]:
        return [*super().claims(), ("account", self.account)]

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        if self.living(chat).password != self.password:
            raise errors.WrongPassword("the password was changed meanwhile; try again with the new one")
        return model.Unregistered(*together.stamp(), self.account, self.key)


class Send(OwnAccount, frozen=True, tag="send"):
    """Send ``text`` to the account called ``recipient``, whose mailbox holds at most ``mailbox`` unread messages."""

    recipient: str
    text: str
    mailbox: int

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        sender, recipient = self.living(chat), find_addressee(chat, self.recipient, self.mailbox, together.sent_to)
        return model.Sent(*together.stamp(), sender.id, recipient.id, self.text, self.key)


class Sends:
    """Messages that one session sends together: each is decided, and answered, as a Send without a retry key.

    ``items``: recipient and text of each; ``read``: ids of messages that the session has read, at most MOST_MARKED.

    Note [Why messages are sent together]: what a client sent at once is one thing until it is decided, and again when it
    is answered: one errand, one entry in the queue, one reply. Each SEND for itself costs three times as much.
    """

    __slots__ = ("account", "items", "mailbox", "read")

    def __init__(self, account: str, mailbox: int) -> None:
        self.account, self.mailbox = account, mailbox
        self.items: list[tuple[str, str]] = []
        self.read: tuple[str, ...] = ()

    def decide(
        self, chat: Chat, together: Together, bug: Callable[[], errors.ChatError]
    ) -> list[model.Sent | errors.ChatError]:
        """Of each message the operation, or why it is refused; ``bug`` logs the exception being handled and tells of it."""
        account = chat.accounts.get(self.account)
        if account is None or account.deleted:
            return [errors.LoginFirst(DELETED) for _ in self.items]
        made: list[model.Sent | errors.ChatError] = []
        stamp, sent_to = together.stamp, together.sent_to
        for name, text in self.items:
            try:
                recipient = find_addressee(chat, name, self.mailbox, sent_to)
                made.append(model.Sent(*stamp(), account.id, recipient.id, text))
            except errors.ChatError as error:
                made.append(error)
            except Exception:  # the stamps of those before it are used
                made.append(bug())
        return made

    def apart(self) -> list[Send]:
        """The same as requests of their own."""
        return [
            Send(account=self.account, recipient=name, text=text, mailbox=self.mailbox) for name, text in self.items
        ]


class Delete(OwnAccount, frozen=True, tag="delete"):
    """Delete messages that the account sent or received, all or none."""

    messages: tuple[str, ...]

    def claims(self) -> Collection[Claim]:
        return [*super().claims(), *(("message", message) for message in self.messages)]

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        self.living(chat)
        for message in self.messages:
            if chat.mine(self.account, message) is None:
                raise errors.NotFound(f"no message {message[:40]} of yours; nothing was deleted; HISTORY shows the ids")
        return model.Deleted(*together.stamp(), self.account, self.messages, self.key)


class MarkRead(OwnAccount, frozen=True, tag="read"):
    """Count messages as read by the account, to which they were sent; also when the session that showed them is over."""

    by_session: ClassVar[bool] = False
    messages: tuple[str, ...]

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        self.living(chat)
        return model.Read(*together.stamp(), self.account, self.messages, self.key)


class Repeat(OwnAccount, frozen=True, tag="repeat"):
    """Tell the result of what was recorded under the retry key (R6)."""

    def decide(self, chat: Chat, together: Together) -> model.AnyOperation:
        raise errors.OutcomeUnknown("the primary does not know that retry key; repeat it in a moment")


AnyRequest: TypeAlias = Repeat | Register | Confirm | ChangePassword | Unregister | Send | Delete | MarkRead


def find_account(chat: Chat, name: str) -> Account:
    """The living account of that name; errors.NotFound if there is none.

    One that is not confirmed may still turn out to be the same as another (R19): nothing is sent to it.
    """
    account = chat.account(name)
    if account is None or account.id in chat.accounts.unconfirmed:
        raise errors.NotFound(f"no account {name[:40]}; LIST shows the names")
    return account


def find_addressee(chat: Chat, name: str, mailbox: int, sent_to: dict[str, int]) -> Account:
    """The account of that name, with room for another unread message beside those of ``sent_to``, where it is counted.

    errors.NotFound or errors.OverLimit.
    """
    account = find_account(chat, name)
    coming = sent_to.get(account.id, 0)
    if len(account.unread) + coming >= mailbox:
        raise errors.OverLimit(f"{account.name} has {mailbox} unread messages; try again when some are read")
    sent_to[account.id] = coming + 1
    return account


def check_name_is_free(chat: Chat, name: str) -> None:
    """Raise errors.NotAName or errors.NameTaken unless ``name`` may be registered now."""
    if not is_name(name):
        raise errors.NotAName(NAME_RULE)
    if chat.account(name) is not None:
        raise errors.NameTaken(f"the name {name} is taken; choose another")


def registered_before(chat: Chat, name: str, key: str, now: int) -> model.Registered | None:
    """The living account's registration, if it was made with this retry key within a day before ``now``."""
    account = chat.account(name)
    if account is None or account.registered is None or not key or account.registered.key != key:
        return None
    return account.registered if chat.keys.has(account.registered, now) else None
