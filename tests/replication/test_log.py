"""The log: which operations are here, and what another replica lacks."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.replication import log
from chattwist.replication.log import Log
from tests.replication.cores import sent


def logged(*ids: str) -> Log:
    """A log with these messages."""
    found = Log()
    for operation_id in ids:
        found.add(sent(operation_id))
    return found


def ids(operations: object) -> list[str]:
    """The ids of operations."""
    return [operation.id for operation in operations]  # type: ignore[attr-defined]


class GapTests(SynchronousTestCase):
    """Rule R3: of each origin everything up to some number is here, and nothing else counts."""

    def test_takes_what_is_next(self) -> None:
        """What follows is taken; what is known already, or lies behind a gap, is not."""
        here = logged("a-1")
        self.assertEqual([here.add(sent(one)) for one in ("a-1", "a-3", "a-2", "b-2")], [False, False, True, False])
        self.assertEqual({origin: n for origin, n in here.vector.items() if n}, {"a": 2})

    def test_new_of_a_batch(self) -> None:
        """Of a batch that comes from another replica that is new which follows on what is here, or on the batch itself."""
        here = logged("a-1", "a-2")
        batch = [sent(one) for one in ("a-2", "a-3", "b-1", "a-4", "a-4", "a-6", "b-3", "b-2")]
        self.assertEqual(ids(here.new_of(batch)), ["a-3", "b-1", "a-4", "b-2"])
        self.assertEqual(here.vector, {"a": 2})

    def test_loaded_with_a_gap(self) -> None:
        """What damage left behind a gap does not count as here, so that it is asked for again, until the gap is closed."""
        here = Log()
        for one in ("a-1", "a-3", "a-4", "a-6"):
            here.load(sent(one))
        self.assertEqual(here.vector, {"a": 1})
        self.assertIsNone(here.get("a-3"))
        here.add(sent("a-2"))
        self.assertEqual(here.vector, {"a": 4})
        self.assertEqual(here.get("a-4"), sent("a-4"))
        self.assertFalse(here.add(sent("a-6")))

    def test_loaded_twice(self) -> None:
        """A record that is on the disk twice counts once."""
        here = Log()
        for one in ("a-1", "a-1", "a-2"):
            here.load(sent(one))
        self.assertEqual(ids(here), ["a-1", "a-2"])


class LostTests(SynchronousTestCase):
    """What damage took from all replicas, and a backup brings back."""

    def setUp(self) -> None:
        self.here, self.whole = Log(), logged("a-1", "a-2", "a-3")
        self.here.take([sent("a-1"), model.Lost("a-2", 0), sent("a-3")])

    def test_found(self) -> None:
        """It takes the place that was kept for it, once."""
        self.assertEqual((self.here.vector, self.here.lost), ({"a": 3}, {"a": [(2, 2)]}))
        self.assertEqual(ids(self.here.new_of([sent("a-1"), sent("a-2"), sent("a-4")])), ["a-2", "a-4"])
        self.here.take([sent("a-2"), sent("a-4")])
        self.assertEqual((list(self.here), self.here.lost), ([sent(f"a-{n}") for n in range(1, 5)], {}))
        self.assertEqual(self.here.new_of([sent("a-2"), model.Lost("a-2", 0)]), [])

    def test_given(self) -> None:
        """Who has it gives it to who says that it was lost."""
        self.assertEqual(self.whole.missing({"a": 3}, {"a": [(2, 2)], "x": [(9, 9)]}), ([sent("a-2")], False))
        self.assertEqual(self.here.missing({"a": 3}, {"a": [(2, 2)]}), ([], False))

    def test_covered(self) -> None:
        """Whether another one may have it is known from what that says of itself."""
        self.assertFalse(self.here.covers({"a": 3}))
        self.assertTrue(self.here.covers({"a": 3}, {"a": [(1, 4)]}))
        self.assertTrue(self.here.covers({"a": 1}))

    def test_loaded(self) -> None:
        """So it is where the disk holds the place and, behind it, what was lost."""
        here = Log()
        for operation in (sent("a-1"), sent("a-3"), model.Lost("a-2", 0), sent("a-2")):
            here.load(operation)
        self.assertEqual((list(here), here.lost), ([sent(f"a-{n}") for n in range(1, 4)], {}))


class MissingTests(SynchronousTestCase):
    def test_exactly_what_is_lacking(self) -> None:
        """Another replica is given what it lacks, of each origin in order, and nothing that it has."""
        here = logged("a-1", "a-2", "a-3", "b-1")
        operations, more = here.missing({"a": 1, "c": 7})
        self.assertEqual((ids(operations), more), (["a-2", "a-3", "b-1"], False))
        self.assertEqual(here.missing({"a": 3, "b": 1}), ([], False))

    def test_the_oldest_first(self) -> None:
        """Origins that took turns come in the order of their stamps, batch by batch: each operation is the newest so far."""
        here, there = Log(), Log()
        for at in range(3 * log.BATCH):
            here.add(model.Lost(f"{'ab'[at // 100 % 2]}-{at // 200 * 100 + at % 100 + 1}", at))
        stamps: list[int] = []
        more = True
        while more:
            operations, more = here.missing(there.vector)
            stamps += [operation.at for operation in operations]
            there.take(there.new_of(operations))
        self.assertEqual(stamps, list(range(3 * log.BATCH)))

    def test_stamps_that_go_back(self) -> None:
        """Of an origin whose stamps do not grow, each operation still comes behind those before it (R3)."""
        here = Log()
        for one, at in (("a-1", 5), ("a-2", 2), ("a-3", 9), ("b-1", 4), ("b-2", 4), ("b-3", 1), ("c-1", 3)):
            here.add(model.Lost(one, at))
        operations, _ = here.missing({"c": 1})
        self.assertEqual(sorted(ids(operations)), ["a-1", "a-2", "a-3", "b-1", "b-2", "b-3"])
        self.assertEqual(Log().new_of(operations), operations)

    def test_no_more_is_looked_at_than_given(self) -> None:
        """To find a batch no long history is gone through, nor any origin of which nothing is lacking."""
        here = logged("a-1", "b-1")
        looked_at = 0

        class Counted(list[model.AnyOperation]):
            def __getitem__(self, index: Any) -> Any:
                nonlocal looked_at
                looked_at += 1
                return super().__getitem__(index)

        for origin in "ab":
            here._origins[origin] = Counted(sent(f"{origin}-{n}") for n in range(1, 5 * log.BATCH))
        operations, _ = here.missing({"a": 7, "b": 5 * log.BATCH - 1})
        self.assertEqual((operations[0].id, len(operations)), ("a-8", log.BATCH))
        self.assertLessEqual(looked_at, log.BATCH + 1)

    def test_in_batches(self) -> None:
        """A long history comes in batches that follow on each other, the last of which says so."""
        here = logged(*(f"a-{n}" for n in range(1, log.BATCH + 3)), "b-1")
        there = Log()
        sizes = []
        more = True
        while more:
            operations, more = here.missing(there.vector)
            self.assertEqual(there.new_of(operations), operations)
            for operation in operations:
                there.add(operation)
            sizes.append(len(operations))
        self.assertEqual(sizes, [log.BATCH, 3])
        self.assertEqual(there.vector, here.vector)

    def test_long_texts_make_small_batches(self) -> None:
        """Large messages do not make a batch that keeps a replica busy; each batch brings at least one."""
        here = Log()
        for n in range(1, 5):
            here.add(model.Sent(f"a-{n}", n, "x", "y", "t" * (log.BATCH_BYTES * 2 // 3)))
        operations, more = here.missing({})
        self.assertEqual((len(operations), more), (2, True))
        self.assertEqual(here.missing({"a": 2}), ([here.get("a-3"), here.get("a-4")], False))

    def test_many_ids_make_small_batches(self) -> None:
        """The same of operations that name many messages."""
        here = Log()
        marked = tuple(f"origin00-{n}" for n in range(log.BATCH_BYTES // 20))
        for n in range(1, 7):
            here.add((model.Read if n % 2 else model.Deleted)(f"a-{n}", n, "", marked))
        operations, more = here.missing({})
        self.assertTrue(more and 1 < len(operations) < 4)

    def test_covers(self) -> None:
        """A replica knows of another's vector whether it lacks something."""
        here = logged("a-1", "a-2")
        self.assertTrue(here.covers({"a": 2}) and here.covers({}) and here.covers({"b": 0}))
        self.assertFalse(here.covers({"a": 3}) or here.covers({"b": 1}))


