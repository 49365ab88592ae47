"""The sessions of one replica, each with the grant that it got from the primary."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist.accounts import Account
from chattwist.errors import TryLater, WrongPassword
from chattwist.online import Online
from chattwist.replication.messages import Login


class FakeSession:
    """What Online needs of a session."""

    def __init__(self, closed: bool = False) -> None:
        self.closed = closed
        self.began: list[str] = []
        self.byes: list[str] = []

    def begin(self, account: Account) -> None:
        """See Session."""
        self.began.append(account.name)

    def bye(self, text: str) -> None:
        """See Session."""
        self.byes.append(text)


class OnlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.online = Online()
        self.ann = Account("a-1", name="ann")

    def enter(self, session: Any, name: str, number: int = 1) -> None:
        """The session's grant comes."""
        self.online.enter(session, self.ann, Login("a-1", 0, name, (1, number)))

    def test_in_and_out(self) -> None:
        """A session is known from its grant to its end, by the id that the grant has."""
        session: Any = FakeSession()
        self.assertEqual(self.online.id("a-1"), "")
        self.enter(session, "s1")
        self.assertEqual((self.online.id("a-1"), session.began), ("s1", ["ann"]))
        self.assertEqual(self.online.logins, [Login("a-1", 0, "s1", (1, 1))])
        self.assertEqual(self.online.leave(session, self.ann), "s1")
        self.assertEqual((self.online.id("a-1"), self.online.logins, session.byes), ("", [], []))

    def test_a_later_one_ends_the_earlier(self) -> None:
        """A session that comes in the place of another on the same replica: the other's user is told."""
        first: Any = FakeSession()
        second: Any = FakeSession()
        self.enter(first, "s1")
        self.enter(second, "s2", 2)
        self.assertEqual((len(first.byes), second.byes, self.online.id("a-1")), (1, [], "s2"))
        self.assertEqual(self.online.leave(first, self.ann), "")
        self.assertEqual(self.online.id("a-1"), "s2")

    def test_a_connection_that_ended_meanwhile(self) -> None:
        """A grant for a connection that is gone changes nothing; also not for the session that the account has."""
        first: Any = FakeSession()
        self.enter(first, "s1")
        gone: Any = FakeSession(closed=True)
        self.assertRaises(TryLater, self.enter, gone, "s2", 2)
        self.assertEqual((self.online.id("a-1"), first.byes, gone.began), ("s1", [], []))

    def test_an_account_that_was_deleted_meanwhile(self) -> None:
        """A grant that comes after the account was deleted begins no session: the login is refused."""
        late: Any = FakeSession()
        self.ann.deleted = True
        self.assertRaises(WrongPassword, self.enter, late, "s1")
        self.assertEqual((self.online.id("a-1"), late.began), ("", []))

    def test_end(self) -> None:
        """A session that is ended from elsewhere is told why, once."""
        session: Any = FakeSession()
        self.enter(session, "s1")
        for _ in range(2):
            self.online.end("a-1", "over")
        self.assertEqual((session.byes, self.online.id("a-1"), self.online.logins), (["over"], "", []))
