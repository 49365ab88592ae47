"""What other replicas say to this one."""

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol
from twisted.spread import pb

from chattwist.replication.broker import Broker
from chattwist.replication.guard import Guard
from chattwist.replication.wire import DIFFERENT, Assembly, WireError


class Inbound(pb.Root):
    """A connection that another replica opened: the one object that it may call.

    ``greeted`` is called when its cluster file is found to be the same as ours, ``deliver`` with each message.
    """

    def __init__(
        self, guard: Guard, digest: bytes, greeted: "Callable[[Inbound], None]", deliver: Callable[[bytes], None]
    ) -> None:
        self.guard = guard
        self._digest = digest
        self._greeted = greeted
        self._deliver = deliver
        self._assembly = Assembly()
        self._heard_hello = False

    def remote_hello(self, digest: bytes) -> bytes:
        """Let the peer speak if its cluster file is ours; it is told our digest, and so learns as much."""
        if digest != self._digest:
            self.guard.complain(DIFFERENT)
        elif not self.guard.ended:
            self._heard_hello = True
            self.guard.greeted()
            self._greeted(self)
        return self._digest

    def remote_take(self, chunk: bytes) -> None:
        """Take a part of the stream. The peer learns nothing of what becomes of it."""
        if not self._heard_hello:
            self.guard.refuse("it spoke before it was greeted")
        for message in self._messages(chunk):
            if not self.guard.ended:  # by one of the messages before, or by a newer connection
                self._deliver(message)

    def _messages(self, chunk: bytes) -> list[bytes]:
        try:
            return [] if self.guard.ended else self._assembly.take(chunk)
        except WireError as error:
            self.guard.refuse(f"it sent {error}")
            return []

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
