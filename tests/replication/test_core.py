"""The core among others, as transcripts: how a cluster starts, commits, and goes on when a process dies."""

import msgspec

from chattwist.replication.messages import Ack, Append, State
from tests.replication.cores import NOON, Cores, TranscriptTests, forced


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
        self.assertTrue(forced(cores.nodes[1]))

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


class ClockTests(TranscriptTests):
    """R22: what is recorded is stamped with a time that is not far from that of all others."""

    def test_far_ahead(self) -> None:
        """A clock that is an hour ahead counts as a minute ahead of the latest of the others."""
        cores = Cores()
        cores.serving(0, 1, 2)
        core = cores.nodes[0].running
        now = NOON + int(cores.now * 1e6)
        peer = core.contact.peers[2]
        assert peer.beat is not None
        peer.beat = msgspec.structs.replace(peer.beat, wall=peer.beat.wall - 3600_000_000)
        self.assertAlmostEqual((core.clamped(now + 3600_000_000) - now) / 1e6, 60, places=3)
        self.assertEqual([core.clamped(now + ahead) for ahead in (-5, 5)], [now - 5, now + 5])

    def test_alone(self) -> None:
        """Where nobody else is there, it counts as it is."""
        cores = Cores()
        cores.start(0)
        cores.pass_time(5)
        self.assertEqual(cores.nodes[0].running.clamped(NOON * 2), NOON * 2)
