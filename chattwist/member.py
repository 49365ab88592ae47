"""One replica's place in the cluster: feeds the core with what happens, and carries out what it decides."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from chattwist import errors, model, remembered
from chattwist.replication import steps
from chattwist.replication.core import Core
from chattwist.replication.messages import AnyMessage, Bundle, Failure, Forward, Login, Result, View, decode, encode
from chattwist.replication.wire import WireError
from chattwist.requests import Tag

MOST_BUNDLED = 500  # messages

Done = Callable[[BaseException | None], None]
Finished = Callable[[BaseException | None, int], None]


class Writer(Protocol):
    """The disk: does one thing after the other, and says so with None, errors.DiskFull or errors.DiskFailed."""

    def commit(self, operations: Sequence[model.AnyOperation], done: Done) -> None:
        """Make operations durable."""

    def save(self, data: bytes, done: Done) -> None:
        """Make ``data`` durable in the place of what was saved before."""

    def wait(self) -> bool:
        """Wait for a moment for what was given last; whether its ``done`` was called in this."""


class Channel(Protocol):
    """The way to the other replicas."""

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        """Send; False, and nothing sent, while there is no connection. ``at_once``: not at the end of the reactor's turn."""

    def abort(self, rank: int) -> None:
        """Drop the connection, and all that waits in it."""


class Side(Protocol):
    """What the cluster is for: the chat, and those who use it."""

    def applied(self, operations: Sequence[model.AnyOperation], tags: Sequence[Tag]) -> None:
        """These are durable here; ``tags`` as in the message Append, or empty."""

    def role(self, role: str, view: View | None) -> None:
        """From now on ``primary`` or ``follower`` in the view, or neither."""

    def entered(self, view: View, logins: Sequence[Login], over: Sequence[str]) -> None:
        """A view begins with these sessions; those whose ids are in ``over`` have to end."""

    def connected(self, rank: int) -> None:
        """Messages to another replica go out again; some that were sent before may be lost."""

    def deliver(self, rank: int, message: AnyMessage) -> None:
        """Another replica says something that is not for the core."""


class NoChannel:
    """For a cluster of one."""

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        """Nobody is there."""
        return False

    def abort(self, rank: int) -> None:
        """Nothing to drop."""


