"""What all benchmarks share: three real replicas, the load generator, whose share of the processor it was, and the output.

The load generator is load.c, for Python would be the slowest part; it is compiled when a benchmark starts.
"""

import argparse
import atexit
import functools
import json
import os
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import attrs

from tests.endtoend.harness import PASSWORD
from tests.nemesis.cluster import Cluster

TEXT = 100  # bytes of a message
TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, a second
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE = struct.Struct("dfI")  # as load.c writes it
Result = TypeVar("Result", bound=attrs.AttrsInstance)


@functools.cache
def generator() -> str:
    """The path of the load generator, compiled for this process; SystemExit where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("the load generator needs a C compiler; on Debian or Ubuntu: apt-get install gcc libc6-dev")
    folder = tempfile.mkdtemp(prefix="chattwist-load-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = os.path.join(folder, "load")
    subprocess.run([compiler, "-O2", "-o", program, os.path.join(os.path.dirname(__file__), "load.c")], check=True)
    return program


def ticks(pid: int) -> int | None:
    """Processor time of a process and of its children that ended; None if it has ended itself."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
    except FileNotFoundError:
        return None


def busy() -> int:
    """Processor time of the whole machine, stolen time included, idle time not."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _waiting, *others = map(int, file.readline().split()[1:9])
    return user + nice + system + sum(others)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * PAGE


class Meter:
    """Who uses the processor, from now on."""

    def __init__(self, servers: Sequence[int], load: int) -> None:
        """``servers`` and ``load`` are process ids."""
        self._pids = [*servers, load]
        self._begun = time.monotonic()
        self._before = self._look()

    def _look(self) -> list[int | None]:
        return [*map(ticks, self._pids), busy()]

    def read(self) -> str:
        """Shares of one core: each server's, the load generator's, all else's; and the machine's load average."""
        scale = 100 / TICKS / (time.monotonic() - self._begun)
        pairs = zip(self._before, self._look(), strict=True)
        *servers, load, machine = (0.0 if a is None or b is None else (b - a) * scale for a, b in pairs)
        shares = "+".join(f"{share:.0f}" for share in servers)
        rest = max(0.0, machine - sum(servers) - load)
        return f"cpu {shares}% load {load:.0f}% others {rest:.0f}%, load average {os.getloadavg()[0]:.1f}"


@attrs.frozen
class Figures:
    """What came of a run; latencies in milliseconds."""

    rate: float  # a second
    p50: float
    p99: float
    max: float = 0.0
    count: int = 0
    delivered: int = 0
    refused: int = 0
    seconds: float = 0.0
    cpu: str = ""  # what Meter.read says

    @classmethod
    def of(cls, samples: "Sequence[Sample]", seconds: float) -> "Figures":
        """Of all samples of some seconds."""
        times = sorted(sample.latency * 1e3 for sample in samples) or [0.0]
        p50, p99 = (times[int((len(times) - 1) * share)] for share in (0.5, 0.99))
        return cls(len(samples) / seconds, p50, p99, times[-1], len(samples), seconds=seconds)

    def __str__(self) -> str:
        refused = f", {self.refused} refused" if self.refused else ""
        delivered = f", {self.delivered / self.count:.0%} pushed" if self.delivered else ""
        cpu = f", {self.cpu}" if self.cpu else ""
        longest = f" max {self.max:7.1f} ms" if self.max else ""
        times = f"p50 {self.p50:7.3f} ms p99 {self.p99:8.3f} ms{longest}"
        return f"{self.rate:8,.0f}/s {times}{delivered}{refused}{cpu}"


class Sample(NamedTuple):
    """One measured latency."""

    ended: float  # on the monotonic clock, in seconds
    latency: float  # seconds
    client: int

    @property
    def begun(self) -> float:
        """When the command was sent."""
        return self.ended - self.latency


Span: TypeAlias = tuple[float, float]  # from, to: on the monotonic clock, in seconds


def between(samples: Sequence[Sample], spans: Sequence[Span]) -> Figures:
    """Of those that ended in those times."""
    found = [sample for sample in samples if any(begun <= sample.ended < ended for begun, ended in spans)]
    return Figures.of(found, sum(ended - begun for begun, ended in spans))


def medians(results: Sequence[Result]) -> Result:
    """Of each figure of all these results by itself; texts are left out."""
    first = results[0]
    changes: dict[str, object] = {}
    for field in attrs.fields(type(first)):
        values = [getattr(result, field.name) for result in results]
        changes[field.name] = "" if field.type is str else statistics.median(values)
    return type(first)(**changes)


class Target(Protocol):
    """What the load generator can be let loose on."""

    @property
    def folder(self) -> str:
        """Where samples may be kept."""

    @property
    def pids(self) -> list[int]:
        """The processes that serve."""

    def client_port(self, number: int) -> int:
        """Where clients connect, for each number of a replica."""


class Load:
    """A run of the load generator; begins at once."""

    def __init__(self, target: Target, clients: int, *options: str, numbers: Sequence[int] = (1,)) -> None:
        """``options`` are those of load.c; clients are spread over the replicas with these ``numbers``."""
        ports = ",".join(str(target.client_port(number)) for number in numbers)
        self._path = os.path.join(target.folder, "samples")
        command = [generator(), "-p", ports, "-n", str(clients), "-P", PASSWORD, "-s", str(TEXT), "-o", self._path]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        self._target = target
        self._meter: Meter | None = None

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the load generator ended with status {self.process.wait()}")
        return line

    def begin(self) -> "Load":
        """Wait until the measurement begins."""
        while self._line() != "begin\n":
            pass
        self._meter = Meter(self._target.pids, self.process.pid)
        return self

    def stop(self) -> Figures:
        """End a run that has no end of its own; what came of it."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self) -> Figures:
        """Wait for the end; what came of it."""
        if self._meter is None:
            self.begin()
        assert self._meter is not None
        told, cpu = json.loads(self._line()), self._meter.read()
        self.process.wait()
        names = [field.name for field in attrs.fields(Figures) if field.name in told]
        return Figures(**{name: told[name] for name in names}, cpu=cpu)

    def samples(self) -> list[Sample]:
        """All that was measured, once there is a result, in the order of their ends."""
        with open(self._path, "rb") as file:
            return list(map(Sample._make, SAMPLE.iter_unpack(file.read())))


