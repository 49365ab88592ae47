"""What becomes of commands with passwords on their way through the cluster, at the replica of the client that asks."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.logins import SOON, Logins
from chattwist.passwords import hash_password
from chattwist.protocol.backend import Committed, Done
from chattwist.requests import AnyRequest, Confirm, Register

COST = 4
GUS = model.Registered("a-7", 7, "gus", "hash")


class FakeThreads:
    """Hashes at once, unless too many others wait, and notes what for: ``patient`` and the address of each."""

    full = False

    def __init__(self) -> None:
        self.asked: list[tuple[bool, str]] = []

    def run(
        self, function: Callable[..., Any], *arguments: object, patient: bool = False, source: str = ""
    ) -> Deferred[Any]:
        """See PasswordThreads."""
        if self.full:
            raise errors.TryLater("too many logins at once")
        self.asked.append((patient, source))
        return succeed(function(*arguments))


class FakeSession:
    """Somebody who is connected."""

    def __init__(self) -> None:
        self.closed = False
        self.address = "here"


class FakeProspects:
    """A router that knows a primary, or why there is none."""

    def __init__(self) -> None:
        self.error: errors.ChatError | None = None
        self.waits = 0  # how often it is asked before it knows

    def outlook(self) -> bool | None:
        """See Router."""
        self.waits -= 1
        return None if self.waits >= 0 else self.error is None

    def no_primary(self) -> errors.ChatError:
        """See Router."""
        assert self.error is not None
        return self.error


class LoginsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.chat = Chat()
        self.requests: list[tuple[AnyRequest, Done]] = []
        self.wishes: list[tuple[Account, Done]] = []
        self.takeovers: list[bool] = []  # whether each of them ends another session
        self.session: Any = FakeSession()
        self.answers: list[object] = []
        self.threads = FakeThreads()
        threads: Any = self.threads
        clock: Any = Clock()
        self.clock = clock
        self.prospects = FakeProspects()
        self.logins = Logins(
            clock, lambda: 0, self.chat, lambda request, done: self.requests.append((request, done)),
            self.enter, threads, COST, self.prospects,
        )  # fmt: skip

    def enter(self, account: Account, hashed: str, takeover: bool, session: object, done: Done) -> None:
        """See Sessions."""
        self.wishes.append((account, done))
        self.takeovers.append(takeover)

    def codes(self) -> list[int]:
        """The codes of the answers, 0 for those that are no errors."""
        return [answer.code if isinstance(answer, errors.ChatError) else 0 for answer in self.answers]


class PasswordTests(LoginsTests):
    def test_nothing_can_be_committed(self) -> None:
        """A login says why: 451 or, where this replica's disk is full, 452."""
        for error in errors.NoPrimary("none"), errors.NoSpace("full"):
            self.prospects.error = error
            self.logins.login(self.session, "gus", "secret-gus", False, self.answers.append)
        self.assertEqual(self.codes(), [451, 452])

    def test_nearly_up_to_date(self) -> None:
        """A replica that is between two views looks again until it has all accounts, and is not busy with that meanwhile."""
        self.prospects.waits = 3
        self.login()
        for _ in range(3):
            self.assertEqual(self.answers, [])
            self.clock.advance(SOON)
        self.assertEqual(self.codes(), [535])

    def test_as_long_for_each(self) -> None:
        """A wrong password takes the time of one hash, as a wrong name does: nobody learns which names there are."""
        self.login("a-wrong-guess")
        self.chat.apply(msgspec.structs.replace(GUS, password=hash_password("secret-gus", COST)))
        self.login("a-wrong-guess")
        self.assertEqual((self.codes(), len(self.threads.asked)), ([535, 535], 2))

    def test_a_password_that_may_have_been_changed(self) -> None:
        """PASSWD and UNREGISTER at a replica that may lack the newest password: 451, and not that the right one is wrong."""
        self.prospects.error = errors.NoPrimary("none")
        gus = Account("a-7", name="gus")
        self.logins.change_password(gus, "here", "secret-gus", "secret-two", "", self.answers.append)
        self.logins.unregister(gus, "here", "secret-gus", "", self.answers.append)
        self.assertEqual(self.codes(), [451, 451])

    def test_turned_away(self) -> None:
        """Tries that were turned away, since too many others wait, make the next one no slower."""
        self.threads.full = True
        for _ in range(20):
            self.logins.login(self.session, "gus", "secret-gus", False, self.answers.append)
        self.threads.full = False
        self.logins.login(self.session, "gus", "secret-gus", False, self.answers.append)
        self.assertEqual(self.codes(), [450] * 20 + [535])

    def login(self, password: str = "secret-gus") -> None:
        """Somebody tries a password for gus."""
        self.logins.login(self.session, "gus", password, False, self.answers.append)

    def test_guesses(self) -> None:
        """Guesses get slow, for a name that nobody has alike; the right password waits, too, and ends that."""
        for known in False, True:
            self.setUp()
            if known:
                self.chat.apply(msgspec.structs.replace(GUS, password=hash_password("secret-gus", COST)))
            for _ in range(10):
                self.login("a-wrong-guess")
            self.assertLess(len(self.answers), 10)
            self.clock.pump([1] * 60)
            self.assertEqual(self.codes(), [535] * 10)
        self.login()
        self.assertEqual(len(self.wishes), 0)
        self.clock.advance(8)
        self.login()
        self.assertEqual(len(self.wishes), 2)

    def test_two_accounts_of_one_name(self) -> None:
        """Whoever was renamed, since another had the name first, still logs in by the name that he registered."""
        for number, password in enumerate(("secret-one", "secret-two"), 1):
            hashed = hash_password(password, COST)
            self.chat.apply(model.Registered(f"a-{number}", number, "gus", hashed))
        for password in "secret-two", "secret-one":
            self.login(password)
        self.assertEqual([account.name for account, _ in self.wishes], ["gus~2", "gus"])

    def test_an_account_without_a_hash(self) -> None:
        """No password is right for an account of which none is known, and the hash of none is none to compare with."""
        self.chat.apply(msgspec.structs.replace(GUS, password=""))
        self.login()
        self.assertEqual(self.codes(), [535])

    def test_who_waits_for_a_thread(self) -> None:
        """Each address has its turn; and whoever makes accounts lets those go first that have one."""
        self.login()
        gus = Account("a-7", name="gus", password=hash_password("secret-gus", COST))
        self.logins.change_password(gus, "there", "secret-gus", "secret-two", "", self.answers.append)
        self.logins.register(self.session, "eve", "secret-eve", "", self.answers.append)
        self.assertEqual(self.threads.asked, [(False, "here"), (False, "there"), (False, "there"), (True, "here")])


