"""Catching up: a replica that was away gets what it lacks, and gives what only it has."""

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.cluster import Timings
from chattwist.replication import log, messages
from chattwist.replication.catchup import LEAST, MOST, Catchup
from chattwist.replication.change import MOST_FILLED
from chattwist.replication.contact import Contact
from chattwist.replication.messages import AnyMessage, Heartbeat, Pull, Pulled, State, View
from chattwist.replication.own import Own
from chattwist.replication.upkeep import SPREADS
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

    def test_of_one_at_a_time(self) -> None:
        """What two others have comes from one of them, and not from both."""
        cores = Cores()
        count = 3 * log.BATCH
        cores.serving(0, 1, 2)
        cores.kill(2)
        cores.pass_time(1)
        cores.commit(0, *(f"a-{n}" for n in range(1, count + 1)))
        cores.lose = self.watch
        cores.start(2)
        cores.pass_time(1)
        self.assertEqual((cores.roles(), len(cores.nodes[2].held)), ("PFF", count))
        self.assertEqual(sum(len(one.operations) for one in self.pulls if isinstance(one, Pulled)), count)

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
        self.cores.hear(1, 0, Pulled(1, [sent("b-2"), sent("c-1"), sent("b-4")], False))
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

    def test_one_that_never_answers(self) -> None:
        """It keeps nobody from getting what another one has."""
        cores = Cores()
        cores.nodes[1].operations = [sent("b-1")]
        cores.lose = lambda sender, rank, message: (
            isinstance(message, messages.Prepare) or (sender == 0 and isinstance(message, Pulled))
        )
        cores.start(0, 1, 2)
        cores.pass_time(2)
        self.assertEqual(cores.nodes[2].held, {"b-1"})

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
        cores.pass_time((SPREADS + 1) * cores.timings.silence)
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
        cores.hear(0, 1, Pulled(1, [sent("a-1")], False))
        cores.transcript()
        cores.hear(0, 1, Pulled(1, [sent("a-2")], False))
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


class FakeOwn:
    """What a replica has, and what it sends; its disk takes everything at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = log.Log()
        self.sent: list[Any] = []

    def send(self, rank: int, message: AnyMessage) -> None:
        """See Own."""
        self.sent.append(message)

    def store(self, operations: object, stored: Callable[[bool], None], unsettled: bool) -> None:
        """See Own."""
        stored(True)


class BatchTests(SynchronousTestCase):
    """How much is asked for, over whatever network: heartbeats wait behind an answer."""

    def setUp(self) -> None:
        self.own = FakeOwn()
        own: Any = self.own
        self.catchup = Catchup(own, Contact(0, 2, Timings(), 0.0), 1.0)
        self.catchup.pull(1)

    def answer(self, seconds: float, number: int | None = None) -> None:
        """An answer to the last question, or to that one; it comes after so many seconds, and there is more."""
        self.own.now += seconds
        self.catchup.took(1, Pulled(self.own.sent[-1].number if number is None else number, [], True))

    def sizes(self) -> list[int]:
        """How much was asked for, each time, in units of the first."""
        return [round(100 * one.most / self.own.sent[0].most) for one in self.own.sent]

    def test_quick_and_slow(self) -> None:
        """Batches grow while they come quickly, and shrink where they take long; within limits."""
        for seconds in (0.01, 0.01, 0.2, 0.5, 0.5, 0.5):
            self.answer(seconds)
        self.assertEqual(self.sizes(), [100, 200, 400, 400, 200, 100, 50])
        for _ in range(9):
            self.answer(0.9)
        self.assertEqual(self.own.sent[-1].most, LEAST)
        for _ in range(9):
            self.answer(0.01)
        self.assertEqual(self.own.sent[-1].most, MOST)

    def test_asked_again(self) -> None:
        """What was not answered in time is asked again, for less; an answer that comes late all the same asks for nothing."""
        self.own.now += 1.5
        self.catchup.pull(1)
        self.assertEqual(self.sizes(), [100, 50])
        first, second = (one.number for one in self.own.sent)
        self.answer(0.2, first)
        self.assertEqual(len(self.own.sent), 2)
        self.answer(0.05, second)
        self.answer(0.2)
        self.assertEqual(len(self.own.sent), 4)

    def test_as_much_as_was_asked_for(self) -> None:
        """An answer has no more in it than that, and never more than there may be at most."""
        for number in range(1, 400):
            self.own.log.add(model.Sent(f"a-{number}", number, "a-1", "a-2", "x" * 4000))
        for most in LEAST, 4 * LEAST, MOST, 2 * MOST:
            self.catchup.asked(1, Pull(1, {}, {}, most))
            answer = self.own.sent.pop()
            self.assertEqual((len(answer.operations), answer.more), (min(most, MOST) // 4000, True))


class NeedTests(SynchronousTestCase):
    """Whom a replica asks while there is a view of all three, of which 0 is primary."""

    def needed(
        self, rank: int, *, serving: bool = True, members: tuple[int, ...] = (0, 1, 2), unsettled: bool
    ) -> list[int]:
        """Those whom ``rank`` asks."""
        view = View((4, 0), members)
        own = Own(rank, log.Log(), State((4, 0), view), 0.0)
        own.installed, own.serving = view, serving
        contact = Contact(rank, 3, Timings(), 0.0)
        for peer in contact.peers.values():
            peer.beat = Heartbeat(view, True, 0, (), True, (4, 0), 0, 0.0, unsettled=unsettled)
        catchup = Catchup(own, contact, 1.0)
        return [other for other in contact.peers if catchup.is_needed(other)]

    def test_members(self) -> None:
        """Who commits together asks for nothing but what one caught up with: by way of the primary, not from each other."""
        for rank in range(3):
            self.assertEqual(self.needed(rank, unsettled=False), [])
        self.assertEqual([self.needed(rank, unsettled=True) for rank in range(3)], [[1, 2], [0], [0]])

    def test_others(self) -> None:
        """Whoever is outside is asked, and all are by one that does not serve."""
        self.assertEqual(self.needed(0, members=(0, 1), unsettled=False), [2])
        self.assertEqual(self.needed(0, serving=False, unsettled=False), [1, 2])

    def test_behind(self) -> None:
        """One that was left out, since it lacked too much, is so until it has all."""
        own: Any = FakeOwn()
        contact = Contact(0, 2, Timings(), 0.0)
        catchup, peer = Catchup(own, contact, 1.0), contact.peers[1]
        for number in range(1, 9):
            own.log.add(model.Sent(f"a-{number}", number, "a-1", "a-2", "x" * 4000))
        catchup.asked(1, Pull(1, {}, {}, 4000))
        self.assertEqual((peer.given, peer.behind), (False, False))
        peer.behind = True
        for held, given in (1, False), (7, True):
            catchup.asked(1, Pull(1, {"a": held}, {}, 4000))
            self.assertEqual((peer.given, peer.behind), (given, not given))
