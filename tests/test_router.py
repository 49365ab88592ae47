"""Where requests go while the cluster changes around them, and what their clients are told."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors, model
from chattwist.batch import Waiting
from chattwist.cluster import Timings
from chattwist.errand import What
from chattwist.forwarded import MOST
from chattwist.protocol.backend import Committed, Done
from chattwist.replication.log import Log
from chattwist.replication.messages import (
    NEVER,
    Again,
    AnyMessage,
    Ended,
    Enter,
    Entered,
    Epoch,
    Failure,
    Forward,
    Leave,
    Left,
    Login,
    Result,
    View,
    encode,
)
from chattwist.replication.sending import BACKLOG
from chattwist.requests import AnyRequest, Confirm, MarkRead, Send, Sends
from chattwist.router import Router

RANK = 1
FIRST = 100
VIEW = View((3, 0), (0, 1, 2))
OTHER = View((4, 2), (1, 2))
SEND = Send(account="a-1", recipient="bob", text="hi", mailbox=9)
KEYED = Send(account="a-1", recipient="bob", text="hi", mailbox=9, key="k")
SENT = model.Sent("m-1", 1, "a-1", "a-2", "hi")
WISH = Enter(0, NEVER, RANK, "a-1", "hash", False, "s1")
LOGIN = Login("a-1", RANK, "s1", (3, 1))


class FakeCommits:
    """Commits what the test says."""

    def __init__(self) -> None:
        self.shared = True
        self.waiting: list[Waiting] = []
        self.idler: Callable[[], None] = lambda: None

    def submit(self, request: AnyRequest, done: Any, session: str = "", tag: tuple[int, int] = (-1, 0)) -> None:
        """See Commits."""
        self.waiting.append(Waiting(request, done, session, tag))

    def send_all(self, sends: Sends, done: Any, session: str) -> None:
        """See Commits."""
        self.waiting.append(Waiting(sends, done, session))

    def is_shared(self, account: str) -> bool:
        """See Commits."""
        return self.shared

    @property
    def idle(self) -> bool:
        """See Commits."""
        return not self.waiting

    def when_idle(self, done: Callable[[], None]) -> None:
        """See Commits."""
        self.idler = done

    def barrier(self, done: Any) -> None:
        """See Commits."""
        self.waiting.append(Waiting(None, done))

    def give_back(self) -> list[Waiting]:
        """See Commits."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def end(self, result: object) -> Waiting:
        """The oldest is done."""
        one = self.waiting.pop(0)
        one.done(result)
        return one


class FakeGrants:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.wishes: list[tuple[Enter, Callable[[object], None], Callable[[], None]]] = []
        self.lefts: list[tuple[str, str]] = []
        self.may = True
        self.unconfirmed = False
        self.view: View | None = None
        self.resting: list[Callable[[], None]] = []

    def lead(self, view: View) -> None:
        """See Grants."""
        self.view = view

    def rest(self) -> list[Callable[[], None]]:
        """See Grants."""
        resting, self.resting = self.resting, []
        return resting

    def enter(self, wish: Enter, answer: Any, again: Callable[[], None]) -> None:
        """See Grants."""
        self.wishes.append((wish, answer, again))

    def is_unconfirmed(self, account: str) -> bool:
        """See Grants."""
        return self.unconfirmed

    def may_act(self, rank: int, account: str, session: str) -> bool:
        """See Grants."""
        return self.may

    def left(self, account: str, session: str) -> None:
        """See Grants."""
        self.lefts.append((account, session))


