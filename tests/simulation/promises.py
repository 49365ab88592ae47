"""What is promised, held against what clients were told and what all replicas show once everything is whole again."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from chattwist import model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.names import fold
from chattwist.replication.messages import View
from tests.simulation.attempts import YES, Attempt, Mailbox, Sitting
from tests.simulation.progress import check_refused, check_told
from tests.simulation.truth import Served, Truth
from tests.simulation.wire import Reply

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

_ON = re.compile(r", on (\d+) replicas")
RECORDED = {
    "DELETE": model.Deleted, "PASSWD": model.PasswordChanged, "UNREGISTER": model.Unregistered, "REGISTER": model.Registered,
}  # fmt: skip
MOST_WRITES = 500  # that wait for a disk
Broken = Iterator[tuple[str, str]]


def check_answer(world: "World", attempt: Attempt) -> None:
    """An answer was given just now: if it is yes, so many disks hold it, and a repetition is told what the first was told."""
    truth, reply = world.truth, attempt.answers[-1]
    if reply.code not in YES:
        check_refused(world, attempt, reply)
        return
    _check_awake(world, reply)
    lost = any(at >= attempt.tries[0][0] for times in truth.lost for at in times)
    served = None if reply.view is None or lost else truth.served.get(reply.view)
    if served is not None and served.begun < reply.when and attempt.verb in RECORDED:
        _check_recorded(truth, attempt, served)
    match = _ON.search(reply.text)
    if attempt.verb != "SEND" or match is None:
        return
    message, told = reply.text.split()[0], int(match[1])
    if truth.holders(message) < told and not lost and message not in truth.forgotten:
        truth.violated("an answer is on the disks that it names", f"{reply.text}: {truth.holders(message)}")
    if served is not None and served.begun < reply.when and _is_of(truth, served, message, told):
        lacking = [rank for rank in served.view.members if message not in truth.held[rank]]
        if lacking:
            truth.violated(
                "an answer is on the disks of the whole view", f"{reply.text}: not on {lacking} of {served.view}"
            )
    if world.majority and 2 * told <= len(world.machines):
        truth.violated("a majority holds what is acknowledged", reply.text)
    if not _is_expected(world, attempt, message):
        texts = [answer.text for answer in attempt.answers if answer.code in YES]
        truth.violated("a repetition gets the first answer", f"{attempt.key}: {texts[0]}, then {reply.text}")


def _check_recorded(truth: Truth, attempt: Attempt, served: Served) -> None:
    """What is said to be done is on the disks of the whole view; of what two views recorded under one key, one is."""
    made = [one for one in truth.operations.values() if isinstance(one, RECORDED[attempt.verb])]
    ids = {one.id for one in made if getattr(one, "key", "") == attempt.key} - truth.forgotten
    kept = {one for one in ids if _is_on_all(truth, one, served)}
    if attempt.verb == "REGISTER":
        confirmed = [one for one in truth.operations.values() if isinstance(one, model.Confirmed)]
        kept &= {one.account for one in confirmed if one.id in truth.forgotten or _is_on_all(truth, one.id, served)}
    if ids and not kept:
        truth.violated("what is done is on the disks of the whole view", f"{attempt.line}: {ids} in {served.view}")


def _is_on_all(truth: Truth, operation: str, served: Served) -> bool:
    return all(operation in truth.held[rank] for rank in served.view.members)


def _is_of(truth: Truth, served: Served, message: str, told: int) -> bool:
    """Whether the answer is of that view: what comes late, from where it was passed on to, may be of another one."""
    number = getattr(truth.operations[message], "view", 0)
    return told == len(served.view.members) or [one for one in truth.served if one.epoch[0] == number] == [served.view]


def _is_expected(world: "World", attempt: Attempt, message: str) -> bool:
    """Whether a yes may name that message: as one before did, or since it was made where that one need not be known."""
    truth, reply, first = world.truth, attempt.answers[-1], attempt.done
    assert first is not None
    told = {answer.text.split()[0] for answer in attempt.answers if answer.code in YES and answer is not reply}
    made = truth.operations[message]
    sender = getattr(made, "sender", "")  # a retry key is one of its account
    if message in told or all(getattr(truth.operations[one], "sender", "") != sender for one in told):
        return True
    number = made.view if isinstance(made, model.Sent) else 0
    views = [reply.view, *(view for view in truth.served if view.epoch[0] == number)]
    return any(truth.may_lack(view, first.view, first.when) for view in views)


def _check_awake(world: "World", reply: Reply) -> None:
    """A primary that was stopped for long serves in a new view only (R13)."""
    served = None if reply.view is None else world.truth.served.get(reply.view)
    if served is None or world.truth.lost[served.view.primary]:  # from an old backup, numbers of views come anew
        return
    awake = world.machines[served.view.primary].awake
    if served.begun < awake < reply.when - 2 * world.cluster.timings.silence:
        world.truth.violated(
            "who was stopped begins anew", f"{served.view} of {served.begun:.3f}, stopped until {awake:.3f}"
        )


def check_all(world: "World") -> None:
    """All that can be said at the end."""
    whole = [machine.replica.chat for machine in world.machines]
    loose = {found for machine in world.machines for found in loose_in(machine)}
    if loose:  # behind a hole that damage left, and that nobody can close
        world.truth.forgotten |= loose
        whole = whole[:1]
    for promise, what in [
        *_equal(whole), *_sends(world, whole[0]), *_deletions(world, whole[0]), *_accounts(world, whole[0]),
        *_names(world, whole[0]), *_unread(world, whole[0]), *_sessions(world), *_online(world), *_bounded(world),
        *check_told(world),
    ]:  # fmt: skip
        world.truth.violated(promise, what)


def loose_in(machine: "Machine") -> Iterator[str]:
    """Operations behind a hole."""
    for operations in machine.replica.core.own.log._loose.values():
        yield from (operation.id for operation in operations.values())


def shown_by(chat: Chat) -> dict[str, object]:
    """All that clients can see of a chat, and who may log in."""
    return {
        "accounts": sorted((one.id, one.name, one.deleted, one.confirmed) for one in chat.accounts.values()),
        "passwords": sorted((one.id, one.password) for one in chat.accounts.values() if not one.deleted),
        "messages": sorted((one.id, one.at, one.sender, one.recipient, one.text) for one in chat.messages.values()),
        "unread": sorted((one.id, sorted(one.unread)) for one in chat.accounts.values()),
        "lists": sorted((one.id, [message.id for message in one.messages]) for one in chat.accounts.values()),
        "names": chat.names.page("", "", 1000),
    }


def _equal(chats: list[Chat]) -> Broken:
    first = shown_by(chats[0])
    for rank, chat in enumerate(chats[1:], 1):
        other = shown_by(chat)
        for what, here in first.items():
            if other[what] != here:
                yield "all replicas show the same", f"{what} of 0 and {rank}: {difference(here, other[what])}"


def difference(one: Any, other: Any) -> str:
    """What two lists do not have in common, or the two."""
    left = [item for item in one if item not in other][:2]
    right = [item for item in other if item not in one][:2]
    return f"{left} against {right}"


# -- messages


def _ids(world: "World") -> dict[str, list[str]]:
    """Text → all messages that were ever on a disk with it."""
    found: dict[str, list[str]] = {}
    for operation in world.truth.operations.values():
        if isinstance(operation, model.Sent):
            found.setdefault(operation.text, []).append(operation.id)
    return found


def _sends(world: "World", chat: Chat) -> Broken:
    present = {message.text for message in chat.messages.values()}
    copies = Counter((message.text, message.sender) for message in chat.messages.values())
    ids = _ids(world)
    excused = world.deleting | world.truth.forgotten
    for attempt in world.attempts:
        if attempt.verb != "SEND":
            continue
        if any(copies[attempt.text, account] > 1 for account in attempt.accounts):
            yield "one message a retry key", f"{attempt.key}: {ids[attempt.text]}"
        known = ids.get(attempt.text, [])
        if attempt.done is None or attempt.text in present or not excused.isdisjoint(known):
            continue
        if not _nobodys(world, chat, known):
            yield "what is acknowledged stays", f"{attempt.line}: {attempt.done.text}; {known}"


def _nobodys(world: "World", chat: Chat, ids: list[str]) -> bool:
    """Whether it was sent between two accounts that are deleted."""
    for message_id in ids:
        message = world.truth.operations[message_id]
        assert isinstance(message, model.Sent)
        if all(chat.accounts[account].deleted for account in (message.sender, message.recipient)):
            return True
    return False


def _deletions(world: "World", chat: Chat) -> Broken:
    sent = {(message.sender, message.text) for message in chat.messages.values()}
    made: dict[str, list[str]] = {}
    for operation in world.truth.operations.values():
        if isinstance(operation, model.Deleted):
            for message_id in operation.messages:
                made.setdefault(message_id, []).append(operation.id)
    for attempt in world.attempts:
        if attempt.verb != "DELETE" or attempt.done is None or world.truth.forgotten.issuperset(made[attempt.rest]):
            continue
        message = world.truth.operations.get(attempt.rest)
        if attempt.rest in chat.messages:
            yield "what is deleted stays deleted", f"{attempt.line}: {attempt.done.text}"
        elif attempt.rest in world.truth.forgotten:  # damage took what told that another one is a copy of it
            continue
        elif isinstance(message, model.Sent) and (chat.accounts.known(message.sender).id, message.text) in sent:
            yield "what is deleted stays deleted", f"a copy of {message}"


def _unread(world: "World", chat: Chat) -> Broken:
    owners = _owners(world)
    for message in chat.messages.values():
        recipient = chat.accounts[message.recipient]
        mailbox = owners.get(_owner(recipient))
        if mailbox is None or recipient.deleted or message.id in recipient.unread or message.id in mailbox.shown:
            continue
        if not mailbox.shown.intersection(_ids(world)[message.text]):
            yield "no unread message is hidden", f"{message} was never shown to {mailbox.owner}"


# -- accounts


def _owners(world: "World") -> dict[str, Mailbox]:
    return {user.name: user.mailbox for user in world.users}


def _owner(account: Account) -> str:
    """The user that chose its password, which says so."""
    return [*account.password.split("-"), ""][1]


def _accounts(world: "World", chat: Chat) -> Broken:
    by_key = {one.registered.key: one for one in chat.accounts.values() if one.registered is not None}
    for attempt in world.attempts:
        made = [one.id for one in world.truth.operations.values() if getattr(one, "key", "") == attempt.key]
        if attempt.done is None or world.truth.forgotten.issuperset(made):
            continue
        if attempt.verb == "REGISTER" and attempt.key not in by_key:
            yield "what is acknowledged stays", attempt.line
        if attempt.verb == "UNREGISTER" and attempt.done.code == 250:
            mine = _accounts_of(world, chat, attempt)
            if any(not one.deleted and chat.account(one.name) is one for one in mine):  # others are copies
                yield "what is deleted stays deleted", attempt.line
    yield from _passwords(world, chat)


def _accounts_of(world: "World", chat: Chat, attempt: Attempt) -> list[Account]:
    """The account that was to be changed; all of that user where that one was a copy, and gave way to another."""
    mine = [one for one in world.attempts if one.mailbox is attempt.mailbox and one.verb == "REGISTER" and one.done]
    keys = {one.key for one in mine}
    found = [one for one in chat.accounts.values() if one.registered is not None and one.registered.key in keys]
    meant = [one for one in found if one.id in attempt.accounts]
    stayed = [one for one in meant if one.deleted or chat.account(one.name) is one]
    return stayed or found


def _passwords(world: "World", chat: Chat) -> Broken:
    changes: dict[str, list[Attempt]] = {}
    for attempt in world.attempts:
        if attempt.verb == "PASSWD":
            changes.setdefault(attempt.mailbox.owner, []).append(attempt)
    for attempts in changes.values():
        (one, *more) = attempts
        made = [op.id for op in world.truth.operations.values() if getattr(op, "key", "") == one.key]
        if more or one.done is None or world.truth.forgotten.issuperset(made):
            continue
        new = one.rest.split()[1]
        mine = _accounts_of(world, chat, one)
        found = [account.password for account in mine if chat.account(account.name) is account]
        if found and not any(password.endswith(f":{new}") for password in found):
            yield "what is acknowledged stays", f"{one.line}; it is {found}"


def _names(world: "World", chat: Chat) -> Broken:
    """Who was told yes has the name, unless somebody was told so in a part that was cut off."""
    told, truth = world.told, world.truth
    confirmed = [one for one in truth.operations.values() if isinstance(one, model.Confirmed)]
    hidden = chat.accounts.unconfirmed - {one.account for one in confirmed if one.id in truth.forgotten}
    claims: dict[str, list[Account]] = {}
    for account in chat.accounts.values():
        if account.registered is not None and not account.deleted:
            claims.setdefault(fold(account.registered.name), []).append(account)
    for name, accounts in claims.items():
        sure = sorted((one for one in accounts if one.id in told), key=lambda one: told[one.id].when)
        holder = chat.account(name)
        if sure and holder is not None and holder not in sure:
            yield "nobody who was told yes is renamed for one that was not", f"{holder.id} has the name of {sure[0].id}"
        yield from (("who was told yes can be reached", one.id) for one in sure if one.id in hidden)
        for one, other in pairwise(sure):
            earlier, later = told[one.id], told[other.id]
            if not any(truth.may_lack(view, earlier.view, earlier.when) for view in _given_in(truth, other, later)):
                yield "one account a name", f"{one.id} at {earlier.when:.3f} and {other.id} at {later.when:.3f}"


def _given_in(truth: Truth, account: Account, told: Reply) -> list[View | None]:
    """In which view an account may have got its name: an earlier one where its user is told of the other at once."""
    if "~" not in told.text or account.registered is None:
        return [told.view]
    since = account.registered.view
    return [one.view for one in truth.served.values() if one.view.epoch[0] >= since and one.begun <= told.when]


# -- sessions


def _sessions(world: "World") -> Broken:
    """Nobody acts in a session after another of the account was granted, while that one lives."""
    for attempt in world.attempts:
        if attempt.done is None or len(attempt.tries) != 1 or attempt.verb not in ("SEND", "DELETE", "PASSWD"):
            continue
        (sent, sitting), done = attempt.tries[0], attempt.done
        if sitting is None:
            continue
        for other in world.sittings:
            if other.account != sitting.account or other is sitting or not _outlives(other, sitting, sent, done.when):
                continue
            if not _was_cut_off(world, sitting, other, done):
                where = f"{done.view}, after a login in {other.granted.view} at {other.granted.when:.3f}"
                yield "one session an account", f"{attempt.line} sent at {sent:.3f} was done in {where}"


def _was_cut_off(world: "World", sitting: Sitting, other: Sitting, done: Reply) -> bool:
    """Whether the replica of the older session went on without that of the newer one, so that either may have won."""
    truth, granted = world.truth, other.granted
    served = truth.served_between(sitting.rank, granted.when, done.when)
    if any(one.apart and other.rank not in one.view.members for one in served):
        return True  # it was left behind for its disk: what it holds is read, but it is not asked for its sessions
    return any(truth.may_lack(view, granted.view, granted.when) for view in [done.view, *(one.view for one in served)])


def _outlives(other: Sitting, sitting: Sitting, sent: float, done: float) -> bool:
    """Whether it was granted later, before the command was sent, and lived until that was done."""
    began_later = other.asked > sitting.granted.when and other.granted.when < sent
    return began_later and other.over > done


def _online(world: "World") -> Broken:
    """WHO shows those who are logged in."""
    here = {account for machine in world.machines for account in machine.replica._online.sessions}
    for machine in world.machines:
        shown = {account.id for account in machine.replica.online("", 1000)[0]}
        if shown != here:
            yield "WHO shows who is logged in", f"at {machine.rank}: {sorted(shown ^ here)}"


def is_busy(machine: "Machine") -> dict[str, int]:
    """What that replica still keeps of what is under way."""
    router, own = machine.replica._router, machine.replica.core.own
    kept = {
        "forwarded": router._forwarded._errands,
        "to be forwarded": router._forwarded._waiting,
        "held": router._held,
        "writes": own._writes,
        "ending": machine.replica._grants._ending,
    }
    return {name: len(what) for name, what in kept.items() if what}


def _bounded(world: "World") -> Broken:
    """Nothing is kept of what is done with."""
    for machine in world.machines:
        if left := is_busy(machine):
            yield "nothing is kept of what is done with", f"at {machine.rank}: {left}"
        if machine.writer.longest > MOST_WRITES:
            yield "queues are bounded", f"{machine.writer.longest} writes waited at {machine.rank}"
