"""One client's connection: bytes in and out, and its deadlines. All meaning is in protocol.session."""

import socket
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from chattwist.protocol import grammar
from chattwist.protocol.backend import GONE
from chattwist.protocol.crowd import Connection
from chattwist.protocol.session import Session
from chattwist.protocol.telnet import LineReader

if TYPE_CHECKING:
    from chattwist.protocol.server import Clients

MOST_READ = 8192  # bytes taken from one client before others get their turn, also when it floods
MOST_UNSENT = 65536  # bytes written and not gone out, above which no further line is taken
SLOW = 2048  # bytes a second: a client that reads its replies no slower is not cut off for it
FAST = 16384  # bytes a second: the same while more messages arrive for it than are written ahead
LINGER = 0.5  # seconds a client gets to close its side after ours, and each time that its system lacks some of our last words
CLOSING = 421


@implementer(IHalfCloseableProtocol, IPullProducer)
class Client(Protocol):
    """One connection. It is its own producer so that the transport says when all that was written has gone out."""

    transport: Connection

    def __init__(self, clients: "Clients", address: str) -> None:
        self.address = address
        self._clients = clients
        self._reader = LineReader()
        self._session = Session(clients.backend, self, address)
        self._out: list[bytes] = []  # what goes out at the end of this turn
        self._transport_is_empty = True
        self._unsent = 0  # bytes written since all had gone out
        self._events = 0  # those of them that are events
        self._behind: float | None = None  # since when events are refused because of those
        self._since = clients.now()  # since when something is unread; or else when it last sent or read something
        self._known = self._since  # when it was last seen logged in
        self._waits = False  # whether a line may be taken that could not be before, or the end of the input
        self._pumping = self._paused = self._input_ended = self._leaving = self._closing = False
        self._queued = False  # others have their turn, then this one
        self._cut: IDelayedCall | None = None  # our side is closed: the call that closes the client's

    # -- what the transport tells

    def connectionMade(self) -> None:
        """Greet."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.transport.bufferSize = MOST_READ
        # telnet's Ctrl-C sends its last byte as urgent data, which would be taken out of the stream
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self.transport.registerProducer(self, False)
        self._clients.opened(self)
        self.write(
            grammar.reply(220, [f"chattwist {self._clients.backend.name} ready (HELP lists the commands)"], "", b"\r\n")
        )

    def dataReceived(self, data: bytes) -> None:
        """Take in what came, as far as the session takes lines now."""
        if self._closing:
            return  # read only so that closing does not cut off our last words
        if not self._unsent:
            self._since = self._clients.now()
        self._session.heard()
        self._reader.feed(data)
        self._pump()

    def readConnectionLost(self) -> None:
        """The client sends no more: answer what it sent, then close."""
        self._input_ended = True
        if not self._closing:
            self._pump()
        elif self._cut is not None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side is closed; the client's follows."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._closing, self._out = True, []
        self._session.lost()
        self._session.sink = GONE
        cancel(self._cut)
        self._clients.closed(self)

    def resumeProducing(self) -> None:
        """All that the transport got has gone out."""
        self._transport_is_empty = True
        if not self._out:
            self._gone_out()

    def _gone_out(self) -> None:
        """All that was written has gone out."""
        if self._unsent:
            self._since = self._clients.now()
        self._unsent = self._events = 0
        self._behind = None
        if self._closing:
            self._hang_up()
        else:
            self._session.drained()
            if self._waits:
                self._pump()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    # -- lines

    def _pump(self) -> None:
        if self._pumping:
            return
        if self._queued:
            self._waits = True
        else:
            self._pumping = True
            try:
                self._take_lines()
                if self._session.submit_run() and self._waits and self._may_take():
                    self._queue()  # what was submitted was refused at once, so that there is room for more
            finally:
                self._pumping = False
        if self._waits or self._paused:
            self._balance()

    def _queue(self) -> None:
        """It is others' turn now, then this one's again."""
        if not self._queued:
            self._queued = self._waits = True
            self._clients.queue(self)

    def take_turn(self) -> None:
        """Others had theirs: go on with the lines that wait."""
        self._queued = False
        self._pump()

    def _take_lines(self) -> None:
        """Take what may be taken now: one line at least, so that who sends little need not wait for those who send much."""
        until, taken = self._clients.slice_ends(), False
        while True:
            self._waits = self._reader.waiting or self._input_ended
            if not (self._waits and self._may_take()):
                return
            if taken and self._clients.now() >= until:
                self._queue()
                return
            if not self._take_line():
                return
            taken = True

    def _may_take(self) -> bool:
        return not (self._queued or self._session.blocked or self._unsent > MOST_UNSENT or self._clients.stopping)

    def _take_line(self) -> bool:
        """Take what comes next, lines or a telnet client's questions; whether there was anything."""
        if self._session.take_sends(self._reader):
            return True
        line = self._reader.next_line()
        replies = self._reader.take_replies()
        self._negotiate(replies)
        if line is None and not replies and self._input_ended:
            line = self._reader.end()
        if line is not None:
            self._session.line(line)
        return line is not None or bool(replies) or self._reader.waiting

    def _negotiate(self, replies: bytes) -> None:
        if replies:
            self.write(replies)

    def _balance(self) -> None:
        """Read on, or not while lines wait already; close once all is done after the client's end of input."""
        if self._closing:
            return
        waiting = self._reader.waiting and not self._may_take()
        if self._input_ended:
            if not (self._reader.waiting or self._queued or self._leaving) and self._session.idle:
                self._leaving = True  # asked again, an ended session would close at once
                self._session.end(self.close)
        elif waiting != self._paused:
            self._paused = waiting
            if self._paused:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    # -- what the session tells (see Sink)

    @property
    def telnet(self) -> bool:
        """Whether the peer is known to be a telnet client."""
        return self._reader.telnet

    @property
    def ending(self) -> bytes:
        """How lines to this client end."""
        return self._reader.ending

    def write(self, data: bytes) -> None:
        """See Sink."""
        if self._closing:
            return
        if not self._out:
            self._clients.flush_soon(self)
        if not self._unsent:
            self._since = self._clients.now()
        self._out.append(data)
        self._unsent += len(data)

    def flush(self) -> None:
        """All that was written in this turn goes out in one segment.

        Where nothing waits before it, straight into the socket: that saves two calls of epoll_ctl and a turn of the
        reactor, a fifth of the time of a SEND.
        """
        data, self._out = b"".join(self._out), []
        if data and self._transport_is_empty:
            try:
                sent = self.transport.getHandle().send(data)
            except OSError:  # the transport waits until it is taken, or finds out what is wrong
                sent = 0
            data = data[sent:]
            if not data:
                return self._gone_out()
        if data:
            self._transport_is_empty = False
            self.transport.write(data)

    def push(self, data: bytes) -> bool:
        """See Sink."""
        if self._closing:
            return False
        events = self._events + len(data)
        if self._events and events > self._clients.cluster.limits.output:
            self._behind = self._clients.now() if self._behind is None else self._behind
            return False
        self._events = events
        self.write(data)
        return True

    def hide_input(self) -> None:
        """See Sink."""
        self._negotiate(self._reader.hide_input())

    def show_input(self) -> None:
        """See Sink."""
        self._negotiate(self._reader.show_input())

    def ready(self) -> None:
        """See Sink."""
        if self._waits:
            self._pump()

    def close(self) -> None:
        """See Sink."""
        if self._closing:
            return
        self._closing = True
        self._since = self._clients.now()
        if not self._unsent:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close our side first: were the whole connection closed while input is unread, TCP would drop our last words."""
        self.transport.unregisterProducer()
        if self._input_ended:
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
            patience = self._clients.cluster.timings.stalled + self.transport.unacknowledged() / SLOW
            self._linger(self._clients.now() + patience)

    def _linger(self, until: float) -> None:
        self._cut = self._clients.call_later(LINGER, self._close_quietly, until)

    def _close_quietly(self, until: float) -> None:
        """Close the client's side, too, once its system has all that we said: the client may read that when it likes."""
        if not self.transport.unacknowledged():
            self.transport.loseConnection()
        elif self._clients.now() < until:
            self._linger(until)
        else:
            self.transport.abortConnection()

    # -- deadlines

    def say_goodbye(self, text: str) -> None:
        """Tell the client why, and close."""
        if not self._closing:
            self.show_input()
            self.write(grammar.reply(CLOSING, [text], "", self.ending))
            self._session.lost()
            self.close()

    def check(self, now: float) -> None:
        """Close the connection if it has been waiting for its client for too long."""
        timings, waited = self._clients.cluster.timings, now - self._since
        if self._unsent:
            if waited > timings.stalled + self._unsent / SLOW or self._is_behind(now):
                self._clients.log.info("{peer} does not read: ended, what it missed stays unread", peer=self.address)
                self.abort()
        elif self._closing:
            pass
        elif self._session.account is None:
            if now - self._known > timings.login_deadline:
                self.say_goodbye("nobody logged in here for too long; connect again when you need it")
        else:
            self._known = now
            if waited > timings.idle and self._session.idle:
                self.say_goodbye("idle for too long; connect and LOGIN again when you need it")

    def _is_behind(self, now: float) -> bool:
        allowed = self._clients.cluster.timings.behind + self._events / FAST
        return self._behind is not None and now - self._behind > allowed

    def cut_off(self) -> None:
        """End the connection at once; what the system has taken of what was written still goes out, where that is all."""
        if self._cut is not None:
            self.transport.loseConnection()
        else:
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._closing, self._out = True, []
        self._session.lost()
        self.transport.abortConnection()


def cancel(call: IDelayedCall | None) -> None:
    """Cancel a call, if there is one and it was not made yet."""
    if call is not None and call.active():
        call.cancel()
