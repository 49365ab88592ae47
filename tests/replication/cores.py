"""Several cores wired together, without a reactor: what happens is what a test's script lets happen, and reads as a transcript.

Messages are delivered at once and writes are durable at once, unless the test says otherwise. Lines of a transcript::

    0 → 1 Prepare 1.0            a message is sent; 1.0 is the epoch (1, 0)
    1 saves 1.0 in nothing       a state goes to the disk: the promised epoch, and the last view
    1 stores a-1 a-2             operations go to the disk
    0 is primary of 1.0: 0 1 2   a role, in a view with these members
    0 finishes                   a commit ended: well, or "full", "refused", "unknown"
"""

from collections import deque
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.cluster import Timings
from chattwist.replication import messages, steps
from chattwist.replication.core import Core
from chattwist.replication.log import Log
from chattwist.replication.messages import AnyMessage, Epoch, Login, State, View
from chattwist.roster import Roster

BEGIN = 1000.0  # seconds on the monotonic clock
NOON = 1795348800_000_000  # microseconds since 1970
BACKGROUND = messages.Heartbeat | messages.Pull | messages.Pulled  # what is in no transcript


def sent(operation_id: str) -> model.Sent:
    """A message."""
    return model.Sent(operation_id, 1, "a-1", "a-2", "hi")


class TranscriptTests(SynchronousTestCase):
    """What is said is compared line by line."""

    maxDiff = None

    def says(self, cores: "Cores", expected: str) -> None:
        """The transcript since the last look is this."""
        self.assertEqual("\n".join(cores.transcript()), "\n".join(filter(None, map(str.strip, expected.splitlines()))))


