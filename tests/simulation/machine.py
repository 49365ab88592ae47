"""One replica's machine: its disk, and the process that runs on it, with all of the production code that needs no kernel."""

import traceback
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from chattwist.cluster import Address, Cluster
from chattwist.errors import StoreError
from chattwist.farewell import SOON, take_leave
from chattwist.loading import Loaded, load
from chattwist.model import ORIGIN_ALPHABET, ORIGIN_LENGTH
from chattwist.protocol.server import Clients
from chattwist.replica import Replica
from chattwist.replication.messages import View
from chattwist.store.disk import IDisk
from chattwist.store.store import Store
from tests.simulation.disk import JOURNAL_SIZE, Writer, copied, rot
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.timeline import Timeline
from tests.simulation.truth import Truth
from tests.store.memory import MemoryDisk, PowerLoss

NOON = 1795348800  # 2026-11-22T12:00:00Z, seconds since 1970
LONG = 0.6  # of the failure timeout: who was stopped for so long has to begin anew (R13)


class Threads:
    """Password threads that take a few milliseconds."""

    def __init__(self, process: Process, random: Random) -> None:
        self._process, self._random = process, random

    def run(
        self, function: Callable[..., Any], *arguments: object, patient: bool = False, source: str = ""
    ) -> Deferred[Any]:
        """See PasswordThreads."""
        result: Deferred[Any] = Deferred()
        delay = 0.002 + self._random.random() * 0.02
        self._process.post(delay, "passwords", lambda: result.callback(function(*arguments)))
        return result


class ChannelTo:
    """See chattwist.member.Channel."""

    def __init__(self, rank: int, network: Network) -> None:
        self._rank, self._links = rank, network.links

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        return self._links[self._rank, rank].send(message)

    def abort(self, rank: int) -> None:
        self._links[self._rank, rank].abort()


