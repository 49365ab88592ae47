"""What every disk does: the real one, and the one in memory that stands for it in the other tests."""

import errno
import os
import stat
from random import Random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from chattwist.errors import StoreError
from chattwist.store.disk import Disk, IDisk, opened
from tests.store.memory import MemoryDisk


class MemoryDiskTests(SynchronousTestCase):
    """The contract, for the disk in memory."""

    def setUp(self) -> None:
        self.disk: IDisk = MemoryDisk()

    def written(self, name: str, data: bytes) -> int:
        handle = self.disk.create(name)
        self.disk.write(handle, data, 0)
        return handle

    def read(self, name: str) -> bytes:
        with self.disk.reader(name) as file:
            return file.read()

    def test_interface(self) -> None:
        """It has all methods of a disk."""
        self.assertTrue(verifyObject(IDisk, self.disk))

    def test_write_and_read(self) -> None:
        """What was written, at whatever place, can be read at once, by lines too."""
        handle = self.written("a", b"one\ntwo\nthree")
        self.assertEqual(self.disk.write(handle, b"TWO\nTHREE!", 4), 10)
        self.assertEqual(self.read("a"), b"one\nTWO\nTHREE!")
        self.assertEqual(self.disk.size("a"), 14)
        with self.disk.reader("a") as file:
            file.seek(4)
            self.assertEqual(list(file), [b"TWO\n", b"THREE!"])

    def test_open_again(self) -> None:
        """A file that exists can be opened and written further."""
        self.disk.close(self.written("a", b"one"))
        with opened(self.disk, "a") as handle:
            self.disk.write(handle, b"two", 3)
            self.disk.sync(handle)
        self.assertEqual(self.read("a"), b"onetwo")

    def test_truncate(self) -> None:
        """A file can be cut."""
        self.disk.truncate(self.written("a", b"one two"), 3)
        self.assertEqual(self.read("a"), b"one")

    def test_rename_replaces(self) -> None:
        """A renamed file takes the place of another; a handle on it stays good."""
        handle = self.written("a", b"new")
        self.written("b", b"old")
        self.disk.rename("a", "b")
        self.disk.write(handle, b"!", 3)
        self.disk.sync_directory()
        self.assertEqual((self.disk.names(), self.read("b")), (["b"], b"new!"))

    def test_link(self) -> None:
        """A second name stays when the first goes, and never takes another file's place."""
        self.written("a", b"data")
        self.disk.link("a", "b")
        self.written("c", b"other")
        self.assertRaises(FileExistsError, self.disk.link, "a", "c")
        self.disk.unlink("a")
        self.assertEqual(sorted(self.disk.names()), ["b", "c"])
        self.assertEqual((self.read("b"), self.read("c")), (b"data", b"other"))

    def test_no_such_file(self) -> None:
        """What is not there is a FileNotFoundError, whatever is asked of it."""
        for call in (self.disk.open, self.disk.reader, self.disk.size, self.disk.unlink):
            self.assertRaises(FileNotFoundError, call, "a")
        self.assertRaises(FileNotFoundError, self.disk.rename, "a", "b")
        self.assertRaises(FileNotFoundError, self.disk.link, "a", "b")

    def test_create_is_for_new_files(self) -> None:
        """No file is created over another."""
        self.written("a", b"data")
        self.assertRaises(FileExistsError, self.disk.create, "a")
        self.assertEqual(self.read("a"), b"data")

    def test_lock(self) -> None:
        """The directory can be locked once."""
        self.disk.lock()
        error = self.assertRaises(StoreError, self.another().lock)
        self.assertEqual(str(error), f"{self.disk.path}: another process is using this directory")
        self.disk.release()
        self.another().lock()

    def another(self) -> IDisk:
        """The same directory, as another process has it."""
        return self.disk


