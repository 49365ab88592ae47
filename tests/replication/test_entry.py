"""How a replica gets into a view that another one makes."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Timings
from chattwist.replication.contact import Contact
from chattwist.replication.entry import Entry
from chattwist.replication.log import Log
from chattwist.replication.messages import AnyMessage, Fill, Install, Promise, Refusal, Serving, State, Unfit, View
from chattwist.replication.own import Own
from chattwist.replication.steps import Send
from tests.replication.cores import sent


class EntryTests(SynchronousTestCase):
    """Replica 2 of three, which was in a view of replica 1."""

    def setUp(self) -> None:
        self.own = Own(2, Log(), State((3, 1), View((3, 1), (1, 2))), 0.0)
        self.contact = Contact(2, 3, Timings(), 0.0)
        self.entry = Entry(self.own, self.contact, Timings(), list, list)

    def sent(self) -> list[AnyMessage]:
        """What was said since the last time."""
        effects, self.own.effects = self.own.effects, []
        return [effect.message for effect in effects if isinstance(effect, Send)]

    def test_promised_to_another(self) -> None:
        """A promise that was overtaken by another, while it was written, is not given (R12)."""
        self.entry.promise(0, (4, 0))
        self.entry.promise(1, (5, 1))
        self.own.written(full=False)
        self.assertEqual(self.sent(), [])
        self.own.written(full=False)
        (promise,) = self.sent()
        assert isinstance(promise, Promise)
        self.assertEqual(promise.epoch, (5, 1))

    def test_a_view_that_was_not_promised_to(self) -> None:
        """It is refused at once, by what was promised: its maker need not wait to find that it is too late."""
        self.entry.promise(1, (5, 1))
        self.entry.install(0, Install(View((4, 0), (0, 1, 2)), [], []))
        self.assertEqual(self.sent(), [Refusal((5, 1))])

    def test_a_candidate_that_gets_nowhere(self) -> None:
        """It is waited for while it is heard, but not for ever: somebody has to serve."""
        self.entry.promise(0, (4, 0))
        for now, follows in (0.0, True), (2.0, True), (2.1, False):
            self.own.now = self.contact.now = now
            self.contact.heard(0)
            self.assertEqual(self.entry.follows(), follows, now)

    def test_a_candidate_that_is_gone(self) -> None:
        """One that is not heard any more is not waited for."""
        self.contact.heard(0)
        self.entry.promise(0, (4, 0))
        self.assertTrue(self.entry.follows())
        self.own.now = self.contact.now = 1.1
        self.assertFalse(self.entry.follows())

    def test_no_room_for_the_view(self) -> None:
        """What is not on disk was not entered: nobody may count on it (R12)."""
        self.entry.promise(0, (4, 0))
        self.own.written(full=False)
        self.sent()
        self.entry.install(0, Install(View((4, 0), (0, 1, 2)), [], []))
        self.own.written(full=True)
        self.assertEqual((self.own.view, self.own.current, self.sent()), (None, False, []))

    def test_filled_in_part(self) -> None:
        """One that could not keep all that it was filled with says so, and is not in the view: it would lack the rest (R3)."""
        self.entry.promise(0, (4, 0))
        self.own.written(full=False)
        self.sent()
        self.entry.fill(0, Fill((4, 0), [sent("a-1"), sent("b-2")]))
        self.entry.install(0, Install(View((4, 0), (0, 1, 2)), [], []))
        for _ in range(2):
            self.own.written(full=False)
        self.assertEqual((self.own.view, self.sent()), (None, [Unfit((4, 0))]))

    def test_a_view_that_was_overtaken(self) -> None:
        """One that promised another epoch, while it wrote the view, is not in that view (R12)."""
        self.entry.promise(0, (4, 0))
        self.own.written(full=False)
        self.sent()
        self.entry.install(0, Install(View((4, 0), (0, 1, 2)), [], []))
        self.entry.promise(1, (5, 1))
        self.own.written(full=False)
        self.assertEqual((self.own.current, self.sent()), (False, []))

    def test_serving(self) -> None:
        """A view serves once its own primary says so: what the one before said may come late (R12)."""
        self.entry.promise(0, (4, 0))
        self.own.written(full=False)
        self.entry.install(0, Install(View((4, 0), (0, 1, 2)), [], []))
        self.own.written(full=False)
        for rank, epoch in (1, (3, 1)), (1, (4, 0)), (0, (3, 0)):
            self.entry.serving(rank, Serving(epoch))
            self.assertFalse(self.own.serving)
        self.entry.serving(0, Serving((4, 0)))
        self.assertTrue(self.own.serving)
