"""The core among others, as transcripts: who leads, who takes part, and what becomes of it when something fails."""

import itertools

from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Timings
from chattwist.replication import messages
from chattwist.replication.messages import Ack, Append, Install, Prepare, Refusal, Serving, State, TakeOver, View
from tests.replication.cores import Cores, sent


class TranscriptTests(SynchronousTestCase):
    """What is said is compared line by line; see tests/replication/cores.py for how to read it."""

    maxDiff = None

    def says(self, cores: Cores, expected: str) -> None:
        """The transcript since the last look is this."""
        self.assertEqual("\n".join(cores.transcript()), "\n".join(filter(None, map(str.strip, expected.splitlines()))))


class StartTests(TranscriptTests):
    def test_three_new_ones(self) -> None:
        """The first start of a cluster: as soon as all are there, the lowest port leads, and all know it durably."""
        cores = Cores()
        cores.start(0, 1, 2)
        cores.run()
        self.says(cores, """
            0 saves 1.0 in nothing
            0 → 1 Prepare 1.0
            0 → 2 Prepare 1.0
            1 saves 1.0 in nothing
            2 saves 1.0 in nothing
            1 → 0 Promise 1.0
            2 → 0 Promise 1.0
            0 → 1 Install 1.0: 0 1 2
            0 → 2 Install 1.0: 0 1 2
            0 saves 1.0 in 1.0: 0 1 2
            1 saves 1.0 in 1.0: 0 1 2
            2 saves 1.0 in 1.0: 0 1 2
            1 → 0 Installed 1.0
            2 → 0 Installed 1.0
            0 → 1 Serving 1.0
            0 → 2 Serving 1.0
            0 is primary of 1.0: 0 1 2
            1 is follower of 1.0: 0 1 2
            2 is follower of 1.0: 0 1 2
            """)  # fmt: skip

    def test_then_all_is_quiet(self) -> None:
        """A cluster that is well does nothing but say that it is alive: for two minutes not one change."""
        cores = Cores()
        cores.serving(0, 1, 2)
        cores.pass_time(120)
        self.says(cores, "")
        self.assertEqual(cores.roles(), "PFF")

    def test_alone(self) -> None:
        """A new replica whose peers' ports are refused serves alone after ``alone`` seconds, and not before."""
        cores = Cores()
        cores.start(2)
        cores.pass_time(1.9)
        self.assertEqual(cores.roles(), "xx-")
        cores.pass_time(0.2)
        self.says(cores, """
            2 saves 1.2 in nothing
            2 saves 1.2 in 1.2: 2
            2 is primary of 1.2: 2
            """)  # fmt: skip

    def test_a_peer_that_is_silent_is_not_a_peer_that_is_not_there(self) -> None:
        """A new replica that gets no answer at all from where a peer should be waits: that one may serve others."""
        cores = Cores()
        cores.kill(0, silent=True)
        cores.start(1, 2)
        cores.pass_time(10)
        self.assertEqual(cores.roles(), "x--")
        cores.pass_time(6)
        self.assertEqual(cores.roles(), "xPF")
        self.assertTrue(cores.nodes[1].running.changes.forced)

    def test_one_after_the_other(self) -> None:
        """Whoever comes later joins the one that serves; all have everything then, and the lowest port leads in the end."""
        cores = Cores()
        cores.start(2)
        cores.pass_time(3)
        cores.commit(2, "c-1")
        for rank in 1, 0:
            cores.start(rank)
            cores.pass_time(1)
            self.assertEqual(cores.nodes[rank].applied, ["c-1"])
        self.assertEqual(cores.roles(), "FFP")
        cores.pass_time(7)
        self.assertEqual(cores.roles(), "PFF")

    def test_one_of_a_cluster_of_one(self) -> None:
        """A cluster of one serves at once, and again after each start."""
        cores = Cores(1)
        for _ in range(2):
            cores.start(0)
            cores.pass_time(0.1)
            self.assertEqual(cores.roles(), "P")
            cores.kill(0)


