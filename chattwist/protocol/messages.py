"""The commands about messages; pure. Each takes its Call; PROTOCOL.txt says what it does and answers."""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.chat import Chat, newest
from chattwist.model import place
from chattwist.names import fold, is_name
from chattwist.protocol import grammar
from chattwist.protocol.backend import Committed
from chattwist.protocol.run import sent_text
from chattwist.requests import Delete, Send, find_account

if TYPE_CHECKING:
    from chattwist.protocol.call import Call

MOST_READ = 50
MOST_HISTORY = 200
HISTORY_COUNT = 20
READ_USAGE = "usage: READ [n]; n is a number from 1"
HISTORY_USAGE = "usage: HISTORY [name] [n] [BEFORE id]; n is a number from 1"


def message_line(chat: Chat, message: model.Sent) -> str:
    """``ID TIME SENDER RECIPIENT text``."""
    accounts = chat.accounts
    sender, recipient = accounts[message.sender], accounts[message.recipient]
    one = sender.shown if sender.deleted else sender.name  # and not always shown, which is called for each message
    other = recipient.shown if recipient.deleted else recipient.name
    return f"{message.id} {grammar.time_text(message.at)} {one} {other} {message.text}"


def send(call: "Call") -> None:
    """SEND name text."""
    name, text = grammar.split_text(call.command.rest)
    text = grammar.clean(text)
    if not grammar.is_visible(text):
        raise errors.WrongArguments("usage: SEND name text; the text needs at least one visible character")
    request = Send(call.account.id, name, text, call.backend.mailbox, key=call.command.key)
    call.backend.submit(request, call.then(partial(tell, call)))


MAKES = {
    "SEND": model.Sent,
    "READ": model.Read,
    "DELETE": model.Deleted,
    "PASSWD": model.PasswordChanged,
    "UNREGISTER": model.Unregistered,
}


def check_key(call: "Call", done: Committed) -> None:
    """Refuse a retry key that was used for another command: its result would look as if this one were done."""
    if not isinstance(done.operation, MAKES[call.command.verb]):
        verb = next(verb for verb, made in MAKES.items() if isinstance(done.operation, made))
        raise errors.WrongArguments(f"this retry key was used for {verb}, so nothing was done; send it with a new key")


def tell(call: "Call", done: Committed) -> None:
    """Answer with what was recorded, now or under the same retry key before."""
    if call.command.tag:
        check_key(call, done)
    operation, chat = done.operation, call.backend.chat
    if isinstance(operation, model.Sent):
        call.session.show(operation.id)
        call.reply(250, sent_text(chat.accounts, done))
    elif isinstance(operation, model.Deleted):
        call.reply(250, f"{len(operation.messages)} deleted")
    elif isinstance(operation, model.PasswordChanged):
        call.reply(250, "password changed")
    elif isinstance(operation, model.Unregistered):
        call.reply(250, "account deleted; REGISTER or LOGIN with another, or QUIT")
    elif isinstance(operation, model.Read):
        found = [chat.messages[m] for m in operation.messages if m in chat.messages]
        _show(call, found, _left(call.account, 0), read=True)


def unread(call: "Call") -> None:
    """UNREAD."""
    chat, account = call.backend.chat, call.account
    senders: Counter[str] = Counter()
    for sender, count in account.unread_from.items():
        senders[chat.accounts[sender].shown] += count  # several deleted accounts may be shown alike
    call.reply(211, *(f"{name} {senders[name]}" for name in sorted(senders)), f"{len(account.unread)} unread")


def read(call: "Call") -> None:
    """READ [n]."""
    words = call.command.words()
    count = _count(words[0], MOST_READ, READ_USAGE) if words else MOST_READ
    account = call.account
    done = call.command.key and call.backend.done_before(account.id, call.command.key)
    if done:
        return tell(call, done)
    found = call.backend.chat.newest_unread(account, count)
    if found or call.command.key:
        call.session.read_when_gone(tuple(message.id for message in found), call.command.key)
    _show(call, found, _left(account, len(found)), read=True)


def _left(account: Account, shown: int) -> str:
    return f", {len(account.unread) - shown} unread left"


def history(call: "Call") -> None:
    """HISTORY [name] [n] [BEFORE id]."""
    words = call.command.words()
    before = _take_before(call, words)
    count = _count(words.pop(), MOST_HISTORY, HISTORY_USAGE) if words and words[-1].isdecimal() else HISTORY_COUNT
    if len(words) > 1:
        raise errors.WrongArguments(HISTORY_USAGE)
    chat, account = call.backend.chat, call.account
    lists = chat.with_account(account, words[0]) if words else [account.messages]
    if lists is None:
        if not is_name(words[0].replace("~", "")) or grammar.keyword(words[0]) == "BEFORE":
            raise errors.WrongArguments(HISTORY_USAGE)
        find_account(chat, words[0])
        lists = []
    found, more = newest(lists, count, place(before) if before else None)
    _show(call, found, f", more before {found[0].id}" if more else "")


def _take_before(call: "Call", words: list[str]) -> model.Sent | None:
    """Take ``BEFORE id`` off the words; the message, or None where it was not there."""
    if len(words) < 2 or grammar.keyword(words[-2]) != "BEFORE":
        return None
    if len(words) == 2 and words[1].isdecimal() and call.backend.chat.account(words[0]):
        return None  # so many of an account of that name
    message_id = fold(words.pop())
    words.pop()
    message = call.backend.chat.mine(call.account.id, message_id)
    if message is None:
        raise errors.NotFound(f"no message {grammar.echoed(message_id)} of yours; HISTORY shows the ids")
    return message


def _count(word: str, most: int, usage: str) -> int:
    """A number of messages; more than ``most`` means ``most``."""
    digits = word.lstrip("0")
    if not (word.isascii() and word.isdecimal() and digits):
        raise errors.WrongArguments(usage)
    return min(int(digits[:9]), most)


def _show(call: "Call", found: list[model.Sent], rest: str, read: bool = False) -> None:
    for message in found:
        call.session.show(message.id, read)
    lines = [message_line(call.backend.chat, message) for message in found]
    call.reply(213, *lines, f"{len(found)} messages{rest}")


def delete(call: "Call") -> None:
    """DELETE id [id ...]."""
    ids = tuple(dict.fromkeys(map(fold, call.command.words())))
    request = Delete(call.account.id, ids, key=call.command.key)
    call.backend.submit(request, call.then(partial(tell, call)))
