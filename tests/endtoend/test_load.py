"""What one client does to a replica, others do not feel: much at once, long lines, not reading, garbage, coming and going.

Latencies are printed, not judged. CHATTWIST_LOAD=1 takes the sizes of a real attack instead of those of a quick suite.
"""

import os
import random
import socket
import statistics
import sys
import time
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PATIENCE, Client, Server

FULL = os.environ.get("CHATTWIST_LOAD") == "1"
SEED = int(os.environ.get("CHATTWIST_SEED", "0")) or random.randrange(1, 2**32)
MEBIBYTE = 1024 * 1024


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(self.mktemp()).start()
        self.addCleanup(self.server.kill)

    def tearDown(self) -> None:
        """No attack may leave a traceback in the log."""
        self.assertNotIn("Traceback", self.server.text())

    def connect(self) -> socket.socket:
        """A connection whose bytes are the test's own business."""
        connection = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def read_all(self, connection: socket.socket) -> bytes:
        """All that comes until the server closes."""
        return b"".join(iter(lambda: connection.recv(MEBIBYTE), b""))

    def test_pipelined_and_half_closed(self) -> None:
        """500 commands and a FIN in one go: 500 replies in order, then the end."""
        self.server.session("bob")
        connection = self.connect()
        commands = [f"@{n} {'SEND bob hi' if n % 2 else 'NOOP' if n % 3 else 'HISTORY 2'}\n" for n in range(499)]
        connection.sendall("".join(["@r REGISTER ann a-good-password\n", *commands]).encode())
        connection.shutdown(socket.SHUT_WR)
        lines = self.read_all(connection).decode().splitlines()
        replies = [line.split(" ")[:2] for line in lines if line.startswith("@") and line.split(" ")[1].isdecimal()]
        self.assertEqual([tag for tag, _ in replies], ["@r", *(f"@{n}" for n in range(499))])
        self.assertEqual({code for _, code in replies}, {"230", "250", "213"})

    def test_no_newline(self) -> None:
        """A line that never ends: one 500, the rest is thrown away as it comes, and the connection goes on."""
        ann = self.server.session("ann")
        before = resident(self.server.pid)
        size = 300_000 * (100 if FULL else 10)
        for _ in range(size // 100_000):
            ann.socket.sendall(b"x" * 100_000)
        ann.send("", "@after NOOP")
        self.assertEqual(ann.line()[:4], "500 ")
        self.assertEqual(ann.line(), "@after 250 ok")
        self.assertLess(resident(self.server.pid) - before, MEBIBYTE)

    def test_one_who_never_reads(self) -> None:
        """Messages for a client that never reads take no memory but their own, hold up nobody, and stay unread."""
        count, text = (100_000, "x" * 50) if FULL else (4_000, "x" * 1000)
        ann, bob = self.server.session("ann"), self.server.session("bob")
        without = self.send_many(bob, "ann", count, text)
        ann.close()
        slow = self.server.session("slow")
        before = resident(self.server.pid)
        with_slow = self.send_many(bob, "slow", count, text)
        grown = resident(self.server.pid) - before
        figures = " ".join(
            f"{name} {statistics.median(times) * 1e3:.2f} ms;"
            for name, times in [("without", without), ("with", with_slow)]
        )
        print(f"median latency of SEND, {figures} {grown / count:.0f} bytes a message", file=sys.stderr)
        self.assertLess(grown, count * (len(text) + 1200) + 2 * MEBIBYTE)
        later = self.server.client()
        told = later.expect("230", "TAKEOVER slow a-good-password")[0]
        self.assertEqual(told.partition(" (")[0], f"230 slow {count} unread")
        slow.close()

    def send_many(self, sender: Client, name: str, count: int, text: str) -> list[float]:
        """Send many messages, all but every hundredth of them pipelined; how many seconds the others took."""
        times = []
        for _ in range(count // 100):
            sender.send(*[f"SEND {name} {text}"] * 99)
            for _ in range(99):
                self.assertEqual(sender.reply()[0][:4], "250 ")
            begin = time.perf_counter()
            sender.expect("250", f"SEND {name} {text}")
            times.append(time.perf_counter() - begin)
        return times

    def test_many_come_and_go(self) -> None:
        """2,000 connections, logged in nowhere, come and go: neither memory nor descriptors stay behind."""
        ann = self.server.session("ann")
        for _ in range(4):  # make room that later crowds use again, and garbage that is collected now and then
            self.crowd(ann, 2000)
        memory, files = resident(self.server.pid), descriptors(self.server.pid)
        for _ in range(6):
            self.crowd(ann, 2000)
        self.assertEqual(descriptors(self.server.pid), files)
        self.assertLess(
            (resident(self.server.pid) - memory) / 12_000, 700
        )  # bytes a connection; one that is open takes 5,000

    def crowd(self, ann: Client, count: int) -> None:
        """So many connections at once, all greeted; return when the server has closed them."""
        crowd = [socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) for _ in range(count)]
        for one in crowd:
            self.assertEqual(one.recv(100)[:4], b"220 ")
        ann.expect("250", "NOOP")
        for one in crowd:
            one.shutdown(socket.SHUT_WR)
        for one in crowd:
            self.assertEqual(one.recv(100), b"")
            one.close()
        ann.expect("250", "NOOP")

    def test_garbage(self) -> None:
        """Random bytes on many connections, cut off anywhere: each client gets errors, all others their answers."""
        ann, bob = self.server.session("ann"), self.server.session("bob")
        choices = random.Random(SEED)
        for n in range(2000 if FULL else 200):
            connection = self.connect()
            try:
                connection.sendall(garbage(choices))
                if choices.random() < 0.5:
                    connection.shutdown(socket.SHUT_WR)
                    self.read_all(connection)
            except ConnectionError:
                pass  # a line of it can have been QUIT
            connection.close()
            ann.expect("250", f"SEND bob {n}")
            self.assertEqual(bob.line().split(" ")[-1], str(n), f"CHATTWIST_SEED={SEED}")
        codes = Counter(line[:3] for line in bob.ask("HISTORY 5"))
        self.assertEqual(codes, {"213": 6})


def garbage(choices: random.Random) -> bytes:
    """Bytes that are partly commands, partly telnet's, partly nothing."""
    words = [
        b"LOGIN ann ",
        b"REGISTER ",
        b"SEND ann ",
        b"READ",
        b"@x ",
        b"@!k ",
        b"GET / HTTP/1.1\r\n",
        "я".encode(),
        b" ",
    ]
    words += [b"\r\n", b"\n", b"\r\0", b"\r", b"\x08\x7f", b"\xf0\x9f"]
    words += [b"\xff\xfd\x06", b"\xff\xfa\x18\x00", b"\xff\xf0", b"\xff\xff", b"\xff"]
    pieces = [
        choices.choice(words) if choices.random() < 0.7 else choices.randbytes(choices.randrange(200))
        for _ in range(80)
    ]
    return b"".join(pieces)
