"""What it costs to hold much: ``python -m tests.benchmarks.stored [--short] [--rounds N]``.

For some numbers of accounts and of stored messages: how long a start takes, how much memory a replica has then, and SENDs a
second with one in flight for each client. Each round gives every case the same files anew, and in the end come the medians.

Three times are told of a start: until all three replicas take clients when all start at once; and when one starts
while the others run, until it takes clients, and until it is one of those that commit together.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict

import attrs

from tests.benchmarks.measuring import Figures, Load, Replicas, replicas, resident, run, say
from tests.benchmarks.prepared import Prepared, put

CLIENTS = 64
CASES = tuple(Prepared(CLIENTS, messages) for messages in (0, 10_000, 100_000, 1_000_000))
CROWDS = Prepared(1), Prepared(10_000)
SHORT = Prepared(1), Prepared(CLIENTS, 5_000)
ROUNDS = 3


@attrs.frozen
class Result:
    """Of one case in one round; seconds, and bytes of one replica."""

    together: float
    ready: float
    live: float
    memory: int
    one: Figures
    many: Figures


def measure(cluster: Replicas, accounts: int, seconds: str) -> Result:
    """Start, restart one, and load; the data are in place."""
    begun = time.monotonic()
    cluster.start()
    together = time.monotonic() - begun
    cluster.wait_quiet()
    memory = resident(cluster[2].pid)
    cluster[3].terminate()
    cluster.wait_quiet(1, 2)
    begun = time.monotonic()
    cluster.start(3)
    ready = time.monotonic() - begun
    cluster.wait_quiet()
    live = time.monotonic() - begun
    one, many = (Load(cluster, clients, "-t", seconds).result() for clients in (1, min(CLIENTS, accounts)))
    return Result(together, ready, live, memory, one, many)


def tell(case: Prepared, results: list[Result], empty: list[Result]) -> None:
    """The medians of one case; ``empty``: the results without any messages."""

    def median(name: str, of: list[Result]) -> float:
        figures = name.split(".")
        values = [getattr(one, figures[0]) for one in of]
        return statistics.median(getattr(value, figures[1]) for value in values) if figures[1:] else statistics.median(values)

    line = f"median {case.accounts} accounts, {case.messages:,} messages: started together {median('together', results):.2f} s;"
    line += f" alone ready {median('ready', results):.2f} s, live {median('live', results):.2f} s;"
    line += f" {median('memory', results) / 2**20:.1f} MiB"
    for name in ("one", "many"):
        rate = median(f"{name}.rate", results)
        line += f"; {name}: {rate:,.0f}/s p99 {median(f'{name}.p99', results):.2f} ms"
        line += f", / empty {rate / median(f'{name}.rate', empty):.2f}"
    say(line)


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    cases = SHORT if short else (*CASES, *CROWDS)
    results: dict[Prepared, list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chattwist-stored-") as folder:
        directories = {case: os.path.join(folder, str(number)) for number, case in enumerate(cases)}
        for case, directory in directories.items():
            case.write(directory)
        for number in range(arguments.rounds or (1 if short else ROUNDS)):
            for case, directory in directories.items():
                with replicas() as cluster:
                    put(directory, cluster)
                    result = measure(cluster, case.accounts, "0.1" if short else "3")
                results[case].append(result)
                say(f"round {number + 1}, {case.accounts} accounts, {case.messages:,} messages, one:  {result.one}")
                say(f"round {number + 1}, {case.accounts} accounts, {case.messages:,} messages, many: {result.many}")
    for case in cases:
        tell(case, results[case], results[cases[0]])


if __name__ == "__main__":
    run("stored", main)