class CommitTests(TranscriptTests):
    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)

    def test_a_commit(self) -> None:
        """What is acknowledged is on the disk of every replica and applied there; the broadcast goes beside the local write."""
        self.cores.commit(0, "a-1", "a-2")
        self.says(self.cores, """
            0 → 1 Append 1.0 #1 a-1 a-2
            0 → 2 Append 1.0 #1 a-1 a-2
            0 stores a-1 a-2
            1 stores a-1 a-2
            2 stores a-1 a-2
            1 → 0 Ack 1.0 #1
            2 → 0 Ack 1.0 #1
            0 finishes
            """)  # fmt: skip
        for node in self.cores.nodes:
            self.assertEqual((node.held, node.applied), ({"a-1", "a-2"}, ["a-1", "a-2"]))

    def test_no_answer_before_the_last_disk(self) -> None:
        """One disk that has not got it is enough for no acknowledgement (R1): the primary's own, or a follower's."""
        for rank in 0, 2:
            node = self.cores.nodes[rank]
            node.stuck = True
            self.cores.commit(0, f"a{rank}-1")
            self.assertEqual(self.cores.nodes[0].finished, [""] * (rank // 2))
            node.stuck = False
            self.cores.run()
        self.assertEqual(self.cores.nodes[0].finished, ["", ""])

    def test_an_empty_commit(self) -> None:
        """A commit of nothing asks all members whether this replica still leads; that is what a login waits for."""
        self.cores.commit(0)
        self.says(self.cores, """
            0 → 1 Append 1.0 #1
            0 → 2 Append 1.0 #1
            1 → 0 Ack 1.0 #1
            2 → 0 Ack 1.0 #1
            0 finishes
            """)  # fmt: skip

    def test_only_the_primary_commits(self) -> None:
        """A follower that is asked to commit records nothing, and says so."""
        self.cores.commit(1, "b-1")
        self.says(self.cores, "1 finishes refused")
        self.assertEqual(self.cores.nodes[1].held, set())

    def test_in_flight_when_the_primary_dies(self) -> None:
        """A commit that reached one survivor is completed by the next view: it is on all of its disks."""
        self.cores.lose = lambda sender, rank, message: rank == 2 and isinstance(message, Append)
        self.cores.commit(0, "a-1")
        self.cores.transcript()
        self.cores.kill(0)
        self.cores.run()
        self.says(self.cores, """
            1 is in no view
            2 is in no view
            1 saves 2.1 in 1.0: 0 1 2
            1 → 2 Prepare 2.1
            2 saves 2.1 in 1.0: 0 1 2
            2 → 1 Promise 2.1
            1 → 2 Fill 2.1 a-1
            1 → 2 Install 2.1: 1 2
            1 saves 2.1 in 2.1: 1 2
            2 stores a-1
            2 saves 2.1 in 2.1: 1 2
            2 → 1 Installed 2.1
            1 → 2 Serving 2.1
            1 is primary of 2.1: 1 2
            2 is follower of 2.1: 1 2
            """)  # fmt: skip

    def test_in_flight_and_only_the_other_survivor_has_it(self) -> None:
        """The next primary gets what another survivor holds before it serves, so that nobody's acknowledgement is lost."""
        self.cores.lose = lambda sender, rank, message: rank == 1 and isinstance(message, Append)
        self.cores.commit(0, "a-1")
        self.cores.kill(0)
        self.cores.run()
        self.assertEqual(self.cores.roles(), "xPF")
        self.assertEqual(self.cores.nodes[1].applied, ["a-1"])

    def test_in_flight_over_a_change_of_members(self) -> None:
        """When a follower dies in the middle of a commit, the commit is only later: it ends well in the view without it."""
        self.cores.nodes[2].stuck = True
        self.cores.commit(0, "a-1")
        self.cores.transcript()
        self.cores.kill(2)
        self.cores.run()
        lines = self.cores.transcript()
        self.assertEqual(lines[-3:], ["0 is primary of 2.0: 0 1", "0 finishes", "1 is follower of 2.0: 0 1"])

    def test_how_many_have_it(self) -> None:
        """The outcome says how many replicas hold it: those of the view that completed it."""
        self.cores.commit(0, "a-1")
        self.cores.kill(2)
        self.cores.run()
        self.cores.commit(0, "a-2")
        self.assertEqual(self.cores.nodes[0].counts, [3, 2])

    def test_a_commit_after_a_change(self) -> None:
        """Commits are counted anew in each view, also by a follower that was not in the one before."""
        for number in range(1, 4):
            self.cores.commit(0, f"a-{number}")
        self.cores.kill(2)
        self.cores.run()
        self.cores.start(2)
        self.cores.pass_time(1)
        self.cores.transcript()
        self.cores.commit(0, "a-4")
        self.assertIn("2 → 0 Ack 3.0 #1", self.cores.transcript())
        self.assertEqual(self.cores.nodes[0].finished, [""] * 4)

    def test_unknown(self) -> None:
        """A primary that lost everybody in the middle of a commit, and may not serve, says so: nobody knows the outcome."""
        cores = Cores(majority=True)
        cores.serving(0, 1, 2)
        cores.part(0, 1, 2)
        cores.commit(0, "a-1")
        cores.pass_time(2)
        self.assertEqual(cores.nodes[0].finished, [])
        cores.pass_time(2)
        self.assertEqual(cores.nodes[0].finished, ["unknown"])
        cores.heal()
        cores.pass_time(10)
        self.assertEqual([node.held for node in cores.nodes], [{"a-1"}] * 3)


class FailoverTests(TranscriptTests):
    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)

    def test_a_killed_primary(self) -> None:
        """A port that is refused is a process that ended: the next port leads at once, without waiting for silence."""
        self.cores.kill(0)
        self.cores.run()
        self.says(self.cores, """
            1 is in no view
            2 is in no view
            1 saves 2.1 in 1.0: 0 1 2
            1 → 2 Prepare 2.1
            2 saves 2.1 in 1.0: 0 1 2
            2 → 1 Promise 2.1
            1 → 2 Install 2.1: 1 2
            1 saves 2.1 in 2.1: 1 2
            2 saves 2.1 in 2.1: 1 2
            2 → 1 Installed 2.1
            1 → 2 Serving 2.1
            1 is primary of 2.1: 1 2
            2 is follower of 2.1: 1 2
            """)  # fmt: skip

    def test_a_silent_primary(self) -> None:
        """A machine that fell silent is given up after ``silence`` seconds, not before."""
        self.cores.kill(0, silent=True)
        self.cores.pass_time(0.8)
        self.says(self.cores, "")
        self.cores.pass_time(1)
        self.assertEqual(self.cores.roles(), "xPF")

    def test_two_of_three(self) -> None:
        """Two of three may fail: the last one serves, and alone acknowledges what is on its disk."""
        for rank in 0, 1:
            self.cores.kill(rank)
            self.cores.run()
        self.assertEqual(self.cores.roles(), "xxP")
        self.cores.commit(2, "c-1")
        self.assertEqual((self.cores.nodes[2].finished, self.cores.nodes[2].counts), ([""], [1]))

    def test_the_last_one_alone_has_it(self) -> None:
        """What the last survivor acknowledged is with all once they are back, whoever leads then."""
        for rank in 0, 1:
            self.cores.kill(rank)
            self.cores.run()
        self.cores.commit(2, "c-1")
        self.cores.start(0, 1)
        self.cores.pass_time(10)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"c-1"}] * 3)

    def test_a_killed_follower(self) -> None:
        """A follower that ended is left out, and taken back once it has caught up; the primary stays."""
        self.cores.kill(1)
        self.cores.run()
        self.assertEqual(self.cores.roles(), "PxF")
        self.cores.commit(0, "a-1")
        self.cores.start(1)
        self.cores.pass_time(1)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual(self.cores.nodes[1].applied, ["a-1"])

    def test_a_follower_that_holds_nothing_any_more(self) -> None:
        """A follower whose disk is new gets everything before it is counted."""
        self.cores.commit(0, "a-1", "a-2")
        self.cores.kill(2)
        self.cores.nodes[2].operations, self.cores.nodes[2].state = [], State()
        self.cores.start(2)
        self.cores.pass_time(1)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].applied), ("PFF", ["a-1", "a-2"]))

    def test_a_connection_that_broke(self) -> None:
        """Where a connection broke, an acknowledgement may be lost: it is made again, and nobody waits for ever."""
        self.cores.lose = lambda sender, rank, message: isinstance(message, Ack) and sender == 2
        self.cores.commit(0, "a-1")
        self.assertEqual(self.cores.nodes[0].finished, [])
        self.cores.lose = lambda sender, rank, message: False
        self.cores.cut((2, 0))
        self.cores.heal()
        self.cores.run()
        self.assertEqual(self.cores.nodes[0].finished, [""])


