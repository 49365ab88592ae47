"""chattwist.commits: what shares a commit, what waits for the next one, and what is told when one fails."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from chattwist import commits, errors, model
from chattwist.chat import Chat
from chattwist.commits import FEW_TURNS, MANY, MOST_OPERATIONS, Commits
from chattwist.protocol.backend import Committed
from chattwist.protocol.client import Client
from chattwist.requests import HERE, AnyRequest, ChangePassword, Delete, Register, Send, Sends
from tests.wire import World

NOON = 1795348800_000_000  # 2026-11-22T12:00:00Z, microseconds since 1970


class FakeJournal:
    """Commits when it is told to, and applies to the chat."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.begun: list[list[str]] = []
        self.tags: list[tuple[int, int]] = []
        self._done: list[tuple[Sequence[model.AnyOperation], Callable[[BaseException | None, int], None]]] = []

    def commit(
        self,
        operations: Sequence[model.AnyOperation],
        tags: Sequence[tuple[int, int]],
        done: Callable[[BaseException | None, int], None],
    ) -> None:
        """See Journal."""
        assert len(operations) == len(tags)
        self.begun.append([operation.id for operation in operations])
        self.tags += tags
        self._done.append((operations, done))

    def end(self, failure: BaseException | None = None) -> None:
        """The commit under way ends."""
        operations, done = self._done.pop()
        for operation in operations if failure is None else ():
            self._chat.apply(operation)
        done(failure, 0 if failure else 3)


