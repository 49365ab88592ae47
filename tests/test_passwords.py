"""Password hashes."""

import os
from threading import Event

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase, TestCase

from chattwist.errors import TryLater
from chattwist.passwords import NICENESS, PasswordThreads, hash_password, is_right, nobodys_hash


class HashTests(SynchronousTestCase):
    """What is kept of a password."""

    def test_every_byte_counts(self) -> None:
        """Long passwords and those with zero bytes are told apart, though bcrypt alone would not."""
        for password, other in (
            ("x" * 100, "x" * 99 + "y"),
            ("a\0b-secret", "a\0c-secret"),
            ("пароль-好👋", "пароль-好👌"),
        ):
            hashed = hash_password(password, 4)
            self.assertTrue(is_right(password, hashed))
            self.assertFalse(is_right(other, hashed))

    def test_nobodys_hash(self) -> None:
        """What a wrong name is checked against is a hash of the same cost, which no password has."""
        self.assertEqual(nobodys_hash(5)[:7], hash_password("password", 5)[:7])
        self.assertFalse(is_right("password", nobodys_hash(4)))


class ThreadTests(TestCase):
    """Where hashes are made."""

    def test_bounded(self) -> Deferred[None]:
        """Only so many wait; one too many is told to try later, and there is room again afterwards."""
        threads = PasswordThreads(IReactorFromThreads(reactor), 1)
        self.addCleanup(threads.stop)
        go = Event()
        running = [threads.run(go.wait, 30) for _ in range(3)]
        self.assertRaises(TryLater, threads.run, go.wait, 30)
        go.set()
        return gatherResults(running).addCallback(lambda _: threads.run(str, 1)).addCallback(self.assertEqual, "1")

    def test_bounded_in_all(self) -> None:
        """Of one address half as many wait as may wait in all, however many addresses there are."""
        threads = PasswordThreads(IReactorFromThreads(reactor), 4)
        self.addCleanup(threads.stop)
        go = Event()
        self.addCleanup(go.set)
        for source in "aabbccdd":
            try:
                threads.run(go.wait, 30, source=source)
            except TryLater:
                self.assertEqual(source, "d")
        self.assertEqual((len(threads._urgent), threads._urgent.of("d")), (4, 0))

    def test_gives_way(self) -> Deferred[None]:
        """Hashes are made at a low priority, so that the chat goes on beside them."""
        threads = PasswordThreads(IReactorFromThreads(reactor), 1)
        self.addCleanup(threads.stop)
        return threads.run(os.getpriority, os.PRIO_PROCESS, 0).addCallback(self.assertEqual, NICENESS)

    def one_at_a_time(self) -> tuple[PasswordThreads, Event]:
        """Threads of which only one does something, and only once the event is set: so there is an order."""
        threads = PasswordThreads(IReactorFromThreads(reactor), 10)
        go, end = Event(), Event()
        for event in go, end:
            threads.run(event.wait, 30)
            self.addCleanup(event.set)
        self.addCleanup(threads.stop)
        return threads, go

    def test_logins_go_first(self) -> Deferred[None]:
        """However many new accounts wait for their hashes, a login's comes next."""
        threads, go = self.one_at_a_time()
        order = list[str]()
        waiting = [threads.run(order.append, "new", patient=True) for _ in range(5)]
        waiting.append(threads.run(order.append, "login"))
        go.set()
        return gatherResults(waiting).addCallback(lambda _: self.assertEqual(order, ["login"] + ["new"] * 5))

    def test_addresses_take_turns(self) -> Deferred[None]:
        """However many logins one address sends: those of another need not wait for them, and find room."""
        threads, go = self.one_at_a_time()
        order = list[str]()
        waiting = [threads.run(order.append, "flood", source="here") for _ in range(5)]
        self.assertRaises(TryLater, threads.run, order.append, "flood", source="here")
        waiting += [threads.run(order.append, "login", source="there") for _ in range(2)]
        go.set()
        turns = ["flood", "login"] * 2 + ["flood"] * 3
        return gatherResults(waiting).addCallback(lambda _: self.assertEqual(order, turns))

    def test_errors(self) -> Deferred[None]:
        """A failure in the thread is the caller's."""
        threads = PasswordThreads(IReactorFromThreads(reactor), 1)
        self.addCleanup(threads.stop)

        def fail() -> None:
            raise ValueError

        return self.assertFailure(threads.run(fail), ValueError)