class TextTests(SynchronousTestCase):
    def test_a_deleted_text_is_given_to_nobody(self) -> None:
        """Of a deleted message all replicas keep the id, and none its text (R7)."""
        here = logged("a-1", "a-2")
        here.forget_text("a-1")
        (first, second), _ = here.missing({})
        self.assertEqual([(first.id, first.text), (second.id, second.text)], [("a-1", ""), ("a-2", "hi")])  # type: ignore[union-attr]

    def test_what_is_no_message_or_not_here(self) -> None:
        """Forgetting a text that is not here changes nothing."""
        here = Log()
        registered = model.Registered("a-1", 1, "ann", "hash")
        here.add(registered)
        for one in ("a-1", "a-2", "a-0", "b-1"):
            here.forget_text(one)
        self.assertEqual(list(here), [registered])


class PlacesTests(SynchronousTestCase):
    """Each operation is at its own place, however they come."""

    def test_of_several_origins(self) -> None:
        """Also where those of two origins come together, and their numbers look like those of one."""
        for here, fresh, vector in (
            (["b-1"], ["a-1", "b-2"], {"a": 1, "b": 2}),
            ([], ["a-1", "b-1", "a-2"], {"a": 2, "b": 1}),
        ):
            held = Log()
            for some in here, fresh:
                held.take([sent(one) for one in some])
            self.assertEqual(held.vector, vector)
            self.assertEqual([held.get(one) for one in here + fresh], [sent(one) for one in here + fresh])

    def test_loaded_twice(self) -> None:
        """What is on the disk twice is no gap."""
        held = Log()
        for one in "a-1", "a-2", "a-1", "a-2":
            held.load(sent(one))
        self.assertEqual((held.vector, held.loose), ({"a": 2}, {}))

    def test_lost_again(self) -> None:
        """That it is lost, told once more, does not make it found: a backup may still bring it back (R10)."""
        held = Log()
        for _ in range(2):
            held.add(sent("a-1"))
            held.add(model.Lost("a-2", 0))
        self.assertEqual(held.lost, {"a": [(2, 2)]})
        self.assertTrue(held.add(sent("a-2")))
        self.assertEqual((held.lost, held.get("a-2")), ({}, sent("a-2")))