class HandoverTests(TranscriptTests):
    def setUp(self) -> None:
        self.cores = Cores(timings=Timings(hold_down=1.0))
        self.cores.serving(0, 1, 2)

    def until_it_leads(self, rank: int) -> float:
        """Let time pass until it does; how long that took, in steps of a quarter of a second."""
        steps = 0
        while self.cores.nodes[rank].role.role != "primary":
            self.cores.pass_time(0.25)
            steps += 1
            self.assertLess(steps, 400)
        return steps / 4

    def test_a_lower_port_comes_back(self) -> None:
        """It is a follower first, is then asked to lead, and gets all that was recorded meanwhile; the others only wait."""
        self.cores.kill(0)
        self.cores.run()
        self.cores.commit(1, "b-1")
        self.cores.start(0)
        self.cores.pass_time(0.5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].applied), ("FPF", ["b-1"]))
        self.cores.transcript()
        self.until_it_leads(0)
        self.says(self.cores, """
            1 → 0 TakeOver 3.1
            0 saves 4.0 in 3.1: 0 1 2
            0 → 1 Prepare 4.0
            0 → 2 Prepare 4.0
            0 is in no view
            1 saves 4.0 in 3.1: 0 1 2
            1 is in no view
            2 saves 4.0 in 3.1: 0 1 2
            2 is in no view
            1 → 0 Promise 4.0
            2 → 0 Promise 4.0
            0 → 1 Install 4.0: 0 1 2
            0 → 2 Install 4.0: 0 1 2
            0 saves 4.0 in 4.0: 0 1 2
            1 saves 4.0 in 4.0: 0 1 2
            2 saves 4.0 in 4.0: 0 1 2
            1 → 0 Installed 4.0
            2 → 0 Installed 4.0
            0 → 1 Serving 4.0
            0 → 2 Serving 4.0
            0 is primary of 4.0: 0 1 2
            1 is follower of 4.0: 0 1 2
            2 is follower of 4.0: 0 1 2
            """)  # fmt: skip

    def test_hold_down(self) -> None:
        """One that fails again and again leads after twice as long each time (R17)."""
        took = []
        for _ in range(4):
            self.cores.kill(0)
            self.cores.pass_time(0.5)
            self.cores.start(0)
            took.append(self.until_it_leads(0))
            self.cores.pass_time(0.5)
        for before, after in itertools.pairwise(took):
            self.assertTrue(before * 1.5 < after < before * 2.5, took)

    def test_a_takeover_that_comes_to_nothing(self) -> None:
        """If the one that was to take over dies over it, the old primary leads again, in a later view."""
        self.cores.kill(0)
        self.cores.run()
        self.cores.start(0)
        self.cores.hold = lambda sender, rank, message: isinstance(message, messages.Promise) and message.epoch[1] == 0
        for _ in range(100):
            if self.cores.nodes[0].running.changes.change is not None:
                break
            self.cores.pass_time(0.05)
        self.assertEqual(self.cores.roles(), "---")
        self.cores.kill(0)
        self.cores.pass_time(0.5)
        self.assertEqual(self.cores.roles(), "xPF")
        self.assertGreater(self.cores.epoch(1), (4, 0))

    def test_not_of_this_view(self) -> None:
        """A call to take over that is of an older view, or not from its primary, is not followed."""
        self.cores.hear(1, 2, TakeOver((1, 0)))
        self.cores.hear(0, 2, TakeOver((0, 0)))
        self.says(self.cores, "")

    def test_a_commit_under_way(self) -> None:
        """What the old primary was just committing is done in the new view: its client gets a yes."""
        self.cores.kill(0)
        self.cores.run()
        self.cores.start(0)
        self.cores.pass_time(0.5)
        self.cores.nodes[2].stuck = True
        self.cores.commit(1, "b-1")
        self.cores.hear(1, 0, TakeOver(self.cores.epoch(1)))
        self.cores.nodes[2].stuck = False
        self.cores.run()
        self.assertEqual((self.cores.roles(), self.cores.nodes[1].finished), ("PFF", [""]))
        self.assertEqual([node.held for node in self.cores.nodes], [{"b-1"}] * 3)


