"""What clients were told, held against what the replicas show in the end; pure.

A *history* is the list of all attempts, one for each line that a client sent, and of all messages that clients were shown. A
message's text begins with its retry key, so that its copies are known for copies whatever their ids are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

DONE = (230, 250)
NOT_DONE = (450, 451, 452, 453)  # nothing was recorded, says the protocol
UNKNOWN = (0, 421, 454)  # it may or may not have been recorded; 0: no reply came


@attrs.frozen
class Attempt:
    """One line that a client sent, and its reply."""

    account: str  # whose session, or which name is asked for
    session: int  # a number for each login of any client
    replica: int
    verb: str  # SEND, DELETE, REGISTER, LOGIN, TAKEOVER
    key: str  # the retry key; "" for a login
    about: str  # SEND: the recipient; DELETE: the id; REGISTER: the client
    begun: float  # seconds, monotonic
    ended: float
    code: int
    result: str = ""  # of SEND: the id; of REGISTER and logins: the name as given back


@attrs.frozen
class Shown:
    """A message that a client was shown, pushed or asked for."""

    account: str
    id: str
    key: str


@attrs.frozen
class Final:
    """What one replica shows once all is quiet."""

    messages: Mapping[str, tuple[str, ...]]  # account → lines ``ID TIME SENDER RECIPIENT text``, in order
    names: tuple[str, ...]  # all accounts
    unread: Mapping[str, tuple[str, ...]]  # account → lines ``SENDER N``


@attrs.frozen
class Violation:
    """Something that must not be; ``kind`` is a word to count by."""

    kind: str
    text: str


def check(
    attempts: Sequence[Attempt], shown: Iterable[Shown], finals: Mapping[int, Final], mode: str
) -> list[Violation]:
    """All that is wrong; ``finals`` by the number of the replica."""
    sends = [attempt for attempt in attempts if attempt.verb == "SEND"]
    deletes = [attempt for attempt in attempts if attempt.verb == "DELETE"]
    shown = list(shown)
    keys = {attempt.result: attempt.key for attempt in sends if attempt.result} | {one.id: one.key for one in shown}
    found = [*differing(finals), *refused(attempts), *unanswered(sends), *two_ids(sends), *registered(attempts, finals)]
    for number, final in finals.items():
        view = View(number, final, keys, deletes)
        found += [*view.doubled(), *view.lost(sends, mode), *view.undeleted(), *view.vanished(shown, mode)]
        found += view.invented({attempt.key for attempt in sends})
    if mode == "majority":
        found += [*names_twice(attempts, finals), *sessions_twice(attempts)]
    return found


class View:
    """One replica's messages, by account and retry key."""

    def __init__(self, number: int, final: Final, keys: Mapping[str, str], deletes: Sequence[Attempt]) -> None:
        self._where = f"on replica {number}"
        self._ids: dict[str, dict[str, list[str]]] = {}  # account → key → ids
        for account, lines in final.messages.items():
            ids = self._ids[account] = defaultdict(list)
            for line in lines:
                words = line.split(" ")
                ids[words[4]].append(words[0])
        self._keys = keys
        self._deleted = {attempt.about for attempt in deletes if attempt.code in DONE}
        perhaps = self._deleted | {attempt.about for attempt in deletes if attempt.code in UNKNOWN}
        self._may_be_gone = {keys.get(message) for message in perhaps}

    def doubled(self) -> Iterator[Violation]:
        """One message a retry key."""
        for account, keys in self._ids.items():
            for key, ids in keys.items():
                if len(ids) > 1:
                    yield Violation("doubled", f"{account} sees {key} as {ids} {self._where}")

    def lost(self, sends: Sequence[Attempt], mode: str) -> Iterator[Violation]:
        """What was acknowledged is with its sender and its recipient, under the id that was told.

        In ``available`` mode perhaps as a copy: of an attempt without an answer, which the other side of a cut recorded.
        """
        unsure = {send.key for send in sends if send.code in UNKNOWN} if mode == "available" else set()
        for send in sends:
            if send.code in DONE and send.key not in self._may_be_gone:
                for account in {send.account, send.about} & self._ids.keys():
                    for violation in self._found(account, send.key, send.result):
                        if violation.kind != "renamed" or send.key not in unsure:
                            yield violation

    def vanished(self, shown: Iterable[Shown], mode: str) -> Iterator[Violation]:
        """What somebody was shown is there; in ``available`` mode perhaps as the copy that the other side of a cut made."""
        for one in shown:
            if one.account in self._ids and one.key not in self._may_be_gone:
                for violation in self._found(one.account, one.key, one.id):
                    if mode == "majority" or violation.kind != "renamed":
                        yield violation

    def _found(self, account: str, key: str, message: str) -> Iterator[Violation]:
        ids = self._ids[account].get(key, [])
        if not ids:
            yield Violation("lost", f"{account} does not see {key} ({message}) {self._where}")
        elif message not in ids:
            yield Violation("renamed", f"{account} sees {key} as {ids}, not {message}, {self._where}")

    def undeleted(self) -> Iterator[Violation]:
        """Nothing is there whose deletion was acknowledged."""
        gone = {self._keys.get(message) for message in self._deleted}
        for account, keys in self._ids.items():
            for key, ids in keys.items():
                if key in gone or self._deleted.intersection(ids):
                    yield Violation("undeleted", f"{account} sees {key} as {ids} {self._where}")

    def invented(self, keys: set[str]) -> Iterator[Violation]:
        """Nothing is there that nobody sent."""
        for account, seen in self._ids.items():
            for key in seen.keys() - keys:
                yield Violation("invented", f"{account} sees {key} {self._where}")


