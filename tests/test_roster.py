"""The roster: who is logged in, over all replicas, and which sessions stay when replicas come together."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist import roster
from chattwist.replication.messages import Login
from chattwist.roster import Roster

NAMES = {"a-1": "ann", "a-2": "Bob", "a-3": "bobby", "a-4": "cid"}


class RosterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.roster = Roster(NAMES.__getitem__)

    def enter(self, account: str, session: str, granted: tuple[int, int] = (1, 1), rank: int = 0) -> Login:
        """Somebody logs in."""
        login = Login(account, rank, session, granted)
        self.roster.enter(login)
        return login

    def test_by_name(self) -> None:
        """WHO shows those that are logged in by name, without regard to case, a page at a time."""
        for account in "a-4", "a-3", "a-1", "a-2":
            self.enter(account, account)
        self.assertEqual(self.roster.page("", 10), (["a-1", "a-2", "a-3", "a-4"], False))
        self.assertEqual(self.roster.page("", 3), (["a-1", "a-2", "a-3"], True))
        self.assertEqual(self.roster.page("BOB", 3), (["a-3", "a-4"], False))
        self.assertEqual(self.roster.page("b", 1), (["a-2"], True))

    def test_one_session_an_account(self) -> None:
        """An account that logs in anew is shown once, with its new session; when that is over, not at all."""
        self.enter("a-1", "s1")
        login = self.enter("a-1", "s2", (1, 2))
        self.assertEqual((self.roster.get("a-1"), self.roster.page("", 9)), (login, (["a-1"], False)))
        for _ in range(2):
            self.roster.leave("a-1")
            self.assertEqual((self.roster.get("a-1"), self.roster.page("", 9)), (None, ([], False)))

    def test_renamed_meanwhile(self) -> None:
        """An account that got another name while it was logged in still leaves the list when it logs out."""
        names = dict(NAMES)
        roster = Roster(names.__getitem__)
        for account in NAMES:
            roster.enter(Login(account, 0, account, (1, 1)))
        names["a-2"] = "zoe"
        roster.leave("a-2")
        self.assertEqual(roster.page("", 9), (["a-1", "a-3", "a-4"], False))

    def test_deleted(self) -> None:
        """A deleted account is logged in nowhere, though its session was granted just before and is told of after that."""
        names: dict[str, str | None] = {**NAMES, "a-2": None}
        roster = Roster(names.__getitem__)
        logins = [Login(account, 0, account, (1, 1)) for account in NAMES]
        for login in logins:
            roster.enter(login)
        self.assertEqual((roster.page("", 9), roster.get("a-2")), ((["a-1", "a-3", "a-4"], False), None))
        roster.replace(logins)
        self.assertEqual((roster.page("", 9), roster.get("a-2")), ((["a-1", "a-3", "a-4"], False), None))

    def test_replaced(self) -> None:
        """A view begins with its own list: who is not in it is not logged in."""
        self.enter("a-1", "s1")
        login = Login("a-2", 1, "s2", (2, 1))
        self.roster.replace([login])
        self.assertEqual((self.roster.page("", 9), self.roster.get("a-1")), ((["a-2"], False), None))
        self.assertEqual((self.roster.at(1), self.roster.at(0)), ([login], []))

    def test_those_that_gave_way(self) -> None:
        """Of the sessions that were taken over the latest are remembered, and no more than MOST_OVER: memory stays bounded."""
        self.patch(roster, "MOST_OVER", 2)
        for number in range(1, 5):
            self.enter("a-1", f"s{number}", (1, number))
        self.assertEqual([self.roster.is_over(f"s{number}") for number in range(1, 5)], [False, True, True, False])


class MergedTests(SynchronousTestCase):
    """R21: of the sessions that several replicas had, one an account stays, and the others end."""

    def setUp(self) -> None:
        self.roster = Roster(NAMES.__getitem__)

    def test_the_later_one_stays(self) -> None:
        """Of two sessions of one account that was granted later stays, in whatever order they are told."""
        old, new = Login("a-1", 0, "s1", (2, 9)), Login("a-1", 1, "s2", (3, 1))
        for logins in [old, new], [new, old]:
            self.assertEqual(self.roster.merged(logins), ([new], ["s1"]))

    def test_different_accounts(self) -> None:
        """Sessions of different accounts have nothing to do with each other, also with equal grants on two sides of a cut."""
        logins = [Login("a-1", 0, "s1", (2, 1)), Login("a-2", 1, "s2", (2, 1))]
        self.assertEqual(self.roster.merged(logins), (logins, []))

    def test_taken_over_somewhere_else(self) -> None:
        """A session that was taken over does not come back, though the replica that had the newer one is not here now."""
        self.roster.enter(Login("a-1", 2, "s2", (3, 4)))
        self.roster.replace([])
        old = Login("a-1", 1, "s1", (2, 9))
        self.assertEqual(self.roster.merged([old]), ([], ["s1"]))
        again = Login("a-1", 1, "s3", (4, 1))
        self.assertEqual(self.roster.merged([old, again])[0], [again])

    def test_logged_out(self) -> None:
        """One that logged out may log in again, at any replica."""
        self.roster.enter(Login("a-1", 2, "s2", (3, 4)))
        self.roster.leave("a-1")
        login = Login("a-1", 0, "s3", (3, 5))
        self.assertEqual(self.roster.merged([login]), ([login], []))
