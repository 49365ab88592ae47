"""The channel and those who have no business on it: refused before a byte of theirs is parsed, and told of in the log."""

import os
import struct
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.spread import banana, pb
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Address, Cluster
from chattwist.replication import guard, wire
from chattwist.replication.guard import Complaints, Guard, Waiting
from chattwist.replication.inbound import Inbound
from chattwist.replication.keys import Keys, make_or_load
from tests.replication.network import Lines, NetworkTestCase, cluster_of

NESTED = bytes([1]) + banana.LIST
DEEP = NESTED * 5_000_000  # 10 MB that cost Banana 700 MB to parse
MEGABYTE = 1024 * 1024


def peak_reset() -> None:
    """Let the peak of this process's memory begin anew, where it is now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def memory(field: str) -> int:
    """Bytes: VmRSS, what this process has in memory, or VmHWM, its peak."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{field}:"))


class StrangerTests(NetworkTestCase):
    """Connections to a replica whose peer is up; each time the two go on as before."""

    async def refused(self, words: str, data: bytes = b"", tls: bool = False, keys: Keys | None = None) -> bytes:
        """Connect, with ``keys`` if any; check that it ends, for a reason in the log; give what was answered."""
        a, heard_by_a, b, heard_by_b = await self.pair()
        stranger = await self.stranger(data, tls, keys)
        await stranger.gone
        await self.log.said(words)
        self.assertEqual(len(self.log.lines), 1)
        a.send(1, b"still")
        b.send(0, b"here")
        await heard_by_a.has(1)
        await heard_by_b.has(1)
        self.assertEqual(heard_by_a.messages + heard_by_b.messages, [(1, b"here"), (0, b"still")])
        return stranger.received

    async def test_no_tls(self) -> None:
        """Perspective Broker without TLS."""
        await self.refused("127.0.0.1: no proof of who it is", banana.encode([b"message"]))

    async def test_no_certificate(self) -> None:
        """TLS from somebody who shows no certificate: not even Banana's greeting is sent."""
        self.assertEqual(await self.refused("did not return a certificate", tls=True), b"")

    async def test_other_authority(self) -> None:
        """The right name, signed by an authority that is not the cluster's."""
        keys = make_or_load(self.mktemp(), self.cluster, self.cluster.replicas[1])
        self.assertEqual(await self.refused("certificate verify failed", tls=True, keys=keys), b"")

    async def test_own_certificate(self) -> None:
        """A replica's own certificate: nobody is his own peer."""
        self.assertEqual(await self.refused("no other replica", tls=True, keys=self.keys(0)), b"")

    async def test_nested_lists_without_tls(self) -> None:
        """10 MB of nested lists cost no memory to speak of."""
        data = DEEP
        before = memory("VmRSS")
        peak_reset()
        await self.refused("127.0.0.1: no proof of who it is", data)
        self.assertLess(memory("VmHWM") - before, 60 * MEGABYTE)

    async def test_nested_lists_without_certificate(self) -> None:
        """Nor do they inside TLS, from somebody who shows no certificate."""
        data = DEEP
        before = memory("VmRSS")
        peak_reset()
        await self.refused("did not return a certificate", data, tls=True)
        self.assertLess(memory("VmHWM") - before, 60 * MEGABYTE)


