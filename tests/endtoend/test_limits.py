"""A replica whose process may not open many files."""

import resource

from twisted.trial.unittest import SynchronousTestCase

from chattwist.service import OTHER_FILES
from tests.endtoend.harness import Server


class FilesTests(SynchronousTestCase):
    def limited(self, files: int) -> Server:
        """Begin to start a replica whose process may open so many."""
        server = Server(self.mktemp())
        self.addCleanup(server.kill)
        server.launch(limit=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        return server

    def test_clients_leave_some(self) -> None:
        """More clients than fit are told 421; those before them go on, and so do the disk and the other replicas."""
        server = self.limited(OTHER_FILES + 5)
        self.assertTrue(server.is_ready())
        self.assertIn("only 5 connections of limits.connections 16000 will fit", server.text())
        clients = [server.client() for _ in range(12)]
        greetings = [client.greeting[:3] for client in clients]
        self.assertEqual(greetings, ["220"] * 5 + ["421"] * 7)
        clients[0].expect("230", "REGISTER ann password-of-ann")
        clients[1].close()
        self.assertEqual(server.stop(), 0)
        self.assertNotIn("EMFILE", server.text())

    def test_none_would_fit(self) -> None:
        """It does not start then, and says what to do."""
        server = self.limited(OTHER_FILES)
        self.assertFalse(server.is_ready())
        self.assertEqual(server.wait(), 1)
        self.assertIn(f"ulimit -n is {OTHER_FILES}: make it larger", server.errors())
