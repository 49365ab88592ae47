"""The thread that works for the reactor: what the reactor may wait for, and who tells."""

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from random import Random
from threading import Event, get_ident
from time import monotonic, sleep
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist.store import worker
from chattwist.store.worker import Worker

LONG = 30.0  # seconds: what is to come at all comes sooner


class Calls:
    """Of a reactor, what a Worker needs: ``turn`` makes the next call that a thread asked for."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[..., object], tuple[object, ...]]] = SimpleQueue()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """See IReactorFromThreads."""
        self._calls.put((call, arguments))

    def turn(self) -> None:
        """Wait for a call, and make it."""
        call, arguments = self._calls.get(timeout=LONG)
        call(*arguments)

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for."""
        return self._calls.empty()


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls, self.told = Calls(), list[Any]()
        self.worker = Worker(self.calls)
        self.worker.start("worker", lambda: self.told.append("ended"))
        self.addCleanup(self.worker.stop)

    def slow(self) -> Event:
        """Give it something that takes until the event is set."""
        event = Event()
        self.worker.do(lambda: event.wait(LONG), self.told.append)
        return event

    def finish(self) -> None:
        """Have the end told of what was given last, while it is waited for or later."""
        if not self.worker.wait():
            self.calls.turn()

    def patient(self) -> None:
        """From now on a moment is long enough for whatever is not made slow on purpose."""
        self.patch(worker, "MOMENT", LONG)

    def until_awaited(self, done: Callable[[object], object]) -> None:
        """Give it something that takes until it is waited for."""

        def work() -> None:
            end = monotonic() + LONG
            while self.worker._latest is None or not self.worker._latest.awaited:
                if monotonic() > end:
                    raise TimeoutError
                sleep(0.001)

        self.worker.do(work, done)

    def test_done_before_it_was_waited_for(self) -> None:
        """What the thread has told of already is told once."""
        self.worker.do(lambda: None, self.told.append)
        end = monotonic() + LONG
        while self.calls.idle and monotonic() < end:
            sleep(0.001)
        self.assertFalse(self.worker.wait())
        self.calls.turn()
        self.assertEqual((self.told, self.calls.idle), ([None], True))

    def test_waited_for(self) -> None:
        """What is done within a moment is told in wait(), by the thread that waits, and not again."""
        self.patient()
        self.until_awaited(lambda failure: self.told.append((failure, get_ident())))
        self.assertEqual(self.worker.wait(), True)
        self.assertEqual(self.told, [(None, get_ident())])
        self.assertEqual((self.worker.wait(), self.calls.idle), (False, True))

    def test_what_is_raised(self) -> None:
        """Whatever is raised is told, and the thread goes on."""
        self.patient()
        for error in KeyError("a bug"), KeyboardInterrupt():
            self.worker.do(_raiser(error), self.told.append)
            self.finish()
        self.worker.do(int, self.told.append)
        self.finish()
        self.assertEqual([type(failure) for failure in self.told], [KeyError, KeyboardInterrupt, type(None)])

    def test_slow(self) -> None:
        """What takes longer is told later; the next is not waited for, until one was quick again."""
        event = self.slow()
        self.assertEqual((self.worker.wait(), self.told), (False, []))
        event.set()
        self.calls.turn()
        self.assertEqual(self.told, [None])
        self.patient()
        self.worker.do(int, self.told.append)
        self.assertEqual((self.worker.wait(), len(self.told)), (False, 1))
        self.calls.turn()
        self.until_awaited(self.told.append)
        self.assertEqual((self.worker.wait(), self.told), (True, [None] * 3))

    def test_several(self) -> None:
        """While others are open, nothing is waited for: each is told in its turn."""
        self.patient()
        event = self.slow()
        self.worker.do(int, lambda failure: self.told.append("second"))
        self.assertEqual((self.worker.wait(), self.told), (False, []))
        event.set()
        self.calls.turn()
        self.calls.turn()
        self.assertEqual(self.told, [None, "second"])

    def test_each_is_told_once(self) -> None:
        """However long something takes, about as long as it is waited for, too: it is told once."""
        random = Random(1)
        for _ in range(300):
            self.worker._is_quick = True
            pause = random.uniform(0.0, 2.0) * worker.MOMENT
            self.worker.do(partial(sleep, pause), self.told.append)
            self.finish()
        self.assertEqual((self.told, self.calls.idle), ([None] * 300, True))

    def test_end(self) -> None:
        """It ends once all is done that was given, and tells so."""
        self.worker.do(int, self.told.append)
        self.worker.stop()
        self.calls.turn()
        self.calls.turn()
        self.assertEqual(self.told, [None, "ended"])


def _raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