class Machine:
    """``silent``: it has no power and nothing answers in its place. ``starts``: whether it is to run, or will."""

    network: Network

    def __init__(self, timeline: Timeline, truth: Truth, cluster: Cluster, rank: int, seed: str) -> None:
        self.timeline, self.truth, self.cluster, self.rank = timeline, truth, cluster, rank
        self.random = Random(f"{seed}-machine-{rank}")
        self.disk = MemoryDisk(self.random)
        self.process: Process | None = None
        self.silent = False
        self.leaving = False  # it is about to stop in good order
        self.wanted = True
        self.awake = 0.0  # since when its process runs without a long stop
        self.wall_ahead = self.random.choice([0.0, 0.0, 0.3, -40.0, 200.0])  # seconds that its wall clock is ahead
        self.slowness = 1.0
        self.room: int | None = None
        self.salvages = 0
        self.backup: MemoryDisk | None = None
        self.began: Callable[[], None] = lambda: None
        self.ended: Callable[[], None] = lambda: None  # the world tells clients
        self._spoiled = False
        self._installed: View | None = None  # the last view that was looked at
        self._drift = 1.0 + (self.random.random() - 0.5) * 0.01
        self._stopped_at = 0.0
        self._starting = False
        self._origins = 0
        self._downs = 0
        self._seed = seed
        self.replica: Replica
        self.clients: Clients
        self.writer: Writer

    # -- starting

    def start(self, delay: float) -> None:
        """Start the process; that takes a while."""
        self.wanted = True
        if not self._starting and self.process is None:
            self._starting = True
            self.timeline.after(delay, self._start)

    def start_later(self, delay: float) -> None:
        """Start the process after all faults that want it down."""
        self._downs += 1
        self.timeline.after(delay, self._start_unless_down, self._downs)

    def _start_unless_down(self, down: int) -> None:
        if down == self._downs:
            self.start(0.0)

    def _start(self) -> None:
        self._starting = False
        if not self.wanted or self.process is not None:
            return
        self.silent = False
        try:
            self._begin()
        except StoreError as error:
            self._repair(str(error))
        except PowerLoss:
            self.disk = self.disk.after_power_loss(self.random.randrange(1 << 30))
            self.start(1.0)

    def _begin(self) -> None:
        self.disk.room = self.room
        found = self._load()
        process = Process(self.timeline, self.random, self._drift)
        self.writer = Writer(
            process, found.store, self.random, self.wall,
            lambda operations: self.truth.durable(self.rank, operations), self.lose_power,
            self.slowness,
        )  # fmt: skip
        address: Address = self.cluster.ranked[self.rank]
        threads: Any = Threads(process, self.random)
        self.replica = Replica(
            self.cluster, address, found.chat, found.operations, found.state, self.writer, threads, process,
            self._disk_failed, self._origin, self.wall,
        )  # fmt: skip
        self.clients = Clients(self.replica, self.cluster, process)  # type: ignore[arg-type]
        self.process = process
        self.awake = self.timeline.now
        process.wall_ahead = lambda: self.wall_ahead
        process.after_each, process.failed = self._look, self._failed
        self.replica.start(ChannelTo(self.rank, self.network))
        self.network.started(self.rank)
        self.began()

    def _load(self) -> Loaded:
        found = load(lambda: self.disk, self.cluster.names, opened=self._open)
        operations = found.operations
        loose = [operation for numbers in operations._loose.values() for operation in numbers.values()]
        self.truth.loaded(self.rank, [*operations, *loose], self._spoiled)
        self._spoiled = False
        return found

    def _open(self, disk: IDisk, salvage: bool) -> Store:
        if salvage and not self._spoiled:
            self.truth.violated("what is durable stays", f"the disk of {self.rank} is damaged")
        return Store.open(disk, salvage, JOURNAL_SIZE)

    def _repair(self, complaint: str) -> None:
        """What the person who runs it does: make room, or start it once with --salvage."""
        self.salvages += 1
        if "damaged" in complaint and not self._spoiled:
            self.truth.violated("what is durable stays", complaint)
        if "state.json is damaged" in complaint:
            self.disk.drop("state.json")
        if self.salvages > 20:
            self.wanted = False
            return self.truth.violated("a replica starts again", f"{self.rank} cannot: {complaint}")
        self.disk = self.disk.after_kill()
        self.start(1.0)

    def _origin(self) -> str:
        self._origins += 1
        random = Random(f"{self._seed}-{self.rank}-{self._origins}")
        return "".join(random.choice(ORIGIN_ALPHABET) for _ in range(ORIGIN_LENGTH))

    def wall(self) -> int:
        """Its wall clock, microseconds since 1970."""
        return int((NOON + self.timeline.now + self.wall_ahead) * 1_000_000)

    # -- looking

    @property
    def listener(self) -> Any:
        """Of the network."""
        return self.replica.member

    @property
    def view(self) -> View | None:
        """The view that the replica is in, as it thinks itself."""
        return None if self.process is None else self.replica.core.own.view

    @property
    def runs(self) -> bool:
        """Whether there is a process, and it is not stopped."""
        return self.process is not None and not self.process.stopped

    def _failed(self, error: Exception) -> None:
        lines = traceback.format_exception(error)[-3:]
        self.truth.violated("no errors inside", " | ".join(line.strip() for line in lines))

    def _look(self) -> None:
        own = self.replica.core.own
        view = own.view if own.leads else None
        leading = self.truth.leading.get(self.rank)
        if own.installed is not None and own.installed is not self._installed:
            self._installed = own.installed
            self.truth.entered(self.rank, own.installed)
        if (leading and leading[0]) != (view and view.epoch):
            hosts: list[Machine] = self.network.hosts  # type: ignore[assignment]
            stuck = {machine.rank for machine in hosts if machine.runs and not machine.replica.core.fit}
            self.truth.leads(self.rank, view, [machine.awake for machine in hosts], stuck)

    # -- ending

    def kill(self, torn: bool = False) -> None:
        """SIGKILL: what was written stays, also what was not fsynced."""
        if self.process is not None:
            self.disk = self.disk.after_kill()
            self._end()

    def terminate(self) -> None:
        """SIGTERM: it stops in good order, and its port is closed from now on."""
        if self.process is not None and not self.leaving:
            self.leaving = True
            self.process.post(0.0, "signal", self._begin_to_leave)

    def _begin_to_leave(self) -> None:
        Deferred.fromCoroutine(self._take_leave()).addErrback(
            lambda failure: self.truth.violated("no errors inside", failure.getTraceback()[-300:])
        )

    async def _take_leave(self) -> None:
        """As ReplicaService does; a process that ends meanwhile goes on with nothing."""
        reactor: Any = self.process
        await take_leave(self.replica, self.clients, reactor)
        self.replica.stop()
        while not self.writer.idle:
            await deferLater(reactor, SOON)
        self.kill()
        if self.wanted:
            self.start(SOON)

    def lose_power(self) -> None:
        """What was not fsynced may be gone."""
        if self.process is not None:
            self.disk = self.disk.after_power_loss(self.random.randrange(1 << 30))
            self.silent = self.random.random() < 0.5
            self._end()
            if self.wanted:
                self.start(0.5 + self.random.random() * 3)

    def _disk_failed(self, failure: BaseException) -> None:
        """The process ends itself (R9), and is started again."""
        self.kill()
        self.start(0.3 + self.random.random())

    def _end(self) -> None:
        assert self.process is not None
        self.process.end()
        self.process = None
        self.leaving = False
        self.truth.leads(self.rank, None)
        self.network.ended(self.rank, self.silent)
        self.ended()

    def stop(self) -> None:
        """SIGSTOP."""
        if self.process is not None and not self.process.stopped:
            self.process.stop()
            self._stopped_at = self.timeline.now
            self.network.changed()

    def go_on(self) -> None:
        """SIGCONT."""
        if self.process is not None and self.process.stopped:
            if self.timeline.now - self._stopped_at >= LONG * self.cluster.timings.silence:
                self.awake = self.timeline.now
            self.process.go_on()
            self.network.changed()

    # -- what happens to disks

    def wipe(self) -> None:
        """A new disk; only while no process runs."""
        self.disk = MemoryDisk(self.random)
        self.truth.wiped(self.rank)

    def back_up(self) -> None:
        """Copy the files as they are."""
        self.backup = copied(self.disk)

    def restore(self) -> None:
        """Put the copy in the place of the disk; only while no process runs."""
        if self.backup is not None:
            self.disk = copied(self.backup)
            self._spoiled = True

    def rot(self) -> None:
        """Damage a file; only while no process runs."""
        self._spoiled = rot(self.disk, self.random) or self._spoiled

    def limit(self, room: int | None) -> None:
        """How much may still be written."""
        self.room = self.disk.room = room

    def slow_down(self, slowness: float) -> None:
        """How much longer a write takes."""
        self.slowness = slowness
        if self.process is not None:
            self.writer.slow_down(slowness)
