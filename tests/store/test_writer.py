"""The store in a running server."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from chattwist.errors import DiskFailed, StoreError
from chattwist.model import AnyOperation
from chattwist.store.disk import Disk
from chattwist.store.files import layout
from chattwist.store.snapshot import compact
from chattwist.store.store import Store
from chattwist.store.writer import Compaction, Writer
from tests.store.memory import MemoryDisk, PowerLoss
from tests.store.samples import loaded, message, messages, started

FAILS = """#!/bin/sh
name="$4/snapshot-$(printf %06d $5).jsonl.tmp-$$"
echo half >"$name"
ls "$name" >&2
exit 1
"""  # instead of python, for a compaction; it says what it leaves behind


class WriterTests(TestCase):
    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self.store = started(Disk(self.directory), journal_size=2000)
        self.writer = Writer(self.store, reactor)
        self.writer.start()
        self.addCleanup(lambda: self.writer.stop() if self.writer._running else None)

    def commit(self, operations: Sequence[AnyOperation]) -> Deferred[None]:
        """Commit; the Deferred would break if it were fired twice."""
        done: Deferred[None] = Deferred()
        self.writer.commit(operations, lambda error: done.callback(None) if error is None else done.errback(error))
        return done

    def until(self, condition: Callable[[], object]) -> Deferred[None]:
        """Fires once the condition holds; trial's own timeout ends a test for which it never does."""
        reached: Deferred[None] = Deferred()

        def look() -> None:
            if condition():
                reached.callback(None)
            else:
                reactor.callLater(0.01, look)

        look()
        return reached

    async def test_commits_in_order(self) -> None:
        """Commits are done in the order in which they were given, each told once, in the reactor's thread."""
        order: list[int] = []
        threads = set()

        def done(number: int) -> Callable[[BaseException | None], None]:
            def note(error: BaseException | None) -> None:
                self.assertIsNone(error)
                order.append(number)
                threads.add(threading.current_thread())

            return note

        for operation in messages(50):
            self.writer.commit([operation], done(operation.at))
        await self.commit([message(51)])
        self.assertEqual((order, threads), (list(range(1, 51)), {threading.current_thread()}))
        await self.writer.stop()
        self.assertEqual(loaded(Disk(self.directory)), messages(51))

    async def test_errors_are_handed_on(self) -> None:
        """Whatever goes wrong with one commit, a bug too, is told to the one who waits; the next ones go on."""
        for error in (DiskFailed("broken"), TypeError("a bug"), KeyboardInterrupt()):
            failing = self.patch(self.store, "append", _raiser(error))
            with self.assertRaises(type(error)):
                await self.commit([message(1)])
            failing.restore()
            await self.commit([message(2)])

    async def test_stop_finishes_what_was_given(self) -> None:
        """Stopping waits for all commits that were given, and frees the directory; what comes later is refused."""
        results: list[object] = []
        for operation in messages(20):
            self.writer.commit([operation], results.append)
        await self.writer.stop()
        self.assertEqual(results, [None] * 20)
        self.assertEqual(loaded(Disk(self.directory)), messages(20))
        with self.assertRaises(StoreError):
            await self.commit([message(21)])
        self.assertEqual(loaded(Disk(self.directory)), messages(20))

    async def test_compaction(self) -> None:
        """After a rotation the closed journals become a snapshot, wherever the process is, and nothing is lost."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir("/")
        for operation in messages(30):
            await self.commit([operation])
        await self.until(lambda: layout(self.names()).snapshot and not layout(self.names()).covered)
        await self.writer.stop()
        self.assertEqual(loaded(Disk(self.directory)), messages(30))

    def names(self) -> list[str]:
        """The files."""
        return os.listdir(self.directory)

    async def test_failed_compaction(self) -> None:
        """A compaction that fails is told in the log, harms nothing, and is tried again after the next rotation."""
        damaged = os.path.join(self.directory, "journal-000001.jsonl")
        with capturedLogs() as events:
            for operation in messages(5):
                await self.commit([operation])
            with open(damaged, "rb+") as file:
                file.truncate(os.path.getsize(damaged) - 3)
            number = 6
            while len(failures := [event for event in events if event["log_level"] == LogLevel.error]) < 2:
                await self.commit([message(number)])
                number += 1
        first = failures[0]
        self.assertIn("compaction failed", first["log_format"])
        self.assertIn("journal-000001.jsonl", first["problem"])
        self.assertEqual([name for name in self.names() if name.startswith("snapshot")], [])
        await self.commit([message(99)])

    async def test_leftovers_of_a_compaction(self) -> None:
        """What one that failed had written, as much as all the data may be, is taken away while the server runs."""
        script = os.path.join(self.path_of_a_directory(), "python")
        with open(script, "w") as file:
            file.write(FAILS)
        os.chmod(script, 0o700)
        self.patch(sys, "executable", script)
        with capturedLogs() as events:
            for operation in messages(30):
                await self.commit([operation])
            await self.until(lambda: [event for event in events if event["log_level"] == LogLevel.error])
            await self.writer.stop()
        left = [event["problem"] for event in events if event["log_level"] == LogLevel.error]
        self.assertTrue(all(name.startswith(f"{self.directory}/snapshot-") for name in left), left)
        self.assertEqual([name for name in left if os.path.exists(name)], [])

    async def test_compaction_killed_at_its_end(self) -> None:
        """A snapshot whose process did not say that it is durable replaces nothing; the next one does."""
        killed = self.patch(Compaction, "spawn", _compact_and_fail)
        with capturedLogs() as events:
            for operation in messages(30):
                await self.commit([operation])
            await self.until(lambda: len(self.writer._busy) == 1)  # only the thread that commits
        self.assertTrue([event for event in events if event.get("problem") == "killed"])
        self.assertIn("journal-000001.jsonl", layout(self.names()).covered)
        killed.restore()
        number = 31
        while layout(self.names()).covered:
            await self.commit([message(number)])
            number += 1
        await self.writer.stop()
        self.assertEqual(loaded(Disk(self.directory)), messages(number - 1))

    async def test_old_files_cannot_be_removed(self) -> None:
        """When the disk fails while old files are to go, that is logged."""
        self.patch(Store, "remove_covered", _raiser(DiskFailed("fsync: broken")))
        with capturedLogs() as events:
            for operation in messages(30):
                await self.commit([operation])
            await self.until(lambda: [event for event in events if "could not be" in (event.get("log_format") or "")])
        self.assertEqual(len(self.flushLoggedErrors(DiskFailed)), 1)

    async def test_cannot_start_a_compaction(self) -> None:
        """Without the means to start a process, commits go on."""
        self.patch(reactor, "spawnProcess", _raiser(OSError(11, "Resource temporarily unavailable")))
        with capturedLogs() as events:
            for operation in messages(30):
                await self.commit([operation])
        problems = [event["problem"] for event in events if event["log_level"] == LogLevel.error]
        self.assertIn("it cannot be started: Resource temporarily unavailable", problems)

    async def test_nowhere_to_start_a_compaction_from(self) -> None:
        """With the process's working directory removed, commits are answered as ever, and the log tells the trouble."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(elsewhere := self.path_of_a_directory())
        os.rmdir(elsewhere)
        self.patch(sys, "path", ["", *sys.path])
        with capturedLogs() as events:
            for operation in messages(30):
                await self.commit([operation])
        problems = [event["problem"] for event in events if event["log_level"] == LogLevel.error]
        self.assertIn("it cannot be started: No such file or directory", problems)

    def path_of_a_directory(self) -> str:
        """A new directory."""
        path: str = os.path.abspath(self.mktemp())
        os.mkdir(path)
        return path

    async def test_answered_before_compaction(self) -> None:
        """A commit is answered whatever becomes of the compaction that it brings about."""
        self.patch(Compaction, "spawn", _raiser(TypeError("a bug")))
        for operation in messages(30):
            await self.commit([operation])
        await self.writer.stop()
        self.assertEqual(loaded(Disk(self.directory)), messages(30))

    async def test_compaction_in_turn(self) -> None:
        """A compaction can be made to wait, for those of other replicas; stopping doesn't wait for it."""
        await self.writer.stop()
        for closed in range(2):
            store = Store.open(Disk(self.directory), journal_size=2000)
            before = list(store.load())
            self.writer = Writer(store, LaterByClock(clock := Clock()), pause=10)
            self.writer.start()
            for operation in messages(len(before) + 60)[len(before) :]:
                await self.commit([operation])
            clock.advance(9.9)
            self.assertEqual((len(clock.calls), self.writer._compaction), (1, None))
            if closed == 0:
                await self.writer.stop()
                self.assertEqual(clock.calls, [])
        clock.advance(0.1)
        await self.until(lambda: layout(self.names()).snapshot and not layout(self.names()).covered)

    async def test_stop_ends_a_compaction(self) -> None:
        """Stopping doesn't wait for a compaction to be done; its leftovers are taken away at the next start."""
        self.patch(Compaction, "spawn", _spawn_sleeper)
        for operation in messages(30):
            await self.commit([operation])
        self.assertIsNotNone(self.writer._compaction)
        await self.writer.stop()
        self.assertEqual(loaded(Disk(self.directory)), messages(30))


