"""One client's session: who is logged in, which commands are under way, in which order they are answered; no I/O.

A command that has to wait for the disk or for a hash keeps the next one waiting, but for SEND after SEND: those share
commits. Each command is a Call, answered once, or with the SENDs around it a Run; answers leave in the order of the commands.
"""

from collections.abc import Callable
from functools import partial

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.protocol import grammar
from chattwist.protocol.backend import Backend, Committed, Sink
from chattwist.protocol.call import Call, Then
from chattwist.protocol.commands import COMMANDS, Row
from chattwist.protocol.messages import message_line
from chattwist.protocol.run import SEND, Run
from chattwist.protocol.telnet import Line, LineReader, Problem
from chattwist.requests import MOST_MARKED, MarkRead

MOST_RUNNING = 64  # SENDs of one session that may be under way
MOST_SHOWN = 512  # messages that a session remembers to have shown last, and up to as many before them

_BAD_LINES = {
    Problem.TOO_LONG: "line too long (at most 8192 bytes with its end); send a shorter one",
    Problem.TELNET: "a telnet command came inside this line; send the line again",
    Problem.CUT: "this line has no end, so it was not taken as a command; send it again with a newline",
}
_BAD_PASSWORDS = {
    Problem.TOO_LONG: "line too long (at most 8192 bytes with its end); {} cancelled, nothing was done",
    Problem.TELNET: "a telnet command came inside this line; type the password again, or an empty line to cancel",
    Problem.CUT: "this line has no end, so it was not taken as the password; {} cancelled, nothing was done",
}


