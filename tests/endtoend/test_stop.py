"""How a replica ends, and when it refuses to start: signals, a second process, damaged files."""

import os
import signal
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import Client, Server

MANY = 2000


class StopTests(SynchronousTestCase):
    """A stop in good order, whatever is under way."""

    def check_stop(self, number: int) -> tuple[int, Server]:
        """Stop a replica under load, with a compaction at every moment; the exit status."""
        server = Server(self.mktemp(), limits={"bcrypt_cost": 10}, journal_size=30_000).start()
        self.addCleanup(server.kill)
        clients = [server.session(f"c{n}") for n in range(4)]
        newcomers = [server.client() for _ in range(8)]
        first = clients[0].expect("250", "SEND c1 first")[0].split()[1]
        for n, client in enumerate(clients):
            client.send(*[f"SEND c{(n + 1) % 4} {m}" for m in range(MANY)])
        acknowledged = [{first}, *(set[str]() for _ in clients[1:])]
        for ids, client in zip(acknowledged, clients, strict=True):
            ids.update(client.reply()[0].split()[1] for _ in range(100))
        for n, newcomer in enumerate(newcomers):
            newcomer.send(f"REGISTER new{n} password-of-new", f"SEND new{n} hello", "READ")
        os.killpg(server.pid, number)  # as Ctrl-C in a terminal reaches the compaction, too
        registered = [name for n, client in enumerate(newcomers) for name in self.last_words(client, "230", f"new{n}")]
        for ids, client in zip(acknowledged, clients, strict=True):
            ids.update(self.last_words(client, "250", ""))
        status = server.wait()
        self.assertNotIn("Traceback", server.text() + server.errors())
        server.start()
        self.assertTrue(set(registered) <= {line[4:] for line in server.client().ask("LIST new")[:-1]})
        for n, ids in enumerate(acknowledged):
            self.assertTrue(ids <= {line.split()[0] for line in server.session(f"c{n}").history()})
        return status, server

    def last_words(self, client: Client, code: str, name: str) -> list[str]:
        """All that a client is told until the end: of its replies with ``code`` the first word; the very last is a 421."""
        words, answer = [], ""
        try:
            while True:
                answer = client.reply()[0]
                if answer.startswith(code):
                    words.append(name or answer.split()[1])
        except ConnectionResetError:
            self.assertEqual(answer[:4], "421 ")
        client.close()
        return words

    def test_sigterm_under_load(self) -> None:
        """SIGTERM: what was answered is on disk, everybody is told 421, the exit status is 0."""
        status, server = self.check_stop(signal.SIGTERM)
        self.assertEqual(status, 0)
        self.assertEqual(server.stop(), 0)

    def test_who_reads_late(self) -> None:
        """QUIT and SIGTERM take no reply from a client that begins to read seconds later."""
        server = Server(self.mktemp()).start()
        self.addCleanup(server.kill)
        ann, bob = server.session("ann"), server.session("bob")
        for _ in range(100):
            ann.expect("250", f"SEND ann {'x' * 8000}")
        ann.send("HISTORY 200", "QUIT")
        bob.send(*[f"SEND ann {n}" for n in range(MANY)])
        self.assertEqual(bob.reply()[0][:3], "250")
        time.sleep(1.5)  # the clients' and not the server's
        self.assertEqual([len(ann.reply()), ann.reply()], [101, ["221 goodbye"]])
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(1.5)
        self.last_words(bob, "250", "")
        self.assertEqual(server.wait(), 0)

    def test_ctrl_c_under_load(self) -> None:
        """Ctrl-C: the same, without a traceback; the exit status says that it was a signal, as twistd does."""
        status, _ = self.check_stop(signal.SIGINT)
        self.assertIn(status, (0, -signal.SIGINT))


class RefusalTests(SynchronousTestCase):
    """What cannot work ends at once, with one line on stderr and exit status 1."""

    def setUp(self) -> None:
        self.server = Server(self.mktemp())
        self.addCleanup(self.server.kill)

    def check_refused(self, server: Server, *words: str) -> None:
        """It ends, and its one line says why."""
        server.launch()
        self.assertFalse(server.is_ready())
        self.assertEqual(server.wait(), 1)
        said = server.errors()
        self.assertEqual(said.count("\n"), 1, said)
        self.assertNotIn("Traceback", server.text())
        for word in words:
            self.assertIn(word, said)

    def second(self) -> Server:
        """Another server, in the same folder and on the same directory."""
        other = Server(self.server.folder)
        self.addCleanup(other.kill)
        return other

    def test_second_process_on_the_port(self) -> None:
        """A port on which another process listens is named."""
        with socket.create_server(("127.0.0.1", self.server.port)):
            self.check_refused(self.server, str(self.server.port), "in use")

    def test_second_process_on_the_directory(self) -> None:
        """A second process on the same directory is refused, and the first one goes on."""
        self.server.start()
        other = Server(self.server.folder)
        self.addCleanup(other.kill)
        os.symlink(self.server.data, other.data)
        self.check_refused(other, "another process is using")
        self.server.session("ann").expect("250", "SEND ann hello")

    def test_damaged_files(self) -> None:
        """Damage in the middle of a journal is named, and nothing is touched; --salvage starts, with all that is whole."""
        self.server.start()
        ann = self.server.session("ann")
        ids = [ann.expect("250", f"SEND ann text-{n}")[0].split()[1] for n in range(9)]
        self.server.stop()
        journal = os.path.join(self.server.data, "journal-000001.jsonl")
        with open(journal, "rb") as file:
            damaged = file.read().replace(b"text-4", b"text-5", 1)
        with open(journal, "wb") as file:
            file.write(damaged)
        before = sorted(os.listdir(self.server.data))
        self.check_refused(self.server, "journal-000001.jsonl", "--salvage")
        with open(journal, "rb") as file:
            self.assertEqual(file.read(), damaged)
        self.assertEqual(sorted(os.listdir(self.server.data)), before)
        self.server.start("--salvage")
        kept = [line.split()[0] for line in self.server.session("ann").history()]
        self.assertEqual(kept, ids[:4] + ids[5:])
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
