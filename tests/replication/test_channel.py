"""chattwist.replication.channel on real sockets: what one replica may rely on when it talks to another."""

import os
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, NoRouteError, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from chattwist.errors import StartError
from chattwist.replication import outbound, sending, wire
from chattwist.replication.sending import Sending
from tests.replication import network
from tests.replication.network import REACTOR, NetworkTestCase, cluster_of


class MessageTests(NetworkTestCase):
    async def test_both_ways_in_order(self) -> None:
        """Each replica gets what the other sent, in order, named by the other's rank."""
        a, heard_by_a, b, heard_by_b = await self.pair()
        sent = [b"%d" % number for number in range(3000)]
        self.assertTrue(all(a.send(1, message) for message in sent))
        self.assertTrue(b.send(0, b""))
        await heard_by_b.has(3000)
        await heard_by_a.has(1)
        self.assertEqual(heard_by_b.messages, [(0, message) for message in sent])
        self.assertEqual(heard_by_a.messages, [(1, b"")])

    async def test_large(self) -> None:
        """A message of 20 MB arrives whole, and the small ones sent behind it after it."""
        a, _, _, heard = await self.pair()
        large = os.urandom(20 * 1000 * 1000)
        self.assertTrue(a.send(1, large) and a.send(1, b"small"))
        await heard.has(2)
        self.assertTrue(heard.messages == [(0, large), (0, b"small")])  # assertEqual would print them

    async def test_too_large(self) -> None:
        """A message above 64 MiB is refused on the spot; the connection is as it was."""
        a, _, _, heard = await self.pair()
        self.assertRaises(ValueError, a.send, 1, bytes(wire.LARGEST + 1))
        a.send(1, b"next")
        await heard.has(1)

    async def test_listener_that_raises(self) -> None:
        """An error at a message is logged where it happened; the sender learns nothing and the next message arrives."""
        a, heard_by_a, _, heard = await self.pair()
        a.send(1, b"raise")
        a.send(1, b"next")
        await heard.has(2)
        self.assertEqual([str(failure.value) for failure in self.flushLoggedErrors(ValueError)], ["as told"])
        self.assertNotIn(("lost", 1), heard_by_a.events)

    async def test_three(self) -> None:
        """Each of three replicas reaches both others; ranks follow the ports, whatever the order in the file."""
        self.cluster = cluster_of(3)
        shuffled = type(self.cluster)(self.cluster.replicas[::-1])
        started = [self.start(rank, shuffled) for rank in range(3)]
        for rank, (_, recorder) in enumerate(started):
            for other in {0, 1, 2} - {rank}:
                await recorder.saw("connected", other)
        started[2][0].send(0, b"from two")
        await started[0][1].has(1)
        self.assertEqual(started[0][1].messages, [(2, b"from two")])