class CutTests(TranscriptTests):
    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)

    def test_one_way(self) -> None:
        """A follower that hears the primary, and is not heard by it, is in no view (R15), and back once it is heard."""
        for way in (2, 0), (0, 2):
            self.cores.cut(way)
            self.cores.pass_time(3)
            self.assertEqual(self.cores.roles(), "PF-")
            self.cores.pass_time(20)
            self.cores.transcript()
            self.cores.pass_time(20)
            self.says(self.cores, "")
            self.cores.heal()
            self.cores.pass_time(5)
            self.assertEqual(self.cores.roles(), "PFF")

    def test_two_followers_that_do_not_hear_each_other(self) -> None:
        """Who is in the view is between each and the primary: followers need not hear each other."""
        self.cores.part(1, 2)
        self.cores.pass_time(20)
        self.says(self.cores, "")
        self.assertEqual(self.cores.roles(), "PFF")

    def test_hearsay(self) -> None:
        """One that the primary does not reach elects nobody while another that it reaches hears the primary (R14)."""
        self.cores.part(0, 2)
        self.cores.pass_time(30)
        self.assertEqual(self.cores.roles(), "PF-")
        self.cores.commit(0, "a-1")
        self.cores.pass_time(1)
        self.assertEqual(self.cores.nodes[2].applied, ["a-1"])

    def test_halves(self) -> None:
        """In available mode both halves go on; put together again, all have what either recorded, and one leads."""
        self.cores.part(0, 1, 2)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "PPF")
        self.cores.commit(0, "a-1")
        self.cores.commit(1, "b-1")
        self.assertEqual([self.cores.nodes[rank].finished for rank in (0, 1)], [[""], [""]])
        self.cores.heal()
        self.cores.pass_time(10)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"a-1", "b-1"}] * 3)

    def test_halves_in_majority_mode(self) -> None:
        """In majority mode the smaller half records nothing; the larger goes on; and nothing of this waits for people."""
        cores = Cores(majority=True)
        cores.serving(0, 1, 2)
        cores.part(0, 1, 2)
        cores.pass_time(5)
        self.assertEqual(cores.roles(), "-PF")
        cores.commit(0, "a-1")
        self.assertEqual(cores.nodes[0].finished, ["refused"])
        cores.heal()
        cores.pass_time(10)
        self.assertEqual((cores.roles(), cores.nodes[0].held), ("PFF", set()))