def differing(finals: Mapping[int, Final]) -> Iterator[Violation]:
    """All replicas show the same."""
    (first, one), *rest = finals.items()
    for number, other in rest:
        where = f"replicas {first} and {number}"
        if one.names != other.names:
            yield Violation("differing", f"LIST of {where}: {set(one.names) ^ set(other.names)}")
        for account in one.messages:
            odd = set(one.messages[account]) ^ set(other.messages[account])
            if one.messages[account] != other.messages[account]:
                yield Violation("differing", f"HISTORY of {account} on {where}: {sorted(odd)[:4] or 'the order'}")
            if one.unread[account] != other.unread[account]:
                theirs = f"{one.unread[account]} and {other.unread[account]}"
                yield Violation("differing", f"UNREAD of {account} on {where}: {theirs}")


def refused(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """No answer is given for which there is no reason: all accounts exist, and all texts are fine."""
    allowed = {"SEND": {530}, "DELETE": {530, 550}, "REGISTER": {551}}
    for attempt in attempts:
        if attempt.code not in {*DONE, *NOT_DONE, *UNKNOWN, *allowed.get(attempt.verb, ())}:
            yield Violation("refused", f"{attempt.code} for {attempt}")


def unanswered(sends: Iterable[Attempt]) -> Iterator[Violation]:
    """Whatever was sent is acknowledged in the end, for it was repeated until then."""
    sends = list(sends)
    done = {send.key for send in sends if send.code in DONE}
    for key in {send.key for send in sends} - done:
        yield Violation("unanswered", f"{key} was never acknowledged")


def two_ids(sends: Iterable[Attempt]) -> Iterator[Violation]:
    """A retry key has one result."""
    ids = defaultdict(set)
    for send in sends:
        if send.code in DONE:
            ids[send.key].add(send.result)
    for key, results in ids.items():
        if len(results) > 1:
            yield Violation("two ids", f"{key} was acknowledged as {sorted(results)}")


def registered(attempts: Iterable[Attempt], finals: Mapping[int, Final]) -> Iterator[Violation]:
    """Each account that was acknowledged is there, under its name or that with ~2 and so on."""
    for name, clients in _holders(attempts).items():
        for number, final in finals.items():
            there = [one for one in final.names if one.partition("~")[0].lower() == name]
            if len(there) < len(clients):
                yield Violation("lost", f"account {name} was made by {sorted(clients)}, replica {number} shows {there}")


def names_twice(attempts: Iterable[Attempt], finals: Mapping[int, Final]) -> Iterator[Violation]:
    """A name is given to one account."""
    for name, clients in _holders(attempts).items():
        if len(clients) > 1:
            yield Violation("name twice", f"{name} was given to {sorted(clients)}")
    for number, final in finals.items():
        for name, times in Counter(name.partition("~")[0].lower() for name in final.names).items():
            if times > 1:
                yield Violation("name twice", f"{name} is there {times} times on replica {number}")


def _holders(attempts: Iterable[Attempt]) -> dict[str, set[str]]:
    holders = defaultdict(set)
    for attempt in attempts:
        if attempt.verb == "REGISTER" and attempt.code in DONE:
            holders[attempt.account.lower()].add(attempt.about)
    return holders


def sessions_twice(attempts: Iterable[Attempt]) -> Iterator[Violation]:
    """No session acts between two acts of another session of its account.

    An act is a login or a SEND that was done; it happened at some moment between its line and its reply.
    """
    acts = [attempt for attempt in attempts if attempt.session and attempt.code in DONE and attempt.verb != "DELETE"]
    first: dict[int, float] = {}  # session → when an act of it had happened for certain
    last: dict[int, float] = {}  # session → when an act of it had certainly not happened yet
    for act in acts:
        first[act.session] = min(first.get(act.session, act.ended), act.ended)
        last[act.session] = max(last.get(act.session, act.begun), act.begun)
    sessions = defaultdict(set)
    for act in acts:
        sessions[act.account].add(act.session)
    for act in acts:
        for other in sessions[act.account] - {act.session}:
            if first[other] < act.begun and act.ended < last[other]:
                yield Violation("session twice", f"session {other} acted before and after {act}")
