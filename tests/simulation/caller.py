"""Somebody who connects to replicas, says a line and waits for the reply."""

from collections.abc import Callable, Generator
from random import Random

from tests.simulation.attempts import Sitting
from tests.simulation.terminal import Terminal
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Reply, Wire

LONGEST = 25.0  # seconds in which a replica that runs answers everything


class Caller(Terminal):
    """``asked`` is the last line that it said; ``sitting`` its login, while it has one."""

    def __init__(
        self, timeline: Timeline, random: Random, within: float, name: str, dial: Callable[[int], Wire | None],
        violated: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        """For the arguments see User."""
        super().__init__(timeline, random.random() * within)
        self.name, self.random = name, random
        self.patience = random.choice([2.0, 5.0, 9.0, LONGEST])
        self.asked = ""
        self.sitting: Sitting | None = None
        self._dial, self._violated = dial, violated

    def _connect(self, rank: int) -> Generator[tuple[str, float], None, bool]:
        self._leave()
        self.asked = ""
        self.wire = self._dial(rank)
        if self.wire is None:
            yield "sleep", 0.05 + self.random.random() * 0.3
            return False
        greeting = yield from self._reply(self.patience)
        return greeting is not None and greeting.code == 220

    def _leave(self) -> None:
        if self.wire is not None:
            self.wire.leave(self.random.random() < 0.7)
        self._end_sitting()
        self.wire = None

    def _end_sitting(self) -> None:
        if self.sitting is not None:
            self.sitting.ended = self.timeline.now
            self.sitting = None

    def _reply(self, patience: float) -> Generator[tuple[str, float], None, Reply | None]:
        wire = self.wire
        if wire is not None and not wire.replies and wire.open:
            yield "reply", patience
        if wire is None:
            return None
        if wire.open and not wire.replies and patience == LONGEST and wire.waited(LONGEST):
            self._violated("every command gets its reply", f"{self.name} has waited for {LONGEST} s")
        for event in wire.events:
            if event.startswith("* BYE"):
                self._end_sitting()
        wire.events.clear()
        return wire.replies.pop(0) if wire.replies else None

    def _say(self, line: str) -> Generator[tuple[str, float], None, Reply | None]:
        assert self.wire is not None
        self.asked = line
        self.wire.send(line)
        return (yield from self._reply(self.patience))
