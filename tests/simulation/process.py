"""A process as the operating system sees it: it runs, is stopped and goes on, or ends; and the reactor inside it."""

import math
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled

from tests.simulation.timeline import Event, Timeline

Held = tuple[Callable[..., object], tuple[Any, ...]]


class Process:
    """``post`` brings something in from outside; what comes while it is stopped comes afterwards.

    Each source's events stay in order, but which source is first after a stop is anybody's guess. ``after_each`` is called
    behind every event, ``failed`` with what was raised by one.
    """

    def __init__(self, timeline: Timeline, random: Random, drift: float) -> None:
        """``drift``: how much its monotonic clock runs differently, as a factor."""
        self.timeline, self.random = timeline, random
        self.drift = drift
        self.born = timeline.now
        self.alive = True
        self.ended = math.inf  # when
        self.stopped = False
        self.resumed = timeline.now  # when it started, or went on after a stop
        self.after_each: Callable[[], None] = lambda: None
        self.wall_ahead: Callable[[], float] = lambda: 0.0  # of interest only to those who use it by mistake
        self.failed: Callable[[Exception], None] = lambda error: None
        self._held: dict[str, deque[Held]] = {}

    def post(self, delay: float, source: str, call: Callable[..., object], *arguments: Any) -> Event:
        """Something comes from outside in ``delay`` seconds."""
        return self.timeline.after(delay, self._take, source, call, arguments)

    def _take(self, source: str, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        if self.stopped:
            self._held.setdefault(source, deque()).append((call, arguments))
            return
        try:
            call(*arguments)
        except Exception as error:
            self.failed(error)  # as a reactor, it goes on
        if self.alive:
            self.after_each()

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT: all that came meanwhile is there at once."""
        self.stopped = False
        self.resumed = self.timeline.now
        while self._held and self.alive:
            source = self.random.choice(list(self._held))
            call, arguments = self._held[source].popleft()
            if not self._held[source]:
                del self._held[source]
            self._take(source, call, arguments)

    def end(self) -> None:
        """Nothing happens in it any more."""
        self.alive = False
        self.ended = self.timeline.now
        self._held.clear()

    # -- as a reactor

    def seconds(self) -> float:
        """Its monotonic clock."""
        return 1000.0 + (self.timeline.now - self.born) * self.drift

    def callLater(self, delay: float, call: Callable[..., object], *arguments: Any, **named: Any) -> "DelayedCall":
        """See IReactorTime."""
        return DelayedCall(self, delay, call, arguments, named)


class DelayedCall:
    """See IDelayedCall."""

    __slots__ = ("_arguments", "_call", "_event", "_named", "_process", "_time", "called", "cancelled")

    def __init__(
        self,
        process: Process,
        delay: float,
        call: Callable[..., object],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self.called = self.cancelled = False
        self._process, self._call, self._arguments, self._named = process, call, arguments, named
        self._plan(delay)

    def _plan(self, delay: float) -> None:
        self._time = self._process.seconds() + delay
        self._event = self._process.post(max(0.0, delay) / self._process.drift, "timer", self._run)

    def _run(self) -> None:
        if not (self.called or self.cancelled):  # it may have waited with a stopped process
            self.called = True
            self._call(*self._arguments, **self._named)

    def getTime(self) -> float:
        """When it is due."""
        return self._time

    def active(self) -> bool:
        """Whether it is still to come."""
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        """It does not come."""
        self._check()
        self.cancelled = True
        self._event.cancel()

    def reset(self, delay: float) -> None:
        """It comes ``delay`` seconds from now instead."""
        self._check()
        self._event.cancel()
        self._plan(delay)

    def delay(self, delay: float) -> None:
        """It comes that much later."""
        self.reset(self._time + delay - self._process.seconds())

    def _check(self) -> None:
        if self.called:
            raise AlreadyCalled
        if self.cancelled:
            raise AlreadyCancelled
