"""What the channel tells the one that it is for."""

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from chattwist.replication.wire import WireError


class Listener(Protocol):
    """Told of the other replicas, each by its rank. Calls come from the reactor, never from inside a call to the channel."""

    def connected(self, rank: int) -> None:
        """Our connection to that replica is up: messages may be sent."""

    def lost(self, rank: int) -> None:
        """Our connection to it is gone; what was sent and not taken may be lost."""

    def refused(self, rank: int) -> None:
        """A connection attempt was refused at once (ECONNREFUSED): no process is there."""

    def received(self, rank: int, message: bytes) -> None:
        """A whole message arrived, in the order of sending; WireError if it is none: its connection ends."""


class Heard:
    """A listener whose errors are logged here and go no further, and that is told nothing more once it is ``deaf``."""

    log = Logger(namespace="chattwist.replication.channel")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.deaf = False

    def connected(self, rank: int) -> None:
        self._tell(self._listener.connected, rank)

    def lost(self, rank: int) -> None:
        self._tell(self._listener.lost, rank)

    def refused(self, rank: int) -> None:
        self._tell(self._listener.refused, rank)

    def received(self, rank: int, message: bytes) -> None:
        self._tell(self._listener.received, rank, message)

    def _tell(self, call: Callable[..., None], rank: int, *message: bytes) -> None:
        if not self.deaf:
            try:
                call(rank, *message)
            except WireError:
                raise
            except Exception:
                self.log.failure("news of the channel to replica {rank} could not be taken", rank=rank)