class MajorityTests(TranscriptTests):
    def test_one_alone_never_serves(self) -> None:
        """In majority mode one of three serves nobody, at the first start and after each loss, however long it waits."""
        cores = Cores(majority=True)
        cores.start(0)
        cores.pass_time(40)
        self.assertEqual(cores.roles(), "-xx")
        cores.start(1)
        cores.pass_time(3)
        self.assertEqual(cores.roles(), "PFx")
        cores.kill(1)
        cores.pass_time(40)
        self.assertEqual(cores.roles(), "-xx")

    def test_any_two_that_remember(self) -> None:
        """After all were down, any two that were in views serve, without waiting for the third."""
        cores = Cores(majority=True)
        cores.serving(0, 1, 2)
        cores.kill(2)
        cores.run()
        cores.commit(0, "a-1")
        for rank in 0, 1:
            cores.kill(rank)
        cores.start(1, 2)
        cores.pass_time(1)
        self.assertEqual((cores.roles(), cores.nodes[2].held), ("xPF", {"a-1"}))
        self.assertFalse(cores.nodes[1].running.changes.forced)

    def test_a_new_disk_does_not_remember(self) -> None:
        """One that was in an older view and one with a new disk are two, and may lack everything: they wait (R16)."""
        cores = Cores(majority=True)
        cores.serving(0, 1, 2)
        cores.kill(2)
        cores.run()
        cores.commit(0, "a-1")
        for rank in 0, 1:
            cores.kill(rank)
        cores.nodes[1].operations, cores.nodes[1].state = [], State()
        cores.start(1, 2)
        cores.pass_time(10)
        self.assertEqual(cores.roles(), "x--")
        cores.start(0)
        cores.pass_time(3)
        self.assertEqual(cores.roles(), "PFF")
        self.assertEqual([node.held for node in cores.nodes], [{"a-1"}] * 3)


