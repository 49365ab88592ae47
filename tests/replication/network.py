"""Replicas' channels on real sockets of the loopback interface, those who attack them, and what all of them saw."""

import socket
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.spread import pb
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from chattwist.cluster import Address, Cluster
from chattwist.replication.channel import Channel
from chattwist.replication.keys import Keys, make_or_load
from chattwist.replication.tls import TLSFactory
from chattwist.replication.wire import WireError

REACTOR: Any = reactor  # typed in part only


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cluster_of(count: int) -> Cluster:
    """Replicas of ranks 0 to ``count - 1``; nothing listens on their clients' ports."""
    return Cluster(tuple(Address("127.0.0.1", 5001 + rank, free_port()) for rank in range(count)))


class Watched:
    """Something that happens; who waits for it is told each time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, seen: Callable[[], bool]) -> "Deferred[None]":
        """Fires once ``seen`` holds, which is looked at whenever something has happened."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((seen, waiting))
        self.look()
        return waiting

    def look(self) -> None:
        for entry in [entry for entry in self._waiting if entry[0]()]:
            self._waiting.remove(entry)
            entry[1].callback(None)


class Recorder(Watched):
    """A Listener that notes what it is told, and raises at a message that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, int]] = []
        self.messages: list[tuple[int, bytes]] = []

    def connected(self, rank: int) -> None:
        self._note("connected", rank)

    def lost(self, rank: int) -> None:
        self._note("lost", rank)

    def refused(self, rank: int) -> None:
        self._note("refused", rank)

    def received(self, rank: int, message: bytes) -> None:
        self.messages.append((rank, message))
        self.look()
        if message == b"raise":
            raise ValueError("as told")
        if message == b"nonsense":
            raise WireError("nonsense")

    def _note(self, what: str, rank: int) -> None:
        self.events.append((what, rank))
        self.look()

    def saw(self, what: str, rank: int, times: int = 1) -> "Deferred[None]":
        return self.until(lambda: self.events.count((what, rank)) >= times)

    def has(self, count: int) -> "Deferred[None]":
        return self.until(lambda: len(self.messages) >= count)


@implementer(ILogObserver)
class Lines(Watched):
    """What the channel writes into the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if str(event["log_namespace"]).startswith("chattwist.replication"):
            self.lines.append(formatEvent(event))
            self.look()

    def said(self, words: str, times: int = 1) -> "Deferred[None]":
        return self.until(lambda: sum(words in line for line in self.lines) >= times)


class Stranger(Protocol):
    """Whoever connects: sends what it is told to, and tells when the connection is gone."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.received = b""
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._data)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


@implementer(IOpenSSLClientConnectionCreator)
class Unchecked:
    """A TLS client that shows the certificate it was given, if any, and takes any server."""

    def __init__(self, keys: Keys | None) -> None:
        self._context = SSL.Context(SSL.TLS_METHOD)
        if keys is not None:
            self._context.use_certificate(X509.from_cryptography(keys.certificate))
            self._context.use_privatekey(keys.private)

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class NetworkTestCase(TestCase):
    """A cluster of two, and the keys of both; all connections are gone when a test ends."""

    timeout = 30

    def setUp(self) -> None:
        self.cluster = cluster_of(2)
        self.directory = self.mktemp()
        self.log = Lines()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def keys(self, rank: int) -> Keys:
        return make_or_load(self.directory, self.cluster, self.cluster.replicas[rank])

    def channel(self, rank: int, cluster: Cluster | None = None, keys: Keys | None = None) -> tuple[Channel, Recorder]:
        """A channel, not started; stopped when the test ends."""
        recorder = Recorder()
        address = self.cluster.replicas[rank]
        channel = Channel(REACTOR, cluster or self.cluster, address, keys or self.keys(rank), recorder)
        self.addCleanup(channel.stop)
        return channel, recorder

    def start(self, rank: int, cluster: Cluster | None = None, keys: Keys | None = None) -> tuple[Channel, Recorder]:
        channel, recorder = self.channel(rank, cluster, keys)
        channel.start()
        return channel, recorder

    async def pair(self) -> tuple[Channel, Recorder, Channel, Recorder]:
        """Both replicas, connected in both directions."""
        a, heard_by_a = self.start(0)
        b, heard_by_b = self.start(1)
        await heard_by_a.saw("connected", 1)
        await heard_by_b.saw("connected", 0)
        return a, heard_by_a, b, heard_by_b

    async def stranger(self, data: bytes, tls: bool = False, keys: Keys | None = None) -> Stranger:
        """Somebody who connects to replica 0 and sends ``data``; cut off when the test ends."""
        factory: Any = Factory.forProtocol(lambda: Stranger(data))
        factory.noisy = False
        over = TLSFactory(Unchecked(keys), True, factory) if tls else factory
        protocol: Any = await self._endpoint().connect(over)
        self.addCleanup(protocol.transport.abortConnection)
        stranger = protocol.wrappedProtocol if tls else protocol
        assert isinstance(stranger, Stranger)
        return stranger

    async def insider(self, keys: Keys) -> tuple[Any, "Deferred[None]"]:
        """Somebody with keys who speaks Perspective Broker to replica 0: its root object, and when the connection is gone."""
        factory = pb.PBClientFactory()
        protocol: Any = await self._endpoint().connect(TLSFactory(Unchecked(keys), True, factory))
        gone: Deferred[None] = Deferred()
        protocol.wrappedProtocol.notifyOnDisconnect(lambda: gone.callback(None))
        self.addCleanup(protocol.transport.abortConnection)
        return await factory.getRootObject(), gone

    def _endpoint(self) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(REACTOR, "127.0.0.1", self.cluster.replicas[0].channel)
