"""The sessions of a replica, as the primary and the other replicas speak of them."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.online import Online
from chattwist.protocol.backend import Done
from chattwist.replication.messages import AnyMessage, End, Ended, Enter, Here, Login, Logins, View
from chattwist.roster import Roster
from chattwist.sessions import Sessions

RANK = 2
OLD = View((3, 1), (0, 1, 2))
VIEW = View((4, 0), (0, 1, 2))


class FakeSession:
    """Somebody who is logged in."""

    def __init__(self) -> None:
        self.closed = False
        self.byes: list[str] = []

    def begin(self, account: object) -> None:
        """See Session."""

    def bye(self, text: str) -> None:
        """See Session."""
        self.byes.append(text)


class FakeRouter:
    """Notes what is asked of the primary."""

    def __init__(self) -> None:
        self.wishes: list[tuple[Enter, Done]] = []
        self.patient = False  # the last of them
        self.left: list[str] = []
        self.reaches = True  # somebody who can be told

    def outlook(self) -> bool | None:
        """See Router."""
        return self.reaches or None

    def enter(self, wish: Enter, done: Done, patient: bool = False) -> None:
        """See Router."""
        self.wishes.append((wish, done))
        self.patient = patient

    def leave(self, account: str, session: str, done: Done) -> None:
        """See Router."""
        if self.reaches:
            self.left.append(session)
        done(None if self.reaches else errors.NoPrimary("nobody is there"))


class SessionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.chat = Chat()
        self.chat.apply(model.Registered("a-1", 1, "ann", "hash"))
        self.ann = self.chat.accounts["a-1"]
        self.online, self.router = Online(), FakeRouter()
        self.roster = Roster(lambda account: self.chat.accounts.known(account).name)
        self.sent: list[tuple[int, AnyMessage]] = []
        router: Any = self.router
        self.sessions = Sessions(
            RANK, self.chat, self.online, self.roster, router, "r", lambda *sent: self.sent.append(sent)
        )
        self.sessions.view_begins(OLD, [], [])

    def enter(self, granted: tuple[int, int] = (3, 1)) -> tuple[FakeSession, list[object]]:
        """Somebody logs in here, and the primary grants it; the session, and the answers."""
        session: Any = FakeSession()
        answers: list[object] = []
        self.sessions.enter(self.ann, "hash", False, session, answers.append)
        wish, done = self.router.wishes.pop()
        login = Login("a-1", RANK, wish.session, granted)
        self.sessions.changed(Logins((granted[0], 1), [login], []))
        done(login)
        return session, answers

    def test_granted(self) -> None:
        """A session begins with its grant, and is the account's from then on."""
        _, answers = self.enter()
        login = Login("a-1", RANK, "r:1", (3, 1))
        self.assertEqual(answers, [login])
        self.sessions.changed(Logins(OLD.epoch, [login], []))
        self.assertTrue(self.sessions.is_here("a-1", "r:1"))
        self.assertEqual(self.router.wishes, [])

    def test_granted_in_an_older_view(self) -> None:
        """A grant of which the members have not heard is asked for again, unless the session is over by then."""
        for stays in True, False:
            session: Any = FakeSession()

            def answered(result: object, session: Any = session, stays: bool = stays) -> None:
                if not stays:
                    self.sessions.left(session, self.ann, lambda: None)

            self.sessions.enter(self.ann, "hash", False, session, answered)
            wish, done = self.router.wishes.pop()
            done(Login("a-1", RANK, wish.session, (2, 1)))
            again = [asked.session for asked, _ in self.router.wishes]
            self.assertEqual(again, [wish.session] if stays else [])
            self.router.wishes.clear()

    def test_left(self) -> None:
        """Whoever leaves is told so, also where that login was over already: no connection waits for it for ever."""
        session: Any = self.enter()[0]
        done: list[bool] = []
        for _ in range(2):
            self.sessions.left(session, self.ann, lambda: done.append(True))
        self.assertEqual((self.router.left, done), (["r:1"], [True, True]))

    def test_granted_elsewhere(self) -> None:
        """A session ends here when its account gets another at another replica."""
        session, _ = self.enter()
        self.sessions.changed(Logins(OLD.epoch, [Login("a-1", 0, "s9", (3, 2))], []))
        self.assertEqual((len(session.byes), self.online.id("a-1")), (1, ""))

    def test_news_of_an_earlier_primary(self) -> None:
        """What a primary said that leads no more may come late: it changes nothing of what the present one said (R12)."""
        session, _ = self.enter()
        login = Login("a-1", RANK, "r:1", (3, 1))
        self.sessions.view_begins(VIEW, [login], [])
        self.sessions.changed(Logins(OLD.epoch, [Login("a-1", 0, "s9", (3, 2))], []))
        self.sessions.changed(Logins(OLD.epoch, [], ["a-1"]))
        self.assertEqual((session.byes, self.roster.get("a-1"), self.router.wishes), ([], login, []))
        self.sessions.changed(Logins(VIEW.epoch, [], ["a-1"]))
        self.assertIsNone(self.roster.get("a-1"))

    def test_a_view_that_ends_it(self) -> None:
        """A session that a view has not, since its account has a later one, is told so."""
        session, _ = self.enter()
        self.sessions.view_begins(VIEW, [], ["r:1"])
        self.assertEqual((len(session.byes), self.online.id("a-1")), (1, ""))
        session, _ = self.enter((4, 1))
        self.sessions.view_begins(View((5, 0), (0, 1, 2)), [Login("a-1", 0, "s9", (4, 2))], [])
        self.assertEqual((len(session.byes), self.online.id("a-1")), (1, ""))

    def test_a_view_that_does_not_know_it(self) -> None:
        """A session that was granted too late for the new view is asked for again, and goes on unless that is refused."""
        session, _ = self.enter()
        self.sessions.view_begins(VIEW, [], [])
        self.assertTrue(self.router.patient)  # the view that begins has no primary yet
        wish, done = self.router.wishes.pop()
        self.assertEqual((wish.session, wish.takeover, session.byes), ("r:1", False, []))
        for answer in errors.NoPrimary("not now"), Login("a-1", RANK, "r:1", (4, 1)):
            done(answer)
            self.assertTrue(self.sessions.is_here("a-1", "r:1"))
        self.assertEqual(self.router.left, [])
        done(errors.LoggedInElsewhere("elsewhere"))
        self.assertEqual(len(session.byes), 1)

    def test_deleted_as_the_view_changes(self) -> None:
        """The session of an account that was deleted is not asked for again: the deletion ends it, and says so."""
        session, _ = self.enter()
        self.chat.apply(model.Unregistered("a-2", 2, "a-1"))
        self.sessions.view_begins(VIEW, [], [])
        self.assertEqual((self.router.wishes, session.byes), ([], []))

    def test_it_left_before_it_was_granted_again(self) -> None:
        """A session that ended while it was asked for again is given back: nobody has to take over from nobody."""
        session, _ = self.enter()
        self.sessions.view_begins(VIEW, [], [])
        gone: Any = session
        self.sessions.left(gone, self.ann, lambda: None)
        self.router.left.clear()
        _, done = self.router.wishes.pop()
        done(Login("a-1", RANK, "r:1", (4, 1)))
        self.assertEqual(self.router.left, ["r:1"])

    def test_the_connection_ended_before_the_grant(self) -> None:
        """A grant for a connection that is gone is given back."""
        session: Any = FakeSession()
        session.closed = True
        answers: list[object] = []
        self.sessions.enter(self.ann, "hash", False, session, answers.append)
        _, done = self.router.wishes.pop()
        done(Login("a-1", RANK, "r:1", (3, 1)))
        self.assertIsInstance(answers[0], errors.TryLater)
        self.assertEqual(self.router.left, ["r:1"])

    def test_asked_to_end(self) -> None:
        """The primary has a session ended, and is told that it is over, also where it was over already."""
        session, _ = self.enter()
        for name, byes in ("r:7", 0), ("r:1", 1), ("r:1", 1):
            self.sessions.asked_to_end(0, End("a-1", name, "taken over"))
            self.assertEqual(session.byes, ["taken over"] * byes)
        self.assertEqual(self.sent, [(0, Ended("a-1", name)) for name in ("r:7", "r:1", "r:1")])

    def test_all_are_told(self) -> None:
        """A new connection to the primary begins with all sessions that are here."""
        self.enter()
        self.sessions.tell_all(1)
        self.assertEqual(self.sent, [(1, Here([Login("a-1", RANK, "r:1", (3, 1))]))])

    def test_ended_while_the_view_was_made(self) -> None:
        """A session of this replica that the view has, but that is over, is to be given back."""
        session, _ = self.enter()
        login = Login("a-1", RANK, "r:1", (3, 1))
        gone: Any = session
        self.sessions.left(gone, self.ann, lambda: None)
        self.sessions.view_begins(VIEW, [login, Login("a-2", 0, "s9", (3, 2))], [])
        self.router.left.clear()
        self.sessions.note_ended()
        self.sessions.tell_again()
        self.sessions.tell_again()
        self.assertEqual(self.router.left, ["r:1"])

    def test_ended_while_nobody_is_in_reach(self) -> None:
        """The end of a session that nobody could be told of is told as soon as somebody can: LOGIN elsewhere finds it over."""
        session, _ = self.enter()
        gone: Any = session
        told: list[bool] = []
        self.router.reaches = False
        self.sessions.left(gone, self.ann, lambda: told.append(True))
        self.sessions.tell_again()
        self.assertEqual((told, self.router.left), ([True], []))
        self.router.reaches = True
        self.sessions.tell_again()
        self.sessions.tell_again()
        self.assertEqual((told, self.router.left), ([True], ["r:1"]))
