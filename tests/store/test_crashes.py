"""Power losses and errors at every single call of a store's life: what was acknowledged is there, once."""

import errno
from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.model import AnyOperation
from tests.store.memory import MemoryDisk, PowerLoss
from tests.store.samples import life, loaded, message, messages

SEEDS = range(8)
JOURNAL = 700  # bytes
OPERATIONS = messages(24, first=100)
BIG = [message(number, "x" * 300 * (number % 5)) for number in range(200, 220)]  # some larger than a sector


def lived(operations: Sequence[AnyOperation]) -> MemoryDisk:
    """A disk whose store lived undisturbed."""
    disk = MemoryDisk()
    life(disk, [], operations, JOURNAL)
    return disk


class PowerLossTests(SynchronousTestCase):
    def check(
        self, found: list[AnyOperation], acknowledged: list[AnyOperation], operations: Sequence[AnyOperation]
    ) -> None:
        """What was acknowledged, and no more than the one operation that was under way."""
        count = len(acknowledged)
        self.assertIn(found, [list(operations[:count]), list(operations[: count + 1])])

    def test_whatever_was_acknowledged_survives(self) -> None:
        """The power may go at any moment: appending, rotating, compacting, cleaning up. The next start finds it all."""
        for operations in (OPERATIONS, BIG):
            whole_life = lived(operations)
            self.assertIn("snapshot-000004.jsonl", whole_life.names(), "a life has two compactions")
            for crash_at in range(1, len(whole_life.calls) + 1):
                disk, acknowledged = MemoryDisk(), list[AnyOperation]()
                disk.crash_at = crash_at
                self.assertRaises(PowerLoss, life, disk, acknowledged, operations, JOURNAL)
                for seed in SEEDS:
                    after = disk.after_power_loss(seed)
                    found = loaded(after)
                    self.check(found, acknowledged, operations)
                    self.goes_on(after.after_kill(), found)

    def goes_on(self, disk: MemoryDisk, found: list[AnyOperation]) -> None:
        """The store can be used as before."""
        life(disk, [], more := messages(3, first=900), JOURNAL)
        self.assertEqual(loaded(disk.after_power_loss()), found + more)

    def test_a_copy_that_was_not_flushed(self) -> None:
        """A backup that was put back just now, and served, outlives a power loss, in each of its files."""
        whole, disk = lived(OPERATIONS), MemoryDisk()
        for name in whole.names():
            handle = disk.create(name)
            disk.write(handle, whole.contents(name), 0)
            disk.close(handle)
        self.assertEqual(loaded(disk), OPERATIONS)
        for seed in SEEDS:
            self.assertEqual(loaded(disk.after_power_loss(seed)), OPERATIONS)

    def test_power_lost_again_while_starting(self) -> None:
        """A start that loses power itself, at any moment, takes nothing away from the next."""
        calls = len(lived(BIG).calls)
        for crash_at in range(3, calls, 4):
            disk, acknowledged = MemoryDisk(), list[AnyOperation]()
            disk.crash_at = crash_at
            self.assertRaises(PowerLoss, life, disk, acknowledged, BIG, JOURNAL)
            self.start_again_and_again(disk, crash_at, acknowledged)

    def start_again_and_again(self, disk: MemoryDisk, seed: int, acknowledged: list[AnyOperation]) -> None:
        """Let each start come one call further than the one before."""
        crash_at = 0
        while True:
            disk = disk.after_power_loss(seed + crash_at)
            disk.crash_at = crash_at = crash_at + 1
            try:
                found = loaded(disk)
            except PowerLoss:
                continue
            self.check(found, acknowledged, BIG)
            return


class ErrorTests(SynchronousTestCase):
    def live_with_error(self, disk: MemoryDisk) -> tuple[list[AnyOperation], BaseException | None]:
        """What was acknowledged until an error came."""
        acknowledged: list[AnyOperation] = []
        try:
            life(disk, acknowledged, OPERATIONS, JOURNAL)
        except (DiskFailed, DiskFull, StoreError) as error:
            return acknowledged, error
        return acknowledged, None

    def at_each_call(self, number: int, check: Callable[[MemoryDisk, list[AnyOperation], object], None]) -> None:
        """Let one call after the other fail."""
        for call in range(1, len(lived(OPERATIONS).calls) + 1):
            disk = MemoryDisk()
            disk.faults[call] = number
            acknowledged, error = self.live_with_error(disk)
            check(disk, acknowledged, error)

    def test_no_error_loses_anything(self) -> None:
        """When a call fails for good (EIO), the process ends; what was acknowledged is there, also after power loss."""

        def check(disk: MemoryDisk, acknowledged: list[AnyOperation], error: object) -> None:
            for seed in SEEDS:
                found = loaded(disk.after_power_loss(seed))
                self.assertIn(found, [OPERATIONS[: len(acknowledged)], OPERATIONS[: len(acknowledged) + 1]])
            served = loaded(after := disk.after_kill())
            self.assertIn(served, [OPERATIONS[: len(acknowledged)], OPERATIONS[: len(acknowledged) + 1]])
            for seed in SEEDS:
                self.assertEqual(loaded(after.after_power_loss(seed)), served)

        self.at_each_call(errno.EIO, check)

    def test_no_room_for_one_call(self) -> None:
        """When a call finds no room (ENOSPC), nothing that was acknowledged is lost, and nothing else recorded."""

        def check(disk: MemoryDisk, acknowledged: list[AnyOperation], error: object) -> None:
            found = loaded(disk.after_kill())
            exactly = [acknowledged, OPERATIONS[: len(acknowledged) + isinstance(error, DiskFailed)]]
            self.assertIn(found, exactly)

        self.at_each_call(errno.ENOSPC, check)

    def test_room_ends_anywhere(self) -> None:
        """A disk may run full at any byte: the record that does not fit is not there, and those before it are."""
        for room in range(0, 3400, 7):
            disk = MemoryDisk()
            disk.room = room
            acknowledged, error = self.live_with_error(disk)
            self.assertIsInstance(error, DiskFull | StoreError)
            self.assertEqual(loaded_again(disk, 1000), acknowledged)
            if disk.names():
                self.assertEqual(loaded_again(disk, 0), acknowledged)


def loaded_again(disk: MemoryDisk, room: int) -> list[AnyOperation]:
    """What a start finds that has only so much room."""
    after = disk.after_kill()
    after.room = room
    return loaded(after)