class LastViewTests(TranscriptTests):
    """R16: who may lack what was acknowledged waits for those that may have it."""

    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)

    def test_waits_for_the_last_view(self) -> None:
        """Started alone, a replica that was left out while others went on waits for them; what only they have is there then."""
        self.cores.kill(1)
        self.cores.run()
        self.cores.commit(0, "a-1")
        self.cores.kill(2)
        self.cores.run()
        self.cores.kill(0)
        self.cores.start(1)
        self.cores.pass_time(14)
        self.assertEqual(self.cores.roles(), "x-x")
        self.assertEqual([say.loud for say in self.cores.nodes[1].said], [False])
        self.cores.start(0)
        self.cores.pass_time(1)
        self.assertEqual(self.cores.roles(), "PFx")
        self.assertEqual(self.cores.nodes[1].applied, ["a-1"])

    def test_not_for_ever(self) -> None:
        """After ``last_view`` seconds it serves all the same, says so loudly, and shows a flag."""
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.cores.start(1)
        self.cores.pass_time(14.9)
        self.assertEqual(self.cores.roles(), "x-x")
        self.assertFalse(self.cores.nodes[1].running.changes.forced)
        self.cores.pass_time(0.2)
        self.assertEqual(self.cores.roles(), "xPx")
        self.assertTrue(self.cores.nodes[1].running.changes.forced)
        self.assertTrue(self.cores.nodes[1].said[-1].loud)

    def test_all_of_the_last_view(self) -> None:
        """Once all members of the last view are here, nobody waits."""
        self.cores.kill(0)
        self.cores.run()
        for rank in 1, 2:
            self.cores.kill(rank)
        self.cores.start(1, 2)
        self.cores.pass_time(0.5)
        self.assertEqual(self.cores.roles(), "xPF")

    def test_a_majority_of_the_last_view_is_not_all_of_it(self) -> None:
        """Two of three that were in the last view wait for the third: it may have gone on alone."""
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.cores.start(0, 1)
        self.cores.pass_time(10)
        self.assertEqual(self.cores.roles(), "--x")


class PauseTests(TranscriptTests):
    """R13: a process that did not run for a while knows nothing any more."""

    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)

    def test_a_primary_that_was_stopped(self) -> None:
        """It serves nobody when it goes on, joins the one that leads now, and what that one recorded is there."""
        self.cores.nodes[0].paused = True
        self.cores.pass_time(3)
        self.assertEqual([self.cores.nodes[rank].role.role for rank in (1, 2)], ["primary", "follower"])
        self.cores.commit(1, "b-1")
        self.cores.nodes[0].paused = False
        self.cores.transcript()
        self.cores.commit(0, "a-1")
        self.assertEqual(self.cores.nodes[0].finished, ["refused"])
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].applied), ("FPF", ["b-1"]))

    def test_it_serves_nothing_on_old_promises(self) -> None:
        """Also where nobody took its place, because all were stopped, it makes a new view before it serves again."""
        for node in self.cores.nodes:
            node.paused = True
        self.cores.pass_time(2)
        for node in self.cores.nodes:
            node.paused = False
        self.cores.commit(0, "a-1")
        self.assertEqual(self.cores.nodes[0].finished, ["refused"])
        self.cores.pass_time(3)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertGreater(self.cores.epoch(0), (1, 0))
        self.assertIn("joins anew", self.cores.nodes[0].said[0].text)

    def test_a_short_stop_is_nothing(self) -> None:
        """A process that is late by less than half the failure timeout goes on as it was."""
        self.cores.pause(0, 0.3)
        self.cores.pass_time(2)
        self.says(self.cores, "")

    def test_a_follower_that_was_stopped(self) -> None:
        """It is left out after ``silence``, and taken back when it goes on; a commit waits only as long."""
        self.cores.nodes[2].paused = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(2)
        self.assertEqual((self.cores.nodes[0].finished, self.cores.epoch(0)[1]), ([""], 0))
        self.cores.nodes[2].paused = False
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", {"a-1"}))


