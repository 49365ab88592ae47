"""A replica killed with -9 again and again, under clients that repeat what was not answered: nothing is lost or doubled.

CHATTWIST_KILLS says how often (8, so that the suite stays quick; CHATTWIST_SEED repeats a run's choices).
"""

import os
import random
from collections import Counter, deque
from collections.abc import Iterator
from itertools import count
from threading import Event, Semaphore, Thread

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.store.disk import Disk
from chattwist.store.history import History
from tests.endtoend.harness import Client, Server

KILLS = int(os.environ.get("CHATTWIST_KILLS", "8"))
SEED = int(os.environ.get("CHATTWIST_SEED", "0")) or random.randrange(1, 2**32)
CLIENTS = 8
WINDOW = 4  # commands that a client has under way
JOURNAL_SIZE = 100_000  # bytes


class Sender:
    """One client: it sends, deletes and reads, and after each break repeats what was not answered, with the same keys."""

    def __init__(self, server: Server, number: int, done: Semaphore) -> None:
        self.name = f"c{number}"
        self.sent: dict[str, str] = {}  # text → id, of what was acknowledged
        self.deleted: set[str] = set()  # ids of what was acknowledged as deleted
        self.read: Counter[str] = Counter()  # id → how often READ showed it and a later reply proved that it was marked
        self.wrong: list[str] = []  # what must not happen
        self.breaks = 0
        self._server, self._done, self._random = server, done, random.Random(SEED + number)
        self._peer = f"c{(number + 1) % CLIENTS}"
        self._waiting: deque[tuple[str, str]] = deque()  # (retry key, command), not answered yet
        self._keys = (f"!{self.name}-{n}" for n in count())
        self._finish = Event()
        self._thread = Thread(target=self._live, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Begin nothing any more, and return once all is answered."""
        self._finish.set()
        self._thread.join(120)
        if self._thread.is_alive():
            self.wrong.append(f"{self.name}: not all was answered in the end: {self._waiting}")

    def _live(self) -> None:
        while not (self._finish.is_set() and not self._waiting):
            try:
                self._session(self._server.session(self.name))
            except OSError:
                self.breaks += 1
                self._finish.wait(0.02)  # a process that starts is not waited for by anything else
            except Exception as error:
                self.wrong.append(f"{self.name}: {error!r}")
                return

    def _session(self, client: Client) -> None:
        self._read_some(client)
        for key, command in self._waiting:
            client.send(f"@{key} {command}")
        while self._waiting or not self._finish.is_set():
            while len(self._waiting) < WINDOW and not self._finish.is_set():
                key = next(self._keys)
                self._waiting.append((key, self._new_command(key)))
                client.send("@{} {}".format(*self._waiting[-1]))
            self._take(client.reply()[-1])
        client.close()

    def _read_some(self, client: Client) -> None:
        shown = [line.split()[0][4:] for line in client.ask("READ 5")[:-1]]
        client.expect("250", "NOOP")
        self.read.update(shown)

    def _new_command(self, key: str) -> str:
        mine = [message for message in self.sent.values() if message not in self.deleted]
        if mine and self._random.random() < 0.1:
            return f"DELETE {self._random.choice(mine[-50:])}"
        return f"SEND {self._peer} {key}{'x' * self._random.randrange(2000)}"

    def _take(self, answer: str) -> None:
        command = self._waiting[0][1]
        verb, *words = command.split(" ")
        code, result = answer.split(" ")[:2]
        if verb == "DELETE" and code == "550":
            pass  # the choice fell twice on the same message
        elif code != "250":
            self.wrong.append(f"{command[:60]} → {answer}")
        elif verb == "DELETE":
            self.deleted.add(words[0])
        else:
            self.sent[words[1]] = result
        self._waiting.popleft()
        self._done.release()


class KillTests(SynchronousTestCase):
    def test_killed_again_and_again(self) -> None:
        """What was acknowledged is there exactly once, whenever the process is killed; what was deleted stays deleted."""
        server = Server(self.mktemp(), journal_size=JOURNAL_SIZE).start()
        self.addCleanup(server.kill)
        for number in range(CLIENTS):
            server.session(f"c{number}").close()
        done = Semaphore(0)
        senders = [Sender(server, number, done) for number in range(CLIENTS)]
        self.kill_often(server, done)
        for sender in senders:
            sender.finish()
        self.assertEqual([wrong for sender in senders for wrong in sender.wrong], [], f"CHATTWIST_SEED={SEED}")
        self.assertTrue(all(sender.breaks for sender in senders))
        self.check_pages(server, senders)
        self.assertEqual(server.stop(), 0)
        self.check_files(server, senders)

    def kill_often(self, server: Server, done: Semaphore) -> None:
        """Let the clients get some answers, then kill; and so on. Replies are counted, for time says nothing."""
        choices = random.Random(SEED)
        for _ in range(KILLS):
            for _ in range(choices.randrange(50, 500)):
                self.assertTrue(done.acquire(timeout=60), f"nothing is answered, CHATTWIST_SEED={SEED}")
            server.kill()
            server.start()

    def check_pages(self, server: Server, senders: list[Sender]) -> None:
        """What each account sees, page by page, is what was acknowledged, once."""
        for sender in senders:
            client = server.session(sender.name)
            seen = [tuple(line.split(" ")) for line in client.history()]
            texts = Counter(text for _, _, who, _, text in seen if who == sender.name)
            self.assertEqual(set(texts.values()), {1}, f"doubled, CHATTWIST_SEED={SEED}")
            expected = {text: key for text, key in sender.sent.items() if key not in sender.deleted}
            mine = {text: message for message, _, who, _, text in seen if who == sender.name}
            self.assertEqual(mine, expected, f"CHATTWIST_SEED={SEED}")
            self.assertEqual([key for key, times in sender.read.items() if times > 1], [], "read, and unread again")

    def check_files(self, server: Server, senders: list[Sender]) -> None:
        """In the files, too, each retry key of a message stands once; and they were rotated and compacted meanwhile."""
        keys = Counter(operation.key for operation in recorded(server) if isinstance(operation, model.Sent))
        self.assertEqual([key for key, times in keys.items() if times > 1], [])
        self.assertEqual(sum(len(sender.sent) for sender in senders), len(keys))
        self.assertTrue([name for name in os.listdir(server.data) if name.startswith("snapshot")])


def recorded(server: Server) -> Iterator[model.AnyOperation]:
    """All operations in the files of a server that is not running."""
    for operations in History(Disk(server.data)).batches():
        yield from operations
