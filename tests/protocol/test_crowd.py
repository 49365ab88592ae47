"""Clients that are read from together, over real sockets."""

import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from chattwist.protocol.crowd import Crowd, CrowdPort

RESET = struct.pack("ii", 1, 0)  # for SO_LINGER: close() resets the connection


@implementer(IHalfCloseableProtocol)
class Noting(Protocol):
    """Notes what happens to it; fails when it hears ``bug``."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = ""

    def dataReceived(self, data: bytes) -> None:
        if data == b"bug":
            raise ValueError("a bug")
        self.heard += data

    def readConnectionLost(self) -> None:
        self.ended = "half"

    def writeConnectionLost(self) -> None:
        """Not of interest."""

    def connectionLost(self, reason: Any = None) -> None:
        self.ended = "wholly"
        if self.heard == b"fail at your end":
            raise ValueError("a bug")


class CrowdTests(TestCase):
    def setUp(self) -> None:
        self.made: list[Noting] = []
        factory = Factory()
        self.patch(factory, "buildProtocol", self.build)
        self.crowd = Crowd(reactor)
        self.port = CrowdPort(0, factory, 50, "127.0.0.1", reactor, self.crowd)
        self.port.startListening()
        self.crowd.start()

        self.addCleanup(lambda: Deferred.fromCoroutine(self.end()))

    async def end(self) -> None:
        """End all of them."""
        for one in self.made:
            if one.ended != "wholly" and one.transport is not None:
                one.transport.abortConnection()  # type: ignore[attr-defined]
        await self.until(lambda: all(one.ended == "wholly" for one in self.made))
        self.crowd.stop()
        await self.port.stopListening()

    def build(self, address: object) -> Noting:
        """The protocol of a new connection."""
        self.made.append(Noting())
        return self.made[-1]

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires once the condition holds."""
        reached: Deferred[None] = Deferred()

        def look() -> None:
            if condition():
                reached.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return reached

    async def connect(self, count: int) -> list[socket.socket]:
        """So many clients, known by their places."""
        clients = []
        for number in range(count):
            client = socket.create_connection(self.port.socket.getsockname())
            self.addCleanup(client.close)
            clients.append(client)
            await self.until(lambda number=number: len(self.made) == number + 1)  # type: ignore[misc]
        return clients

    async def test_all_are_heard(self) -> None:
        """What each says is heard, but for those who are paused: theirs is later."""
        clients = await self.connect(5)
        transport: Any = self.made[2].transport
        transport.pauseProducing()
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        await self.until(lambda: [one.heard for one in self.made] == [b"0", b"1", b"", b"3", b"4"])
        transport.resumeProducing()
        await self.until(lambda: self.made[2].heard == b"2")

    async def test_a_bug_with_one(self) -> None:
        """It ends that one's connection, and is logged; the others are heard."""
        clients = await self.connect(3)
        for client, data in zip(clients, (b"a", b"bug", b"c"), strict=True):
            client.sendall(data)
        await self.until(lambda: (self.made[0].heard, self.made[1].ended, self.made[2].heard) == (b"a", "wholly", b"c"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_a_bug_at_the_end_of_one(self) -> None:
        """The others are still heard."""
        clients = await self.connect(2)
        clients[0].sendall(b"fail at your end")
        await self.until(lambda: self.made[0].heard != b"")
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        clients[0].close()
        await self.until(lambda: self.made[0].ended == "wholly")
        clients[1].sendall(b"still here")
        await self.until(lambda: self.made[1].heard == b"still here")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_ends(self) -> None:
        """A client that sends no more is told from one that is gone; of neither anything is kept once it is gone."""
        clients = await self.connect(2)
        clients[0].shutdown(socket.SHUT_WR)
        clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        clients[1].close()
        await self.until(lambda: [one.ended for one in self.made] == ["half", "wholly"])
        transport: Any = self.made[0].transport
        transport.loseConnection()
        await self.until(lambda: self.made[0].ended == "wholly")
        self.assertEqual(self.crowd._members, {})
        again = await self.connect_again()
        again.sendall(b"hello")
        await self.until(lambda: self.made[2].heard == b"hello")

    async def connect_again(self) -> socket.socket:
        """One that gets a number that was in use before."""
        client = socket.create_connection(self.port.socket.getsockname())
        self.addCleanup(client.close)
        await self.until(lambda: len(self.made) == 3)
        return client

    async def test_one_ends_another(self) -> None:
        """One that is ended while others are read from is not read from any more."""
        clients = await self.connect(2)
        first, second = self.made

        def end_the_other(data: bytes) -> None:
            transport: Any = (second if first.transport is not None and data == b"1" else first).transport
            transport.abortConnection()

        first.dataReceived = second.dataReceived = end_the_other  # type: ignore[method-assign]
        clients[0].sendall(b"1")
        clients[1].sendall(b"2")
        await self.until(lambda: "wholly" in (first.ended, second.ended))
        self.assertEqual({first.ended, second.ended}, {"", "wholly"})
