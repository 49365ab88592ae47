"""What replicas find on their disks when they start: accounts and messages, written by the store itself into a snapshot.

Accounts are user0, user1, … with the harness's password, as the load generator names them.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import islice

import attrs

from chattwist import model
from chattwist.passwords import hash_password
from chattwist.store.disk import Disk
from chattwist.store.snapshot import compact
from chattwist.store.store import JOURNAL_SIZE, Store
from tests.benchmarks.measuring import TEXT, Replicas
from tests.endtoend.harness import PASSWORD

FIRST = 1_700_000_000_000_000  # the time of the first operation
RECORD = 1000  # operations a line of the journal
TOGETHER = 10  # messages that one account sends another before that one reads them


@attrs.frozen
class Prepared:
    """So many accounts, and messages that each sent to the next; ``cost`` is bcrypt's."""

    accounts: int
    messages: int = 0
    is_read: bool = True
    cost: int = 4

    def __str__(self) -> str:
        return f"{self.accounts} accounts, {self.messages:,} {'read' if self.is_read else 'unread'} messages"

    def operations(self) -> Iterator[model.AnyOperation]:
        """All of it, in the order of time."""
        hashed = hash_password(PASSWORD, self.cost)
        for n in range(self.accounts):
            yield model.Registered(f"accounts-{2 * n + 1}", FIRST + 2 * n, f"user{n}", hashed)
            yield model.Confirmed(f"accounts-{2 * n + 2}", FIRST + 2 * n + 1, f"accounts-{2 * n + 1}")
        for n in range(self.messages):
            yield from self._message(n, FIRST + 2 * (self.accounts + n))

    def _message(self, n: int, at: int) -> Iterator[model.AnyOperation]:
        sender, recipient = (f"accounts-{2 * (m % self.accounts) + 1}" for m in (n // TOGETHER, n // TOGETHER + 1))
        yield model.Sent(f"messages-{n + 1}", at, sender, recipient, f"{n:0{TEXT}}")
        if self.is_read and (n + 1) % TOGETHER == 0:
            read = tuple(f"messages-{m + 1}" for m in range(n + 1 - TOGETHER, n + 1))
            yield model.Read(f"readmark-{(n + 1) // TOGETHER}", at + 1, recipient, read)

    def write(self, directory: str, journal_size: int = JOURNAL_SIZE) -> None:
        """Write it: journals of ``journal_size`` bytes, and a snapshot of all but the last of them."""
        store = Store.open(Disk(directory), journal_size=journal_size)
        for _ in store.load():
            pass
        operations = self.operations()
        while record := list(islice(operations, RECORD)):
            store.append(record)
        if store.closed:
            compact(Disk(directory, make=False), store.closed, FIRST)
            store.remove_covered()
        store.close()

    def give(self, cluster: Replicas, journal_size: int = JOURNAL_SIZE) -> None:
        """Write it for each of three replicas, which have not run."""
        directory = os.path.join(cluster.folder, "prepared")
        self.write(directory, journal_size)
        put(directory, cluster)
        shutil.rmtree(directory)


def put(directory: str, cluster: Replicas) -> None:
    """Give each replica, none of which runs, a copy of this directory in the place of all it has."""
    for replica in cluster.replicas.values():
        replica.wipe()
        shutil.copytree(directory, replica.data, copy_function=link_or_copy)
        os.chmod(replica.data, 0o700)


def link_or_copy(source: str, target: str) -> None:
    """A snapshot never changes, so another name for it will do."""
    (os.link if os.path.basename(source).startswith("snapshot-") else shutil.copy2)(source, target)
