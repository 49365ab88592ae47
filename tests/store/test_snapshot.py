"""Compaction: what can never be used again goes, everything else stays as it was, in its order."""

import os
import subprocess
import sys
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.chat import Chat
from chattwist.errors import DiskFailed, DiskFull
from chattwist.model import AnyOperation
from chattwist.store import snapshot
from chattwist.store.disk import Disk
from chattwist.store.files import journal_name
from chattwist.store.history import Damage
from tests.store.memory import MemoryDisk
from tests.store.samples import DAY, filled, loaded, message, messages, started

ANN, BOB = "a-1", "a-2"


def closed(operations: list[AnyOperation]) -> tuple[MemoryDisk, int]:
    """A disk whose closed journals hold these operations, and the number of the last of them."""
    disk = MemoryDisk()
    filled(disk, operations, journal_size=200)
    store = started(disk, journal_size=1)
    store.append([message(10**9)])
    store.close()
    return disk, store.closed


def compacted(operations: list[AnyOperation], now: int = 0) -> list[AnyOperation]:
    """What compaction leaves of these operations."""
    disk, upto = closed(operations)
    snapshot.compact(disk, upto, now)
    found = loaded(disk)
    assert found.pop() == message(10**9)
    return found


class StripTests(SynchronousTestCase):
    def test_operations_in_use_stay(self) -> None:
        """Whatever may be asked for again is kept as it is, in the same order."""
        operations: list[AnyOperation] = [
            model.Registered(ANN, 1, "ann", "hash", "key"),
            *messages(1200, first=10),
            model.Read("a-9", 5000, BOB, ("k3v9x2mq-10",), "key"),
            model.PasswordChanged("a-8", 6000, BOB, "hash"),
        ]
        self.assertEqual(compacted(operations), operations)

    def test_deleted_messages_lose_their_text(self) -> None:
        """Of a deleted message only the id stays, whether it was deleted before or after it came."""
        deletion = model.Deleted("a-9", 50, ANN, ("k3v9x2mq-1", "k3v9x2mq-3"))
        gone, kept, late = message(1), message(2), message(3)
        expected = [message(1, ""), kept, deletion, message(3, "")]
        self.assertEqual(compacted([gone, kept, deletion, late]), expected)

    def test_messages_of_nobody_lose_their_text(self) -> None:
        """Once both of its accounts are deleted, nobody can read a message any more; with one left, it stays."""
        both, one, other = message(1), model.Sent("a-7", 2, ANN, "a-3", "hi"), model.Sent("a-6", 3, "a-3", BOB, "hi")
        leaving: list[AnyOperation] = [model.Unregistered("a-8", 9, ANN), model.Unregistered("a-9", 10, BOB)]
        self.assertEqual(compacted([both, one, other, *leaving]), [message(1, ""), one, other, *leaving])

    def test_replaced_passwords_go(self) -> None:
        """Only the newest hash of an account is kept, by the time it was set, in whatever order the changes came."""
        registered = model.Registered(ANN, 1, "ann", "h1")
        newest, older = model.PasswordChanged("a-6", 30, ANN, "h3"), model.PasswordChanged("a-5", 20, ANN, "h2")
        expected = [model.Registered(ANN, 1, "ann", ""), newest, model.PasswordChanged("a-5", 20, ANN, "")]
        self.assertEqual(compacted([registered, newest, older]), expected)

    def test_the_password_that_counts_stays(self) -> None:
        """That is the one of the last view, though the clock of another, which was cut off, was ahead."""
        registered = model.Registered(ANN, 1, "ann", "h1", "key", 4)
        counts = model.PasswordChanged("a-6", 20, ANN, "h3", view=6)
        ahead = model.PasswordChanged("a-5", 30, ANN, "h2", view=5)
        orders: list[list[AnyOperation]] = [[registered, counts, ahead], [registered, ahead, counts]]
        for operations in orders:
            after = chat_of(compacted(operations))
            self.assertEqual((after.accounts[ANN].password, chat_of(operations).accounts[ANN].password), ("h3", "h3"))

    def test_passwords_of_deleted_accounts_go(self) -> None:
        """Nobody can log in to a deleted account, so its hash is of no use."""
        gone = model.Unregistered("a-9", 9, ANN)
        self.assertEqual(
            compacted([model.Registered(ANN, 1, "ann", "h1"), gone]), [model.Registered(ANN, 1, "ann", ""), gone]
        )

    def test_copies_of_an_account_stay_known(self) -> None:
        """Of one registration that was recorded twice, one is the account, also for who loads a later snapshot."""
        operations: list[AnyOperation] = [
            model.Registered("a-1", 1, "bob", "hash", "key", 1),  # its primary was lost
            model.Registered("b-1", 2, "bob", "hash", "key", 2),
            model.Confirmed("b-2", 3, "b-1"),
            model.PasswordChanged("b-3", 4, "b-1", "new", "", 2),
        ]
        chat = Chat()
        for operation in compacted(operations, 3 * DAY):
            chat.apply(operation)
        self.assertEqual(list(chat.names.claimants("bob")), ["b-1"])

    def test_retry_keys_of_yesterday_go(self) -> None:
        """A retry key is kept for a day, and one of a message for ever, since it tells a second copy of the message."""
        old, new = model.Read("a-4", 5, BOB, (), "key"), model.Read("a-5", DAY, BOB, (), "key")
        sent = message(6, key="key")
        self.assertEqual(compacted([old, sent, new], now=DAY + 6), [model.Read("a-4", 5, BOB, ()), sent, new])

    def test_one_key_for_two_recipients(self) -> None:
        """On two sides of a cut one key was used for two recipients: the message that counts is not lost with the other one."""
        operations: list[AnyOperation] = [
            *(
                model.Registered(f"a-{number}", number, name, "hash")
                for number, name in enumerate(("ann", "bob", "cyd"), 1)
            ),
            model.Sent("b-1", 10, "a-1", "a-2", "to bob", "key", 1),
            model.Sent("c-1", 11, "a-1", "a-3", "to cyd", "key", 2),
            model.Unregistered("a-4", 12, "a-1"),
            model.Unregistered("a-5", 13, "a-2"),
        ]
        for chat in chat_of(operations), chat_of(compacted(operations)):
            self.assertEqual([message.text for message in chat.accounts["a-3"].messages], ["to cyd"])

    def test_the_chat_is_the_same(self) -> None:
        """A chat loaded from a snapshot is the one that was compacted, also with a message stored twice."""
        operations: list[AnyOperation] = [
            model.Registered(ANN, 1, "ann", "h1"),
            model.Registered(BOB, 2, "bob", "h2"),
            *messages(5, first=10),
            model.Deleted("a-5", 20, ANN, ("k3v9x2mq-11",)),
            message(21, "once", key="again"),
            message(22, "once", key="again"),
            model.PasswordChanged("a-6", 30, ANN, "h3"),
        ]
        before, after = chat_of(operations), chat_of(compacted(operations, now=5 * DAY))
        self.assertEqual(after.messages, before.messages)
        self.assertEqual(after.accounts[ANN].password, before.accounts[ANN].password)
        self.assertEqual(list(after.accounts[BOB].unread), list(before.accounts[BOB].unread))


