"""Trying passwords gets slow, and locks nobody out."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.attempts import ACCOUNT, ADDRESS, MOST_REMEMBERED, Attempts


class AttemptsTests(SynchronousTestCase):
    """How long the next try waits."""

    def test_an_account_under_attack(self) -> None:
        """From however many addresses: each try waits longer than the last, up to a few seconds, never for ever."""
        attempts = Attempts()
        waits = [attempts.wait("ann", f"10.0.0.{n}", 0.0) for n in range(20)]
        self.assertEqual(waits[5:9], [0, 0.25, 0.5, 1])
        self.assertEqual(waits[-1], ACCOUNT.longest)

    def test_one_after_the_other(self) -> None:
        """What is forgotten from one try to the next gives nobody another one that costs nothing."""
        attempts = Attempts()
        waits = [attempts.wait("ann", "10.0.0.1", n / 10) for n in range(9)]
        self.assertEqual(waits[5:], [0, 0.25, 0.5, 1])

    def test_an_address_that_tries_many(self) -> None:
        """Different accounts from one address: it gets slow, others do not."""
        attempts = Attempts()
        waits = [attempts.wait(f"n{n}", "10.0.0.1", 0.0) for n in range(50)]
        self.assertEqual((waits[0], waits[-1]), (0, ADDRESS.longest))
        self.assertEqual(attempts.wait("ann", "10.0.0.2", 0.0), 0)

    def test_success_forgets(self) -> None:
        """Who gets it right starts afresh."""
        attempts = Attempts()
        for _ in range(9):
            attempts.wait("ann", "a", 0.0)
        attempts.succeeded("ann", "a")
        self.assertEqual(attempts.wait("ann", "a", 0.0), 0)

    def test_a_try_that_was_turned_away_does_not_count(self) -> None:
        """Who was told to try later is not slowed down for it."""
        attempts = Attempts()
        for _ in range(50):
            attempts.wait("ann", "a", 0.0)
            attempts.not_tried("ann", "a")
        self.assertEqual(attempts.wait("ann", "a", 0.0), 0)

    def test_tries_that_were_turned_away_make_nothing_forgotten(self) -> None:
        """However many names are given while too many tries wait already, which costs nothing: no account's failures go."""
        attempts = Attempts()
        for _ in range(9):
            attempts.wait("ann", "a", 0.0)
        for n in range(MOST_REMEMBERED + 100):
            attempts.wait(f"n{n}", f"b{n}", 0.0)
            attempts.not_tried(f"n{n}", f"b{n}")
        self.assertGreater(attempts.wait("ann", "c", 0.0), 1)

    def test_time_forgets(self) -> None:
        """Failures are forgotten one by one."""
        attempts = Attempts()
        for _ in range(7):
            attempts.wait("ann", "a", 0.0)
        self.assertEqual(attempts.wait("ann", "a", 2 * ACCOUNT.forget), 0)

    def test_memory_is_bounded(self) -> None:
        """However many names are tried, only so many are remembered: the latest."""
        attempts = Attempts()
        for n in range(MOST_REMEMBERED + 100):
            attempts.wait(f"n{n}", "a", 0.0)
        self.assertEqual(len(attempts._accounts), MOST_REMEMBERED)
        self.assertIn(f"n{MOST_REMEMBERED + 99}", attempts._accounts)
