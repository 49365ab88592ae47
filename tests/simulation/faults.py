"""What goes wrong: plain values, so that a schedule can be shown, cut down and run again; and how it befalls a world."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import attrs

from tests.simulation.disk import fail_soon, lose_power_soon

if TYPE_CHECKING:
    from tests.simulation.world import World

Direction = tuple[int, int]


@attrs.frozen
class Fault:
    """It begins at ``at``, befalls the replicas ``who`` and perhaps ``whom``, and is over ``lasts`` seconds later."""

    at: float
    kind: str
    who: int
    whom: int
    lasts: float
    chance: float  # between 0 and 1, for what else there is to choose

    def __str__(self) -> str:
        return f"{self.at:7.3f} {self.kind} of {self.who} ({self.whom}) for {self.lasts:.2f}"


WEIGHTS = {
    "kill": 14, "power": 8, "torn": 5, "all": 5, "two": 6, "pause": 12, "isolate": 8, "pair": 8, "one way": 7, "deaf": 4,
    "mute": 4, "firewall": 4, "reset": 6, "flaky": 3, "slow network": 4, "slow disk": 4, "stuck disk": 3, "full": 5,
    "eio": 6, "wipe": 2, "restore": 2, "rot": 2, "wall": 4, "flap": 3, "doubt": 4, "crowd": 1, "backup": 0,
    "term": 0,
}  # fmt: skip


class Faults:
    """Lets faults befall a world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._over = False

    def plan(self, faults: list[Fault]) -> None:
        """Have them come at their times."""
        for fault in faults:
            self._world.timeline.after(fault.at, self._befall, fault)

    def heal(self) -> None:
        """All of them are over, and everything runs again."""
        self._over = True
        network = self._world.network
        network.cut.clear()
        network.barred.clear()
        network.slow = 1.0
        network.changed()
        for machine in self._world.machines:
            machine.go_on()
            machine.slow_down(1.0)
            machine.limit(None)
            machine.disk.crash_at = 0
            machine.start(0.1 + machine.random.random())
        self._doubt(False)

    def _befall(self, fault: Fault) -> None:
        if not self._over:
            self._world.disturbed(f"fault {fault}")
            BEFALL[fault.kind](self, fault)

    def _later(self, fault: Fault, call: Callable[..., object], *arguments: object) -> None:
        def end() -> None:
            if not self._over:
                self._world.disturbed(f"over  {fault}")
                call(*arguments)

        self._world.timeline.after(fault.lasts, end)

    def _soon(self, delay: float, call: Callable[..., object], *arguments: object) -> None:
        def go_on() -> None:
            if not self._over:
                self._world.disturbed(f"then  {arguments}")
                call(*arguments)

        self._world.timeline.after(delay, go_on)

    # -- processes

    def kill(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.wanted = False
        machine.silent = False
        machine.kill()
        machine.start_later(0.2 + fault.lasts)

    def term(self, fault: Fault) -> None:
        """SIGTERM."""
        machine = self._world.machines[fault.who]
        machine.wanted = False
        machine.terminate()
        machine.start_later(0.2 + fault.lasts)

    def power(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.wanted = False
        machine.lose_power()
        machine.start_later(0.2 + fault.lasts)

    def torn(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        lose_power_soon(machine.disk, machine.random)

    def all(self, fault: Fault) -> None:
        """All go down, at one moment or one after the other, and come back in any order."""
        random = Random(fault.chance)
        for machine in self._world.machines:
            down = fault.chance * random.random() * 1.5 * (fault.who > 0)
            up = down + 0.3 + random.random() * (0.5 + fault.lasts)
            one = attrs.evolve(fault, who=machine.rank, lasts=up - down)
            end = self.power if random.random() < 0.5 else self.kill
            self._soon(down, end, one)

    def two(self, fault: Fault) -> None:
        self.kill(fault)
        second = attrs.evolve(fault, who=fault.whom, lasts=fault.lasts * 2 * fault.chance)
        self._soon(fault.chance, self.power, second)

    def flap(self, fault: Fault) -> None:
        for turn in range(4):
            short = attrs.evolve(fault, lasts=0.3 + fault.chance)
            self._soon(turn * (1.2 + fault.chance * 2), self.kill, short)

    def pause(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.stop()
        self._later(fault, machine.go_on)

    # -- the network

    def _cut(self, fault: Fault, directions: list[Direction]) -> None:
        network = self._world.network
        network.begin_cut(directions)
        self._later(fault, network.end_cut, directions)

    def isolate(self, fault: Fault) -> None:
        self._cut(fault, [*self._into(fault.who), *self._out_of(fault.who)])

    def pair(self, fault: Fault) -> None:
        self._cut(fault, [(fault.who, fault.whom), (fault.whom, fault.who)])

    def one_way(self, fault: Fault) -> None:
        self._cut(fault, [(fault.who, fault.whom)])

    def deaf(self, fault: Fault) -> None:
        self._cut(fault, self._into(fault.who))

    def mute(self, fault: Fault) -> None:
        self._cut(fault, self._out_of(fault.who))

    def _into(self, rank: int) -> list[Direction]:
        return [direction for direction in self._world.network.links if direction[1] == rank]

    def _out_of(self, rank: int) -> list[Direction]:
        return [direction for direction in self._world.network.links if direction[0] == rank]

    def reset(self, fault: Fault) -> None:
        links = self._world.network.links
        if links:
            links[fault.who, fault.whom].lose()

    def firewall(self, fault: Fault) -> None:
        """One may not connect to another, which may connect to it: so it hears that one, and is not heard."""
        network, direction = self._world.network, (fault.who, fault.whom)
        network.bar(direction)
        self._later(fault, network.barred.discard, direction)

    def flaky(self, fault: Fault) -> None:
        random = Random(fault.chance)
        for _ in range(8):
            one = random.choice(list(self._world.network.links.values()))
            self._soon(random.random() * fault.lasts, one.lose)

    def slow_network(self, fault: Fault) -> None:
        network = self._world.network
        network.slow = 10 + 90 * fault.chance
        self._later(fault, setattr, network, "slow", 1.0)

    # -- disks and clocks

    def slow_disk(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.slow_down(5 + 60 * fault.chance)
        self._later(fault, machine.slow_down, 1.0)

    def stuck_disk(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.slow_down(3000)
        self._later(fault, machine.slow_down, 1.0)

    def full(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        machine.limit(int(fault.chance * 600))
        self._later(fault, machine.limit, None)

    def eio(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        fail_soon(machine.disk, machine.random)

    def wipe(self, fault: Fault) -> None:
        self.kill(fault)
        self._world.machines[fault.who].wipe()

    def restore(self, fault: Fault) -> None:
        self.kill(fault)
        self._world.machines[fault.who].restore()

    def rot(self, fault: Fault) -> None:
        self.kill(fault)
        self._world.machines[fault.who].rot()

    def backup(self, fault: Fault) -> None:
        for machine in self._world.machines:
            machine.back_up()

    def wall(self, fault: Fault) -> None:
        machine = self._world.machines[fault.who]
        jump = (fault.chance - 0.5) * 10 ** min(4.0, 1 + fault.lasts / 2)  # at most hours: retry keys last for a day
        machine.wall_ahead += jump
        self._later(fault, lambda: setattr(machine, "wall_ahead", machine.wall_ahead - jump))

    # -- people

    def doubt(self, fault: Fault) -> None:
        """Users repeat what was answered, as after a broken connection, to see whether it is still so."""
        self._doubt(True)
        self._later(fault, self._doubt, False)

    def crowd(self, fault: Fault) -> None:
        """Several come who all want the same name."""
        self._world.crowd()

    def _doubt(self, doubts: bool) -> None:
        for user in self._world.users:
            user.doubts = doubts


BEFALL: dict[str, Callable[[Faults, Fault], None]] = {kind: getattr(Faults, kind.replace(" ", "_")) for kind in WEIGHTS}
