"""What the processes that this one starts are given, and what is kept from them; pure."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def environment() -> dict[str, str]:
    """Ours; with it a process finds the modules that this one found, in whatever directory it is started."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def deaf_to(*signals: signal.Signals) -> Iterator[None]:
    """A process started meanwhile never gets these, which a terminal or systemd sends to all: it is for its parent to end it.

    Otherwise it would die, or run the parent's own signal handler between fork and exec, before the parent knows why.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
