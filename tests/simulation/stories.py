"""Schedules that chance alone draws too rarely: each makes the case that some rule was made for, at times that vary."""

from collections.abc import Callable
from random import Random

from tests.simulation.faults import Fault

Story = Callable[[Random, int], list[Fault]]


def _fault(random: Random, at: float, kind: str, who: int, lasts: float, whom: int = 0) -> Fault:
    return Fault(at, kind, who, whom, lasts, random.random())


def short_stops(random: Random, size: int) -> list[Fault]:
    """Processes stand still, for less time than others need to notice (R13)."""
    times = [3.0 + 3.5 * turn + random.random() * 2 for turn in range(3)]
    return [_fault(random, at, "pause", random.choice([0, 0, 1, 2]), 0.6 + random.random() * 0.35) for at in times]


def out_of_reach(random: Random, size: int) -> list[Fault]:
    """The first and another do not reach each other for long, or one not the other, and the third reaches both (R14, R15)."""
    who, whom = random.sample([0, random.randrange(1, size)], 2)
    return [_fault(random, 3 + random.random() * 4, random.choice(["pair", "firewall"]), who, 11.5, whom)]


def first_to_go(random: Random, size: int) -> list[Fault]:
    """All go down, one after the other, and the one that missed most is back long before the others (R16)."""
    order = random.sample(range(size), size)
    times = [2.5 + turn * (2.5 + random.random()) for turn in range(size)]
    alone = times[-1] + 0.5 + random.random()
    back = [alone, *(alone + 3.0 + random.random() * 2 for _ in order[1:])]
    kinds = random.choices(["kill", "power"], k=size)
    downs = zip(times, kinds, order, back, strict=True)
    return [_fault(random, at, kind, who, up - at) for at, kind, who, up in downs] + _doubt(random, alone)


def comes_back(random: Random, size: int) -> list[Fault]:
    """A replica, mostly the first, comes back while all the others are well (R17)."""
    who = random.choice([0, 0, 0, 1])
    times = [3.5 + random.random() * 2, 11.5 + random.random() * 2]
    return [_fault(random, at, random.choice(["kill", "power"]), who, 2.8 + random.random() * 2) for at in times]


def stuck(random: Random, size: int) -> list[Fault]:
    """A disk does not answer for long (R18)."""
    return [_fault(random, 3 + random.random() * 5, "stuck disk", random.randrange(size), 12.0)]


def last_words(random: Random, size: int) -> list[Fault]:
    """The primary goes down while nobody hears it: what it was told last is on its disk only (R6, R12, R19)."""
    cut = 1.5 + random.random() * 3
    down = cut + 0.3 + random.random() * 0.6
    return [
        _fault(random, cut, "isolate", 0, 3.0),
        _fault(random, down, "kill", 0, 3 + random.random() * 6),
        _fault(random, cut - 0.15, "crowd", 0, 0.0),
        *_doubt(random, down),
    ]


def alone_and_full(random: Random, size: int) -> list[Fault]:
    """What one acknowledged alone only the primary can get from it, since its disk is full, so that it stays outside (R6)."""
    who, cut = random.choice([0, 0, *range(size)]), 3 + random.random() * 2
    last = max(rank for rank in range(size) if rank != who)
    back = cut + 3.5 + random.random() * 3
    return [
        _fault(random, cut, "isolate", who, back - cut),
        _fault(random, cut, "pair", who, back - cut + 7.0, last),
        Fault(back - 0.3, "full", who, 0, 7.0, 0.0),
        *_doubt(random, back - 0.5),
    ]


def seen_in_passing(random: Random, size: int) -> list[Fault]:
    """One that went on alone comes back to a follower only, and goes away before the primary takes it in (R2)."""
    who, whom = random.sample([0, 0, *range(1, size)], 2)
    cut = 2 + random.random()
    back = cut + 3.5 + random.random()
    return [
        _fault(random, cut, "isolate", who, back - cut),
        _fault(random, cut, "pair", who, 20.0, whom),
        _fault(random, back + random.random(), "kill", who, 20.0),
    ]


def bad_disk(random: Random, size: int) -> list[Fault]:
    """A write or flush fails, and soon after the power: what the kernel said that it had, but did not flush, is gone (R9)."""
    who = random.choice([0, 0, *range(size)])
    times = [2.5 + 4 * turn + random.random() for turn in range(3)]
    ends = [_fault(random, at + 0.1 + random.random() * 0.5, "power", who, 1.0) for at in times]
    return [*(_fault(random, at, "eio", who, 0.0) for at in times), *ends]


def rolling(random: Random, size: int) -> list[Fault]:
    """One after the other is stopped in good order and started again, as for another version of the program."""
    order = random.sample(range(size), size)
    gap = random.choice([0.05, 0.5, 2.0, 4.0])
    return [
        _fault(random, 3 + turn * gap + random.random(), "term", who, random.random() * 3)
        for turn, who in enumerate(order)
    ]


def _doubt(random: Random, at: float) -> list[Fault]:
    return [_fault(random, at, "doubt", 0, 8.0)]


STORIES: list[Story] = [
    short_stops, out_of_reach, out_of_reach, first_to_go, comes_back, stuck, last_words, last_words, alone_and_full,
    alone_and_full, bad_disk,
]  # fmt: skip
