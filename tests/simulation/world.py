"""A whole cluster with its users, from the first start to the time when everything is whole again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from chattwist.cluster import Address, Cluster, Limits, Timings
from chattwist.replication.messages import View
from chattwist.router import LONGEST_ANSWER
from tests.simulation import progress
from tests.simulation.attempts import Attempt, Mailbox, Sitting
from tests.simulation.faults import Fault, Faults
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.promises import check_all, check_answer, is_busy
from tests.simulation.schedule import LASTS, draw
from tests.simulation.spreading import Spreading
from tests.simulation.timeline import Timeline
from tests.simulation.truth import Truth, Violation
from tests.simulation.user import User
from tests.simulation.wire import Reply, Wire

TIMINGS = Timings(heartbeat=0.25, silence=1.0, alone=1.5, last_view=6.0, hold_down=1.0, patience=3.0)
BUSY = LASTS + 4  # seconds until everything is healed
SETTLE = 3 + 10 * TIMINGS.silence + 12 * TIMINGS.hold_down + TIMINGS.last_view  # until all is well again, at most
CALM_DOWN = 7.0  # seconds after which all consequences of a fault are over, but for
MOST_CHANGES = 2  # changes of view, by those who had to wait for longer
MOST_UNREST = 20  # changes of view that are begun, whatever befalls, within
UNREST = 2.0  # seconds
QUIET = 2.5  # seconds in which nothing may change any more
DAYS = 0.25  # of the runs in which a day passes before all are healed
DAY = 25 * 3600.0  # seconds
CALM = 1.5  # seconds before it
TOGETHER = 5 * TIMINGS.silence  # how long two that reach each other may both lead
LOOK = 0.25  # seconds from one look at all replicas to the next
LONG = 0.12  # of all runs: as if the history were long
PEOPLE = 5
CROWD = 4  # people who come together, within
CROWD_WITHIN = 0.6  # seconds


class World:
    """One run; ``violations`` says what went wrong in it, ``trace`` what happened, if that is asked for."""

    def __init__(
        self, seed: str, *, majority: bool = False, size: int = 3, faults: Sequence[Fault] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        mode: Any = "majority" if majority else "available"
        self.seed, self.majority = seed, majority
        self.faults = draw(seed, size) if faults is None else list(faults)
        self.timeline = Timeline()
        self._trace = trace
        self._disturbed, self._changes_then = 0.0, -1
        self.changed = self.started = (
            0.0  # when something went wrong, or ceased to, and when a process was started last
        )
        self.truth = Truth(self.timeline, size, majority, TIMINGS.last_view)
        self.truth.serves = lambda served: progress.check_lead(self, served)
        addresses = tuple(Address("127.0.0.1", 5001 + rank) for rank in range(size))
        self.cluster = Cluster(addresses, mode=mode, timings=TIMINGS, limits=Limits(bcrypt_cost=4))
        self.machines = [Machine(self.timeline, self.truth, self.cluster, rank, seed) for rank in range(size)]
        self.network = Network(self.timeline, self.machines, seed)  # type: ignore[arg-type]  # machines are Hosts
        self.attempts: list[Attempt] = []
        self.sittings: list[Sitting] = []
        self.told: dict[str, Reply] = {}  # account → the first 230, also where the user had just given up waiting
        self.deleting: set[str] = set()
        self.wires: list[tuple[Machine, Wire]] = []
        self.settled_after = 0.0
        self._lately = deque([0], maxlen=int(UNREST / LOOK))  # the highest number of a view at each look
        self._together: dict[tuple[int, int], float] = {}
        self._spreading = Spreading(self)
        self.users = list(self._people(Random(f"{seed}-people")))
        for machine in self.machines:
            machine.network = self.network
            machine.began, machine.ended = self._began(machine), self._ended(machine)
            machine.start(machine.random.choice([0.0, machine.random.random() * 3]))

    def _people(self, random: Random) -> Iterator[User]:
        names = ["ann", "bob", "Cyd", "dee", "eve", "fay"][: random.randint(3, PEOPLE)]
        mailboxes = [Mailbox(name, name, f"secret-{name}", passwords=[f"secret-{name}"]) for name in names]
        owners = list(zip(names, mailboxes, strict=True))
        if random.random() < 0.5:  # somebody else wants the same name
            mailboxes.append(Mailbox("gus", names[0].upper(), "secret-gus", passwords=["secret-gus"]))
            owners.append(("gus", mailboxes[-1]))
        owners += [(f"{box.owner}2", box) for box in mailboxes[:2]]  # on two devices
        for name, mailbox in owners:
            yield self._user(name, mailbox, mailboxes, 3.0)

    def _user(self, name: str, mailbox: Mailbox, others: list[Mailbox], within: float) -> User:
        return User(
            self.timeline, Random(f"{self.seed}-user-{name}"), within, name, mailbox, others, len(self.machines),
            self._dial, self._record, self.truth.violated, self.deleting, lambda attempt: check_answer(self, attempt),
            lambda: bool(self.truth.forgotten),
        )  # fmt: skip

    def crowd(self) -> None:
        """People come who all want one name."""
        number = len(self.users)
        owners = [f"fan{number + index}" for index in range(CROWD)]
        mailboxes = [
            Mailbox(owner, f"star{number}", f"secret-{owner}", passwords=[f"secret-{owner}"]) for owner in owners
        ]
        self.users += [self._user(mailbox.owner, mailbox, mailboxes, CROWD_WITHIN) for mailbox in mailboxes]

    def _record(self, what: Attempt | Sitting) -> None:
        if isinstance(what, Attempt):
            self.attempts.append(what)
        else:
            self.sittings.append(what)

    # -- running

    def run(self) -> list[Violation]:
        """Live through all of it."""
        faults = Faults(self)
        faults.plan(self.faults)
        self.timeline.after(LOOK, self._look)
        day = Random(f"{self.seed}-day").random() < DAYS
        follow = patch("chattwist.retrykeys.LEAP", int(DAY * 1e6)) if day else nullcontext()  # as keys do by and by
        with instant_passwords(), small_batches(self.seed), told_of_bugs(self.truth), follow:
            self.timeline.run(BUSY)
            for user in self.users:
                user.finish()
            if day:
                self._pass_a_day()
            self.disturbed("healed")
            faults.heal()
            if self._settle():
                self._stay_quiet()
                self._come_to_rest()
                check_all(self)
        return self.truth.violations

    def _pass_a_day(self) -> None:
        """Who is away comes back with what is older than a retry key, if nobody waits to use one again."""
        self.timeline.run(self.timeline.now + CALM)
        if all(user.idle for user in self.users):
            for machine in self.machines:
                machine.wall_ahead += DAY

    def _settle(self) -> bool:
        while self.timeline.now < BUSY + SETTLE:
            self.timeline.run(self.timeline.now + LOOK)
            if self.is_well() and all(user.idle for user in self.users):
                self.settled_after = self.timeline.now - BUSY
                return True
        waiting = [attempt.line for user in self.users for attempt in user.pending]
        views = [(machine.view, machine.runs and machine.replica.core.own.leads) for machine in self.machines]
        self.truth.violated("all is well some time after healing", f"views {views}, unanswered {waiting}")
        return False

    def _stay_quiet(self) -> None:
        before = self.truth.changes
        self.timeline.run(self.timeline.now + QUIET)
        if self.truth.changes != before or not self.is_in_one_view():
            self.truth.violated("quiet after healing", f"{self.truth.changes - before} changes of view")

    def _come_to_rest(self) -> None:
        """Let end what is under way just now: users still log in and out, and an answer may have got lost."""
        for user in self.users:
            user.rest()
        self.timeline.run(self.timeline.now + 2 * LOOK)
        for _ in range(round(LONGEST_ANSWER * TIMINGS.patience / LOOK)):
            if not any(is_busy(machine) for machine in self.machines):
                return
            self.timeline.run(self.timeline.now + LOOK)

    def is_well(self) -> bool:
        """Whether the lowest replica leads, all are in its view, and all hold the same."""
        if not self.is_in_one_view():
            return False
        vectors = [machine.replica.core.own.log.vector for machine in self.machines]
        return all(vector == vectors[0] for vector in vectors)

    def is_in_one_view(self) -> bool:
        """Whether the lowest replica leads, and all are in its view."""
        view = self.machines[0].view
        if view is None or not all(
            machine.runs and not machine.leaving and machine.view == view for machine in self.machines
        ):
            return False
        owns = [machine.replica.core.own for machine in self.machines]
        return owns[0].leads and all(own.serving for own in owns) and len(view.members) == len(owns)

    def _look(self) -> None:
        """No two lead that reach each other."""
        self.timeline.after(LOOK, self._look)
        now = self.timeline.now
        leaders = [rank for rank in self.truth.leading if self.machines[rank].runs]
        both = {(a, b) for a in leaders for b in leaders if a < b and self._could_follow(a, b)}
        self._look_for_unrest()
        progress.look(self)
        self._spreading.look()
        self._together = {pair: self._together.get(pair, now) for pair in both}
        for pair, since in self._together.items():
            if now - since > TOGETHER:
                self.truth.violated("one primary among those that reach each other", f"{pair} since {since:.2f}")
                self._together[pair] = now + 1000

    def _look_for_unrest(self) -> None:
        """Nobody changes the view again and again, and none does while nothing happens."""
        highest = max((one.replica.core.own.highest for one in self.machines if one.process), default=0)
        if 0 < self._lately[0] < highest - MOST_UNREST:
            self.truth.violated("few changes of view at a time", f"{self._lately[0]} to {highest}")
        self._lately.append(highest)
        if self.network.slow != 1.0 or any(one.slowness != 1.0 or one.room is not None for one in self.machines):
            self._disturbed, self._changes_then = self.timeline.now, -1  # slowness comes and goes
        if self.timeline.now - self._disturbed < CALM_DOWN:
            return
        if self._changes_then < 0:
            self._changes_then = self.truth.changes
        elif self.truth.changes - self._changes_then > MOST_CHANGES:
            self.truth.violated("quiet while nothing happens", f"since {self._disturbed:.3f}")
            self._changes_then = 1 << 30

    def _could_follow(self, lower: int, other: int) -> bool:
        """Whether ``other`` reaches the lower primary, or a member of its view to go through."""
        near = self.network.is_near
        through = [one.rank for one in self.machines if one.runs and one.view and one.view.primary == lower]
        return any(near(rank, other) and (rank == lower or near(lower, rank)) for rank in through if rank != other)

    def reached(self, rank: int, through: Sequence[Machine] | None = None) -> set[int]:
        """The replicas that it reaches both ways, perhaps through others; of all, or of these."""
        reached, fresh = {rank}, [rank]
        while fresh:
            one = fresh.pop()
            for machine in self.machines if through is None else through:
                other = machine.rank
                if other not in reached and machine.runs and self.network.is_near(one, other):
                    reached.add(other)
                    fresh.append(other)
        return reached

    # -- clients

    def ask(self, machine: Machine, question: str) -> list[str]:
        """What somebody is told who only asks; the lines of the answer."""
        assert machine.process is not None
        wire = Wire(machine.process, machine.clients, lambda: None, Random(0), lambda ids: None, lambda: None)
        wire.send(question)
        self.timeline.run(self.timeline.now + LOOK)
        wire.leave(True)
        return wire.replies[-1].lines if wire.replies else [""]

    def _dial(self, user: User, rank: int) -> Wire | None:
        machine = self.machines[rank]
        if machine.process is None or machine.leaving:
            return None
        mailbox = user.mailbox
        wire = Wire(
            machine.process, machine.clients, self._view_of(machine), user.random,
            mailbox.shown.update, lambda: self._news(user, wire),
            None if self._trace is None else lambda text: self.note(f"{user.name} at {rank} {text}"),
        )  # fmt: skip
        self.wires = [(one, other) for one, other in self.wires if other.open]
        self.wires.append((machine, wire))
        return wire

    def _news(self, user: User, wire: Wire) -> None:
        for reply in wire.replies:
            if reply.code == 230:
                self.told.setdefault(reply.account, reply)
        if user.wire is wire:
            user.news()

    def _view_of(self, machine: Machine) -> Callable[[], View | None]:
        router = machine.replica._router
        return lambda: router.view  # None where it goes through another: the view of that one is not known

    def _began(self, machine: Machine) -> Callable[[], None]:
        def began() -> None:
            self.started, changed = self.timeline.now, self.changed
            self.disturbed(f"start of {machine.rank}")
            self.changed = changed

        return began

    def _ended(self, machine: Machine) -> Callable[[], None]:
        def ended() -> None:
            self.changed = self.timeline.now
            for one, wire in self.wires:
                if one is machine and not machine.silent:
                    self.timeline.after(machine.random.random() * 0.01, wire.broken)

        return ended

    # -- telling

    def disturbed(self, text: str) -> None:
        """Something went wrong, or ceased to."""
        self.note(text)
        self._disturbed, self._changes_then = self.timeline.now, -1
        self.changed = self.timeline.now

    def note(self, text: str) -> None:
        """For the trace."""
        if self._trace is not None:
            self._trace(f"{self.timeline.now:8.3f} {text}")


@contextmanager
def instant_passwords() -> Iterator[None]:
    """Hashes that cost nothing; each is different, as bcrypt's are."""
    salts = count(1)

    def hash_password(password: str, cost: int) -> str:
        return f"{next(salts)}:{password}"

    def is_right(password: str, hashed: str) -> bool:
        return hashed.partition(":")[2] == password

    with patch("chattwist.logins.hash_password", hash_password), patch("chattwist.logins.is_right", is_right):
        yield


@contextmanager
def small_batches(seed: str) -> Iterator[None]:
    """In some runs catching up takes many batches, and who is far behind is left out of a view, as with a long history."""
    if Random(f"{seed}-batches").random() >= LONG:
        yield
        return
    with patch("chattwist.replication.log.BATCH", 3), patch("chattwist.replication.change.MOST_FILLED", 2):
        yield


@contextmanager
def told_of_bugs(truth: Truth) -> Iterator[None]:
    """Whatever is logged with a traceback is a bug."""

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            lines = failure.getTraceback().strip().splitlines()
            truth.violated("no errors inside", " | ".join(line.strip() for line in lines[-5:]))

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
