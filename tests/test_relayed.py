"""A replica that is in no view, and whose clients go through another one (R14)."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.replication.messages import AnyMessage, Bundle, Failure, Forward, Result
from tests.wire import World


class RelayedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.ann = self.world.connect("ann")
        self.ann.send(b"REGISTER ann secret-of-ann\n")
        self.ann.received()
        replica = self.world.replica
        self.sent: list[AnyMessage] = []
        self.patch(replica.core, "relay", lambda: 2)
        self.patch(replica.member, "send", lambda rank, message: self.sent.append(message))
        replica.role("", None)
        self.world.clock.advance(replica._cluster.timings.silence / 4)  # it does not seem to have been stopped
        replica._router._since -= replica._cluster.timings.silence

    def done(self, operation: model.AnyOperation) -> None:
        """The other replica says that the latest request is committed, then comes what this one catches up with."""
        forward = self.sent[-1]
        assert isinstance(forward, Forward)
        self.world.replica.deliver(2, Bundle([Result(forward.number, operation.id, 2, True)]))
        self.world.run()
        self.world.replica.applied([operation], [])
        self.world.run()

    def test_a_message_to_oneself(self) -> None:
        """It is pushed, and answered, as anywhere else."""
        account = self.world.chat.account("ann")
        assert account is not None
        self.ann.send(b"SEND ann hi\n")
        self.done(model.Sent("m-1", self.world.chat.latest + 1, account.id, account.id, "hi"))
        pushed, reply = self.ann.received().decode().splitlines()
        self.assertEqual((pushed[:10], reply), ("* MSG m-1 ", "250 m-1 sent to ann, on 2 replicas"))

    def test_a_bad_answer(self) -> None:
        """One message that cannot be taken keeps none of those that came with it from its client."""
        self.ann.send(b"SEND bob hi\n")
        forward = self.sent[-1]
        assert isinstance(forward, Forward)
        bad: Any = None
        self.world.replica.deliver(2, Bundle([bad, Failure(forward.number, 550, "no account bob")]))
        self.world.run()
        self.assertEqual(self.ann.received(), b"550 no account bob\n")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_an_account_that_is_gone_though_nobody_can_say_so(self) -> None:
        """If UNREGISTER is answered with 454, and the account is deleted, its session ends all the same, and is told."""
        account = self.world.chat.account("ann")
        assert account is not None
        self.ann.send(b"UNREGISTER secret-of-ann\n")
        forward = self.sent[-1]
        assert isinstance(forward, Forward)
        self.world.replica.applied([model.Unregistered("m-1", self.world.chat.latest + 1, account.id)], [])
        self.world.run()
        self.assertEqual(self.ann.received(), b"")
        self.world.replica.deliver(2, Failure(forward.number, 454, "it may or may not be recorded"))
        self.ann.send(b"WHO\n")
        self.assertEqual(
            [line[:9] for line in self.ann.received().decode().splitlines()], ["454 it ma", "* BYE thi", "530 log i"]
        )
