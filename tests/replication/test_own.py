"""What a replica knows of its own disk."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication.log import Log
from chattwist.replication.messages import State
from chattwist.replication.own import Own
from chattwist.replication.steps import Save
from tests.replication.cores import sent

PATIENCE = 1.0


class FullDiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.own = Own(0, Log(), State(), 1000.0)
        self.stored: list[bool] = []

    def store(self, operation: str, full: bool) -> None:
        """Something is to be written, and there is room or not."""
        self.own.store([sent(operation)], self.stored.append)
        self.own.written(full)

    def pauses(self) -> float:
        """For how many seconds it writes nothing, from now on; then it finds room for what it tries."""
        begun, self.own.effects = self.own.now, []
        while not self.own.writes(PATIENCE):
            self.own.try_again()
            if self.own.effects:
                self.own.written(False)
            else:
                self.own.now += 0.5
        return self.own.now - begun

    def test_tried_ever_more_rarely(self) -> None:
        """A full disk is tried again after 1 second, then 2, and so on, up to a minute; from the start once there was room."""
        found = []
        for _ in range(8):
            self.store("a-1", full=True)
            found.append(self.pauses())
        self.assertEqual(found, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
        self.store("a-1", full=False)
        self.assertEqual(self.pauses(), 0.0)
        self.store("a-2", full=True)
        self.assertEqual(self.pauses(), 1.0)
        self.assertEqual(self.stored, [False] * 8 + [True, False])

    def test_those_that_waited_behind_it(self) -> None:
        """Writes that were queued when the disk was found full fail with it, and are no further tries."""
        for _ in range(3):
            self.own.store([sent("a-1")], self.stored.append)
        for _ in range(3):
            self.own.written(True)
        self.assertEqual((self.stored, self.pauses()), ([False] * 3, 1.0))

    def test_full_until_it_was_tried(self) -> None:
        """Nobody counts on a full disk before something found room on it, and that is tried once at a time."""
        self.store("a-1", full=True)
        self.own.effects = []
        self.own.try_again()
        self.assertEqual(self.own.effects, [])
        self.own.now += 1.0
        self.assertFalse(self.own.writes(PATIENCE))
        self.own.try_again()
        self.own.try_again()
        self.assertEqual(self.own.effects, [Save(self.own.state)])
        self.own.written(True)
        self.assertFalse(self.own.writes(PATIENCE))
        self.assertEqual(self.pauses(), 2.0)
