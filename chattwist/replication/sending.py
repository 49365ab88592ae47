"""What waits to be sent to one replica: collected, cut into chunks, few of them on their way at a time."""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chattwist.replication import wire

BACKLOG = 16 * 1024 * 1024  # bytes that may wait beside the largest message (R18)
WINDOW = 4 * wire.CHUNK  # bytes on their way: enough to keep a network busy, few enough to be answered in time
TIMEOUT = 5.0  # seconds until a chunk is answered
# seconds in which one chunk asks for an answer, which stands for all before it: each costs as much as a chunk
ASK = 0.1


class Sending:
    """Messages on their way over one connection.

    ``call`` sends a chunk and says whether to answer; it gives a Deferred of that, if so. ``broken`` is
    called, with the reason, when the connection cannot be relied on any more; nothing is sent after that.
    """

    def __init__(
        self,
        clock: IReactorTime,
        call: Callable[[bytes, bool], "Deferred[object] | None"],
        broken: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._call = call
        self._broken = broken
        self._frames: list[bytes] = []
        self._fresh = 0  # bytes of them
        self._chunks: deque[bytes] = deque()
        self._sent: deque[tuple[float, int]] = deque()  # when, and how many bytes
        self._unasked = 0  # how many of them were sent behind the last one that asked
        self._asked: deque[int] = deque()  # for each that asked, how many its answer stands for
        self._asked_at = float("-inf")
        self._on_their_way = 0
        self._waiting = 0  # bytes that are not answered, sent or not
        self._bound = BACKLOG
        self._turn: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._over = False

    def send(self, message: bytes, at_once: bool = False) -> bool:
        """Send a message, ``at_once`` or with the others of this turn of the reactor; False if too much waits: all is over."""
        frame = wire.framed(message)
        self._bound = max(self._bound, BACKLOG + len(frame))
        if self._waiting + len(frame) > self._bound:
            self._give_up(f"it does not take what it is sent: {self._waiting} bytes wait")
        if self._over:
            return False
        self._frames.append(frame)
        self._fresh += len(frame)
        self._waiting += len(frame)
        if at_once or self._fresh >= wire.CHUNK:
            self.flush()
        elif self._turn is None:
            self._turn = self._clock.callLater(0, self._end_turn)
        return True

    def stop(self) -> None:
        """Send nothing more and wait for nothing."""
        self._over = True
        for timer in (self._turn, self._timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._frames.clear()
        self._chunks.clear()

    def _end_turn(self) -> None:
        self._turn = None
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the window allows."""
        while not self._over and self._on_their_way < WINDOW and (self._chunks or self._cut()):
            self._send_chunk(self._chunks.popleft())

    def _cut(self) -> bool:
        if not self._frames:
            return False
        self._chunks.extend(wire.chunks(self._frames))
        self._frames.clear()
        self._fresh = 0
        return True

    def _send_chunk(self, chunk: bytes) -> None:
        now = self._clock.seconds()
        self._sent.append((now, len(chunk)))
        self._on_their_way += len(chunk)
        self._unasked += 1
        if self._timer is None:
            self._timer = self._clock.callLater(ASK, self._look)
        if now - self._asked_at >= ASK or 2 * self._on_their_way > WINDOW:
            self._ask(chunk)
        else:
            self._call(chunk, False)

    def _ask(self, chunk: bytes) -> None:
        self._asked_at = self._clock.seconds()
        self._asked.append(self._unasked)
        self._unasked = 0
        answer = self._call(chunk, True)
        assert answer is not None
        answer.addCallbacks(self._answered, self._failed)

    def _answered(self, _: object) -> None:
        for _ in range(self._asked.popleft()):  # the other side answers in order
            _, size = self._sent.popleft()
            self._on_their_way -= size
            self._waiting -= size
        if self._waiting <= BACKLOG:
            self._bound = BACKLOG
        self.flush()

    def _failed(self, failure: Failure) -> None:
        self._give_up(f"a call failed: {type(failure.value).__name__}")

    def _look(self) -> None:
        """See whether the oldest chunk on its way is late, and have the last one answered: one timer for all of them."""
        self._timer = None
        now = self._clock.seconds()
        if self._sent and now - self._sent[0][0] >= TIMEOUT:
            self._give_up(f"no answer for {TIMEOUT:g} s")
        elif self._unasked and now - self._asked_at >= ASK:
            self._send_chunk(b"")
        elif self._sent:
            left = ASK if self._unasked else self._sent[0][0] + TIMEOUT - now
            self._timer = self._clock.callLater(left, self._look)

    def _give_up(self, why: str) -> None:
        if not self._over:
            self.stop()
            self._broken(why)
