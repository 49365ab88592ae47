"""Where requests go: into this replica's commits while it leads, to the primary while it follows; else they wait; pure."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from chattwist import errors, model
from chattwist.cluster import Timings
from chattwist.errand import NONE, UNKNOWN, Apart, Errand, Outside, What, answer
from chattwist.forwarded import Forwarded
from chattwist.grants import Grants
from chattwist.protocol.backend import Committed, Done, SendsDone
from chattwist.replication import messages
from chattwist.replication.log import Log
from chattwist.replication.messages import AnyMessage, Enter, Forward, Leave, View
from chattwist.requests import HERE, AnyRequest, Confirm, OwnAccount, Sends, Tag

if TYPE_CHECKING:
    from chattwist.batch import Waiting
    from chattwist.commits import Commits

LONGEST_ANSWER = 3  # times ``timings.patience``: how long a primary that is there may take


class Router:
    """All errands of this replica's clients, and those that other replicas gave it."""

    def __init__(
        self, rank: int, seconds: Callable[[], float], timings: Timings, log: Log, commits: "Commits", grants: Grants,
        outside: Outside, first: int,
    ) -> None:  # fmt: skip
        """Errands are numbered from ``first``, another at each start: an answer to the process before must find nobody."""
        self._rank, self._seconds, self._timings, self._log = rank, seconds, timings, log
        self._commits, self._grants, self._outside = commits, grants, outside
        self._role = ""
        self.view: View | None = None
        self._since = seconds()  # when the role began
        self._held: list[Errand] = []
        self._forwarded = Forwarded(first, seconds, LONGEST_ANSWER * timings.patience, outside.send)
        self._open = 0
        self._stopping = False  # what others forward is for the next primary
        self._when_settled: Callable[[], None] | None = None
        self._refusal: errors.ChatError | None = None
        self._messages: dict[type, Callable[[int, Any], None]] = {
            Forward: self._asked,
            Enter: self._asked,
            Leave: self._asked,
            messages.Left: lambda rank, message: self._settle(message.number, None),
            messages.Ended: self._ended_there,
            messages.Here: lambda rank, message: self._grants.all_of(rank, message.logins),
            messages.Result: self._committed,
            messages.Entered: lambda rank, message: self._settle(message.number, message.login),
            messages.Again: self._again,
            messages.Failure: lambda rank, error: self._settle(error.number, errors.chat_error(error.code, error.text)),
        }

    # -- errands in

    def submit(self, request: AnyRequest, session: str, done: Done) -> None:
        """Have a request committed; ``done(Committed | ChatError)``."""
        self._begin(request, session, done, self._rank, HERE)

    def send_all(self, sends: Sends, session: str, done: SendsDone) -> None:
        """Have messages of a session here committed, see Backend.send_all."""
        leads = self._role == "primary" and self._refusal is None
        if leads and session and self._grants.may_act(self._rank, sends.account, session):
            self._commits.send_all(sends, done, session)
        else:
            Apart(sends, done).submit(partial(self.submit, session=session), self._outside.mark_read)

    def enter(self, wish: Enter, done: Done, patient: bool = False) -> None:
        """Ask for a session here; ``done(Login | ChatError)``. ``patient``: though there has been no primary for long."""
        self._begin(wish, "", done, self._rank, HERE, patient)

    def leave(self, account: str, session: str, done: Done) -> None:
        """A session of this replica is over; ``done`` once all know it, or will by the next view, with whatever came of it."""
        self._begin(Leave(0, messages.NEVER, self._rank, account, session), "", done, self._rank, HERE)

    def refuse(self, error: errors.ChatError) -> None:
        """Take on nothing any more."""
        self._refusal = error
        held, self._held = [*self._held, *self._forwarded.take_waiting()], []
        for errand in held:
            self._route(errand)
        for number, errand in self._forwarded.all():
            self._settle(number, self._unknown(errand))

    def when_settled(self, done: Callable[[], None]) -> None:
        """Call ``done`` once all errands are done; at once if there are none. Ask once."""
        self._when_settled = done
        self._stopping = True
        held, self._held = self._held, []
        for errand in held:
            self._hold(errand)
        self._check_settled()

    def _check_settled(self) -> None:
        if self._when_settled is None or self._open:
            return
        if not self._commits.idle:
            self._commits.when_idle(self._check_settled)
        else:
            done, self._when_settled = self._when_settled, None
            done()

    def _begin(self, what: What, session: str, done: Done, home: int, tag: Tag, patient: bool = False) -> None:
        self._open += 1
        until = self._seconds() + self._timings.patience
        self._route(Errand(what, done, self._ended, session, home, tag, until, patient))

    def _ended(self, errand: Errand, result: object) -> None:
        self._open -= 1
        try:
            errand.tell(result)
        except Exception:  # the others that wait must not wait for ever
            self._outside.log_bug()
        self._check_settled()

    def _route_again(self, errand: Errand) -> None:
        """Its session may have ended meanwhile (R21): of what another replica gave, that one knows."""
        if errand.tag != HERE:
            errand.done(errors.NotBegun())
        elif errand.account and not self._outside.is_here(errand.account, errand.session):
            errand.done(errand.over())
        else:
            self._route(errand)

    def _route(self, errand: Errand) -> None:
        if self._refusal is not None and not isinstance(errand.what, Leave):
            errand.done(self._refusal if errand.tag == HERE else errors.NotBegun())
        elif self._role == "primary":
            self._lead(errand)
        elif self._role == "follower" and self.view is not None:
            self._forwarded.pass_on(errand, self.view.primary, self.view.epoch)
        elif (relay := self._relay()) is not None:
            self._forwarded.pass_on(errand, relay, messages.NEVER)
        else:
            self._hold(errand)

    def outlook(self) -> bool | None:
        """Whether this replica has all that is committed: None where it may have it soon."""
        if self._role or self._relay() is not None:
            return True
        return None if self._seconds() - self._since < self._timings.patience else False

    def no_primary(self) -> errors.ChatError:
        """Why nothing can be committed here."""
        return self._outside.unfit() or errors.NoPrimary(NONE)

    def _relay(self) -> int | None:
        """Once it is clear that this replica is not just between two views."""
        lately = self._seconds() - self._since < self._timings.silence
        return None if self._role or lately else self._outside.relay()

    def _hold(self, errand: Errand) -> None:
        """Let it wait for a primary, unless there has been none for long, this replica stops, or the next view will know."""
        late = self._seconds() - self._since >= self._timings.patience and not errand.patient
        if self._stopping and errand.tag != HERE:
            errand.done(errors.NotBegun())
        elif self._stopping or late or isinstance(errand.what, Leave):  # a view begins with the sessions that there are
            errand.done(self._given_up(errand))
        else:
            self._held.append(errand)

    # -- leading

    def _lead(self, errand: Errand) -> None:
        what = errand.what
        if isinstance(what, Enter):
            self._admit(what, errand)
        elif isinstance(what, Leave):
            self._grants.left(what.account, what.session)
            self._commits.barrier(lambda _: errand.done(None))
        elif not self._may_act(errand):
            errand.done(errand.over())
        else:
            self._commits.submit(what, errand.done, errand.session, errand.tag)

    def _admit(self, wish: Enter, errand: Errand) -> None:
        """Who is logged in was told yes: so all have the account's registration before, and it is confirmed (R19)."""

        def confirmed(answer: object) -> None:
            if isinstance(answer, Committed | errors.NameTaken):
                self._go_on(errand)
            else:
                errand.done(answer if isinstance(answer, errors.NoSpace) else self.no_primary())

        if not self._commits.is_shared(wish.account):
            self._held.append(errand)
        elif self._grants.is_unconfirmed(wish.account):
            self.submit(Confirm(wish.account, renamed=True), "", confirmed)
        else:
            self._grants.enter(wish, lambda result: self._granted(wish, errand, result), lambda: self._go_on(errand))

    def _go_on(self, errand: Errand) -> None:
        """It waited here, and this replica may lead no more."""
        (self._lead if self._role == "primary" else self._route_again)(errand)

    def _granted(self, wish: Enter, errand: Errand, result: messages.Login | errors.ChatError) -> None:
        """Tell of a grant once all members know it and say that this replica leads: so it cannot get lost with the view.

        What the account read in a session that just ended counts as read by then, too.
        """
        if isinstance(result, errors.ChatError):
            return errand.done(result)

        def passed(failure: errors.ChatError | None) -> None:
            if failure is None:
                return errand.done(result)
            self._grants.left(wish.account, wish.session)
            if isinstance(failure, errors.NoSpace):
                errand.done(failure)
            else:
                self._go_on(errand)

        self._commits.barrier(passed)

    def _ended_there(self, rank: int, message: messages.Ended) -> None:
        if self._role == "primary":
            self._grants.left(message.account, message.session)

    def _may_act(self, errand: Errand) -> bool:
        """Whether the session that asks is the account's (R21)."""
        account, session = errand.account, errand.session
        return not account or (bool(session) and self._grants.may_act(errand.home, account, session))

    # -- following

    def connected(self, rank: int) -> None:
        """Messages to another replica go out again: what it was given just before may never have arrived."""
        for number, errand in self._forwarded.all():
            if errand.at == rank and errand.repeatable:
                self._forwarded.take(number)
                self._route_again(errand)

    def applied(self, operations: Sequence[model.AnyOperation], tags: Sequence[Tag]) -> None:
        """The primary commits these: note which of them do what was forwarded from here."""
        self._forwarded.applied(operations, tags, self._rank)

    # -- other replicas

    def deliver(self, rank: int, message: AnyMessage) -> None:
        """Something that another replica asks or answers."""
        self._messages[type(message)](rank, message)
        self._forwarded.go_on()

    def _asked(self, rank: int, message: Forward | Enter | Leave) -> None:
        if self.view is None or message.epoch not in (messages.NEVER, self.view.epoch) or self._stopping:
            return self._outside.send(rank, messages.Again(message.number))
        what, session = (message.request, message.session) if isinstance(message, Forward) else (message, "")
        self._begin(
            what, session, lambda result: self._outside.send(rank, answer(message.number, result)),
            message.rank, (rank, message.number),
        )  # fmt: skip

    def _again(self, rank: int, message: messages.Again) -> None:
        if (errand := self._forwarded.take(message.number)) is not None:
            errand.sent -= errand.epoch != messages.NEVER or not errand.repeatable  # else it may have passed it on
            (self._hold if self._stopping else self._held.append)(errand)

    def _committed(self, rank: int, message: messages.Result) -> None:
        """Tell the client once this replica has applied the operation itself (R20): as a member of the view it has."""
        operation = self._log.get(message.operation)
        if operation is not None:
            self._settle(message.number, Committed(operation, message.replicas, message.pushed))
        else:
            self._forwarded.wait_for(message)

    def _settle(self, number: int, result: object) -> None:
        if (errand := self._forwarded.take(number)) is None:
            return
        over = isinstance(result, errors.LoginFirst)
        errand.done(errors.OutcomeUnknown(UNKNOWN) if over and errand.sent > 1 else result)
        if over and isinstance(errand.what, OwnAccount) and errand.tag == HERE:
            self._outside.over(errand.what.account, errand.session)

    # -- the role changes, and time passes

    def role(self, role: str, view: View | None) -> None:
        """Take up a role; ``view`` is None where this replica has none."""
        self._role, self.view, self._since = role, view, self._seconds()
        for errand in self._forwarded.take_waiting():  # they were for the primary before
            errand.until = self._since + self._timings.patience
            self._held.append(errand)
        waiting = self._grants.rest()
        if role == "primary" and view is not None:
            self._grants.lead(view)
        else:
            for one in self._commits.give_back():
                self._take_back(one)
        for again in waiting:
            again()
        if view is not None:
            self._resolve(view)
            held, self._held = self._held, []
            for errand in held:
                self._route_again(errand)

    def _take_back(self, one: "Waiting") -> None:
        """What this replica would have committed, had it led on."""
        if one.tag != HERE:
            one.done(errors.NotBegun())  # its own replica gives it to the next primary
        elif isinstance(one.request, Sends):
            self.send_all(one.request, one.session, one.done)
        elif one.request is None:
            one.done(errors.NoPrimary("another replica became primary just now"))
        else:
            self.submit(one.request, one.session, one.done)

    def _resolve(self, view: View) -> None:
        """A new view: it holds all that its members had, so what was seen of an errand is committed now."""
        for number, errand in self._forwarded.all():
            if errand.epoch in (view.epoch, messages.NEVER):  # a relay answers in any case
                continue
            self._forwarded.take(number)
            operation = self._log.get(errand.operation) if errand.operation else None
            if operation is not None:
                errand.done(self._outside.result(operation, len(view.members)))
            elif errand.repeatable:
                self._route_again(errand)
            else:
                errand.done(self._unknown(errand))

    def _given_up(self, errand: Errand) -> errors.ChatError:
        """It waited for long enough; a primary that had it before, now or when it was first asked for, may have done it."""
        may_be_done = errand.at >= 0 or self._outside.is_begun(errand.what)
        return self._unknown(errand) if may_be_done and errand.repeatable else self.no_primary()

    def _unknown(self, errand: Errand) -> errors.ChatError:
        return self.no_primary() if isinstance(errand.what, Enter) else errors.OutcomeUnknown(UNKNOWN)

    def tick(self) -> None:
        """Answer what has waited for long enough."""
        now = self._seconds()
        held, self._held = self._held, []
        for errand in held:
            if now >= errand.until:
                errand.done(self._given_up(errand))
            else:
                self._route_again(errand)
        lost = not self._role and now - self._since >= self._timings.patience
        for number, errand in self._forwarded.all():
            if now >= errand.answer_by or (lost and errand.epoch != messages.NEVER):
                self._settle(number, self._unknown(errand))
            elif errand.epoch != messages.NEVER and errand.repeatable and self._relay() is not None:
                self._forwarded.take(number)
                self._route_again(errand)  # it may never have arrived; there is another way now (R14)
        self._forwarded.go_on()
        for errand in self._forwarded.take_overdue(now):
            errand.done(self._unknown(errand))
