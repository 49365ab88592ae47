"""Clients that send, delete, read, register and log in on whichever replica answers, and write down all that they are told.

Each is a thread with one connection at a time and one line under way. What was not answered, or with 45x, is repeated with
the same retry key until it is, here or on another replica.
"""

import random
import time
from collections.abc import Callable, Sequence
from itertools import count
from threading import Event, Thread

import attrs

from tests.endtoend.harness import PASSWORD, Client
from tests.nemesis.checker import DONE, NOT_DONE, UNKNOWN, Attempt, Final, Shown
from tests.nemesis.cluster import NUMBERS, Cluster, until_done

PATIENCE = 8.0  # seconds without a byte until a client tries another replica
PACE = 0.05  # seconds at most that a client thinks


class Leave(Exception):  # it is no error
    """The client has had enough of this connection."""


@attrs.define
class Record:
    """What all clients have seen, in the order of its end."""

    attempts: list[Attempt] = attrs.Factory(list)
    shown: list[Shown] = attrs.Factory(list)
    wrong: list[str] = attrs.Factory(list)  # what a client could not even write down
    sessions: Callable[[], int] = attrs.field(factory=lambda: count(1).__next__)


@attrs.frozen
class Line:
    """A command that has to be answered."""

    verb: str
    key: str
    about: str
    text: str  # all of it, without the key


