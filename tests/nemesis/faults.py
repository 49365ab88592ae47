"""Random faults, drawn from a seed, that never break what the promise rests on.

A disk is lost (wiped, or set back to an old copy) only while all else is well: the cluster is healed and quiet before, and
again afterwards before anything else happens. In ``available`` mode two may be lost at once, in ``majority`` mode one.
"""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable

from tests.nemesis.cluster import NUMBERS, Cluster

LONGEST = 3.0  # seconds between two faults


class Nemesis:
    """Disturbs a cluster. ``counts`` says how often in which way; ``wrong`` what must not have happened meanwhile."""

    def __init__(self, cluster: Cluster, mode: str, seed: int, log: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._cluster, self._random, self._log = cluster, random.Random(seed), log
        self._most_lost = 2 if mode == "available" else 1
        self._running: set[int] = set(NUMBERS)  # those that have to run
        self._faults: list[tuple[Callable[[], str], int]] = [
            (self.kill, 8),
            (self.terminate, 3),
            (self.stop, 6),
            (self.cut_one_way, 5),
            (self.isolate, 5),
            (self.part_two, 4),
            (self.delay, 2),
            (self.reset, 3),
            (self.fill, 4),
            (self.all_down, 2),
            (self.lose_disks, 2),
            (self.back_up, 2),
        ]
        self._repairs: list[Callable[[], str]] = [self.start, self.cont, self.heal_network, self.free]

    def run(self, seconds: float) -> None:
        """Disturb for so long; then heal and start all, and wait until they are quiet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
            time.sleep(self._random.uniform(0.2, LONGEST))
        self.calm()

    def step(self) -> None:
        """Mostly a fault; mostly a repair where there is much to repair already."""
        self.look()
        while not self._try():
            pass

    def _try(self) -> bool:
        broken = sum(map(bool, (self._down, self._stopped, not self._cluster.network.is_whole, self._full)))
        if self._random.random() < broken / 4 + 0.05:
            what, deed = "repair", self._random.choice(self._repairs)
        else:
            faults, weights = zip(*self._faults, strict=True)
            what, deed = "fault", self._random.choices(faults, weights)[0]
        done = deed()
        if done:
            self._log(f"{what}: {deed.__name__} {done}")
            if what == "fault":
                self.counts[deed.__name__] += 1
        return bool(done)

    def look(self) -> None:
        """Note processes that ended without being asked to, and start them."""
        for number in sorted(self._running):
            replica = self._cluster[number]
            if not replica.is_up:
                said = "".join(replica.log[-5:]) + replica.errors()
                self.wrong.append(f"replica {number} ended by itself, status {replica.wait()}: {said}")
                self._log(self.wrong[-1])
                replica.launch()

    @property
    def _down(self) -> list[int]:
        return [n for n in NUMBERS if n not in self._running]

    @property
    def _stopped(self) -> list[int]:
        return [n for n in NUMBERS if self._cluster[n].is_stopped]

    @property
    def _full(self) -> list[int]:
        return [n for n in NUMBERS if self._cluster[n].is_full]

    def _pick(self, numbers: list[int]) -> int | None:
        return self._random.choice(numbers) if numbers else None

    def _shuffled(self) -> list[int]:
        return self._random.sample(NUMBERS, len(NUMBERS))

    def _launch(self, number: int) -> None:
        self._cluster[number].launch()
        self._running.add(number)

    def _kill(self, number: int) -> None:
        self._running.discard(number)
        self._cluster[number].kill()

    # -- faults; each says what it did, or nothing where it does not apply

    def kill(self) -> str:
        """Kill one with -9."""
        number = self._pick(sorted(self._running))
        if number is None:
            return ""
        self._kill(number)
        return str(number)

    def terminate(self) -> str:
        """Stop one in good order."""
        number = self._pick([n for n in self._cluster.acting if n in self._running])
        if number is None:
            return ""
        self._running.discard(number)
        try:
            status: object = self._cluster[number].terminate()
        except subprocess.TimeoutExpired as error:
            status = error
            self._cluster[number].kill()
        if status != 0:
            self.wrong.append(f"replica {number}, asked by SIGTERM to end: {status}")
        return str(number)

    def stop(self) -> str:
        """Stop one where it is."""
        number = self._pick(self._cluster.acting)
        if number is None:
            return ""
        self._cluster[number].stop_signal()
        return str(number)

    def cut_one_way(self) -> str:
        """Nothing flows from one to another any more."""
        a, b, _ = self._shuffled()
        self._cluster.network.cut(a, b)
        return f"from {a} to {b}"

    def isolate(self) -> str:
        """One is alone."""
        number = self._shuffled()[0]
        self._cluster.isolate(number)
        return str(number)

    def part_two(self) -> str:
        """Two are cut from each other; the third reaches both."""
        a, b, _ = self._shuffled()
        self._cluster.network.part([a], [b])
        return f"{a} and {b}"

    def delay(self) -> str:
        """One direction gets slow."""
        a, b, _ = self._shuffled()
        seconds = self._random.choice([0.01, 0.1, 0.4])
        self._cluster.network.delay(a, b, seconds)
        return f"from {a} to {b}, {seconds} s"

    def reset(self) -> str:
        """Connections break."""
        a, b, _ = self._shuffled()
        self._cluster.network.reset(a, b)
        return f"{a} and {b}"

    def fill(self) -> str:
        """A disk is full."""
        number = self._pick([n for n in self._cluster.acting if not self._cluster[n].is_full])
        if number is None:
            return ""
        self._cluster[number].fill_disk()
        return str(number)

    def all_down(self) -> str:
        """All die one after the other, and come back in another order."""
        down, up = self._shuffled(), self._shuffled()
        for number in down:
            self._kill(number)
            self._wait(1.0)
        for number in up:
            self._launch(number)
            self._wait(self._random.choice([0.1, 2.0, 6.0]))
        return f"{down}, up {up}"

    def lose_disks(self) -> str:
        """One or two lose their data, or get an old copy."""
        self.calm()
        lost = self._shuffled()[: self._random.randint(1, self._most_lost)]
        for number in lost:
            self._kill(number)
        self._wait(2.0)
        for number in lost:
            replica = self._cluster[number]
            (replica.restore if replica.has_backup and self._random.random() < 0.5 else replica.wipe)()
        for number in lost:
            self._launch(number)
            self._wait(1.0)
        self.calm()
        return str(lost)

    def back_up(self) -> str:
        """Copy the data of one that does not run."""
        number = self._pick(self._down)
        if number is None:
            return ""
        self._cluster[number].backup()
        return str(number)

    def _wait(self, most: float) -> None:
        time.sleep(self._random.uniform(0, most))

    # -- repairs

    def start(self) -> str:
        """Start one that is down."""
        number = self._pick(self._down)
        if number is None:
            return ""
        self._launch(number)
        return str(number)

    def cont(self) -> str:
        """Let one go on that is stopped."""
        number = self._pick(self._stopped)
        if number is None:
            return ""
        self._cluster[number].cont()
        return str(number)

    def heal_network(self) -> str:
        """Cut nothing, delay nothing."""
        if self._cluster.network.is_whole:
            return ""
        self._cluster.network.heal()
        return "all"

    def free(self) -> str:
        """Room on all disks."""
        full = self._full
        for number in full:
            self._cluster[number].free_disk()
        return f"{full}" if full else ""

    def calm(self) -> None:
        """Repair everything, and wait until the cluster is quiet."""
        self._cluster.heal()
        self.look()
        for number in self._down:
            self._launch(number)
        begun = time.monotonic()
        try:
            self._cluster.wait_quiet(*NUMBERS)
        except AssertionError as error:
            self.look()
            self.wrong.append(str(error))
        self._log(f"quiet after {time.monotonic() - begun:.1f} s")
