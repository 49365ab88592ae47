"""chattwist.supervised: what a supervised replica logs, and that it does not outlive its supervisor."""

import io
import os
import subprocess
import sys

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from chattwist.supervised import log_to_supervisor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stdout = io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.publisher = LogPublisher(log_to_supervisor())

    def logger(self, namespace: str) -> Logger:
        """A logger of that part of the process."""
        return Logger(namespace, observer=self.publisher)

    def test_lines(self) -> None:
        """A line has neither time nor part: the supervisor's line says when and who."""
        self.logger("chattwist.replica").info("replica {port} ready", port=5001)
        self.assertEqual(self.stdout.getvalue(), "replica 5001 ready\n")

    def test_traceback(self) -> None:
        """A failure comes with its traceback."""
        try:
            raise ValueError("what went wrong")
        except ValueError:
            self.logger("chattwist.replica").failure("a command failed")
        self.assertRegex(
            self.stdout.getvalue(), r"\Aa command failed\nTraceback (.*\n)+.*ValueError: what went wrong\n"
        )

    def test_what_twisted_says(self) -> None:
        """Of Twisted's own lines only the troubles are shown."""
        twisted = self.logger("twisted.internet")
        twisted.info("Main loop terminated.")
        twisted.warn("trouble")
        twisted.error("more of it")
        self.assertEqual(self.stdout.getvalue(), "trouble\nmore of it\n")


class OrphanTests(SynchronousTestCase):
    def test_supervisor_that_is_gone(self) -> None:
        """A replica whose supervisor ended while it was being started ends as well, and does not begin to serve."""
        command = [sys.executable, "-m", "chattwist.supervised", "1", "chatreplica", "--help"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (1, "", ""))