def chat_of(operations: list[AnyOperation]) -> Chat:
    """The chat that these operations make."""
    chat = Chat()
    for operation in operations:
        chat.apply(operation)
    return chat


class CompactTests(SynchronousTestCase):
    def test_again_and_again(self) -> None:
        """A snapshot is made of the one before it and the journals since; nothing is lost or doubled."""
        disk = MemoryDisk()
        operations: list[AnyOperation] = []
        for first in range(1, 900, 100):
            filled(disk, more := messages(100, first), journal_size=2000)
            operations += more
            closed = max(int(name[8:14]) for name in disk.names() if name.startswith("journal")) - 1
            snapshot.compact(disk, closed, now=0)
            self.assertEqual(loaded(disk), operations)
        self.assertEqual(sum(name.startswith("snapshot") for name in disk.names()), 1)

    def test_damage_is_not_compacted(self) -> None:
        """A damaged journal is neither compacted nor touched."""
        disk, upto = closed(messages(20))
        data = disk.contents("journal-000003.jsonl")
        disk.put("journal-000003.jsonl", data.replace(b"at", b"au", 1))
        before = disk.everything()
        self.assertRaises(Damage, snapshot.compact, disk, upto, 0)
        self.assertEqual(disk.everything(), before)

    def test_cut_short(self) -> None:
        """So is a journal that lost its end: no more is written to that one, so nothing of it is torn."""
        disk, upto = closed(messages(20))
        name = journal_name(upto)
        disk.put(name, disk.contents(name)[:-20])
        self.assertRaises(Damage, snapshot.compact, disk, upto, 0)

    def test_no_room(self) -> None:
        """A full disk stops compaction and leaves nothing of it behind."""
        disk, upto = closed(messages(20))
        before = disk.everything()
        disk.room = 500
        self.assertRaises(DiskFull, snapshot.compact, disk, upto, 0)
        self.assertEqual(disk.everything(), before)

    def test_orphan_of_a_killed_server(self) -> None:
        """A compaction whose server was killed and started anew comes to nothing, and harms nothing."""
        disk, upto = closed(messages(20))
        rename = disk.rename

        def start_anew(old: str, new: str) -> None:
            self.assertEqual(len(loaded(disk)), 21)
            rename(old, new)

        self.patch(disk, "rename", start_anew)
        before = sorted(disk.names())
        self.assertRaises(DiskFailed, snapshot.compact, disk, upto, 0)
        self.assertEqual(sorted(disk.names()), before)
        self.assertEqual(len(loaded(disk)), 21)

    def test_in_slices(self) -> None:
        """No more than a slice is written between two fsyncs, so that the journal's own need not wait behind it."""
        self.patch(snapshot, "SLICE", 10_000)
        disk, upto = closed(messages(3000))
        first = len(disk.calls)
        snapshot.compact(disk, upto, 0)
        calls = disk.calls[first:]
        self.assertGreater(calls.count("write"), 5)
        self.assertNotIn(("write", "write"), list(pairwise(calls)))


class CommandTests(SynchronousTestCase):
    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it as the server does."""
        command = [sys.executable, "-m", "chattwist.store.snapshot", *arguments]
        paths = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        environment = {**os.environ, "PYTHONPATH": paths}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def test_compacts_a_directory(self) -> None:
        """The command writes a snapshot, says nothing, and leaves the journals to the server, which holds the lock."""
        directory = self.mktemp()
        store = started(disk := Disk(directory), journal_size=500)
        for operation in messages(20):
            store.append([operation])
        result = self.run_command(directory, str(store.closed))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(disk.names()), store.closed + 2)
        store.close()
        self.assertEqual(loaded(Disk(directory)), messages(20))

    def test_failure_is_one_line(self) -> None:
        """A failure is told in one line and by the exit status."""
        for arguments in ([self.mktemp(), "3"], ["nonsense"], [self.mktemp(), "x"]):
            result = self.run_command(*arguments)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr.count("\n"), 1)
            self.assertTrue(result.stderr.startswith("compaction failed: "))
