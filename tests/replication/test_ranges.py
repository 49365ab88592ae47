"""Sets of numbers as ranges, against sets."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication.ranges import Ranges, contains, extend, up_to, without

MOST = 12
numbers = st.sets(st.integers(1, MOST))


def ranges(some: set[int]) -> Ranges:
    """The same, as ranges."""
    found: Ranges = []
    for number in sorted(some):
        extend(found, number)
    return found


class RangesTests(SynchronousTestCase):
    def test_shape(self) -> None:
        """What follows on each other is one range."""
        self.assertEqual(ranges({1, 2, 3, 5, 7, 8}), [(1, 3), (5, 5), (7, 8)])

    @given(numbers, numbers, st.integers(0, MOST + 1))
    def test_sets(self, some: set[int], others: set[int], number: int) -> None:
        """They are sets."""
        self.assertEqual(contains(ranges(some), number), number in some)
        self.assertEqual(without(ranges(some), ranges(others)), ranges(some - others))
        self.assertEqual(up_to(ranges(some), number), ranges({one for one in some if one <= number}))
