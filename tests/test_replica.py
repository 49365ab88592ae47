"""A replica that follows: what it tells the primary of its clients, and what it takes in."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.member import NoChannel
from chattwist.replication.messages import AnyMessage, Bundle, End, Ended, Forward, Heartbeat, Here, Leave, View, decode
from chattwist.requests import MarkRead
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
