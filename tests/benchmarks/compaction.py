"""What writing a snapshot does to clients: ``python -m tests.benchmarks.compaction [--short] [--rounds N]``.

A journal with many messages is prepared. A replica that starts with it closes it as soon as something is sent, and compacts it
when it is its turn, in a process of its own. 64 clients send meanwhile, one message in flight each, and some seconds longer.
So each round has times with compaction and times without, on the same processes.
"""

import argparse
import os
import statistics
import tempfile
import time

from tests.benchmarks.measuring import Figures, Load, Replicas, Span, between, replicas, run, say
from tests.benchmarks.prepared import Prepared, put

CLIENTS = 64
MESSAGES = 200_000
ROUNDS = 3
ENDLESS = 10**12  # bytes, so there is one journal only
SHORT_JOURNAL = 100_000  # bytes, after which a replica closes it in a short run
LOOK = 0.005  # seconds between two looks
FIRST_JOURNAL = "journal-000001.jsonl"


def names(cluster: Replicas) -> list[str]:
    """All files of all replicas."""
    return [name for replica in cluster.replicas.values() for name in os.listdir(replica.data)]


def compactions(cluster: Replicas) -> list[Span]:
    """Wait until all have compacted; the times in which some replica wrote a snapshot."""
    spans: list[Span] = []
    now = begun = time.monotonic()
    while FIRST_JOURNAL in (found := names(cluster)):
        time.sleep(LOOK)
        before, now = now, time.monotonic()
        if not any(".tmp-" in name for name in found):
            begun = now
        elif spans and spans[-1][1] == before:
            spans[-1] = begun, now
        else:
            spans.append((begun, now))
    return spans


def measure(cluster: Replicas, seconds: float) -> tuple[Figures, Figures]:
    """With compaction, and so long after it."""
    load = Load(cluster, CLIENTS, "-t", "0", "-w", "0").begin()
    spans = compactions(cluster)
    compacted = time.monotonic()
    time.sleep(seconds)
    ended = time.monotonic()
    say(f"  all of it {load.stop()}")
    samples = load.samples()
    return between(samples, spans), between(samples, [(compacted, ended)])


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    ratios = []
    with tempfile.TemporaryDirectory(prefix="chattwist-compaction-") as folder:
        Prepared(CLIENTS, 5_000 if short else MESSAGES).write(directory := os.path.join(folder, "one"), ENDLESS)
        for number in range(arguments.rounds or (1 if short else ROUNDS)):
            with replicas(journal_size=SHORT_JOURNAL if short else 0) as cluster:
                put(directory, cluster)
                during, after = measure(cluster.begin(), 0.2 if short else 5.0)
            ratios.append(during.p99 / after.p99)
            say(f"round {number + 1}, compacting for {during.seconds:.2f} s {during}")
            say(f"round {number + 1}, after it {after}; ratio of p99 {ratios[-1]:.2f}")
    say(f"median ratio of p99 {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    run("compaction", main)