class NameTests(NetworkTestCase):
    async def test_unknown_name(self) -> None:
        """A certificate of the cluster's authority for a replica that is not in the cluster file."""
        larger = Cluster((*self.cluster.replicas, Address("127.0.0.1", 5009)))
        stranger_keys = make_or_load(self.directory, larger, larger.replicas[2])
        self.start(0)
        stranger = await self.stranger(b"", True, stranger_keys)
        await stranger.gone
        await self.log.said("127.0.0.1:5009, which is no other replica")
        self.assertEqual(stranger.received, b"")

    async def test_not_the_one_dialled(self) -> None:
        """Behind the port of one replica another one answers: nothing is sent to it."""
        self.cluster = cluster_of(3)
        self.start(1, keys=self.keys(2))
        a, heard = self.start(0)
        await self.log.said("it is 127.0.0.1:5003, and not the replica that was dialled")
        self.assertFalse(a.send(1, b"secret"))
        self.assertNotIn(("connected", 1), heard.events)

    async def test_dialled_of_another_authority(self) -> None:
        """Behind the port of a replica somebody answers whose authority is not ours: nothing is sent, both sides say so."""
        other = make_or_load(self.mktemp(), self.cluster, self.cluster.replicas[1])
        self.start(1, keys=other)
        a, _ = self.start(0)
        await self.log.said("127.0.0.1:5002: no proof of who it is: certificate verify failed")
        await self.log.said("127.0.0.1: no proof of who it is")
        self.assertFalse(a.send(1, b"secret"))

    async def test_cluster_files_differ(self) -> None:
        """Two replicas that do not agree on what the cluster is say so, both, and do not speak."""
        majority = Cluster(self.cluster.replicas, "majority")
        a, heard_by_a = self.start(0)
        b, heard_by_b = self.start(1, majority)
        await self.log.said("(127.0.0.1:5001): cluster files differ")
        await self.log.said("127.0.0.1:5002: cluster files differ")
        self.assertFalse(a.send(1, b"x") or b.send(0, b"x"))
        self.assertEqual([event for event in heard_by_a.events + heard_by_b.events if event[0] == "connected"], [])

    async def test_versions_differ(self) -> None:
        """Two whose messages are not the same say so, both, and do not speak."""
        a, heard_by_a = self.start(0)
        self.patch(wire, "FORMAT", b"another")
        b, heard_by_b = self.start(1)
        await self.log.said("(127.0.0.1:5001): its version of chattwist is another one")
        await self.log.said("127.0.0.1:5002: its version of chattwist is another one")
        self.assertFalse(a.send(1, b"x") or b.send(0, b"x"))
        self.assertEqual([event for event in heard_by_a.events + heard_by_b.events if event[0] == "connected"], [])

    async def test_one_is_not_in_the_others_file(self) -> None:
        """The one that knows the other says whom to ask; the other says what is to be done."""
        self.start(0, Cluster((*self.cluster.replicas[:1], Address("127.0.0.1", 1, 2))))
        self.start(1)
        await self.log.said(
            "it is 127.0.0.1:5002, which is no other replica of our cluster file: give all replicas the same"
        )
        await self.log.said("127.0.0.1:5001: it ended the connection before it said hello")


