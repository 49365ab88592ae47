"""Replicas whose disk is full or fails: what clients are told, and what is there afterwards."""

import os
import resource
import shutil
import subprocess

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.endtoend.harness import Client, Server
from tests.programs import needed

ROOM = 400_000  # bytes
FAILING_SYNC = """
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int fdatasync(int file) {
    if (access(getenv("SYNC_FAILS"), F_OK) == 0) { errno = EIO; return -1; }
    return fsync(file);
}
"""


def fill(ann: Client) -> list[str]:
    """Send to bob until not even a short text finds room; the ids of what was acknowledged."""
    ids = []
    for text in "x" * 4000, "x":
        while (answer := ann.ask(f"SEND bob {text}")[0]).startswith("250"):
            ids.append(answer.split()[1])
        if not answer.startswith("452"):
            raise AssertionError(answer)
    return ids


def ids_of(history: list[str]) -> list[str]:
    return sorted(line.split()[0] for line in history)


class FullDiskTests(SynchronousTestCase):
    """Senders are refused, readers are not, and it goes on when there is room again."""

    def test_full_until_there_is_room_again(self) -> None:
        """A full disk: 452 to all that would be recorded, HISTORY as before; room again: it goes on without a restart."""
        server = Server(self.mktemp())
        self.mount(os.path.dirname(server.data))
        ballast = os.path.join(os.path.dirname(server.data), "ballast")
        with open(ballast, "wb") as file:
            file.write(bytes(ROOM))
        self.addCleanup(server.kill)
        server.start()
        ann, _ = server.session("ann"), server.session("bob")
        ids = fill(ann)
        self.check_refused(server, ann, ids)
        os.unlink(ballast)
        ids.append(ann.expect("250", "SEND bob again")[0].split()[1])
        ann.expect("250", f"DELETE {ids.pop(0)}")
        self.check_kept(server, ids)

    def test_full_until_a_restart(self) -> None:
        """A journal that may not grow: the same; and after a restart nothing acknowledged is missing."""
        server = Server(self.mktemp())
        self.addCleanup(server.kill)
        server.start(limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)))
        ann, _ = server.session("ann"), server.session("bob")
        ids = fill(ann)
        self.check_refused(server, ann, ids)
        self.check_kept(server, ids)

    def check_refused(self, server: Server, ann: Client, ids: list[str]) -> None:
        """Who would record something is told 452, who reads is served."""
        self.assertTrue(ids)
        ann.expect("452", "SEND bob more")
        server.client().expect("452", "REGISTER eve password-of-eve")
        self.assertEqual(ids_of(ann.history()), sorted(ids))
        reader = server.session("bob")
        self.assertEqual(ids_of(reader.history()), sorted(ids))
        reader.expect("213", "READ 1")

    def check_kept(self, server: Server, ids: list[str]) -> None:
        """Now and after a restart, what was acknowledged is there and nothing else."""
        self.assertEqual(ids_of(server.session("bob").history()), sorted(ids))
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("Traceback", server.text())
        server.start()
        self.assertEqual(ids_of(server.session("bob").history()), sorted(ids))
        server.session("ann").expect("250", "SEND bob again")

    def mount(self, path: str) -> None:
        """A small file system at ``path`` until the test ends; SkipTest where that is not allowed."""
        os.makedirs(path)
        command = ["mount", "-t", "tmpfs", "-o", f"size={3 * ROOM}", "tmpfs", path]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            raise SkipTest("this user may not mount a file system; the next test has a limit instead")
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=True)


class FailingDiskTests(SynchronousTestCase):
    """After a failed fsync nobody can say what the disk holds."""

    def test_fsync_fails(self) -> None:
        """454 to who was waiting, then the process ends with exit status 1; a restart tells, by the retry key."""
        needed("cc")
        server = Server(self.mktemp())
        self.addCleanup(server.kill)
        trigger = os.path.join(server.folder, "fail")
        server.start(environment={"LD_PRELOAD": self.failing_sync(), "SYNC_FAILS": trigger})
        ann, _ = server.session("ann"), server.session("bob")
        ids = [ann.expect("250", f"@!a{n} SEND bob {n}")[0].split()[1] for n in range(20)]
        with open(trigger, "w"):
            ann.expect("454", "@!last SEND bob last")
        self.assertEqual(server.wait(), 1)
        self.assertNotIn("Traceback", server.text() + server.errors())
        server.start()
        ann = server.session("ann")
        last = ann.expect("250", "@!last SEND bob last")[0].split()[1]
        self.assertEqual(ids_of(server.session("bob").history()), sorted([*ids, last]))
        self.assertEqual([ann.ask(f"@!a{n} SEND bob {n}")[0].split()[1] for n in range(20)], ids)

    def failing_sync(self) -> str:
        """A library whose fdatasync fails while the file named by SYNC_FAILS is there."""
        library = os.path.abspath(f"{self.mktemp()}.so")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-o", library, "-"], input=FAILING_SYNC, text=True, check=True
        )
        return library
