"""What a replica remembers of its cluster over a restart."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from chattwist import remembered
from chattwist.replication.election import holds_all
from chattwist.replication.messages import NEVER, Promise, State, View

THREE = ("host:5001", "host:5002", "host:5003")
VIEW = View((4, 1), (1, 2))


def told_by(state: State) -> Promise:
    """What a replica that just started with that says of itself."""
    return Promise(state.promised, {}, {}, {}, state.view, False, [], [], state.damaged)


class RememberedTests(SynchronousTestCase):
    def after(self, replicas: tuple[str, ...], before: tuple[str, ...] = THREE) -> State:
        """What is remembered once the cluster file lists other replicas."""
        return remembered.decode(remembered.encode(State((5, 1), VIEW, damaged=True), before), replicas)

    def test_the_same_replicas(self) -> None:
        """All is as it was; also in a file of an earlier program, which did not have the names."""
        state = State((5, 1), VIEW, damaged=True)
        self.assertEqual(self.after(THREE), state)
        self.assertEqual(remembered.decode(msgspec.json.encode(state), THREE), state)
        self.assertEqual(remembered.decode(b"", THREE), State())
        self.assertEqual(remembered.decode(remembered.encode(State(), THREE), THREE[1:]), State(NEVER))

    def test_case_of_hosts(self) -> None:
        """An earlier program kept the case in which the cluster file had the hosts."""
        self.assertEqual(self.after(THREE, ("host:5001", "Host:5002", "HOST:5003")), self.after(THREE))

    def test_other_ranks(self) -> None:
        """Where a replica was put before them, or one that was not in the view is taken away, the view has the same members."""
        self.assertEqual(self.after(("host:4000", *THREE)), State((5, 2), View((4, 2), (2, 3)), damaged=True))
        self.assertEqual(self.after(THREE[1:]), State((5, 0), View((4, 0), (0, 1)), damaged=True))

    def test_a_member_that_is_gone(self) -> None:
        """One that takes its place in the cluster file does not stand in for it (R16), however often that is edited."""
        once = self.after(("host:5003", "host:5004"))
        self.assertEqual(once.view, View((4, 3), (0, 3)))
        self.assertFalse(holds_all({0: told_by(once), 1: told_by(State())}))
        twice = remembered.decode(
            remembered.encode(once, ("host:5003", "host:5004")), ("host:5003", *THREE, "host:6000")
        )
        self.assertEqual(twice.view, View((4, 8), (0, 8)))