class RegisterTests(LoginsTests):
    def register(self) -> None:
        """The client asks."""
        self.logins.register(self.session, "gus", "secret-gus", "k", self.answers.append)

    def commit(self, operation: model.AnyOperation) -> None:
        """What was asked for last is recorded, and known here."""
        self.chat.apply(operation)
        _, done = self.requests.pop()
        done(Committed(operation, 3))

    def registered(self) -> model.Registered:
        """The operation that does what the client asks for."""
        request = self.requests[-1][0]
        assert isinstance(request, Register)
        return model.Registered("a-7", 7, request.name, request.password, request.key)

    def test_gone_before_it_was_made(self) -> None:
        """For a client that is gone no account is made: nobody would ever have its name."""
        self.session.closed = True
        self.register()
        self.assertEqual(self.requests, [])

    def test_two_commits_and_a_login(self) -> None:
        """A registration is answered once all know that it was committed, and the session is granted (R19)."""
        self.register()
        self.commit(self.registered())
        self.assertEqual([request for request, _ in self.requests], [Confirm("a-7")])
        self.assertEqual((self.wishes, self.answers), ([], []))
        self.commit(model.Confirmed("n-1", 8, "a-7"))
        ((account, granted),) = self.wishes
        granted(None)
        self.assertEqual(self.answers, [account])

    def test_logged_in_elsewhere_meanwhile(self) -> None:
        """Who registers gets the session, also if one at another replica was granted a moment before, first time or repeated."""
        for _ in range(2):
            self.register()
            if self.requests:
                self.commit(self.registered())
                self.commit(model.Confirmed("n-1", 8, "a-7"))
        self.assertEqual(self.takeovers, [True, True])

    def test_another_was_first_with_the_key(self) -> None:
        """Whose name and retry key somebody else has used just before is let in by the password of then, and no other."""
        for password, codes in ("secret-eve", [551]), ("secret-gus", []):
            self.setUp()
            self.register()
            first = msgspec.structs.replace(self.registered(), password=hash_password(password, COST))
            self.commit(first)
            self.assertEqual((self.requests, self.codes(), len(self.wishes)), ([], codes, 1 - len(codes)))

    def test_nobody_is_there_to_be_told(self) -> None:
        """Once the client is gone, its registration is not confirmed: it may have registered the name elsewhere by now."""
        self.register()
        self.session.closed = True
        self.commit(self.registered())
        self.assertEqual((self.requests, self.wishes, self.codes()), ([], [], [450]))

    def test_it_is_gone_before_the_login(self) -> None:
        """Who is gone is not logged in."""
        self.register()
        self.commit(self.registered())
        self.session.closed = True
        self.commit(model.Confirmed("n-1", 8, "a-7"))
        self.assertEqual((self.wishes, self.codes()), ([], [450]))

    def test_refused(self) -> None:
        """If the name was given away meanwhile, that is the answer, at the first commit or at the second."""
        for commits in range(2):
            self.answers.clear()
            self.register()
            for _ in range(commits):
                self.commit(self.registered())
            _, done = self.requests.pop()
            done(errors.NameTaken("taken"))
            self.assertEqual(self.codes(), [551])

    def test_not_confirmed(self) -> None:
        """If nobody can say whether it was confirmed, the answer is 454: the account is there, and LOGIN confirms it."""
        self.register()
        self.commit(self.registered())
        _, done = self.requests.pop()
        done(errors.NoPrimary("none"))
        self.assertEqual(self.codes(), [454])

    def test_made_but_not_logged_in(self) -> None:
        """Of an account that was made nobody is told that nothing was recorded: where its login fails, that is 454."""
        for error in errors.NoPrimary("none"), errors.NoSpace("not recorded: this replica's disk is full"):
            self.setUp()
            self.register()
            self.commit(self.registered())
            self.commit(model.Confirmed("n-1", 8, "a-7"))
            ((_, refused),) = self.wishes
            refused(error)
            self.assertEqual(self.codes(), [454])