class CommitsTests(SynchronousTestCase):
    """Two accounts, a-1 and a-2, on a replica that leads."""

    def setUp(self) -> None:
        self.chat = Chat()
        for number, name in enumerate(("ann", "bob"), 1):
            self.chat.apply(model.Registered(f"a-{number}", number, name, "hash"))
            self.chat.apply(model.Confirmed(f"a-{number + 2}", number + 2, f"a-{number}"))
        self.journal, self.clock = FakeJournal(self.chat), Clock()
        self.origins = iter(("first", "second"))
        self.unsettled: set[str] = set()
        self.now = NOON
        self.stamps = model.Stamps(lambda: next(self.origins))
        self.commits = Commits(
            self.clock, self.chat, self.stamps, lambda: self.now, self.journal,
            lambda operation, replicas: Committed(operation, replicas),
            lambda made, replicas: [Committed(one, replicas) if isinstance(one, model.Sent) else one for one in made],
            lambda operation: operation not in self.unsettled,
        )  # fmt: skip
        self.answers: list[Any] = []

    def submit(self, request: AnyRequest, tag: tuple[int, int] = HERE) -> None:
        """Somebody asks."""
        self.commits.submit(request, self.answers.append, tag=tag)

    def send(self, text: str = "hi", key: str = "", tag: tuple[int, int] = HERE) -> None:
        """Ann sends bob a message."""
        self.submit(Send(account="a-1", recipient="bob", text=text, mailbox=9999, key=key), tag)

    def turn(self) -> None:
        """The next turn of the reactor."""
        self.clock.advance(0)

    def kinds(self) -> list[type]:
        """What the answers are."""
        return [type(answer) for answer in self.answers]

    def ids(self) -> list[str]:
        """The ids of the operations that were committed."""
        return [answer.operation.id for answer in self.answers]

    def test_to_an_account_that_is_not_confirmed(self) -> None:
        """Nothing is sent to it yet: it may turn out to be the copy of another, which nobody reads (R19)."""
        self.chat.apply(model.Registered("a-7", 7, "eve", "hash"))
        self.submit(Send(account="a-1", recipient="eve", text="hi", mailbox=9999))
        self.turn()
        self.assertEqual(self.kinds(), [errors.NotFound])
        self.chat.apply(model.Confirmed("a-8", 8, "a-7"))
        self.submit(Send(account="a-1", recipient="eve", text="hi", mailbox=9999))
        self.turn()
        self.journal.end()
        self.assertEqual(self.kinds(), [errors.NotFound, Committed])

    def send_all(self, *recipients: str, read: tuple[str, ...] = ()) -> list[tuple[list[Any], bool]]:
        """Ann sends each of these a message; what she is told."""
        sends = Sends("a-1", 9999)
        sends.items = [(name, "hi") for name in recipients]
        sends.read = read
        told: list[tuple[list[Any], bool]] = []
        self.commits.send_all(sends, lambda results, marked: told.append((results, marked)), "s1")
        return told

    def test_sent_together(self) -> None:
        """Each message is decided for itself, those that are refused leave no gap, and what was read is recorded with them."""
        told = self.send_all("bob", "nobody", "ANN", read=("m-1",))
        self.send()
        self.turn()
        self.assertEqual(self.journal.begun, [["first-1", "first-2", "first-3", "first-4"]])
        self.assertEqual((told, self.answers), ([], []))
        self.journal.end()
        ((results, marked),) = told
        self.assertEqual([type(one) for one in results], [Committed, errors.NotFound, Committed])
        self.assertEqual([one.operation.recipient for one in results[::2]], ["a-2", "a-1"])
        self.assertEqual((marked, self.ids()), (True, ["first-3"]))
        self.assertTrue(self.commits.idle)

    def test_a_mailbox_that_one_commit_fills(self) -> None:
        """Messages of one commit count together: no more of them go into a mailbox than there is room for."""
        sends = Sends("a-1", 3)
        sends.items = [("bob", "hi")] * 2 + [("ann", "hi")]
        told: list[Any] = []
        for _ in range(2):
            self.commits.send_all(sends, lambda results, marked: told.extend(results), "s1")
        self.submit(Send(account="a-1", recipient="bob", text="hi", mailbox=3))
        self.turn()
        self.journal.end()
        self.assertEqual([type(one) for one in told], [Committed] * 4 + [errors.OverLimit, Committed])
        self.assertEqual(self.kinds(), [errors.OverLimit])
        self.assertEqual(len(self.chat.accounts["a-2"].unread), 3)

    def test_sent_together_and_not_committed(self) -> None:
        """Those that were refused are refused, the others are told of the failure, and nothing counts as read."""
        told = self.send_all("bob", "nobody", read=("m-1",))
        self.turn()
        self.journal.end(errors.Unsettled())
        ((results, marked),) = told
        self.assertEqual(([type(one) for one in results], marked), ([errors.OutcomeUnknown, errors.NotFound], False))

    def test_all_refused(self) -> None:
        """Nothing is written for messages that are all refused."""
        told = self.send_all("nobody", "none")
        self.turn()
        self.assertEqual((self.journal.begun, [type(one) for one in told[0][0]]), ([], [errors.NotFound] * 2))

    def test_a_bug_among_them(self) -> None:
        """One that cannot be decided for a bug is told so, and leaves no gap behind those before it."""
        self.patch(Chat, "account", lambda chat, name: {}[name] if name == "bug" else chat.accounts["a-2"])
        told = self.send_all("bob", "bug", "bob")
        self.turn()
        self.assertEqual(self.journal.begun, [["first-1", "first-2"]])
        self.journal.end()
        self.assertEqual([type(one) for one in told[0][0]], [Committed, errors.Internal, Committed])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_of_a_deleted_account(self) -> None:
        """A session that outlives its account for a moment sends nothing."""
        self.chat.apply(model.Unregistered("a-9", 9, "a-1"))
        told = self.send_all("bob")
        self.turn()
        self.assertEqual([type(one) for one in told[0][0]], [errors.LoginFirst])

    def test_repeated_beside_what_fails(self) -> None:
        """What was recorded before, under its retry key, is not called not recorded for what shares its commit."""
        for failure, codes in (errors.DiskFull("x"), [454, 452]), (errors.NotBegun(), [454, 451]):
            self.send(key="k")
            self.turn()
            self.journal.end()
            self.answers.clear()
            self.send(key="k")
            self.send("other")
            self.turn()
            self.journal.end(failure)
            self.assertEqual([answer.code for answer in self.answers], codes)
            self.setUp()

    def test_as_many_as_fit(self) -> None:
        """A commit takes no more that were sent together than fit, but for the last of them."""
        size = MOST_OPERATIONS // 2 - 1
        for _ in range(4):
            self.send_all(*["bob"] * size)
        self.turn()
        self.journal.end()
        self.turn()
        self.assertEqual([len(one) for one in self.journal.begun], [3 * size, size])

    def test_when_idle(self) -> None:
        """Somebody may be told once nothing is under way any more."""
        idle: list[int] = []
        self.send()
        self.commits.when_idle(lambda: idle.append(1))
        self.turn()
        self.assertEqual(idle, [])
        self.journal.end()
        self.assertEqual(idle, [1])

    def test_one_commit_at_a_time(self) -> None:
        """What comes in one turn shares a commit; what comes during it shares the next."""
        for _ in range(2):
            self.send()
        self.turn()
        for _ in range(3):
            self.send()
        self.turn()
        self.assertEqual(self.journal.begun, [["first-1", "first-2"]])
        self.journal.end()
        self.turn()
        self.assertEqual(self.journal.begun[1:], [["first-3", "first-4", "first-5"]])
        self.assertEqual(self.ids(), ["first-1", "first-2"])
        self.assertEqual([answer.replicas for answer in self.answers], [3, 3])

    def keep_asking(self, left: int) -> None:
        """A request now, and one in each turn that follows; a turn takes a millisecond."""
        self.clock.rightNow += 0.001
        if left:
            self.send()
            self.clock.callLater(0, self.keep_asking, left - 1)

    def answered(self, count: int) -> None:
        """So many requests share a commit, which takes 10 ms; meanwhile there is another one, which waits."""
        for _ in range(count):
            self.send()
        self.turn()
        self.send()
        self.clock.rightNow += 0.01
        self.journal.end()

    def test_those_who_were_answered_come_along(self) -> None:
        """What waited during a commit waits for those who were answered and ask again; not for others, nor for ever."""
        for answered, asking, expected in (1, 0, 1), (1, 1, 2), (1, 20, 2), (8, 4, 5), (8, 20, 9):
            self.answered(answered)
            self.clock.callLater(0, self.keep_asking, asking)
            self.turn()
            self.assertEqual(len(self.journal.begun[1]), expected)
            self.setUp()

    def test_no_longer_than_the_commit_before(self) -> None:
        """However many were answered, and however slowly they ask again."""
        self.answered(100)
        self.clock.callLater(0, self.keep_asking, 90)
        self.turn()
        self.assertIn(len(self.journal.begun[1]), range(8, 13))

    def after(self, turns: int, call: Callable[[], None]) -> None:
        """Call it once so many turns are over."""
        if turns:
            self.clock.callLater(0, self.after, turns - 1, call)
        else:
            call()

    def test_many(self) -> None:
        """Behind a large commit those who take their time are not waited for."""
        for answered, expected in (8, 6), (MANY, 1):
            self.answered(answered)
            self.after(FEW_TURNS + 3, lambda: self.keep_asking(5))
            self.turn()
            self.assertEqual(len(self.journal.begun[1]), expected)
            self.setUp()

    def test_after_a_pause(self) -> None:
        """Nobody waits for those who were answered long ago."""
        self.answered(8)
        self.turn()
        self.journal.end()
        self.clock.advance(1)
        self.send()
        self.turn()
        self.assertEqual(len(self.journal.begun[2]), 1)

    def test_bounded(self) -> None:
        """A commit holds no more than it may; the rest follows in order."""
        for _ in range(MOST_OPERATIONS + 1):
            self.send()
        self.turn()
        self.journal.end()
        self.turn()
        self.assertEqual([len(one) for one in self.journal.begun], [MOST_OPERATIONS, 1])

    def test_many_that_are_refused(self) -> None:
        """Each has the same claim and waits for the one before; all are answered in the end."""
        self.send()
        self.turn()
        for _ in range(MOST_OPERATIONS + 600):
            self.submit(Delete(account="a-1", messages=("no-1",)))
        self.journal.end()
        self.turn()
        self.assertEqual(len(self.answers), 1 + MOST_OPERATIONS + 600)

    def test_tagged(self) -> None:
        """Each operation goes out with the tag of its request; one that is refused leaves no trace."""
        self.send(tag=(2, 5))
        self.submit(Send(account="a-1", recipient="nobody", text="hi", mailbox=9), (2, 6))
        self.send(tag=(1, 7))
        self.turn()
        self.assertEqual((self.journal.begun, self.journal.tags), ([["first-1", "first-2"]], [(2, 5), (1, 7)]))
        self.journal.end()
        self.assertEqual(self.kinds(), [Committed, Committed, errors.NotFound])

    def test_refused_without_a_commit(self) -> None:
        """Where all are refused nothing is written, and the next request is not held up."""
        self.submit(Send(account="a-1", recipient="nobody", text="hi", mailbox=9))
        self.turn()
        self.assertEqual((self.kinds(), self.journal.begun), ([errors.NotFound], []))
        self.send()
        self.turn()
        self.assertEqual(len(self.journal.begun), 1)

    def test_one_name(self) -> None:
        """Of two that register one name in the same turn, one gets it."""
        for name in "Gus", "gus":
            self.submit(Register(name=name, password="hash"))
        for _ in range(2):
            self.turn()
            if self.journal.begun and not self.answers:
                self.journal.end()
        self.assertEqual(self.kinds(), [Committed, errors.NameTaken])

    def test_one_key(self) -> None:
        """A SEND that comes twice with one retry key in the same turn is stored once, and both get the same id (R6)."""
        for _ in range(2):
            self.send(key="k")
        self.turn()
        self.journal.end()
        self.turn()
        self.journal.end()
        self.assertEqual(self.journal.begun, [["first-1"], []])
        self.assertEqual(self.ids(), ["first-1", "first-1"])

    def test_repeated_later(self) -> None:
        """A repetition does nothing again; its answer still waits for a commit, which shows that this replica leads."""
        self.send(key="k")
        self.turn()
        self.journal.end()
        self.send("something else", key="k")
        self.turn()
        self.assertEqual(len(self.answers), 1)
        self.journal.end(errors.Unsettled())
        self.assertEqual(self.kinds(), [Committed, errors.OutcomeUnknown])

    def test_an_account_that_others_may_lack(self) -> None:
        """They have all that a login rests on: the registration, and the operation that confirmed it first."""
        self.chat.apply(model.Confirmed("a-9", 1, "a-1"))
        for unsettled, shared in ((["a-3"], True), (["a-9"], False), (["a-1"], False), ([], True)):
            self.unsettled = {*unsettled}
            self.assertEqual(self.commits.is_shared("a-1"), shared, unsettled)
        self.assertTrue(self.commits.is_shared("b-1"))

    def test_repeated_before_all_have_it(self) -> None:
        """A repetition of what other replicas may lack is 454, until they have it (R6)."""
        self.chat.apply(model.Sent("z-1", NOON, "a-1", "a-2", "hi", "k"))
        self.unsettled.add("z-1")
        self.send(key="k")
        self.turn()
        self.assertEqual((self.kinds(), self.journal.begun), ([errors.OutcomeUnknown], []))
        self.unsettled.clear()
        self.send(key="k")
        self.turn()
        self.journal.end()
        self.assertEqual(self.answers[1].operation.id, "z-1")

    def test_a_password_of_a_later_view(self) -> None:
        """One that is known is replaced, also if a replica that was cut off set it in a view with a higher number (R6)."""
        self.stamps.view = 5
        self.chat.apply(model.PasswordChanged("b-1", NOON - 5, "a-1", "theirs", view=9))
        self.submit(ChangePassword(account="a-1", old="theirs", new="mine"))
        self.turn()
        self.journal.end()
        self.assertEqual((self.kinds(), self.chat.accounts["a-1"].password), ([Committed], "mine"))

    def test_barrier(self) -> None:
        """A barrier is passed after all that was submitted before is settled, what had to wait for the next commit included."""
        self.chat.apply(model.Sent("m-1", NOON, "a-1", "a-2", "hi"))
        for _ in range(2):
            self.submit(Delete(account="a-1", messages=("m-1",)))
        self.commits.barrier(lambda failure: self.answers.append("passed"))
        self.turn()
        self.journal.end()
        self.assertEqual(len(self.answers), 1)
        self.turn()
        self.journal.end()
        self.assertEqual(self.answers[1], "passed")
        self.assertIsInstance(self.answers[2], errors.NotFound)

    def test_barrier_on_a_full_disk(self) -> None:
        """It has nothing to record: that there was no room for what it shares a commit with is no reason to refuse it."""
        self.send("a")
        self.commits.barrier(self.answers.append)
        self.clock.advance(0)
        self.journal.end(errors.DiskFull("full"))
        self.assertEqual([type(answer) for answer in self.answers], [errors.NoSpace])
        self.journal.end()
        self.assertEqual(self.answers[1:], [None])
        self.assertTrue(self.commits.idle)

    def test_barrier_by_itself(self) -> None:
        """A barrier is a commit of nothing: it fails where this replica does not lead any more."""
        self.commits.barrier(self.answers.append)
        self.turn()
        self.assertEqual(self.journal.begun, [[]])
        self.journal.end(errors.NotBegun())
        self.assertEqual(self.kinds(), [errors.NoPrimary])

    def test_recorded_nowhere(self) -> None:
        """Of a full disk, and where it was not begun, clients are told that nothing is recorded; the ids are used again (R3)."""
        for failure, kind in ((errors.DiskFull("full"), errors.NoSpace), (errors.NotBegun(), errors.NoPrimary)):
            self.send()
            self.turn()
            self.journal.end(failure)
            self.assertIs(self.kinds()[-1], kind)
        self.send()
        self.turn()
        self.assertEqual(self.journal.begun, [["first-1"]] * 3)

    def test_not_known(self) -> None:
        """Where nobody knows whether it is recorded, it is 454; those ids are never given out again (R4)."""
        self.send()
        self.turn()
        self.journal.end(errors.Unsettled())
        self.send()
        self.turn()
        self.assertEqual((self.kinds(), self.journal.begun), ([errors.OutcomeUnknown], [["first-1"], ["second-1"]]))

    def test_given_back(self) -> None:
        """What was not begun when another replica became primary is handed back, with all that is known of it."""
        self.send()
        self.turn()
        self.send(tag=(2, 9))
        (one,) = self.commits.give_back()
        self.assertEqual((one.tag, self.answers), ((2, 9), []))
        self.journal.end()
        self.turn()
        self.assertEqual((len(self.journal.begun), len(self.answers)), (1, 1))

    def test_stamps(self) -> None:
        """An operation is stamped later than all that is known, though the clock be behind."""
        self.chat.apply(model.Sent("z-1", NOON + 5, "a-1", "a-2", "from a clock that is ahead"))
        for _ in range(2):
            self.send()
        self.turn()
        self.journal.end()
        self.assertEqual([answer.operation.at for answer in self.answers], [NOON + 6, NOON + 7])

    def test_a_bug_in_an_answer(self) -> None:
        """A client whose answer cannot be given costs the others nothing."""

        def broken(result: object) -> None:
            raise ValueError("a bug")

        self.commits.submit(Send(account="a-1", recipient="bob", text="hi", mailbox=9), broken)
        self.send()
        self.turn()
        self.journal.end()
        self.assertEqual(self.kinds(), [Committed])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_bug_in_the_result(self) -> None:
        """Of what is recorded nobody is told that nothing was done, whatever goes wrong behind it: 454."""
        broken: Any = None
        self.patch(self.commits, "_result", broken)
        self.patch(self.commits, "_results", broken)
        told = self.send_all("bob")
        self.send()
        self.turn()
        self.journal.end()
        self.assertEqual([one.code for one in (*self.answers, *told[0][0])], [454, 454])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_a_full_disk_in_the_log(self) -> None:
        """It says so once, and once that there is room again, however many try meanwhile."""
        with capturedLogs() as logs:
            for failure in errors.DiskFull("full"), errors.DiskFull("full"), None, None:
                self.send()
                self.turn()
                self.journal.end(failure)
                self.commits.barrier(self.answers.append)  # which writes nothing, and tells nothing of the disk
                self.turn()
                self.journal.end()
        self.assertEqual([event["log_level"].name for event in logs], ["error", "info"])

    def test_order(self) -> None:
        """What waits for the next commit goes before what came behind it and found no room in this one."""
        self.patch(commits, "MOST_OPERATIONS", 2)
        requests = [Delete(account="a-1", messages=(message,)) for message in ("m-1", "m-1", "m-2")]
        for request in requests:
            self.chat.apply(model.Sent(request.messages[0], NOON, "a-1", "a-2", "hi"))
            self.submit(request)
        self.turn()
        self.assertEqual([one.request for one in self.commits.give_back()], requests[1:])


class SettledTests(SynchronousTestCase):
    def test_waits_for_what_waits_for_another(self) -> None:
        """A replica that stops has answered also what could not share a commit with the same done by another session."""
        world = World()
        names = "ann", "bob"
        for name in names:
            world.connect(name).send(f"REGISTER {name} password\n".encode())
        ann, bob = (world.connections[name] for name in names)
        ann.send(b"SEND bob hi\n")
        bob.send(b"NOOP\n")  # it has read the message
        (message,) = world.chat.messages
        for connection in ann, bob:
            connection.received()
            connection.protocol.dataReceived(f"DELETE {message}\n".encode())
        said: list[bytes] = []

        def look(_: None) -> None:
            for connection in ann, bob:
                assert isinstance(connection.protocol, Client)
                connection.protocol.flush()
                connection.transport.flush()
                said.append(connection.received())

        world.replica.settled().addCallback(look)
        world.run()
        self.assertIn(b"250 1 deleted\n", said[0])
        self.assertIn(b"550 ", said[1])