class ConnectionTests(NetworkTestCase):
    async def test_nobody_there(self) -> None:
        """Where no process listens, each attempt is told of as refused, and nothing can be sent."""
        a, heard = self.start(0)
        await heard.saw("refused", 1, times=2)
        self.assertFalse(a.send(1, b"x"))
        self.assertEqual(self.log.lines, [])

    async def test_nobody_there_for_long(self) -> None:
        """After some seconds that is said, once, with the port."""
        self.patch(outbound, "TOLD_AFTER", 0.1)
        _, heard = self.start(0)
        await self.log.said("127.0.0.1:5002 cannot be reached: nothing listens at its channel port")
        told = len(heard.events)
        await heard.saw("refused", 1, times=told + 3)
        self.assertEqual(len(self.log.lines), 1)

    async def test_nobody_there_again(self) -> None:
        """It is said again of one that was there in between; but if it was there just now, only after as long."""
        self.patch(outbound, "RETRY", 0.02)
        reactor = Ahead()
        self.patch(network, "REACTOR", reactor)
        _, heard = self.start(0)
        for times in 1, 2:
            await heard.saw("refused", 1, times=2)
            reactor.ahead += outbound.TOLD_AFTER
            await self.log.said("nothing listens at its channel port", times)
            other, _ = self.start(1)
            await heard.saw("connected", 1, times)
            reactor.ahead += outbound.TOLD_AFTER
            await other.stop()
            heard.events = [event for event in heard.events if event[0] == "connected"]
            await heard.saw("refused", 1, times=3)
            self.assertEqual(len(self.log.lines), times)

    async def test_a_connection_that_lasted(self) -> None:
        """When it is lost, the next is tried at once, and not only after as long as one that never was would wait."""
        self.patch(outbound, "RETRY", 1000.0)
        reactor = Ahead()
        self.patch(network, "REACTOR", reactor)
        a, heard, _, _ = await self.pair()
        reactor.ahead += 1000
        a.abort(1)
        await heard.saw("connected", 1, times=2)

    async def test_one_that_hangs_up(self) -> None:
        """A peer that only hangs up may be about to stop: the log is silent the first time, and tells of it the second."""
        met: list[Protocol] = []

        class HangsUp(Protocol):
            def connectionMade(self) -> None:
                assert isinstance(self.transport, Server)
                met.append(self)
                self.transport.abortConnection()

        factory = Factory.forProtocol(HangsUp)
        factory.noisy = False
        port = REACTOR.listenTCP(self.cluster.replicas[1].channel, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.start(0)
        await self.log.said("it hung up before it had proved who it is")
        self.assertGreater(len(met), 1)

    async def test_later_there(self) -> None:
        """A replica that starts later is connected to without being asked for."""
        _, heard = self.start(0)
        await heard.saw("refused", 1)
        self.start(1)
        await heard.saw("connected", 1)

    async def test_abort(self) -> None:
        """After an abort nothing can be sent until the connection is up again, which it soon is by itself."""
        a, heard_by_a, _, heard_by_b = await self.pair()
        a.abort(1)
        self.assertFalse(a.send(1, b"lost"))
        await heard_by_a.saw("lost", 1)
        await heard_by_a.saw("connected", 1, times=2)
        self.assertTrue(a.send(1, b"again"))
        await heard_by_b.has(1)
        self.assertEqual(heard_by_b.messages, [(0, b"again")])

    async def test_stop(self) -> None:
        """What was sent before a stop arrives; then the other finds the connection lost and the port refused."""
        a, heard_by_a, b, heard_by_b = await self.pair()
        a.send(1, b"farewell")
        await a.stop()
        events = list(heard_by_a.events)
        await heard_by_b.saw("lost", 0)
        await heard_by_b.saw("refused", 0)
        self.assertEqual(heard_by_b.messages, [(0, b"farewell")])
        self.assertFalse(a.send(1, b"x") or b.send(0, b"x"))
        self.assertEqual(heard_by_a.events, events)

    async def test_restart(self) -> None:
        """A replica that comes back is connected to again, and messages pass."""
        a, _, b, heard_by_b = await self.pair()
        await a.stop()
        await heard_by_b.saw("refused", 0)
        _, heard = self.start(0)
        await heard_by_b.saw("connected", 0, times=2)
        b.send(0, b"welcome")
        await heard.has(1)

    async def test_port_taken(self) -> None:
        """A channel port in use is one line that names it."""
        self.start(0)
        again, _ = self.channel(0)
        error = self.assertRaises(StartError, again.start)
        self.assertIn(f"channel port {self.cluster.replicas[0].channel} of 127.0.0.1", str(error))


class AttemptTests(NetworkTestCase):
    """The attempts to connect, on a network that fails them."""

    def test_trouble(self) -> None:
        """What goes on is said once, until it is something else; that a stop ends an attempt is no news."""
        reactor, connector = MemoryReactorClock(), cast(Any, None)
        self.patch(network, "REACTOR", reactor)
        channel, _ = self.start(0)
        for count, trouble in ((3, TimeoutError()), (2, NoRouteError()), (2, ConnectionRefusedError())):
            for _ in range(count):
                reactor.tcpClients.pop()[2].clientConnectionFailed(connector, Failure(trouble))
                reactor.advance(outbound.RETRY)
        self.successResultOf(channel.stop())
        troubles = [line.partition(" cannot be reached: ")[2] for line in self.log.lines]
        self.assertEqual(troubles, [str(TimeoutError()), str(NoRouteError())])


class Ahead:
    """The reactor, and how many seconds its clock is ahead of what it waits for."""

    ahead = 0.0

    def seconds(self) -> float:
        """See IReactorTime."""
        return float(REACTOR.seconds()) + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(REACTOR, name)


class SendingTests(NetworkTestCase):
    """The queue before the connection, with a clock and a peer that answers when told to."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[tuple[bytes, Deferred[object] | None]] = []
        self.broken: list[str] = []
        self.sending = Sending(self.clock, self.call, self.broken.append)

    def call(self, chunk: bytes, asks: bool) -> "Deferred[object] | None":
        answer: Deferred[object] | None = Deferred() if asks else None
        self.calls.append((chunk, answer))
        return answer

    def answer_first(self, answer: object = None) -> None:
        """Answer the first of them, which asked for it, or fail it."""
        first = self.calls[0][1]
        assert first is not None
        first.callback(Failure(answer) if isinstance(answer, Exception) else answer)

    def answer_all(self) -> None:
        """Answer what is on its way, in order."""
        calls, self.calls = self.calls, []
        for _, answer in calls:
            if answer is not None:
                answer.callback(None)

    def test_one_turn_one_call(self) -> None:
        """All messages of one turn of the reactor go out together when it ends."""
        self.assertTrue(self.sending.send(b"a") and self.sending.send(b"b"))
        self.assertEqual(self.calls, [])
        self.clock.advance(0)
        self.assertEqual([chunk for chunk, _ in self.calls], [wire.framed(b"a") + wire.framed(b"b")])

    def test_window(self) -> None:
        """Of a large message only a window is on its way; each answer lets more go."""
        self.sending.send(bytes(sending.WINDOW * 3))
        self.assertEqual(sum(len(chunk) for chunk, _ in self.calls), sending.WINDOW)
        self.answer_first()
        self.assertEqual(sum(len(chunk) for chunk, _ in self.calls), sending.WINDOW + wire.CHUNK)

    def test_one_answer_for_many(self) -> None:
        """Of chunks that follow each other quickly one asks for an answer; the last is asked about when nothing follows it."""
        for message in b"a", b"b", b"c":
            self.sending.send(message)
            self.clock.advance(0.01)
        self.assertEqual([answer is not None for _, answer in self.calls], [True, False, False])
        self.answer_all()
        self.clock.advance(sending.ASK)
        ((chunk, answer),) = self.calls
        self.assertEqual((chunk, answer is not None), (b"", True))
        self.answer_all()
        self.clock.advance(2 * sending.TIMEOUT)
        self.assertEqual((self.broken, self.calls), ([], []))

    def test_late_answer(self) -> None:
        """A peer that answers nothing for the timeout is given up; one that answers each chunk in time never is."""
        self.sending.send(b"a")
        self.clock.advance(0)
        self.clock.advance(sending.TIMEOUT - 1)
        self.sending.send(b"b")
        self.clock.advance(0)
        self.answer_first()
        self.clock.advance(sending.TIMEOUT - 1)
        self.assertEqual(self.broken, [])
        self.clock.advance(1)
        self.assertEqual(len(self.broken), 1)
        self.assertFalse(self.sending.send(b"c"))

    def test_bound(self) -> None:
        """What waits for a peer that takes nothing is bounded: one line says so and no more is taken."""
        message = bytes(1024 * 1024)
        taken = 0
        while self.sending.send(message):
            taken += 1
        self.assertEqual(taken, 16)
        self.assertEqual(len(self.broken), 1)
        self.assertIn("bytes wait", self.broken[0])
        self.assertFalse(self.sending.send(b""))

    def test_bound_beside_a_large_message(self) -> None:
        """A message larger than the bound may wait, and as much as ever beside it; once it is taken, the bound is as before."""
        self.assertTrue(self.sending.send(bytes(wire.LARGEST)))
        self.assertTrue(self.sending.send(bytes(15 * 1024 * 1024)))
        while self.calls:
            self.answer_all()
            self.clock.advance(0)
        self.test_bound()

    def test_failed_call(self) -> None:
        """A call that fails ends the connection."""
        self.sending.send(b"a")
        self.clock.advance(0)
        self.answer_first(ValueError("no"))
        self.assertEqual(len(self.broken), 1)

    def test_stop_leaves_no_timer(self) -> None:
        """Once it is stopped, nothing is left to run."""
        self.sending.send(b"a")
        self.clock.advance(0)
        self.sending.send(b"b")
        self.sending.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
