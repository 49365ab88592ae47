"""Catching up: a replica that was away gets what it lacks, and gives what only it has."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication import log, messages
from chattwist.replication.change import MOST_FILLED
from chattwist.replication.core import SPREADS
from chattwist.replication.messages import AnyMessage, Pull, Pulled
from tests.replication.cores import Cores, sent


class CatchupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cores = Cores(2)
        self.pulls: list[AnyMessage] = []

    def watch(self, sender: int, rank: int, message: AnyMessage) -> bool:
        """Note what is asked and answered; nothing is lost."""
        if isinstance(message, Pull | Pulled):
            self.pulls.append(message)
        return False

    def test_a_long_history(self) -> None:
        """It comes in batches, one after the other, each durable before the next is asked for."""
        count = 2 * log.BATCH + 1
        self.cores.nodes[0].operations = [sent(f"a-{n}") for n in range(1, count + 1)]
        self.cores.lose = self.watch
        self.cores.start(0, 1)
        self.cores.pass_time(1)
        self.assertEqual(self.cores.nodes[1].applied, [f"a-{n}" for n in range(1, count + 1)])
        batches = [len(one.operations) for one in self.pulls if isinstance(one, Pulled) and one.operations]
        self.assertEqual(batches, [log.BATCH, log.BATCH, 1])
        self.assertEqual(self.cores.roles(), "PF")

    def test_both_ways(self) -> None:
        """What each has, the other gets: nobody's history is cut back or replaced (R2)."""
        for rank, name in enumerate("ab"):
            self.cores.nodes[rank].operations = [sent(f"{name}-1"), sent(f"{name}-2")]
        self.cores.start(0, 1)
        self.cores.pass_time(1)
        for node in self.cores.nodes:
            self.assertEqual(node.held, {"a-1", "a-2", "b-1", "b-2"})
        self.assertEqual(self.cores.nodes[0].operations[:2], [sent("a-1"), sent("a-2")])

    def test_only_what_follows(self) -> None:
        """Of an answer that does not follow on what is here nothing is taken (R3)."""
        self.cores.start(0)
        self.cores.hear(1, 0, Pulled([sent("b-2"), sent("c-1"), sent("b-4")], False))
        self.assertEqual(self.cores.nodes[0].held, {"c-1"})

    def test_a_lost_answer(self) -> None:
        """A question that stays without an answer is asked again."""
        self.cores.nodes[1].operations = [sent("a-1")]
        self.cores.lose = lambda sender, rank, message: isinstance(message, Pulled)
        self.cores.start(0, 1)
        self.cores.pass_time(2)
        self.assertEqual(self.cores.nodes[0].held, set())
        self.cores.lose = lambda sender, rank, message: False
        self.cores.pass_time(2)
        self.assertEqual((self.cores.nodes[0].held, self.cores.roles()), ({"a-1"}, "PF"))

    def test_damage(self) -> None:
        """What was lost in the middle of a journal comes from another replica; what lies behind it counts again."""
        self.cores.serving(0, 1)
        self.cores.commit(0, "a-1", "a-2", "a-3")
        self.cores.kill(1)
        self.cores.run()
        del self.cores.nodes[1].operations[1]
        self.cores.start(1)
        self.cores.pass_time(1)
        self.assertEqual(self.cores.nodes[1].running.own.log.vector, {"a": 3})
        self.assertEqual((self.cores.nodes[1].held, self.cores.roles()), ({"a-1", "a-2", "a-3"}, "PF"))

    def test_of_one_that_is_gone_again(self) -> None:
        """What a follower has of a replica outside, which the primary does not reach, gets to all without that one (R2)."""
        cores = Cores()
        cores.serving(0, 1, 2)
        cores.part(2, 0, 1)
        cores.pass_time(9)
        cores.commit(2, "c-1")
        cores.heal()
        cores.part(2, 0)
        cores.pass_time(1)
        cores.kill(2)
        cores.run()
        self.assertEqual([node.held for node in cores.nodes], [{"c-1"}, {"c-1"}, {"c-1"}])
        self.assertFalse(cores.nodes[0].running.is_settled("c-1"))
        cores.pass_time(SPREADS * cores.timings.silence)
        self.assertTrue(cores.nodes[0].running.is_settled("c-1"))
        self.assertEqual((cores.nodes[0].held, cores.roles()), ({"c-1"}, "PFx"))
        cores.transcript()
        cores.pass_time(30)
        self.assertEqual(cores.transcript(), [])

    def test_much_of_one_that_is_gone_again(self) -> None:
        """The primary and its members ask each other for that, too: so nobody is left out of the new view for lacking it."""
        cores = Cores(4)
        cores.serving(0, 1, 2, 3)
        cores.part(3, 0, 1, 2)
        cores.pass_time(9)
        many = [f"c-{n}" for n in range(1, log.BATCH * (MOST_FILLED + 2))]
        cores.commit(3, *many)
        cores.heal()
        cores.part(3, 0, 2)
        cores.pass_time(2)
        cores.kill(3)
        cores.transcript()
        cores.pass_time(SPREADS * cores.timings.silence + 1)
        self.assertEqual([len(node.held) for node in cores.nodes], [len(many)] * 4)
        self.assertEqual([line for line in cores.transcript() if "primary" in line], ["0 is primary of 3.0: 0 1 2"])

    def test_a_member_that_lacks_too_much(self) -> None:
        """It is left out once, and asked again when it has caught up: not again and again until then."""
        cores, asked = Cores(), []

        def lose(sender: int, rank: int, message: AnyMessage) -> bool:
            asked.append(isinstance(message, messages.Prepare))
            self.assertLess(sum(asked), 20)
            return isinstance(message, Pulled) and rank == 1 and bool(message.operations)

        cores.serving(0, 1, 2)
        cores.part(2, 0, 1)
        cores.pass_time(9)
        cores.commit(2, *(f"c-{n}" for n in range(1, log.BATCH * (MOST_FILLED + 2))))
        cores.lose = lose
        cores.heal()
        cores.pass_time(3)
        self.assertEqual(cores.roles(), "P-F")
        cores.lose = lambda sender, rank, message: False
        cores.pass_time(3)
        self.assertEqual((cores.roles(), cores.nodes[0].held == cores.nodes[1].held), ("PFF", True))

    def test_a_majority_with_one_that_lacks_too_much(self) -> None:
        """Where no majority can do without it, nobody stands until it has caught up; then somebody leads."""
        cores, asked = Cores(majority=True), []

        def lose(sender: int, rank: int, message: AnyMessage) -> bool:
            asked.append(sender == 0 and isinstance(message, messages.Prepare))
            return isinstance(message, Pulled) and rank == 1 and bool(message.operations)

        cores.serving(0, 1, 2)
        cores.part(1, 0, 2)
        cores.pass_time(3)
        cores.commit(0, *(f"a-{n}" for n in range(1, log.BATCH * (MOST_FILLED + 2))))
        cores.kill(2)
        cores.run()
        cores.lose = lose
        cores.heal()
        cores.pass_time(20)
        self.assertEqual(cores.roles(), "--x")
        self.assertLess(sum(asked), 5)
        cores.lose = lambda sender, rank, message: False
        cores.pass_time(3)
        self.assertEqual(cores.roles(), "PFx")
        cores.kill(0)
        cores.start(0, 2)
        cores.pass_time(20)
        self.assertEqual(cores.roles(), "PFF")

    def test_what_comes_late_from_the_primary(self) -> None:
        """An answer to what was asked before the view began, with a commit of the view in it, brings no other view."""
        cores = Cores()
        cores.serving(0, 1, 2)
        cores.commit(0, "a-1")
        cores.hear(0, 1, Pulled([sent("a-1")], False))
        cores.transcript()
        cores.hear(0, 1, Pulled([sent("a-2")], False))
        cores.commit(0, "a-2")
        cores.transcript()
        cores.pass_time(30)
        self.assertEqual(cores.transcript(), [])

    def test_repeated_before_all_have_it(self) -> None:
        """What this replica caught up with counts as settled, for a retry key, only when a view has given it to all (R6)."""
        cores = Cores()
        cores.nodes[2].operations = [sent("c-1")]
        cores.lose = lambda sender, rank, message: isinstance(message, messages.Prepare)
        cores.start(0, 2)
        cores.pass_time(0.5)
        self.assertEqual(cores.nodes[0].held, {"c-1"})
        self.assertFalse(cores.nodes[0].running.is_settled("c-1"))
        cores.lose = lambda sender, rank, message: False
        cores.start(1)
        cores.pass_time(5)
        self.assertEqual(cores.roles(), "PFF")
        self.assertTrue(cores.nodes[0].running.is_settled("c-1"))
        self.assertEqual([node.held for node in cores.nodes], [{"c-1"}] * 3)