class Node:
    """One replica: what is on its disk, and its core while it runs.

    ``full``: its disk has no room for operations, ``brimful``: for nothing; ``stuck``: it does nothing. ``applied``: ids of
    operations, since its start.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.core: Core | None = None
        self.operations: list[model.AnyOperation] = []
        self.state = State()
        self.full = self.brimful = self.stuck = self.paused = False
        self.writes: deque[steps.Store | steps.Save] = deque()
        self.applied: list[str] = []
        self.role = steps.Role("", None)
        self.finished: list[str] = []
        self.counts: list[int] = []  # on how many replicas each of those is that ended well
        self.said: list[steps.Say] = []
        self.delivered: list[AnyMessage] = []
        self.entered: list[steps.Entered] = []
        self.logins: list[Login] = []

    @property
    def running(self) -> Core:
        """Its core."""
        assert self.core is not None
        return self.core

    @property
    def held(self) -> set[str]:
        """The ids of the operations on its disk."""
        return {operation.id for operation in self.operations}

    def write(self) -> steps.Written:
        """The disk does the oldest of what it was asked for."""
        write = self.writes.popleft()
        if self.brimful or (self.full and isinstance(write, steps.Store)):
            return steps.Written(full=True)
        if isinstance(write, steps.Store):
            self.operations += write.operations
        else:
            self.state = write.state
        return steps.Written()


class Cores:
    """A cluster. ``lose`` says of a message whether it is lost on its way; ``hold`` whether it waits for ``release``."""

    def __init__(self, size: int = 3, *, majority: bool = False, timings: Timings | None = None) -> None:
        self.nodes = [Node(rank) for rank in range(size)]
        self.timings = timings or Timings()
        self.now = BEGIN
        self.lose: Callable[[int, int, AnyMessage], bool] = lambda sender, rank, message: False
        self.hold: Callable[[int, int, AnyMessage], bool] = lambda sender, rank, message: False
        self.lines: list[str] = []
        self._majority = majority
        self._links: set[tuple[int, int]] = set()
        self._cut: set[tuple[int, int]] = set()
        self._silent: set[int] = set()
        self._wire: deque[tuple[int, int, AnyMessage]] = deque()
        self._waiting: list[tuple[int, int, AnyMessage]] = []

    # -- what a script says

    def start(self, *ranks: int) -> None:
        """Start processes, with what is on their disks."""
        for rank in ranks:
            self._start(self.nodes[rank])
        for rank in ranks:
            for other in self.living():
                if other != rank:
                    self._join(rank, other)
                    self._join(other, rank)

    def serving(self, *ranks: int) -> None:
        """Start them; a view of all serves, and the transcript begins then."""
        self.start(*ranks)
        self.pass_time(1.0)
        assert [self.nodes[rank].role.role for rank in ranks] == ["primary"] + ["follower"] * (len(ranks) - 1)
        self.transcript()

    def kill(self, rank: int, *, silent: bool = False) -> None:
        """End a process; ``silent``: its machine, too, so that nobody is told."""
        self.nodes[rank].core = None
        self.nodes[rank].writes.clear()
        self._wire = deque(one for one in self._wire if rank not in one[:2])
        if silent:
            self._silent.add(rank)
        else:
            self._silent.discard(rank)
            for other in self.living():
                self._break(other, rank)
                self._feed(other, steps.Refused(rank))

    def cut(self, *ways: tuple[int, int]) -> None:
        """Messages from the first to the second of each pair vanish from now on."""
        self._cut.update(ways)

    def part(self, rank: int, *others: int) -> None:
        """Nothing goes between ``rank`` and the others, either way."""
        for other in others:
            self.cut((rank, other), (other, rank))

    def heal(self) -> None:
        """Everything goes through again, over new connections."""
        cut, self._cut = self._cut, set()
        for sender, rank in cut:
            if {sender, rank} <= set(self.living()):
                self._break(sender, rank)
                self._join(sender, rank)

    def commit(self, rank: int, *operations: str) -> None:
        """The shell of a replica asks for a commit."""
        self._feed(rank, steps.Commit([sent(operation) for operation in operations], [(-1, 0)] * len(operations)))
        self.run()

    def hear(self, sender: int, rank: int, message: AnyMessage) -> None:
        """A message arrives, whoever sent it."""
        self._feed(rank, steps.Received(sender, message))
        self.run()

    def release(self) -> None:
        """What was held arrives; nothing is held any more."""
        self.hold = lambda sender, rank, message: False
        waiting, self._waiting = self._waiting, []
        self._wire.extend(waiting)
        self.run()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in ticks."""
        tick = self._tick()
        for _ in range(round(seconds / tick)):
            self.now += tick
            for rank in self.living():
                self._refuse(rank)
                self._feed(rank, steps.Tick())
            self.run()

    def pause(self, rank: int, seconds: float) -> None:
        """Stop a process for a while; what was sent to it meanwhile arrives before anything else does."""
        node = self.nodes[rank]
        node.paused = True
        self.pass_time(seconds)
        node.paused = False
        self.run()

    def run(self) -> None:
        """Let everything happen that needs no time."""
        while self._deliver() or self._write():
            pass

    # -- what it looks at

    def living(self) -> list[int]:
        """The ranks of those whose processes run and are not stopped."""
        return [node.rank for node in self.nodes if node.core is not None and not node.paused]

    def roles(self) -> str:
        """Everybody's role: P, F or -, and x where no process is."""
        return "".join("x" if node.core is None else {"primary": "P", "follower": "F"}.get(node.role.role, "-")
                       for node in self.nodes)  # fmt: skip

    def epoch(self, rank: int) -> Epoch:
        """The epoch in which it serves."""
        view = self.nodes[rank].role.view
        assert view is not None
        return view.epoch

    def transcript(self) -> list[str]:
        """What happened since the last call, but for what goes on all the time."""
        lines, self.lines = self.lines, []
        return lines

    # -- inside

    def _tick(self) -> float:
        return self.timings.heartbeat / steps.TICKS

    def _start(self, node: Node) -> None:
        log = Log()
        for operation in node.operations:
            log.load(operation)
        node.applied, node.role, node.finished, node.counts, node.said = [], steps.Role("", None), [], [], []
        node.core = Core(
            node.rank, len(self.nodes), majority=self._majority, timings=self.timings, log=log, state=node.state,
            now=self.now, wall=lambda: NOON + int(self.now * 1e6), logins=lambda: node.logins,
            merge=Roster(lambda account: account).merged,
        )  # fmt: skip
        self._silent.discard(node.rank)

    def _join(self, sender: int, rank: int) -> None:
        if (sender, rank) not in self._links and (sender, rank) not in self._cut:
            self._links.add((sender, rank))
            self._feed(sender, steps.Connected(rank))

    def _break(self, sender: int, rank: int) -> None:
        self._wire = deque(one for one in self._wire if one[:2] != (sender, rank))
        if (sender, rank) in self._links:
            self._links.discard((sender, rank))
            self._feed(sender, steps.Lost(rank))
        self._links.discard((rank, sender) if self.nodes[rank].core is None else (sender, rank))

    def _refuse(self, rank: int) -> None:
        for node in self.nodes:
            if node.core is None and node.rank not in self._silent:
                self._feed(rank, steps.Refused(node.rank))

    def _feed(self, rank: int, event: steps.Event) -> None:
        node = self.nodes[rank]
        for effect in node.running.step(event, self.now):
            self._carry_out(node, effect)

    def _carry_out(self, node: Node, effect: steps.Effect) -> None:
        match effect:
            case steps.Send():
                self._send(node.rank, effect.rank, effect.message)
            case steps.Abort():
                self.lines.append(f"{node.rank} drops its connection to {effect.rank}")
                self._break(node.rank, effect.rank)
                self._join(node.rank, effect.rank)
            case steps.Store() | steps.Save():
                node.writes.append(effect)
                self.lines.append(f"{node.rank} {_written(effect)}")
            case _:
                self._note(node, effect)

    def _note(self, node: Node, effect: steps.Effect) -> None:
        match effect:
            case steps.Apply():
                node.applied += [operation.id for operation in effect.operations]
            case steps.Finish():
                node.finished.append(effect.outcome)
                node.counts += [effect.replicas] * (not effect.outcome)
                self.lines.append(f"{node.rank} finishes {effect.outcome}".rstrip())
            case steps.Role():
                node.role = effect
                role = f"{effect.role} of {_view(effect.view)}" if effect.view is not None else "in no view"
                self.lines.append(f"{node.rank} is {role}")
            case steps.Entered():
                node.entered.append(effect)
            case steps.Deliver():
                node.delivered.append(effect.message)
            case steps.Say():
                node.said.append(effect)

    def _send(self, sender: int, rank: int, message: AnyMessage) -> None:
        if not isinstance(message, BACKGROUND):
            self.lines.append(f"{sender} → {rank} {_shown(message)}")
        way = sender, rank
        if way not in self._links or way in self._cut or self.lose(sender, rank, message):
            return
        if self.hold(sender, rank, message):
            self._waiting.append((sender, rank, message))
        else:
            self._wire.append((sender, rank, message))

    def _deliver(self) -> bool:
        for place, (sender, rank, message) in enumerate(self._wire):
            if self.nodes[rank].paused:
                continue
            del self._wire[place]
            if self.nodes[rank].core is not None:
                self._feed(rank, steps.Received(sender, message))
            return True
        return False

    def _write(self) -> bool:
        for rank in self.living():
            node = self.nodes[rank]
            if node.writes and not node.stuck:
                self._feed(rank, node.write())
                return True
        return False


