"""All connections of a replica: how many there may be, their turns, their common clock, their end."""

from collections import Counter, deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from chattwist.cluster import Cluster
from chattwist.protocol import grammar
from chattwist.protocol.backend import Backend
from chattwist.protocol.client import CLOSING, Client, cancel

# seconds for which lines are taken in one turn of the reactor, as other replicas want to be heard, too; and one client's,
# before others get theirs: in what was read of one may be thousands
TURN, SLICE = 0.005, 0.001
GOODBYE = 3.0  # seconds that all clients get when the replica stops


class Clients(Factory):
    """All connections of a replica."""

    noisy = False
    log = Logger()

    def __init__(self, backend: Backend, cluster: Cluster, reactor: IReactorTime) -> None:
        self.backend = backend
        self.cluster = cluster
        self.now = reactor.seconds
        self.call_later = reactor.callLater
        self.stopping = False
        self._all_gone: Deferred[None] | None = None
        self.most = cluster.limits.connections  # clients at once; less where the process may not open so many files
        self._connections: set[Client] = set()
        self._by_address: Counter[str] = Counter()
        self._unflushed: list[Client] = []
        self._queue: deque[Client] = deque()  # those whose lines wait for their turn
        self._turn_ends = False  # something is to be done at the end of this turn
        self._until: float | None = None  # until when lines are taken in this turn, once some were
        self._sweep = LoopingCall(self._check_all)
        self._sweep.clock = reactor

    def startFactory(self) -> None:
        """Begin to watch deadlines."""
        self._sweep.start(1.0, now=False).addErrback(lambda failure: self.log.failure("deadlines", failure=failure))

    def stopFactory(self) -> None:
        """Listening is over, and with it all deadlines but the goodbye's."""
        if self._sweep.running:
            self._sweep.stop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A client, or where there are too many, one that is turned away."""
        host = str(getattr(addr, "host", ""))
        limits = self.cluster.limits
        if len(self._connections) >= self.most:
            return TurnedAway("too many connections here; try again later")
        if self._by_address[host] >= limits.connections_per_address:
            return TurnedAway("too many connections from your address; close one first")
        return Client(self, host)

    def stop_taking_lines(self) -> None:
        """What clients send from now on is not looked at any more."""
        self.stopping = True

    def say_goodbye(self, text: str) -> Deferred[None]:
        """End all connections; fires when all are gone, those that do not read it after GOODBYE seconds."""
        for client in list(self._connections):
            client.say_goodbye(text)
        cut = self.call_later(GOODBYE, self._cut_off_all)
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: cancel(cut))
        self._all_gone = gone
        self._tell_if_all_gone(gone)
        return gone

    def _cut_off_all(self) -> None:
        for client in list(self._connections):
            client.cut_off()

    def _tell_if_all_gone(self, gone: Deferred[None]) -> None:
        if not self._connections and not gone.called:
            gone.callback(None)

    def opened(self, client: Client) -> None:
        """A connection begins."""
        self._connections.add(client)
        self._by_address[client.address] += 1

    def closed(self, client: Client) -> None:
        """A connection is gone."""
        self._connections.discard(client)
        self._by_address[client.address] -= 1
        if not self._by_address[client.address]:
            del self._by_address[client.address]
        if self._all_gone is not None:
            self._tell_if_all_gone(self._all_gone)

    def flush_soon(self, client: Client) -> None:
        """The client has something to write at the end of this turn of the reactor."""
        self._unflushed.append(client)
        self._end_turn_soon()

    def slice_ends(self) -> float:
        """Until when lines may be taken of one client now; 0 where this turn of the reactor has no time left."""
        now = self.now()
        if self._until is None:
            self._until = now + TURN
            self._end_turn_soon()
        return now + SLICE if now < self._until else 0.0

    def queue(self, client: Client) -> None:
        """Have it take its turn behind those that wait already."""
        self._queue.append(client)
        self._end_turn_soon()

    def _end_turn_soon(self) -> None:
        if not self._turn_ends:
            self._turn_ends = True
            self.call_later(0, self._end_turn)

    def _end_turn(self) -> None:
        self._turn_ends = False
        self._flush()
        self._until = None  # who waits has a turn, also where others went on as soon as their replies were out
        while self._queue and self.slice_ends():
            client = self._queue.popleft()
            try:
                client.take_turn()
            except Exception:  # the others that wait must not wait for ever
                self.log.failure("what a client sent could not be taken")
                client.abort()

    def _flush(self) -> None:
        clients, self._unflushed = self._unflushed, []
        for client in clients:
            try:
                client.flush()
            except Exception:  # the others' replies must not wait for ever
                self.log.failure("replies could not be written")

    def _check_all(self) -> None:
        now = self.now()
        for client in list(self._connections):
            try:
                client.check(now)
            except Exception:  # else the loop would end for ever
                self.log.failure("a deadline could not be checked")


class TurnedAway(Protocol):
    """A connection too many."""

    def __init__(self, text: str) -> None:
        self._text = text

    def connectionMade(self) -> None:
        """Say so and close."""
        assert self.transport is not None
        self.transport.write(grammar.reply(CLOSING, [self._text], "", b"\r\n"))
        self.transport.loseConnection()
