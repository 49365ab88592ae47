"""Commits of a view, the two sides of them by themselves."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication.log import Log
from chattwist.replication.messages import Ack, Append, Refusal, State, Unfit, View
from chattwist.replication.own import Own
from chattwist.replication.rounds import Rounds
from chattwist.replication.steps import Apply, Effect, Finish, Send, Store
from tests.replication.cores import sent

VIEW = View((4, 0), (0, 1, 2))
OLD = View((3, 0), (0, 1))
ONE, TWO = sent("a-1"), sent("a-2")


class RoundsTests(SynchronousTestCase):
    def begin(self, rank: int, view: View = VIEW) -> None:
        """A replica in a view that serves."""
        self.own = Own(rank, Log(), State(view.epoch, view), 0.0)
        self.own.installed, self.own.serving = view, True
        self.rounds = Rounds(self.own, patience=3.0)

    def effects(self) -> list[Effect]:
        """What is to be done now."""
        effects, self.own.effects = self.own.effects, []
        return effects

    def test_primary(self) -> None:
        """It sends the operations and writes them itself; the commit ends when the last member has them, whoever that is."""
        self.begin(0)
        self.rounds.begin([ONE], [(2, 17)])
        append = Append((4, 0), 1, [ONE], [(2, 17)])
        self.assertEqual(self.effects(), [Send(1, append), Send(2, append), Store([ONE])])
        self.rounds.acked(2, Ack((4, 0), 1))
        self.rounds.acked(2, Ack((4, 0), 1))
        self.own.written(full=False)
        self.assertEqual(self.effects(), [Apply([ONE], [(2, 17)])])
        self.rounds.acked(1, Ack((4, 0), 1))
        self.assertEqual(self.effects(), [Finish("", 3)])

    def test_follower(self) -> None:
        """It acknowledges what it has written and applied, and not before (R1, R20)."""
        self.begin(1)
        self.rounds.append(0, Append((4, 0), 1, [ONE, TWO], [(1, 5), (2, 6)]))
        self.assertEqual(self.effects(), [Store([ONE, TWO])])
        self.own.written(full=False)
        self.assertEqual(self.effects(), [Send(0, Ack((4, 0), 1)), Apply([ONE, TWO], [(1, 5), (2, 6)])])

    def test_follower_without_room(self) -> None:
        """It says so, and what did not fit is not applied."""
        self.begin(1)
        self.rounds.append(0, Append((4, 0), 1, [ONE], [(1, 5)]))
        self.own.written(full=True)
        self.assertEqual(self.effects()[-1:], [Send(0, Unfit((4, 0)))])

    def test_follower_with_a_gap(self) -> None:
        """It acknowledges no commit of which it could take a part only."""
        self.begin(1)
        self.rounds.append(0, Append((4, 0), 1, [sent("b-1"), TWO], [(1, 5), (1, 6)]))
        self.assertEqual(self.effects(), [Store([sent("b-1")])])
        self.own.written(full=False)
        self.assertEqual(self.effects(), [Send(0, Unfit((4, 0))), Apply([sent("b-1")])])

    def test_follower_refuses(self) -> None:
        """A commit of an older view or of none, or one behind a commit that is missing, is refused."""
        self.begin(1)
        for append in Append((3, 0), 1, [ONE], []), Append((4, 0), 2, [ONE], []), Append((5, 2), 1, [ONE], []):
            self.rounds.append(0, append)
            self.assertEqual(self.effects(), [Send(0, Refusal((4, 0)))])
        self.own.promised = (5, 2)
        self.rounds.append(0, Append((4, 0), 1, [ONE], []))
        self.assertEqual(self.effects(), [Send(0, Refusal((5, 2)))])

    def test_over_a_new_connection(self) -> None:
        """What is durable here is acknowledged again, and nothing else: a write under way says itself how it ended (R1)."""
        self.begin(1)
        self.rounds.acknowledge_again()
        self.assertEqual(self.effects(), [])
        self.rounds.append(0, Append((4, 0), 1, [ONE], []))
        self.rounds.acknowledge_again()
        self.own.written(full=False)
        self.rounds.acknowledge_again()
        self.assertEqual(
            [effect for effect in self.effects() if isinstance(effect, Send)], [Send(0, Ack((4, 0), 1))] * 2
        )
        self.rounds.append(0, Append((4, 0), 2, [TWO], []))
        self.own.written(full=True)
        self.effects()
        self.rounds.acknowledge_again()
        self.assertEqual(self.effects(), [Send(0, Ack((4, 0), 1))])

    def test_who_is_late(self) -> None:
        """After ``silence`` those that a commit waits for are late (R18); never this replica itself, nor those of an old view."""
        self.begin(0)
        self.rounds.begin([ONE], [(0, 0)])
        self.rounds.acked(2, Ack((4, 0), 1))
        self.own.now = 0.9
        self.assertEqual(self.rounds.late(1.0), set())
        self.own.now = 1.1
        self.assertEqual(self.rounds.late(1.0), {1})
        self.own.promised, self.own.installed = (5, 0), View((5, 0), (0, 2))
        self.assertEqual(self.rounds.late(1.0), set())

    def test_completed_by_the_next_view(self) -> None:
        """What was under way is committed when a later view serves with this replica in it, on as many disks as that has."""
        self.begin(0)
        self.rounds.begin([ONE], [(0, 0)])
        self.rounds.completed_by_view()
        self.assertNotIsInstance(self.effects()[-1], Finish)
        self.own.promised, self.own.installed = (5, 1), View((5, 1), (0, 1))
        self.rounds.completed_by_view()
        self.assertEqual(self.effects(), [Finish("", 2)])
        self.rounds.acked(2, Ack((4, 0), 1))
        self.rounds.completed_by_view()
        self.assertEqual(self.effects(), [])

    def test_no_outcome(self) -> None:
        """Who does not lead any more waits ``patience`` seconds for a view; then the outcome is not known."""
        self.begin(0)
        self.rounds.begin([ONE], [(0, 0)])
        self.effects()
        self.own.now = 3.1
        self.rounds.give_up()
        self.assertEqual(self.effects(), [])
        self.own.serving = False
        self.rounds.give_up()
        self.assertEqual(self.effects(), [Finish("unknown", 0)])

    def test_no_room_on_the_primary(self) -> None:
        """Alone, it knows that nothing is recorded; with others, one of them may have it."""
        for view, outcome in ((View((4, 0), (0,)), "full"), (VIEW, "unknown")):
            self.begin(0, view)
            self.rounds.begin([ONE], [(0, 0)])
            self.own.written(full=True)
            self.assertEqual(self.effects()[-1], Finish(outcome, 0))

    def test_not_leading(self) -> None:
        """A follower, and a primary whose view does not serve yet, begin nothing."""
        self.begin(1)
        self.rounds.begin([ONE], [(0, 0)])
        self.assertEqual(self.effects(), [Finish("refused", 0)])
        self.begin(0)
        self.own.serving = False
        self.rounds.begin([ONE], [(0, 0)])
        self.assertEqual(self.effects(), [Finish("refused", 0)])

    def test_counted_in_each_view(self) -> None:
        """The first commit of a view has the number 1, whatever was in the view before."""
        self.begin(0, OLD)
        for number, view in ((1, OLD), (2, OLD), (1, VIEW)):
            self.own.promised, self.own.installed = view.epoch, view
            self.rounds.begin([], [])
            self.assertEqual(self.effects()[0], Send(1, Append(view.epoch, number, [], [])))
            for rank in 1, 2:
                self.rounds.acked(rank, Ack(view.epoch, number))
            self.assertEqual(self.effects()[-1], Finish("", len(view.members)))
