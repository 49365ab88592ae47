"""Messages by id."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.byid import ById
from chattwist.model import Sent


def message(message_id: str) -> Sent:
    """A message of that id."""
    return Sent(message_id, 1, "a-1", "b-1", "hello")


class ByIdTests(SynchronousTestCase):
    """What is taken in is found, whatever is asked for."""

    def setUp(self) -> None:
        self.messages = ById()
        for one in ("a-7", "b-2", "a-3"):
            self.messages.add(message(one))

    def test_found(self) -> None:
        """Each is found by its id, in whatever order they came."""
        self.assertEqual([self.messages.get(one) for one in ("a-3", "b-2")], [message("a-3"), message("b-2")])
        self.assertEqual((list(self.messages), len(self.messages)), (["a-3", "a-7", "b-2"], 3))

    def test_taken_out(self) -> None:
        """What is taken out is there no more, and can come back."""
        self.assertRaises(KeyError, self.messages.__getitem__, "a-8")
        taken = [self.messages.pop("a-7"), self.messages.pop("a-7"), self.messages.pop("a-4")]
        self.assertEqual((taken, "a-7" in self.messages, len(self.messages)), ([message("a-7"), None, None], False, 2))
        self.messages.add(message("a-7"))
        self.assertIn("a-7", self.messages)

    def test_other_spellings(self) -> None:
        """What users write is no id unless it is one to the letter."""
        spellings = [
            "a-07",
            "a-+7",
            "a- 7",
            "a-0_7",
            "a-７",
            "a-7 ",
            "a--7",
            "-7",
            "7",
            "",
            "-",
            "a-",
            "c-7",
            "A-7",
            "a-8",
        ]
        for spelling in [*spellings, "a-" + "0" * 9000 + "7", "a-" + "9" * 9000]:
            self.assertNotIn(spelling, self.messages, spelling[:20])
