"""What a replica that comes back does to the others: ``python -m tests.benchmarks.catchup [--short] [--rounds N]``.

The third replica is killed, and misses many messages. Then 64 clients on the other two send, one message in flight each; after
some seconds it is started, and some seconds after it commits with the others again, that ends. Compared is what SENDs took
meanwhile with what they took before (on two disks) and after (on three).
"""

import argparse
import time

import attrs

from tests.benchmarks.measuring import Load, Replicas, between, medians, replicas, run, say

CLIENTS = 64
MISSED = 200_000
ROUNDS = 3
OTHERS = (1, 2)


@attrs.frozen
class Result:
    """Of one round: seconds until it takes clients and until it is live; and the p99 of SENDs in milliseconds."""

    ready: float
    live: float
    before: float
    during: float
    after: float

    def __str__(self) -> str:
        times = f"ready after {self.ready:.2f} s, live after {self.live:.2f} s"
        p99 = f"p99 before {self.before:.2f} ms, during {self.during:.2f} ms, after {self.after:.2f} ms"
        return f"{times}; {p99}: {self.during / self.before:.2f} of before, {self.during / self.after:.2f} of after"


def miss(cluster: Replicas, messages: int) -> None:
    """Kill the third replica, and send so many messages without it."""
    cluster[3].kill()
    cluster.wait_quiet(*OTHERS)
    Load(cluster, CLIENTS, "-d", "16", "-k", str(messages), numbers=OTHERS).result()


def come_back(cluster: Replicas, seconds: float) -> Result:
    """Start it under load."""
    load = Load(cluster, CLIENTS, "-t", "0", numbers=OTHERS).begin()
    begun = time.monotonic()
    time.sleep(seconds)
    started = time.monotonic()
    cluster.start(3)
    ready = time.monotonic()
    cluster.wait_quiet()
    live = time.monotonic()
    time.sleep(seconds)
    ended = time.monotonic()
    say(f"  all of it {load.stop()}")
    parts = {"before": (begun, started), "during": (started, live), "after": (live, ended)}
    samples = load.samples()
    figures = {name: between(samples, [times]) for name, times in parts.items()}
    for name, part in figures.items():
        say(f"  {name:9} {part}")
    return Result(ready - started, live - started, **{name: part.p99 for name, part in figures.items()})


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    missed, seconds = (2_000, 0.2) if short else (MISSED, 4.0)
    results = []
    with replicas() as cluster:
        cluster.begin()
        for number in range(arguments.rounds or (1 if short else ROUNDS)):
            miss(cluster, missed)
            results.append(come_back(cluster, seconds))
            say(f"round {number + 1}, {missed:,} messages missed: {results[-1]}")
    say(f"median: {medians(results)}")


if __name__ == "__main__":
    run("catchup", main)
