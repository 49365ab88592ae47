"""A whole replica in memory, its clients on memory transports and its time in a Clock: for tests that read as transcripts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from chattwist import model, remembered
from chattwist.chat import Chat
from chattwist.cluster import DEFAULT as DEFAULT_CLUSTER
from chattwist.cluster import Cluster, Limits, Timings
from chattwist.member import NoChannel
from chattwist.protocol.client import Client
from chattwist.protocol.server import Clients
from chattwist.replica import Replica
from chattwist.replication.log import Log

NOON = 1795348800  # 2026-11-22T12:00:00Z, seconds since 1970
ORIGIN = "0rigin00"


class MemoryJournal:
    """A disk that commits when it is told to; ``failure`` is what it says next instead."""

    def __init__(self) -> None:
        self.operations: list[model.AnyOperation] = []
        self.state = b""
        self.commits = 0
        self.failure: Exception | None = None
        self.held = False
        self._pending: list[tuple[Callable[[], None], Callable[[BaseException | None], None]]] = []

    def commit(self, operations: Sequence[model.AnyOperation], done: Callable[[BaseException | None], None]) -> None:
        """See member.Writer."""

        def work() -> None:
            self.operations += operations
            self.commits += 1

        self._pending.append((work, done))

    def save(self, data: bytes, done: Callable[[BaseException | None], None]) -> None:
        """See member.Writer."""
        self._pending.append((lambda: setattr(self, "state", data), done))

    def wait(self) -> bool:
        """See member.Writer."""
        return False

    def work(self) -> bool:
        """Do what waits, unless held; whether there was any."""
        if self.held or not self._pending:
            return False
        work, done = self._pending.pop(0)
        if self.failure is None:
            work()
        done(self.failure)
        return True


class NoThreads:
    """Password threads that are done at once, or while ``held`` when ``release`` is called."""

    def __init__(self) -> None:
        self.held = False
        self._waiting: list[Callable[[], None]] = []

    def run(
        self, function: Callable[..., Any], *arguments: object, patient: bool = False, source: str = ""
    ) -> Deferred[Any]:
        """See PasswordThreads."""
        if not self.held:
            return succeed(function(*arguments))
        result: Deferred[Any] = Deferred()
        self._waiting.append(lambda: result.callback(function(*arguments)))
        return result

    def release(self) -> None:
        """Let what waits be done."""
        self.held = False
        for work in self._waiting:
            work()


class Socket:
    """What a connection asks of its socket, which takes no bytes now: they go by way of the transport."""

    def setsockopt(self, *option: int) -> None:
        """Take an option."""

    def send(self, data: bytes) -> int:
        """See socket.send."""
        raise BlockingIOError


class MemorySocket(Socket):
    """One that takes what its transport has room for."""

    def __init__(self, transport: "MemoryTransport") -> None:
        self._transport = transport

    def send(self, data: bytes) -> int:
        """See socket.send."""
        if self._transport.stuck:
            raise BlockingIOError
        self._transport.io.write(data)
        return len(data)


class MemoryTransport(StringTransport):
    """A transport that takes what is written at each ``flush``, unless its reader is ``stuck``."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = False
        self.reading = True
        self.bufferSize = 65536
        self.closed = self.write_closed = self.aborted = False
        self.lacking = 0  # bytes that the client's system has not taken
        self._unsent = b""

    def unacknowledged(self) -> int:
        """See crowd.Member."""
        return self.lacking

    def setTcpNoDelay(self, on: bool) -> None:
        """See ITCPTransport."""

    def setTcpKeepAlive(self, on: bool) -> None:
        """See ITCPTransport."""

    def getHandle(self) -> Socket:
        """The socket."""
        return MemorySocket(self)

    def write(self, data: bytes) -> None:
        """Hold it until the next flush."""
        if not (self.closed or self.write_closed):
            self._unsent += data

    def flush(self) -> bool:
        """Let out what was written; whether there was any."""
        if self.stuck or not self._unsent:
            return False
        super().write(self._unsent)
        self._unsent = b""
        if self.producer is not None:
            self.producer.resumeProducing()
        return True

    def pauseProducing(self) -> None:
        """The client's lines wait."""
        self.reading = False

    def resumeProducing(self) -> None:
        """The client's lines are read again."""
        self.reading = True

    def loseConnection(self) -> None:
        """Close both ways."""
        self._finish()
        self.closed = True

    def loseWriteConnection(self) -> None:
        """Close our way."""
        self._finish()
        self.write_closed = True

    def abortConnection(self) -> None:
        """Close at once."""
        self.closed = self.aborted = True

    def _finish(self) -> None:
        super().write(self._unsent)
        self._unsent = b""


