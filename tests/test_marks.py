"""What clients have read goes to the primary together."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors
from chattwist.marks import ReadMarks
from chattwist.protocol.backend import Done
from chattwist.requests import MOST_MARKED, MarkRead


class ReadMarksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.later: list[Callable[[], None]] = []
        self.submitted: list[tuple[MarkRead, Done]] = []
        self.results: list[object] = []
        self.bugs: list[str] = []
        self.marks = ReadMarks(
            lambda mark, done: self.submitted.append((mark, done)), self.later.append, lambda: self.bugs.append("")
        )

    def ids(self) -> list[tuple[str, ...]]:
        """What was told."""
        return [mark.messages for mark, _ in self.submitted]

    def test_together(self) -> None:
        """What several sessions read in one turn is one request, and each is told what came of it; the next turn has its own."""
        for ids in (("m-1",), ("m-2", "m-3")):
            self.marks.add(ids, self.results.append)
        self.assertEqual((self.submitted, len(self.later)), ([], 1))
        self.later.pop()()
        self.assertEqual(self.ids(), [("m-1", "m-2", "m-3")])
        error = errors.NoPrimary("none")
        self.submitted[0][1](error)
        self.assertEqual(self.results, [error, error])
        self.marks.add(("m-4",), self.results.append)
        self.later.pop()()
        self.assertEqual(self.ids()[1:], [("m-4",)])

    def test_flushed(self) -> None:
        """Before a login is over, what was read in it is told; nothing is told twice."""
        self.marks.add(("m-1",), self.results.append)
        self.marks.flush()
        self.later.pop()()
        self.assertEqual(self.ids(), [("m-1",)])

    def test_bounded(self) -> None:
        """A request has no more than MOST_MARKED messages."""
        for start in range(0, 2 * MOST_MARKED, MOST_MARKED // 2):
            self.marks.add(tuple(f"m-{start + index}" for index in range(MOST_MARKED // 2)), self.results.append)
        self.marks.flush()
        self.assertEqual([len(ids) for ids in self.ids()], [MOST_MARKED, MOST_MARKED])

    def test_a_bug(self) -> None:
        """One session that fails keeps no other waiting."""
        self.marks.add(("m-1",), lambda result: self.fail("a bug"))
        self.marks.add(("m-2",), self.results.append)
        self.marks.flush()
        self.submitted[0][1]("done")
        self.assertEqual((self.results, len(self.bugs)), (["done"], 1))
