"""Three real replicas in one folder, with the network between them in our hands. Replicas are numbered by rank, 1 to 3."""

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping

import attrs

from tests.endtoend.harness import PASSWORD, PATIENCE, Client, Server
from tests.nemesis.network import Network, steady_ports

NUMBERS = (1, 2, 3)
SHORT = {"last_view": 3.0, "hold_down": 1.0}  # timings of tests that do not want to wait
QUIET = 150.0  # seconds until a cluster has to be quiet: a port that was lost often is held down for a minute
LOOK = 0.05  # seconds between two looks
UNLIMITED = resource.RLIM_INFINITY


@attrs.frozen
class Status:
    """What STATUS says: ports, and the view's number."""

    primary: int | None
    view: int
    states: Mapping[int, tuple[str, str]]  # port → role, state

    @classmethod
    def parse(cls, lines: list[str]) -> "Status":
        """From the lines of its reply."""
        *replicas, last = (line[4:].split() for line in lines)
        states = {int(port): (role, state) for _, port, role, state in replicas}
        return cls(int(last[1]) if last[1].isdecimal() else None, int(last[3]), states)

    @property
    def live(self) -> set[int]:
        """The ports of the live replicas."""
        return {port for port, (_, state) in self.states.items() if state == "live"}


class Replica(Server):
    """One of them, with its own folder for its logs, and faults."""

    is_stopped = False  # by SIGSTOP
    is_full = False  # its disk
    channel = 0  # the port

    @property
    def is_up(self) -> bool:
        """Whether its process runs, stopped or not."""
        return self.process is not None and self.process.poll() is None

    def launch(
        self, *options: str, environment: Mapping[str, str] | None = None, limit: Callable[[], None] | None = None
    ) -> None:
        """Start it without waiting, but its disk is full again, if it was, once it serves.

        What the process before it said on stderr is kept.
        """
        if self.process is not None:
            with open(os.path.join(self.folder, "earlier-stderr"), "a") as file:
                file.write(self.errors())
        super().launch(*options, environment=environment, limit=limit)
        if self.is_full:
            self._limit_files()

    def kill(self) -> None:
        """End it at once, also if it is stopped."""
        super().kill()
        self.is_stopped = False

    def stop_signal(self) -> None:
        """Stop it where it is."""
        self.signal(signal.SIGSTOP)
        self.is_stopped = True

    def cont(self) -> None:
        """Let it go on, if it was stopped."""
        if self.is_stopped:
            self.is_stopped = False
            self.signal(signal.SIGCONT)

    def terminate(self) -> int:
        """Stop it in good order, once it serves: before that SIGTERM just ends it. The exit status."""
        self.is_ready()
        self.signal(signal.SIGTERM)
        return self.wait()

    def fill_disk(self) -> None:
        """From now on it can write nothing: no file may grow, as on a full disk, for what the process can tell."""
        self.is_full = True
        self._limit_files()

    def free_disk(self) -> None:
        """There is room again."""
        self.is_full = False
        self._limit_files()

    def _limit_files(self) -> None:
        if self.is_up and self.is_ready():  # the pid file is written before that, and mostly on another disk
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0 if self.is_full else UNLIMITED, UNLIMITED))

    def wipe(self) -> None:
        """Take its data away; it must not run. The keys stay."""
        shutil.rmtree(self.data, ignore_errors=True)

    def backup(self) -> None:
        """Keep a copy of its data; it must not run."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.data, self._copy)

    def restore(self) -> None:
        """Bring the copy back; it must not run."""
        self.wipe()
        shutil.copytree(self._copy, self.data)

    @property
    def has_backup(self) -> bool:
        """Whether there is a copy."""
        return os.path.isdir(self._copy)

    @property
    def _copy(self) -> str:
        return os.path.join(self.folder, "backup")

    def status(self, patience: float = 2.0) -> Status | None:
        """What it says of the cluster; None if it says nothing in time."""
        try:
            client = Client(self.port, patience)
        except OSError:
            return None
        try:
            return Status.parse(client.ask("STATUS"))
        except OSError:
            return None
        finally:
            client.close()


class Cluster:
    """The replicas, none of them started, and the network between them."""

    def __init__(
        self,
        folder: str,
        mode: str = "available",
        timings: Mapping[str, float] | None = None,
        has_network: bool = True,
        journal_size: int = 0,
    ) -> None:
        """``timings`` are the cluster file's. Without ``has_network`` there are no proxies, and nothing can be cut."""
        self.folder = os.path.abspath(folder)
        ports = steady_ports(2 * len(NUMBERS))
        clients = dict(zip(NUMBERS, ports[: len(NUMBERS)], strict=True))
        channels = dict(zip(NUMBERS, ports[len(NUMBERS) :], strict=True))
        self._network = Network(channels) if has_network else None
        self.replicas: dict[int, Replica] = {}
        for number in NUMBERS:
            seen = {n: self._network.port(number, n) if self._network and n != number else channels[n] for n in NUMBERS}
            addresses = [{"host": "127.0.0.1", "port": clients[n], "channel": seen[n]} for n in NUMBERS]
            file = {"mode": mode, "replicas": addresses, "timings": dict(timings or {}), "limits": {"bcrypt_cost": 4}}
            home = os.path.join(self.folder, f"replica-{number}")
            self.replicas[number] = Replica(home, None, journal_size, clients[number], file, "../chat-data")

    def __getitem__(self, number: int) -> Replica:
        return self.replicas[number]

    @property
    def network(self) -> Network:
        """What lies between them."""
        assert self._network is not None
        return self._network

    @property
    def up(self) -> list[int]:
        """Whose processes run, stopped or not."""
        return [number for number in NUMBERS if self[number].is_up]

    @property
    def acting(self) -> list[int]:
        """Whose processes run and are not stopped."""
        return [number for number in self.up if not self[number].is_stopped]

    def number(self, port: int | None) -> int | None:
        """Whose client port that is."""
        return next((number for number in NUMBERS if self[number].port == port), None)

    def start(self, *numbers: int) -> None:
        """Start these, or all that do not run, and wait until they take clients."""
        chosen = [n for n in numbers or NUMBERS if not self[n].is_up]
        for number in chosen:
            self[number].launch()
        for number in chosen:
            if not self[number].is_ready():
                raise AssertionError(f"replica {number} did not start: {self[number].errors()}{self[number].text()}")

    def kill(self, *numbers: int) -> None:
        """End these, or all, with -9."""
        for number in numbers or NUMBERS:
            self[number].kill()

    def isolate(self, number: int) -> None:
        """Cut one replica off from the others, both ways."""
        self.network.part([number], [n for n in NUMBERS if n != number])

    def heal(self) -> None:
        """No cut, nobody stopped, room on all disks; who is down stays down."""
        self.network.heal()
        for replica in self.replicas.values():
            replica.cont()
            replica.free_disk()

    def wait_quiet(self, *numbers: int, patience: float = QUIET) -> Status:
        """Wait until these, or all that run, agree that they are live and the lowest is primary; AssertionError."""
        expected = list(numbers or self.up)
        end = time.monotonic() + patience
        while (seen := self._agreed(expected)) is None:
            if time.monotonic() > end:
                said = [self[number].status() for number in expected]
                raise AssertionError(f"not quiet after {patience} s: {said}; logs in {self.folder}")
            time.sleep(LOOK)
        return seen

    def _agreed(self, numbers: Iterable[int]) -> Status | None:
        ports = {self[number].port for number in numbers}
        said = [self[number].status() for number in numbers]
        first = said[0]
        if first is None or first.primary != min(ports) or first.live != ports:
            return None
        return first if all(status == first for status in said) else None

    def wait_primary(self, number: int, of: int, patience: float = QUIET) -> None:
        """Wait until replica ``of`` says that ``number`` is primary."""
        end = time.monotonic() + patience
        while (seen := self[of].status()) is None or seen.primary != self[number].port:
            if time.monotonic() > end:
                raise AssertionError(f"{number} is not the primary of {of} after {patience} s: {seen}; {self.folder}")
            time.sleep(LOOK)

    def session(self, number: int, name: str, patience: float = PATIENCE) -> Client:
        """A new connection to that replica, logged in once it can be; a new account if there is none."""
        client = Client(self[number].port, patience)
        answer = until_done(client, f"TAKEOVER {name} {PASSWORD}", patience)[0]
        if answer.startswith("535"):
            answer = until_done(client, f"REGISTER {name} {PASSWORD}", patience)[0]
        if not answer.startswith("230"):
            raise AssertionError(f"{name} on {number}: {answer}")
        return client

    def texts(self, number: int, name: str) -> list[str]:
        """The texts of all messages that an account sees on that replica, sorted."""
        client = self.session(number, name)
        found = sorted(line.split(" ", 4)[4] for line in client.history())
        client.expect("221", "QUIT")
        client.close()
        return found

    def close(self) -> None:
        """End all."""
        self.kill()
        if self._network is not None:
            self._network.close()


def until_done(client: Client, line: str, patience: float = PATIENCE) -> list[str]:
    """The reply to a command that is repeated while the answer is 45x: so give it a retry key; AssertionError at last."""
    end = time.monotonic() + patience
    while (answer := client.ask(line))[-1].startswith("45"):
        if time.monotonic() > end:
            raise AssertionError(f"{line[:60]!r} was answered {answer[-1]!r} for {patience} s")
        time.sleep(LOOK)
    return answer
