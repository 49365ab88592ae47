"""SENDs that come together: what a client sees of them is what it would see of each by itself."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.errors import DiskFull
from chattwist.protocol import run
from chattwist.protocol.run import SEND
from chattwist.protocol.session import MOST_RUNNING, MOST_SHOWN
from tests.wire import Connection, World


class PlainTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A name and a text of visible ASCII, which may begin and end with spaces; the next line is another."""
        for line, parts in (
            (b"SEND bob hi\n", (b"bob", b"hi", b"\n")),
            (b"send bob  two  words \r\n", (b"bob", b" two  words ", b"\r\n")),
        ):
            found = SEND.match(line + b"SEND ann x\n")
            assert found is not None
            self.assertEqual((found.groups(), found.end()), (parts, len(line)))

    def test_others_are_looked_at_closer(self) -> None:
        """What may be wrong, or has to be changed, is not decided here; nor is a line whose end has not come."""
        for content in (
            b"SEND bob",
            b"SEND bob ",
            b"SEND bob   ",
            b"SEND  bob hi",
            b"SEND ",
            b" SEND bob hi",
            b"Send bob hi",
            b"SENDER bob hi",
            "SEND bob я".encode(),
            "SEND я hi".encode(),
            b"SEND bob \xff",
            b"SEND bob a\tb",
            b"SEND bob \x07",
            b"SEND bob a\rb",
        ):
            self.assertIsNone(SEND.match(content + b"\n"), content)
        for begun in (b"SEND bob hi", b"SEND bob hi\r"):
            self.assertIsNone(SEND.match(begun), begun)


class RunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.ann, self.bob = self.join("ann"), self.join("bob")

    def join(self, name: str) -> Connection:
        """Somebody registers."""
        one = self.world.connect(name)
        one.send(f"REGISTER {name} secret-{name}\n".encode())
        one.received()
        return one

    def codes(self, one: Connection) -> list[str]:
        """The first word of each line that came."""
        return [line.split(b" ")[0].decode() for line in one.received().splitlines()]

    def test_one_commit(self) -> None:
        """All share a commit, and each has a reply of its own, in order; the recipient gets all, in order."""
        commits = self.world.journal.commits
        self.ann.send(b"SEND bob one\nsend BOB two\nSEND nobody three\nSEND bob four\nNOOP\n")
        self.assertEqual(self.world.journal.commits, commits + 1)
        self.assertEqual(self.codes(self.ann), ["250", "250", "550", "250", "250"])
        self.assertEqual(
            [line.rpartition(b" ")[2] for line in self.bob.received().splitlines()], [b"one", b"two", b"four"]
        )

    def test_among_others(self) -> None:
        """Tags, mistakes and other spellings between them change neither the order of replies nor that of messages."""
        self.ann.send(
            b"SEND bob 1\n@a SEND bob 2\nSEND bob 3\n  SEND bob 4\nSEND bob\nSeNd bob 5\nSEND bob  \n@!k SEND bob 6\nSEND bob 7\n"
        )
        expected = ["250", "@a", "250", "250", "501", "250", "501", "@!k", "250"]
        self.assertEqual(self.codes(self.ann), expected)
        texts = [line.rpartition(b" ")[2] for line in self.bob.received().splitlines()]
        self.assertEqual(texts, [b"1", b"2", b"3", b"4", b"5", b"6", b"7"])

    def test_endings(self) -> None:
        """Replies end as the client's latest line did, whatever that is."""
        for ending in (b"\r\n", b"\n", b"\r\0"):
            self.ann.send(b"SEND bob 1" + ending + b"SEND bob 2" + ending)
            end = b"\n" if ending == b"\n" else b"\r\n"
            replies = self.ann.received()
            self.assertEqual((replies.count(end), replies.count(b"\n")), (2, 2))

    def test_many(self) -> None:
        """More than may be under way wait for their turn, also behind the client's end of input."""
        self.ann.send(b"".join(b"SEND bob %d\n" % number for number in range(3 * MOST_RUNNING + 5)))
        self.ann.half_close()
        self.assertEqual(self.codes(self.ann), ["250"] * (3 * MOST_RUNNING + 5))
        self.assertTrue(self.ann.transport.closed)

    def test_refused_at_once(self) -> None:
        """All that came before the client's end of input is answered, also where there is no primary to wait for."""
        self.world.replica._router.role("", None)
        self.world.pass_time(4)
        self.ann.protocol.dataReceived(b"".join(b"SEND bob %d\n" % number for number in range(5 * MOST_RUNNING)))
        self.ann.half_close()
        self.assertEqual(self.codes(self.ann), ["451"] * 5 * MOST_RUNNING)
        self.assertTrue(self.ann.transport.closed)

    def test_not_recorded(self) -> None:
        """Where the disk takes nothing, each is told so but for those that are wrong anyway, and what was shown stays unread."""
        self.ann.send(b"SEND bob hello\n")
        self.bob.received()
        self.world.journal.failure = DiskFull("no room")
        self.bob.send(b"SEND ann one\nSEND nobody two\nSEND ann three\n")
        self.assertEqual(self.codes(self.bob), ["452", "550", "452"])
        self.world.journal.failure = None
        self.world.pass_time(2)
        self.bob.send(b"SEND ann again\nUNREAD\n")
        self.assertEqual(self.bob.received().splitlines()[-1], b"211 0 unread")

    def test_read_by_sending(self) -> None:
        """What was pushed before counts as read with the message that follows it, and not before."""
        self.ann.send(b"SEND bob hello\n")
        bob = self.world.chat.account("bob")
        assert bob is not None
        self.assertEqual(len(bob.unread), 1)
        self.bob.send(b"SEND nobody hi\n")
        self.assertEqual(len(bob.unread), 0)

    def test_deleted_after_many(self) -> None:
        """A deletion is told of whatever was shown lately: more than MOST_SHOWN messages."""
        self.ann.send(b"SEND bob first\n")
        first = self.bob.received().split()[2]
        for _ in range(MOST_SHOWN - 1):
            self.ann.send(b"SEND bob x\n")
        self.bob.received()
        self.ann.send(b"DELETE " + first + b"\n")
        self.assertIn(b"* DELETED " + first, self.bob.received())

    def test_a_bug(self) -> None:
        """A bug is told as one, for each, and the session goes on."""
        self.patch(self.world.replica, "send_all", None)
        self.ann.send(b"SEND bob one\nSEND bob two\nNOOP\n")
        self.assertEqual(self.codes(self.ann), ["554", "554", "250"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_a_bug_behind_a_commit(self) -> None:
        """Where the results cannot be told, that is told, and the session goes on."""
        for where, name, code in ((self.world.replica._commits, "_results", "454"), (run, "sent_text", "554")):
            patch = self.patch(where, name, None)
            self.ann.send(b"SEND bob one\nSEND bob two\n")
            patch.restore()
            self.assertEqual(self.codes(self.ann), [code] * 2)
            self.ann.send(b"NOOP\n")
            self.assertEqual(self.codes(self.ann), ["250"])
            self.assertGreaterEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_telnet(self) -> None:
        """Lines that came together are read as telnet's once a password prompt shows that it is telnet."""
        cyd = self.world.connect("cyd")
        cyd.received()
        cyd.send(b"REGISTER cyd\r\nsecret-cyx\x08d\r\nsecret-cyd\r\n")
        self.assertIn(b"230 cyd 0 unread", cyd.received())
