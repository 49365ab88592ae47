"""Granting sessions: what the primary says to LOGIN and TAKEOVER on any replica."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.grants import Grants
from chattwist.online import Online
from chattwist.replication.messages import NEVER, AnyMessage, End, Enter, Login, Logins, View
from chattwist.roster import Roster

VIEW = View((5, 0), (0, 1, 2))


def wish(rank: int, session: str, takeover: bool = False, account: str = "a-1", password: str = "hash") -> Enter:
    """Somebody at a replica wants to log in."""
    return Enter(7, NEVER, rank, account, password, takeover, session)


class Endings(Online):
    """Ends nothing, and notes what it should end."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def end(self, account: str, text: str) -> None:
        """See Online."""
        self.ended.append(text)


class GrantsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.chat = Chat()
        self.chat.apply(model.Registered("a-1", 1, "ann", "hash"))
        self.sent: list[tuple[int, AnyMessage]] = []
        self.roster = Roster(lambda account: self.chat.accounts[account].name)
        self.online = Endings()
        self.grants = Grants(0, self.chat, self.online, self.roster, lambda *sent: self.sent.append(sent))
        self.grants.lead(VIEW)
        self.answers: list[object] = []
        self.again: list[str] = []

    def enter(self, wanted: Enter) -> None:
        """Ask; the answers, and who is to ask again, are noted."""
        self.grants.enter(wanted, self.answers.append, lambda: self.again.append(wanted.session))

    def told(self) -> list[tuple[int, AnyMessage]]:
        """What was sent since the last call."""
        sent, self.sent[:] = list(self.sent), []
        return sent

    def code(self) -> int:
        """The code of the last answer."""
        assert isinstance(self.answers[-1], errors.ChatError)
        return self.answers[-1].code

    def test_granted(self) -> None:
        """A grant has the number of its view and a count in it; all members hear of it."""
        self.enter(wish(1, "s1"))
        login = Login("a-1", 1, "s1", (5, 1))
        self.assertEqual(self.answers, [login])
        self.assertEqual(self.told(), [(rank, Logins((5, 0), [login], [])) for rank in (1, 2)])
        self.assertEqual(self.roster.get("a-1"), login)

    def test_a_session_that_gave_way(self) -> None:
        """What it asked for just before is refused, also where nobody here knows the session that it gave way to."""
        self.roster.replace([], ["s1"])
        self.assertFalse(self.grants.may_act(2, "a-1", "s1"))
        self.assertTrue(self.grants.may_act(2, "a-1", "s2"))
        self.assertFalse(self.grants.may_act(2, "a-1", "s1"))

    def test_asked_twice(self) -> None:
        """The same wish again, because the first answer was lost, is granted again: it is the same session."""
        for _ in range(2):
            self.enter(wish(1, "s1"))
        self.assertEqual([answer.session for answer in self.answers if isinstance(answer, Login)], ["s1", "s1"])

    def test_refused(self) -> None:
        """A password that was changed meanwhile, an account that is deleted, or none: all one answer, 535."""
        self.enter(wish(1, "s1", password="old hash"))
        self.enter(wish(1, "s1", account="a-9"))
        self.chat.apply(model.Unregistered("a-2", 2, "a-1"))
        self.enter(wish(1, "s1"))
        self.assertEqual({(type(answer), str(answer)) for answer in self.answers},
                         {(errors.WrongPassword, errors.WRONG)})  # fmt: skip
        self.assertEqual((len(self.answers), self.told()), (3, []))

    def test_logged_in_elsewhere(self) -> None:
        """A second LOGIN is refused with 453, and says what to do; the first session is not touched."""
        self.enter(wish(1, "s1"))
        self.told()
        self.enter(wish(2, "s2"))
        self.assertEqual((self.code(), self.told()), (453, []))
        self.assertIn("TAKEOVER ann", str(self.answers[-1]))

    def test_takeover_waits(self) -> None:
        """TAKEOVER is granted only when the other replica has said that the session there is over (R21)."""
        self.enter(wish(1, "s1"))
        self.told()
        self.enter(wish(2, "s2", takeover=True))
        ((rank, end),) = self.told()
        assert isinstance(end, End)
        self.assertEqual((rank, end.account, end.session), (1, "a-1", "s1"))
        self.assertEqual((len(self.answers), self.again), (1, []))
        self.grants.left("a-1", "s1")
        self.assertEqual(self.again, ["s2"])
        self.assertEqual(self.told(), [(rank, Logins((5, 0), [], ["a-1"])) for rank in (1, 2)])
        self.enter(wish(2, "s2", takeover=True))
        self.assertEqual(self.answers[-1], Login("a-1", 2, "s2", (5, 2)))

    def test_two_takeovers(self) -> None:
        """Both that wait are asked again, in their order: the first is granted, the second takes over from that one."""
        self.enter(wish(1, "s1"))
        for session in "s2", "s3":
            self.enter(wish(2, session, takeover=True))
        self.grants.left("a-1", "s1")
        self.assertEqual(self.again, ["s2", "s3"])

    def test_takeover_on_the_primary(self) -> None:
        """A session on the primary itself is ended at once."""
        self.enter(wish(0, "s1"))
        self.enter(wish(1, "s2", takeover=True))
        self.assertEqual(len(self.online.ended), 1)
        self.assertEqual(self.answers[-1], Login("a-1", 1, "s2", (5, 2)))

    def test_takeover_from_one_that_is_not_in_the_view(self) -> None:
        """A session at a replica that is out of the view cannot act: nobody waits for it, and it is told to end."""
        self.roster.enter(Login("a-1", 2, "s1", (4, 1)))
        self.grants.rest()
        self.grants.lead(View((6, 0), (0, 1)))
        self.enter(wish(1, "s2", takeover=True))
        self.assertEqual(self.answers[-1], Login("a-1", 1, "s2", (6, 1)))
        self.assertIn((2, "s1"), [(rank, one.session) for rank, one in self.told() if isinstance(one, End)])

    def test_stale_leave(self) -> None:
        """That a session is over which was replaced long ago ends nothing."""
        self.enter(wish(1, "s2"))
        self.told()
        self.grants.left("a-1", "s1")
        self.grants.left("a-9", "s2")
        self.assertEqual((self.roster.get("a-1"), self.told()), (self.answers[0], []))

    def test_all_sessions_of_a_replica(self) -> None:
        """Over a new connection a replica tells all its sessions: what is not among them is over, others' are not touched."""
        for number, name in ((2, "bob"), (3, "cid")):
            self.chat.apply(model.Registered(f"a-{number}", number, name, "hash"))
        for rank, account in ((1, "a-1"), (1, "a-2"), (2, "a-3")):
            self.enter(wish(rank, f"s-{account}", account=account))
        self.enter(wish(2, "s4", takeover=True))
        self.grants.all_of(1, [Login("a-2", 1, "s-a-2", (5, 2))])
        self.assertEqual(
            [self.roster.get(account) is not None for account in ("a-1", "a-2", "a-3")], [False, True, True]
        )
        self.assertEqual(self.again, ["s4"])

    def test_all_sessions_told_to_one_that_leads_no_more(self) -> None:
        """What a replica tells somebody who is not primary any more changes nothing: the new primary was told, too."""
        self.enter(wish(1, "s1"))
        self.grants.rest()
        self.grants.all_of(1, [])
        self.assertIsNotNone(self.roster.get("a-1"))

    def test_the_view_ends(self) -> None:
        """Those who waited ask again, whoever leads then; a grant of a later view is always later."""
        self.enter(wish(1, "s1"))
        self.enter(wish(2, "s2", takeover=True))
        for again in self.grants.rest():
            again()
        self.assertEqual((self.again, self.grants.rest()), (["s2"], []))
        self.grants.lead(View((6, 0), (0, 2)))
        self.enter(wish(2, "s2", takeover=True))
        first, last = self.answers
        assert isinstance(first, Login)
        assert isinstance(last, Login)
        self.assertLess(first.granted, last.granted)

    def test_unconfirmed(self) -> None:
        """An account is to be confirmed as long as it has a name, and was not."""
        self.chat.apply(model.Registered("a-2", 2, "ANN", "hash"))
        self.assertEqual([self.grants.is_unconfirmed(account) for account in ("a-1", "a-2")], [True, True])
        self.chat.apply(model.Confirmed("n-1", 3, "a-1"))
        self.assertEqual([self.grants.is_unconfirmed(account) for account in ("a-1", "a-9")], [False, False])

    def test_a_copy(self) -> None:
        """Nobody is let into an account that turned out to be a copy of another after its password was verified."""
        for account in "c-1", "c-2":
            self.chat.apply(model.Registered(account, 2, "cyd", "hash", "key"))
        self.chat.apply(model.Confirmed("n-1", 3, "c-1"))
        answers = list[object]()
        self.grants.enter(wish(1, "s1", account="c-2"), answers.append, lambda: None)
        (answer,) = answers
        self.assertEqual((getattr(answer, "code", 0), self.roster.get("c-2")), (450, None))

    def test_may_not_act_after_a_newer_one(self) -> None:
        """Whose session gave way stays out in later views, too, where the newer one's replica is not a member."""
        self.enter(wish(2, "s1"))
        self.enter(wish(2, "s1"))
        self.roster.replace([Login("a-1", 1, "s2", (6, 1))])
        self.roster.replace([])
        self.assertEqual([self.grants.may_act(2, "a-1", session) for session in ("s1", "s3")], [False, True])

    def test_may_act(self) -> None:
        """A request counts for the session that has the account; of an older one it is refused."""
        self.enter(wish(1, "s1"))
        self.assertTrue(self.grants.may_act(1, "a-1", "s1"))
        self.assertFalse(self.grants.may_act(2, "a-1", "s0"))

    def test_may_act_after_its_grant_was_lost(self) -> None:
        """A session that the new primary did not hear of goes on, and has the account again; unless another has it."""
        self.assertTrue(self.grants.may_act(1, "a-1", "s1"))
        self.assertEqual(self.roster.get("a-1"), Login("a-1", 1, "s1", (5, 1)))
        self.assertFalse(self.grants.may_act(2, "a-1", "s2"))
