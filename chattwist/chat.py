"""The chat itself: a set of operations and what it means; pure.

``Chat.apply`` merges one operation, and its result depends on the set of operations only: any order, any repetition, and an
operation that comes before what it speaks of, give the same chat (tests/test_chat.py). So two replicas that each went on
alone can be put together without losing anything (rule R2).
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from operator import attrgetter

from msgspec.structs import force_setattr

from chattwist import model
from chattwist.accounts import Account, Accounts
from chattwist.byid import ById
from chattwist.model import Place, place, rank
from chattwist.names import fold
from chattwist.retrykeys import RetryKeys

FORGOTTEN_AT_ONCE = 5000  # messages
MOST_SORTED = 10_000  # messages: it takes some milliseconds

_at = attrgetter("at")


def position(messages: list[model.Sent], where: Place) -> int:
    """The index of the first message that is not before ``where``. Stamps alone, which few share, are compared quicker."""
    index, end = bisect_left(messages, where[0], key=_at), len(messages)
    while index < end and place(messages[index]) < where:
        index += 1
    return index


class Chat:
    """The state that a set of operations makes."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.names = self.accounts.names
        self.messages = ById()
        self.latest = 0  # the largest stamp of any operation applied
        self.gone: set[str] = set()  # ids of deleted messages: kept for ever (R7)
        self._copies: dict[str, model.Sent] = {}  # messages of which another with the same retry key stands for all
        self._left: list[list[model.Sent]] = []  # by deleted accounts; some of them are nobody's any more
        self._read: set[str] = set()  # marks of messages that are not known yet (R8)
        self._pairs: dict[tuple[str, str], list[model.Sent]] = {}
        self.keys = RetryKeys()
        self._merges = {
            model.Sent: self._sent,
            model.Read: self._marked_read,
            model.Deleted: self._deleted,
            model.Registered: self.accounts.registered,
            model.Confirmed: self.accounts.confirmed,
            model.PasswordChanged: self._password_changed,
            model.Unregistered: self._unregistered,
            model.Lost: lambda operation: None,
        }

    # -- merging

    def apply(self, operation: model.AnyOperation) -> None:
        """Merge one operation."""
        self._merges[type(operation)](operation)  # type: ignore[operator]  # the table pairs each type with its method
        if operation.at > self.latest:
            self.latest = operation.at

    def _password_changed(self, operation: model.PasswordChanged) -> None:
        self.keys.remember(operation, operation.account)
        self.accounts.set_password(self.accounts.known(operation.account), operation.password, rank(operation))

    def _unregistered(self, operation: model.Unregistered) -> None:
        account = self.accounts.known(operation.account)
        self.keys.remember(operation, operation.account)
        if account.deleted:
            return
        self.accounts.delete(account)
        self._left.append(account.messages)
        account.messages, account.unread, account.unread_from = [], {}, {}

    def _sent(self, operation: model.Sent) -> None:
        message_id, accounts = operation.id, self.accounts
        if (operation.key or not operation.text) and not self._is_looked_at_closer(operation):
            return
        sender = accounts.get(operation.sender) or accounts.known(operation.sender)
        recipient = accounts.get(operation.recipient) or accounts.known(operation.recipient)
        if message_id in self.gone or (sender.deleted and recipient.deleted) or message_id in self._copies:
            return
        if not self.messages.add(operation):
            return
        if operation.sender is not sender.id or operation.recipient is not recipient.id:
            # what was decoded has strings of its own for what its account has already: a fifth of its memory
            force_setattr(operation, "sender", sender.id)
            force_setattr(operation, "recipient", recipient.id)
        pair = self._pairs.get(key := _pair(operation))
        if pair is None:
            pair = self._pairs[key] = []
        insert = list.append if operation.at > self.latest else _insert  # the newest of all is so in each list
        insert(pair, operation)
        if not sender.deleted:
            insert(sender.messages, operation)
        if recipient is not sender and not recipient.deleted:
            insert(recipient.messages, operation)
        if not recipient.deleted:
            self._count_unread(recipient, operation)

    def _is_looked_at_closer(self, operation: model.Sent) -> bool:
        """Whether a message counts that has a retry key, or of which another replica has no more left than its deletion."""
        if operation.id in self.messages or operation.id in self._copies:
            return False
        if not operation.text:
            self.gone.add(operation.id)
        return not operation.key or self._counts(operation)

    def _counts(self, operation: model.Sent) -> bool:
        """One message a retry key and day, also when two halves of a cut cluster each stored one.

        The one of the last view stays: its sender repeated the others because they were not answered. If one is
        deleted, all are.
        """
        copies = self.keys.copies_of(operation)
        self.keys.remember(operation, operation.sender)
        if deleted := operation.id in self.gone:
            self.keys.forget_text(operation)
        self._drop_copies([copy for copy in copies if deleted or rank(copy) < rank(operation)])
        counts = all(rank(copy) < rank(operation) and copy.id not in self.gone for copy in copies)
        if not counts and not deleted:
            self._copies[operation.id] = operation
        return counts

    def _drop_copies(self, copies: list[model.Sent]) -> None:
        for copy in copies:
            self._copies[copy.id] = copy
        self._take_away([copy.id for copy in copies])

    def tidy(self) -> bool:
        """Take out some thousand messages that are nobody's, which all at once would take long; whether there may be more."""
        for _ in range(FORGOTTEN_AT_ONCE):
            while self._left and not self._left[-1]:
                self._left.pop()
            if not self._left:
                break
            message = self._left[-1].pop()
            if not self._reachable(message):
                self.messages.pop(message.id)
                self._pairs.pop(_pair(message), None)
        return bool(self._left)

    def _reachable(self, message: model.Sent) -> bool:
        """A message between accounts that are both deleted is nobody's."""
        return not (self.accounts.known(message.sender).deleted and self.accounts.known(message.recipient).deleted)

    def _count_unread(self, recipient: Account, message: model.Sent) -> None:
        if self._read and message.id in self._read:
            self._read.discard(message.id)
            return
        recipient.unread[message.id] = message
        unread_from = recipient.unread_from
        unread_from[message.sender] = unread_from.get(message.sender, 0) + 1
        if message.at <= self.latest:  # it came late: another may stand behind it already
            recipient.unread_in_order = False

    def _marked_read(self, operation: model.Read) -> None:
        self.keys.remember(operation, operation.account)
        ids = []
        messages = self.messages.known
        for message_id in operation.messages:
            message = messages(message_id)
            if message is not None:
                self._forget_unread(message)
                ids.append(message.id)
            else:
                ids.append(message_id)
                if message_id not in self.gone and message_id not in self._copies:
                    self._read.add(message_id)
        force_setattr(operation, "messages", tuple(ids))  # see _sent

    def _forget_unread(self, message: model.Sent) -> None:
        recipient = self.accounts[message.recipient]
        if recipient.unread.pop(message.id, None) is None:
            return
        unread_from, sender = recipient.unread_from, message.sender
        left = unread_from[sender] - 1
        if left:
            unread_from[sender] = left
        else:
            del unread_from[sender]

    def _deleted(self, operation: model.Deleted) -> None:
        self.keys.remember(operation, operation.account)
        over = list(operation.messages)
        for message_id in operation.messages:
            message = self.messages.get(message_id) or self._copies.get(message_id)
            self.gone.add(message_id)
            if message is None:
                continue
            for copy in self.keys.copies_of(message):
                self._copies[copy.id] = copy
                over.append(copy.id)
            self.keys.forget_text(message)
        self._take_away(over)

    def _take_away(self, message_ids: list[str]) -> None:
        """Take messages out of all lists that they are in; out of each all at once, as it may hold a million."""
        mine: dict[str, list[model.Sent]] = {}
        between: dict[tuple[str, str], list[model.Sent]] = {}
        for message_id in message_ids:
            self._read.discard(message_id)
            message = self.messages.pop(message_id)
            if message is None:
                continue
            self._forget_unread(message)
            for account_id in {message.sender, message.recipient}:
                mine.setdefault(account_id, []).append(message)
            between.setdefault(_pair(message), []).append(message)
        for account_id, taken in mine.items():
            _take_out(self.accounts[account_id].messages, taken)  # a deleted account has none
        for pair, taken in between.items():
            self._unpair(pair, taken)

    def _unpair(self, pair: tuple[str, str], taken: list[model.Sent]) -> None:
        left = self._pairs.get(pair, [])  # it is gone where both accounts are
        _take_out(left, taken)
        if not left:
            self._pairs.pop(pair, None)

    # -- asking

    def account(self, name: str) -> Account | None:
        """The living account that is called ``name`` now."""
        account_id = self.names.find(name)
        return None if account_id is None else self.accounts[account_id]

    def is_unread(self, message: model.Sent) -> bool:
        """Whether its recipient has not read it yet."""
        return message.id in self.accounts[message.recipient].unread

    def newest_unread(self, account: Account, count: int) -> list[model.Sent]:
        """The ``count`` unread messages sent last, oldest of them first."""
        unread = account.unread
        if not account.unread_in_order and len(unread) <= MOST_SORTED:
            unread = account.unread = {message.id: message for message in sorted(unread.values(), key=place)}
            account.unread_in_order = True
        if account.unread_in_order:
            found = reversed(unread.values())
        else:  # of so many some are among the last of all
            found = (message for message in reversed(account.messages) if message.id in unread)
        return list(islice(found, count))[::-1]

    def with_account(self, account: Account, name: str) -> list[list[model.Sent]] | None:
        """The messages with each account called ``name`` (several for a ``~name``); None if there is no such account."""
        if name.startswith("~"):
            others = self.accounts.former.get(fold(name[1:]), [])
        else:
            found = self.names.find(name)
            others = [] if found is None else [found]
        if not others:
            return None
        pairs = ((min(account.id, other), max(account.id, other)) for other in others)
        return [self._pairs[pair] for pair in pairs if pair in self._pairs]

    def mine(self, account_id: str, message_id: str) -> model.Sent | None:
        """The message of that id if the account sent or received it."""
        message = self.messages.get(message_id)
        if message is None or account_id not in (message.sender, message.recipient):
            return None
        return message


