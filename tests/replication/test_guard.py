"""What is written to a channel's socket goes out at once, and all of it goes out."""

import socket
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.trial.unittest import TestCase

from chattwist.replication.guard import Complaints, Guard, Waiting, write_at_once
from tests.replication.test_attacks import Socket

LARGE = bytes(8 * 1024 * 1024)  # more than a socket takes


class WriteAtOnceTests(TestCase):
    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.addCleanup(self.theirs.close)
        self.connection = Connection(ours, protocol := Protocol(), reactor)
        self.connection.connected = 1
        protocol.makeConnection(self.connection)
        self.connection.startReading()
        self.addCleanup(self.end)
        self.received = b""
        self.is_closed = False

    async def end(self) -> None:
        """Close our side, if it is open."""
        if self.connection.connected:
            self.connection.abortConnection()
            await self.until(lambda: not self.connection.connected)

    def read(self) -> bytes:
        """What has arrived since the last time."""
        data = b""
        try:
            while chunk := self.theirs.recv(1 << 20):
                data += chunk
            self.is_closed = True
        except BlockingIOError:
            pass
        return data

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires once the condition holds."""
        reached: Deferred[None] = Deferred()

        def look() -> None:
            self.received += self.read()
            reached.callback(None) if condition() else reactor.callLater(0.001, look)

        look()
        return reached

    def test_at_once(self) -> None:
        """It is there before the reactor turns, and nobody waits for the socket to take more."""
        write_at_once(self.connection)
        self.connection.write(b"one")
        self.connection.write(b"two")
        self.assertEqual(self.read(), b"onetwo")
        self.assertNotIn(self.connection, reactor.getWriters())

    async def test_more_than_it_takes(self) -> None:
        """The rest goes out as the peer reads, in order, also what is written behind it."""
        write_at_once(self.connection)
        self.connection.write(LARGE)
        self.assertIn(self.connection, reactor.getWriters())
        self.connection.write(b"behind")
        await self.until(lambda: len(self.received) == len(LARGE) + 6)
        self.assertEqual(self.received[-8:], b"\0\0behind")

    async def test_closed(self) -> None:
        """A connection is closed behind all that was written to it, also where nothing waits."""
        for waiting in b"", LARGE:
            self.setUp()
            write_at_once(self.connection)
            self.connection.write(waiting)
            self.connection.loseConnection()
            await self.until(lambda: self.is_closed)
            self.assertEqual(len(self.received), len(waiting))

    def test_leaves_nothing_behind(self) -> None:
        """A connection that is gone does not keep itself alive until somebody looks for garbage."""
        transport = Socket()
        vars(transport)["transport"] = self.connection
        clock = Clock()
        guard = Guard(
            clock, Complaints(clock), Waiting(), "127.0.0.1", lambda guard, name: Protocol(), lambda guard: None
        )
        guard.makeConnection(transport)
        self.assertIn("startWriting", vars(self.connection))
        guard.connectionLost()
        self.assertNotIn("startWriting", vars(self.connection))