class FakeOutside:
    """What surrounds the router."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, AnyMessage]] = []
        self.relays: int | None = None
        self.error: errors.ChatError | None = None
        self.bugs = 0
        self.begun = False
        self.here = True
        self.ended: list[str] = []
        self.marks: list[tuple[tuple[str, ...], Done]] = []

    def is_begun(self, what: What) -> bool:
        """See Outside."""
        return self.begun

    def mark_read(self, ids: tuple[str, ...], done: Done) -> None:
        """See Outside."""
        self.marks.append((ids, done))

    def send(self, rank: int, message: AnyMessage) -> None:
        """See Outside."""
        self.sent.append((rank, message))

    def log_bug(self) -> None:
        self.bugs += 1

    def relay(self) -> int | None:
        """See Outside."""
        return self.relays

    def unfit(self) -> errors.ChatError | None:
        """See Outside."""
        return self.error

    def result(self, operation: model.AnyOperation, replicas: int) -> Committed:
        """See Outside."""
        return Committed(operation, replicas)

    def is_here(self, account: str, session: str) -> bool:
        """See Outside."""
        return self.here

    def over(self, account: str, session: str) -> None:
        """See Outside."""
        self.ended.append(session)


class RouterTests(SynchronousTestCase):
    """Replica 1 of three."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.timings = Timings()
        self.log = Log()
        self.commits, self.grants, self.outside = FakeCommits(), FakeGrants(), FakeOutside()
        commits: Any = self.commits
        grants: Any = self.grants
        self.router = Router(
            RANK, lambda: self.now, self.timings, self.log, commits, grants, self.outside, FIRST
        )  # fmt: skip
        self.answers: list[Any] = []

    def submit(self, request: AnyRequest = SEND, session: str = "s1") -> None:
        """A client here asks."""
        self.router.submit(request, session, self.answers.append)

    def enter(self) -> None:
        """A client here wants to log in."""
        self.router.enter(WISH, self.answers.append)

    def follow(self, view: View = VIEW) -> None:
        """This replica follows."""
        self.router.role("follower", view)

    def lead(self, epoch: Epoch = (3, RANK)) -> None:
        """This replica leads."""
        self.router.role("primary", View(epoch, (0, 1, 2)))

    def sent(self) -> list[tuple[int, AnyMessage]]:
        """What was sent since the last call."""
        sent, self.outside.sent = self.outside.sent, []
        return sent

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the router look."""
        self.now += seconds
        self.router.tick()

    def apply(self, operation: model.AnyOperation, tag: tuple[int, int] = (-1, 0)) -> None:
        """An operation is durable and applied here."""
        self.log.add(operation)
        self.router.applied([operation], [tag])

    def codes(self) -> list[int]:
        """The codes of the answers so far."""
        return [answer.code for answer in self.answers]


class FollowerTests(RouterTests):
    def setUp(self) -> None:
        super().setUp()
        self.follow()

    def test_forwarded(self) -> None:
        """A request goes to the primary, for its view only, and is answered with what was committed."""
        self.submit()
        self.assertEqual(self.sent(), [(0, Forward(FIRST + 1, (3, 0), RANK, SEND, "s1"))])
        self.apply(SENT, (RANK, FIRST + 1))
        self.assertEqual(self.answers, [])
        self.router.deliver(0, Result(FIRST + 1, "m-1", 3, True))
        self.assertEqual(self.answers, [Committed(SENT, 3, True)])

    def test_numbered(self) -> None:
        """Answers find their requests by number, whatever order they come in; each is told once."""
        for _ in range(2):
            self.submit()
        self.router.deliver(0, Failure(FIRST + 2, 550, "no account"))
        for _ in range(2):
            self.router.deliver(0, Failure(FIRST + 1, 552, "full"))
        self.router.deliver(0, Failure(FIRST + 77, 552, "full"))
        self.assertEqual(self.codes(), [550, 552])

    def test_not_before_it_is_applied_here(self) -> None:
        """A session reads its own writes: its yes waits until this replica has the operation itself (R20)."""
        self.submit()
        self.router.deliver(0, Result(FIRST + 1, "m-1", 3, True))
        self.assertEqual(self.answers, [])
        self.apply(SENT)
        self.assertEqual(self.answers, [Committed(SENT, 3, True)])

    def test_applied_here_too_late(self) -> None:
        """If it never comes, the answer is that the outcome is not known, and not silence."""
        self.submit()
        self.router.deliver(0, Result(FIRST + 1, "m-1", 3, True))
        self.pass_time(3 * self.timings.patience + 0.1)
        self.assertEqual(self.codes(), [454])

    def test_a_primary_that_does_not_answer(self) -> None:
        """A request that the primary leaves unanswered is 454 in the end: it may be recorded. A login is 451: ask again."""
        self.submit()
        self.enter()
        self.pass_time(3 * self.timings.patience - 0.1)
        self.assertEqual(self.answers, [])
        self.pass_time(0.2)
        self.assertEqual(self.codes(), [454, 451])

    def test_a_new_connection(self) -> None:
        """What was forwarded over a connection that broke is forwarded again, if doing it twice comes to the same as once."""
        self.follow()
        self.submit()
        self.submit(KEYED)
        self.outside.sent.clear()
        self.router.connected(2)
        self.assertEqual(self.outside.sent, [])
        self.router.connected(VIEW.primary)
        ((_, message),) = self.outside.sent
        assert isinstance(message, Forward)
        self.assertEqual((message.number, message.request), (FIRST + 3, KEYED))
        self.assertEqual(self.answers, [])

    def flood(self, count: int = 5) -> list[int]:
        """Clients send messages of which two are as much as another replica may have; the numbers of those that it got."""
        for _ in range(count):
            self.submit(msgspec.structs.replace(SEND, text="x" * (MOST // 2)))
        return self.numbers()

    def numbers(self) -> list[int]:
        """The numbers of what was forwarded since the last call."""
        return [message.number - FIRST for _, message in self.sent() if isinstance(message, Forward)]

    def test_more_than_the_channel_takes(self) -> None:
        """However much clients send: another replica gets as much as is no trouble, in order, and the rest as that is done."""
        self.assertEqual(self.flood(), [1, 2])
        self.submit()
        self.pass_time(2 * self.timings.patience)
        self.assertEqual((self.numbers(), self.answers), ([], []))
        self.router.deliver(0, Failure(FIRST + 1, 552, "full"))
        self.assertEqual(self.numbers(), [3])
        for number in 2, 3, 4, 5:
            self.router.deliver(0, Result(FIRST + number, "m-1", 3, True))
        self.assertEqual(self.numbers(), [4, 5, 6])
        self.apply(SENT)
        self.assertEqual(self.answers[1:], [Committed(SENT, 3, True)] * 4)

    def test_more_than_the_channel_takes_of_anything(self) -> None:
        """Very many short messages are no trouble either, nor long words where there should be a name."""
        for request, count in ((SEND, 40_000), (msgspec.structs.replace(SEND, recipient="x" * 8000), 1000)):
            self.setUp()
            self.follow()
            for _ in range(count):
                self.submit(request)
            sent = [message for _, message in self.sent() if isinstance(message, Forward)]
            self.assertLess(len(sent), count)
            self.assertLess(sum(len(encode(message)) for message in sent), BACKLOG / 2)

    def test_more_than_the_channel_takes_and_no_answer(self) -> None:
        """What is given up makes room for what waits behind it."""
        self.assertEqual(self.flood(), [1, 2])
        self.pass_time(3 * self.timings.patience + 0.1)
        self.assertEqual((self.codes(), self.numbers()), ([454, 454], [3, 4]))

    def test_what_no_primary_got_yet(self) -> None:
        """It goes to the next primary, or waits for one for as long as anything else does; a replica that ends refuses it."""
        self.flood()
        self.pass_time(2 * self.timings.patience)
        self.follow(OTHER)
        self.assertEqual((self.numbers(), self.codes()), ([3, 4], [454] * 2))
        self.router.role("", None)
        self.pass_time(self.timings.patience - 0.1)
        self.assertEqual(len(self.answers), 2)
        self.pass_time(0.2)
        self.assertEqual(self.codes()[2:], [451, 454, 454])
        self.setUp()
        self.flood()
        self.router.refuse(errors.NoSpace("failed"))
        self.assertEqual(self.codes(), [452] * 3 + [454] * 2)

    def test_the_primary_is_lost_and_nobody_follows_it(self) -> None:
        """What it had is answered when what waits for a primary is; a silent one is waited for three times as long."""
        self.submit()
        self.submit(KEYED)
        self.enter()
        self.pass_time(2 * self.timings.patience)
        self.router.role("", None)
        self.pass_time(self.timings.patience - 0.1)
        self.assertEqual(self.answers, [])
        self.pass_time(0.2)
        self.assertEqual(self.codes(), [454, 454, 451])

    def test_login(self) -> None:
        """The wish for a session goes to the primary; the grant comes back."""
        self.enter()
        ((rank, message),) = self.sent()
        assert isinstance(message, Enter)
        self.assertEqual((rank, message.number, message.epoch, message.session), (0, FIRST + 1, (3, 0), "s1"))
        self.router.deliver(0, Entered(FIRST + 1, LOGIN))
        self.assertEqual(self.answers, [LOGIN])

    def test_logged_out(self) -> None:
        """The primary hears of the end of a session here, and tells when all know it."""
        self.router.leave("a-1", "s1", self.answers.append)
        self.assertEqual(self.sent(), [(0, Leave(FIRST + 1, (3, 0), 1, "a-1", "s1"))])
        self.assertEqual(self.answers, [])
        self.router.deliver(0, Left(FIRST + 1))
        self.assertEqual(self.answers, [None])

    def test_the_session_is_over(self) -> None:
        """A request that the primary refuses, since its session is over, ends that session here (R21)."""
        self.submit()
        self.router.deliver(0, Failure(FIRST + 1, 530, "this login is over"))
        self.assertEqual((self.codes(), self.outside.ended), ([530], ["s1"]))

    def test_the_session_ended_meanwhile(self) -> None:
        """What waits here is not done once its session has ended, for the account may have another by now; read marks are."""
        self.router.role("", None)
        self.submit()
        self.submit(MarkRead(account="a-1", messages=("m-1",)))
        self.outside.here = False
        self.follow(OTHER)
        self.assertEqual(self.codes(), [530])
        self.assertEqual([one.request for _, one in self.sent() if isinstance(one, Forward)],
                         [MarkRead(account="a-1", messages=("m-1",))])  # fmt: skip

    def test_the_session_ended_while_it_was_done(self) -> None:
        """What another replica had may be recorded: it is not said that nothing was done, whoever finds the session over."""
        for lost in range(4):
            self.setUp()
            self.submit(KEYED)
            if lost == 0:  # the connection, and the session ended here
                self.outside.here = False
                self.router.connected(0)
            elif lost == 1:  # the primary, likewise
                self.outside.here = False
                self.follow(OTHER)
            elif lost == 2:  # the primary, and the next one does not know the session
                self.follow(OTHER)
                self.router.deliver(2, Failure(FIRST + 2, 530, "this login is over"))
                self.assertEqual(self.outside.ended, ["s1"])
            else:  # the next one is this replica
                self.grants.may = False
                self.lead((4, RANK))
            self.assertEqual(self.codes(), [454], lost)

    def test_given_back_and_over(self) -> None:
        """What the primary gave back was not begun."""
        self.submit(KEYED)
        self.router.deliver(0, Again(FIRST + 1))
        self.outside.here = False
        self.follow(OTHER)
        self.assertEqual(self.codes(), [530])

    def test_again(self) -> None:
        """What the primary did not begin, since it is stopping, is kept and given to the next one."""
        self.submit()
        self.router.deliver(0, Again(FIRST + 1))
        self.assertEqual(self.answers, [])
        self.sent()
        self.follow(OTHER)
        self.assertEqual(self.sent(), [(2, Forward(FIRST + 2, (4, 2), RANK, SEND, "s1"))])

    def test_not_for_this_replica(self) -> None:
        """A request that was forwarded in another view is given back and not done (R12)."""
        self.router.deliver(2, Forward(5, (2, RANK), 2, SEND, "s9"))
        self.router.deliver(2, Enter(6, (2, RANK), 2, "a-1", "hash", False, "s9"))
        self.assertEqual(self.sent(), [(2, Again(5)), (2, Again(6))])


class NewViewTests(RouterTests):
    """The primary was lost; another leads, or this replica does."""

    def setUp(self) -> None:
        super().setUp()
        self.follow()

    def test_what_was_seen_is_done(self) -> None:
        """A request whose operation was seen here is committed by the new view: its client gets a yes."""
        self.submit()
        self.apply(SENT, (RANK, FIRST + 1))
        self.follow(OTHER)
        self.assertEqual(self.answers, [Committed(SENT, len(OTHER.members))])

    def test_what_was_not_seen_is_not_known(self) -> None:
        """A request without a retry key may be recorded or not: 454, and it is not sent a second time."""
        self.submit()
        self.sent()
        self.follow(OTHER)
        self.assertEqual((self.codes(), self.sent()), ([454], []))

    def test_repeated(self) -> None:
        """One with a retry key, and one that comes to the same if done twice, goes to the new primary."""
        repeatable: list[AnyRequest] = [KEYED, MarkRead(account="a-1", messages=("m-1",)), Confirm(account="a-1")]
        for request in repeatable:
            self.submit(request)
        self.enter()
        self.sent()
        self.follow(OTHER)
        again = [message for rank, message in self.sent() if rank == OTHER.primary]
        self.assertEqual([one.request for one in again if isinstance(one, Forward)], repeatable)
        self.assertEqual(
            [one.number for one in again if isinstance(one, Forward | Enter)], [FIRST + n for n in (5, 6, 7, 8)]
        )
        self.assertEqual(self.answers, [])

    def test_an_answer_to_the_first(self) -> None:
        """A late answer of the old primary is for nobody."""
        self.submit(KEYED)
        self.follow(OTHER)
        self.router.deliver(0, Failure(FIRST + 1, 550, "no account"))
        self.assertEqual(self.answers, [])
        self.router.deliver(2, Failure(FIRST + 2, 551, "other"))
        self.assertEqual(self.codes(), [551])

    def test_given_to_a_primary_and_then_to_nobody(self) -> None:
        """What a primary had that is gone may be recorded: 454; what none ever had is not: 451."""
        self.submit(KEYED)
        self.router.deliver(0, Again(FIRST + 1))
        self.router.role("", None)
        self.submit(KEYED)
        self.pass_time(self.timings.patience + 0.1)
        self.assertEqual(self.codes(), [454, 451])

    def test_repeated_while_there_is_no_primary(self) -> None:
        """What is here under the retry key may be committed yet: 454, and not that nothing was recorded."""
        self.outside.begun = True
        self.router.role("", None)
        self.submit(KEYED)
        self.submit()
        self.pass_time(self.timings.patience + 0.1)
        self.assertEqual(self.codes(), [454, 451])

    def test_this_replica_leads_now(self) -> None:
        """What was on its way to the old primary is committed here."""
        self.submit(KEYED)
        self.lead((4, RANK))
        self.assertEqual([one.request for one in self.commits.waiting], [KEYED])

    def test_this_replica_led(self) -> None:
        """What it had not begun for its own clients goes to the new primary; others hear that theirs was not begun (R17)."""
        self.lead((4, RANK))
        self.submit()
        self.router.deliver(2, Forward(5, (4, RANK), 2, KEYED, "s9"))
        self.enter()
        self.grants.wishes.pop()[1](LOGIN)
        self.sent()
        self.follow(OTHER)
        sent = self.sent()
        forwarded = [(rank, one.rank, one.session) for rank, one in sent if isinstance(one, Forward | Enter)]
        self.assertEqual(forwarded, [(2, RANK, "s1"), (2, RANK, "s1")])
        self.assertIn((2, Again(5)), sent)

    def test_in_no_view_for_a_moment(self) -> None:
        """Between two views requests wait; they go to whoever leads next."""
        self.router.role("", None)
        self.submit()
        self.pass_time(1)
        self.assertEqual((self.answers, self.sent()), ([], []))
        self.follow(OTHER)
        self.assertEqual([rank for rank, _ in self.sent()], [2])

    def test_in_no_view_for_long_and_a_session_is_asked_for_again(self) -> None:
        """A session that the coming view does not know of is asked for, though there has been no primary for long."""
        self.router.role("", None)
        self.pass_time(self.timings.patience + 1)
        self.enter()
        self.assertEqual(self.codes(), [451])
        self.router.enter(WISH, self.answers.append, patient=True)
        self.pass_time(0.3)
        self.follow(OTHER)
        self.assertEqual([(rank, type(message)) for rank, message in self.sent()], [(2, Enter)])

    def test_in_no_view_for_long(self) -> None:
        """After ``patience`` they are told 451: nothing was recorded; and who comes then is told at once."""
        self.router.role("", None)
        self.submit()
        self.enter()
        self.pass_time(self.timings.patience - 0.1)
        self.assertEqual(self.answers, [])
        self.pass_time(0.2)
        self.assertEqual(self.codes(), [451, 451])
        self.submit()
        self.assertEqual(self.codes(), [451] * 3)

    def test_stopping(self) -> None:
        """A replica that stops lets nobody wait for a primary: 451 at once, and what another one gave is given back."""
        self.router.role("", None)
        self.submit()
        self.router.deliver(2, Forward(5, NEVER, 2, SEND, "s9"))
        self.assertEqual(self.sent(), [(2, Again(5))])
        settled: list[bool] = []
        self.router.when_settled(lambda: settled.append(True))
        self.submit()
        self.assertEqual((self.codes(), settled), ([451, 451], [True]))

    def test_a_full_disk(self) -> None:
        """A replica that is out because its own disk is full says that, 452."""
        self.outside.error = errors.NoSpace("full")
        self.router.role("", None)
        self.submit()
        self.pass_time(self.timings.patience + 0.1)
        self.assertEqual(self.codes(), [452])

    def test_through_another(self) -> None:
        """One that is cut off from the primary only goes through a replica that is not (R14), after it was out for a while."""
        self.router.role("", None)
        self.outside.relays = 2
        self.submit()
        self.assertEqual(self.sent(), [])
        self.pass_time(self.timings.silence + 0.1)
        self.assertEqual(self.sent(), [(2, Forward(FIRST + 1, NEVER, RANK, SEND, "s1"))])
        self.submit(KEYED)
        self.assertEqual(len(self.sent()), 1)
        self.pass_time(0.1)
        self.assertEqual(self.sent(), [])  # once is enough
        self.router.deliver(2, Result(FIRST + 1, "m-1", 2, False))
        self.assertEqual(self.answers, [])
        self.apply(SENT)
        self.assertEqual(self.answers, [Committed(SENT, 2)])

    def test_another_gives_it_back(self) -> None:
        """One that was gone through may have passed it on: where the session is over, it is not said that nothing was done."""
        keyed = msgspec.structs.replace(SEND, key="k")
        self.router.role("", None)
        self.outside.relays = 2
        self.pass_time(self.timings.silence + 0.1)
        self.submit(keyed)
        self.assertEqual(self.sent(), [(2, Forward(FIRST + 1, NEVER, RANK, keyed, "s1"))])
        self.submit(SEND)  # without a key: then it was not begun
        self.router.deliver(2, Again(FIRST + 1))
        self.router.deliver(2, Again(FIRST + 2))
        self.outside.here = False
        self.pass_time(0.1)
        self.assertEqual(self.codes(), [454, 530])

    def test_through_another_what_was_on_its_way(self) -> None:
        """What was forwarded just before the cut may never have arrived: with a retry key it goes out again."""
        keyed = msgspec.structs.replace(SEND, key="k")
        self.submit()
        self.submit(keyed)
        self.sent()
        self.router.role("", None)
        self.outside.relays = 2
        self.pass_time(self.timings.silence + 0.1)
        self.assertEqual(self.sent(), [(2, Forward(FIRST + 3, NEVER, RANK, keyed, "s1"))])

    def test_for_another(self) -> None:
        """A follower passes on what it is given, in the name of the replica that it came from, and hands back the answer."""
        self.router.deliver(2, Forward(5, NEVER, 2, SEND, "s9"))
        self.assertEqual(self.sent(), [(0, Forward(FIRST + 1, (3, 0), 2, SEND, "s9"))])
        self.router.deliver(0, Failure(FIRST + 1, 550, "no account"))
        self.assertEqual(self.sent(), [(2, Failure(5, 550, "no account"))])
        self.assertEqual(self.outside.ended, [])

    def test_for_another_until_the_view_ends(self) -> None:
        """Then it is given back: whether the session that asks still lives, only its own replica knows."""
        for key in "", "k":
            self.router.deliver(2, Forward(5, NEVER, 2, msgspec.structs.replace(SEND, key=key), "s9"))
        self.sent()
        self.router.role("", None)
        self.lead()
        (_, unknown), again = self.sent()
        self.assertEqual((getattr(unknown, "code", 0), again), (454, (2, Again(5))))
        self.assertEqual(self.commits.waiting, [])


class PrimaryTests(RouterTests):
    def setUp(self) -> None:
        super().setUp()
        self.lead()

    def test_its_own_clients(self) -> None:
        """The primary commits what its clients ask."""
        self.submit()
        self.commits.end(Committed(SENT, 3))
        self.assertEqual((self.answers, self.sent()), ([Committed(SENT, 3)], []))

    def test_forwarded(self) -> None:
        """It commits what others forward, tagged with who and which number, and answers under that number."""
        for number, result in (
            (5, Committed(SENT, 3, True)),
            (6, errors.NotFound("no account")),
            (7, errors.NotBegun()),
        ):
            self.router.deliver(2, Forward(number, (3, RANK), 2, SEND, "s9"))
            one = self.commits.end(result)
            self.assertEqual((one.tag, one.session), ((2, number), "s9"))
        answers = [Result(5, "m-1", 3, True), Failure(6, 550, "no account"), Again(7)]
        self.assertEqual(self.sent(), [(2, answer) for answer in answers])

    def test_of_a_session_that_is_over(self) -> None:
        """A request of a session that has not the account any more is refused; read marks are taken all the same."""
        self.grants.may = False
        self.router.deliver(2, Forward(5, (3, RANK), 2, SEND, "s9"))
        ((rank, answer),) = self.sent()
        assert isinstance(answer, Failure)
        self.assertEqual((rank, answer.number, answer.code, self.commits.waiting), (2, 5, 530, []))
        self.router.deliver(2, Forward(6, (3, RANK), 2, MarkRead(account="a-1", messages=("m-1",)), "s9"))
        self.assertEqual(len(self.commits.waiting), 1)

    def test_login_to_an_account_that_was_not_confirmed(self) -> None:
        """Its registration is confirmed before the login is granted: nobody who was told yes loses the name (R19)."""
        self.grants.unconfirmed = True
        self.enter()
        (confirm,) = self.commits.waiting
        self.assertEqual((confirm.request, self.grants.wishes), (Confirm("a-1", renamed=True), []))
        self.grants.unconfirmed = False
        self.commits.end(Committed(model.Confirmed("n-1", 3, "a-1"), 3))
        ((wish, _, _),) = self.grants.wishes
        self.assertEqual(wish, WISH)

    def test_login_at_another_replica_that_outlasts_the_view(self) -> None:
        """It is given back, as that replica asks the new primary itself; done twice, it could come after its session ended."""
        self.grants.unconfirmed = True
        self.router.deliver(2, msgspec.structs.replace(WISH, number=5, epoch=(3, RANK), rank=2))
        self.follow(OTHER)
        ((_, confirm),) = self.sent()
        self.apply(model.Confirmed("n-1", 3, "a-1"))
        self.router.deliver(2, Result(getattr(confirm, "number", 0), "n-1", 3, False))
        self.assertEqual(self.sent(), [(2, Again(5))])

    def test_login_to_an_account_that_others_may_lack(self) -> None:
        """It waits until they have it: else the account of somebody who was told yes could be lost with one disk."""
        self.commits.shared = False
        self.enter()
        self.router.tick()
        self.assertEqual((self.grants.wishes, self.answers), ([], []))
        self.commits.shared = True
        self.router.tick()
        ((wish, _, _),) = self.grants.wishes
        self.assertEqual(wish, WISH)

    def test_login_while_nothing_can_be_confirmed(self) -> None:
        """Then it is refused, with a full disk by 452, else by 451, and can be tried again."""
        self.grants.unconfirmed = True
        for error in errors.NoSpace("full"), errors.OutcomeUnknown("unknown"):
            self.enter()
            self.commits.end(error)
        self.assertEqual((self.codes(), self.grants.wishes), ([452, 451], []))

    def test_login_to_an_account_that_cannot_be_confirmed(self) -> None:
        """Where it has no name any more there is nothing to confirm: what the login can be, its grant says."""
        self.grants.unconfirmed = True
        self.enter()
        self.grants.unconfirmed = False
        self.commits.end(errors.NameTaken("taken"))
        self.assertEqual((len(self.grants.wishes), self.answers), (1, []))

    def test_login_before_a_barrier(self) -> None:
        """A login is told of once all members know of it and said that this replica leads, behind all that was asked before."""
        self.submit()
        self.enter()
        ((wish, answer, _),) = self.grants.wishes
        self.assertEqual(wish, WISH)
        answer(LOGIN)
        self.assertEqual([one.request for one in self.commits.waiting], [SEND, None])
        self.commits.end(Committed(SENT, 3))
        self.assertEqual(len(self.answers), 1)
        self.commits.end(None)
        self.assertEqual(self.answers[1:], [LOGIN])

    def test_barrier_that_fails(self) -> None:
        """If it does not lead any more, the login goes to who does; with a full disk it is 452, and not tried for ever."""
        self.enter()
        self.grants.wishes.pop()[1](LOGIN)
        self.commits.end(errors.NoSpace("full"))
        self.assertEqual((self.codes(), self.grants.lefts), ([452], [("a-1", "s1")]))
        self.enter()
        self.grants.wishes.pop()[1](LOGIN)
        one = self.commits.waiting.pop()
        self.follow(OTHER)
        one.done(errors.OutcomeUnknown("the primary was lost"))
        self.assertEqual([(rank, type(message)) for rank, message in self.sent()], [(2, Enter)])

    def test_a_takeover_that_waited(self) -> None:
        """A wish that waits for another session's end is asked anew when the view ends."""
        self.enter()
        _, _, again = self.grants.wishes[0]
        self.grants.resting.append(again)
        self.follow(OTHER)
        self.assertEqual([(rank, type(message)) for rank, message in self.sent()], [(2, Enter)])

    def test_logged_out(self) -> None:
        """Sessions that end, here or elsewhere, leave the roster; that is answered once all replicas know it."""
        self.router.leave("a-1", "s1", self.answers.append)
        self.router.deliver(2, Leave(7, NEVER, 2, "a-2", "s2"))
        self.router.deliver(2, Ended("a-3", "s3"))
        self.assertEqual(self.grants.lefts, [("a-1", "s1"), ("a-2", "s2"), ("a-3", "s3")])
        self.assertEqual((self.answers, self.sent()), ([], []))
        for _ in range(2):
            self.commits.end(None)
        self.assertEqual((self.answers, self.sent()), ([None], [(2, Left(7))]))