class InsiderTests(NetworkTestCase):
    """Somebody with a replica's keys who sends what no replica sends."""

    async def insider_gone(self, words: str, method: str, *arguments: object) -> None:
        """Greet replica 0, call it, and check that this ends the connection, is told of in one line, and harms nobody."""
        _, heard = self.start(0)
        root, gone = await self.insider(self.keys(1))
        await root.callRemote("hello", wire.greeting(self.cluster))
        root.callRemote("take", wire.framed(b"in order")).addErrback(lambda _: None)
        root.callRemote(method, *arguments).addErrback(lambda _: None)
        await gone
        await self.log.said(words)
        self.assertEqual(len(self.log.lines), 1)
        self.assertEqual(heard.messages, [(1, b"in order")])
        self.start(1)
        await heard.saw("connected", 1)

    async def test_no_message(self) -> None:
        """What the listener does not understand: what comes behind it may build on it, and is not delivered."""
        _, heard = self.start(0)
        root, gone = await self.insider(self.keys(1))
        await root.callRemote("hello", wire.greeting(self.cluster))
        root.callRemote("take", wire.framed(b"nonsense") + wire.framed(b"more")).addErrback(lambda _: None)
        await gone
        await self.log.said("it sent nonsense")
        self.assertEqual(heard.messages, [(1, b"nonsense")])

    async def test_no_bytes(self) -> None:
        """Another type than bytes."""
        await self.insider_gone("that no replica sends", "take", "text")

    async def test_huge_number(self) -> None:
        """A number of hundreds of bits."""
        await self.insider_gone("that no replica sends", "take", 2**440)

    async def test_unknown_method(self) -> None:
        """A method that there is not."""
        await self.insider_gone("that no replica sends", "rootObject", b"")

    async def test_too_many_arguments(self) -> None:
        """Arguments that nobody asked for."""
        await self.insider_gone("that no replica sends", "take", b"", b"", *range(20))

    async def test_object(self) -> None:
        """A reference to an object of the peer's."""
        await self.insider_gone("that no replica sends", "take", pb.Referenceable())

    async def test_truncated_frame(self) -> None:
        """A message whose length is larger than any."""
        await self.insider_gone("a message of 4294967295 bytes", "take", struct.pack("!I", 2**32 - 1))

    async def test_chunk_too_large(self) -> None:
        """A chunk that is larger than any of ours, though Perspective Broker would take it."""
        await self.insider_gone("a chunk of 300000 bytes", "take", bytes(300_000))

    async def test_nested_lists(self) -> None:
        """10 MB of nested lists, now that Banana listens: given up at the third list."""
        _, _ = self.start(0)
        root, gone = await self.insider(self.keys(1))
        await root.callRemote("hello", wire.greeting(self.cluster))
        data = DEEP
        before = memory("VmRSS")
        peak_reset()
        root.broker.transport.write(data)
        await gone
        await self.log.said("lists that no replica sends")
        self.assertLess(memory("VmHWM") - before, 60 * MEGABYTE)

    async def test_no_banana(self) -> None:
        """Bytes that are no Banana."""
        self.start(0)
        root, gone = await self.insider(self.keys(1))
        root.broker.transport.write(os.urandom(20) + b"\xff" * 100)
        await gone
        await self.log.said(": it sent")

    async def test_message_before_hello(self) -> None:
        """A message from a peer that has not said which cluster it means."""
        _, heard = self.start(0)
        root, gone = await self.insider(self.keys(1))
        root.callRemote("take", wire.framed(b"early")).addErrback(lambda _: None)
        await gone
        await self.log.said("before it was greeted")
        self.assertEqual(heard.messages, [])

    async def test_unfinished_messages(self) -> None:
        """A message of 64 MiB is taken; what claims to be larger ends it, so no more than that is ever held."""
        _, heard = self.start(0)
        root, gone = await self.insider(self.keys(1))
        await root.callRemote("hello", wire.greeting(self.cluster))
        message = wire.framed(bytes(wire.LARGEST - 4)) + b"\xff" * (40 * MEGABYTE)
        for start in range(0, len(message), wire.CHUNK):
            root.callRemote("take", message[start : start + wire.CHUNK]).addErrback(lambda _: None)
        await gone
        await self.log.said("a message of 4294967295 bytes")
        self.assertEqual([len(message) for _, message in heard.messages], [wire.LARGEST - 4])

    async def test_newer_connection(self) -> None:
        """Of two connections of one replica the newer counts: the older is cut off."""
        _, heard = self.start(0)
        older, gone = await self.insider(self.keys(1))
        await older.callRemote("hello", wire.greeting(self.cluster))
        await older.callRemote("take", wire.framed(b"older"))
        newer, _ = await self.insider(self.keys(1))
        await newer.callRemote("hello", wire.greeting(self.cluster))
        await newer.callRemote("take", wire.framed(b"newer"))
        await gone
        self.assertEqual(heard.messages, [(1, b"older"), (1, b"newer")])
        self.assertEqual(self.log.lines, [])


class Socket(StringTransport):
    """A transport that only notes that it was cut off."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to keep alive."""

    def abortConnection(self) -> None:
        self.aborted = True


