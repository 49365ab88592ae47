"""A client's connection to a replica: the transport on the server's side, lines on the client's."""

import math
import re
from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from chattwist.protocol.client import Client
from chattwist.protocol.server import Clients
from chattwist.replication.messages import View
from tests.simulation.process import Process
from tests.wire import Socket

_SHOWN = re.compile(rb"(?:^|\s)(?:213-|\* MSG )(\S+) ")
_REPLY = re.compile(r"(?:@(\S+) )?(\d\d\d)([ -])(.*)")
SOCKET = Socket()


@attrs.frozen
class Reply:
    """A reply: its code, its lines' texts, when its last line was written, and the view that the replica was in then."""

    code: int
    lines: list[str]
    when: float
    view: View | None
    tag: str = ""
    account: str = ""  # the id of the one that was logged in then, which no client is told

    @property
    def text(self) -> str:
        """The last line."""
        return self.lines[-1]


class Wire:
    """One connection; ``shown`` is told of messages' ids that went out, ``news`` that something came or that it broke."""

    bufferSize = 65536

    def __init__(
        self, process: Process, clients: Clients, view: Callable[[], View | None], random: Random,
        shown: Callable[[list[str]], None], news: Callable[[], None],
        note: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        """``note`` is for the trace."""
        self.replies: list[Reply] = []
        self.events: list[str] = []
        self.open = True  # as far as the client knows
        self.stuck = False  # the client reads nothing
        self.closed = math.inf  # when
        self._process, self._clients, self._view, self._random, self._shown = process, clients, view, random, shown
        self._news, self._note = news, note
        self._protocol: Client | None = None
        self._producer: Any = None
        self._unsent = b""
        self._flushing = self._closing = False
        self._reading = True
        self._input: list[bytes] = []
        self._sent = self._received = process.timeline.now  # when what was sent last arrives
        self._partial = b""
        self._lines: list[str] = []
        self._id = f"client {id(self)}"
        self._post(self._accept)

    def _delay(self) -> float:
        return 0.0002 + self._random.random() ** 3 * 0.01

    def _post(self, call: Callable[..., object], *arguments: Any) -> None:
        now = self._process.timeline.now
        self._sent = max(self._sent, now + self._delay())
        self._process.post(self._sent - now, self._id, call, *arguments)

    # -- the client's side

    def send(self, *lines: str) -> None:
        """Say something."""
        if self._note is not None:
            self._note(f"> {' / '.join(lines)}")
        self._post(self._arrive, "".join(f"{line}\n" for line in lines).encode())

    @property
    def over(self) -> float:
        """When it was over, at one end or the other."""
        return min(self.closed, self._process.ended)

    @property
    def alive(self) -> bool:
        """Whether the replica's process runs."""
        return self._process.alive and not self._process.stopped

    def waited(self, seconds: float) -> bool:
        """Whether the replica's process has run all the time for so long."""
        process = self._process
        return process.alive and not process.stopped and process.timeline.now - process.resumed >= seconds

    def leave(self, noticed: bool) -> None:
        """Drop the connection; unless that is ``noticed`` the replica learns of it much later."""
        if self.open:
            self.open = False
            self.closed = self._process.timeline.now
            self._process.post(self._delay() if noticed else 2 + 4 * self._random.random(), self._id, self._lost)

    def unstick(self) -> None:
        """Read again."""
        self.stuck = False
        self._plan_flush()

    def broken(self) -> None:
        """The client's kernel says that the connection is gone."""
        if self.open:
            self.open = False
            self.closed = min(self.closed, self._process.timeline.now)
            self._news()

    def _take(self, data: bytes, when: float, view: View | None, account: str) -> None:
        if not self.open:
            return
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            self._take_line(line.decode(errors="replace").rstrip("\r"), when, view, account)
        self._news()

    def _take_line(self, line: str, when: float, view: View | None, account: str) -> None:
        if self._note is not None:
            self._note(f"< {line}")
        if line.startswith("* "):
            self.events.append(line)
            return
        match = _REPLY.fullmatch(line)
        assert match is not None, f"not a reply: {line!r}"
        self._lines.append(match[4])
        if match[3] == " ":
            self.replies.append(Reply(int(match[2]), self._lines, when, view, match[1] or "", account))
            self._lines = []

    # -- the server's side

    def _accept(self) -> None:
        protocol = self._clients.buildProtocol(None)
        assert isinstance(protocol, Client)
        self._protocol = protocol
        protocol.makeConnection(self)  # as much of a transport as the protocol uses

    def _arrive(self, data: bytes) -> None:
        if self._protocol is None or self._closing:
            return
        if self._reading:
            self._protocol.dataReceived(data)
        else:
            self._input.append(data)

    def _lost(self) -> None:
        protocol, self._protocol = self._protocol, None
        self._closing = True
        self.closed = min(self.closed, self._process.timeline.now)
        if protocol is not None:
            protocol.connectionLost()

    def _account(self) -> str:
        account = self._protocol._session.account if self._protocol is not None else None
        return "" if account is None else account.id

    def _plan_flush(self) -> None:
        if not self._flushing and not self.stuck:
            self._flushing = True
            self._process.post(self._random.random() ** 4 * 0.002, self._id + "out", self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self.stuck or self._protocol is None:
            return
        data, self._unsent = self._unsent, b""
        if data:
            self._shown([found.decode(errors="replace") for found in _SHOWN.findall(data)])
            self._transmit(self._take, data, self._process.timeline.now, self._view(), self._account())
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._closing:
            self._transmit(self.broken)
            self._lost()

    def _transmit(self, call: Callable[..., object], *arguments: Any) -> None:
        timeline = self._process.timeline
        self._received = max(self._received, timeline.now + self._delay())
        timeline.after(self._received - timeline.now, call, *arguments)

    # -- the transport

    def write(self, data: bytes) -> None:
        """See ITransport."""
        if not self._closing:
            self._unsent += data
            self._plan_flush()

    def loseConnection(self) -> None:
        """See ITransport."""
        self._closing = True
        self._plan_flush()

    loseWriteConnection = loseConnection

    def abortConnection(self) -> None:
        """See ITransport."""
        self._unsent = b""
        self.loseConnection()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """See IConsumer."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self._producer = None

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._reading = False

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._reading = True
        while self._input and self._reading and self._protocol is not None:
            self._protocol.dataReceived(self._input.pop(0))

    def setTcpNoDelay(self, on: bool) -> None:
        """See ITCPTransport."""

    def setTcpKeepAlive(self, on: bool) -> None:
        """See ITCPTransport."""

    def unacknowledged(self) -> int:
        """See crowd.Member."""
        return 0

    def getHandle(self) -> Socket:
        """The socket."""
        return SOCKET
