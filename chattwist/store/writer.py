"""The store in a running server: commits in a thread of their own, compaction in a process of its own."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from chattwist.child import deaf_to, environment
from chattwist.errors import DiskFailed, StoreError
from chattwist.model import AnyOperation
from chattwist.store.files import remove, snapshot_name, temporary_name
from chattwist.store.store import Store
from chattwist.store.worker import Done, Work, Worker

log = Logger()


class Writer:
    """Commits operations to a loaded store, and keeps it compact, without making the reactor wait for the disk."""

    def __init__(self, store: Store, reactor: Any, pause: float = 0.0) -> None:
        """``pause``: seconds from the end of a journal to its compaction.

        Replicas' journals fill at the same time. Where three on one host compact at once, each commit takes three times as
        long meanwhile; where they take turns, about as long as ever.
        """
        self._store = store
        self._reactor = reactor
        self._pause = pause
        self._worker = Worker(reactor)
        self._running = False
        self._tried = store.closed  # the newest journal for which compaction was tried
        self._compaction: Compaction | None = None
        self._turn: IDelayedCall | None = None  # to compact
        self._busy: set[Deferred[None]] = set()

    def start(self) -> None:
        """Begin."""
        self._running = True
        ended: Deferred[None] = Deferred()
        self._worker.start("chattwist-store", lambda: ended.callback(None))
        self._track(ended)

    def commit(self, operations: Sequence[AnyOperation], done: Done) -> None:
        """Append, in the order of the calls; ``done`` is then called once, with None or what Store.append raised."""
        self._do(lambda: self._store.append(operations), done)

    def save(self, data: bytes, done: Done) -> None:
        """Store.save_state, behind what was given before; ``done`` likewise."""
        self._do(lambda: self._store.save_state(data), done)

    def wait(self) -> bool:
        """Wait for a moment for what was given last; whether its ``done`` was called in this."""
        return self._worker.wait()

    def _do(self, work: Work, done: Done) -> None:
        if self._running:
            self._worker.do(work, partial(self._written, done))
        else:
            self._reactor.callFromThread(done, StoreError("the store is closed; nothing was recorded"))

    def stop(self) -> Deferred[None]:
        """Finish the commits that were given, end a compaction, close the store; fires at its end. Call it once."""
        if self._running:
            self._running = False
            self._worker.stop()
            if self._turn is not None:
                self._turn.cancel()
            if self._compaction is not None:
                self._compaction.kill()
        return DeferredList(list(self._busy)).addCallback(lambda _: self._store.close())

    def _written(self, done: Done, failure: BaseException | None) -> None:
        done(failure)
        closed = self._store.closed
        if closed > self._tried and self._running and self._compaction is None and self._turn is None:
            self._tried = closed
            self._turn = self._reactor.callLater(self._pause, self._compact, closed)

    def _compact(self, upto: int) -> None:
        self._turn = None
        self._compaction = compaction = Compaction()
        compaction.ended.addCallback(self._compacted)
        self._track(compaction.ended.addErrback(lambda failure: log.failure("compaction", failure)))
        try:
            compaction.spawn(self._reactor, self._store.disk.path, upto)
        except Exception as error:  # whatever it is, the server goes on without
            compaction.ended.callback(f"it cannot be started: {getattr(error, 'strerror', None) or repr(error)}")

    def _compacted(self, problem: str) -> None:
        assert self._compaction is not None
        leftover, self._compaction = self._compaction.temporary, None
        if not self._running:
            return
        if problem:  # it may have come to a snapshot all the same, but nobody can tell whether that is durable
            log.error("compaction failed, it is tried again later: {problem}", problem=problem)
            self._clean_up(lambda: remove(self._store.disk, [leftover]))
        else:
            self._clean_up(self._remove_covered)

    def _remove_covered(self) -> None:
        try:
            self._store.remove_covered()
        except (OSError, DiskFailed):
            log.failure("old files in {path} could not be removed", path=self._store.disk.path)

    def _clean_up(self, work: Callable[[], None]) -> None:
        ended: Deferred[None] = Deferred()

        def run() -> None:
            try:
                work()
            finally:
                self._reactor.callFromThread(ended.callback, None)

        Thread(target=run, name="chattwist-cleanup", daemon=True).start()
        self._track(ended)

    def _track(self, ended: Deferred[None]) -> None:
        self._busy.add(ended)
        ended.addBoth(lambda _: self._busy.discard(ended))


class Compaction(ProcessProtocol):
    """The process that writes a snapshot; ``ended`` fires with what went wrong, or with the empty string.

    ``temporary`` is the file that it leaves behind if it is killed.
    """

    def __init__(self) -> None:
        self.ended: Deferred[Any] = Deferred()
        self.temporary = ""
        self._said = b""

    def spawn(self, reactor: Any, directory: str, upto: int) -> None:
        """Start it; it finds the modules that this process found, wherever that was started. OSError and others.

        With no working directory of its own, Twisted starts it by posix_spawn: a fork, which copies the page tables, takes
        10 to 40 ms of the reactor's time where 200,000 messages are in memory.
        """
        command = [sys.executable, "-P", "-m", "chattwist.store.snapshot", os.path.abspath(directory), str(upto)]
        with deaf_to(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child = reactor.spawnProcess(self, sys.executable, command, environment())
        self.temporary = temporary_name(snapshot_name(upto), child.pid)

    def kill(self) -> None:
        """End it; all that it did so far is lost."""
        try:
            if self.transport is not None:
                self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def errReceived(self, data: bytes) -> None:
        """Keep the end of what it says."""
        self._said = (self._said + data)[-2000:]

    def processEnded(self, reason: Failure) -> None:
        """Tell how it went."""
        fine = isinstance(reason.value, ProcessDone)
        self.ended.callback("" if fine else self._said.decode(errors="replace").strip() or reason.getErrorMessage())
