"""Who leads when ports come back, when the network is cut, and when not all are there who may know more."""

import itertools

import msgspec

from chattwist.cluster import Timings
from chattwist.replication import messages, steps
from chattwist.replication.messages import State, TakeOver
from tests.replication.cores import Cores, TranscriptTests, forced


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

    def test_a_primary_that_is_about_to_stop(self) -> None:
        """Another one leads before it is gone; the end of its process is no news then."""
        self.cores.nodes[0].running.retire()
        self.cores.pass_time(0.5)
        self.assertEqual(self.cores.roles(), "-PF")
        epoch = self.cores.epoch(1)
        self.cores.commit(1, "b-1")
        self.cores.kill(0)
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.cores.epoch(1)), ("xPF", epoch))

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

    def test_others_fail_while_one_catches_up(self) -> None:
        """Who came back and lacks a lot does not lead because another one is lost just then: nobody is served till it has all."""
        for lost, roles in (2, "-Px"), (1, "FxP"):
            self.setUp()
            self.cores.kill(0)
            self.cores.run()
            self.cores.commit(1, "b-1")
            self.cores.start(0)
            self.cores.hold = lambda sender, rank, message: isinstance(message, messages.Pull) and sender == 0
            self.cores.pass_time(0.5)
            self.cores.kill(lost)
            self.cores.pass_time(0.5)
            self.assertEqual(self.cores.roles(), roles)

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

    def test_a_connection_that_breaks(self) -> None:
        """A follower whose connection to the primary is not up again yet hears it all the same, and does not stand (R15)."""
        self.cores.nodes[0].stuck = True  # so that the change of view lasts
        for sender, rank in ((0, 1), (1, 0)):
            self.cores._break(sender, rank)
        self.cores._join(0, 1)
        self.cores.pass_time(0.5)
        self.assertNotEqual(self.cores.nodes[1].state.promised[1], 1)
        self.cores.nodes[0].stuck = False
        self.cores._join(1, 0)
        self.cores.pass_time(8)
        self.assertEqual(self.cores.roles(), "PFF")

    def test_hearsay(self) -> None:
        """One that the primary does not reach elects nobody while another that it reaches hears the primary (R14)."""
        self.cores.part(0, 2)
        self.cores.pass_time(30)
        self.assertEqual(self.cores.roles(), "PF-")
        self.cores.commit(0, "a-1")
        self.cores.pass_time(1)
        self.assertEqual(self.cores.nodes[2].applied, ["a-1"])

    def test_hearsay_of_one_that_changes_its_view(self) -> None:
        """Nor while the primary makes a view without it, and serves nobody for that long: others hear it all the same."""
        self.cores.hold = lambda sender, rank, message: isinstance(message, messages.Installed)
        self.cores.part(0, 1)
        self.cores.pass_time(1.5)
        self.assertEqual(self.cores.roles(), "---")
        self.cores.release()
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.cores.nodes[1].state.promised), ("P-F", (1, 0)))

    def test_hearsay_after_leading_alone(self) -> None:
        """One that led alone goes through a follower of the others, though its own view was the later one."""
        self.cores.part(1, 0, 2)
        self.cores.pass_time(9)
        self.assertEqual((self.cores.roles(), self.cores.epoch(1) > self.cores.epoch(0)), ("PPF", True))
        self.cores.heal()
        self.cores.part(0, 1)
        self.cores.pass_time(3)
        self.assertEqual((self.cores.roles(), self.cores.nodes[1].running.relay()), ("P-F", 2))

    def test_one_that_has_just_got_into_the_view(self) -> None:
        """Nobody goes through it with what it had before: two that lost their disks knew of no account, and said so."""
        self.cores.commit(0, "a-1")
        for node in self.cores.nodes[1:]:
            self.cores.kill(node.rank)
            node.operations, node.state = [], messages.State()
        self.cores.part(0, 2)
        self.cores.hold = lambda sender, rank, message: isinstance(message, messages.Prepare)
        self.cores.start(1, 2)
        self.cores.pass_time(0.3)
        self.assertTrue(self.cores.nodes[2].running.contact.peers[1].pulled)
        self.cores.lose = lambda sender, rank, message: (
            isinstance(message, messages.Pulled) and (sender, rank) == (1, 2)
        )
        self.cores.release()
        self.cores.pass_time(0.3)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].running.relay()), ("PF-", None))
        self.cores.lose = lambda sender, rank, message: False
        self.cores.pass_time(1.5)
        self.assertEqual((self.cores.nodes[2].held, self.cores.nodes[2].running.relay()), ({"a-1"}, 1))

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

    def test_halves_are_put_together_by_the_lower(self) -> None:
        """Of two that lead, the lower takes the other in; that one does not ask it, for it would only be refused."""
        self.cores.part(0, 1, 2)
        self.cores.pass_time(5)
        self.cores.transcript()
        self.cores.heal()
        self.cores.pass_time(10)
        said = [line for line in self.cores.transcript() if line.startswith("1 → 0 Prepare") or "Refusal" in line]
        self.assertEqual((self.cores.roles(), said), ("PFF", []))

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
        self.assertFalse(forced(cores.nodes[1]))

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

    def test_promise_of_a_damaged_one(self) -> None:
        """Who is asked for a promise says that it lost something, too: a heartbeat may be older than that."""
        core = self.cores.nodes[2].running
        core.own.state = msgspec.structs.replace(core.own.state, damaged=True)
        core.step(steps.Received(0, messages.Prepare((9, 0))), core.own.now)
        effects = core.step(steps.Written(full=False), core.own.now)
        promises = [effect.message for effect in effects if isinstance(effect, steps.Send)]
        self.assertTrue(any(isinstance(one, messages.Promise) and one.damaged for one in promises), effects)

    def test_damaged_in_majority_mode(self) -> None:
        """A majority that remembers is no majority if the one that was in the last view lost something of it."""
        self.cores = Cores(majority=True)
        self.cores.serving(0, 1, 2)
        self.cores.kill(0)
        self.cores.pass_time(2)
        self.cores.commit(1, "b-1")
        self.cores.kill(1)
        self.cores.kill(2)
        held = self.cores.nodes[2]
        held.operations.clear()
        held.state = msgspec.structs.replace(held.state, damaged=True)
        self.cores.start(0, 2)
        self.cores.pass_time(5)
        self.assertEqual(self.cores.roles(), "-x-")
        self.cores.start(1)
        self.cores.pass_time(5)
        self.assertEqual((self.cores.roles(), self.cores.nodes[2].applied), ("PFF", ["b-1"]))

    def test_damaged(self) -> None:
        """Nobody stands while the only one that was in the last view says that it lost something of it."""
        for rank in 0, 1:
            self.cores.kill(rank)
            self.cores.pass_time(2)
        self.assertEqual(self.cores.roles(), "xxP")
        self.cores.kill(2)
        alone = self.cores.nodes[2]
        alone.state = msgspec.structs.replace(alone.state, damaged=True)
        self.cores.start(0, 2)
        self.cores.pass_time(1)
        self.cores.transcript()
        self.cores.pass_time(5)
        self.assertEqual((self.cores.roles(), self.cores.transcript()), ("-x-", []))

    def test_not_for_ever(self) -> None:
        """After ``last_view`` seconds it serves all the same, says so loudly, and shows a flag."""
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.cores.start(1)
        self.cores.pass_time(14.9)
        self.assertEqual(self.cores.roles(), "x-x")
        self.assertIsNone(self.cores.nodes[1].running.view)
        self.cores.pass_time(0.2)
        self.assertEqual(self.cores.roles(), "xPx")
        self.assertTrue(forced(self.cores.nodes[1]))
        self.assertTrue(self.cores.nodes[1].said[-1].loud)

    def test_stopped_while_it_waits(self) -> None:
        """A process that was stopped meanwhile waits anew: others had no time to be heard while it did not run (R13)."""
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.cores.start(1)
        self.cores.pass_time(10)
        self.cores.pause(1, 6)
        self.cores.pass_time(14)
        self.assertEqual(self.cores.roles(), "x-x")
        self.cores.pass_time(2)
        self.assertEqual(self.cores.roles(), "xPx")

    def test_until_all_are_back(self) -> None:
        """The flag stays while one is missing, whoever leads, and all replicas show it; then none does."""
        for rank in 0, 1, 2:
            self.cores.kill(rank)
        self.cores.start(1)
        self.cores.pass_time(15.1)
        self.cores.start(0)
        self.cores.pass_time(10)
        self.assertEqual((self.cores.roles(), self.flags()), ("PFx", [True, True]))
        self.cores.kill(1)
        self.cores.start(1)
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.flags()), ("PFx", [True, True]))
        self.cores.start(2)
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.flags()), ("PFF", [False] * 3))
        self.cores.kill(2)
        self.cores.pass_time(2)
        self.assertEqual((self.cores.roles(), self.flags()), ("PFx", [False, False]))

    def flags(self) -> list[bool]:
        """Whether the view of each replica that runs is shown as forced."""
        views = [node.core.view for node in self.cores.nodes if node.core is not None]
        return [view.forced for view in views if view is not None]

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
