"""Acknowledged SENDs a second: ``python -m tests.benchmarks.rates [--short] [--rounds N]``.

Clients log in on three replicas, in pairs that send to each other, so each message is pushed to its recipient as well. Each
keeps one SEND in flight, or 16. Either all clients are on the primary, or they are spread over the three. In between etcd
is measured with as many clients, and the way of a SEND without the chat (bare.py), which is about what there is to gain in
Twisted and CPython. Each round has clusters of its own; in the end come the medians over the rounds.
"""

import argparse
from collections import defaultdict

import attrs

from tests.benchmarks.bare import Bare, bare
from tests.benchmarks.etcd import Etcd, etcd
from tests.benchmarks.measuring import Figures, Load, Replicas, medians, replicas, run, say

CROWDS = (1, 16, 64, 256)
PIPELINED = (64, 16)  # clients, SENDs in flight of each
COMPARED = {"primary": ("etcd", "bare"), "spread": ("etcd", "primary"), "bare": ("etcd",)}
ROUNDS = 5
SECONDS = 3.0


@attrs.frozen
class Case:
    """What is measured."""

    clients: int
    depth: int = 1
    place: str = "primary"

    def __str__(self) -> str:
        return f"{self.clients:3} x {self.depth:2} {self.place:7}"

    def measure(
        self, cluster: Replicas, processes: Bare, nodes: Etcd | None, seconds: float, warm_up: float
    ) -> Figures | None:
        """Once; None if it is of etcd, and etcd is left out."""
        if self.place == "etcd":
            return None if nodes is None else nodes.load(self.clients, seconds)
        options = ["-d", str(self.depth), "-t", str(seconds), "-w", str(warm_up)]
        target = processes if self.place == "bare" else cluster
        return Load(target, self.clients, *options, numbers=(1, 2, 3) if self.place == "spread" else (1,)).result()


def cases(crowds: tuple[int, ...]) -> list[Case]:
    """All, in the order in which they take turns."""
    single = [Case(clients, 1, place) for clients in crowds for place in ("primary", "etcd", "spread", "bare")]
    return [*single, *(Case(*PIPELINED, place) for place in ("primary", "spread", "bare"))]


def compare(found: dict[Case, Figures]) -> None:
    """Print the medians, and beside them their ratios to others."""
    for case, figures in found.items():
        line = f"median {case} {figures}"
        for place in COMPARED.get(case.place, ()):
            other = found.get(Case(case.clients, case.depth, place))
            if other:
                line += f"; / {place}: rate {figures.rate / other.rate:.2f} p50 {figures.p50 / other.p50:.2f}"
                line += f" p99 {figures.p99 / other.p99:.2f}"
        say(line)


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print."""
    short = arguments.short
    results: dict[Case, list[Figures]] = defaultdict(list)
    for number in range(arguments.rounds or (1 if short else ROUNDS)):
        with replicas() as cluster, bare() as processes, etcd(not short) as nodes:
            cluster.begin()
            for case in cases((1, 16) if short else CROWDS):
                figures = case.measure(cluster, processes, nodes, *((0.1, 0.1) if short else (SECONDS, 1.0)))
                if figures is not None:
                    results[case].append(figures)
                    say(f"round {number + 1} {case} {figures}")
    compare({case: medians(found) for case, found in results.items()})


if __name__ == "__main__":
    run("rates", main)
