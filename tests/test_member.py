"""The shell of the core: events go in one after the other, effects are carried out in their order, whatever goes wrong."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors, model, remembered
from chattwist.member import MOST_BUNDLED, Done, Member
from chattwist.replication import steps
from chattwist.replication.messages import AnyMessage, Ended, Failure, Login, Pull, Result, State, View, decode, encode
from chattwist.replication.steps import TICKS
from chattwist.replication.wire import WireError
from tests.replication.cores import sent

VIEW = View((3, 0), (0, 1))
PULL = Pull(1, {"a": 3}, {}, 64_000)
NAMES = ("host:5001", "host:5002", "host:5003")


class FakeCore:
    """Notes events; answers each with the effects that the test gave for its type."""

    heartbeat = 0.25

    def __init__(self) -> None:
        self.events: list[steps.Event] = []
        self.effects: dict[type, list[steps.Effect]] = {}
        self.times: list[float] = []
        self.broken: type | None = None  # the event that it cannot bear

    def step(self, event: steps.Event, now: float) -> list[steps.Effect]:
        """See Core."""
        self.events.append(event)
        self.times.append(now)
        if type(event) is self.broken:
            raise ValueError("a bug")
        return self.effects.pop(type(event), [])


class FakeWorld:
    """Writer, Channel and Side in one: notes in what order it is asked for what."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.writes: list[Done] = []
        self.at_once = False
        self.broken = False

    def commit(self, operations: Sequence[model.AnyOperation], done: Done) -> None:
        """See Writer."""
        self.done.append(f"write {' '.join(operation.id for operation in operations)}")
        self._write(done)

    def save(self, data: bytes, done: Done) -> None:
        """See Writer."""
        self.done.append(f"save {remembered.decode(data, NAMES).promised}")
        self._write(done)

    def _write(self, done: Done) -> None:
        self.writes.append(done)

    def wait(self) -> bool:
        """See Writer."""
        if self.at_once and self.writes:
            self.writes.pop(0)(None)
            return True
        return False

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        """See Channel."""
        self.done.append(f"send {rank} {type(decode(message)).__name__}")
        return True

    def abort(self, rank: int) -> None:
        """See Channel."""
        self.done.append(f"abort {rank}")

    def applied(self, operations: Sequence[model.AnyOperation], tags: Sequence[tuple[int, int]]) -> None:
        """See Side."""
        self.done.append(f"apply {' '.join(operation.id for operation in operations)} {list(tags)}")
        if self.broken:
            raise ValueError("a bug")

    def role(self, role: str, view: View | None) -> None:
        """See Side."""
        self.done.append(f"role {role}")

    def entered(self, view: View, logins: Sequence[Login], over: Sequence[str]) -> None:
        """See Side."""
        self.done.append(f"entered {view.epoch} {len(logins)} {len(over)}")

    def connected(self, rank: int) -> None:
        """See Side."""
        self.done.append(f"connected {rank}")

    def deliver(self, rank: int, message: AnyMessage) -> None:
        """See Side."""
        self.done.append(f"deliver {rank} {type(message).__name__}")


class MemberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.core, self.world, self.clock = FakeCore(), FakeWorld(), Clock()
        self.failed: list[BaseException] = []
        core: Any = self.core
        self.member = Member(core, self.world, self.world, self.clock, self.failed.append, NAMES)
        self.member.start(self.world)
        self.core.events.clear()

    def answer(self, event: type, *effects: steps.Effect) -> None:
        """Let the core answer the next event of that type so."""
        self.core.effects[event] = list(effects)

    def test_events(self) -> None:
        """What the channel tells reaches the core in its order."""
        self.member.connected(1)
        self.member.received(1, encode(PULL))
        self.member.lost(1)
        self.member.refused(1)
        expected = [steps.Connected(1), steps.Received(1, PULL), steps.Lost(1), steps.Refused(1)]
        self.assertEqual(self.core.events, expected)
        self.assertEqual(self.world.done, ["connected 1"])

    def test_bundles(self) -> None:
        """What is passed on and answered in one turn goes out together, and before whatever is said after it."""
        for number in range(MOST_BUNDLED + 1):
            self.member.send(1, Result(number, "a-1", 3, True))
        self.member.send(2, Failure(1, 550, "no"))
        self.assertEqual(self.world.done, ["send 1 Bundle"])
        self.member.send(1, PULL)
        self.assertEqual(self.world.done[1:], ["send 1 Bundle", "send 1 Pull"])
        self.clock.advance(0)
        self.assertEqual(self.world.done[3:], ["send 2 Bundle"])

    def test_the_last_answers(self) -> None:
        """Who stops says what it was to say in this turn: others wait for these answers. One that is broken does not."""
        self.member.send(1, Result(1, "a-1", 3, True))
        self.member.stop()
        self.assertEqual(self.world.done, ["send 1 Bundle"])

    def test_effects_in_order(self) -> None:
        """Effects are carried out in the order that the core gives them: a promise is on disk before what is sent behind it."""
        effects: list[steps.Effect] = [
            steps.Save(State((3, 0), VIEW)), steps.Store([sent("a-1")]), steps.Send(1, PULL), steps.Abort(2),
            steps.Apply([sent("a-1")], [(1, 5)]), steps.Role("primary", VIEW), steps.Entered(VIEW, [], ["s1"]),
            steps.Deliver(1, Ended("a-1", "s1")), steps.Say("hello"),
        ]  # fmt: skip
        self.answer(steps.Lost, *effects)
        self.member.lost(1)
        self.assertEqual(self.world.done, [
            "save (3, 0)", "write a-1", "send 1 Pull", "abort 2", "apply a-1 [(1, 5)]", "role primary",
            "entered (3, 0) 0 1", "deliver 1 Ended",
        ])  # fmt: skip

    def test_events_that_come_of_effects(self) -> None:
        """A write that ends at once does not overtake the effects behind it: one step after the other."""
        self.world.at_once = True
        self.answer(steps.Lost, steps.Store([sent("a-1")]), steps.Abort(1))
        self.answer(steps.Written, steps.Send(2, PULL))
        self.member.lost(1)
        self.assertEqual(self.world.done, ["write a-1", "abort 1", "send 2 Pull"])

    def test_a_commit(self) -> None:
        """A commit is told its outcome, once, as the errors that its client's reply depends on."""
        outcomes: list[BaseException | None] = []
        for outcome in "", "full", "refused", "unknown":
            self.member.commit([sent("a-1")], [(1, 5)], lambda failure, *rest: outcomes.append(failure))
            self.answer(steps.Lost, steps.Finish(outcome, 2))
            for _ in range(2):
                self.member.lost(1)
        self.assertEqual([type(outcome) for outcome in outcomes],
                         [type(None), errors.DiskFull, errors.NotBegun, errors.Unsettled])  # fmt: skip
        self.assertEqual(self.core.events[0], steps.Commit([sent("a-1")], [(1, 5)]))

    def test_a_full_disk(self) -> None:
        """The core hears of it; a commit that fails of it is told the disk's own reason."""
        outcomes: list[BaseException | None] = []
        self.answer(steps.Commit, steps.Store([sent("a-1")]))
        self.member.commit([sent("a-1")], [], lambda failure, *rest: outcomes.append(failure))
        self.answer(steps.Written, steps.Finish("full", 0))
        reason = errors.DiskFull("no space left on device")
        self.world.writes.pop()(reason)
        self.assertEqual((self.core.events[-1], outcomes), (steps.Written(full=True), [reason]))
        self.assertEqual(self.failed, [])

    def test_a_broken_disk(self) -> None:
        """The process has to end (R9): the core hears nothing more of that write, and the commit under way is told."""
        outcomes: list[BaseException | None] = []
        self.answer(steps.Commit, steps.Store([sent("a-1")]))
        self.member.commit([sent("a-1")], [], lambda failure, *rest: outcomes.append(failure))
        reason = errors.DiskFailed("input/output error")
        self.world.writes.pop()(reason)
        self.assertEqual((self.failed, outcomes, len(self.core.events)), ([reason], [reason], 1))

    def test_a_bug_in_the_core(self) -> None:
        """What the core thinks it knows may be wrong then: the process begins anew from its disk, and the bug is logged.

        The log tells what kind of event it was, and not the texts or hashes in it.
        """
        told: list[str] = []
        observer: Any = partial(_tell, told)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.core.broken = steps.Commit
        self.member.commit([sent("a-1")], [(-1, 0)], lambda failure, replicas: None)
        self.assertEqual(len(self.failed), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIn("the replication failed at Commit", told)

    def test_a_bug_in_an_effect(self) -> None:
        """A bug beside the core is logged, and all other effects are carried out."""
        self.world.broken = True
        self.answer(steps.Lost, steps.Apply([sent("a-1")]), steps.Send(1, PULL))
        self.member.lost(1)
        self.assertEqual((self.world.done[-1], self.failed), ("send 1 Pull", []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_not_a_message(self) -> None:
        """What is no message of this program is told to the channel; the next one counts."""
        for data in (b'["surprise",1]', b"\xff"):
            with self.assertRaises(WireError):
                self.member.received(1, data)
        self.member.received(1, encode(PULL))
        self.assertEqual(self.core.events, [steps.Received(1, PULL)])

    def test_ticks(self) -> None:
        """The core is ticked several times in each heartbeat, until the end; its clock is the reactor's."""
        self.core.times.clear()
        for _ in range(TICKS):
            self.clock.advance(self.core.heartbeat / TICKS)
        self.assertEqual(self.core.events, [steps.Tick()] * TICKS)
        self.assertEqual(self.core.times[-1], self.clock.seconds())
        self.member.stop()
        self.clock.advance(10)
        self.assertEqual(len(self.core.events), TICKS)


def _tell(told: list[str], event: LogEvent) -> None:
    told.append(formatEvent(event))
