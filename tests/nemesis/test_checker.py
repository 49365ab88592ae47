"""The checker finds what must not be, and nothing else."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.nemesis.checker import Attempt, Final, Shown, check

LINE = "a-1 2026-11-22T12:00:00Z ann bob k1 text"


def send(key: str = "k1", code: int = 250, result: str = "a-1", **others: object) -> Attempt:
    """One of ann to bob."""
    attempt = Attempt("ann", 1, 1, "SEND", key, "bob", 1.0, 2.0, code, result)
    return attrs.evolve(attempt, **others)  # type: ignore[arg-type]


def delete(message: str = "a-1", code: int = 250) -> Attempt:
    return Attempt("bob", 2, 1, "DELETE", f"delete-{message}", message, 3.0, 4.0, code)


def login(session: int, begun: float) -> Attempt:
    return Attempt("ann", session, 1, "LOGIN", "", "", begun, begun + 0.1, 230)


def register(client: str, code: int = 230) -> Attempt:
    return Attempt("Carl", 0, 1, "REGISTER", client, client, 1.0, 2.0, code)


def final(*lines: str, bob: tuple[str, ...] | None = None, names: str = "ann bob", unread: str = "ann 1") -> Final:
    """What ann sees, and bob unless it is the same."""
    messages = {"ann": lines, "bob": lines if bob is None else bob}
    return Final(messages, tuple(names.split()), {"ann": (), "bob": (unread,)})


class CheckerTests(SynchronousTestCase):
    def kinds(
        self, attempts: list[Attempt], *finals: Final, shown: tuple[Shown, ...] = (), mode: str = "available"
    ) -> list[str]:
        """Which kinds of violations there are; one final is that of all replicas."""
        seen = finals if len(finals) > 1 else finals * 3
        found = check(attempts, shown, dict(enumerate(seen, 1)), mode)
        return sorted({violation.kind for violation in found})

    def test_good(self) -> None:
        """What was acknowledged is there, once: also after attempts without an answer, and what was shown."""
        attempts = [send(code=0, result=""), send(code=454, result=""), send()]
        for mode in "available", "majority":
            self.assertEqual(self.kinds(attempts, final(LINE), shown=(Shown("bob", "a-1", "k1"),), mode=mode), [])

    def test_lost(self) -> None:
        """Missing with the sender, the recipient, or on one replica only."""
        self.assertEqual(self.kinds([send()], final()), ["lost"])
        self.assertEqual(self.kinds([send()], final(LINE, bob=())), ["lost"])
        self.assertEqual(self.kinds([send()], final(LINE), final(LINE), final()), ["differing", "lost"])

    def test_doubled(self) -> None:
        """Two copies of one text, whatever their ids."""
        copy = LINE.replace("a-1", "b-1")
        self.assertEqual(self.kinds([send()], final(LINE, copy)), ["doubled"])

    def test_renamed(self) -> None:
        """There, but under another id than the one that was told: right only if a cut can have made two of it."""
        other = final(LINE.replace("a-1", "b-1"))
        for mode in "available", "majority":
            self.assertEqual(self.kinds([send()], other, mode=mode), ["renamed"])
            self.assertEqual(self.kinds([send(code=451, result=""), send()], other, mode=mode), ["renamed"])
        unsure = [send(code=0, result=""), send()]
        self.assertEqual(self.kinds(unsure, other), [])
        self.assertEqual(self.kinds(unsure, other, mode="majority"), ["renamed"])
        self.assertEqual(self.kinds(unsure, final()), ["lost"])

    def test_two_ids(self) -> None:
        """Two results of one retry key."""
        self.assertIn("two ids", self.kinds([send(), send(result="b-1")], final(LINE)))

    def test_deleted(self) -> None:
        """Deleted is gone; what may have been deleted may be gone or there; a refused deletion deletes nothing."""
        self.assertEqual(self.kinds([send(), delete()], final()), [])
        self.assertEqual(self.kinds([send(), delete()], final(LINE)), ["undeleted"])
        self.assertEqual(self.kinds([send(), delete()], final(LINE.replace("a-1", "b-1"))), ["undeleted"])
        for there in final(), final(LINE):
            self.assertEqual(self.kinds([send(), delete(code=0)], there), [])
        self.assertEqual(self.kinds([send(), delete(code=451)], final()), ["lost"])

    def test_shown(self) -> None:
        """What was shown is there, also if nobody acknowledged it to its sender."""
        attempts = [send(code=0, result=""), send(key="k2", result="a-2"), delete("a-2")]
        self.assertIn("lost", self.kinds(attempts, final(), shown=(Shown("bob", "a-1", "k1"),)))
        self.assertEqual(self.kinds(attempts[1:], final(), shown=(Shown("bob", "a-2", "k2"),)), [])
        copy = Shown("bob", "b-1", "k1")  # made on the other side of a cut, and never acknowledged
        self.assertEqual(self.kinds([send()], final(LINE), shown=(copy,)), [])
        self.assertEqual(self.kinds([send()], final(LINE), shown=(copy,), mode="majority"), ["renamed"])

    def test_invented(self) -> None:
        """Nobody sent it."""
        self.assertEqual(self.kinds([], final(LINE)), ["invented"])

    def test_unanswered(self) -> None:
        """It was repeated to the end and never acknowledged."""
        self.assertEqual(self.kinds([send(code=451, result="")], final()), ["unanswered"])

    def test_refused(self) -> None:
        """An account that exists is unknown, or a bug shows."""
        for code in 535, 550, 554:
            self.assertIn("refused", self.kinds([send(), send(code=code, result="")], final(LINE)))

    def test_differing(self) -> None:
        """Another order, other names, other unread counts."""
        second = LINE.replace("a-1", "a-2").replace("k1", "k2")
        attempts = [send(), send(key="k2", result="a-2")]
        one = final(LINE, second)
        for other in final(second, LINE), final(LINE, second, names="ann"), final(LINE, second, unread="ann 2"):
            self.assertEqual(self.kinds(attempts, one, one, other), ["differing"])

    def test_names(self) -> None:
        """One name, two accounts: never in majority mode; in the other each has to be there."""
        both = [register("one"), register("two")]
        names = "ann bob Carl Carl~2"
        self.assertEqual(self.kinds(both, final(names=names)), [])
        self.assertEqual(self.kinds(both, final(names="ann bob Carl")), ["lost"])
        self.assertEqual(self.kinds(both, final(names=names), mode="majority"), ["name twice"])
        self.assertEqual(self.kinds([register("one"), register("two", 551)], final(names="ann bob Carl")), [])

    def test_sessions(self) -> None:
        """Two sessions one after the other are fine, also where it is not certain; one between two acts of another is not."""
        after = send(key="k2", result="a-2", begun=5.0, ended=6.0)
        second = LINE.replace("a-1", "a-2").replace("k1", "k2")
        there = final(LINE, second)
        good = [login(1, 0.0), send(), login(7, 3.0), attrs.evolve(after, session=7)]
        self.assertEqual(self.kinds(good, there, mode="majority"), [])
        unclear = [login(1, 0.0), send(), login(7, 5.5), after]
        self.assertEqual(self.kinds(unclear, there, mode="majority"), [])
        bad = [login(1, 0.0), send(), login(7, 3.0), after]
        self.assertEqual(self.kinds(bad, there, mode="majority"), ["session twice"])
        self.assertEqual(self.kinds(bad, there), [])
