"""What a session keeps to over time: order, read marks, half-close, slow readers, deadlines, a disk that fails."""

import re
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.cluster import DEFAULT, Limits, Timings
from chattwist.errors import DiskFailed, DiskFull
from tests.wire import Connection, World

PASSWORD = "password"


def logged_in(world: World, name: str) -> Connection:
    """A client that registered."""
    connection = world.connect(name)
    connection.send(f"REGISTER {name} {PASSWORD}\n".encode())
    assert b"230 " in connection.received()
    return connection


def replies(connection: Connection) -> list[str]:
    """The lines that came, but for events."""
    return [line for line in connection.received().decode().splitlines() if not line.startswith("* ")]


class OrderTests(SynchronousTestCase):
    """Each command has one reply, in the order of the commands."""

    def test_pipelined_and_half_closed(self) -> None:
        """500 commands sent at once with a half-close are all answered, in order; then the server closes."""
        world = World()
        logged_in(world, "bob")
        ann = logged_in(world, "ann")
        lines = [f"@{n} {'SEND bob hi' if n % 3 else 'NOOP' if n % 2 else 'HISTORY 1'}" for n in range(500)]
        ann.send("\n".join([*lines, ""]).encode())
        ann.half_close()
        world.run()
        last = [line for line in replies(ann) if line.split(" ")[1].isdigit()]
        self.assertEqual([line.split(" ")[0] for line in last], [f"@{n}" for n in range(500)])
        self.assertTrue(ann.transport.closed)

    def test_sends_of_one_client_share_commits(self) -> None:
        """Pipelined SENDs wait for the disk together, not one after the other."""
        world = World()
        ann = logged_in(world, "ann")
        before = world.journal.commits
        ann.send(b"SEND ann hi\n" * 50)
        self.assertEqual(len(replies(ann)), 50)
        self.assertEqual(world.journal.commits - before, 1)

    def test_a_command_behind_sends_sees_them(self) -> None:
        """A session reads its own writes: HISTORY behind a SEND shows it."""
        world = World()
        logged_in(world, "bob")
        ann = logged_in(world, "ann")
        world.journal.held = True
        ann.send(b"SEND bob hi\nSEND nobody hi\nHISTORY bob\n")
        self.assertEqual(replies(ann), [])
        world.journal.held = False
        world.run()
        self.assertEqual([line[:3] for line in replies(ann)], ["250", "550", "213", "213"])

    def test_the_transport_is_paused_while_commands_wait(self) -> None:
        """What cannot be begun yet is not read from the network: memory stays bounded."""
        world = World()
        ann = logged_in(world, "ann")
        world.journal.held = True
        ann.send(b"DELETE x-1\nNOOP\nNOOP\n")
        ann.send(b"SEND ann hi\n" * 100)
        self.assertFalse(ann.transport.reading)
        world.journal.held = False
        world.run()
        self.assertTrue(ann.transport.reading)
        self.assertEqual(len(replies(ann)), 103)

    def test_a_flood_is_taken_in_small_pieces(self) -> None:
        """Other clients get their turn between the pieces of what one sends, not only behind 64 KiB of commands."""
        self.assertLessEqual(World().connect("ann").transport.bufferSize, 8192)

    def test_telnet_questions_before_a_half_close(self) -> None:
        """However much telnet asks before, the line behind it is answered before the server closes."""
        world = World()
        ann = world.connect("ann")
        ann.received()
        ann.protocol.dataReceived(b"\xff\xfd\x06" * 2000 + b"NOOP\r\n")
        ann.half_close()
        self.assertTrue(ann.received().endswith(b"250 ok\r\n"))
        self.assertTrue(ann.transport.closed)

    def test_a_half_close_waits_for_the_logout(self) -> None:
        """The server closes behind the end of input once all replicas know that the login is over, not with the last reply."""
        world = World()
        ann = logged_in(world, "ann")
        known: list[Callable[[], None]] = []
        self.patch(world.replica, "logout", lambda session, account, done: known.append(done))
        ann.protocol.dataReceived(b"NOOP\n")
        ann.half_close()
        self.assertEqual((ann.received(), ann.transport.closed), (b"250 ok\n", False))
        known.pop()()
        world.run()
        self.assertTrue(ann.transport.closed)

    def test_a_line_without_its_end(self) -> None:
        """A line cut off by the end of input is not taken as a command."""
        world = World()
        ann = world.connect("ann")
        ann.received()
        ann.send(b"NOOP\nNOOP")
        ann.half_close()
        self.assertEqual([line[:3] for line in replies(ann)], ["250", "500"])


