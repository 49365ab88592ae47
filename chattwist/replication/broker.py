"""Perspective Broker, cut down to what the channel says: one object, two methods, bytes.

A call is ``hello(digest)``, answered by the digest of the other's cluster file, or ``take(chunk)``, answered by None once
the chunk was taken, if it asks for that. There are no other objects, types or errors: a peer that sends any is not one of ours.
"""

from typing import Any

from twisted.spread import pb
from twisted.spread.jelly import globalSecurity

from chattwist.replication.wire import WireError

# Unproven peers never get here; these bounds keep a proven one that has gone mad from taking the memory with it.
_DEEPEST = 2  # lists in lists
_LONGEST = 7  # items of one


class _Lists(list[tuple[int, list[object]]]):
    """The lists that Banana is inside of, each with its length."""

    def append(self, opened: tuple[int, list[object]]) -> None:
        if len(self) == _DEEPEST or opened[0] > _LONGEST:
            raise WireError("lists that no replica sends")
        super().append(opened)


class Broker(pb.Broker):
    """A Broker that raises WireError for whatever the other side's Broker of this class does not send."""

    def __init__(self, isClient: bool = True, security: Any = globalSecurity) -> None:
        super().__init__(isClient, security)
        self.listStack = _Lists()

    def expressionReceived(self, expression: object) -> None:
        if not self._known(expression):
            raise WireError("an expression that no replica sends")
        super().expressionReceived(expression)

    def _known(self, expression: object) -> bool:
        match expression:
            case [b"version", int()]:
                return True
            case [b"message", int(), b"root", b"hello" | b"take", 0 | 1, [b"tuple", bytes()], [b"dictionary"]]:
                return not self.isClient
            case [b"answer", int(number), bytes() | [b"None"]]:
                return bool(self.isClient) and number in (self.waitingForAnswers or ())
        return False
