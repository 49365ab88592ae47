"""Password hashes: bcrypt over a SHA-256 of the password, in threads of their own.

bcrypt takes 72 bytes at most and stops at a zero byte, so that it gets the digest in base64: 44 bytes of the password's whole.
"""

import base64
import hashlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import bcrypt
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from chattwist.errors import TryLater

T = TypeVar("T")
Work: TypeAlias = Callable[[], None]

THREADS = 2
NICENESS = 10  # hashing gives way to the chat


def hash_password(password: str, cost: int) -> str:
    """The hash to keep; takes 2 to the power of ``cost`` steps, about 0.25 s for 12."""
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(cost)).decode("ascii")


def is_right(password: str, hashed: str) -> bool:
    """Whether the hash is the password's; takes as long as making it did."""
    return bcrypt.checkpw(_digest(password), hashed.encode("ascii"))


def nobodys_hash(cost: int) -> str:
    """A hash that no password has, so that a wrong name takes the time of a wrong password."""
    return f"$2b${cost:02}${'.' * 53}"


def _digest(password: str) -> bytes:
    return base64.b64encode(hashlib.sha256(password.encode("utf-8")).digest())


class Turns:
    """What waits for a thread: each source has its turn, however much another one brings."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[str, deque[Work]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, source: str) -> int:
        """How much of one source waits."""
        return len(self._by_source.get(source, ()))

    def add(self, source: str, work: Work) -> None:
        """Let it wait, behind what the same source brought before."""
        self._by_source.setdefault(source, deque()).append(work)
        self._count += 1

    def pop(self) -> Work:
        """Take what is next."""
        source, works = self._by_source.popitem(last=False)
        work = works.popleft()
        if works:
            self._by_source[source] = works
        self._count -= 1
        return work


class PasswordThreads:
    """Runs hashes off the reactor's thread; at most ``waiting`` of each kind wait for their turn, half of them of one source.

    Those of new accounts are ``patient``: all others go first, so that whoever floods REGISTER keeps nobody from logging in.
    """

    def __init__(self, reactor: IReactorFromThreads, waiting: int) -> None:
        self._reactor = reactor
        self._most = waiting
        self._free = THREADS
        self._urgent, self._patient = Turns(), Turns()
        self._threads = ThreadPoolExecutor(THREADS, "passwords", initializer=_give_way)

    def run(
        self, function: Callable[..., T], *arguments: object, patient: bool = False, source: str = ""
    ) -> Deferred[T]:
        """Call ``function`` in a thread; errors.TryLater where too many wait already. ``source``: the client's address."""
        waiting = self._patient if patient else self._urgent
        if len(waiting) >= self._most or waiting.of(source) >= self._most / 2:
            raise TryLater("too many logins at once; try again in a few seconds")
        result: Deferred[T] = Deferred()

        def work() -> None:
            try:
                value = function(*arguments)
            except BaseException as error:  # a panic in bcrypt's Rust is no Exception
                self._reactor.callFromThread(self._done, result.errback, error)
            else:
                self._reactor.callFromThread(self._done, result.callback, value)

        waiting.add(source, work)
        self._begin()
        return result

    def _begin(self) -> None:
        while self._free and (waiting := self._urgent or self._patient):
            self._free -= 1
            self._threads.submit(waiting.pop())

    def _done(self, go_on: Callable[[object], None], value: object) -> None:
        self._free += 1
        self._begin()
        go_on(value)

    def stop(self) -> None:
        """Begin no more; those under way end by themselves."""
        self._urgent, self._patient = Turns(), Turns()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # Linux: of this thread only
