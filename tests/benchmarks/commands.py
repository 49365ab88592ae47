"""What is not SEND: ``python -m tests.benchmarks.commands [--short] [--rounds N]``.

Delivery: from a SEND on one replica to the recipient's * MSG on another. Then rates of HISTORY 20, READ 1 and LOGIN, each with
one command in flight a client. bcrypt is what LOGIN takes; its cost is 12 unless the cluster file says otherwise.
"""

import argparse
import time

from tests.benchmarks.measuring import Load, replicas, run, say
from tests.benchmarks.prepared import Prepared
from tests.endtoend.harness import PASSWORD

CLIENTS = 64
LOGINS = 16  # clients that log in and out again
EVERYWHERE: tuple[int, ...] = (1, 2, 3)
PRIMARY: tuple[int, ...] = (1,)
FOLLOWERS: tuple[int, ...] = (2, 3)
COSTS = (12, 4)
PAUSE = 0.5  # seconds in which those are logged out whose generator just ended in the middle of a LOGIN


def delivery_and_reading(short: bool, rounds: int) -> None:
    """On accounts that have many unread messages."""
    seconds, reads = ("0.1", 2_000) if short else ("3", 100_000)
    with replicas() as cluster:
        Prepared(CLIENTS, rounds * reads * 2, is_read=False).give(cluster)
        cluster.begin()
        for _ in range(rounds):
            for clients, places in (2, FOLLOWERS), (CLIENTS, EVERYWHERE):
                load = Load(cluster, clients, "-l", "-t", seconds, "-w", "0.1", numbers=places)
                say(f"delivery, {clients:2} clients on {places}: {load.result()}")
            for numbers in PRIMARY, EVERYWHERE:
                load = Load(cluster, CLIENTS, "-c", "HISTORY 20", "-t", seconds, "-w", "0.1", numbers=numbers)
                say(f"HISTORY 20, {CLIENTS} clients on {numbers}: {load.result()}")
                load = Load(cluster, CLIENTS, "-c", "READ 1", "-k", str(reads // 2), numbers=numbers)
                say(f"READ 1, {CLIENTS} clients on {numbers}: {load.result()}")


def logins(cost: int, seconds: str, rounds: int) -> None:
    """LOGIN and LOGOUT in turn; measured is LOGIN."""
    commands = ["-c", f"LOGIN %n {PASSWORD}", "-c", "LOGOUT"]
    with replicas(limits={"bcrypt_cost": cost}) as cluster:
        Prepared(LOGINS, cost=cost).give(cluster)
        cluster.begin()
        for _ in range(rounds):
            time.sleep(PAUSE)
            load = Load(cluster, LOGINS, "-a", *commands, "-t", seconds, "-w", "0.1", numbers=EVERYWHERE)
            say(f"LOGIN, {LOGINS} clients on {EVERYWHERE}, cost {cost}: {load.result()}")


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    rounds = arguments.rounds or (1 if short else 3)
    delivery_and_reading(short, rounds)
    for cost in COSTS[1:] if short else COSTS:
        logins(cost, "0.1" if short else "5", rounds)


if __name__ == "__main__":
    run("commands", main)
