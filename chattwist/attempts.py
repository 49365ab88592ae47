"""How long the next try at a password has to wait; pure.

Nobody is locked out: a try waits some seconds at most, whoever else is trying, and is then checked. Failures count for the
account (known or not, so that the wait does not tell) and for the address they come from, and are forgotten with time.
"""

from collections import OrderedDict

import attrs

MOST_REMEMBERED = 10_000  # accounts, and addresses


@attrs.frozen
class Pace:
    """How fast tries may follow each other.

    ``free`` tries cost nothing, each further one waits twice as long as the last, at most ``longest`` seconds. A failure is
    forgotten after ``forget`` seconds.
    """

    free: int
    longest: float
    forget: float


ACCOUNT = Pace(free=6, longest=8.0, forget=60.0)
ADDRESS = Pace(free=30, longest=2.0, forget=2.0)  # many people may share one: a proxy's, a tunnel's
FIRST_WAIT = 0.25  # seconds


class Attempts:
    """The failures that are remembered; times are in seconds of any one clock."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, tuple[float, float]] = OrderedDict()  # folded name → (failures, when)
        self._addresses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds that a try which begins now has to wait; it counts as failed until ``succeeded`` says otherwise."""
        return max(_count(self._accounts, name, now, ACCOUNT), _count(self._addresses, address, now, ADDRESS))

    def not_tried(self, name: str, address: str) -> None:
        """That try was turned away before its password was looked at."""
        _take_back(self._accounts, name)
        _take_back(self._addresses, address)

    def succeeded(self, name: str, address: str) -> None:
        """That try's password was right: the account's failures are forgotten, the address's but for the others."""
        self._accounts.pop(name, None)
        _take_back(self._addresses, address)


def _take_back(table: OrderedDict[str, tuple[float, float]], index: str) -> None:
    failures, when = table.pop(index, (0.0, 0.0))
    if failures > 1:  # else nothing is left to remember, and others' failures need the room
        table[index] = failures - 1, when


def _count(table: OrderedDict[str, tuple[float, float]], index: str, now: float, pace: Pace) -> float:
    failures, when = table.get(index, (0.0, now))
    failures = max(0.0, failures - (now - when) / pace.forget)
    table[index] = failures + 1, now
    table.move_to_end(index)
    if len(table) > MOST_REMEMBERED:
        table.popitem(last=False)
    over = round(failures) - pace.free  # of those just before, a little is forgotten already
    return 0.0 if over < 0 else min(pace.longest, FIRST_WAIT * 2.0 ** min(over, 20))
