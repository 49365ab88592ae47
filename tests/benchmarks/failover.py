"""How long a client waits when the primary fails: ``python -m tests.benchmarks.failover [TIMES] [OTHERS]``; default 20 times.

The client is logged in on the second replica of three and sends without a pause, as do OTHERS (default 4) on the third. All
timings are the default ones but for the hold-down, which says only how long it is until the next round. The primary is
killed with -9, or stopped with SIGSTOP; printed is the time from then to the end of the first SEND that was begun
afterwards and acknowledged, so a command that the failure caught does not count. Then the primary comes back, and its
return is awaited; the client's longest wait during that is printed, too.

Nothing is said of how long it may take. But the client's session has to go on: if it ends, so does this, with status 1.
"""

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from threading import Event, Thread

from tests.endtoend.harness import Client
from tests.nemesis.cluster import NUMBERS, Cluster

Answer = tuple[float, float, str]  # begun, ended, code


class Sender:
    """One client that sends to itself, one message at a time, each repeated until it is acknowledged."""

    def __init__(self, client: Client, name: str) -> None:
        self.answers: list[Answer] = []
        self.ended = ""  # why its session did
        self._client, self._name, self._stop = client, name, Event()
        self._thread = Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        for number in count():
            while not self._send(number):
                if self.ended or self._stop.is_set():
                    return

    def _send(self, number: int) -> bool:
        begun = time.monotonic()
        try:
            answer = self._client.ask(f"@!n-{number} SEND {self._name} {number}")[0]
        except OSError as error:
            answer = f"421 {error}"
        self.answers.append((begun, time.monotonic(), answer[:3]))
        if answer[:3] not in ("250", "450", "451", "452", "454"):
            self.ended = answer
        self._client.events.clear()
        return answer.startswith("250") and not self._stop.is_set()

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stop.set()
        self._thread.join(30)

    def wait_after(self, moment: float) -> float:
        """Wait for the first SEND that began after ``moment`` and was acknowledged; seconds from then to its end."""
        for answer in self._from(0):
            begun, ended, code = answer
            if begun > moment and code == "250":
                return ended - moment
        raise SystemExit(f"the session ended: {self.ended}")

    def _from(self, index: int) -> Iterator[Answer]:
        while not self.ended:
            if index < len(self.answers):
                yield self.answers[index]
                index += 1
            else:
                time.sleep(0.0002)

    def longest(self, since: float) -> float:
        """The longest wait for an acknowledgement since then, in seconds."""
        ends = [ended for begun, ended, code in self.answers if begun > since and code == "250"]
        return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)


def measure(
    cluster: Cluster, sender: Sender, fail: Callable[[], None], back: Callable[[], None]
) -> tuple[float, float]:
    """Once: seconds until the next acknowledged SEND, and the longest wait when the primary came back."""
    moment = time.monotonic()
    fail()
    pause = sender.wait_after(moment)
    returning = time.monotonic()
    back()
    cluster.wait_quiet(*NUMBERS)
    sender.wait_after(time.monotonic())
    return pause, sender.longest(returning)


def kind(cluster: Cluster, sender: Sender, name: str, times: int) -> None:
    """Let the primary fail so often in one way, and print."""
    first = cluster[1]
    fail, back = (first.kill, lambda: cluster.start(1)) if name == "kill -9" else (first.stop_signal, first.cont)
    pauses = []
    for number in range(times):
        pause, returning = measure(cluster, sender, fail, back)
        pauses.append(pause)
        print(f"{name} {number + 1:2}: {pause * 1e3:7.1f} ms, at its return {returning * 1e3:6.1f} ms", flush=True)
    print(f"{name}: median {statistics.median(pauses) * 1e3:.1f} ms, worst {max(pauses) * 1e3:.1f} ms")
    print(f"answers to the client so far: {dict(Counter(code for _, _, code in sender.answers))}", flush=True)


def main(times: int, others: int) -> None:
    """Measure both ways of failing."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder, timings={"hold_down": 1.0}, has_network=False)
        try:
            cluster.start()
            cluster.wait_quiet()
            crowd = [Sender(cluster.session(3, f"other{n}"), f"other{n}") for n in range(others)]
            sender = Sender(cluster.session(2, "ann"), "ann")
            for name in "kill -9", "SIGSTOP":
                kind(cluster, sender, name, times)
            for one in (sender, *crowd):
                one.stop()
                if one.ended:
                    raise SystemExit(f"a session ended: {one.ended}")
        finally:
            cluster.close()


if __name__ == "__main__":
    main(*map(int, (sys.argv[1:] + ["20", "4"][len(sys.argv) - 1 :])))
