"""The network between the replicas: a connection a pair and direction, as chattwist.replication.channel keeps them.

What is sent on a connection arrives in order or not at all. A cut swallows packets silently: what was sent waits in the
sender's kernel and arrives once the cut ends, unless the sender has given the connection up before.
"""

from random import Random
from typing import Protocol

from tests.simulation.process import Process
from tests.simulation.timeline import Timeline

RETRY = 0.25  # seconds between two attempts to connect, and
TIMEOUT = 5.0  # until a sender gives up what is not answered, as the channel does
MOST_WAITING = 5000  # messages in a connection: more is a queue without bounds


class Listener(Protocol):
    """See chattwist.replication.channel.Listener."""

    def connected(self, rank: int) -> None: ...
    def lost(self, rank: int) -> None: ...
    def refused(self, rank: int) -> None: ...
    def received(self, rank: int, message: bytes) -> None: ...


class Host(Protocol):
    """A machine, as the network sees it; ``silent``: it has no power, so that nothing answers."""

    rank: int
    process: Process | None
    listener: Listener
    silent: bool


class Network:
    """All connections; ``cut`` holds the directions in which nothing gets through, ``slow`` multiplies all delays.

    ``barred`` holds those in which nobody may connect.
    """

    def __init__(self, timeline: Timeline, hosts: list[Host], seed: str) -> None:
        self.timeline = timeline
        self.hosts = hosts
        self.cut: dict[tuple[int, int], int] = {}  # direction → by how many faults
        self.barred: set[tuple[int, int]] = set()
        self.slow = 1.0
        pairs = [(a, b) for a in hosts for b in hosts if a is not b]
        self.links = {(a.rank, b.rank): Link(self, a, b, Random(f"{seed}-{a.rank}-{b.rank}")) for a, b in pairs}

    def is_near(self, one: int, other: int) -> bool:
        """Whether two can keep connections both ways."""
        ways = {(one, other), (other, one)}
        return ways.isdisjoint(self.cut) and ways.isdisjoint(self.barred)

    def bar(self, direction: tuple[int, int]) -> None:
        """Let nobody connect in this direction."""
        self.barred.add(direction)
        self.links[direction].lose()

    def begin_cut(self, directions: list[tuple[int, int]]) -> None:
        """Swallow packets in these directions."""
        for direction in directions:
            self.cut[direction] = self.cut.get(direction, 0) + 1
        self.changed()

    def end_cut(self, directions: list[tuple[int, int]]) -> None:
        """Swallow them no more."""
        for direction in directions:
            self.cut[direction] -= 1
            if not self.cut[direction]:
                del self.cut[direction]
        self.changed()

    def changed(self) -> None:
        """Something began or ceased to be reachable."""
        for link in self.links.values():
            link.review()

    def started(self, rank: int) -> None:
        """A process began: it connects to all others, and those that dial it find it at their next attempt."""
        for (source, _), link in self.links.items():
            if source == rank:
                link.dial(0.001)
        self.changed()

    def ended(self, rank: int, silent: bool) -> None:
        """A process ended; with ``silent`` nobody is told."""
        for (source, target), link in self.links.items():
            if source == rank:
                link.forget()
            elif target == rank and not silent:
                link.reset()
        self.changed()


