"""Promised of replicas that can talk to each other: they come to hold the same, also what a third had that is gone again."""

from typing import TYPE_CHECKING

from tests.simulation.progress import is_steady, is_whole
from tests.simulation.promises import loose_in

if TYPE_CHECKING:
    from tests.simulation.world import World

CALM = 1.0  # seconds without a fault, after which the disks are looked at
SPREADS = 8.0  # seconds later they are looked at again


class Spreading:
    """What was on the disks at a calm moment, held against what is there a while later."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._then: tuple[float, list[set[str]]] | None = None

    def look(self) -> None:
        """To be called all the time."""
        world = self._world
        now = world.timeline.now
        if now - max(world.changed, world.started) < CALM or not is_steady(world):
            self._then = None
        elif self._then is None:
            self._then = now, [set(held) for held in world.truth.held]
        elif now - self._then[0] > SPREADS:
            self._compare(self._then[1])
            self._then = None

    def _compare(self, then: list[set[str]]) -> None:
        truth, machines = self._world.truth, self._world.machines
        whole = [machine for machine in machines if is_whole(machine)]
        loose = {found for machine in whole for found in loose_in(machine)}
        for machine in whole:
            near = self._world.reached(machine.rank, whole)
            lacking = set().union(*(then[rank] for rank in near)) - truth.held[machine.rank] - loose
            if lacking:
                what = f"{machine.rank} lacks {sorted(lacking)[:3]} of {sorted(near)}"
                truth.violated("those that talk hold the same", what)
