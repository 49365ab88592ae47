"""The operations: immutable values, and all that a chat is made of.

A chat's state is the set of the operations that were applied to it (see chattwist.chat). Each carries an *id*, its origin
stamp ``ORIGIN-N``: ORIGIN is drawn at random whenever a replica starts, N counts the operations that it made since. So ids
are unique without asking anyone, and never used again, whatever is lost or restored. An account is named inside the
server by the id of the operation that registered it, a message by the id of the operation that sent it (R5).

Operations are msgspec structs and not attrs classes because they are what is stored and loaded: decoding a million of them
takes a third of the time, and each needs 16 bytes less. In all of them

``id``   str, ``ORIGIN-N``
``at``   int, microseconds since 1970 UTC; one stamp, set once, larger than that of all operations known to its maker
``key``  str, the client's retry key, or ``""``
``view`` int, the number of the view in which it was made; 0 where that does not matter
"""

import secrets
from collections.abc import Callable
from typing import TypeAlias

import msgspec

ORIGIN_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o, u: easy to read aloud and to type
ORIGIN_LENGTH = 8  # 40 bits: 10,000 starts of a replica collide with probability 5e-5


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="op"):
    """What all operations have."""

    id: str
    at: int


class Registered(Operation, frozen=True, omit_defaults=True, gc=False, tag="registered"):
    """An account was made; its id names the account. ``password`` is the hash, see chattwist.passwords."""

    name: str
    password: str
    key: str = ""
    view: int = 0


class Confirmed(Operation, frozen=True, omit_defaults=True, gc=False, tag="confirmed"):
    """The registration of ``account`` was committed: nobody whose registration was not takes its name (rule R19)."""

    account: str
    key: str = ""


class PasswordChanged(Operation, frozen=True, omit_defaults=True, gc=False, tag="password"):
    """An account's password hash was replaced."""

    account: str
    password: str
    key: str = ""
    view: int = 0


class Unregistered(Operation, frozen=True, omit_defaults=True, gc=False, tag="unregistered"):
    """An account was deleted by its owner."""

    account: str
    key: str = ""
    view: int = 0


class Sent(Operation, frozen=True, omit_defaults=True, gc=False, tag="sent"):
    """A message; ``sender`` and ``recipient`` are ids of accounts."""

    sender: str
    recipient: str
    text: str
    key: str = ""
    view: int = 0


class Deleted(Operation, frozen=True, omit_defaults=True, gc=False, tag="deleted"):
    """Messages were deleted for good by ``account``, which had sent or received each of them."""

    account: str
    messages: tuple[str, ...]
    key: str = ""
    view: int = 0


class Read(Operation, frozen=True, omit_defaults=True, gc=False, tag="read"):
    """Messages were read by ``account``, to which they had been sent."""

    account: str
    messages: tuple[str, ...]
    key: str = ""
    view: int = 0


class Lost(Operation, frozen=True, omit_defaults=True, gc=False, tag="lost"):
    """The place of an operation that damage took from all replicas, so that what came behind it can be caught up with."""

    key: str = ""


Keyed: TypeAlias = Registered | PasswordChanged | Unregistered | Sent | Deleted | Read  # what may have a retry key
AnyOperation: TypeAlias = Lost | Registered | Confirmed | PasswordChanged | Unregistered | Sent | Deleted | Read


Place: TypeAlias = tuple[int, str]


def place(operation: Operation) -> Place:
    """Where an operation stands in the one order that all replicas show."""
    return operation.at, operation.id


Rank: TypeAlias = tuple[int, int, str]


def rank(operation: Keyed) -> Rank:
    """Which of several that stand for one thing counts: the one of the last view, and in that the last (R6).

    Time alone does not tell: the clock of a replica that was cut off, and of which nobody heard any more, may be ahead.
    """
    return operation.view, operation.at, operation.id


def new_origin() -> str:
    """Draw the origin of a replica that starts (rule R4): never one that was used before."""
    return "".join(secrets.choice(ORIGIN_ALPHABET) for _ in range(ORIGIN_LENGTH))


class Stamps:
    """Makes the ids and time stamps of this replica's operations.

    ``mark()`` and ``back_to(mark)`` undo stamps whose operations were recorded nowhere, so that an origin has no gaps.
    Where others may have recorded some, ``renew()`` begins another origin.
    """

    __slots__ = ("_count", "_draw", "_latest", "origin", "view")

    def __init__(self, draw: Callable[[], str] = new_origin) -> None:
        """``draw`` gives a new origin each time."""
        self._draw = draw
        self.origin = draw()
        self.view = 0  # the number of the one in which operations are made
        self._count = 0
        self._latest = 0

    def next(self, now: int, known: int) -> tuple[str, int]:
        """The next id and stamp; ``now`` and ``known``, the largest stamp seen anywhere, in microseconds since 1970."""
        self._count = count = self._count + 1
        at = self._latest + 1
        if at < now or at <= known:
            at = max(now, known + 1)
        self._latest = at
        return f"{self.origin}-{count}", at

    def mark(self) -> tuple[int, int]:
        """Where the stamps are now."""
        return self._count, self._latest

    def back_to(self, mark: tuple[int, int]) -> None:
        """Take back all stamps made since ``mark``."""
        self._count, self._latest = mark

    def renew(self) -> None:
        """The ids that follow have another origin."""
        self.origin = self._draw()
        self._count = 0
