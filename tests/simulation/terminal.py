"""Somebody at a terminal: a script that waits for replies, or for time to pass."""

from collections.abc import Generator
from typing import TypeAlias

from tests.simulation.timeline import Event, Timeline
from tests.simulation.wire import Wire

Waits: TypeAlias = Generator[tuple[str, float], None, None]  # ("reply" or "sleep", for at most so many seconds)


class Terminal:
    """Runs a script that yields what it waits for."""

    def __init__(self, timeline: Timeline, begin: float) -> None:
        self.timeline = timeline
        self.wire: Wire | None = None
        self.script: Waits | None = None
        self.waits_since = 0.0
        self._wants = ""
        self._resting = False
        self._timer: Event = timeline.after(begin, self._go_on)

    @property
    def waits_for_reply(self) -> bool:
        """Whether it does nothing else."""
        return self._wants == "reply"

    def news(self) -> None:
        """The wire brought something, or broke."""
        if self._wants == "reply" and self.wire is not None and (self.wire.replies or not self.wire.open):
            self._go_on()

    def rest(self) -> None:
        """Do nothing more, and wait for nothing."""
        self._resting = True
        self._wants = ""

    def _go_on(self) -> None:
        self._timer.cancel()
        if self._resting:
            return
        self._wants = ""
        assert self.script is not None
        try:
            self._wants, delay = next(self.script)
        except StopIteration:
            return
        self.waits_since = self.timeline.now
        self._timer = self.timeline.after(delay, self._go_on)
        self.news()