class Caller:
    """What all clients have: a thread, a connection, a record."""

    def __init__(self, cluster: Cluster, record: Record, name: str, seed: int) -> None:
        self.name = name
        self._cluster, self._record, self._random = cluster, record, random.Random(seed)
        self._session = 0
        self._pending: Line | None = None
        self._stop = Event()
        self._thread = Thread(target=self._live, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Begin nothing any more."""
        self._stop.set()

    def join(self, patience: float) -> None:
        """Wait until all is answered; what is not shows in the record."""
        self._thread.join(patience)
        if self._thread.is_alive():
            self._record.wrong.append(f"{self.name} is still waiting for {self._pending}")

    def _live(self) -> None:
        while not self._stop.is_set() or self._pending:
            try:
                self._visit(self._random.choice(NUMBERS))
            except (OSError, Leave):
                self._pause(0.2)
            except Exception as error:
                self._record.wrong.append(f"{self.name}: {error!r}")
                return

    def _visit(self, number: int) -> None:
        client = Client(self._cluster[number].port, PATIENCE)
        try:
            self._talk(client, number)
        finally:
            self._session = 0
            client.close()

    def _talk(self, client: Client, number: int) -> None:
        raise NotImplementedError

    def _pause(self, most: float) -> None:
        time.sleep(self._random.uniform(0, most))

    def _ask(self, client: Client, number: int, line: Line, account: str) -> Attempt:
        """Send a line and write down what became of it; OSError, after that, if the connection broke."""
        begun, tag = time.monotonic(), f"@!{line.key} " if line.key else ""
        try:
            answer = client.ask(f"{tag}{line.text}")[-1]
        except OSError:
            self._write(begun, number, line, account, "000")
            raise
        attempt = self._write(begun, number, line, account, answer)
        self._take_events(client)
        if attempt.code == 421:
            raise ConnectionResetError(answer)
        return attempt

    def _write(self, begun: float, number: int, line: Line, account: str, answer: str) -> Attempt:
        code = int(answer[:3])
        result = answer.split()[1] if code in DONE else ""
        session = self._session
        if code in DONE and line.verb in ("LOGIN", "TAKEOVER"):
            session = self._session = self._record.sessions()
        attempt = Attempt(
            account, session, number, line.verb, line.key, line.about, begun, time.monotonic(), code, result
        )
        self._record.attempts.append(attempt)
        return attempt

    def _take_events(self, client: Client) -> None:
        for event in client.events:
            if event.startswith("* MSG "):
                self._show(event[6:])
        client.events.clear()

    def _show(self, line: str) -> str:
        words = line.split(" ")
        self._record.shown.append(Shown(self.name, words[0], words[4]))
        return words[0]


class Person(Caller):
    """Logs in as ``name`` and sends to ``peers``; ``verb`` is TAKEOVER, or LOGIN for one that has to wait for its turn."""

    def __init__(
        self, cluster: Cluster, record: Record, name: str, seed: int, peers: Sequence[str], verb: str = "TAKEOVER"
    ) -> None:
        super().__init__(cluster, record, name, seed)
        self._peers, self._verb = peers, verb
        self._keys = (f"{name}-{seed}-{n}" for n in count(1))
        self._ids: list[str] = []  # of messages that this person may delete

    def _talk(self, client: Client, number: int) -> None:
        login = Line(self._verb, "", "", f"{self._verb} {self.name} {PASSWORD}")
        attempt = self._ask(client, number, login, self.name)
        if attempt.code not in DONE:
            raise Leave
        while self._pending or not self._stop.is_set():
            self._step(client, number)
            self._pause(PACE)
            if self._random.random() < (0.1 if self._verb == "LOGIN" else 0.01):
                break
        client.ask("QUIT")

    def _step(self, client: Client, number: int) -> None:
        if self._pending is None and self._random.random() < 0.05:
            self._read(client)
            return
        line = self._pending = self._pending or self._new_line()
        attempt = self._ask(client, number, line, self.name)
        if attempt.code == 530:
            raise Leave
        if attempt.code in (*NOT_DONE, *UNKNOWN):
            self._pause(0.3)
            if self._random.random() < 0.3:
                raise Leave
            return
        self._pending = None
        if attempt.result and line.verb == "SEND":
            self._ids.append(attempt.result)

    def _new_line(self) -> Line:
        key = next(self._keys)
        if self._ids and self._random.random() < 0.08:
            message = self._ids.pop(self._random.randrange(max(0, len(self._ids) - 50), len(self._ids)))
            return Line("DELETE", key, message, f"DELETE {message}")
        peer = self._random.choice(self._peers)
        return Line("SEND", key, peer, f"SEND {peer} {key} {'x' * self._random.randrange(200)}")

    def _read(self, client: Client) -> None:
        *messages, last = client.ask("READ 10")
        self._take_events(client)
        if last.startswith("530"):
            raise Leave
        for line in messages:
            message = self._show(line[4:])
            if self._random.random() < 0.2:
                self._ids.append(message)


class Registrar(Caller):
    """Registers one name after the other, the same as all other registrars at about the same time, each with its own password."""

    def _talk(self, client: Client, number: int) -> None:
        if self._pending is None:
            time.sleep(1 - time.monotonic() % 1)  # all begin at once
            name = f"contest-{time.monotonic():.0f}"
            self._pending = Line("REGISTER", f"{name}-{self.name}", self.name, f"REGISTER {name} {self.password}")
        line = self._pending
        while self._ask(client, number, line, line.text.split()[1]).code not in (*DONE, 551):
            self._pause(0.3)
            if self._random.random() < 0.3:
                raise Leave
        self._pending = None
        client.ask("QUIT")

    @property
    def password(self) -> str:
        """Of all its accounts."""
        return f"{PASSWORD}-{self.name}"


def finals(cluster: Cluster, accounts: Sequence[str]) -> dict[int, Final]:
    """All that the replicas show these accounts, which log in for it; nothing is marked."""
    return {number: _final(cluster, number, accounts) for number in NUMBERS}


def _final(cluster: Cluster, number: int, accounts: Sequence[str]) -> Final:
    messages, unread = {}, {}
    for account in accounts:
        client = cluster.session(number, account)
        messages[account] = tuple(client.history())
        unread[account] = tuple(line[4:] for line in client.ask("UNREAD"))
        client.expect("221", "QUIT")
        client.close()
    return Final(messages, tuple(names(cluster, number)), unread)


def names(cluster: Cluster, number: int) -> list[str]:
    """All accounts that a replica lists, page by page."""
    client, found, after = Client(cluster[number].port), list[str](), ""
    while True:
        *page, last = until_done(client, f"LIST *{after}")
        found += [line[4:] for line in page]
        if ", more after " not in last:
            client.close()
            return found
        after = f" AFTER {last.rpartition(' ')[2]}"