def newest(lists: list[list[model.Sent]], count: int, before: Place | None) -> tuple[list[model.Sent], bool]:
    """The last ``count`` messages of all ``lists`` that stand before ``before``, oldest first; whether there are more."""
    found = [message for messages in lists for message in _last(messages, count + 1, before)]
    found.sort(key=place)
    return found[-count:], len(found) > count


def _last(messages: list[model.Sent], count: int, before: Place | None) -> Iterator[model.Sent]:
    end = len(messages) if before is None else position(messages, before)
    yield from messages[max(0, end - count) : end]


def _pair(message: model.Sent) -> tuple[str, str]:
    one, other = message.sender, message.recipient
    return (one, other) if one < other else (other, one)


def _insert(messages: list[model.Sent], message: model.Sent) -> None:
    if not messages or messages[-1].at < message.at:
        messages.append(message)
    else:
        messages.insert(position(messages, place(message)), message)


def _take_out(messages: list[model.Sent], taken: list[model.Sent]) -> None:
    """Take some out in one go: what stands between them is put together, and what follows moves up once."""
    indexes = []
    for message in taken:
        index = position(messages, place(message))
        if index < len(messages) and messages[index] is message:
            indexes.append(index)
    indexes.sort()
    kept: list[model.Sent] = []
    for one, following in pairwise(indexes):
        kept += messages[one + 1 : following]
    if indexes:
        messages[indexes[0] : indexes[-1] + 1] = kept
