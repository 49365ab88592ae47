"""How long a client waits when the primary fails: ``python -m tests.benchmarks.failover [--short] [--rounds N]``; 20 rounds.

The client is logged in on the second replica of three and sends without a pause, as do four others on the third. All
timings are the default ones but for the hold-down, which says only how long it is until the next round. The primary is
killed with -9, or stopped with SIGSTOP; printed is the time from then to the end of the first SEND that was begun
afterwards and acknowledged, so a command that the failure caught does not count. Then the primary comes back, and its
return is awaited; the client's longest wait during that is printed, too.

Nothing is said of how long it may take. But the clients' sessions have to go on: if one ends, so does this, with status 1.
"""

import argparse
import secrets
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import attrs

from tests.benchmarks.measuring import Load, Replicas, Sample, replicas, run, say
from tests.nemesis.cluster import NUMBERS

OTHERS = (2, 3)
CLIENTS = (2, 3, 3, 3, 3)  # the replica of each; the first is looked at
COMMAND = "@!{}-%k SEND %n %t"  # a retry key of this run: one that was used before would send nothing
PAUSE = 0.2  # seconds in which all is as usual
ROUNDS = 20


@attrs.frozen
class Moments:
    """Of one round, on the monotonic clock."""

    failed: float
    returned: float
    over: float

    def wait(self, samples: list[Sample]) -> float:
        """Seconds until the first SEND that began after the failure was acknowledged."""
        return next(sample.ended - self.failed for sample in samples if sample.begun >= self.failed)

    def at_return(self, samples: list[Sample]) -> float:
        """The longest wait for an acknowledgement while the primary came back, in seconds."""
        ends = [sample.ended for sample in samples if self.returned <= sample.ended <= self.over]
        return max(later - earlier for earlier, later in pairwise([self.returned, *ends, self.over]))


def once(cluster: Replicas, fail: Callable[[], None], back: Callable[[], None]) -> Moments:
    """The primary fails, and comes back."""
    time.sleep(PAUSE)
    failed = time.monotonic()
    fail()
    cluster.wait_quiet(*OTHERS)
    returned = time.monotonic()
    back()
    cluster.wait_quiet(*NUMBERS)
    return Moments(failed, returned, time.monotonic())


def kind(cluster: Replicas, name: str, times: int) -> None:
    """Let the primary fail so often in one way, and print."""
    first = cluster[1]
    fail, back = (first.kill, lambda: cluster.start(1)) if name == "kill -9" else (first.stop_signal, first.cont)
    command = COMMAND.format(secrets.token_hex(4))
    load = Load(cluster, len(CLIENTS), "-t", "0", "-w", "0", "-c", command, numbers=CLIENTS).begin()
    rounds = [once(cluster, fail, back) for _ in range(times)]
    time.sleep(PAUSE)
    figures = load.stop()
    samples = [sample for sample in load.samples() if sample.client == 0]
    waits = [moments.wait(samples) * 1e3 for moments in rounds]
    for number, (wait, moments) in enumerate(zip(waits, rounds, strict=True)):
        say(f"{name} {number + 1:2}: {wait:7.1f} ms, at its return {moments.at_return(samples) * 1e3:6.1f} ms")
    say(f"all clients: {figures}")
    say(f"{name}: median {statistics.median(waits):.1f} ms, worst of {times} {max(waits):.1f} ms")


def main(arguments: argparse.Namespace) -> None:
    """Measure both ways of failing; a short one only the first."""
    short = arguments.short
    with replicas(timings={"hold_down": 0.2 if short else 1.0}) as cluster:
        cluster.begin()
        for name in ("kill -9",) if short else ("kill -9", "SIGSTOP"):
            kind(cluster, name, arguments.rounds or (1 if short else ROUNDS))


if __name__ == "__main__":
    run("failover", main)
