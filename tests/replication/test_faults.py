"""Processes that were stopped, disks that take nothing, and messages of the past."""

from chattwist.replication.messages import Ack, Append, Install, Prepare, Pull, Refusal, Serving, State, View
from tests.replication.cores import Cores, TranscriptTests, sent


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

    def test_the_only_one(self) -> None:
        """A cluster of one has nobody who could have gone on: it serves as before, which a full disk would not let it do anew."""
        cores = Cores(1)
        cores.serving(0)
        cores.nodes[0].full = True
        cores.pause(0, 3)
        cores.pass_time(1)
        self.says(cores, "")
        self.assertEqual((cores.roles(), cores.epoch(0)), ("P", (1, 0)))

    def test_a_follower_that_was_stopped(self) -> None:
        """It is left out after ``silence``, and taken back when it goes on; a commit waits only as long."""
        self.cores.nodes[2].paused = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(2)
        self.assertEqual((self.cores.nodes[0].finished, self.cores.epoch(0)[1]), ([""], 0))
        self.cores.nodes[2].paused = False
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", {"a-1"}))


class SlowDisks(Cores):
    """Each write of those in ``takes`` takes so many seconds."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.takes: dict[int, float] = {}
        self._oldest: dict[int, tuple[object, float]] = {}

    def _write(self) -> bool:
        for rank, seconds in self.takes.items():
            node = self.nodes[rank]
            oldest = node.writes[0] if node.writes else None
            if oldest is not self._oldest.get(rank, (None,))[0]:
                self._oldest[rank] = oldest, self.now
            node.stuck = oldest is not None and self.now - self._oldest[rank][1] < seconds
        return super()._write()


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
        self.cores.nodes[2].stuck = True
        for _ in range(18):  # also while it tries again, and nobody knows yet how that ends
            self.assertFalse(self.cores.nodes[2].running.fit)
            self.cores.pass_time(0.1)
        self.cores.nodes[2].stuck = self.cores.nodes[2].full = False
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

    def test_a_follower_that_takes_too_long_again_and_again(self) -> None:
        """One whose disk is always too slow is let into the view ever more rarely: each time all have to wait for it."""
        waited = [self.waited_for_a_slow_disk() for _ in range(4)]
        self.assertGreater(waited[0], 2)  # half minutes, of which that many seconds
        self.assertLess(sum(waited[1:]), 6)
        self.cores.pass_time(60)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].held), ("PFF", self.cores.nodes[0].held))

    def test_a_cut_is_no_slow_disk(self) -> None:
        """Replicas that were cut off in the middle of a commit are together again at once, however often that was so."""
        for number in range(1, 5):
            self.cores.part(0, 1, 2)
            self.cores.commit(0, f"a-{number}")
            self.cores.pass_time(2)
            self.assertEqual(self.cores.roles(), "PPF")
            self.cores.heal()
            self.cores.pass_time(0.5)
            self.assertEqual(self.cores.roles(), "PFF")

    def test_a_slow_one_that_leads(self) -> None:
        """Also one that was slow is taken in at once where it leads itself: names and sessions are unique in one view only."""
        self.cores.nodes[2].stuck = True
        self.cores.commit(0, "a-1")
        self.cores.pass_time(1.2)
        self.assertEqual(self.cores.roles(), "PF-")
        self.cores.nodes[2].stuck = False
        self.cores.part(2, 0, 1)
        self.cores.pass_time(20)
        self.cores.nodes[0].running.contact.peers[2].delays = 5  # as after half a minute of it
        self.assertEqual(self.cores.roles(), "PFP")
        self.cores.heal()
        self.cores.pass_time(0.5)
        self.assertEqual(self.cores.roles(), "PFF")

    def waited_for_a_slow_disk(self) -> float:
        """How long, of half a minute, commits had to wait while one disk takes 1.2 seconds for all that it is asked."""
        primary, slow, waited = self.cores.nodes[0], self.cores.nodes[2], 0.0
        for step in range(300):
            slow.stuck = step % 12 > 0
            self.cores.run()
            if primary.role.role == "primary" and len(primary.finished) == len(primary.held):
                self.cores.commit(0, f"a-{len(primary.held) + 1}")
            waited += 0.1 * (len(primary.finished) < len(primary.held))
            self.cores.pass_time(0.1)
        slow.stuck = False
        return waited

    def test_disks_that_are_too_slow(self) -> None:
        """One whose disk is quick enough leads, whatever its port: the others don't stand in its way again and again."""
        for size, takes in (
            (3, {0: 1.3, 1: 1.3}),
            (3, {0: 1.3, 2: 1.3}),
            (3, {1: 1.3, 2: 1.3}),
            (5, {0: 1.1, 1: 1.2, 2: 1.3}),
            (5, {0: 1.3, 1: 1.3, 2: 1.3, 3: 1.3}),
        ):
            cores = SlowDisks(size)
            cores.serving(*range(size))
            cores.takes = takes
            served, begun = 0, [0] * size
            for step in range(600):
                cores.pass_time(0.05)
                primary = cores.roles().find("P")
                served += primary >= 0
                if primary >= 0 and len(cores.nodes[primary].finished) == begun[primary]:
                    begun[primary] += 1
                    cores.commit(primary, f"{step}-1")
            self.assertGreater(served, 200, takes)

    def test_all_disks_that_were_too_slow(self) -> None:
        """Once they are quick enough again one of them leads soon, however long they were too slow."""
        for size, seconds in (2, 60), (2, 150), (3, 60), (3, 150):
            cores = SlowDisks(size)
            cores.serving(*range(size))
            cores.takes = dict(enumerate([1.5, 2.2, 1.05][:size]))
            for step in range(4 * seconds):
                cores.pass_time(0.25)
                if step == 0:
                    cores.commit(0, "a-1")
            cores.takes = dict.fromkeys(range(size), 0.0)
            cores.pass_time(3)
            self.assertIn("P", cores.roles(), (size, seconds))

    def test_one_left_whose_disk_was_too_slow(self) -> None:
        """It gives way to others only as long as there are any."""
        cores = SlowDisks(3)
        cores.serving(0, 1, 2)
        cores.takes = {1: 1.3}
        cores.kill(0)
        cores.pass_time(0.9)
        cores.kill(2, silent=True)
        cores.pass_time(0.5)
        self.assertEqual(cores.roles(), "x-x")
        cores.takes = {1: 0.0}
        cores.pass_time(0.8)
        self.assertEqual(cores.roles(), "xPx")

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

    def test_a_lone_replica_whose_disk_is_full_and_nobody_to_lead(self) -> None:
        """It stays primary also while another one is there that has not got all it has, or whose own disk is full."""
        for lacks in True, False:
            self.setUp()
            for rank in 1, 2:
                self.cores.kill(rank)
                self.cores.run()
            self.cores.commit(0, "a-1")
            self.cores.nodes[0].full = True
            self.cores.nodes[1].full = not lacks
            if lacks:
                self.cores.lose = lambda sender, rank, message: sender == 1 and isinstance(message, Pull)
            self.cores.start(1)
            self.cores.pass_time(0.2)
            self.cores.commit(0, "a-2")
            for _ in range(5):
                self.cores.pass_time(0.1)
                self.assertEqual(self.cores.roles(), "P-x", lacks)

    def test_two_whose_disks_are_full(self) -> None:
        """The one that served alone goes on so, however often the other tries its disk; who has room again leads."""
        for brimful in True, False:  # or there is room for what is small
            self.setUp()
            serves, other, gone = self.cores.nodes
            self.cores.kill(gone.rank)
            self.cores.run()
            other.full, other.brimful = True, brimful
            self.cores.commit(0, "a-1")
            serves.full, serves.brimful = True, brimful
            for _ in range(80):
                self.cores.pass_time(0.1)
                self.assertEqual(self.cores.roles(), "P-x")
                self.cores.commit(0, "a-2")
                self.assertEqual(serves.finished[-1], "full")
            other.full = other.brimful = False
            self.cores.pass_time(10)
            self.cores.commit(0, "a-2")
            self.cores.pass_time(0.1)
            self.assertEqual((other.role.role, "a-1" in other.held), ("primary", True))
            serves.full = serves.brimful = False
            self.cores.pass_time(25)
            self.assertEqual(self.cores.roles(), "PFx")

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

    def test_no_room_for_a_promise(self) -> None:
        """It says so at once, so that the change of view does without it and waits for nothing."""
        self.cores.nodes[2].brimful = True
        self.cores.kill(0)
        self.cores.run()
        self.assertIn("2 → 1 Unfit 2.1", self.cores.transcript())
        self.cores.pass_time(0.2)
        self.assertEqual(self.cores.roles(), "xP-")

    def test_no_room_for_a_promise_of_its_own(self) -> None:
        """One that serves alone, and has no room to begin a new view, goes on with the old one: reads go on, and logins."""
        for rank in 1, 2:
            self.cores.kill(rank)
            self.cores.run()
        epoch = self.cores.epoch(0)
        self.cores.nodes[0].brimful = True
        self.cores.nodes[0].running.settle()
        self.cores.pass_time(0.5)
        self.assertEqual((self.cores.roles(), self.cores.epoch(0)), ("Pxx", epoch))
        self.cores.nodes[0].brimful = False
        self.cores.commit(0, "a-1")
        self.assertEqual(self.cores.nodes[0].finished, [""])

    def test_no_room_at_the_first_start(self) -> None:
        """One that never served, and has no room to begin, waits for room."""
        cores = Cores(1)
        cores.nodes[0].brimful = True
        cores.start(0)
        cores.pass_time(1)
        self.assertEqual(cores.roles(), "-")
        cores.nodes[0].brimful = False
        cores.pass_time(3)
        self.assertEqual(cores.roles(), "P")

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
