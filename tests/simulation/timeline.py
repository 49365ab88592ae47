"""Simulated time: what happens when, in one queue; and the clock of a process, which may run a little differently."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Event:
    """Something that will happen."""

    __slots__ = ("arguments", "call", "when")

    def __init__(self, when: float, call: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
        self.when, self.call, self.arguments = when, call, arguments

    def cancel(self) -> None:
        """It will not happen."""
        self.call = None


class Timeline:
    """``now`` is in seconds since the beginning; events at one moment happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0

    def after(self, delay: float, call: Callable[..., object], *arguments: Any) -> Event:
        """Plan a call ``delay`` seconds from now."""
        event = Event(self.now + delay, call, arguments)
        self._count += 1
        heappush(self._events, (event.when, self._count, event))
        return event

    def run(self, until: float) -> None:
        """Let happen what is planned up to that time."""
        events = self._events
        while events and events[0][0] <= until:
            when, _, event = heappop(events)
            if event.call is not None:
                self.now = when
                call, event.call = event.call, None
                call(*event.arguments)
        self.now = until
