"""Logging in and out on three real replicas: what one of them has answered, all of them show."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PASSWORD, Client
from tests.nemesis.cluster import NUMBERS, Cluster

OFTEN = 10  # times on each replica


class LoginTests(SynchronousTestCase):
    """Each time on another replica, with somebody logged in on each of them who looks at once."""

    def setUp(self) -> None:
        self.cluster = Cluster(self.mktemp())
        self.addCleanup(self.cluster.close)
        self.cluster.start()
        self.cluster.wait_quiet()
        self.watchers = [self.cluster.session(number, f"watcher{number}") for number in NUMBERS]
        self.cluster.session(1, "ann").expect("221", "QUIT")

    def shown(self) -> list[bool]:
        """Whether WHO shows ann, on each replica."""
        return ["212-ann" in watcher.expect("212", "WHO") for watcher in self.watchers]

    def check(self, code: str, line: str) -> None:
        """Ann is shown everywhere after her login, and nowhere once the line is answered."""
        for number in NUMBERS * OFTEN:
            ann = Client(self.cluster[number].port)
            ann.expect("230", f"LOGIN ann {PASSWORD}")
            self.assertEqual(self.shown(), [True] * 3)
            ann.expect(code, line)
            self.assertEqual(self.shown(), [False] * 3)
            ann.close()

    def test_logout(self) -> None:
        """LOGOUT is answered when it is known everywhere: WHO shows the account nowhere, and LOGIN finds it free."""
        self.check("250", "LOGOUT")

    def test_quit(self) -> None:
        """So is QUIT."""
        self.check("221", "QUIT")

    def test_half_close(self) -> None:
        """So it is when the server closes behind the end of what a client sends, as with nc -N."""
        for number in NUMBERS * OFTEN:
            ann = Client(self.cluster[number].port)
            ann.send(f"LOGIN ann {PASSWORD}", "NOOP")
            ann.socket.shutdown(socket.SHUT_WR)
            self.assertEqual([ann.reply()[0][:3] for _ in range(2)], ["230", "250"])
            self.assertRaises(ConnectionResetError, ann.line)
            self.assertEqual(self.shown(), [False] * 3)
            ann.close()

    def test_pipelined(self) -> None:
        """LOGIN, LOGOUT and LOGIN sent at once: each is done before the next."""
        lines = [f"LOGIN ann {PASSWORD}", "LOGOUT"]
        for number in NUMBERS * OFTEN:
            ann = Client(self.cluster[number].port)
            ann.send(*lines, *lines, "QUIT")
            codes = [ann.reply()[0][:3] for _ in range(5)]
            self.assertEqual(codes, ["230", "250", "230", "250", "221"])
            ann.close()
