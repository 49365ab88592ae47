"""A replica that follows: what it tells the primary of its clients, and what it takes in."""

from typing import Any

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.member import NoChannel
from chattwist.protocol.session import Session
from chattwist.replication.messages import AnyMessage, Bundle, End, Ended, Forward, Heartbeat, Here, Leave, View, decode
from chattwist.requests import MarkRead
from chattwist.retrykeys import RetryKeys
from tests.wire import World


class FollowerTests(SynchronousTestCase):
    """Ann is logged in at replica 0, and was sent a message; then replica 1 is primary."""

    def setUp(self) -> None:
        self.world = World()
        self.ann = self.world.connect("ann")
        self.ann.send(b"REGISTER ann secret-of-ann\nSEND ann hi\n")
        self.replica = self.world.replica
        self.replica.role("follower", View((9, 1), (0, 1)))
        self.world.run()
        self.ann.received()
        (self.login,) = self.replica._online.logins
        self.told: list[AnyMessage] = []
        self.patch(NoChannel, "send", self.hear)

    def hear(self, rank: int, data: bytes, at_once: bool = False) -> bool:
        """The primary is told something."""
        message = decode(data)
        if not isinstance(message, Heartbeat):
            self.told += message.messages if isinstance(message, Bundle) else [message]
        return True

    def check_read_before_left(self) -> None:
        """The primary is told that Ann read her message, and then that her login is over."""
        self.world.run()
        read, left = self.told
        assert isinstance(read, Forward)
        self.assertEqual(read.request, MarkRead(account="", messages=tuple(self.world.chat.messages)))
        assert isinstance(left, Leave | Ended)
        self.assertEqual((left.account, left.session), (self.login.account, self.login.session))

    def test_ended_from_elsewhere(self) -> None:
        """What was read in a login is known before another one takes its place: there it is not unread."""
        self.ann.protocol.dataReceived(b"NOOP\n")
        self.replica.deliver(1, End(self.login.account, self.login.session, "taken over"))
        self.check_read_before_left()

    def test_a_connection_that_breaks(self) -> None:
        """So it is where the connection breaks just behind the line that says that it was read."""
        self.ann.protocol.dataReceived(b"NOOP\n")
        self.ann.protocol.connectionLost()
        self.check_read_before_left()

    def test_a_new_connection_to_the_primary(self) -> None:
        """It is told who is logged in here: what it was told of that just before may be lost."""
        self.replica.connected(2)
        self.assertEqual(self.told, [])
        self.replica.connected(1)
        self.assertEqual(self.told, [Here([self.login])])

    def test_what_cannot_be_taken_in(self) -> None:
        """An operation that cannot be taken in keeps none behind it from the people here."""
        bad: Any = None
        account = self.login.account
        self.replica.applied([bad, model.Sent("m-1", self.world.chat.latest + 1, account, account, "hello")], [])
        self.world.run()
        self.assertIn("m-1", self.world.chat.messages)
        self.assertEqual(self.ann.received()[:10], b"* MSG m-1 ")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_what_cannot_be_pushed(self) -> None:
        """What cannot be pushed keeps neither the answer to who sent it waiting, nor all commits after that."""
        self.world = World()
        ann, bob = self.world.connect("ann"), self.world.connect("bob")
        ann.send(b"REGISTER ann secret-of-ann\n")
        bob.send(b"REGISTER bob secret-of-bob\n")
        ann.received()
        self.patch(Session, "push", None)
        ann.send(b"SEND bob one\nSEND bob two\n")
        self.world.run()
        self.assertEqual([line[:4] for line in ann.received().splitlines()], [b"250 ", b"250 "])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_sender_deleted_meanwhile(self) -> None:
        """A message that comes together with the end of its sender's account is pushed as HISTORY shows it."""
        account, at = self.login.account, self.world.chat.latest
        operations: list[model.AnyOperation] = [
            model.Registered("b-1", at + 1, "bob", "hash"),
            model.Sent("b-2", at + 2, "b-1", account, "bye"),
            model.Unregistered("b-3", at + 3, "b-1"),
        ]
        self.replica.applied(operations, [])
        self.world.run()
        self.assertIn(b" ~bob ann bye", self.ann.received())

    def test_accounts_that_are_not_known_yet(self) -> None:
        """The primary may know an account a moment earlier: lines that name it have all their fields meanwhile."""
        account, at = self.login.account, self.world.chat.latest
        self.replica.applied(
            [model.Sent("b-2", at + 2, "b-1", account, "hi"), model.Sent("b-3", at + 3, account, "b-1", "ho")], []
        )
        self.world.run()
        self.assertIn(b" ? ann hi\n", self.ann.received())
        self.ann.send(b"HISTORY 1\n")
        self.assertIn(b" ann ? ho\n", self.ann.received())
        self.replica.applied([model.Registered("b-1", at + 1, "bob", "hash")], [])
        self.ann.send(b"HISTORY 1\n")
        self.assertIn(b" ann bob ho\n", self.ann.received())

    def test_a_connection_that_broke_between_two_views(self) -> None:
        """The next primary is told that the login is over, for the one before may have told it that there is one."""
        self.replica.role("", None)
        self.ann.lose()
        self.assertEqual(self.told, [])
        self.replica.role("follower", View((10, 1), (0, 1)))
        self.world.run()
        (left,) = self.told
        assert isinstance(left, Leave)
        self.assertEqual((left.account, left.session), (self.login.account, self.login.session))