class DiskTests(TranscriptTests):
    """R9 and R18: full and stuck disks."""

    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)
        self.cores.pass_time(5)

    def test_a_follower_whose_disk_is_full(self) -> None:
        """The others go on without it, and the commit that found it out ends well; it is back when there is room."""
        self.cores.nodes[2].full = True
        self.cores.commit(0, "a-1")
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].finished), ("PF-", [""]))
        self.assertFalse(self.cores.nodes[2].running.fit)
        self.cores.nodes[2].full = False
        self.cores.pass_time(5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", {"a-1"}))

    def test_a_follower_that_takes_too_long(self) -> None:
        """A follower that does not acknowledge within ``silence`` is left out, and its connection dropped."""
        self.cores.nodes[1].stuck = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(0.8)
        self.says(self.cores, """
            0 → 1 Append 1.0 #1 a-1
            0 → 2 Append 1.0 #1 a-1
            0 stores a-1
            1 stores a-1
            2 stores a-1
            2 → 0 Ack 1.0 #1
            """)  # fmt: skip
        self.cores.pass_time(0.5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].finished), ("P-F", [""]))
        self.assertIn("0 drops its connection to 1", self.cores.transcript())
        self.cores.nodes[1].stuck = False
        self.cores.pass_time(5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[1].held), ("PFF", {"a-1"}))

    def test_a_primary_whose_disk_is_full(self) -> None:
        """It lets another lead; the outcome of its commit is not known to it, and it is recorded everywhere or nowhere."""
        self.cores.nodes[0].full = True
        self.cores.commit(0, "a-1")
        self.cores.run()
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].finished), ("-PF", ["unknown"]))
        self.cores.commit(1, "b-1")
        self.assertEqual(self.cores.nodes[1].finished, [""])
        self.cores.nodes[0].full = False
        self.cores.pass_time(12)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"a-1", "b-1"}] * 3)

    def test_a_lone_replica_whose_disk_is_full(self) -> None:
        """It records nothing and knows that; it stays primary, so that reads go on, and commits again when there is room."""
        for rank in 1, 2:
            self.cores.kill(rank)
            self.cores.run()
        self.cores.nodes[0].full = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[0].finished), ("Pxx", ["full"]))
        self.cores.nodes[0].full = False
        self.cores.pass_time(2)
        self.cores.commit(0, "a-1")
        self.assertEqual(self.cores.nodes[0].finished, ["full", ""])

    def test_a_primary_whose_disk_is_stuck(self) -> None:
        """A disk that does nothing for ``silence`` seconds is as bad as a full one: another leads."""
        self.cores.nodes[0].stuck = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(1.5)
        self.assertEqual(self.cores.roles(), "-PF")
        self.cores.nodes[0].stuck = False
        self.cores.pass_time(15)
        self.assertEqual(self.cores.roles(), "PFF")
        self.assertEqual([node.held for node in self.cores.nodes], [{"a-1"}] * 3)

    def test_a_full_disk_alone_has_all(self) -> None:
        """One whose disk is full may alone hold what was acknowledged: the others get it from there, and lead."""
        for rank in 1, 2:
            self.cores.kill(rank)
            self.cores.run()
        self.cores.commit(0, "a-1")
        self.cores.nodes[0].full = True
        self.cores.commit(0, "a-2")
        self.cores.start(1, 2)
        self.cores.pass_time(5)
        leader = self.cores.roles().index("P")
        self.assertIn("a-1", self.cores.nodes[leader].held)
        self.cores.commit(leader, "b-1")
        self.assertEqual(self.cores.nodes[leader].finished[-1], "")


