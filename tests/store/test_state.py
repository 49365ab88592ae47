"""The small file beside the operations: after whatever happens to the disk it is the old one or the new one, whole."""

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.store import state
from chattwist.store.disk import Disk
from chattwist.store.files import temporary_name
from tests.store.memory import MemoryDisk, PowerLoss
from tests.store.samples import flips, started


def no_room(handle: int, data: bytes, offset: int) -> int:
    """Write nothing."""
    raise OSError(errno.ENOSPC, "No space left on device")


OLD, NEW = b'{"promised":[3,0],"view":null}', b'{"promised":[4,1],"view":{"epoch":[4,1],"members":[0,1,2]}}'


class StateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk = MemoryDisk()

    def calls(self) -> int:
        """How many calls one save makes that change something."""
        before = len(self.disk.calls)
        state.save(self.disk, NEW)
        return len(self.disk.calls) - before

    def test_saved(self) -> None:
        """What was saved last is found by the next process; at first there is nothing."""
        self.assertEqual(state.load(self.disk), b"")
        for data in OLD, NEW, OLD:
            state.save(self.disk, data)
            self.assertEqual(state.load(self.disk.after_kill()), data)

    def test_of_a_store(self) -> None:
        """What a store saves is what the next one has."""
        store = started(self.disk)
        store.save_state(NEW)
        self.assertEqual((store.state(), started(self.disk.after_kill()).state()), (NEW, NEW))

    def test_durable(self) -> None:
        """Once save() returned, no loss of power takes it back: a replica keeps the promises that it made (R12)."""
        state.save(self.disk, OLD)
        state.save(self.disk, NEW)
        for seed in range(30):
            self.assertEqual(state.load(self.disk.after_power_loss(seed)), NEW)

    def test_power_loss_at_each_call(self) -> None:
        """Wherever the power goes while it is saved, the old one or the new one is there, whole."""
        found = set()
        for call in range(1, self.calls() + 1):
            for seed in range(20):
                disk = MemoryDisk()
                state.save(disk, OLD)
                disk.crash_at = len(disk.calls) + call
                self.assertRaises(PowerLoss, state.save, disk, NEW)
                found.add(state.load(disk.after_power_loss(seed)))
        self.assertEqual(found, {OLD, NEW})

    def test_power_loss_at_the_first(self) -> None:
        """Likewise where there was none before."""
        found = set()
        for call in range(1, self.calls() + 1):
            for seed in range(20):
                disk = MemoryDisk()
                disk.crash_at = call
                self.assertRaises(PowerLoss, state.save, disk, NEW)
                found.add(state.load(disk.after_power_loss(seed)))
        self.assertEqual(found, {b"", NEW})

    def test_killed_at_each_call(self) -> None:
        """A process that is killed meanwhile leaves nothing behind that the next one stumbles over or keeps."""
        for call in range(1, self.calls() + 1):
            disk = MemoryDisk()
            started(disk).close()
            state.save(disk, OLD)
            names = set(disk.names())
            disk.crash_at = len(disk.calls) + call
            self.assertRaises(PowerLoss, state.save, disk, NEW)
            disk = disk.after_kill()
            self.assertIn(state.load(disk), (OLD, NEW))
            started(disk).close()
            self.assertEqual(set(disk.names()), names)

    def test_full_disk(self) -> None:
        """Without room it stays as it was, nothing is left lying about, and with room it is saved again."""
        state.save(self.disk, OLD)
        for room in range(len(NEW)):
            self.disk.room = room
            self.assertRaises(DiskFull, state.save, self.disk, NEW)
            self.assertEqual((state.load(self.disk), self.disk.names()), (OLD, [state.NAME]))
            self.assertEqual(self.disk.room, room)
        self.disk.room = None
        state.save(self.disk, NEW)
        self.assertEqual(state.load(self.disk), NEW)

    def test_a_disk_that_fails(self) -> None:
        """An error that says nothing of room, at any call, is DiskFailed (R9); what is there is the old one or the new one."""
        for call in range(1, self.calls() + 1):
            disk = MemoryDisk()
            state.save(disk, OLD)
            disk.faults[len(disk.calls) + call] = errno.EIO
            self.assertRaises(DiskFailed, state.save, disk, NEW)
            self.assertIn(state.load(disk.after_kill()), (OLD, NEW))

    def test_leftover(self) -> None:
        """What an earlier process of the same number left is no obstacle: in a container all have the same."""
        self.disk.put(temporary_name(state.NAME, os.getpid()), b"half of")
        state.save(self.disk, NEW)
        self.assertEqual((state.load(self.disk), self.disk.names()), (NEW, [state.NAME]))

    def test_no_file_stays_open(self) -> None:
        """It is replaced with each view, and tried again and again while there is no room: no descriptor is lost by that."""
        disk = Disk(self.mktemp())
        before = os.listdir("/proc/self/fd")
        state.save(disk, NEW)
        self.patch(disk, "write", no_room)
        self.assertRaises(DiskFull, state.save, disk, OLD)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        disk.release()

    def test_damage(self) -> None:
        """A bit that fell over anywhere is noticed: a promise is never read that was not made."""
        state.save(self.disk, OLD)
        good = self.disk.contents(state.NAME)
        for offset in range(len(good)):
            for bad in flips(good, offset):
                self.disk.put(state.NAME, bad)
                self.assertRaises(StoreError, state.load, self.disk)

    def test_cut_off(self) -> None:
        """Likewise a file that lost its end, all of it included, or has something behind it."""
        state.save(self.disk, OLD)
        good = self.disk.contents(state.NAME)
        for bad in [good[:length] for length in range(len(good))] + [good + b"x", good + good]:
            self.disk.put(state.NAME, bad)
            error = self.assertRaises(StoreError, state.load, self.disk)
            self.assertIn(state.NAME, str(error))