class DiskTests(MemoryDiskTests):
    """The contract, and what only a real disk has."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.disk = Disk(self.path)

    def another(self) -> IDisk:
        return Disk(self.path)

    def test_only_for_its_owner(self) -> None:
        """The directory and its files, which hold messages and password hashes, can be read by nobody else."""
        self.written("a", b"secret")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.path, "a")).st_mode), 0o600)

    def test_closes_what_was_open(self) -> None:
        """A directory that others could read, made by hand or by a restored backup, cannot be read by them any more."""
        os.chmod(self.path, 0o755)
        self.another()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)

    def test_makes_the_way_there(self) -> None:
        """A directory is made with all those above it."""
        path = os.path.join(self.path, "chat-data", "5001")
        Disk(path).lock()
        self.assertTrue(os.path.isdir(path))

    def test_the_way_there_is_durable(self) -> None:
        """Each directory that is made is so in the one that holds it: else all that is acknowledged could go with it."""
        durable: set[str] = set()

        def fsync(descriptor: int) -> None:
            held = os.readlink(f"/proc/self/fd/{descriptor}")
            durable.update(os.path.join(held, name) for name in os.listdir(held))

        self.patch(os, "fsync", fsync)
        path = os.path.join(self.path, "chat-data", "5001")
        Disk(path)
        self.assertLessEqual({path, os.path.dirname(path)}, durable)

    def test_cannot_be_made(self) -> None:
        """A directory that cannot be is refused in one line that names it."""
        self.written("a", b"a file")
        path = os.path.join(self.path, "a", "5001")
        error = self.assertRaises(StoreError, Disk, path)
        self.assertEqual(str(error), f"{path}: cannot be used as the data directory: Not a directory")

    def test_belongs_to_another(self) -> None:
        """A directory of another user, which cannot be closed to others, is refused in one line that says what to do."""

        def fchmod(descriptor: int, mode: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        self.patch(os, "fchmod", fchmod)
        error = self.assertRaises(StoreError, Disk, self.path)
        self.assertEqual(str(error), f"{self.path} belongs to another user: give it, and what is in it, to this one")

    def test_wherever_the_process_is(self) -> None:
        """A process that goes elsewhere keeps its directory."""
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        disk = Disk(os.path.relpath(self.path))
        os.chdir("/")
        disk.close(disk.create("a"))
        self.assertEqual((disk.path, disk.names()), (self.path, ["a"]))


class PowerLossTests(SynchronousTestCase):
    """What makes the disk in memory a hard one."""

    def fates(self, disk: MemoryDisk, name: str) -> set[bytes | None]:
        """What may become of a file."""
        found = [disk.after_power_loss(seed).everything() for seed in range(200)]
        return {files.get(name) for files in found}

    def test_nothing_is_durable_by_itself(self) -> None:
        """Without an fsync of the file and of the directory, all may be lost, or only the contents, or nothing."""
        disk = MemoryDisk()
        disk.write(disk.create("a"), b"data", 0)
        self.assertGreaterEqual(self.fates(disk, "a"), {None, b"", b"data", b"da", bytes(4)})

    def test_sectors_arrive_in_any_order(self) -> None:
        """Of a large write a later sector may arrive and an earlier not."""
        disk = MemoryDisk()
        handle = disk.create("a")
        disk.sync_directory()
        disk.write(handle, b"x" * 1024, 0)
        self.assertIn(bytes(512) + b"x" * 512, self.fates(disk, "a"))

    def test_synced_is_durable(self) -> None:
        """What was made durable stays, whatever comes after."""
        disk = MemoryDisk()
        handle = disk.create("a")
        disk.write(handle, b"data", 0)
        disk.sync(handle)
        disk.sync_directory()
        disk.rename("a", "b")
        self.assertEqual(self.fates(disk, "a") | self.fates(disk, "b"), {b"data", None})
        self.assertEqual({len(disk.after_power_loss(seed).names()) for seed in range(50)}, {1})

    def test_after_a_failed_fsync(self) -> None:
        """What an fsync failed to write is still there to be read, and another fsync does not make it durable."""
        fates = set()
        for seed in range(50):
            disk = MemoryDisk(Random(seed))
            handle = disk.create("a")
            disk.sync_directory()
            disk.write(handle, b"data", 0)
            disk.faults[len(disk.calls) + 1] = 5
            self.assertRaises(OSError, disk.sync, handle)
            disk.sync(handle)
            self.assertEqual(disk.contents("a"), b"data")
            fates.add(disk.after_power_loss(seed).contents("a"))
        self.assertIn(b"", fates)
