"""What a replica finds on its disk when it starts."""

from unittest.mock import patch

import msgspec
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from chattwist import remembered
from chattwist.errors import StoreError
from chattwist.loading import Loaded, load
from chattwist.replication.messages import NEVER, State, View
from chattwist.store import state
from chattwist.store.disk import IDisk
from chattwist.store.history import Damage
from chattwist.store.store import Store
from tests.store.memory import MemoryDisk
from tests.store.samples import filled, messages

VIEW = View((3, 1), (1, 2))
JOURNAL = "journal-000001.jsonl"
NAMES = ("host:5001", "host:5002", "host:5003")


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk = MemoryDisk()
        filled(self.disk, messages(9))
        state.save(self.disk, msgspec.json.encode(State((4, 1), VIEW)))

    def load(self, size: int = 3, salvage: bool = False) -> Loaded:
        """Load, and give the disk back."""
        with capturedLogs():
            found = load(lambda: self.disk, NAMES[:size], salvage)
        found.store.close()
        return found

    def damage(self) -> None:
        """Spoil the fourth message."""
        whole = self.disk.contents(JOURNAL)
        self.disk.put(JOURNAL, whole.replace(b"k3v9x2mq-4", b"k3v9x2mq-5"))

    def test_whole(self) -> None:
        """All operations, the chat that they make, and what was saved beside."""
        found = self.load()
        self.assertEqual((list(found.operations), len(found.chat.messages)), (messages(9), 9))
        self.assertEqual(found.state, State((4, 1), VIEW))

    def test_damage_with_peers(self) -> None:
        """What is whole is kept, and that something is lacking is remembered until others have given it."""
        self.damage()
        for _ in range(2):
            found = self.load()
            self.assertEqual((found.state, len(found.chat.messages)), (State((4, 1), VIEW, damaged=True), 8))
            self.assertEqual(found.operations.loose, {"k3v9x2mq": [5, 6, 7, 8, 9]})

    def test_killed_while_it_is_put_right(self) -> None:
        """It is remembered before anything is put right, so that whatever happens then, it is not forgotten."""
        self.damage()

        def killed(disk: IDisk, salvage: bool) -> Store:
            if salvage:
                raise KeyboardInterrupt
            return Store.open(disk)

        with capturedLogs(), self.assertRaises(KeyboardInterrupt):
            load(lambda: self.disk, NAMES, opened=killed)
        self.assertTrue(self.load().state.damaged)

    def test_no_room_to_remember(self) -> None:
        """Where that cannot be remembered, the replica does not start, and nothing is changed."""
        self.damage()
        before = {name: self.disk.contents(name) for name in self.disk.names()}
        self.disk.room = 0
        self.assertIn("nothing was changed", str(self.assertRaises(StoreError, self.load)))
        self.assertEqual({name: self.disk.contents(name) for name in self.disk.names()}, before)

    def test_damage_alone(self) -> None:
        """A replica without peers starts only if it is told to keep what is whole; nothing else can come then."""
        self.damage()
        with self.assertRaises(Damage):
            self.load(size=1)
        found = self.load(size=1, salvage=True)
        self.assertEqual((found.state.damaged, len(found.chat.messages)), (False, 8))

    def test_a_promise_without_a_view(self) -> None:
        """With operations but no view, others may have gone on without it; what it promised it keeps (R12)."""
        state.save(self.disk, msgspec.json.encode(State((4, 1))))
        self.assertEqual(self.load().state, State((4, 1), View(NEVER, (0, 1, 2))))

    def test_another_cluster_file(self) -> None:
        """The replicas of the last view are known by name: their ranks may be others' now."""
        state.save(self.disk, remembered.encode(State((4, 1), VIEW), NAMES))
        with capturedLogs():
            found = load(lambda: self.disk, ("host:5000", *NAMES))
        self.assertEqual(found.state, State((4, 2), View((3, 2), (2, 3))))

    def test_a_damaged_state(self) -> None:
        """A damaged state.json is not guessed at; the next start can be tried in the same process."""
        self.disk.put("state.json", b"{}\n")
        for _ in range(2):
            self.assertIn("state.json is damaged", str(self.assertRaises(StoreError, self.load)))

    def test_a_state_of_another_version(self) -> None:
        """It is not guessed at either, and the directory is free again."""
        state.save(self.disk, b'{"promised":{"number":3}}')
        for _ in range(2):
            self.assertIn("state.json: not of this version", str(self.assertRaises(StoreError, self.load)))

    def test_given_back(self) -> None:
        """After a failure the directory is free."""
        with patch.object(Store, "load", side_effect=StoreError("broken")):
            self.assertRaises(StoreError, self.load)
        self.assertEqual(len(self.load().chat.messages), 9)
