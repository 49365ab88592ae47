"""Perspective Broker, cut down to what the channel says: one object, two methods, bytes.

A call is ``hello(greeting)``, answered by the other's, or ``take(chunk)``, answered by None once the chunk was taken, if it
asks for that. There are no other objects, types or errors: a peer that sends any is not one of ours.

Note [Why take is written and read by hand]: a take that asks for no answer is always the same bytes around its chunk.
Made and understood by Twisted's Banana and Jelly it costs a third of all the processor's time of a commit.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.spread import pb
from twisted.spread.banana import STRING, Banana
from twisted.spread.jelly import globalSecurity

from chattwist.replication.wire import WireError

# Unproven peers never get here; these bounds keep a proven one that has gone mad from taking the memory with it.
_DEEPEST = 2  # lists in lists
_LONGEST = 7  # items of one


def _around(mark: bytes) -> tuple[bytes, bytes]:
    """The bytes before and behind the length and the bytes of the chunk of a take that asks for no answer."""
    banana, written = Banana(), BytesIO()
    banana.makeConnection(written)
    banana.currentDialect = b"pb"
    written.seek(0)
    written.truncate()
    banana.sendEncoded([b"message", 0, b"root", b"take", 0, [b"tuple", mark], [b"dictionary"]])
    before, _, behind = written.getvalue().partition(mark)
    return before[:-2], behind


_BEFORE, _BEHIND = _around(b"chunk")


class _Lists(list[tuple[int, list[object]]]):
    """The lists that Banana is inside of, each with its length."""

    def append(self, opened: tuple[int, list[object]]) -> None:
        if len(self) == _DEEPEST or opened[0] > _LONGEST:
            raise WireError("lists that no replica sends")
        super().append(opened)


class Broker(pb.Broker):
    """A Broker that raises WireError for whatever the other side's Broker of this class does not send.

    ``taken`` is called with the chunk of a take that asks for no answer.
    """

    def __init__(self, isClient: bool = True, security: Any = globalSecurity) -> None:
        super().__init__(isClient, security)
        self.listStack = _Lists()
        self.taken: Callable[[bytes], None] | None = None

    def tell(self, chunk: bytes) -> None:
        """Call the other side's take and ask for no answer."""
        assert self.transport is not None
        self.transport.write(b"".join((_BEFORE, _in_base_128(len(chunk)), STRING, chunk, _BEHIND)))

    def dataReceived(self, chunk: bytes) -> None:
        """Take in what came; see the note above."""
        if self.taken is not None and self.currentDialect and not self.buffer and not self.listStack:
            while chunk.startswith(_BEFORE):
                begin, end = _chunk_in(chunk)
                rest = end + len(_BEHIND)
                if len(chunk) < rest or not chunk.startswith(_BEHIND, end):
                    break
                self.taken(chunk[begin:end])
                chunk = chunk[rest:]
        if chunk:
            super().dataReceived(chunk)

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


def _in_base_128(number: int) -> bytes:
    """As Banana writes a length: seven bits a byte, the lowest first."""
    digits = bytearray()
    while number:
        digits.append(number & 0x7F)
        number >>= 7
    return bytes(digits) or b"\0"


def _chunk_in(data: bytes) -> tuple[int, int]:
    """Where the chunk begins and ends that the length behind _BEFORE tells of; behind all data if that is not all there."""
    length = place = 0
    for at in range(len(_BEFORE), min(len(_BEFORE) + 5, len(data))):
        digit = data[at]
        if digit == STRING[0]:
            return at + 1, at + 1 + length
        length |= (digit & 0x7F) << place
        place += 7
    return 0, len(data) + 1
