"""How much memory things take: ``python -m tests.benchmarks.memory [--short]``.

A session that is logged in and idle: all are on the first replica, the others only know of them. A stored message of 100
bytes: as a replica holds it that has started with it, and as it holds it after it came; read by its recipient, or unread.
"""

import argparse
import time
from collections.abc import Mapping

from tests.benchmarks.measuring import Load, Replicas, more_descriptors, replicas, resident, run, say
from tests.benchmarks.prepared import Prepared
from tests.nemesis.cluster import NUMBERS

CLIENTS = 64
SESSIONS = 10_000
MESSAGES = 200_000
SPARE = 500  # descriptors that are not clients
PARTNER = "%p"  # a recipient that is logged in
SETTLED = 2.0  # seconds after which what a crowd of logins needed is given back, as far as it is


def each(before: Mapping[int, int], after: Mapping[int, int], count: int) -> str:
    """How much was added for each of ``count`` things, on each replica."""
    return ", ".join(f"{(after[number] - before[number]) / count:.0f}" for number in NUMBERS)


def memory(cluster: Replicas) -> dict[int, int]:
    """Bytes of each replica."""
    return {number: resident(cluster[number].pid) for number in NUMBERS}


def begun(cluster: Replicas, prepared: Prepared) -> dict[int, int]:
    """Start with these files; the memory of each replica then."""
    prepared.give(cluster)
    cluster.begin()
    return memory(cluster)


def idle_sessions(count: int, pause: float) -> None:
    """Log so many in, and look."""
    most = more_descriptors()
    if most < count + SPARE:
        return say(f"idle sessions are left out: they need {count + SPARE} descriptors, ulimit -n is {most}")
    limits = {"connections": count + SPARE, "connections_per_address": count + SPARE}
    with replicas(limits=limits) as cluster:
        before = begun(cluster, Prepared(count))
        load = Load(cluster, count, "-i", "-t", "0", "-w", "0").begin()
        time.sleep(pause)
        added = each(before, memory(cluster), count)
        say(f"bytes an idle session of {count:,}, on each replica: {added}; {load.stop().cpu}")


def loaded_messages(empty: Mapping[int, int], count: int, is_read: bool) -> None:
    """Start with so many, and look."""
    with replicas() as cluster:
        after = begun(cluster, prepared := Prepared(CLIENTS, count, is_read))
        say(f"bytes a message, started with {prepared}: {each(empty, after, count)}")


def arrived_messages(cluster: Replicas, before: Mapping[int, int], count: int, recipient: str) -> None:
    """Send so many, and look; they are read where they are pushed."""
    figures = Load(cluster, CLIENTS // 2, "-d", "16", "-k", str(count), "-c", f"SEND {recipient} %t").result()
    kind = "read" if recipient == PARTNER else "unread"
    say(f"bytes a message, of {count:,} {kind} ones that came: {each(before, memory(cluster), count)}; {figures.cpu}")


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    sessions, messages = (200, 2_000) if short else (SESSIONS, MESSAGES)
    idle_sessions(sessions, 0.1 if short else SETTLED)
    with replicas() as cluster:
        empty = begun(cluster, Prepared(CLIENTS))
        arrived_messages(cluster, empty, messages, PARTNER)
        arrived_messages(cluster, memory(cluster), messages, f"user{CLIENTS - 1}")
    if not short:
        for is_read in True, False:
            loaded_messages(empty, messages, is_read)


if __name__ == "__main__":
    run("memory", main)
