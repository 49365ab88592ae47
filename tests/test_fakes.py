"""What the fakes of tests/wire.py keep to is what the real parts do: each contract is tested on both."""

import shutil
import socket
from collections.abc import Callable, Coroutine
from tempfile import mkdtemp
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IReactorFromThreads
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from chattwist import model
from chattwist.errors import DiskFull
from chattwist.member import Writer as AnyWriter
from chattwist.passwords import PasswordThreads
from chattwist.store.disk import Disk
from chattwist.store.store import Store
from chattwist.store.writer import Writer
from tests.wire import MemoryJournal, MemoryTransport, NoThreads

MESSAGES = [model.Sent(f"m-{n}", n, "a-1", "a-1", "hi") for n in range(1, 5)]


class WriterContract:
    """What a Member may rely on; ``make`` gives a journal, ``settle`` lets it work, ``break_it`` lets its disk be full."""

    make: Callable[[], AnyWriter]
    settle: Callable[[], Coroutine[Any, Any, None]]
    break_it: Callable[[], None]
    assertEqual: Callable[..., None]

    async def test_done_is_called_once_and_later(self) -> None:
        """Commits are done in order, each told once, never before commit() returned."""
        journal, told = self.make(), list[object]()
        journal.commit(MESSAGES[:1], lambda failure: told.append((1, failure)))
        self.assertEqual(told, [])
        await self.settle()
        journal.commit(MESSAGES[1:], lambda failure: told.append((2, failure)))
        journal.save(b'{"view":3}', lambda failure: told.append((3, failure)))
        await self.settle()
        self.assertEqual(told, [(1, None), (2, None), (3, None)])

    async def test_waiting(self) -> None:
        """What ends within a moment is told while it is waited for, and everything else later; each once."""
        journal, told = self.make(), list[object]()
        self.assertEqual(journal.wait(), False)
        journal.commit(MESSAGES[:1], told.append)
        waited = journal.wait()
        self.assertEqual(told, [None] if waited else [])
        await self.settle()
        self.assertEqual(told, [None])
        self.assertEqual(journal.wait(), False)

    async def test_a_full_disk(self) -> None:
        """DiskFull is handed over, not raised."""
        journal, told = self.make(), list[object]()
        self.break_it()
        journal.commit(MESSAGES[:1], told.append)
        await self.settle()
        self.assertEqual([type(failure) for failure in told], [DiskFull])


class MemoryJournalTests(WriterContract, TestCase):
    """The fake."""

    def setUp(self) -> None:
        self.journal = MemoryJournal()

    def make(self) -> AnyWriter:
        return self.journal

    async def settle(self) -> None:
        while self.journal.work():
            pass

    def break_it(self) -> None:
        self.journal.failure = DiskFull("full")


class WriterTests(WriterContract, TestCase):
    """The real one."""

    def setUp(self) -> None:
        directory = mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.store = Store.open(Disk(directory))
        list(self.store.load())
        self.writer = Writer(self.store, reactor)
        self.writer.start()
        self.addCleanup(self.writer.stop)

    def make(self) -> AnyWriter:
        return self.writer

    async def settle(self) -> None:
        done: Deferred[object] = Deferred()
        self.writer.commit([], done.callback)
        await done

    def break_it(self) -> None:
        def full(operations: object) -> None:
            raise DiskFull("full")

        self.patch(self.store, "append", full)


class ThreadsContract:
    """What Logins may rely on."""

    make: Callable[[], Any]
    assertEqual: Callable[..., None]
    assertFailure: Callable[..., Deferred[Any]]

    async def test_result(self) -> None:
        """A Deferred of what the function gives."""
        self.assertEqual(await self.make().run(max, 1, 2), 2)


class NoThreadsTests(ThreadsContract, TestCase):
    """The fake."""

    def make(self) -> NoThreads:
        return NoThreads()


class PasswordThreadsTests(ThreadsContract, TestCase):
    """The real ones."""

    def make(self) -> PasswordThreads:
        threads = PasswordThreads(IReactorFromThreads(reactor), 5)
        self.addCleanup(threads.stop)
        return threads


@implementer(IHalfCloseableProtocol, IPullProducer)
class Peer(Protocol):
    """A protocol that is its own producer, as protocol.client.Client is."""

    transport: Any
    drained = 0
    half_closed = False

    def resumeProducing(self) -> None:
        self.drained += 1

    def stopProducing(self) -> None:
        pass

    def readConnectionLost(self) -> None:
        self.half_closed = True

    def writeConnectionLost(self) -> None:
        pass


class TransportContract:
    """What protocol.client.Client may rely on; ``connect`` gives a Peer and a function that reads all the client got."""

    connect: Callable[[], Coroutine[Any, Any, tuple[Peer, Callable[[], Coroutine[Any, Any, bytes]]]]]
    assertEqual: Callable[..., None]
    assertTrue: Callable[..., None]

    async def test_tells_when_all_has_gone_out(self) -> None:
        """A pull producer is resumed once what was written has gone out, not at once."""
        peer, received = await self.connect()
        peer.transport.registerProducer(peer, False)
        before = peer.drained
        peer.transport.write(b"one")
        peer.transport.write(b"two")
        self.assertEqual(peer.drained, before)
        self.assertEqual(await received(), b"onetwo")
        self.assertEqual(peer.drained, before + 1)

    async def test_last_words(self) -> None:
        """What was written before our side is closed arrives."""
        peer, received = await self.connect()
        peer.transport.registerProducer(peer, False)
        peer.transport.write(b"goodbye")
        peer.transport.unregisterProducer()
        peer.transport.loseWriteConnection()
        self.assertEqual(await received(), b"goodbye")


class MemoryTransportTests(TransportContract, TestCase):
    """The fake."""

    async def connect(self) -> Any:
        transport, peer = MemoryTransport(), Peer()
        peer.makeConnection(transport)

        async def received() -> bytes:
            transport.flush()
            data: bytes = transport.value()
            return data

        return peer, received


class TcpTransportTests(TransportContract, TestCase):
    """The real one."""

    async def connect(self) -> Any:
        made: Deferred[Peer] = Deferred()

        class Factory(ServerFactory):
            noisy = False

            def buildProtocol(self, addr: object) -> Peer:
                peer = Peer()
                reactor.callLater(0, made.callback, peer)
                return peer

        port: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        client.setblocking(False)
        peer = await made

        def clean_up() -> Deferred[Any]:
            client.close()
            peer.transport.abortConnection()
            return gatherResults([maybeDeferred(port.stopListening), deferLater(reactor, 0.01, lambda: None)])

        self.addCleanup(clean_up)

        async def received() -> bytes:
            data = b""
            for _ in range(20):
                await deferLater(reactor, 0.005, lambda: None)
                try:
                    data += client.recv(4096)
                except BlockingIOError:
                    continue
            return data

        return peer, received