class GuardTests(SynchronousTestCase):
    """Connections whose peers take their time, with a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.complaints = Complaints(self.clock)
        self.waiting = Waiting()
        self.said = Lines()
        self.complaints.log = type(self.complaints.log)("chattwist.replication.channel", observer=self.said)

    def guard(self) -> Guard:
        """Of a connection whose handshake never comes to its end."""
        admit: Any = self.fail
        return Guard(self.clock, self.complaints, self.waiting, "192.0.2.1", admit, lambda _: None)

    def open(self) -> Socket:
        """Somebody connects, and says nothing."""
        arrived = self.guard()
        socket = Socket()
        arrived.makeConnection(socket)
        return socket

    def test_slow_handshake(self) -> None:
        """A peer that has not proved itself in time is cut off, and one line says so."""
        socket = self.open()
        self.clock.advance(guard.PATIENCE - 1)
        self.assertFalse(socket.aborted)
        self.clock.advance(1)
        self.assertTrue(socket.aborted)
        self.assertEqual(
            self.said.lines, ["replica channel: 192.0.2.1: no proof of who it is within 5 s; connection ended"]
        )

    def test_too_many(self) -> None:
        """Of more than 32 that wait to be proven the oldest gives way, so that a replica always gets its turn."""
        sockets = [self.open() for _ in range(guard.UNPROVEN + 3)]
        self.assertEqual([socket.aborted for socket in sockets], [True] * 3 + [False] * guard.UNPROVEN)
        self.assertEqual(len(self.said.lines), 1)

    def test_nothing_is_parsed(self) -> None:
        """Bytes of a peer that is not proven go nowhere."""
        arrived = self.guard()
        socket = Socket()
        arrived.makeConnection(socket)
        arrived.dataReceived(DEEP[:1000])
        self.assertEqual((socket.value(), socket.aborted), (b"", False))

    def test_nothing_after_the_end(self) -> None:
        """Once a newer connection counts, what still comes over the older one is dropped, also inside one chunk."""
        arrived = self.guard()
        arrived.makeConnection(Socket())
        messages: list[bytes] = []

        def deliver(message: bytes) -> None:
            messages.append(message)
            inbound.end()

        inbound = Inbound(arrived, b"digest", lambda _: None, deliver)
        self.assertEqual(inbound.remote_hello(b"digest"), b"digest")
        inbound.remote_take(wire.framed(b"one") + wire.framed(b"two"))
        inbound.remote_take(wire.framed(b"three"))
        self.assertEqual(messages, [b"one"])

    def test_lines_are_rare(self) -> None:
        """One line an address in ten seconds; another address has its own."""
        for _ in range(3):
            self.complaints.say("192.0.2.1", "a")
            self.complaints.say("192.0.2.2", "b")
        self.assertEqual(len(self.said.lines), 2)
        self.clock.advance(guard.QUIET)
        self.complaints.say("192.0.2.1", "c")
        self.assertEqual(len(self.said.lines), 3)

    def test_lines_of_very_many_addresses(self) -> None:
        """So many addresses have their lines, and those that come later, once those are forgotten."""
        for number in range(guard._ADDRESSES + 1):
            self.complaints.say(f"one-{number}", "a")
        self.assertEqual(len(self.said.lines), guard._ADDRESSES)
        self.clock.advance(2 * guard.QUIET)
        self.complaints.say("another", "a")
        self.assertEqual(len(self.said.lines), guard._ADDRESSES + 1)

    def test_the_same_line_is_rarer(self) -> None:
        """What goes on for long is said ever more rarely, up to once an hour; another reason is not held back by it."""
        for _ in range(24 * 3600 * 4):
            self.complaints.say("192.0.2.1", "a")
            self.clock.advance(0.25)
        self.assertIn(len(self.said.lines), range(24, 36))
        self.complaints.say("192.0.2.1", "b")
        self.assertIn("b; connection ended", self.said.lines[-1])

    def test_many_addresses(self) -> None:
        """However many addresses there are, the lines are bounded."""
        for number in range(5000):
            self.complaints.say(str(number), "a")
        self.assertLessEqual(len(self.said.lines), 1000)
