"""What stands before Banana: a connection is no more than a socket until its peer has proved who it is.

Before that it costs a TLS state and a timer, is ended after PATIENCE seconds, and gives way to newer ones when there are
UNPROVEN of them.
"""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from chattwist.errors import ChattwistError
from chattwist.replication.tls import explain, hung_up, proven_name

PATIENCE = 5.0  # seconds until the peer is proven and has said hello
UNPROVEN = 32  # connections
QUIET = 10.0  # seconds between two lines of the log about one address; the same line comes ever more rarely
LONGEST_QUIET = 3600.0  # seconds, after which it comes at the latest
_ADDRESSES = 1000  # that are remembered for it
_TURNED_AWAY = "it ended the connection before it said hello; if it goes on so, its log says why"


class Refused(ChattwistError):
    """Why the peer may not speak."""


@attrs.frozen
class Said:
    """A line of the log: when, what, and for how long it is not said again."""

    at: float
    why: str
    quiet: float


class Complaints:
    """The lines of the log about peers that may not speak: one an address in QUIET seconds, so that nobody fills a disk."""

    log = Logger(namespace="chattwist.replication.channel")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._latest: dict[str, Said] = {}

    def say(self, address: str, why: str) -> None:
        """Log why a connection with ``address`` ended, if it is time."""
        now = self._clock.seconds()
        self._latest = {other: said for other, said in self._latest.items() if now - said.at < 2 * said.quiet}
        before = self._latest.get(address)
        if before is None:
            if len(self._latest) < _ADDRESSES:
                self._say(address, Said(now, why, QUIET))
        elif why != before.why and now - before.at >= QUIET:
            self._say(address, Said(now, why, QUIET))
        elif why == before.why and now - before.at >= before.quiet:
            self._say(address, Said(now, why, min(LONGEST_QUIET, 2 * before.quiet)))

    def _say(self, address: str, said: Said) -> None:
        self._latest[address] = said
        self.log.warn("replica channel: {address}: {why}; connection ended", address=address, why=said.why)


class Waiting:
    """The connections whose peers are not proven yet; the oldest gives way to one too many."""

    def __init__(self) -> None:
        self._guards: dict[Guard, None] = {}

    def add(self, guard: "Guard") -> None:
        self._guards[guard] = None
        if len(self._guards) > UNPROVEN:
            next(iter(self._guards)).refuse(f"more than {UNPROVEN} connections wait to be proven, this one the longest")

    def remove(self, guard: "Guard") -> None:
        self._guards.pop(guard, None)


@implementer(IHandshakeListener)
class Guard(Protocol):
    """One connection, over TLS. ``admit`` takes this and the proven name, and gives what speaks then; or it raises Refused.

    Whoever was admitted calls ``greeted()`` once the peer has said hello. ``lost`` is called when the connection is gone.
    A ``forgiving`` one does not complain of a peer that just hangs up, as one does that is about to stop.
    """

    transport: TLSMemoryBIOProtocol

    def __init__(
        self,
        clock: IReactorTime,
        complaints: Complaints,
        waiting: Waiting,
        address: str,
        admit: "Callable[[Guard, str | None], IProtocol]",
        lost: "Callable[[Guard], None]",
        forgiving: bool = False,
    ) -> None:
        self.address = address
        self._forgiving = forgiving
        self.ended = False
        self._clock = clock
        self._complaints = complaints
        self._waiting = waiting
        self._admit = admit
        self._lost = lost
        self._inner: IProtocol | None = None
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._deadline = self._clock.callLater(PATIENCE, self.refuse, f"no proof of who it is within {PATIENCE:g} s")
        self._waiting.add(self)
        socket = getattr(self.transport, "transport", None)
        if isinstance(socket, Connection):
            write_at_once(socket)

    def handshakeCompleted(self) -> None:
        """Let the peer speak if it may."""
        if self._inner is None and not self.ended:
            name = proven_name(self.transport)
            try:
                inner = self._admit(self, name)
            except Refused as error:
                self.refuse(str(error))
            else:
                if self.address != name:
                    self.address = f"{self.address} ({name})"
                self._inner = inner
                inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None and not self.ended:
            try:
                self._inner.dataReceived(data)
            except Exception as error:  # whatever Banana raises: it is the peer's doing, and ends this connection only
                self.refuse(f"it sent {error or type(error).__name__}")

    def greeted(self) -> None:
        """The peer has said hello: it may stay."""
        self._waiting.remove(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def complain(self, why: str) -> None:
        """Say what is wrong with the peer, in the log."""
        self._complaints.say(self.address, why)

    def refuse(self, why: str) -> None:
        """End the connection at once, and say why."""
        if not self.ended:
            self.complain(why)
            self.abort()

    def abort(self) -> None:
        """End the connection at once; loseConnection would wait for a peer that may never read again."""
        if not self.ended:
            self.ended = True
            self._waiting.remove(self)
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        vars(getattr(self.transport, "transport", self)).pop("startWriting", None)  # else it would keep itself alive
        unproven, self.ended = not self.ended and self._deadline is not None, True
        self.greeted()
        if self._inner is not None:
            self._inner.connectionLost(reason)
        if unproven and not (self._forgiving and hung_up(reason)):
            self.complain(explain(reason) if self._inner is None else _TURNED_AWAY)
        self._lost(self)


def write_at_once(socket: Connection) -> None:
    """From now on what is written to it goes out at once, and only what it does not take waits for the reactor.

    A commit waits for it, and it saves two calls of epoll_ctl for each message: 6 % of a single client's rate. It is done
    where Twisted begins to wait: behind what waits already, and where a connection is closed, it goes on to do so.
    """
    wait = socket.startWriting

    def write() -> None:
        if socket.dataBuffer or not socket._tempDataLen or socket.disconnecting:
            wait()
            return
        socket.doWrite()  # where that fails, the reactor finds so, too
        if socket.dataBuffer:
            wait()

    socket.startWriting = write  # type: ignore[method-assign]


class Guards(Factory):
    """Makes a Guard a connection."""

    noisy = False

    def __init__(self, make: Callable[[str], Guard]) -> None:
        self._make = make

    def buildProtocol(self, address: IAddress | None) -> Guard:
        return self._make(str(getattr(address, "host", address)))