class Connection:
    """One client as its user sees it."""

    def __init__(self, world: "World", clients: Clients) -> None:
        self._world = world
        self.transport = MemoryTransport()
        protocol = clients.buildProtocol(None)
        self.protocol = protocol

    def begin(self) -> None:
        """The connection is made."""
        self.protocol.makeConnection(self.transport)
        self._world.run()

    def send(self, data: bytes) -> None:
        """Bytes from the client; all that follows from them happens."""
        self.protocol.dataReceived(data)
        self._world.run()

    def half_close(self) -> None:
        """The client's FIN."""
        assert isinstance(self.protocol, Client)
        self.protocol.readConnectionLost()
        self._world.run()

    def lose(self) -> None:
        """The connection breaks."""
        self.protocol.connectionLost()
        self._world.run()

    def received(self) -> bytes:
        """What came since the last call."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


class World:
    """A replica and its clients."""

    def __init__(
        self,
        limits: Limits | None = None,
        timings: Timings | None = None,
        mode: Literal["available", "majority"] = "available",
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.connections: dict[str, Connection] = {}
        self.journal = MemoryJournal()
        self.chat = Chat()
        self.failed: list[BaseException] = []
        self.limits = limits or Limits(bcrypt_cost=4)
        self.cluster = Cluster(DEFAULT_CLUSTER.replicas, limits=self.limits, timings=timings or Timings(), mode=mode)
        self.replica: Replica
        self.began = self.clock.seconds() + self.cluster.timings.alone
        self.restart()

    def restart(self, origin: str = ORIGIN) -> None:
        """The replica starts, with what its journal holds, and finds out that it is alone."""
        if self.connections:
            self.replica.stop()
        self.chat, log = Chat(), Log()
        for operation in self.journal.operations:
            self.chat.apply(operation)
            log.load(operation)
        self.threads = NoThreads()
        threads: Any = self.threads
        state = remembered.decode(self.journal.state, self.cluster.names)
        self.replica = Replica(
            self.cluster, self.cluster.replicas[0], self.chat, log, state, self.journal, threads,
            self.clock, self.failed.append, lambda: origin, lambda: int((NOON - self.began + self.clock.seconds()) * 1_000_000),
        )  # fmt: skip
        self.clients = Clients(self.replica, self.cluster, self.clock)
        self.connections = {}
        self.replica.start(NoChannel())
        for rank in 1, 2:
            self.replica.member.refused(rank)
        self.pass_time(self.cluster.timings.alone)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in small steps: in a large one the process would seem to have been stopped."""
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.run()
            self.clock.advance(min(0.05, until - self.clock.seconds()))
        self.run()

    def connect(self, name: str) -> Connection:
        """A new client; its greeting is still to be received."""
        self.connections[name] = connection = Connection(self, self.clients)
        connection.begin()
        return connection

    def run(self) -> None:
        """Let everything happen that needs no time to pass."""
        busy = True
        while busy:
            self.clock.advance(0)
            busy = self.journal.work()
            for connection in self.connections.values():
                busy = connection.transport.flush() or busy
            busy = busy or any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())

    def play(self, script: str) -> None:
        """Play a transcript and compare.

        ``ann > LINE`` is sent by ann, who is connected (and greeted) when she first says something; ``ann < LINE`` is the next
        line that she has to get. At the end nobody may have got anything more.
        """
        for number, (name, direction, text) in enumerate(_steps(script)):
            if name not in self.connections:
                self.connect(name).received()
            connection = self.connections[name]
            if direction == ">":
                connection.send(text.encode() + b"\n")
            else:
                self._expect(connection, name, text, number)
        left = {name: connection.received() for name, connection in self.connections.items()}
        if any(left.values()):
            raise AssertionError(f"not in the transcript: {left}")

    def _expect(self, connection: Connection, name: str, text: str, number: int) -> None:
        line, _, rest = connection.received().partition(b"\n")
        connection.transport.io.write(rest)
        if line.decode().rstrip("\r") != text:
            raise AssertionError(f"step {number}: {name} got {line.decode()!r}, not {text!r}; then {rest!r}")


def _steps(script: str) -> Iterator[tuple[str, str, str]]:
    for line in filter(None, map(str.strip, script.splitlines())):
        name, direction, text = [*line.split(" ", 2), ""][:3]
        yield name, direction, text