class BadLineTests(SynchronousTestCase):
    """Lines that cannot be taken."""

    def setUp(self) -> None:
        self.world = World()
        self.ann = logged_in(self.world, "ann")

    def test_they_are_answered_with_their_tag(self) -> None:
        """So that a client that sends many lines at once can tell which one it was."""
        self.ann.send(b"@t SEND ann %s\n" % (b"x" * 9000) + b"\xff\xf1@u NO\xff\xf1OP\r\n@v \x80\n@w NOO")
        self.ann.half_close()
        received = self.ann.received()
        for start in (b"@t 500 line too long", b"@u 500 a telnet", b"@v 501 ", b"@w 500 this line has no end"):
            self.assertIn(start, received)

    def test_a_password_that_is_too_long(self) -> None:
        """It ends what asked for it, as the 500 says: the next line is a command again."""
        self.ann.send(b"LOGOUT\n@7 LOGIN ann\n" + b"x" * 9000 + b"\nNOOP\n")
        said = replies(self.ann)
        self.assertEqual(said[2:], [
            "@7 500 line too long (at most 8192 bytes with its end); LOGIN cancelled, nothing was done", "250 ok",
        ])  # fmt: skip

    def test_a_password_with_a_telnet_command_inside(self) -> None:
        """A key such as Ctrl-C sends one: the password is still asked for, and the 500 says so."""
        self.ann.send(b"LOGOUT\nLOGIN ann\npass\xff\xf1word\r\npassword\r\n")
        said = re.sub(rb"\xff[\xfb-\xfe].|\xff[\xf0-\xfa]", b"", self.ann.received()).decode().splitlines()
        self.assertEqual([line[:3] for line in said], ["250", "331", "500", "230"])
        self.assertIn("type the password again", said[2])

    def test_a_password_without_an_end(self) -> None:
        """Who closes behind it is told that it was not taken."""
        self.ann.send(b"LOGOUT\nLOGIN ann\npassword")
        self.ann.half_close()
        self.assertEqual(replies(self.ann)[2][:4], "500 ")

    def test_a_prompt_ends_with_its_login(self) -> None:
        """Whose login was taken over is not asked on for the rest of PASSWD, and what is typed is still no command."""
        self.ann.send(b"PASSWD\n")
        self.world.connect("eve").send(b"TAKEOVER ann password\n")
        self.ann.send(b"password\nNOOP\n")
        self.assertEqual([line[:3] for line in replies(self.ann)], ["331", "530", "250"])

    def test_what_cannot_be_seen_is_shown(self) -> None:
        """An error that repeats what was sent shows what a terminal would not."""
        self.ann.send("\ufeffNOOP\n".encode())
        self.assertEqual(replies(self.ann), ["500 not a command: '\\ufeffNOOP'; HELP lists the commands"])


class EndTests(SynchronousTestCase):
    """How a connection ends."""

    def slow_history(self, ending: bytes) -> Connection:
        """A client that asks for much, says that this is all, and reads slowly."""
        self.world = World()
        self.world.clients.startFactory()
        self.addCleanup(self.world.clients.stopFactory)
        ann = logged_in(self.world, "ann")
        ann.send(b"SEND ann %s\n" % (b"x" * 8000) * 20)
        ann.received()
        ann.transport.stuck = True
        ann.send(b"HISTORY 20\n" + ending)
        return ann

    def assert_all_came(self, ann: Connection) -> None:
        """It was not cut off while it read; and then the server did not keep the connection."""
        self.world.clock.pump([1] * 10)
        self.assertFalse(ann.transport.write_closed or ann.transport.closed)
        ann.transport.stuck = False
        self.world.run()
        self.assertIn("213 20 messages", replies(ann))
        self.world.clock.advance(1)
        self.assertTrue(ann.transport.closed)

    def test_quit_behind_much(self) -> None:
        """QUIT ends the connection once all before it has been read, however long that takes."""
        self.assert_all_came(self.slow_history(b"QUIT\n"))

    def test_half_close_behind_much(self) -> None:
        """So does the end of input."""
        ann = self.slow_history(b"")
        ann.half_close()
        self.assert_all_came(ann)

    def leaving(self) -> Connection:
        """A client that was told goodbye, which its system lacks, and does not close its side."""
        world = World(timings=Timings(stalled=20))
        self.clock = world.clock
        ann = logged_in(world, "ann")
        ann.transport.lacking = 4
        ann.send(b"QUIT\n")
        self.assertTrue(ann.transport.write_closed)
        self.clock.pump([1.0] * 19)
        self.assertFalse(ann.transport.closed)
        return ann

    def test_last_words_on_their_way(self) -> None:
        """Until they are with the client, the connection stays, however slow the network or the client is."""
        ann = self.leaving()
        ann.transport.lacking = 0
        self.clock.advance(1)
        self.assertTrue(ann.transport.closed)
        self.assertFalse(ann.transport.aborted)

    def test_last_words_that_never_arrive(self) -> None:
        """It does not stay for longer than that of any client that does not read."""
        ann = self.leaving()
        self.clock.pump([1.0] * 3)
        self.assertTrue(ann.transport.aborted)

    def test_stop_with_last_words_on_their_way(self) -> None:
        """A replica that stops does not wait for them, and does not take back what its system sends by itself."""
        world = World()
        ann = logged_in(world, "ann")
        ann.transport.lacking = 4
        gone = world.clients.say_goodbye("stopping")
        world.run()
        world.clock.pump([1.0] * 4)
        self.assertTrue(ann.transport.closed)
        self.assertFalse(ann.transport.aborted)
        ann.lose()
        self.successResultOf(gone)


