"""The way of a SEND without the chat: what Twisted and CPython by themselves take for it on this machine, to compare with.

Lines of clients become JSON; all that came during one round share the next; its bytes go to two followers by Perspective
Broker, beside the own flush; once three disks have them each client gets its 250, and what was sent to it, in one write.
That is all: no passwords, sessions, names, limits, read marks, retry keys, telnet or TLS, nothing is checked, nobody else
can lead, and what is kept can only be read in the order in which it came.

``python -m tests.benchmarks.bare FILE PORT`` is a follower, and with the followers' ports behind that the primary.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any

import msgspec
from twisted.internet import reactor as any_reactor
from twisted.internet.defer import gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.spread import pb

from tests.nemesis.network import is_listening, steady_ports

QUIET_TURNS = 10  # as in chattwist.commits
PATIENCE = 30.0  # seconds until the processes listen

reactor: Any = any_reactor


class Message(msgspec.Struct, gc=False):
    """What is stored."""

    id: str
    at: int
    sender: str
    recipient: str
    text: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(list[Message]).decode


class Broker(pb.Broker):
    """Perspective Broker that does not wait for more to send."""

    transport: Any

    def connectionMade(self) -> None:
        """Begin."""
        self.transport.setTcpNoDelay(True)
        super().connectionMade()


class Kept:
    """A disk's file, and the messages of each client in memory."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._messages: defaultdict[str, list[Message]] = defaultdict(list)

    def write(self, data: bytes) -> None:
        """Make it durable."""
        os.write(self._file, data + b"\n")
        os.fdatasync(self._file)

    def keep(self, messages: list[Message]) -> None:
        """Have them at hand."""
        for message in messages:
            self._messages[message.sender].append(message)
            self._messages[message.recipient].append(message)