class LaterByClock:
    """The reactor, but what is to happen later happens when ``clock`` says so."""

    def __init__(self, clock: Clock) -> None:
        self.callLater = clock.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def _raiser(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def _spawn_sleeper(self: Compaction, reactor: Any, directory: str, upto: int) -> None:
    reactor.spawnProcess(self, "/bin/sleep", ["sleep", "1000"])


def _compact_and_fail(self: Compaction, reactor: Any, directory: str, upto: int) -> None:
    compact(Disk(directory), upto, now=0)
    self.ended.callback("killed")


class FakeReactor:
    """Starts nothing; ``deaf``: what would not reach the process that it was to start."""

    pid = 1

    def spawnProcess(self, *arguments: object) -> "FakeReactor":
        """See IReactorProcess."""
        self.deaf = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return self


class CompactionTests(SynchronousTestCase):
    def test_deaf_to_signals(self) -> None:
        """What a terminal or systemd sends to all ends no compaction: the server does, and knows that it did."""
        sent_to_all = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        fake = FakeReactor()
        Compaction().spawn(fake, self.mktemp(), 1)
        self.assertLessEqual(sent_to_all, fake.deaf)
        self.assertEqual(sent_to_all & signal.pthread_sigmask(signal.SIG_BLOCK, []), set())


class CoveredTests(SynchronousTestCase):
    def test_nothing_goes_before_the_snapshot_is_durable(self) -> None:
        """When the directory's fsync fails, all files stay, and nothing more is recorded: the disk has failed."""
        store = started(disk := MemoryDisk(), journal_size=400)
        for operation in messages(10):
            store.append([operation])
        compact(disk, store.closed, now=0)
        before = disk.everything()
        disk.faults[len(disk.calls) + 1] = errno.EIO
        self.assertRaises(DiskFailed, store.remove_covered)
        self.assertEqual(disk.everything(), before)
        self.assertRaises(DiskFailed, store.append, [message(11)])

    def test_power_lost_after_a_rename(self) -> None:
        """A snapshot that was given its name, but not durably, loses nothing when it is cleaned up behind it."""
        for seed in range(20):
            store = started(disk := MemoryDisk(), journal_size=400)
            for operation in messages(10):
                store.append([operation])
            disk.crash_at = _calls_to_compact(store.closed)
            self.assertRaises(PowerLoss, compact, disk, store.closed, 0)
            disk.crash_at = 0
            store.remove_covered()
            self.assertEqual(loaded(disk.after_power_loss(seed)), messages(10))


def _calls_to_compact(upto: int) -> int:
    """At which call of such a disk's life the snapshot's directory is made durable."""
    store = started(disk := MemoryDisk(), journal_size=400)
    for operation in messages(10):
        store.append([operation])
    compact(disk, upto, now=0)
    return len(disk.calls)


class ThreadTests(TestCase):
    async def test_slow_disk(self) -> None:
        """While the disk works, the reactor goes on."""
        store = started(Disk(self.mktemp()))
        writer = Writer(store, reactor)
        writer.start()
        ready = threading.Event()
        append = store.append
        self.patch(Store, "append", lambda _, operations: (ready.wait(), append(operations)))
        done: Deferred[object] = Deferred()
        writer.commit([message(1)], done.callback)
        reactor.callLater(0, ready.set)  # the disk is waiting for the reactor
        self.assertIsNone(await done)
        await writer.stop()
