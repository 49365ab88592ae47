"""What becomes of operations that are durable: what is kept of them, and which sessions are told."""

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.chat import Chat
from chattwist.delivery import DELETED, Delivery
from chattwist.online import Online
from chattwist.replication.log import Log
from chattwist.replication.messages import Login
from chattwist.roster import Roster


class FakeSession:
    """Somebody who is logged in."""

    closed = False

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self.read: set[str] = set()
        self.pushed: list[str] = []
        self.events: list[str] = []

    def begin(self, account: object) -> None:
        """See Session."""

    def push(self, message: model.Sent) -> None:
        """See Session."""
        self.pushed.append(message.id)

    def was_shown(self, message_id: str) -> bool:
        """See Session."""
        return message_id in self.shown

    def was_read(self, message_id: str) -> bool:
        """See Session."""
        return message_id in self.read

    def event(self, text: str) -> None:
        """See Session."""
        self.events.append(text)

    bye = event


class DeliveryTests(SynchronousTestCase):
    """Ann is logged in here, Bob is not."""

    def setUp(self) -> None:
        self.chat, self.log, self.online = Chat(), Log(), Online()
        self.roster = Roster(lambda account: account)
        self.later: list[Callable[[], None]] = []
        self.delivery = Delivery(self.chat, self.log, self.online, self.roster, self.later.append, self.fail)
        for number, name in enumerate(("ann", "bob"), 1):
            self.take(model.Registered(f"a-{number}", number, name, "hash"))
        self.ann = self.enter("s1")

    def enter(self, session: str) -> FakeSession:
        """Ann logs in."""
        ann: Any = FakeSession()
        login = Login("a-1", 0, session, (1, 1))
        self.online.enter(ann, self.chat.accounts["a-1"], login)
        self.roster.enter(login)
        return ann  # type: ignore[no-any-return]

    def take(self, operation: model.AnyOperation) -> None:
        """It is durable here."""
        self.log.load(operation)
        self.delivery.take(operation)

    def text(self, message_id: str) -> str:
        """What is kept of a message, to be given to other replicas."""
        message = self.log.get(message_id)
        assert isinstance(message, model.Sent)
        return message.text

    def test_pushed(self) -> None:
        """Who is here is pushed what comes for him, once."""
        self.take(model.Sent("a-3", 3, "a-2", "a-1", "hi"))
        self.take(model.Sent("a-4", 4, "a-1", "a-2", "hi"))
        for _ in range(2):
            self.delivery.push()
        self.assertEqual(self.ann.pushed, ["a-3"])

    def test_not_pushed(self) -> None:
        """What READ has shown meanwhile is not, nor what is deleted, nor anything to the next who is there."""
        for number in 3, 4, 5:
            self.take(model.Sent(f"a-{number}", number, "a-2", "a-1", "hi"))
        self.ann.read.add("a-3")
        self.take(model.Deleted("a-6", 6, "a-2", ("a-4",)))
        self.delivery.push()
        self.assertEqual(self.ann.pushed, ["a-5"])
        self.take(model.Sent("a-7", 7, "a-2", "a-1", "hi"))
        again = self.enter("s2")
        self.delivery.push()
        self.assertEqual((self.ann.pushed, again.pushed), (["a-5"], []))

    def test_a_deletion(self) -> None:
        """The other party is told of it if the message was shown there, and the text is kept nowhere (R7)."""
        for number in 3, 4:
            self.take(model.Sent(f"a-{number}", number, "a-2", "a-1", "hi"))
        self.take(model.Sent("a-5", 5, "a-1", "a-2", "hi"))
        self.ann.shown.update(("a-3", "a-5"))
        self.take(model.Deleted("a-6", 6, "a-2", ("a-3", "a-4")))
        self.take(model.Deleted("a-7", 7, "a-1", ("a-5",)))
        self.assertEqual(self.ann.events, ["DELETED a-3"])
        self.assertEqual([self.text(f"a-{number}") for number in (3, 4, 5)], ["", "", ""])

    def test_a_deletion_that_came_first(self) -> None:
        """Neither is that of a message that was deleted before it came, and nobody is shown it."""
        self.take(model.Deleted("a-3", 4, "a-2", ("b-1",)))
        self.take(model.Sent("b-1", 3, "a-2", "a-1", "hi"))
        self.delivery.push()
        self.assertEqual((self.text("b-1"), self.ann.pushed), ("", []))

    def test_an_account_that_ends(self) -> None:
        """It is logged in nowhere any more, and its session is told why, unless it is the one that asked for it."""
        for asked in True, False:
            self.setUp()
            if asked:
                self.delivery.deleting.add("a-1")
            self.take(model.Unregistered("a-3", 3, "a-1"))
            for call in self.later:
                call()
            self.assertEqual(self.ann.events, [] if asked else [DELETED])
            self.assertIsNone(self.roster.get("a-1"))
