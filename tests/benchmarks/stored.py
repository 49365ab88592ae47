"""What it costs to hold much: ``python -m tests.benchmarks.stored [--short] [--rounds N]``.

For some numbers of accounts and of stored messages: how long a start takes, how much memory a replica has then, and SENDs a
second with one in flight for each client. Each round gives every case the same files anew, and in the end come the medians.

Three times are told of a start: until all three replicas take clients when all start at once; and when one starts
while the others run, until it takes clients, and until it is one of those that commit together.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict

import attrs

from tests.benchmarks.measuring import Load, Replicas, medians, replicas, resident, run, say
from tests.benchmarks.prepared import Prepared, put

CLIENTS = 64
SHORT = Prepared(1), Prepared(CLIENTS, 5_000)
CASES = (
    *(Prepared(CLIENTS, messages) for messages in (0, 10_000, 100_000, 1_000_000)),
    Prepared(CLIENTS, 1_000_000, is_read=False),
    Prepared(1),
    Prepared(10_000),
)
ROUNDS = 3


@attrs.frozen
class Result:
    """Of one case in one round: seconds, MiB of one replica, SENDs a second and milliseconds."""

    together: float
    ready: float
    live: float
    memory: float
    rate_1: float  # of one client
    p99_1: float
    rate_64: float
    p99_64: float

    def compared(self, empty: "Result") -> str:
        """In words, with the ratios to another one."""
        rates = (
            f"{clients} clients {getattr(self, rate):,.0f}/s ({getattr(self, rate) / getattr(empty, rate):.2f} of empty), "
            f"p99 {getattr(self, p99):.2f} ms"
            for clients, rate, p99 in ((1, "rate_1", "p99_1"), (CLIENTS, "rate_64", "p99_64"))
        )
        starts = f"together {self.together:.2f} s; alone ready {self.ready:.2f} s, live {self.live:.2f} s"
        return "; ".join([starts, f"{self.memory:.1f} MiB", *rates])


def measure(cluster: Replicas, seconds: str) -> Result:
    """Start, restart one, and load; the data are in place."""
    begun = time.monotonic()
    cluster.start()
    together = time.monotonic() - begun
    cluster.wait_quiet()
    memory = resident(cluster[2].pid) / 2**20
    cluster[3].terminate()
    cluster.wait_quiet(1, 2)
    begun = time.monotonic()
    cluster.start(3)
    ready = time.monotonic() - begun
    cluster.wait_quiet()
    live = time.monotonic() - begun
    one, many = (Load(cluster, clients, "-t", seconds).result() for clients in (1, CLIENTS))
    say(f"  {one}\n  {many}")
    return Result(together, ready, live, memory, one.rate, one.p99, many.rate, many.p99)


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    cases = SHORT if short else CASES
    results: dict[Prepared, list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chattwist-stored-") as folder:
        directories = {case: os.path.join(folder, str(number)) for number, case in enumerate(cases)}
        for case, directory in directories.items():
            case.write(directory)
        for number in range(arguments.rounds or (1 if short else ROUNDS)):
            for case, directory in directories.items():
                say(f"round {number + 1}, {case}")
                with replicas() as cluster:
                    put(directory, cluster)
                    results[case].append(measure(cluster, "0.1" if short else "3"))
    for case in cases:
        say(f"median {case}: {medians(results[case]).compared(medians(results[cases[0]]))}")


if __name__ == "__main__":
    run("stored", main)