class Follower(pb.Root):
    """Stores what it is given."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def remote_take(self, data: bytes) -> None:
        """Answered once it is durable, and kept after that."""
        self._kept.write(data)
        reactor.callLater(0, lambda: self._kept.keep(decode(data)))


class Primary(Factory):
    """Has the clients, and one round after the other."""

    def __init__(self, kept: Kept, followers: list[Any]) -> None:
        self.clients: dict[str, Client] = {}
        self.unflushed: list[Client] = []
        self._kept = kept
        self._followers = followers
        self._waiting: list[tuple[Client, str, str]] = []
        self._round: list[tuple[Client, Message]] = []
        self._busy, self._missing, self._last = False, 0, 0
        self._number = 0
        self._to_disk: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=self._write, daemon=True).start()

    def buildProtocol(self, addr: object) -> "Client":
        """A client."""
        return Client(self)

    def send(self, client: "Client", recipient: str, text: str) -> None:
        """Send a message with the next round."""
        self._waiting.append((client, recipient, text))
        if not self._busy:
            self._busy = True
            reactor.callLater(0, self._gather, 0, 0)

    def _gather(self, known: int, quiet: int) -> None:
        waiting = len(self._waiting)
        quiet = 0 if waiting > known else quiet + 1
        if waiting >= self._last or quiet >= QUIET_TURNS:
            self._begin()
        else:
            reactor.callLater(0, self._gather, waiting, quiet)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        now = int(reactor.seconds() * 1e6)
        for number, (client, recipient, text) in enumerate(waiting, self._number + 1):
            self._round.append((client, Message(f"abc-{number}", now + number, client.name, recipient, text)))
        self._number += len(waiting)
        self._last = len(waiting)
        messages = [message for _, message in self._round]
        data = encode(messages)
        self._missing = 1 + len(self._followers)
        for follower in self._followers:
            follower.callRemote("take", data).addCallback(self._has)
        self._to_disk.put(data)
        self._kept.keep(messages)

    def _write(self) -> None:
        """In its thread."""
        while True:
            self._kept.write(self._to_disk.get())
            reactor.callFromThread(self._has)

    def _has(self, _: object = None) -> None:
        self._missing -= 1
        if not self._missing:
            self._tell()

    def _tell(self) -> None:
        told, self._round = self._round, []
        for client, message in told:
            client.write(f"250 {message.id} sent to {message.recipient}, on 3 replicas\r\n")
            recipient = self.clients.get(message.recipient)
            if recipient is not None:
                recipient.write(
                    f"* MSG {message.id} 2026-01-01T00:00:00Z {message.sender} {message.recipient} {message.text}\r\n"
                )
        clients, self.unflushed = self.unflushed, []
        for client in clients:
            client.flush()
        self._busy = bool(self._waiting)
        if self._busy:
            self._gather(0, 0)


class Client(Protocol):
    """Knows SEND, and that a first line of another kind ends in the client's name and a password."""

    transport: Any

    def __init__(self, primary: Primary) -> None:
        self.name = ""
        self._primary = primary
        self._rest = b""
        self._out: list[str] = []

    def connectionMade(self) -> None:
        """Begin."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            verb, _, rest = line.decode().partition(" ")
            name, _, text = rest.partition(" ")
            if verb == "SEND":
                self._primary.send(self, name, text)
            else:
                self.name, self._primary.clients[name] = name, self
                self.transport.write(b"230 welcome\r\n")

    def write(self, text: str) -> None:
        """Say it at the end of the round."""
        if not self._out:
            self._primary.unflushed.append(self)
        self._out.append(text)

    def flush(self) -> None:
        """Say it now."""
        self.transport.write("".join(self._out).encode())
        self._out = []


class Bare:
    """Three such processes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        *followers, self._port = ports = steady_ports(3)
        self._processes = [self._start(port) for port in followers]
        wait_for(followers)
        self._processes.append(self._start(*reversed(ports)))
        wait_for([self._port])

    def _start(self, *ports: int) -> "subprocess.Popen[bytes]":
        path = os.path.join(self.folder, f"journal-{ports[0]}")
        return subprocess.Popen([sys.executable, "-m", "tests.benchmarks.bare", path, *map(str, ports)])

    @property
    def pids(self) -> list[int]:
        """The primary's first."""
        return [process.pid for process in reversed(self._processes)]

    def client_port(self, number: int) -> int:
        """Where clients connect: there is one place."""
        return self._port

    def close(self) -> None:
        """End them, the primary first: it would complain of the others."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@contextmanager
def bare() -> Iterator[Bare]:
    """Three of them in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="chattwist-bare-") as folder:
        processes = Bare(folder)
        try:
            yield processes
        finally:
            processes.close()


def wait_for(ports: list[int]) -> None:
    """Until somebody listens there; SystemExit if nobody does."""
    end = time.monotonic() + PATIENCE
    while not all(map(is_listening, ports)):
        if time.monotonic() > end:
            raise SystemExit(f"bare: nobody listens on {ports}")
        time.sleep(0.01)


def listen(port: int, factory: Any) -> None:
    """Take connections of this machine."""
    reactor.listenTCP(port, factory, 1000, "127.0.0.1")


def follow(port: int, kept: Kept) -> None:
    """Be a follower."""
    factory = pb.PBServerFactory(Follower(kept))
    factory.protocol = Broker
    listen(port, factory)


def lead(port: int, kept: Kept, followers: list[int]) -> None:
    """Be the primary, once the followers are there."""
    roots = []
    for other in followers:
        factory = pb.PBClientFactory()
        factory.protocol = Broker
        reactor.connectTCP("127.0.0.1", other, factory)
        roots.append(factory.getRootObject())
    gatherResults(roots).addCallback(lambda found: listen(port, Primary(kept, found)))


def main(path: str, port: int, *followers: int) -> None:
    """Serve until killed."""
    gc.disable()
    kept = Kept(path)
    if followers:
        lead(port, kept, list(followers))
    else:
        follow(port, kept)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