class SendsTests(RouterTests):
    """Messages that a session sends together."""

    def setUp(self) -> None:
        super().setUp()
        self.sends = Sends("a-1", 10)
        self.sends.items = [("bob", "one"), ("eve", "two")]
        self.sends.read = ("m-1",)
        self.told: list[tuple[list[Any], bool]] = []

    def passed_on(self) -> list[AnyRequest]:
        """The requests that went to another replica."""
        return [message.request for _, message in self.sent() if isinstance(message, Forward)]

    def send_all(self) -> None:
        """Somebody does."""
        self.router.send_all(self.sends, "s1", lambda results, marked: self.told.append((list(results), marked)))

    def test_leading(self) -> None:
        """They go into one commit."""
        self.lead()
        self.send_all()
        (one,) = self.commits.waiting
        self.assertEqual((one.request, one.session), (self.sends, "s1"))

    def test_following(self) -> None:
        """Each is passed on by itself, what was read goes with all that others here have read, and they are told together."""
        self.follow()
        self.send_all()
        self.assertEqual(self.passed_on(), self.sends.apart())
        ((ids, marked),) = self.outside.marks
        self.assertEqual(ids, ("m-1",))
        marked(errors.NoPrimary("none"))
        self.router.deliver(0, Failure(FIRST + 2, 550, "no account eve"))
        self.assertEqual(self.told, [])
        self.router.deliver(0, Failure(FIRST + 1, 552, "bob is full"))
        ((results, was_marked),) = self.told
        self.assertEqual(([one.code for one in results], was_marked), ([552, 550], False))

    def test_a_session_that_is_over(self) -> None:
        """It is told so, for each."""
        self.lead()
        self.grants.may = False
        self.send_all()
        self.outside.marks[0][1](None)
        ((results, _),) = self.told
        self.assertEqual([type(one) for one in results], [errors.LoginFirst] * 2)

    def test_nobody(self) -> None:
        """Without a session nothing is sent."""
        self.lead()
        self.sends.read = ()
        self.router.send_all(self.sends, "", lambda results, marked: self.told.append((list(results), marked)))
        self.assertEqual([type(one) for one in self.told[0][0]], [errors.LoginFirst] * 2)

    def test_the_role_is_lost(self) -> None:
        """What was not begun is passed on to the next primary."""
        self.lead()
        self.send_all()
        self.follow()
        self.assertEqual(self.passed_on(), self.sends.apart())

    def test_settled(self) -> None:
        """A replica that stops waits for them."""
        self.lead()
        self.send_all()
        told: list[int] = []
        self.router.when_settled(lambda: told.append(1))
        self.assertEqual(told, [])
        self.commits.waiting.clear()
        self.commits.idler()
        self.assertEqual(told, [1])