class ReadMarkTests(SynchronousTestCase):
    """What counts as read."""

    def setUp(self) -> None:
        self.world = World()
        self.ann, self.bob = logged_in(self.world, "ann"), logged_in(self.world, "bob")

    def unread_after(self) -> int:
        """How many unread messages bob finds when he logs in on a new connection."""
        again = self.world.connect("again")
        again.send(f"TAKEOVER bob {PASSWORD}\n".encode())
        return int(replies(again)[-1].split(" ")[2])

    def test_a_push_is_unread_when_the_connection_breaks(self) -> None:
        """Pushed, but no line came after it: unread."""
        self.ann.send(b"SEND bob hi\n")
        self.bob.lose()
        self.assertEqual(self.unread_after(), 1)

    def test_a_push_is_read_once_a_line_follows(self) -> None:
        """Any later line says that it was seen, also a bad one."""
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(b"what?\n")
        self.bob.lose()
        self.assertEqual(self.unread_after(), 0)

    def test_a_line_that_was_there_before_the_push_does_not_count(self) -> None:
        """What a client sent before a message was pushed says nothing about that message, however late it is taken."""
        self.world.threads.held = True
        self.bob.send(b"PASSWD wrong-password new-password\nNOOP\nNOOP\n")
        self.ann.send(b"SEND bob hi\n")
        self.world.threads.release()
        self.world.run()
        self.bob.lose()
        self.assertEqual(self.unread_after(), 1)

    def test_half_a_line_does_not_count(self) -> None:
        """A line that was cut off is none."""
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(b"NOO")
        self.bob.half_close()
        self.assertEqual(self.unread_after(), 1)

    def test_a_push_is_read_at_quit(self) -> None:
        """QUIT is a later line."""
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(b"QUIT\n")
        self.assertEqual(self.unread_after(), 0)

    def test_a_push_that_did_not_go_out_is_unread(self) -> None:
        """What still waits in the server when the line comes was not seen."""
        self.bob.transport.stuck = True
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(b"NOOP\n")
        self.bob.lose()
        self.assertEqual(self.unread_after(), 1)

    def test_read_counts_once_its_text_has_gone_out(self) -> None:
        """READ whose text never left the server marks nothing."""
        self.bob.send(b"LOGOUT\n")
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(f"LOGIN bob {PASSWORD}\n".encode())
        self.bob.transport.stuck = True
        self.bob.send(b"READ\n")
        self.bob.lose()
        self.assertEqual(self.unread_after(), 1)

    def test_reading_on_a_full_disk_piles_nothing_up(self) -> None:
        """READ shows the same messages again while their marks cannot be recorded, and then marks each once."""
        self.bob.send(b"LOGOUT\n")
        self.ann.send(b"SEND bob hi\n")
        self.bob.send(f"LOGIN bob {PASSWORD}\n".encode())
        self.world.journal.failure = DiskFull("full")
        self.bob.send(b"READ\n" * 20)
        self.world.journal.failure = None
        before = len(self.world.journal.operations)
        self.bob.send(b"READ\nNOOP\n")
        self.assertEqual(len(self.world.journal.operations) - before, 1)
        self.bob.lose()
        self.assertEqual(self.unread_after(), 0)

    def test_what_only_shows_does_not_wait(self) -> None:
        """Until what was read is recorded, only what depends on it waits: UNREAD does, STATUS does not."""
        self.ann.send(b"SEND bob hi\n")
        self.bob.received()
        self.world.journal.held = True
        self.bob.send(b"STATUS\nnonsense\n")
        self.assertEqual([line[:3] for line in replies(self.bob)], ["211"] * 4 + ["500"])
        self.bob.send(b"UNREAD\n")
        self.assertEqual(replies(self.bob), [])
        self.world.journal.held = False
        self.world.run()
        self.assertEqual(replies(self.bob), ["211 0 unread"])

    def test_a_mark_that_fails_is_tried_again(self) -> None:
        """With a full disk marks are not lost in the session: the next line tries again."""
        self.ann.send(b"SEND bob hi\n")
        self.world.journal.failure = DiskFull("full")
        self.bob.send(b"NOOP\n")
        self.world.journal.failure = None
        self.bob.send(b"NOOP\n")
        self.bob.lose()
        self.assertEqual(self.unread_after(), 0)


