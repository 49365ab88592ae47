"""A thread that does one thing after the other for the reactor, which may wait for it for a moment.

Note [Why the reactor waits for the disk]: while a commit is on its way to a quick disk the reactor has little to do, and to
be woken by way of epoll takes nearly as long as the flush. It waits for a moment only, and not for a disk that was slow the
last time: so other replicas are heard, and readers answered, however long one stalls.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from time import perf_counter
from typing import Any

MOMENT = 0.001  # seconds

Done = Callable[[BaseException | None], object]
Work = Callable[[], object]


class Job:
    """Something to do; ``awaited``: the reactor waits for it, and tells of its end itself."""

    __slots__ = ("awaited", "begun", "done", "failure", "is_over", "took", "work")

    def __init__(self, work: Work, done: Done) -> None:
        self.work, self.done = work, done
        self.failure: BaseException | None = None
        self.begun = perf_counter()
        self.took = 0.0  # seconds, until the thread came to it included
        self.is_over = self.awaited = False

    def run(self) -> None:
        """Do it."""
        try:
            self.work()
        except BaseException as error:  # whatever it is, it is for the one who waits for ``done``
            self.failure = error
        self.took = perf_counter() - self.begun


class Worker:
    """The thread."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._latest: Job | None = None
        self._open = 0  # jobs whose end was not told
        self._is_quick = True
        self._over = Condition(Lock())  # guards is_over and awaited of a job

    def start(self, name: str, ended: Callable[[], object]) -> None:
        """Begin; ``ended`` is called in the reactor once it has come to its end."""

        def run() -> None:
            try:
                self._work()
            finally:
                self._reactor.callFromThread(ended)

        Thread(target=run, name=name, daemon=True).start()

    def do(self, work: Work, done: Done) -> None:
        """Do ``work`` behind all that was given before; in the reactor ``done`` is told what it raised, or None: once, later."""
        self._latest = job = Job(work, done)
        self._open += 1
        self._jobs.put(job)

    def stop(self) -> None:
        """Come to an end once all is done that was given."""
        self._jobs.put(None)

    def wait(self) -> bool:
        """Wait for a moment for what was given last, if nothing else is open; whether it is done, and told."""
        job = self._latest
        if job is None or self._open != 1 or not self._is_quick:
            return False
        with self._over:
            if job.is_over:
                return False  # the thread has it told
            job.awaited = True
            self._over.wait(MOMENT)
            job.awaited = False
            is_over = job.is_over  # from here on the thread has it told
        if is_over:
            self._tell(job)
        return is_over

    def _tell(self, job: Job) -> None:
        self._open -= 1
        self._is_quick = job.took < MOMENT
        job.done(job.failure)

    def _work(self) -> None:
        """In the thread."""
        while (job := self._jobs.get()) is not None:
            job.run()
            with self._over:
                job.is_over, awaited = True, job.awaited
                self._over.notify()
            if not awaited:
                self._reactor.callFromThread(self._tell, job)