class PrimaryTests(SynchronousTestCase):
    """Ann is logged in at a replica that is primary, and alone."""

    def setUp(self) -> None:
        self.world = World()
        self.replica = self.world.replica
        self.ann = self.world.connect("ann")
        self.ann.send(b"REGISTER ann secret-of-ann\n")
        self.ann.received()

    def test_stamped(self) -> None:
        """What it makes has the number of its view, and a clock that is not far ahead of all others (R6, R22)."""
        ahead = self.world.chat.latest + 1_000_000
        self.patch(self.replica.core, "clamped", lambda wall: ahead)
        self.ann.send(b"@!k SEND ann hi\n")
        (message,) = self.world.chat.messages.values()
        view = self.replica.core.view
        assert view is not None
        self.assertEqual((message.at, message.view), (ahead, view.epoch[0]))

    def test_repeated_before_all_have_it(self) -> None:
        """A command that others may lack is not said to be done; but they are to get it soon (R6)."""
        self.ann.send(b"@!k SEND ann hi\n")
        self.ann.received()
        settled: list[bool] = []
        self.patch(self.replica.core, "is_settled", lambda operation: False)
        self.patch(self.replica.core, "settle", lambda: settled.append(True))
        self.ann.send(b"@!k SEND ann hi\n")
        self.assertEqual((self.ann.received()[:7], settled), (b"@!k 454", [True]))

    def test_login_to_an_account_that_others_may_lack(self) -> None:
        """The 230 comes once a new view has given the account to all of them (R19): it could be on this disk only."""
        view, log = self.replica.core.view, self.replica.core.own.log
        account = self.world.chat.accounts[self.replica._online.logins[0].account]
        self.ann.send(b"LOGOUT\n")
        self.ann.received()
        self.replica.core.own.unsettled = {operation.id for operation in log if isinstance(operation, model.Confirmed)}
        self.assertEqual(self.replica.core.own.unsettled, {account.confirmed_by})
        self.ann.send(b"LOGIN ann secret-of-ann\n")
        self.assertEqual((self.ann.received(), self.replica.core.view), (b"", view))
        self.world.pass_time(0.5)
        self.assertEqual(self.ann.received()[:8], b"230 ann ")
        self.assertNotEqual(self.replica.core.view, view)

    def test_looked_at_before_it_is_committed(self) -> None:
        """A message is pushed though HISTORY showed it while it was being committed: that marks nothing. READ does."""
        (login,) = self.replica._online.logins
        for number, (line, is_pushed) in enumerate([(b"HISTORY\n", True), (b"READ\n", False)]):
            at = self.world.chat.latest + 1
            self.replica.applied([model.Sent(f"m-{number}", at, login.account, login.account, "hi")], [])
            self.ann.send(line)
            self.assertIn(b"213-m-%d " % number, self.ann.received())
            self.replica._delivery.push()
            self.world.run()
            self.assertEqual(b"* MSG m-%d " % number in self.ann.received(), is_pushed)

    def test_time_passes(self) -> None:
        """With it go old retry keys, and messages that are nobody's."""
        (login,) = self.replica._online.logins
        old = model.PasswordChanged("o-1", 1, login.account, "hash", key="k")
        self.replica.applied([old], [])
        self.ann.send(b"SEND ann hi\nUNREGISTER secret-of-ann\n")
        self.world.pass_time(1)
        self.assertEqual((len(self.world.chat.messages), self.world.chat.keys._others), (0, {}))

    def test_deleted_elsewhere_after_it_was_not_here(self) -> None:
        """Whose UNREGISTER was refused is still told when the account is deleted by another session of it."""
        (login,) = self.replica._online.logins
        self.ann.send(b"UNREGISTER not-her-secret\n")
        self.assertEqual(self.ann.received()[:4], b"535 ")
        self.replica.applied([model.Unregistered("m-1", self.world.chat.latest + 1, login.account)], [])
        self.world.run()
        self.assertEqual(self.ann.received(), b"* BYE this account was deleted\n")