class SlowReaderTests(SynchronousTestCase):
    """A client that does not read costs nobody but itself."""

    def flood(self) -> World:
        """Bob does not read while Ann sends him 200 messages; ten of them are written ahead."""
        world = World(Limits(bcrypt_cost=4, output=1800))
        ann, bob = logged_in(world, "ann"), logged_in(world, "bob")
        bob.transport.stuck = True
        for _ in range(10):
            ann.send(b"SEND bob %s\n" % (b"x" * 100) * 20)
        self.assertEqual([line[:3] for line in replies(ann)], ["250"] * 200)
        return world

    def test_goes_on_where_it_was(self) -> None:
        """Once it reads again it gets what it missed, each message once and in order."""
        world = self.flood()
        bob = world.connections["bob"]
        bob.transport.stuck = False
        world.run()
        ids = [line.split()[2] for line in bob.received().decode().splitlines()]
        self.assertEqual(ids, list(world.chat.messages))
        self.assertEqual(len(ids), 200)

    def test_ended_with_all_unread(self) -> None:
        """It is ended once it has not read for a while though much waits; all messages stay unread."""
        world = self.flood()
        bob = world.connections["bob"]
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        world.pass_time(4)
        self.assertTrue(bob.transport.aborted)
        account = world.chat.account("bob")
        assert account is not None
        self.assertEqual(len(account.unread), 200)
        self.assertEqual([a.name for a in world.replica.online("", 9)[0]], ["ann"])

    def test_replies_wait_too(self) -> None:
        """While replies wait to be read no further command is taken."""
        world = World()
        ann = logged_in(world, "ann")
        ann.send(b"SEND ann %s\n" % (b"x" * 8000) * 60)
        ann.received()
        ann.transport.stuck = True
        ann.send(b"HISTORY 20\n" * 50)
        self.assertFalse(ann.transport.reading)
        ann.transport.stuck = False
        world.run()
        self.assertEqual(len(replies(ann)), 50 * 21)

    def test_slow_but_steady(self) -> None:
        """Who has much to read may take long for it."""
        world = World(timings=Timings(stalled=60))
        ann = logged_in(world, "ann")
        ann.send(b"SEND ann %s\n" % (b"x" * 8000) * 50)
        ann.received()
        ann.transport.stuck = True
        ann.send(b"HISTORY 50\n")
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        world.clock.pump([1] * 200)
        self.assertFalse(ann.transport.aborted)
        world.clock.pump([1] * 60)
        self.assertTrue(ann.transport.aborted)

    def test_what_is_no_message_is_told_at_once(self) -> None:
        """That a message is gone, or the login over, is told to who is behind in reading messages, too."""
        world = self.flood()
        bob = world.connections["bob"]
        world.connect("eve").send(b"TAKEOVER bob password\n")
        bob.transport.stuck = False
        world.run()
        self.assertIn(b"* BYE bob ", bob.received())

    def test_a_limit_below_one_message(self) -> None:
        """One message is always written ahead, however small the limit is."""
        world = World(Limits(bcrypt_cost=4, output=10))
        ann, bob = logged_in(world, "ann"), logged_in(world, "bob")
        ann.send(b"SEND bob one\nSEND bob two\n")
        self.assertEqual(bob.received().count(b"* MSG"), 2)

    def stalled(self) -> tuple[World, Connection]:
        """Ann has a reply to read, and does not."""
        world = World(timings=Timings(stalled=60))
        ann = logged_in(world, "ann")
        ann.transport.stuck = True
        ann.send(b"NOOP\n")
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        return world, ann

    def test_stalled(self) -> None:
        """A client that leaves replies unread for too long is ended."""
        world, ann = self.stalled()
        world.clock.pump([1] * 59)
        self.assertFalse(ann.transport.aborted)
        world.clock.pump([1] * 3)
        self.assertTrue(ann.transport.aborted)

    def test_stalled_and_talking(self) -> None:
        """Nor is one spared that sends something now and then."""
        world, ann = self.stalled()
        for _ in range(7):
            ann.send(b"x")
            world.clock.pump([1] * 9)
        self.assertTrue(ann.transport.aborted)

    def test_slow_behind_a_pause(self) -> None:
        """Who was silent for long may take as long as anybody to read what comes then."""
        world = World(timings=Timings(stalled=60))
        ann, bob = logged_in(world, "ann"), logged_in(world, "bob")
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        world.pass_time(90)
        ann.transport.stuck = True
        bob.send(b"SEND ann hi\n")
        world.pass_time(50)
        self.assertFalse(ann.transport.aborted)
        ann.transport.stuck = False
        world.run()
        self.assertIn(b" ann hi", ann.received())

    def test_late_while_behind(self) -> None:
        """What another replica had, and comes late, is pushed as well; each message once, though others are being marked."""
        world = World(Limits(bcrypt_cost=4, output=1800))
        ann, bob = logged_in(world, "ann"), logged_in(world, "bob")
        bob.send(b"LOGOUT\n")
        ann.send(b"SEND bob old\n" * 20)
        bob.send(b"LOGIN bob password\n")
        bob.received()
        ann.send(b"SEND bob first\n")
        bob.transport.stuck = True
        ann.send(b"SEND bob %s\n" % (b"x" * 100) * 40)
        account = world.chat.account("bob")
        assert account is not None
        early = account.messages[0].at - 1
        world.replica.applied([model.Sent("z-1", early, account.id, account.id, "late")], [])
        world.replica.role("primary", world.replica._router.view)
        world.journal.held = True
        bob.send(b"NOOP\n")  # counts the first one as read, which takes a while
        bob.transport.stuck = False
        world.run()
        ids = [line.split()[2] for line in bob.received().decode().splitlines() if line.startswith("* MSG")]
        since = [message.id for message in account.messages if message.text != "old"]
        self.assertEqual(sorted(ids), sorted(since))