def _epoch(epoch: Epoch) -> str:
    return f"{epoch[0]}.{epoch[1]}"


def _view(view: View) -> str:
    return f"{_epoch(view.epoch)}: {' '.join(map(str, view.members))}"


def _ids(operations: object) -> str:
    return " ".join(operation.id for operation in operations)  # type: ignore[attr-defined]


def _written(effect: steps.Store | steps.Save) -> str:
    if isinstance(effect, steps.Store):
        return f"stores {_ids(effect.operations)}"
    view = "nothing" if effect.state.view is None else _view(effect.state.view)
    return f"saves {_epoch(effect.state.promised)} in {view}"


def _shown(message: AnyMessage) -> str:
    name = type(message).__name__
    match message:
        case messages.Install():
            return f"{name} {_view(message.view)}"
        case messages.Append():
            return f"{name} {_epoch(message.epoch)} #{message.number} {_ids(message.operations)}".rstrip()
        case messages.Ack():
            return f"{name} {_epoch(message.epoch)} #{message.number}"
        case messages.Fill():
            return f"{name} {_epoch(message.epoch)} {_ids(message.operations)}"
        case messages.Refusal():
            return f"{name} {_epoch(message.promised)}"
        case messages.Prepare() | messages.Promise() | messages.Installed() | messages.Serving() | messages.Unfit():
            return f"{name} {_epoch(message.epoch)}"
        case messages.TakeOver():
            return f"{name} {_epoch(message.epoch)}"
    return name


def forced(node: "Node") -> bool:
    """Whether its view began without some of those that served last."""
    view = node.running.view
    assert view is not None
    return view.forced
