"""Changes of view where something comes between: two candidates, members that die, disks that keep nothing."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.replication import change, log
from chattwist.replication.messages import (
    AnyMessage,
    Fill,
    Install,
    Installed,
    Login,
    Prepare,
    Promise,
    Pulled,
    Refusal,
    Serving,
    View,
)
from tests.replication.cores import Cores, sent


class ChangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cores = Cores()

    def lose(self, *kinds: type[AnyMessage]) -> None:
        """Messages of these kinds vanish from now on; none do if there are no kinds."""
        self.cores.lose = lambda sender, rank, message: isinstance(message, kinds)

    def hold(self, kind: type[AnyMessage], sender: int = -1, rank: int = -1) -> None:
        """Messages of this kind from ``sender``, or to ``rank``, wait."""
        self.cores.hold = lambda *way: isinstance(way[2], kind) and (way[0] == sender or way[1] == rank)

    def test_any_message_may_be_lost(self) -> None:
        """Whichever message of a change is lost once, the change is made again, at a higher epoch, and comes to its end."""
        for kind in Prepare, Promise, Install, Installed, Serving:
            self.cores = Cores()
            self.lose(kind)
            self.cores.start(0, 1, 2)
            self.cores.pass_time(0.5)
            self.assertNotEqual(self.cores.roles(), "PFF", kind)
            self.lose()
            self.cores.cut((0, 1), (0, 2), (1, 0), (2, 0))  # a connection that lost something is no more
            self.cores.heal()
            self.cores.pass_time(8)
            self.assertEqual(self.cores.roles(), "PFF", kind)
            self.assertGreater(self.cores.epoch(0)[0], 1, kind)

    def test_one_that_was_counted_on_dies(self) -> None:
        """A candidate that may lead only with one that promised nothing waits for it like one that never heard it (R16)."""
        self.cores.serving(0, 1, 2)
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.hold(Promise, sender=2)
        self.cores.start(0, 1, 2)
        self.cores.pass_time(0.5)
        self.cores.kill(2, silent=True)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "--x")
        self.cores.pass_time(15)
        self.assertEqual(self.cores.roles(), "PFx")

    def test_an_asked_one_dies(self) -> None:
        """A replica that dies between its promise and the view is left out; the others do not wait for it for long."""
        for kind in Promise, Installed:
            self.cores = Cores()
            self.hold(kind, sender=2)
            self.cores.start(0, 1, 2)
            self.cores.run()
            self.assertEqual(self.cores.roles(), "---")
            self.cores.kill(2)
            self.cores.pass_time(3)
            self.assertEqual(self.cores.roles(), "PFx", kind)

    def test_the_candidate_dies(self) -> None:
        """If the candidate dies, those that promised to it are free at once for the next one: who was in its view goes first."""
        for kind, roles in (Promise, "PxF"), (Installed, "FxP"):
            self.cores = Cores()
            self.cores.serving(0, 1, 2)
            self.hold(kind, rank=1)
            self.cores.kill(0)
            self.cores.run()
            self.assertEqual(self.cores.roles(), "x--")
            self.cores.kill(1)
            self.cores.start(0)
            self.cores.pass_time(2)
            self.assertEqual(self.cores.roles(), roles, kind)

    def test_two_candidates(self) -> None:
        """Of two that stand at the same time the lower one leads, and the other follows it."""
        self.cores.serving(0, 1, 2)
        self.cores.part(1, 2)
        self.cores.kill(0)
        self.cores.run()
        for rank in 1, 2:
            self.cores.nodes[rank].running.changes.stand([3 - rank])
        self.cores.heal()
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "xPF")

    def test_a_higher_rank_gives_way(self) -> None:
        """A candidate that is asked by a lower one promises and gives up its own; asked by a higher one it refuses."""
        self.cores.nodes[1].stuck = True
        self.cores.start(1)
        changes = self.cores.nodes[1].running.changes
        for rank, expected in ((2, "Refusal"), (0, None)):
            changes.stand([0, 2])
            number = self.cores.nodes[1].running.own.highest + 1
            self.cores.transcript()
            self.cores.hear(rank, 1, Prepare((number, rank)))
            said = [line.split()[3] for line in self.cores.transcript() if " → " in line]
            self.assertEqual("Refusal" in said, expected is not None)
            self.assertEqual(changes.change is None, expected is None)

    def test_nobody_promises_beside_a_primary(self) -> None:
        """A candidate that does not hear the primary gets no promise from one that does (R14)."""
        self.cores.serving(0, 1, 2)
        self.cores.part(0, 2)
        self.cores.pass_time(3)
        self.cores.transcript()
        self.cores.nodes[2].running.changes.stand([1])
        self.cores.pass_time(3)
        self.assertIn("P", self.cores.roles()[0])
        self.assertEqual([self.cores.nodes[rank].role.role for rank in (0, 1)], ["primary", "follower"])

    def test_what_lies_behind_damage(self) -> None:
        """What a member alone holds behind a gap gets to all once the gap is filled."""
        for rank, numbers in enumerate([(1,), (1, 3, 4), (1, 2)]):
            self.cores.nodes[rank].operations = [sent(f"a-{number}") for number in numbers]
        self.cores.start(0, 1)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "PFx")
        self.cores.lose = lambda sender, rank, message: (
            rank == 1 and isinstance(message, Pulled)
        )  # only a change fills it
        self.cores.start(2)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"a-1", "a-2", "a-3", "a-4"}] * 3)

    def test_a_gap_that_is_too_long_for_one_change(self) -> None:
        """It is bridged by several, one after the other; how long it is says one range, and not each number in it."""
        self.patch(change, "MOST_BRIDGED", 3)
        self.cores.nodes[0].operations = [sent("a-1"), sent("a-12")]
        self.cores.start(0, 1, 2)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "PFF")
        for node in self.cores.nodes:
            here = node.running.own.log
            self.assertEqual((here.vector, here.lost, here.get("a-12")), ({"a": 12}, {"a": [(2, 11)]}, sent("a-12")))

    def test_a_gap_while_one_is_away(self) -> None:
        """What is missing may be with the one that is not here: nothing is given up before all are (R10)."""
        self.cores.nodes[0].operations = [sent("a-1"), sent("a-3")]
        self.cores.start(0, 1)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "PFx")
        for node in self.cores.nodes[:2]:
            here = node.running.own.log
            self.assertEqual((here.vector, here.lost), ({"a": 1}, {}))
        self.cores.nodes[2].operations = [sent("a-1"), sent("a-2")]
        self.cores.start(2)
        self.cores.pass_time(10)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"a-1", "a-2", "a-3"}] * 3)

    def bridged(self) -> None:
        """Damage takes two operations from all, and only their places are kept; a backup of them is with replica 0."""
        whole: list[model.AnyOperation] = [sent(f"a-{number}") for number in (1, 2, 3, 4)]
        self.cores.nodes[0].operations = [whole[0], whole[3]]
        self.cores.start(0, 1, 2)
        self.cores.pass_time(5)
        self.assertEqual([node.running.own.log.lost for node in self.cores.nodes], [{"a": [(2, 3)]}] * 3)
        self.cores.kill(0)
        self.cores.pass_time(5)
        self.cores.nodes[0].operations = whole

    def assert_found(self) -> None:
        """All have them again, on their disks, too."""
        self.cores.pass_time(20)
        for _ in range(2):
            self.assertEqual(self.cores.roles(), "PFF")
            for node in self.cores.nodes:
                here = node.running.own.log
                self.assertEqual((here.get("a-2"), here.get("a-3"), here.lost), (sent("a-2"), sent("a-3"), {}))
            for rank in range(3):
                self.cores.kill(rank)
            self.cores.start(0, 1, 2)
            self.cores.pass_time(20)

    def test_a_backup_of_what_damage_took(self) -> None:
        """A replica that is restored from it brings it back to all (R2)."""
        self.bridged()
        self.cores.start(0)
        self.assert_found()

    def test_a_backup_of_what_damage_took_when_all_start(self) -> None:
        """Also where all start at once, and their vectors say that nobody lacks anything; also if another one leads."""
        self.bridged()
        for rank in 1, 2:
            self.cores.kill(rank)
        self.cores.start(0, 1, 2)
        self.assert_found()

    def test_a_backup_of_what_damage_took_when_nobody_asks_for_it(self) -> None:
        """Also where only the change of view gives it to them, and in more than one batch."""
        self.patch(log, "BATCH", 1)
        self.bridged()
        for rank in 1, 2:
            self.cores.kill(rank)
        self.lose(Pulled)
        self.cores.start(0, 1, 2)
        self.assert_found()

    def test_a_fill_that_cannot_be_kept(self) -> None:
        """A member that cannot keep what it was filled with is in no view: all members of one hold everything."""
        self.cores.nodes[0].operations = [sent("a-1")]
        self.cores.nodes[2].full = True
        self.lose(Pulled)
        self.cores.start(0, 1, 2)
        self.cores.pass_time(3)
        self.assertEqual(self.cores.roles(), "PF-")
        self.assertEqual((self.cores.nodes[1].held, self.cores.nodes[2].held), ({"a-1"}, set()))
        self.lose()
        self.cores.nodes[2].full = False
        self.cores.pass_time(10)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", {"a-1"}))

    def test_a_fill_with_a_gap(self) -> None:
        """Likewise if what it was filled with does not follow on what it has."""
        self.cores.start(2)
        self.cores.hear(1, 2, Prepare((9, 1)))
        self.cores.hear(1, 2, Fill((9, 1), [sent("b-2")]))
        self.cores.hear(1, 2, Install(View((9, 1), (1, 2)), [], []))
        lines = self.cores.transcript()
        self.assertIn("2 → 1 Unfit 9.1", lines)
        self.assertNotIn("2 → 1 Installed 9.1", lines)

    def test_a_fill_of_another_epoch(self) -> None:
        """What was meant for a view that this replica did not promise is not taken."""
        self.cores.start(2)
        self.cores.hear(1, 2, Prepare((9, 1)))
        self.cores.hear(0, 2, Fill((8, 0), [sent("b-1")]))
        self.assertEqual(self.cores.nodes[2].held, set())

    def test_the_promise_survives(self) -> None:
        """What was promised is kept over a restart: the older epoch is refused (R12)."""
        self.cores.start(1, 2)
        self.cores.run()
        self.cores.hear(1, 2, Prepare((9, 1)))
        self.cores.kill(2)
        self.cores.start(2)
        self.cores.run()
        self.cores.transcript()
        self.cores.hear(0, 2, Prepare((9, 0)))
        self.assertIn("2 → 0 Refusal 9.1", self.cores.transcript())

    def test_no_promise_before_it_is_durable(self) -> None:
        """A promise goes out once it is on disk."""
        self.cores.start(1, 2)
        self.cores.nodes[2].stuck = True
        self.cores.hear(1, 2, Prepare((9, 1)))
        self.assertNotIn("2 → 1 Promise 9.1", self.cores.transcript())
        self.cores.nodes[2].stuck = False
        self.cores.run()
        self.assertIn("2 → 1 Promise 9.1", self.cores.transcript())

    def test_a_refusal(self) -> None:
        """A candidate that is refused gives up, and stands again above what the other promised."""
        self.cores.start(1, 2)
        self.cores.hold = lambda sender, rank, message: isinstance(message, Promise)
        changes = self.cores.nodes[1].running.changes
        changes.stand([2])
        self.cores.hear(2, 1, Refusal((40, 2)))
        self.cores.release()
        self.cores.pass_time(18)
        self.assertEqual(self.cores.roles(), "xPF")
        self.assertGreater(self.cores.epoch(1)[0], 40)

    def test_promised_an_earlier_epoch(self) -> None:
        """A promise counts for its own epoch only: one of an earlier change may come late (R12)."""
        self.cores.hold = lambda sender, rank, message: isinstance(message, Promise)
        self.cores.start(0, 1, 2)
        self.cores.pass_time(0.5)
        for rank in 1, 2:
            self.cores.hear(rank, 0, Promise((0, 0), {}, {}, {}, None, False, []))
        self.assertEqual(self.cores.roles(), "---")
        self.cores.release()
        self.assertEqual(self.cores.roles(), "PFF")

    def test_entered_an_earlier_view(self) -> None:
        """Only who has entered the view itself is counted: what came of an earlier one may be told late (R12)."""
        self.cores.hold = lambda sender, rank, message: isinstance(message, Installed)
        self.cores.start(0, 1, 2)
        self.cores.pass_time(0.5)
        for rank in 1, 2:
            self.cores.hear(rank, 0, Installed((0, 0)))
        self.assertEqual(self.cores.roles(), "---")
        self.cores.release()
        self.assertEqual(self.cores.roles(), "PFF")

    def test_sessions(self) -> None:
        """A view begins with the sessions of all its members; of two of one account the later stays, the other ends."""
        kept, other = Login("a-1", 1, "s2", (3, 1)), Login("a-2", 2, "s3", (2, 1))
        self.cores.nodes[0].logins = [Login("a-1", 0, "s1", (2, 1))]
        self.cores.nodes[1].logins = [kept]
        self.cores.nodes[2].logins = [other]
        self.cores.start(0, 1, 2)
        self.cores.run()
        for node in self.cores.nodes:
            entered = node.entered[-1]
            self.assertEqual((set(entered.logins), list(entered.over)), ({kept, other}, ["s1"]))

    def test_sessions_that_missed_a_view(self) -> None:
        """In majority mode nobody stays logged in by a replica that missed a view of which nobody here remembers the logins."""
        for majority, over in ((True, ["s1"]), (False, [])):
            self.cores = Cores(majority=majority)
            self.cores.serving(0, 1, 2)
            self.cores.nodes[2].logins = [Login("a-1", 2, "s1", (2, 1))]
            self.cores.part(2, 0, 1)
            self.cores.pass_time(3)
            self.cores.nodes[1].logins = [Login("a-1", 1, "s2", (3, 1))]
            self.cores.kill(0)
            self.cores.kill(1, silent=True)
            self.cores.start(0)
            self.cores.heal()
            self.cores.pass_time(30)
            entered = next(one for one in self.cores.nodes[0].entered if one.view.members == (0, 2))
            self.assertEqual(list(entered.over), over)
            self.assertEqual([login.session for login in entered.logins], [] if majority else ["s1"])

    def test_left_out_and_taken_back(self) -> None:
        """A member that others left behind notices, asks for nothing in the old view, and comes back with all that it lacked."""
        self.cores.serving(0, 1, 2)
        self.cores.part(2, 0, 1)
        self.cores.pass_time(0.5)
        self.cores.nodes[2].paused = True
        self.cores.pass_time(3)
        self.cores.commit(0, "a-1")
        self.cores.nodes[2].paused = False
        self.cores.heal()
        self.cores.pass_time(3)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", {"a-1"}))