class Replicas(Cluster):
    """Three replicas on this machine."""

    def __init__(
        self,
        folder: str,
        timings: Mapping[str, float] | None = None,
        limits: Mapping[str, int] | None = None,
        journal_size: int = 0,
    ) -> None:
        """``timings`` and ``limits`` are the cluster file's; hashing is cheap, and mailboxes are large."""
        super().__init__(folder, timings=timings, has_network=False, journal_size=journal_size)
        for replica in self.replicas.values():
            path = os.path.join(replica.folder, "cluster.json")
            with open(path) as file:
                content = json.load(file)
            content["limits"] |= {"mailbox": 10**9, **(limits or {})}
            with open(path, "w") as file:
                json.dump(content, file)

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [self[number].pid for number in self.up]

    def client_port(self, number: int) -> int:
        """See Target."""
        return self[number].port

    def close(self) -> None:
        """End all, and those of their processes that compact: they would write into folders that are being removed."""
        for pid in self.pids:
            os.killpg(pid, signal.SIGKILL)
        super().close()

    def begin(self) -> "Replicas":
        """Start all, and wait until they agree."""
        self.start()
        self.wait_quiet()
        return self


@contextmanager
def replicas(
    timings: Mapping[str, float] | None = None, limits: Mapping[str, int] | None = None, journal_size: int = 0
) -> Iterator[Replicas]:
    """Three replicas in a folder that is removed in the end; none of them started."""
    with tempfile.TemporaryDirectory(prefix="chattwist-") as folder:
        cluster = Replicas(folder, timings, limits, journal_size)
        try:
            yield cluster
        finally:
            cluster.close()


def more_descriptors() -> int:
    """Let this process and those it starts open as many files as they may; how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def say(text: str) -> None:
    """Print it at once."""
    print(text, flush=True)


def headline(name: str) -> None:
    """Say what begins, and on what machine."""
    say(f"== {name}: {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")


def run(name: str, main: Callable[[argparse.Namespace], None], arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark, with the arguments of the command line unless told."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{name}")
    parser.add_argument("--short", action="store_true", help="only whether it works; the figures mean nothing")
    parser.add_argument("--rounds", type=int, default=0, help="how often each is measured")
    headline(name)
    main(parser.parse_args(arguments))
