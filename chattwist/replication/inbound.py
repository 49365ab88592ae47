"""What other replicas say to this one."""

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol
from twisted.spread import pb

from chattwist.replication.broker import Broker
from chattwist.replication.guard import Guard
from chattwist.replication.wire import Assembly, WireError, objection


class Inbound(pb.Root):
    """A connection that another replica opened: the one object that it may call.

    ``greeting`` is ours, see wire; ``greeted`` is called when the other's is found to be the same, ``deliver`` with each
    message; what it calls no message, by WireError, ends the connection: others may build on it.
    """

    def __init__(
        self, guard: Guard, greeting: bytes, greeted: "Callable[[Inbound], None]", deliver: Callable[[bytes], None]
    ) -> None:
        self.guard = guard
        self._greeting = greeting
        self._greeted = greeted
        self._deliver = deliver
        self._assembly = Assembly()
        self._heard_hello = False

    def remote_hello(self, greeting: bytes) -> bytes:
        """Let the peer speak if it is one of ours; it is told our greeting, and so learns as much."""
        if why := objection(self._greeting, greeting):
            self.guard.complain(why)
        elif not self.guard.ended:
            self._heard_hello = True
            self.guard.greeted()
            self._greeted(self)
        return self._greeting

    def remote_take(self, chunk: bytes) -> None:
        """Take a part of the stream. The peer learns nothing of what becomes of it."""
        if not self._heard_hello:
            self.guard.refuse("it spoke before it was greeted")
        try:
            for message in [] if self.guard.ended else self._assembly.take(chunk):
                if not self.guard.ended:  # by one of the messages before, or by a newer connection
                    self._deliver(message)
        except WireError as error:
            self.guard.refuse(f"it sent {error}")

    def protocol(self) -> IProtocol:
        """What speaks Perspective Broker for it."""
        factory = pb.PBServerFactory(self)
        factory.protocol = Broker
        protocol: Broker = factory.buildProtocol(None)
        protocol.taken = self.remote_take
        return protocol

    def end(self) -> None:
        """End it; nothing more is delivered."""
        self.guard.abort()
