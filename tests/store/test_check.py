"""Checking a backup."""

import os
import stat
from contextlib import redirect_stderr
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import StoreError
from chattwist.store.check import check, main
from chattwist.store.disk import Disk
from tests.store.samples import message, started


class CheckTests(SynchronousTestCase):
    """What python -m chattwist.store.check tells."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def files(self) -> dict[str, tuple[int, int, int]]:
        """What changes when a file is written to."""
        found = {name: os.stat(os.path.join(self.path, name)) for name in os.listdir(self.path)}
        return {name: (seen.st_size, seen.st_mtime_ns, seen.st_mode) for name, seen in found.items()}

    def test_whole(self) -> None:
        """It counts the operations, and leaves the copy as it is, also one that others may read."""
        store = started(Disk(self.path))
        store.append([message(1), message(2)])
        store.close()
        os.chmod(self.path, 0o755)
        before = self.files()
        self.assertEqual(check(self.path), 2)
        self.assertEqual(self.files(), before)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o755)

    def test_usage(self) -> None:
        """Without a directory, or with an option, it says how it is called."""
        for arguments in [], ["one", "two"], ["--help"]:
            told = StringIO()
            with redirect_stderr(told):
                self.assertEqual(main(arguments), 1)
            self.assertEqual(told.getvalue(), "usage: python -m chattwist.store.check DIRECTORY\n")

    def test_damaged_state(self) -> None:
        """A copy that a replica could not start with is not whole."""
        started(Disk(self.path)).close()
        with open(os.path.join(self.path, "state.json"), "w"):
            pass
        self.assertIn("state.json is damaged", str(self.assertRaises(StoreError, check, self.path)))

    def test_damaged(self) -> None:
        """It says what is damaged, and not to restore what may be a backup from a backup."""
        store = started(Disk(self.path))
        store.append([message(1)])
        store.append([message(2)])
        store.close()
        path = os.path.join(self.path, "journal-000001.jsonl")
        with open(path, "r+b") as file:
            file.seek(100)
            file.write(b"#")
        error = str(self.assertRaises(StoreError, check, self.path))
        self.assertTrue(error.startswith(f"{path}: line 2, at byte "), error)
        self.assertNotIn("backup", error)

    def test_nothing_there(self) -> None:
        """A mistyped name is not a whole backup, and is not made."""
        self.assertRaises(StoreError, check, self.path)
        self.assertFalse(os.path.exists(self.path))
        os.mkdir(self.path)
        self.assertRaises(StoreError, check, self.path)