class Session:
    """What the server knows about one connection's user."""

    __slots__ = (
        "_alone", "_asked", "_behind", "_calls", "_growing", "_held", "_leaving", "_marking", "_out", "_pushed", "_reading",
        "_running", "_seen", "_shown", "_shown_before", "account", "address", "backend", "closed", "sink",
    )  # fmt: skip

    def __init__(self, backend: Backend, sink: Sink, address: str) -> None:
        self.backend = backend
        self.sink = sink
        self.address = address
        self.account: Account | None = None
        self.closed = False
        self._leaving = False  # QUIT was said
        self._calls: list[Call | Run] = []  # under way, oldest first: SENDs, or one other command
        self._running = 0  # how many commands those are
        self._alone = False  # whether those are one other command
        self._growing: Run | None = None  # the last of those, and not yet submitted: the next line may be of it, too
        self._held: tuple[Row | None, Call] | None = None  # the next one, waiting for those
        self._asked: tuple[Call, Then] | None = None  # a 331 is out: the next line is for this
        self._marking = 0  # read marks being committed
        self._pushed: list[str] = []  # messages pushed and not yet counted as read
        self._out = 0  # how many of those have gone out
        self._seen = 0  # how many of those had when the client last sent something: it can have seen them then
        self._reading: tuple[str, tuple[str, ...]] | None = None  # (retry key, ids) shown by READ, not yet out (R8)
        self._shown: dict[str, bool] = {}  # ids of messages → whether READ showed them
        self._shown_before = self._shown  # and of those that were shown before them
        self._behind: list[model.Sent] | None = None  # messages that wait because the client is behind in reading

    # -- lines in

    @property
    def blocked(self) -> bool:
        """Whether the next line has to wait."""
        return bool(
            self._alone or self._held or self._reading or self._leaving or self.closed or self._running >= MOST_RUNNING
        )

    @property
    def idle(self) -> bool:
        """Whether everything that was asked is answered and done."""
        return not (self._calls or self._marking or self._reading or self._held)

    def heard(self) -> None:
        """The client sent something: it can have seen what had gone out by now, but nothing that is pushed from now on."""
        self._seen = self._out

    def take_sends(self, reader: LineReader) -> bool:
        """Take those next lines that may share a run; whether there were any. Only while not blocked."""
        account = self.account
        if account is None or self._alone or self._asked:
            return False
        before = self._running
        while self._running < MOST_RUNNING and (found := reader.match(SEND)):
            run = self._growing
            if run is None:
                run = self._growing = Run(self, account)
                self._calls.append(run)
            if self._seen:
                self._read_with(run)
            run.items.append((found[1].decode(), found[2].decode()))
            self._running += 1
        return self._running > before

    def submit_run(self) -> bool:
        """No more lines for now; whether there were any that waited for that."""
        run, self._growing = self._growing, None
        if run is not None:
            run.submit()
        return run is not None

    def line(self, line: Line) -> None:
        """Take the next line; only while not blocked."""
        if line.problem is not Problem.CUT:
            self._count_as_read()
        if self._asked and line.problem is not Problem.NONE:
            self._bad_password(line.problem)
        elif line.problem is not Problem.NONE:
            self._begin(None, Call(self, grammar.unreadable(line.content, _BAD_LINES[line.problem])))
        elif self._asked:
            self._password(line.content)
        else:
            command = grammar.parse(line.content)
            if command is not None:
                self._begin(COMMANDS.get(command.verb), Call(self, command))

    def _begin(self, row: Row | None, call: Call) -> None:
        self.submit_run()
        busy = self._calls or self._reading or self._held or (self._marking and row is not None and not row.shows)
        if not busy or (row is not None and row.overlaps):
            self._run(row, call)
        else:
            self._held = row, call

    def _run(self, row: Row | None, call: Call) -> None:
        self._await(call)
        self._alone = row is None or not row.overlaps
        call.guard(self._dispatch, row, call)

    def _await(self, call: Call) -> None:
        call.answer = None  # it may have had one: a question
        self._calls.append(call)
        self._running += 1

    def _dispatch(self, row: Row | None, call: Call) -> None:
        if call.command.problem is not None:
            raise call.command.problem
        if row is None:
            raise grammar.not_a_command(call.command)
        row.check(call.command, self.account is not None)
        row.do(call)

    # -- passwords

    def ask(self, call: Call, then: Then) -> None:
        """The next line is for ``then``, whatever it looks like."""
        self._asked = call, then
        self.sink.hide_input()

    def _end_question(self) -> None:
        self._asked = None
        self.sink.show_input()

    def _bad_password(self, problem: Problem) -> None:
        """After a telnet command it stays asked for, and hidden, since a key such as Ctrl-C sends one; else that is over."""
        assert self._asked is not None
        call, _ = self._asked
        if problem is not Problem.TELNET:
            self._end_question()
        self._await(call)
        call.fail(errors.Unreadable(_BAD_PASSWORDS[problem].format(call.command.verb)))

    def _password(self, content: bytes) -> None:
        assert self._asked is not None
        call, then = self._asked
        self._end_question()
        self._await(call)
        self._alone = True
        call.guard(self._give_password, call, then, content)

    def _give_password(self, call: Call, then: Then, content: bytes) -> None:
        verb = call.command.verb
        COMMANDS[verb].check_login(self.account is not None)
        if not content:
            raise errors.WrongArguments(f"{verb} cancelled: no password given; nothing was done")
        try:
            password = content.decode("utf-8")
        except UnicodeDecodeError:
            raise errors.WrongArguments(f"a password is UTF-8; {verb} cancelled, nothing was done") from None
        then(password)

    # -- answers out

    def answered(self) -> None:
        """A call has its answer: let out what is next in order."""
        calls = self._calls
        while calls and (answer := calls[0].answer) is not None:
            self._running -= calls.pop(0).count
            if not self.closed:
                self.sink.write(answer)
        self._go_on()

    def _go_on(self) -> None:
        if self._calls or self._reading:
            return
        self._alone = False
        if self._leaving and not self.closed:
            self._finish()
        elif self._held is not None:
            if not self._marking:
                held, self._held = self._held, None
                self._run(*held)
        else:
            self.sink.ready()

    def _finish(self) -> None:
        self.closed = True
        self.end()
        self.sink.close()

    # -- messages

    def push(self, message: model.Sent) -> None:
        """Push a message that arrived; while the client is behind in reading, that waits in the mailbox."""
        if self._behind is not None:
            self._behind.append(message)
        elif not self._try_to_push(message):
            self._behind = [message]

    def _try_to_push(self, message: model.Sent) -> bool:
        sink, message_id = self.sink, message.id
        line = grammar.event(f"MSG {message_line(self.backend.chat, message)}", sink.ending)
        if self.closed or not sink.push(line):
            return False
        self._pushed.append(message_id)
        self.show(message_id)
        return True

    def _catch_up(self) -> None:
        """All went out: push what arrived meanwhile, as much of it as goes."""
        account, waiting, self._behind = self.account, self._behind or [], None
        for index, message in enumerate(waiting):
            if account is not None and message.id in account.unread and not self._try_to_push(message):
                self._behind = waiting[index:]
                return

    def event(self, text: str) -> None:
        """Write an event between two replies."""
        if not self.closed:
            self.sink.write(grammar.event(text, self.sink.ending))

    def show(self, message_id: str, read: bool = False) -> None:
        """Remember that a message was shown, so that its deletion is told; ``read``: by READ."""
        self._shown[message_id] = read
        if len(self._shown) == MOST_SHOWN:
            self._shown_before, self._shown = self._shown, {}

    def was_shown(self, message_id: str) -> bool:
        """Whether this session saw a message lately."""
        return message_id in self._shown or message_id in self._shown_before

    def was_read(self, message_id: str) -> bool:
        """Whether READ showed it lately: then it is not pushed any more."""
        return self._shown.get(message_id, False) or self._shown_before.get(message_id, False)

    def drained(self) -> None:
        """All that was written has gone out."""
        self._out = len(self._pushed)
        if self._behind is not None:
            self._catch_up()
        if self._reading is not None:
            (key, ids), self._reading = self._reading, None
            self._mark(ids, key)

    def read_when_gone(self, ids: tuple[str, ...], key: str) -> None:
        """READ showed these messages: count them as read once their text has gone out."""
        self._reading = key, ids

    def _take_seen(self) -> tuple[str, ...]:
        ids = tuple(self._pushed[: self._seen])
        self._pushed, self._out, self._seen = self._pushed[self._seen :], self._out - self._seen, 0
        return ids

    def _read_with(self, run: Run) -> None:
        """What was seen before these SENDs is recorded with them, where they are; else with what others here have read."""
        if self.backend.leads and self._seen <= MOST_MARKED:
            run.read = self._take_seen()
        else:
            self._count_as_read()

    def _count_as_read(self) -> None:
        if self._seen:
            ids = self._take_seen()
            for start in range(0, len(ids), MOST_MARKED):
                some = ids[start : start + MOST_MARKED]
                self._mark(some, "", pushed=some)

    def _mark(self, ids: tuple[str, ...], key: str, pushed: tuple[str, ...] = ()) -> None:
        account = self.account
        if account is None:
            return self._go_on()
        self._marking += 1
        if key:
            self.backend.submit(MarkRead(account.id, ids, key=key), partial(self._marked, account, pushed))
        else:
            self.backend.mark_read(ids, partial(self._marked, account, pushed))

    def _marked(self, account: Account, pushed: tuple[str, ...], result: Committed | errors.ChatError) -> None:
        self._marking -= 1
        if isinstance(result, errors.ChatError):
            self.not_marked(account, pushed)
        self._go_on()

    def not_marked(self, account: Account, pushed: tuple[str, ...]) -> None:
        """These are still unread: a later line tries again."""
        if self.account is account:
            self._pushed[:0] = pushed
            self._out += len(pushed)

    # -- beginning and end

    def begin(self, account: Account) -> None:
        """The session is logged in now."""
        self.account = account

    def end(self, done: Callable[[], None] = lambda: None) -> None:
        """The login is over, if there is one; the connection stays. ``done()`` once all replicas know it."""
        account = self.account
        self._forget()
        done() if account is None else self.backend.logout(self, account, done)

    def bye(self, text: str) -> None:
        """Somebody else ended this login."""
        self._forget()
        self.event(f"BYE {text}")
        self._go_on()

    def _forget(self) -> None:
        self.account = None
        self._pushed, self._out, self._seen, self._reading, self._behind = [], 0, 0, None, None
        self._shown = self._shown_before = {}

    def leave(self) -> None:
        """QUIT: what follows is not read any more, and once it is answered the connection ends."""
        self._leaving = True

    def lost(self) -> None:
        """The connection is gone: what was pushed and not followed by a line stays unread."""
        self.closed = True
        self._held = self._asked = None
        self.end()
