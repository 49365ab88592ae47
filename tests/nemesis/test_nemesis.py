"""A short run of random faults in each mode; ``python -m tests.nemesis`` does long ones.

CHATTWIST_NEMESIS says how many seconds (20); CHATTWIST_SEED repeats the faults of a run.
"""

import os
import random

from twisted.trial.unittest import SynchronousTestCase

from tests.nemesis.cluster import SHORT
from tests.nemesis.run import run

SECONDS = float(os.environ.get("CHATTWIST_NEMESIS", "20"))
SEED = int(os.environ.get("CHATTWIST_SEED", "0")) or random.randrange(1, 2**31)


class NemesisTests(SynchronousTestCase):
    def disturb(self, mode: str) -> None:
        outcome = run(self.mktemp(), SECONDS, mode, SEED, SHORT, lambda line: None)
        self.assertEqual(outcome.violations, [], outcome.text())
        self.assertGreater(outcome.acknowledged["SEND"], 0)

    def test_available(self) -> None:
        """Whatever fails as long as one disk with it comes back: nothing acknowledged is lost, doubled or brought back."""
        self.disturb("available")

    def test_majority(self) -> None:
        """The same, and at no time does a name have two accounts, or an account two sessions that act."""
        self.disturb("majority")
