"""Real processes on a real file system: killed at each system call, with too little room, with an fsync that fails."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from chattwist.store.disk import Disk
from tests.programs import needed
from tests.store import driver
from tests.store.samples import filled, loaded, message, messages

KILLED_AT = ("pwrite64", "fdatasync", "fsync", "/^rename", "/^unlink")
FAILING_SYNC = """
#include <errno.h>
#include <unistd.h>
static int count;
int fdatasync(int file) {
    (void)file;
    if (++count == FAILING) { errno = EIO; return -1; }
    return 0;
}
"""


def drive(
    directory: str,
    count: int,
    before: list[str] | None = None,
    preload: str = "",
    limit: Callable[[], None] | None = None,
) -> list[str]:
    """Run the driver, under another command if given, and give the lines that it said."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
    if preload:
        environment["LD_PRELOAD"] = preload
    command = [*(before or []), sys.executable, "-S", driver.__file__, directory, str(count)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=limit, check=False)
    if "Traceback" in result.stderr:
        raise AssertionError(result.stderr)
    return result.stdout.splitlines()


def recorded(said: list[str]) -> int:
    """The number of the last message that was recorded."""
    return max((int(line.split()[1]) for line in said if line.startswith("recorded")), default=0)


class KillTests(SynchronousTestCase):
    def test_killed_at_each_system_call(self) -> None:
        """Killed with -9 at any call that changes a file, a store comes back with all that it had said was recorded."""
        needed("strace")
        self.check_ptrace()
        for call in KILLED_AT:
            kills = 0
            while not self.survived(call, kills + 1):
                kills += 1
            self.assertGreater(kills, 2, call)

    def survived(self, call: str, when: int) -> bool:
        """Kill a store at one call, and look at what is left; true if it had ended before."""
        directory = self.mktemp()
        said = drive(directory, 7, self.strace(call, when))
        found = loaded(Disk(directory))
        self.assertEqual(found, messages(len(found)))
        self.assertIn(len(found), (recorded(said), recorded(said) + 1))
        return said[-1:] == ["closed"]

    def strace(self, call: str, when: int) -> list[str]:
        """The command that kills what it runs."""
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:signal=KILL:when={when}"]  # fmt: skip

    def check_ptrace(self) -> None:
        """Some containers forbid to trace."""
        if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
            raise SkipTest("strace may not trace here")


class LimitTests(SynchronousTestCase):
    def test_a_file_that_may_not_grow(self) -> None:
        """A write that the system takes in part only is taken back, and the store goes on."""
        directory = self.mktemp()
        filled(Disk(directory), messages(1))
        size = os.path.getsize(os.path.join(directory, "journal-000001.jsonl")) + 70
        said = drive(directory, 2, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        self.assertEqual(said, ["loaded 1", "DiskFull 2", "DiskFull 3", "closed"])
        self.assertEqual(loaded(Disk(directory)), messages(1))
        self.assertEqual(drive(directory, 1), ["loaded 1", "recorded 2", "closed"])

    def test_an_fsync_that_fails(self) -> None:
        """After one fsync that failed, nothing is recorded any more, though the next would succeed."""
        needed("cc")
        directory = self.mktemp()
        filled(Disk(directory), messages(1))
        said = drive(directory, 4, preload=self.failing_sync(5))
        self.assertEqual(said, ["loaded 1", "recorded 2", "recorded 3", "DiskFailed 4", "DiskFailed 5", "closed"])
        self.assertEqual(loaded(Disk(directory))[:3], messages(3))
        filled(Disk(directory), [message(9)])

    def failing_sync(self, call: int) -> str:
        """A library whose fsync fails at one call."""
        library = os.path.abspath(f"{self.mktemp()}.so")
        command = ["cc", "-shared", "-fPIC", f"-DFAILING={call}", "-x", "c", "-o", library, "-"]
        subprocess.run(command, input=FAILING_SYNC, text=True, check=True)
        return library
