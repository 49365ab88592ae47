"""Reading from clients: all that have sent something, one after the other.

Note [Why clients have an epoll of their own]: around each read Twisted's reactor makes ten calls, which take as long as to
read and understand a line. Here all clients together are one reader of the reactor; that brings a fifteenth more SENDs a
second with 64 clients, and a tenth with 256. What is not plain reading is left to Twisted's own transports.
"""

import sys
from fcntl import ioctl
from select import EPOLLIN, epoll
from termios import TIOCOUTQ
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Crowd:
    """All connections that are read from."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = epoll()
        self._members: dict[int, Server] = {}  # by file descriptor

    def start(self) -> None:
        """Begin to read."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Read from nobody any more."""
        self._reactor.removeReader(self)
        self._epoll.close()

    def add(self, connection: Server) -> None:
        """Read from it, too."""
        number = connection.fileno()
        if self._members.get(number) is not connection:
            self._members[number] = connection
            self._epoll.register(number, EPOLLIN)

    def remove(self, connection: Server) -> None:
        """Read from it no more."""
        number = connection.fileno()
        if self._members.get(number) is connection:
            del self._members[number]
            if not self._epoll.closed:
                self._epoll.unregister(number)

    # -- for the reactor

    def fileno(self) -> int:
        """See IReadDescriptor."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "clients"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""

    def doRead(self) -> None:
        """Some have sent something."""
        for number, _ in self._epoll.poll(0):
            connection = self._members.get(number)  # None where one before it ended it
            if connection is not None:
                try:
                    _read(connection)
                except Exception:  # the others have to be heard now and later
                    self.log.failure("what a client sent could not be taken")
                    self.remove(connection)
                    self._reactor.callLater(0, connection.abortConnection)


def _read(connection: Server) -> None:
    ended = connection.doRead()
    if ended is not None:
        _end(connection, ended)


def _end(connection: Server, why: Any) -> None:
    """Do as Twisted's reactor does where a connection ends; ``why`` is the exception."""
    connection.stopReading()
    if isinstance(why, ConnectionDone):
        connection.readConnectionLost(Failure(why))
    else:
        connection.stopWriting()
        connection.connectionLost(Failure(why))


class Connection(Server):
    """A client's connection, which the crowd reads from instead of the reactor."""

    server: "CrowdPort"

    def startReading(self) -> None:
        """See FileDescriptor."""
        self.server.crowd.add(self)

    def stopReading(self) -> None:
        """See FileDescriptor."""
        self.server.crowd.remove(self)

    def unacknowledged(self) -> int:
        """How many bytes this system has taken and the client's system has not, the end of what we say counted as one."""
        return int.from_bytes(ioctl(self.socket, TIOCOUTQ, bytes(4)), sys.byteorder)


class CrowdPort(Port):
    """Listens for members of a crowd."""

    transport = Connection

    def __init__(self, port: int, factory: Factory, backlog: int, interface: str, reactor: Any, crowd: Crowd) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self.crowd = crowd
