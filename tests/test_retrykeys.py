"""chattwist.retrykeys: for how long keys count, and what is kept of them."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.retrykeys import FORGOTTEN_AT_ONCE, LEAP, LIFETIME, RetryKeys

SENT = model.Sent("m-1", 1000, "a-1", "b-1", "hi", "key")
PASSWORD = model.PasswordChanged("p-1", 1000, "a-1", "hash", "key")


def used_for(*operations: model.Keyed) -> RetryKeys:
    """The keys of an account."""
    keys = RetryKeys()
    for operation in operations:
        keys.remember(operation, "a-1")
    return keys


class AgeTests(SynchronousTestCase):
    """A key counts for a day."""

    def test_a_day(self) -> None:
        """For 24 hours it tells what was done, and then no more."""
        for operation in SENT, PASSWORD:
            keys = used_for(operation)
            self.assertIs(keys.done_before("a-1", "key", 1000 + LIFETIME), operation)
            self.assertIsNone(keys.done_before("a-1", "key", 1001 + LIFETIME))
            keys.forget(1000 + LIFETIME)
            self.assertIs(keys.done_before("a-1", "key", 1000 + LIFETIME), operation)
            keys.forget(1001 + LIFETIME)
            self.assertIsNone(keys.done_before("a-1", "key", 1001 + LIFETIME))

    def test_used_again(self) -> None:
        """A key that was used again counts for a day from then on."""
        again = model.PasswordChanged("p-2", 1001 + LIFETIME, "a-1", "hash", "key")
        keys = used_for(PASSWORD, again)
        keys.forget(1002 + LIFETIME)
        self.assertIs(keys.done_before("a-1", "key", 1002 + LIFETIME), again)

    def test_a_clock_that_leaps(self) -> None:
        """A clock that leaps ahead for a moment, or is set right, lets no key of a moment ago be forgotten."""
        keys = used_for(SENT)
        now = 2000
        keys.forget(now)
        for _ in range(6):
            now += 250_000
            self.assertIs(keys.done_before("a-1", "key", now + 2 * LIFETIME), SENT)
            keys.forget(now + 2 * LIFETIME)
        self.assertIs(keys.done_before("a-1", "key", now), SENT)

    def test_a_clock_that_stays_ahead(self) -> None:
        """Keys follow it by and by."""
        keys = used_for(SENT)
        keys.forget(2000)
        for _ in range(LIFETIME // LEAP + 1):
            keys.forget(2 * LIFETIME)
        self.assertIsNone(keys.done_before("a-1", "key", 2 * LIFETIME))


class MemoryTests(SynchronousTestCase):
    """What is kept."""

    def test_many(self) -> None:
        """They are dropped some at a time, so that a replica that was away is not busy with that when it has to lead."""
        count = 2 * FORGOTTEN_AT_ONCE + 9
        keys = used_for(*(model.Deleted(f"d-{n}", 1000 + n, "a-1", (), f"key{n}") for n in range(count)))
        left = []
        for _ in range(3):
            keys.forget(1_000_000 + LIFETIME)
            left.append(len(keys._others))
        self.assertEqual(left, [FORGOTTEN_AT_ONCE + 9, 9, 0])

    def test_without_a_key(self) -> None:
        """Of what has none, nothing is kept: that is nearly all."""
        keys = used_for(model.Read("r-1", 1000, "a-1", ("m-1",)), model.Sent("m-1", 1000, "a-1", "b-1", "hi"))
        keys.forget_text(model.Sent("m-2", 1000, "c-1", "b-1", "hi"))
        self.assertEqual((keys._messages, keys._others), ({}, {}))

    def test_a_deleted_text(self) -> None:
        """Of a deleted message the text is not kept."""
        keys = used_for(SENT)
        keys.forget_text(SENT)
        keys.forget_text(model.Sent("m-9", 1000, "a-1", "b-1", "hi"))
        done = keys.done_before("a-1", "key", 1000)
        assert isinstance(done, model.Sent)
        self.assertEqual((done.id, done.text), ("m-1", ""))

    def test_copies(self) -> None:
        """Messages under one key within a day are copies of each other, however long ago that was."""
        again, copy = (
            model.Sent(f"m-{at}", at, "a-1", "b-1", "hi", "key") for at in (1001 + LIFETIME, 1002 + LIFETIME)
        )
        keys = used_for(SENT, again)
        keys.forget(9 * LIFETIME)
        self.assertEqual(keys.copies_of(copy), [again])
        self.assertEqual(keys.copies_of(SENT), [])
        self.assertEqual(keys.copies_of(model.Sent("m-9", 1000, "a-1", "b-1", "hi")), [])
