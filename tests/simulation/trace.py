"""What happened, one line an event: time, replica, event, effects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from chattwist.replication import messages, steps
from chattwist.replication.core import Core

Tell = Callable[[str], None]
LONGEST = 1500  # characters of one value


def short(value: object) -> str:
    """A value without what is the same in all."""
    text = repr(value).replace("messages.", "").replace("model.", "")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_dull(value: object) -> bool:
    """Whether it comes so often that nobody wants to read it."""
    if isinstance(value, steps.Tick):
        return True
    return isinstance(value, steps.Received | steps.Send) and isinstance(value.message, messages.Heartbeat)


@contextmanager
def told(note: Tell) -> Iterator[None]:
    """Tell of each step of each core that is not dull."""
    step = Core.step

    def telling(core: Core, event: steps.Event, now: float) -> list[steps.Effect]:
        effects = step(core, event, now)
        shown: list[Any] = [effect for effect in effects if not is_dull(effect)]
        if shown or not is_dull(event):
            note(f"{core.own.rank} {short(event)}" + "".join(f"\n           -> {short(effect)}" for effect in shown))
        return effects

    with patch.object(Core, "step", telling):
        yield
