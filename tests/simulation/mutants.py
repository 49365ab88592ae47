"""The rules of chattwist/replication/DESIGN.md, each broken in turn.

Does the simulation notice? A rule that can be missing without any run noticing it is either not needed or not tried hard enough.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from tests.simulation import rules_of_data as data
from tests.simulation import rules_of_leading as leading
from tests.simulation.run import BUG, broken, many, one

Mutant = Callable[[], AbstractContextManager[None]]


def until_noticed(seeds: Iterable[str], modes: Iterable[bool], mutant: Mutant) -> tuple[int, str]:
    """After how many runs a broken rule is noticed, and by which promise; an empty one if it is not."""
    count = 0
    for result in many(seeds, modes, mutant):
        count += 1
        if broken(result) == BUG:
            raise RuntimeError(f"the mutant does not fit the code any more: {result}")
        if result.violations and not one(result.seed, result.majority).violations:
            return count, broken(result)
    return count, ""


MUTANTS: dict[str, Mutant] = {
    "R1 no fsync": data.no_fsync,
    "R1 acknowledged at once": data.acknowledged_at_once,
    "R2 nothing collected": data.nothing_collected,
    "R2 nothing passed on": data.nothing_passed_on,
    "R3 vector ahead of the disk": data.vector_ahead,
    "R4 one origin a replica": data.one_origin_a_replica,
    "R5 ids of the primary": data.ids_of_the_primary,
    "R6 keys beside": data.keys_beside,
    "R6 repetitions at once": data.repetitions_at_once,
    "R7 no tombstones": data.no_tombstones,
    "R8 high-water mark": data.high_water_mark,
    "R8 marked before sent": data.marked_before_sent,
    "R9 fsync again": data.fsync_again,
    "R10 no checksums": data.no_checksums,
    "R11 rename only": data.rename_only,
    "R12 old epochs": leading.old_epochs,
    "R12 promises forgotten": leading.promises_forgotten,
    "R13 pauses unnoticed": leading.pauses_unnoticed,
    "R14 no hearsay": leading.no_hearsay,
    "R15 one way": leading.one_way,
    "R16 nobody waited for": leading.nobody_waited_for,
    "R17 no hold-down": leading.no_hold_down,
    "R17 not caught up": leading.not_caught_up,
    "R18 late ones stay": leading.late_ones_stay,
    "R19 first come": leading.first_come,
    "R20 answered before applied": leading.answered_before_applied,
    "R21 sessions for ever": leading.sessions_for_ever,
    "R22 wall time": leading.wall_time,
}
