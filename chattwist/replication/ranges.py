"""Sets of numbers, many of which follow on each other; pure.

Damage takes a whole file at worst, and that is a million operations, but one range of them.
"""

from bisect import bisect_right
from typing import TypeAlias

Ranges: TypeAlias = list[tuple[int, int]]  # the first and the last number of each, in order; none touches the next
Places: TypeAlias = dict[str, Ranges]  # of operations: numbers by origin


def contains(ranges: Ranges, number: int) -> bool:
    """Whether the number is in one of them."""
    index = bisect_right(ranges, number, key=lambda one: one[0])
    return index > 0 and number <= ranges[index - 1][1]


def extend(ranges: Ranges, number: int) -> None:
    """Take in one more number, which is larger than all that are there."""
    first = ranges.pop()[0] if ranges and ranges[-1][1] == number - 1 else number
    ranges.append((first, number))


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """What is not in ``others``."""
    left = []
    rest = iter(others)
    other = next(rest, None)
    for first, last in ranges:
        while other is not None and other[0] <= last:
            if other[1] >= first:
                if first < other[0]:
                    left.append((first, other[0] - 1))
                first = other[1] + 1
            if other[1] > last:
                break  # it may reach into the next one, too
            other = next(rest, None)
        if first <= last:
            left.append((first, last))
    return left


def up_to(ranges: Ranges, most: int) -> Ranges:
    """What is not larger than ``most``."""
    return [(first, min(last, most)) for first, last in ranges if first <= most]