class Member:
    """The shell of the core: the channel's Listener, and the Journal of Commits."""

    log = Logger()

    def __init__(
        self, core: Core, side: Side, writer: Writer, reactor: IReactorTime, failed: Callable[[BaseException], None],
        replicas: Sequence[str],
    ) -> None:  # fmt: skip
        """``failed`` is told that the disk, or the core itself, is broken: the process has to end.

        ``replicas``: what they are called, by rank.
        """
        self._core, self._side, self._writer, self._reactor, self._failed = core, side, writer, reactor, failed
        self._channel: Channel = NoChannel()
        self._events: deque[steps.Event] = deque()
        self._busy = self._stopped = False
        self._broken: BaseException | None = None
        self._done: Finished | None = None
        self._full = errors.DiskFull("no room")
        self._encoded: tuple[AnyMessage | None, bytes] = None, b""
        self._bundles: dict[int, list[Forward | Result | Failure]] = {}
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor
        self._effects: dict[type, Callable[[Any], object]] = {
            steps.Send: self._send_now,
            steps.Abort: lambda effect: self._channel.abort(effect.rank),
            steps.Store: lambda effect: self._writer.commit(effect.operations, self._written),
            steps.Save: lambda effect: self._writer.save(remembered.encode(effect.state, replicas), self._written),
            steps.Apply: lambda effect: self._side.applied(effect.operations, effect.tags),
            steps.Finish: self._finish,
            steps.Role: lambda effect: self._side.role(effect.role, effect.view),
            steps.Entered: lambda effect: self._side.entered(effect.view, effect.logins, effect.over),
            steps.Deliver: lambda effect: self._side.deliver(effect.rank, effect.message),
            steps.Say: self._say,
        }

    def start(self, channel: Channel) -> None:
        """Begin; the channel tells this object what it hears."""
        self._channel = channel
        self._ticks.start(self._core.heartbeat / steps.TICKS)

    def stop(self) -> None:
        """Take nothing in and say nothing more, but for what was to be said in this turn already."""
        self._stopped = True
        for rank in list(self._bundles) if self._broken is None else ():
            self._send_bundle(rank)
        if self._ticks.running:
            self._ticks.stop()

    # -- what happens

    def _tick(self) -> None:
        self._feed(steps.Tick())

    def connected(self, rank: int) -> None:
        """See the channel's Listener."""
        self._feed(steps.Connected(rank))
        self._side.connected(rank)

    def lost(self, rank: int) -> None:
        """See the channel's Listener."""
        self._feed(steps.Lost(rank))

    def refused(self, rank: int) -> None:
        """See the channel's Listener."""
        self._feed(steps.Refused(rank))

    def received(self, rank: int, message: bytes) -> None:
        """See the channel's Listener."""
        try:
            decoded = decode(message)
        except ValueError as error:
            raise WireError(str(error)) from None
        self._feed(steps.Received(rank, decoded))

    def commit(self, operations: Sequence[model.AnyOperation], tags: Sequence[Tag], done: Finished) -> None:
        """See commits.Journal."""
        if self._broken is not None:
            return done(self._broken, 0)
        self._done = done
        self._feed(steps.Commit(operations, tags))

    def _written(self, failure: BaseException | None) -> None:
        if failure is None or isinstance(failure, errors.DiskFull):
            self._full = failure or self._full
            self._feed(steps.Written(full=failure is not None))
            return
        self._break(failure)

    def _break(self, failure: BaseException) -> None:
        """The disk or the core is broken: nothing that it thinks can be relied on, and the process has to end (R9)."""
        if self._broken is None and not self._stopped:
            self._broken = failure
            self.stop()
            self._end_commit(failure, 0)
            self._failed(failure)

    def _feed(self, event: steps.Event) -> None:
        """Take one event after the other, also those that come of effects, and what the disk brings within a moment."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        while not self._stopped:
            if self._events:
                self._step(self._events.popleft())
            elif not self._writer.wait():
                break
        self._busy = False

    def _step(self, event: steps.Event) -> None:
        try:
            effects = self._core.step(event, self._reactor.seconds())
        except Exception as error:  # what it thinks it knows may be wrong now: it has to begin anew from the disk
            self.log.failure("the replication failed at {event}", event=type(event).__name__)
            return self._break(error)
        for effect in effects:
            try:
                self._effects[type(effect)](effect)
            except Exception:
                self.log.failure("{effect} failed", effect=type(effect).__name__)

    # -- what is to be done

    def send(self, rank: int, message: AnyMessage) -> None:
        """Send a message, at the end of this turn; what cannot be sent is lost, as if the connection broke a little later."""
        if not isinstance(message, Forward | Result | Failure):
            return self._send(rank, message)
        bundle = self._bundles.get(rank)
        if bundle is None:
            bundle = self._bundles[rank] = []
            self._reactor.callLater(0, self._send_bundle, rank)
        bundle.append(message)
        if len(bundle) == MOST_BUNDLED:
            self._send_bundle(rank)

    def _send_bundle(self, rank: int) -> None:
        bundle = self._bundles.pop(rank, None)
        if bundle is not None:
            self._channel.send(rank, encode(Bundle(bundle)), at_once=True)

    def _send(self, rank: int, message: AnyMessage, at_once: bool = False) -> None:
        self._send_bundle(rank)  # all arrives in the order in which it was sent
        if message is not self._encoded[0]:  # what goes to all is encoded once
            self._encoded = message, encode(message)
        self._channel.send(rank, self._encoded[1], at_once)

    def _send_now(self, effect: steps.Send) -> None:
        """A commit waits for it, and one turn of the reactor takes as long as all that clients have sent meanwhile."""
        self._send(effect.rank, effect.message, at_once=True)

    def _finish(self, effect: steps.Finish) -> None:
        outcomes = {"": None, "full": self._full, "refused": errors.NotBegun(), "unknown": errors.Unsettled()}
        self._end_commit(outcomes[effect.outcome], effect.replicas)

    def _end_commit(self, failure: BaseException | None, replicas: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(failure, replicas)

    def _say(self, effect: steps.Say) -> None:
        (self.log.warn if effect.loud else self.log.info)("{text}", text=effect.text)
