"""The channel between replicas: one connection a pair and direction, on which each sends the other messages.

Messages to a replica go over the connection that we opened; the one that it opened brings us its own. So a replica counts
as reached only if contact holds in the direction that is used (R15 needs both, and asks both).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger

from chattwist.cluster import Address, Cluster
from chattwist.errors import StartError
from chattwist.replication.guard import Complaints, Guard, Guards, Refused, Waiting
from chattwist.replication.inbound import Inbound
from chattwist.replication.keys import Keys, replica_name
from chattwist.replication.listener import Heard, Listener
from chattwist.replication.outbound import Outbound, Reactor, Side
from chattwist.replication.tls import MutualTLS, TLSFactory
from chattwist.replication.wire import greeting


class Channel:
    """This replica's connections to all others; each is named by its rank, its place in the order of (port, host)."""

    log = Logger()

    def __init__(self, reactor: Reactor, cluster: Cluster, address: Address, keys: Keys, listener: Listener) -> None:
        self._address = address
        ranked = cluster.ranked
        ranks = {replica_name(replica): rank for rank, replica in enumerate(ranked)}
        del ranks[replica_name(address)]
        self._ranks = ranks  # of the others, by name
        self._heard = Heard(listener)
        self._side = Side(reactor, MutualTLS(keys), greeting(cluster), self._heard, Complaints(reactor))
        self._outbound = {rank: Outbound(self._side, ranked[rank], rank) for rank in ranks.values()}
        self._inbound: dict[int, Inbound] = {}
        self._waiting = Waiting()
        self._guards: dict[Guard, None] = {}
        self._port: Any = None  # an IListeningPort, whose stopListening gives a Deferred or None
        self._empty: Deferred[None] | None = None

    def start(self) -> None:
        """Listen, and connect to all others; StartError if the port cannot be had."""
        host, port = self._address.host, self._address.channel
        factory = TLSFactory(self._side.tls, False, Guards(self._guard), self._side.reactor)
        try:
            self._port = self._side.reactor.listenTCP(port, factory, interface=host)  # type: ignore[arg-type]
        except CannotListenError as error:
            raise StartError(f"cannot listen on channel port {port} of {host}: {error.socketError}") from None
        for outbound in self._outbound.values():
            outbound.start()

    def stop(self) -> Deferred[None]:
        """Close all connections, each behind what is on its way; the listener is told nothing more. Once."""
        if self._heard.deaf:
            return succeed(None)
        self._heard.deaf = True
        closing = [outbound.stop() for outbound in self._outbound.values()]
        if self._port is not None:
            closing.append(maybeDeferred(self._port.stopListening))
        for guard in list(self._guards):
            guard.abort()
        if self._guards:
            self._empty = Deferred()
            closing.append(self._empty)
        return gatherResults(closing).addCallback(lambda _: None)

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        """Send a message of at most 64 MiB (else ValueError); False, and nothing sent, while there is no connection.

        ``at_once``: it, and what was sent before, goes out now, and not at the end of this turn of the reactor.
        """
        return self._outbound[rank].send(message, at_once)

    def abort(self, rank: int) -> None:
        """Drop our connection to a replica at once; it is made anew."""
        self._outbound[rank].abort()

    def _guard(self, host: str) -> Guard:
        guard = Guard(self._side.reactor, self._side.complaints, self._waiting, host, self._admit, self._gone)
        self._guards[guard] = None
        return guard

    def _admit(self, guard: Guard, name: str | None) -> IProtocol:
        rank = self._ranks.get(name or "")
        if rank is None:
            raise Refused(f"it is {name}, which is no other replica of our cluster file: give all replicas the same")
        deliver: Callable[[bytes], None] = partial(self._heard.received, rank)
        return Inbound(guard, self._side.greeting, partial(self._greeted, rank), deliver).protocol()

    def _greeted(self, rank: int, inbound: Inbound) -> None:
        """The newest connection of a replica counts: it would not have opened one if the older were of use to it."""
        older = self._inbound.get(rank)
        if older is not None:
            older.end()
        self._inbound[rank] = inbound

    def _gone(self, guard: Guard) -> None:
        self._guards.pop(guard, None)
        for rank in [rank for rank, inbound in self._inbound.items() if inbound.guard is guard]:
            del self._inbound[rank]
        if self._empty is not None and not self._guards:
            self._empty.callback(None)
            self._empty = None