class DeadlineTests(SynchronousTestCase):
    """Connections that nobody uses end with a word."""

    def setUp(self) -> None:
        self.world = World(timings=Timings(login_deadline=10, idle=100))
        self.world.clients.startFactory()
        self.addCleanup(self.world.clients.stopFactory)

    def wait(self, seconds: int) -> None:
        """Time passes."""
        for _ in range(seconds):
            self.world.clock.advance(1)
            self.world.run()

    def test_nobody_logged_in(self) -> None:
        """Without a login the connection ends, however busy it is."""
        ann = self.world.connect("ann")
        for _ in range(12):
            ann.send(b"NOOP\n")
            self.wait(1)
        self.assertEqual(replies(ann)[-1][:3], "421")

    def test_at_a_prompt(self) -> None:
        """Telnet shows again what is typed when the connection ends while a password is asked for."""
        ann = self.world.connect("ann")
        ann.send(b"LOGIN ann\r\n")
        self.wait(12)
        self.assertRegex(ann.received(), rb"\xff\xfb\x01331 [^\n]*\r\n\xff\xfc\x01421 ")

    def test_idle(self) -> None:
        """A session that says nothing for long ends; one that says something now and then stays."""
        ann, bob = logged_in(self.world, "ann"), logged_in(self.world, "bob")
        for _ in range(4):
            bob.send(b"NOOP\n")
            self.wait(30)
        self.assertEqual((replies(ann)[-1][:3], ann.transport.write_closed), ("421", True))
        self.assertEqual(replies(bob)[-1][:3], "250")

    def test_slow_is_not_idle(self) -> None:
        """Nor is one ended that reads slowly, and says something meanwhile."""
        world = World(timings=Timings(idle=20, stalled=60))
        ann = logged_in(world, "ann")
        world.clients.startFactory()
        self.addCleanup(world.clients.stopFactory)
        ann.transport.stuck = True
        ann.send(b"LIST\n")
        world.pass_time(25)
        ann.send(b"NOOP\n")
        ann.transport.stuck = False
        world.pass_time(2)
        self.assertEqual(replies(ann)[-1][:3], "250")

    def test_too_many(self) -> None:
        """A connection too many is told so."""
        world = World(Limits(connections=2))
        world.connect("ann")
        world.connect("bob")
        self.assertEqual(world.connect("eve").received()[:4], b"421 ")
        world.connections["ann"].lose()
        self.assertEqual(world.connect("joe").received()[:4], b"220 ")

    def test_goodbye(self) -> None:
        """At shutdown everybody is told, and what comes then is not done."""
        ann = logged_in(self.world, "ann")
        self.world.clients.stop_taking_lines()
        ann.send(b"SEND ann hi\n")
        self.world.clients.say_goodbye("stopping")
        self.world.run()
        self.assertEqual(ann.received(), b"421 stopping\n")
        self.assertEqual(self.world.chat.messages, {})

    def test_goodbye_to_one_who_stays(self) -> None:
        """A client that neither reads nor hangs up keeps no replica from stopping."""
        ann = logged_in(self.world, "ann")
        ann.transport.stuck = True
        self.world.replica.stop()
        self.world.clients.stopFactory()  # as when listening ends
        gone = self.world.clients.say_goodbye("stopping")
        self.world.run()
        self.assertNoResult(gone)
        self.world.clock.pump([1.0] * 5)
        self.assertTrue(ann.transport.aborted)
        ann.lose()
        self.successResultOf(gone)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class DiskTests(SynchronousTestCase):
    """A disk that does not take what it should."""

    def test_stalled(self) -> None:
        """Of one that does not answer it is not only said that it is full."""
        world = World()
        bob = logged_in(world, "bob")
        bob.received()
        world.journal.held = True
        world.clock.advance(3)  # the process stood still, and joins anew
        world.pass_time(5)
        bob.send(b"SEND bob x\n")
        world.pass_time(5)
        self.assertRegex(bob.received(), b"452 not recorded: .* does not answer")

    def test_full(self) -> None:
        """452 to who wanted it recorded; reading goes on; nothing of it is there later; it works again once there is room."""
        world = World()
        ann = logged_in(world, "ann")
        world.journal.failure = DiskFull("full")
        ann.send(b"SEND ann lost\nHISTORY\n")
        self.assertEqual([line[:3] for line in replies(ann)], ["452", "213"])
        world.journal.failure = None
        ann.send(b"SEND ann kept\n")
        self.assertEqual(replies(ann), ["250 0rigin00-3 sent to ann, on 1 replicas"])

    def test_failed(self) -> None:
        """454 when nobody knows whether it is recorded; the replica is told to end, and records nothing more."""
        world = World()
        ann = logged_in(world, "ann")
        world.journal.failure = DiskFailed("fsync")
        ann.send(b"SEND ann lost\nSEND ann more\n")
        self.assertEqual([line[:3] for line in replies(ann)], ["454", "454"])
        self.assertEqual(len(world.failed), 1)
        ann.send(b"SEND ann later\n")
        self.assertEqual([line[:3] for line in replies(ann)], ["452"])


