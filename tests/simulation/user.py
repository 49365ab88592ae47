"""What people do: they register, log in on any replica, send, read, delete, and repeat what was not answered."""

from collections import deque
from collections.abc import Callable, Generator
from random import Random

from tests.simulation.attempts import YES, Attempt, Mailbox, Sitting
from tests.simulation.caller import Caller
from tests.simulation.terminal import Waits
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Reply, Wire

TRANSIENT = {421, 450, 451, 452, 454, 453, 503, 530, 535}  # try again, perhaps elsewhere


class User(Caller):
    """Somebody with an account, who begins ``within`` seconds.

    ``dial`` gives a connection to a replica, or None where there is none.

    ``deleting``: ids of all messages that anybody has tried to delete; ``lost``: whether disks lost something for good.
    """

    def __init__(
        self, timeline: Timeline, random: Random, within: float, name: str, mailbox: Mailbox, others: list[Mailbox],
        replicas: int, dial: Callable[["User", int], Wire | None], note: Callable[[Attempt | Sitting], None],
        violated: Callable[[str, str], None], deleting: set[str], done: Callable[[Attempt], None],
        lost: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(timeline, random, within, name, lambda rank: dial(self, rank), violated)
        self.mailbox, self.others = mailbox, others
        self._deleting, self._done, self._lost = deleting, done, lost
        self.finishing = self.doubts = False
        self._replicas, self._note = replicas, note
        self.at = random.randrange(replicas)
        self._keys = 0
        self.pending: list[Attempt] = []
        self._sent: list[tuple[str, Attempt]] = []  # answered sends of this sitting
        self._answered: deque[Attempt] = deque(maxlen=4)  # the last ones of all sittings
        self.script = self._live()

    @property
    def idle(self) -> bool:
        """Whether nothing of what it wants done is left, and it is logged in."""
        if self.mailbox.gone or (not self.mailbox.known and self.mailbox.owner != self.name):
            return True
        return not self.pending

    def finish(self) -> None:
        """Do no more than what is left; and be patient: who tried wrong passwords waits for seconds."""
        self.finishing = True
        self.patience = max(self.patience, 12.0)

    # -- living

    def _live(self) -> Waits:
        while not self.mailbox.gone:
            if self.random.random() < 0.35:
                self.at = self.random.randrange(self._replicas)
            if not (yield from self._connect(self.at)):
                self.at = (self.at + 1) % self._replicas
                yield "sleep", self.random.random() * 0.3
                continue
            if (yield from self._log_in()):
                yield from self._sit()
            else:
                self.at = (self.at + 1) % self._replicas
            yield "sleep", self.random.random() * 0.5
            while self.finishing and not self.pending and not self.mailbox.gone and self.mailbox.known:
                yield from self._stay()

    def _stay(self) -> Waits:
        """At the end: nothing more to do but to stay logged in."""
        while self.sitting is not None and self.wire is not None and self.wire.open:
            yield "sleep", 0.5
        if (yield from self._connect(self.at)):
            yield from self._log_in()
        if self.sitting is None:
            self.at = (self.at + 1) % self._replicas
            yield "sleep", 0.2

    def _log_in(self) -> Generator[tuple[str, float], None, bool]:
        mailbox = self.mailbox
        if not mailbox.known:
            return (yield from self._register()) if mailbox.owner == self.name else False
        asked = self.timeline.now
        verb = "TAKEOVER" if self.finishing else self.random.choice(["LOGIN", "LOGIN", "TAKEOVER"])
        reply: Reply | None = None
        for name, password in [(mailbox.name + end, one) for one in mailbox.passwords for end in ("", "~2", "~3")]:
            reply = yield from self._say(f"{verb} {name} {password}")
            if reply is not None and reply.code in (230, 453):  # it is right: each wrong one is slowed down
                mailbox.passwords = [password, *(one for one in mailbox.passwords if one != password)]
            if reply is None or reply.code != 535:
                break
        if reply is None or reply.code != 230:
            self._check(reply, {230, 535, 453, 450, 451, 452, 421})
            if reply is not None and reply.code == 535 and (mailbox.leaving or self._lost()):
                mailbox.gone = True  # it was done, though nobody was told; or nobody has it any more
            return False
        self._begin(asked, reply)
        return True

    def _register(self) -> Generator[tuple[str, float], None, bool]:
        attempt = self._registration()
        asked = self.timeline.now
        reply = yield from self._try(attempt)
        if reply is not None and reply.code == 551:
            self.mailbox.name += "x"
            self.pending.remove(attempt)
        if reply is None or reply.code != 230:
            self._check(reply, {230, 551, 450, 451, 452, 454, 421})
            return False
        self.mailbox.known = True
        self.mailbox.passwords = [self.mailbox.password]
        self.pending.remove(attempt)
        self._begin(asked, reply)
        return True

    def _registration(self) -> Attempt:
        for attempt in self.pending:
            if attempt.verb == "REGISTER":
                return attempt
        return self._new("REGISTER", f"{self.mailbox.name} {self.mailbox.password}")

    def _begin(self, asked: float, reply: Reply) -> None:
        assert self.wire is not None
        self.sitting = Sitting(self.mailbox, self.at, self.wire, reply.account, asked, reply)
        self._sent = []
        self._note(self.sitting)

    def _check(self, reply: Reply | None, allowed: set[int]) -> None:
        if reply is not None and reply.code not in allowed:
            self._violated("only answers that fit", f"{self.name}: {reply.code} {reply.text}")

    # -- one sitting

    def _sit(self) -> Waits:
        left = self.random.randint(2, 14)
        while self.sitting is not None and self.wire is not None and self.wire.open:
            if self.pending:
                if not (yield from self._finish(self.pending[0])):
                    return
            elif left <= 0 or self.finishing:
                break
            elif self.doubts and self._answered and self.random.random() < 0.5:
                if not (yield from self._repeat()):
                    return
            elif not (yield from self._do_something()):
                return
            left -= 1
            yield "sleep", self.random.expovariate(4.0)
        yield from self._part()

    def _part(self) -> Waits:
        if self.finishing or self.wire is None or self.sitting is None:
            return
        how = self.random.choice(["LOGOUT", "QUIT", "", "", "wait"])
        if how == "wait":
            yield "sleep", self.random.random() * 6
        elif how:
            self._end_sitting()
            yield from self._say(how)

    def _new(self, verb: str, rest: str, text: str = "") -> Attempt:
        self._keys += 1
        attempt = Attempt(self.mailbox, verb, rest, f"{self.name}.{self._keys}", text)
        self.pending.append(attempt)
        self._note(attempt)
        return attempt

    def _try(self, attempt: Attempt) -> Generator[tuple[str, float], None, Reply | None]:
        attempt.tries.append((self.timeline.now, self.sitting))
        reply = yield from self._say(attempt.line)
        if reply is not None:
            self._take_answer(attempt, reply)
        return reply

    def _take_answer(self, attempt: Attempt, reply: Reply) -> None:
        attempt.answers.append(reply)
        if reply.code in YES:
            attempt.done = attempt.done or reply
        self._done(attempt)

    def _finish(self, attempt: Attempt) -> Generator[tuple[str, float], None, bool]:
        """Try it; whether the connection is good for more."""
        reply = yield from self._try(attempt)
        if reply is None:
            return False
        if reply.code in TRANSIENT and reply.code != 535:
            yield "sleep", self.random.random() * 0.5
            return reply.code != 530 and self.random.random() < 0.5
        self.pending.remove(attempt)
        self._check(reply, {250, 213, 550, 552} | ({535} if attempt.verb in ("PASSWD", "UNREGISTER") else set()))
        self._learn(attempt, reply)
        return not self.mailbox.gone

    def _learn(self, attempt: Attempt, reply: Reply) -> None:
        if reply.code != 250:
            return
        if attempt.verb == "SEND":
            self._sent.append((reply.text.split()[0], attempt))
            self._answered.append(attempt)
        elif attempt.verb == "PASSWD":
            new = attempt.rest.split()[1]  # of two changes on two sides of a cut one is kept, perhaps the other one
            self.mailbox.passwords = [new, *(one for one in self.mailbox.passwords if one != new)][:4]
        elif attempt.verb == "UNREGISTER":
            self.mailbox.gone = True
            self._end_sitting()

    def _do_something(self) -> Generator[tuple[str, float], None, bool]:
        """One command, or several at once; whether the connection is good for more."""
        kind = self.random.choices(
            ["send", "burst", "read", "delete", "ask", "look", "passwd", "unregister", "wait", "stick"],
            [50, 6, 12, 8, 8, 6, 1.5, 0.4, 6, 3],
        )[0]
        if kind == "send":
            return (yield from self._finish(self._sending()))
        if kind == "burst":
            return (yield from self._burst())
        if kind == "read":
            return (yield from self._finish(self._new("READ", str(self.random.randint(1, 5)))))
        if kind == "delete":
            return (yield from self._delete())
        if kind == "look":
            return (yield from self._look())
        if kind == "passwd":
            return (yield from self._change_password())
        if kind == "unregister":
            self.mailbox.leaving = True
            return (yield from self._finish(self._new("UNREGISTER", self.mailbox.passwords[0])))
        if kind == "ask":
            verb = self.random.choice(["UNREAD", "LIST *", "WHO", "STATUS", "NOOP"])
            reply = yield from self._say(verb)
            self._check(reply, {211, 212, 250, 530, 421})
            return reply is not None and reply.code != 530
        if kind == "stick":
            return (yield from self._stick())
        yield "sleep", self.random.random() * 2
        return True

    def _sending(self) -> Attempt:
        recipient = self.random.choice(self.others)
        text = f"text-{self.name}-{self._keys + 1}"
        return self._new("SEND", f"{recipient.name} {text}", text)

    def _repeat(self) -> Generator[tuple[str, float], None, bool]:
        """Something that was answered; whether the connection is good for more."""
        reply = yield from self._try(self.random.choice(self._answered))
        self._check(reply, {250, 550, 552} | TRANSIENT - {535})
        return reply is not None and reply.code not in (421, 530)

    def _burst(self) -> Generator[tuple[str, float], None, bool]:
        """Several SENDs at once; what is not answered stays pending."""
        assert self.wire is not None
        attempts = [self._sending() for _ in range(3)]
        for attempt in attempts:
            attempt.tries.append((self.timeline.now, self.sitting))
        self.asked = attempts[0].line
        self.wire.send(*(attempt.line for attempt in attempts))
        for attempt in attempts:
            reply = yield from self._reply(self.patience)
            if reply is None or reply.code == 421:
                return False
            if reply.tag != f"!{attempt.key}":
                self._violated("replies come in the order of the commands", f"{reply.tag} for {attempt.key}")
            self._take_answer(attempt, reply)
            if reply.code not in TRANSIENT:
                self.pending.remove(attempt)
                self._learn(attempt, reply)
        return True

    def _delete(self) -> Generator[tuple[str, float], None, bool]:
        ids = [message for message, _ in self._sent] + sorted(self.mailbox.shown)
        if not ids:
            return True
        message = self.random.choice(ids)
        self._deleting.add(message)
        return (yield from self._finish(self._new("DELETE", message)))

    def _look(self) -> Generator[tuple[str, float], None, bool]:
        """A session reads its own writes."""
        sent = list(self._sent)
        reply = yield from self._say("HISTORY 200")
        self._check(reply, {213, 530, 421})
        if reply is None or reply.code != 213:
            return False
        found = {line.rpartition(" ")[2] for line in reply.lines[:-1]}
        for message, attempt in sent:
            if attempt.text not in found and message not in self._deleting:
                self._violated("a session reads its own writes", f"{self.name}: {message} {attempt.text}")
        return True

    def _change_password(self) -> Generator[tuple[str, float], None, bool]:
        old = self.mailbox.passwords[0]
        new = f"secret-{self.name}-{self._keys + 1}"
        self.mailbox.passwords.append(new)
        return (yield from self._finish(self._new("PASSWD", f"{old} {new}")))

    def _stick(self) -> Generator[tuple[str, float], None, bool]:
        """Not reading for a while, and perhaps never what is asked for then; whether the connection is good for more."""
        wire = self.wire
        assert wire is not None
        wire.stuck = True
        asks = self.random.random() < 0.7
        if asks:
            wire.send(f"READ {self.random.randint(1, 9)}")
        yield "sleep", self.random.random() * 3
        if asks and self.random.random() < 0.7:
            self._leave()
            return False
        wire.unstick()
        return not asks or (yield from self._reply(self.patience)) is not None
