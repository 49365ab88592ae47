"""Who may lead: whether the replicas that are here hold all that was acknowledged (R16)."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication.election import holds_all, is_majority, majority_remembers, newest
from chattwist.replication.messages import View

ALL = View((1, 0), (0, 1, 2))
TWO = View((2, 1), (1, 2))


@attrs.frozen
class Says:
    """What a replica says: its last view, whether it was in it ever since, and whether it lost something."""

    view: View | None
    current: bool = False
    damaged: bool = False


class HoldsAllTests(SynchronousTestCase):
    def test_one_that_was_never_away(self) -> None:
        """One that was in the newest view without a break holds everything, whoever else is here."""
        self.assertTrue(holds_all({1: Says(ALL, current=True)}))
        self.assertTrue(holds_all({0: Says(ALL), 1: Says(TWO, current=True)}))

    def test_one_that_lost_something(self) -> None:
        """Who lost some of what it held does not hold all, though it remembers the last view; nor in majority mode (R10)."""
        self.assertFalse(holds_all({2: Says(View((3, 2), (2,)), damaged=True)}))
        self.assertTrue(holds_all({1: Says(TWO, damaged=True), 2: Says(TWO)}))
        self.assertFalse(majority_remembers({1: Says(TWO, damaged=True), 0: Says(ALL)}, 3))

    def test_one_that_was_in_an_older_view(self) -> None:
        """Who was away while others went on may lack what they acknowledged, whatever it thinks of itself."""
        self.assertFalse(holds_all({0: Says(ALL, current=True), 1: Says(TWO)}))

    def test_all_members_of_the_last_view(self) -> None:
        """After all were down, the members of the last view hold everything together; fewer of them may not."""
        self.assertTrue(holds_all({1: Says(TWO), 2: Says(TWO)}))
        self.assertTrue(holds_all({0: Says(ALL), 1: Says(TWO), 2: Says(TWO)}))
        self.assertFalse(holds_all({0: Says(ALL), 1: Says(TWO)}))
        self.assertFalse(holds_all({1: Says(TWO)}))

    def test_a_member_that_remembers_less_is_here_all_the_same(self) -> None:
        """A member of the last view that died before it had saved it counts as here: what it holds is collected."""
        self.assertTrue(holds_all({1: Says(TWO), 2: Says(ALL)}))

    def test_nobody_was_in_a_view(self) -> None:
        """New disks prove nothing."""
        self.assertFalse(holds_all({0: Says(None), 1: Says(None)}))

    def test_newest(self) -> None:
        """The later epoch is the newer view; of one number, that of the higher rank."""
        self.assertEqual(newest({0: Says(ALL), 1: Says(None), 2: Says(TWO)}), TWO)
        self.assertEqual(newest({0: Says(View((2, 0), (0,))), 2: Says(TWO)}), TWO)
        self.assertIsNone(newest({0: Says(None)}))


class MajorityTests(SynchronousTestCase):
    def test_more_than_half(self) -> None:
        """Two of four are no majority: the other two might be one as well."""
        self.assertEqual([is_majority(count, 4) for count in range(5)], [False, False, False, True, True])
        self.assertEqual([is_majority(count, 3) for count in range(4)], [False, False, True, True])

    def test_new_disks_do_not_count(self) -> None:
        """In majority mode two of three that have been in views are enough; one whose disk is new knows of none."""
        self.assertTrue(majority_remembers({0: Says(ALL), 1: Says(TWO)}, 3))
        self.assertFalse(majority_remembers({0: Says(None), 1: Says(TWO)}, 3))
