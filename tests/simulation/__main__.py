"""``python -m tests.simulation``: look for schedules that break a promise. ``--help`` says what else it does."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation import mutants
from tests.simulation.run import Result, many, shrunk
from tests.simulation.trace import told
from tests.simulation.world import World

MODES = {"available": [False], "majority": [True], "both": [False, True]}


def main(arguments: Sequence[str]) -> int:
    """Do what is asked for; 1 if a promise was broken, or a broken rule was not noticed."""
    parser = argparse.ArgumentParser("python -m tests.simulation", description="Run whole clusters in simulated time.")
    parser.add_argument("--seeds", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--mode", choices=MODES, default="both", help="which promises are tried (both)")
    parser.add_argument("--replicas", type=int, default=3, help="how many, 2 or more (3)")
    parser.add_argument("--seed", help="one seed, instead of many")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell all that happens")
    parser.add_argument("--shrink", action="store_true", help="with --seed: leave out faults as long as it still fails")
    parser.add_argument(
        "--mutants", action="store_true", help="break one rule after the other: is it noticed, and how soon?"
    )
    options = parser.parse_args(arguments)
    seeds = [str(number) for number in range(options.first, options.first + options.seeds)]
    if options.mutants:
        return try_mutants(seeds, MODES[options.mode])
    if options.seed is None:
        return try_many(seeds, MODES[options.mode], options.replicas)
    if options.shrink:
        return shrink(options.seed, MODES[options.mode][0], options.replicas)
    return try_one(options.seed, MODES[options.mode][0], options.trace, options.replicas)


def try_many(seeds: list[str], modes: list[bool], size: int) -> int:
    """Run them all; numbers at the end."""
    begun = time.monotonic()
    faults: Counter[str] = Counter()
    results: list[Result] = []
    for result in many(seeds, modes, size=size):
        results.append(result)
        faults += result.faults
        if result.violations:
            print(result, flush=True)
    failed = Counter(result.violations[0].promise for result in results if result.violations)
    settled = sorted(result.settled for result in results)
    print(f"{len(results)} runs in {time.monotonic() - begun:.0f} s")
    print(f"faults: {sum(faults.values())}; " + ", ".join(f"{kind} {count}" for kind, count in faults.most_common()))
    print(f"acknowledged: {sum(result.acknowledged for result in results)}; "
          f"changes of view: {sum(result.changes for result in results)}; "
          f"well again after healing: {settled[len(settled) // 2]:.1f} s, at most {settled[-1]:.1f} s")  # fmt: skip
    print(f"runs that broke a promise: {sum(failed.values())}")
    for promise, count in failed.most_common():
        print(f"  {count:5} {promise}")
    return 1 if failed else 0


def try_one(seed: str, majority: bool, trace: bool, size: int) -> int:
    """Run one and tell of it."""
    world = World(seed, majority=majority, size=size, trace=print if trace else None)
    with told(world.note):
        violations = world.run()
    for fault in world.faults:
        print(fault)
    for violation in violations:
        print(violation)
    return 1 if violations else 0


def shrink(seed: str, majority: bool, size: int) -> int:
    """Show the faults that it takes."""
    for fault in shrunk(seed, majority, size, print):
        print(fault)
    return 1


def try_mutants(seeds: list[str], modes: list[bool]) -> int:
    """A table: rule, seeds until it was noticed that it is broken, by which promise."""
    unnoticed = 0
    for name, breaking in mutants.MUTANTS.items():
        count, promise = mutants.until_noticed(seeds, modes, breaking)
        unnoticed += not promise
        print(f"{name:28} {count:6} {promise or 'NOT NOTICED'}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