class MajorityTests(SynchronousTestCase):
    """In majority mode one replica of three is not enough."""

    def test_alone(self) -> None:
        """Neither mutations nor logins: 451, and nothing is recorded."""
        world = World(mode="majority")
        ann = world.connect("ann")
        ann.received()
        ann.send(b"REGISTER ann password\nLOGIN ann password\nLIST\n")
        world.pass_time(DEFAULT.timings.patience)
        self.assertEqual([line[:3] for line in replies(ann)], ["451", "451", "212"])
        self.assertEqual(world.journal.operations, [])


class BugTests(SynchronousTestCase):
    """A bug in a command."""

    def test_what_is_recorded_but_not_taken_in(self) -> None:
        """A bug behind the disk is logged, and costs no other command."""
        world = World()
        ann = logged_in(world, "ann")
        whole = world.chat.apply
        self.patch(world.chat, "apply", None)
        ann.send(b"SEND ann one\n")
        world.chat.apply = whole  # type: ignore[method-assign]
        ann.send(b"SEND ann two\n")
        self.assertEqual([line[:3] for line in replies(ann)], ["250", "250"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_internal_error(self) -> None:
        """554, logged, and the connection goes on."""
        world = World()
        ann = logged_in(world, "ann")
        self.patch(world.chat, "newest_unread", None)
        ann.send(b"READ\nNOOP\n")
        self.assertEqual([line[:3] for line in replies(ann)], ["554", "250"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