class StoppingTests(RouterTests):
    def test_refused(self) -> None:
        """A replica that stops tells its own clients why, and gives back to others what was theirs, for the next primary."""
        self.lead()
        self.router.refuse(errors.NoPrimary("stopping"))
        self.submit()
        self.router.deliver(2, Forward(5, (3, RANK), 2, SEND, "s9"))
        self.assertEqual((self.codes(), self.sent(), self.commits.waiting), ([451], [(2, Again(5))], []))
        self.router.leave("a-1", "s1", self.answers.append)  # as all sessions here do then: nobody is to show them
        self.assertEqual(self.grants.lefts, [("a-1", "s1")])

    def test_what_others_pass_on(self) -> None:
        """A primary that stops takes nothing more of others: it is for the next one."""
        self.lead()
        self.router.when_settled(lambda: None)
        self.router.deliver(2, Forward(5, (3, RANK), 2, SEND, "s9"))
        self.assertEqual((self.sent(), self.commits.waiting), ([(2, Again(5))], []))

    def test_a_session_that_ends_while_there_is_no_primary(self) -> None:
        """That needs no primary, for the next view begins with the sessions that there are: LOGOUT is answered at once."""
        self.router.leave("a-1", "s1", self.answers.append)
        self.assertEqual(len(self.answers), 1)

    def test_what_waits(self) -> None:
        """What waits for a primary is answered at once."""
        self.submit()
        self.router.refuse(errors.NoPrimary("stopping"))
        self.assertEqual(self.codes(), [451])

    def test_what_was_passed_on(self) -> None:
        """Nobody waits any longer for the primary's answer: a message may be recorded, a login was not told."""
        self.follow()
        self.submit()
        self.enter()
        self.router.refuse(errors.NoPrimary("stopping"))
        self.assertEqual(self.codes(), [454, 451])

    def test_settled(self) -> None:
        """It is settled once every client has its answer, and at once if nobody waits for one."""
        told: list[int] = []
        self.router.when_settled(lambda: told.append(1))
        self.assertEqual(told, [1])
        self.follow()
        self.submit()
        self.enter()
        self.router.when_settled(lambda: told.append(2))
        self.router.deliver(0, Failure(FIRST + 1, 550, "no account"))
        self.assertEqual(told, [1])
        self.router.deliver(0, Entered(FIRST + 2, LOGIN))
        self.assertEqual(told, [1, 2])