class WithoutPrimaryTests(SynchronousTestCase):
    """Ann is at a replica that has been in no view for long."""

    def setUp(self) -> None:
        self.world = World()
        self.ann = self.world.connect("ann")
        self.ann.send(b"@!r REGISTER ann secret-of-ann\n@!k SEND ann hi\n")
        self.ann.received()
        self.world.replica._router.role("", None)
        self.world.pass_time(4)

    def codes(self) -> list[bytes]:
        """The codes of the replies that came, each with its tag."""
        return [line[:7] for line in self.ann.received().splitlines() if line[:1] != b"*"]

    def test_repeated(self) -> None:
        """Of what is here under a retry key nobody is told that nothing was recorded."""
        self.ann.send(b"@!k SEND ann hi\n@!n SEND ann hi\n")
        self.assertEqual(self.codes(), [b"@!k 454", b"@!n 451"])

    def test_waited_for_long_enough(self) -> None:
        """What was asked for just before waits for a primary, and is answered in time; also after something went wrong."""
        self.world.replica._router.role("", None)
        self.ann.send(b"SEND ann hi\n")
        self.patch(RetryKeys, "forget", None)
        self.assertEqual(self.codes(), [])
        self.world.pass_time(4)
        self.assertEqual(self.codes(), [b"451 no "])
        self.assertTrue(self.flushLoggedErrors(TypeError))

    def test_said_in_the_log(self) -> None:
        """An operator is told once that nothing can be recorded: not while the next primary is only being found."""
        replica, silence = self.world.replica, self.world.cluster.timings.silence
        view = replica.core.view
        with capturedLogs() as events:
            for seconds, expected in ((1.8, 0), (1.8, 0), (0.7, 1), (10, 1)):
                if expected == 0:
                    replica.role("primary", view)
                    replica.role("", None)
                self.world.pass_time(seconds * silence)
                said = [event for event in events if event["log_level"] == LogLevel.warn]
                self.assertEqual(len(said), expected, seconds)

    def test_registered_again(self) -> None:
        """So it is with an account."""
        self.world.pass_time(4)
        bob = self.world.connect("bob")
        bob.received()
        bob.send(b"@!r REGISTER ann secret-of-ann\n@!r REGISTER bob secret-of-bob\n")
        self.world.pass_time(4)
        self.assertEqual([line[:7] for line in bob.received().splitlines()], [b"@!r 454", b"@!r 451"])
        self.world.replica.core.own.full_until = self.world.clock.seconds() + 100
        bob.send(b"@!r REGISTER ann secret-of-ann\n@!r REGISTER bob secret-of-bob\n")
        self.world.pass_time(4)
        self.assertEqual([line[:7] for line in bob.received().splitlines()], [b"@!r 454", b"@!r 452"])
