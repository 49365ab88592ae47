"""What this replica says to another: a connection that is made anew whenever it is lost."""

import attrs
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IReactorCore,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import pb

from chattwist.cluster import Address
from chattwist.replication.broker import Broker
from chattwist.replication.guard import PATIENCE, Complaints, Guard, Guards, Refused, Waiting
from chattwist.replication.keys import replica_name
from chattwist.replication.listener import Heard
from chattwist.replication.sending import Sending
from chattwist.replication.tls import MutualTLS, TLSFactory
from chattwist.replication.wire import objection

RETRY = 0.25  # seconds from one attempt to the next, at most
SOON = 0.005  # seconds to the second attempt; the delay doubles from there
FAREWELL = 1.0  # seconds for what is on its way when we stop
TOLD_AFTER = 5.0  # seconds for which nobody has been listening there: a restart is no news


class Reactor(IReactorCore, IReactorTCP, IReactorTime):
    """What of a reactor the channel needs."""


@attrs.frozen
class Side:
    """What all connections of this replica have in common."""

    reactor: Reactor
    tls: MutualTLS
    greeting: bytes
    heard: Heard
    complaints: Complaints


class Outbound:
    """Our connection to the replica at ``address``.

    It is tried at once after a connection was lost that had lasted, and then at growing intervals, so that a process that
    was killed is found missing in milliseconds: the first attempt may meet it before it is quite gone.
    """

    log = Logger(namespace="chattwist.replication.channel")

    def __init__(self, side: Side, address: Address, rank: int) -> None:
        self._side = side
        self._name, self._port = replica_name(address), address.channel
        self._rank = rank
        self._endpoint = endpoint(side.reactor, address)
        self._factory = TLSFactory(side.tls, True, Guards(self._guard), side.reactor)
        self._waiting = Waiting()
        self._attempt: Deferred[IProtocol] | None = None
        self._again: IDelayedCall | None = None
        self._open: Guard | None = None
        self._sending: Sending | None = None
        self._up_since: float | None = None
        self._delay = RETRY
        self._trouble: type[BaseException] | None = None  # that was told of, since the connection was up
        self._refused_since: float | None = None
        self._hung_up = False  # it ended the last connection before it had said hello
        self._stopped: Deferred[None] | None = None

    def start(self) -> None:
        """Connect, and go on connecting."""
        self._again = None
        self._attempt = self._endpoint.connect(self._factory)
        self._attempt.addErrback(self._failed)

    def send(self, message: bytes, at_once: bool = False) -> bool:
        """Send a message; False, and nothing sent, while there is no connection."""
        return self._sending is not None and self._sending.send(message, at_once)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._send_no_more()
        if self._open is not None:
            self._open.abort()

    def stop(self) -> Deferred[None]:
        """Close the connection behind what is on its way, and make no other; fires once it is gone."""
        if self._again is not None:
            self._again.cancel()
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        if self._open is not None:
            self._part_from(self._open)
        elif self._attempt is not None:
            self._attempt.cancel()  # which fails it
        else:
            self._next()
        return stopped

    def _part_from(self, guard: Guard) -> None:
        if self._sending is None:
            return guard.abort()
        self._sending.flush()
        self._send_no_more()
        guard.transport.loseConnection()
        late = self._side.reactor.callLater(FAREWELL, guard.abort)
        assert self._stopped is not None
        self._stopped.addBoth(lambda _: late.cancel() if late.active() else None)

    def _guard(self, host: str) -> Guard:
        side = self._side
        self._open = Guard(
            side.reactor,
            side.complaints,
            self._waiting,
            self._name,
            self._admit,
            self._gone,
            forgiving=not self._hung_up,
        )
        return self._open

    def _failed(self, failure: Failure) -> None:
        if failure.check(ConnectionRefusedError):
            self._hung_up = False
            self._side.heard.refused(self._rank)
            self._tell_of_refusals(self._side.reactor.seconds())
        elif self._stopped is None and self._trouble != failure.type:
            self._trouble = failure.type
            self.log.warn("{name} cannot be reached: {why}", name=self._name, why=failure.getErrorMessage())
        self._next()

    def _tell_of_refusals(self, now: float) -> None:
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > TOLD_AFTER and self._trouble is not ConnectionRefusedError:
            self._trouble = ConnectionRefusedError
            self.log.warn(
                "{name} cannot be reached: nothing listens at its channel port {port}; is it running?",
                name=self._name, port=self._port,
            )  # fmt: skip

    def _admit(self, guard: Guard, name: str | None) -> IProtocol:
        if name != self._name:
            raise Refused(f"it is {name}, and not the replica that was dialled")
        factory = pb.PBClientFactory()
        factory.protocol = Broker
        factory.getRootObject().addCallback(self._say_hello, guard)
        protocol: IProtocol = factory.buildProtocol(None)
        return protocol

    def _say_hello(self, root: pb.RemoteReference, guard: Guard) -> None:
        answer = maybeDeferred(root.callRemote, "hello", self._side.greeting)
        # An error is the loss of the connection, of which the guard tells.
        answer.addCallbacks(self._greeted, lambda _: None, callbackArgs=(root, guard))

    def _greeted(self, greeting: bytes | None, root: pb.RemoteReference, guard: Guard) -> None:
        if why := objection(self._side.greeting, greeting or b""):
            return guard.refuse(why)
        if guard.ended or self._stopped is not None:
            return guard.abort()
        guard.greeted()
        self._trouble = self._refused_since = None
        self._up_since = self._side.reactor.seconds()

        def take(chunk: bytes, asks: bool) -> Deferred[object] | None:
            return maybeDeferred(root.callRemote, "take", chunk) if asks else root.broker.tell(chunk)

        self._sending = Sending(self._side.reactor, take, guard.refuse)
        self._side.heard.connected(self._rank)

    def _gone(self, guard: Guard) -> None:
        """The connection is gone, whoever ended it."""
        self._send_no_more()
        self._open = None
        since, self._up_since = self._up_since, None
        self._hung_up = since is None
        if since is not None:
            self._side.heard.lost(self._rank)
        if since is not None and self._side.reactor.seconds() - since >= RETRY:
            self._delay = 0.0
        self._next()

    def _next(self) -> None:
        if self._stopped is None:
            self._again = self._side.reactor.callLater(self._delay, self.start)
            self._delay = min(RETRY, max(SOON, 2 * self._delay))
        else:
            self._stopped.callback(None)

    def _send_no_more(self) -> None:
        if self._sending is not None:
            self._sending.stop()
            self._sending = None


def endpoint(reactor: Reactor, address: Address) -> IStreamClientEndpoint:
    """Where a replica's channel is reached; a refusal is known at once, which takes an attempt delay for a name only."""
    host, port = address.host, address.channel
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, PATIENCE)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, PATIENCE)
    return HostnameEndpoint(reactor, host, port, PATIENCE, attemptDelay=0.05)
