"""Which faults befall a run, drawn from its seed: some of everything at any time, or a story."""

from random import Random

import attrs

from tests.simulation.faults import WEIGHTS, Fault
from tests.simulation.stories import STORIES, rolling, seen_in_passing

LASTS = 16.0  # seconds in which faults begin
STORY = 0.35  # of all schedules are stories
PASSING = 0.03  # are a story of their own, drawn apart: so the seeds that are kept mean what they did
CALM = 0.25  # of the others have few faults, which last
ORDERLY = 0.3  # of all have stops in good order, drawn apart, too
SPOILING = {"wipe", "restore", "rot"}


def draw(seed: str, size: int, orderly: bool = True) -> list[Fault]:
    """The faults of a run, in the order of time; ``orderly``: perhaps with stops in good order."""
    faults = _draw(seed, size)
    random = Random(f"{seed}-orderly")
    if not orderly or random.random() >= ORDERLY:
        return faults
    stops = [attrs.evolve(one, kind="term") if one.kind == "kill" and random.random() < 0.5 else one for one in faults]
    restarts = rolling(random, size) if random.random() < 0.5 else []
    return sorted([*stops, *restarts], key=lambda fault: fault.at)


def _draw(seed: str, size: int) -> list[Fault]:
    random = Random(f"{seed}-faults")
    if size > 2 and Random(f"{seed}-seen").random() < PASSING:
        return sorted(seen_in_passing(random, size), key=lambda fault: fault.at)
    story = size > 2 and random.random() < STORY
    draw_some = random.choice(STORIES) if story else _anything
    return sorted(draw_some(random, size), key=lambda fault: fault.at)


def _anything(random: Random, size: int) -> list[Fault]:
    calm = random.random() < CALM
    kinds = random.choices(
        list(WEIGHTS), list(WEIGHTS.values()), k=random.randint(1, 3) if calm else random.randint(4, 12)
    )
    spoiled = False
    faults = [Fault(1 + random.random() * LASTS / 2, "backup", random.randrange(size), 0, 0.0, 0.0)]
    for kind in kinds:
        if kind in SPOILING and spoiled and random.random() < 0.9:
            kind = "kill"
        spoiled = spoiled or kind in SPOILING
        who = random.choices(range(size), [3, 2, *[1.5] * (size - 2)])[0] if size > 1 else 0
        whom = random.choice([rank for rank in range(size) if rank != who]) if size > 1 else 0
        lasts = random.choice([random.random() * 0.6, random.random() * 3, random.random() * 8])
        lasts += 6 + random.random() * 6 if calm and kind != "full" else 0.0  # a disk is tried again ever more rarely
        faults.append(Fault(random.random() * LASTS, kind, who, whom, lasts, random.random()))
    return faults