class Link:
    """The connection over which ``source`` says something to ``target``."""

    def __init__(self, network: Network, source: Host, target: Host, random: Random) -> None:
        self.network, self.source, self.target, self.random = network, source, target, random
        self.timeline = network.timeline
        self.sent = 0
        self._direction = source.rank, target.rank
        self._back = target.rank, source.rank
        self._connection = 0  # counts them; 0 is none yet
        self._up = False
        self._dialling = False
        self._latest = 0.0  # when the message sent last arrives
        self._stalled: list[bytes] = []
        self._waiting = 0
        self._blocked: float | None = None

    # -- what the sender does

    def send(self, message: bytes) -> bool:
        """See Channel."""
        if not self._up:
            return False
        self.sent += 1
        self._waiting += 1
        if self._waiting > MOST_WAITING:
            raise AssertionError("a connection holds more than anybody can take")
        self._transmit(message)
        return True

    def abort(self) -> None:
        """See Channel."""
        if self._up:
            self._break(0.0)

    def dial(self, delay: float) -> None:
        """Try to connect."""
        process = self.source.process
        if process is not None and not self._dialling:
            self._dialling = True
            process.post(delay, self._name, self._try, process)

    @property
    def _name(self) -> str:
        return f"to {self.target.rank}"

    def _try(self, process: Process) -> None:
        self._dialling = False
        other = self.target.process
        if self._up or process is not self.source.process:
            return
        barred = self._direction in self.network.barred
        if barred or not self._is_open() or self.target.silent or (other is not None and other.stopped):
            self.dial(RETRY)
        elif other is None:
            self.source.listener.refused(self.target.rank)
            self.dial(RETRY)
        else:
            self._open(process)

    def _open(self, process: Process) -> None:
        self._connection += 1
        self._up, self._waiting, self._blocked, self._latest = True, 0, None, self.timeline.now
        self._stalled.clear()
        self.source.listener.connected(self.target.rank)

    # -- what becomes of it

    def _is_open(self) -> bool:
        cut = self.network.cut
        return self._direction not in cut and self._back not in cut

    def delay(self) -> float:
        """How long a message takes, seconds."""
        return self.network.slow * (0.0003 + self.random.random() ** 4 * 0.008)

    def _transmit(self, message: bytes) -> None:
        self._latest = max(self._latest, self.timeline.now + self.delay())
        self.timeline.after(self._latest - self.timeline.now, self._arrive, self._connection, message)

    def _arrive(self, connection: int, message: bytes) -> None:
        if connection != self._connection:
            return
        if self._direction in self.network.cut or self.target.silent:
            self._stalled.append(message)
            return
        self._waiting -= 1
        process = self.target.process
        if process is not None:
            process.post(0.0, f"from {self.source.rank}", self.target.listener.received, self.source.rank, message)

    def review(self) -> None:
        """See whether it goes on now, or is to be given up some time."""
        if not self._up:
            return
        other = self.target.process
        if self._is_open() and not self.target.silent and other is not None and not other.stopped:
            self._blocked = None
        elif self._blocked is None:
            self._blocked = self.timeline.now
            patience = TIMEOUT + self.random.random() * 0.3
            self.timeline.after(patience, self._give_up, self._connection, self._blocked)
        if self._stalled and self._direction not in self.network.cut and not self.target.silent:
            stalled, self._stalled = self._stalled, []
            self._latest = max(self._latest, self.timeline.now + self.random.random() * 0.4)  # TCP tries again at times
            for message in stalled:
                self._transmit(message)

    def _give_up(self, connection: int, since: float) -> None:
        if self._up and connection == self._connection and self._blocked == since:
            self._break(0.0)

    def reset(self) -> None:
        """The other end is closed: the sender learns of it, if not at once then when nothing is answered."""
        if self._up and self._back not in self.network.cut:
            self._break(self.delay())

    def lose(self) -> None:
        """Something between the two closes the connection."""
        if self._up:
            self._break(self.delay())

    def _break(self, delay: float) -> None:
        """Of what is on its way a part still arrives: none of what comes later than a moment."""
        self._up = False
        self._blocked = None
        self._end(self._connection)
        process = self.source.process
        if process is not None:
            process.post(delay, self._name, self.source.listener.lost, self.target.rank)
            self.dial(delay + self.random.random() * 0.01)

    def _end(self, connection: int) -> None:
        moment = self.random.choice([0.0, 0.0005, 0.01])

        def forget() -> None:
            if self._connection == connection:
                self._connection += 1
                self._stalled.clear()

        self.timeline.after(moment, forget)

    def forget(self) -> None:
        """The sender is no more."""
        if self._up:
            self._up = False
            self._end(self._connection)
        self._dialling = False
