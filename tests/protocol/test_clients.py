"""All clients of a replica: how many there may be, and that a bug at one of them costs the others nothing."""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Limits, Timings
from chattwist.protocol import client
from chattwist.protocol.client import Client
from chattwist.protocol.telnet import Line
from tests.wire import MemoryTransport, World


def join(world: World, host: str) -> tuple[Client | None, bytes]:
    """A client comes from an address: its protocol, None if it is turned away, and what it is told."""
    protocol, transport = world.clients.buildProtocol(IPv4Address("TCP", host, 1)), MemoryTransport()
    protocol.makeConnection(transport)
    world.run()
    transport.flush()
    return (protocol if isinstance(protocol, Client) else None), transport.value()


class LimitTests(SynchronousTestCase):
    def test_of_one_address(self) -> None:
        """Of one address come so many and no more, until one of those ends; nothing is kept of an address that is gone."""
        world = World(limits=Limits(connections_per_address=2))
        first, _ = join(world, "10.0.0.1")
        second, _ = join(world, "10.0.0.1")
        self.assertEqual(join(world, "10.0.0.1")[1][:42], b"421 too many connections from your address")
        self.assertEqual(join(world, "10.0.0.2")[1][:4], b"220 ")
        for one in first, second:
            assert one is not None
            one.connectionLost()
        self.assertEqual(dict(world.clients._by_address), {"10.0.0.2": 1})
        self.assertEqual(join(world, "10.0.0.1")[1][:4], b"220 ")

    def test_of_all(self) -> None:
        """Of all together come so many and no more."""
        world = World(limits=Limits(connections=1))
        self.assertEqual([join(world, host)[1][:4] for host in ("10.0.0.1", "10.0.0.2")], [b"220 ", b"421 "])


class BugTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(timings=Timings(login_deadline=10))
        self.ann, self.bob = self.world.connect("ann"), self.world.connect("bob")
        self.bob.received()
        self.broken: Any = None

    def test_replies(self) -> None:
        """One whose replies cannot be written keeps nobody else's."""
        for connection in self.ann, self.bob:
            connection.protocol.dataReceived(b"NOOP\n")
        self.patch(self.ann.protocol, "flush", self.broken)
        self.world.run()
        self.assertEqual(self.bob.received(), b"250 ok\n")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_deadlines(self) -> None:
        """One whose deadline cannot be checked keeps nobody else's, now and later."""
        self.world.clients.startFactory()
        self.addCleanup(self.world.clients.stopFactory)
        self.patch(self.ann.protocol, "check", self.broken)
        self.world.pass_time(12)
        self.assertEqual(self.bob.received()[:4], b"421 ")
        self.assertGreater(len(self.flushLoggedErrors(TypeError)), 9)


