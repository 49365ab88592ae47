"""What users know of their accounts, and what they tried: the record that promises are held against."""

import math

import attrs

from tests.simulation.wire import Reply, Wire

YES = {213, 230, 250}


@attrs.define(eq=False)
class Mailbox:
    """An account as its users know it: they share what they know. ``shown``: ids of messages that went out to them."""

    owner: str
    name: str
    password: str
    known: bool = False  # it is registered
    gone: bool = False
    leaving: bool = False  # somebody tried to delete it
    passwords: list[str] = attrs.Factory(list)  # all that may be the present one
    shown: set[str] = attrs.Factory(set)


@attrs.define(eq=False)
class Sitting:
    """One login: when it was asked for and granted, and by a replica in which view."""

    mailbox: Mailbox
    rank: int
    wire: Wire
    account: str
    asked: float
    granted: Reply
    ended: float = math.inf  # when the user ended it

    @property
    def over(self) -> float:
        """When it was over at the latest."""
        return min(self.ended, self.wire.over)


@attrs.define(eq=False)
class Attempt:
    """One thing that a user wants done, once: all tries carry the same retry key."""

    mailbox: Mailbox
    verb: str
    rest: str
    key: str
    text: str = ""
    tries: list[tuple[float, Sitting | None]] = attrs.Factory(list)
    answers: list[Reply] = attrs.Factory(list)
    done: Reply | None = None  # the first answer that says yes

    @property
    def accounts(self) -> set[str]:
        """The accounts in whose sessions it was tried: several only where a name was registered on two sides of a cut."""
        return {sitting.account for _, sitting in self.tries if sitting is not None}

    @property
    def line(self) -> str:
        """The command."""
        return f"@!{self.key} {self.verb} {self.rest}"
