"""Many runs: on all cores, with what came of them in numbers; and one that failed, cut down to what it takes."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from multiprocessing import Pool

import attrs

from tests.simulation.faults import Fault
from tests.simulation.schedule import draw
from tests.simulation.truth import Violation
from tests.simulation.world import World

BUG = "the simulation works"
UNSWEPT = 50  # runs of a process without looking for garbage
_RUNS = count()  # of this process
Breaking = Callable[[], AbstractContextManager[None]]  # what is broken in the production code meanwhile


@attrs.frozen
class Result:
    """What came of one run."""

    seed: str
    majority: bool
    violations: list[Violation]
    faults: Counter[str]
    acknowledged: int
    changes: int
    settled: float

    def __str__(self) -> str:
        mode = "majority" if self.majority else "available"
        return f"seed {self.seed}, {mode}: " + "; ".join(map(str, self.violations[:3]))


def one(seed: str, majority: bool, faults: list[Fault] | None = None, size: int = 3) -> Result:
    """Run one seed with ``size`` replicas; a bug in the simulation itself counts as a violation, too."""
    world = World(seed, majority=majority, size=size, faults=faults)
    try:
        violations = world.run()
    except Exception as error:
        violations = [*world.truth.violations, Violation(BUG, world.timeline.now, repr(error))]
    done = sum(attempt.done is not None for attempt in world.attempts)
    kinds = Counter(fault.kind for fault in world.faults)
    return Result(seed, majority, violations, kinds, done, world.truth.changes, world.settled_after)


def _one_of(breaking: Breaking, size: int, task: tuple[str, bool]) -> Result:
    """A run leaves a megabyte of garbage behind: looking for it now and then only saves a tenth of the time."""
    if next(_RUNS) % UNSWEPT == 0:
        gc.collect()
    with breaking():
        return one(*task, size=size)


def many(
    seeds: Iterable[str], modes: Iterable[bool], breaking: Breaking = nullcontext, size: int = 3
) -> Iterator[Result]:
    """Run all seeds in all modes, on all cores."""
    tasks = [(seed, majority) for seed in seeds for majority in modes]
    with Pool(initializer=gc.disable) as pool:
        yield from pool.imap(partial(_one_of, breaking, size), tasks, chunksize=4)


def shrunk(seed: str, majority: bool, size: int, tell: Callable[[str], None]) -> list[Fault]:
    """The fewest faults with which the seed still breaks the same promise; drops one after the other."""
    faults = draw(seed, size)
    promise = broken(one(seed, majority, faults, size))
    assert promise, f"seed {seed} breaks nothing"
    again = True
    while again:
        again = False
        for fault in list(faults):
            fewer = [other for other in faults if other is not fault]
            if promise in {violation.promise for violation in one(seed, majority, fewer, size).violations}:
                faults, again = fewer, True
                tell(f"without {fault}: still")
    return faults


def broken(result: Result) -> str:
    """The first promise that was broken, or nothing."""
    return result.violations[0].promise if result.violations else ""