class OldEpochTests(TranscriptTests):
    """R12: what belongs to an older epoch is refused, whenever it comes."""

    def setUp(self) -> None:
        self.cores = Cores()
        self.cores.serving(0, 1, 2)
        self.cores.kill(0)
        self.cores.run()
        self.cores.transcript()

    def test_append(self) -> None:
        """A commit of the primary of yesterday is recorded nowhere."""
        self.cores.start(0)
        self.cores.pass_time(0.1)
        self.cores.transcript()
        self.cores.hear(0, 2, Append((1, 0), 1, [sent("a-1")], [(-1, 0)]))
        self.assertIn(f"2 → 0 Refusal {self.cores.epoch(2)[0]}.1", self.cores.transcript())
        self.assertEqual(self.cores.nodes[2].held, set())

    def test_a_commit_that_skips_one(self) -> None:
        """A follower that missed a commit acknowledges none behind it."""
        self.cores.hear(1, 2, Append((2, 1), 2, [sent("b-2")], [(-1, 0)]))
        self.assertEqual(self.cores.transcript()[0], "2 → 1 Refusal 2.1")
        self.assertEqual(self.cores.nodes[2].held, set())

    def test_a_commit_with_a_gap(self) -> None:
        """A follower that lacks what comes before an operation says that it cannot keep it (R3), and gets all in a new view."""
        self.cores.hear(1, 2, Append((2, 1), 1, [sent("b-2")], [(-1, 0)]))
        self.assertEqual(self.cores.transcript()[0], "2 → 1 Unfit 2.1")
        self.cores.pass_time(2)
        self.assertEqual(self.cores.roles(), "xPF")
        self.cores.commit(1, "b-1")
        self.assertEqual([node.held for node in self.cores.nodes[1:]], [{"b-1"}] * 2)

    def test_a_repeated_commit(self) -> None:
        """A commit that comes twice is recorded once, and acknowledged again."""
        self.cores.commit(1, "b-1")
        self.cores.transcript()
        self.cores.hear(1, 2, Append((2, 1), 1, [sent("b-1")], [(-1, 0)]))
        self.says(self.cores, "2 → 1 Ack 2.1 #1")
        self.assertEqual(self.cores.nodes[2].applied, ["b-1"])

    def test_prepare_and_install(self) -> None:
        """Nobody promises an epoch twice, nor enters a view that it did not promise."""
        self.cores.lose = lambda sender, rank, message: isinstance(message, Refusal)
        for old in ((1, 0), (2, 0), (2, 1)):
            self.cores.hear(1, 2, Prepare(old))
            self.assertEqual(self.cores.transcript()[0], "2 → 1 Refusal 2.1")
        self.cores.hear(1, 2, Install(View((3, 1), (1, 2)), [], []))
        self.cores.hear(0, 2, Install(View((2, 0), (0, 2)), [], []))
        self.assertEqual(self.cores.nodes[2].state, State((2, 1), View((2, 1), (1, 2))))

    def test_serving(self) -> None:
        """That an older view serves means nothing."""
        before = self.cores.nodes[2].role
        self.cores.hear(1, 2, Serving((1, 1)))
        self.assertIs(self.cores.nodes[2].role, before)

    def test_acknowledgements_of_old(self) -> None:
        """An acknowledgement of another view or round counts for nothing."""
        self.cores.hold = lambda sender, rank, message: isinstance(message, Ack)
        self.cores.commit(1, "b-1")
        for epoch, number in (((1, 0), 1), ((2, 1), 0), ((2, 1), 2)):
            self.cores.hear(2, 1, Ack(epoch, number))
        self.assertEqual(self.cores.nodes[1].finished, [])
        self.cores.release()
        self.assertEqual(self.cores.nodes[1].finished, [""])

    def test_a_higher_promise_is_heard_of(self) -> None:
        """A primary that learns of a higher epoch makes its next view above it."""
        self.cores.hear(2, 1, Refusal((77, 2)))
        self.cores.pass_time(2)
        self.assertEqual(self.cores.roles(), "xPF")
        self.assertGreater(self.cores.epoch(1)[0], 77)