class TurnTests(SynchronousTestCase):
    """Some send as much as they can; each look at the clock takes a tenth of a millisecond here."""

    def setUp(self) -> None:
        self.world = World()
        self.ann, self.bob = self.world.connect("ann"), self.world.connect("bob")
        self.ann.received()
        self.bob.received()
        self.time = 0.0
        self.calls: list[Callable[[], None]] = []
        self.patch(self.world.clients, "now", self.look)
        self.patch(self.world.clients, "call_later", lambda delay, call: self.calls.append(call))

    def look(self) -> float:
        """The time."""
        self.time += 0.0001
        return self.time

    def turn(self) -> float:
        """What is to be done at the end of a turn of the reactor, and writing; how long that took."""
        before = self.time
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        for connection in self.world.connections.values():
            connection.transport.flush()
        return self.time - before

    def turns(self) -> None:
        """All that is left to do."""
        while self.calls:
            self.turn()

    def test_one_who_sends_much(self) -> None:
        """Others are answered before the rest of it is; then all of it is, in order."""
        self.ann.protocol.dataReceived(b"".join(b"@%d NOOP\n" % number for number in range(500)))
        self.assertFalse(self.ann.transport.reading)
        self.bob.protocol.dataReceived(b"NOOP\n")
        self.turn()
        self.assertEqual(self.bob.received(), b"250 ok\n")
        early = self.ann.received()
        self.assertLess(early.count(b"\n"), 100)
        self.turns()
        self.assertEqual(early + self.ann.received(), b"".join(b"@%d 250 ok\n" % number for number in range(500)))
        self.assertTrue(self.ann.transport.reading)

    def test_many_who_send_much(self) -> None:
        """However many they are, a turn of the reactor is short, so that other replicas are heard; nobody waits for ever."""
        for number in range(100):
            self.world.connect(f"x{number}")
        self.turns()
        for connection in self.world.connections.values():
            connection.received()
        before = self.time
        for connection in self.world.connections.values():
            connection.protocol.dataReceived(b"\n" * 500 + b"NOOP\n")
        took = [self.time - before]
        while self.calls:
            took.append(self.turn())
        self.assertLess(max(took), 0.1)
        self.assertEqual({one.received() for one in self.world.connections.values()}, {b"250 ok\n"})

    def test_end_of_the_input(self) -> None:
        """Who sends much and then no more gets all its answers before the end."""
        self.ann.protocol.dataReceived(b"NOOP\n" * 500)
        assert isinstance(self.ann.protocol, Client)
        self.ann.protocol.readConnectionLost()
        self.turns()
        self.assertEqual(self.ann.received(), b"250 ok\n" * 500)
        self.assertTrue(self.ann.transport.closed)

    def test_end_within_a_line(self) -> None:
        """So does a line without its end get its answer, wherever the turn ends."""
        for number in range(100, 120):
            connection = self.world.connect(f"x{number}")
            connection.protocol.dataReceived(b"\n" * number + b"\xff\xf6NOO")
            assert isinstance(connection.protocol, Client)
            connection.protocol.readConnectionLost()
            self.turns()
            self.assertIn(b"\r\n500 this line has no end", connection.received())
            self.assertTrue(connection.transport.closed)

    def test_long_replies(self) -> None:
        """Many who get more than is written ahead, and read it at once, are no reason to keep others waiting."""
        self.patch(client, "MOST_UNSENT", 100)
        many = [self.world.connect(f"x{number}") for number in range(50)]
        self.turns()
        for connection in many:
            connection.protocol.dataReceived(b"HELP\n" * 50)
        self.bob.protocol.dataReceived(b"NOOP\n" * 20)
        for _ in range(10):
            self.turn()
        self.assertEqual(self.bob.received(), b"250 ok\n" * 20)
        self.assertFalse(many[0].transport.reading)

    def test_a_bug_with_one(self) -> None:
        """One whose lines cannot be taken in its turn keeps nobody else's."""
        for connection in self.ann, self.bob:
            connection.protocol.dataReceived(b"NOOP\n" * 500)
        broken: Any = None
        self.patch(self.ann.protocol, "take_turn", broken)
        self.turns()
        self.assertEqual(self.bob.received(), b"250 ok\n" * 500)
        self.assertTrue(self.ann.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class LoginDeadlineTests(SynchronousTestCase):
    def test_after_a_logout(self) -> None:
        """Who logs out has as long to log in again as who has just come."""
        world = World(timings=Timings(login_deadline=10))
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        ann = world.connect("ann")
        ann.send(b"REGISTER ann password\n")
        world.pass_time(20)
        ann.send(b"LOGOUT\n")
        ann.received()
        world.pass_time(8)
        self.assertEqual(ann.received(), b"")
        world.pass_time(4)
        self.assertEqual(ann.received()[:4], b"421 ")


class NotMarkedTests(SynchronousTestCase):
    """What a session has read could not be recorded."""

    def setUp(self) -> None:
        self.world = World()
        for name in "ann", "bob":
            self.world.connect(name).send(f"REGISTER {name} password\n".encode())
        self.session: Any = self.world.connections["ann"].protocol._session  # type: ignore[attr-defined]
        self.marked: list[tuple[str, ...]] = []
        self.patch(self.world.replica, "mark_read", lambda ids, done: self.marked.append(ids))

    def line(self) -> None:
        """The client sends something, some time after."""
        self.session.heard()
        self.session.line(Line(b"NOOP"))

    def test_again(self) -> None:
        """The next line has it recorded, with what was pushed since."""
        self.session.not_marked(self.session.account, ("m-1", "m-2"))
        self.line()
        self.assertEqual(self.marked, [("m-1", "m-2")])

    def test_another_account(self) -> None:
        """Not for whoever logs in on the same connection then: the messages are not theirs."""
        self.session.not_marked(self.world.chat.account("bob"), ("m-1",))
        self.line()
        self.assertEqual(self.marked, [])
