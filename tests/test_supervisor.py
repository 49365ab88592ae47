"""chattwist.supervisor: when a replica is started, started again and stopped; its processes are stand-ins here."""

import errno
import os
import signal
from typing import Any, cast

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from chattwist.supervisor import LONGEST_LINE, Lines, Supervisor


class Process:
    """A process that does what the test says; ``signals`` are those that it was sent."""

    def __init__(self, protocol: ProcessProtocol, arguments: list[str], environment: dict[str, str]) -> None:
        self.arguments, self.environment = arguments, environment
        self.signals: list[str] = []
        self.gone = False
        self._protocol = protocol
        protocol.makeConnection(self)

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    def log(self, data: bytes) -> None:
        """Write to stdout."""
        self._protocol.outReceived(data)

    def complain(self, data: bytes) -> None:
        """Write to stderr."""
        self._protocol.errReceived(data)

    def end(self, status: int = 0, signal: int | None = None) -> None:
        """End with an exit status, or by a signal."""
        self.gone = True
        error = ProcessTerminated(status, signal, status << 8) if status or signal else ProcessDone(0)
        self._protocol.processEnded(Failure(error))


class Processes(Clock):
    """A reactor that starts such processes; ``started`` has each in turn, with the port that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[str, Process]] = []
        self.deaf: set[signal.Signals] = set()
        self.trouble: OSError | None = None

    def spawnProcess(self, protocol: ProcessProtocol, executable: str, args: list[str], env: dict[str, str]) -> Process:
        self.deaf = {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}
        if self.trouble:
            raise self.trouble
        process = Process(protocol, args, env)
        self.started.append((args[-1], process))
        return process

    @property
    def ports(self) -> list[str]:
        """The ports of all that were started, in that order."""
        return [port for port, _ in self.started]


class SupervisorTests(SynchronousTestCase):
    """Three replicas, started."""

    def setUp(self) -> None:
        self.logged: list[str] = []
        observer = cast(ILogObserver, self.log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.reactor = Processes()
        arguments = {port: ["chatreplica", "--port", str(port)] for port in (5001, 5002, 5003)}
        self.supervisor = Supervisor(self.reactor, arguments, "welcome")
        self.supervisor.startService()
        self.first, self.second, self.third = (process for _, process in self.reactor.started)

    def log(self, event: LogEvent) -> None:
        """Keep a line of the log."""
        if "log_system" in event:
            self.logged.append(f"[{event['log_system']}] {formatEvent(event)}")

    def seconds_until_restart(self) -> float:
        """Let time go on until a process is started; how long that was."""
        begin, count = self.reactor.seconds(), len(self.reactor.started)
        while len(self.reactor.started) == count:
            self.reactor.advance(0.25)
        return self.reactor.seconds() - begin

    def test_start(self) -> None:
        """All are started at once, with their arguments, behind the pid of who has to live for them to live."""
        self.assertEqual(self.logged, ["[cluster] welcome"])
        self.assertEqual(self.reactor.ports, ["5001", "5002", "5003"])
        self.assertEqual(self.first.arguments[-4:], [str(os.getpid()), "chatreplica", "--port", "5001"])
        self.assertTrue(all(os.path.isabs(path) for path in self.first.environment["PYTHONPATH"].split(os.pathsep)))

    def test_deaf_to_the_terminal(self) -> None:
        """Ctrl-C and the terminal's end go to the supervisor alone, also while a process is just being started."""
        self.assertLessEqual({signal.SIGINT, signal.SIGHUP}, self.reactor.deaf)
        self.assertNotIn(signal.SIGTERM, self.reactor.deaf)
        self.assertNotIn(signal.SIGINT, signal.pthread_sigmask(signal.SIG_BLOCK, []))

    def test_ready(self) -> None:
        """A line says when all are ready for the first time; one that comes back says so itself."""
        for port, process in self.reactor.started:
            self.assertNotIn("[cluster] all replicas are ready", self.logged)
            process.log(f"replica {port} ready: 0 accounts\n".encode())
        self.second.end(signal=9)
        self.reactor.advance(1)
        self.reactor.started[-1][1].log(b"replica 5002 ready: 0 accounts\n")
        self.assertEqual(self.logged.count("[cluster] all replicas are ready"), 1)
        self.assertEqual(self.logged.count("[5002] replica 5002 ready: 0 accounts"), 2)

    def test_killed(self) -> None:
        """A replica that is killed after it ran for a while is started again at once, and the log tells."""
        self.reactor.advance(60)
        self.second.end(signal=signal.SIGKILL)
        self.assertEqual(self.logged[-1], "[5002] ended by SIGKILL; started again now")
        self.reactor.advance(0)
        self.assertEqual(self.reactor.ports[3:], ["5002"])

    def test_ends_again_and_again(self) -> None:
        """One that cannot start says why, and is tried again soon, later each time, at least every 5 seconds."""
        waits = []
        for _ in range(7):
            process = self.reactor.started[-1][1]
            process.complain(b"chatreplica: no room\n")
            process.end(1)
            self.assertEqual(self.logged[-2], "[5003] chatreplica: no room")
            waits.append(self.seconds_until_restart())
        self.assertEqual(waits, [0.25, 0.5, 1, 2, 4, 5, 5])
        self.assertEqual(set(self.reactor.ports[3:]), {"5003"})
        self.assertEqual(self.logged[-1], "[5003] ended with status 1; started again in 5 s")

    def test_patience_is_regained(self) -> None:
        """Once it ran for a while again, the next start is at once again."""
        for _ in range(4):
            self.reactor.started[-1][1].end(1)
            self.seconds_until_restart()
        self.reactor.advance(10)
        self.reactor.started[-1][1].end(1)
        self.assertEqual(self.logged[-1], "[5003] ended with status 1; started again now")

    def test_cannot_be_started(self) -> None:
        """Where the machine has no room for another process, that is said in a line, and tried again."""
        self.reactor.trouble = OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self.reactor.advance(60)
        self.third.end(1)
        self.reactor.advance(0)
        told = "cannot be started: [Errno 11] Resource temporarily unavailable; started again in 0.25 s"
        self.assertEqual(self.logged[-1], f"[5003] {told}")
        self.assertEqual(self.flushLoggedErrors(), [])  # no traceback, every 5 seconds, when its Python is gone
        self.reactor.trouble = None
        self.reactor.advance(0.25)
        self.assertEqual(self.reactor.ports[3:], ["5003"])

    def test_stop(self) -> None:
        """They are stopped one by one, the highest port first: the primary is the last."""
        stopped = self.supervisor.stopService()
        for process, others in (self.third, self.second), (self.second, self.first), (self.first, None):
            self.assertEqual(process.signals, ["TERM"])
            if others:
                self.assertEqual(others.signals, [])
            self.assertNoResult(stopped)
            process.end()
        self.successResultOf(stopped)
        self.assertEqual(self.logged[1:], ["[5003] stopping", "[5002] stopping", "[5001] stopping"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_of_one_that_hangs(self) -> None:
        """One that has not ended after 10 seconds is killed, and the next has its 10 seconds."""
        stopped = self.supervisor.stopService()
        self.reactor.advance(9.9)
        self.assertEqual(self.third.signals, ["TERM"])
        self.reactor.advance(0.1)
        self.assertEqual(self.third.signals, ["TERM", "KILL"])
        self.third.end(signal=signal.SIGKILL)
        self.assertIn("[5003] ended by SIGKILL", self.logged)
        self.reactor.advance(9.9)
        self.assertEqual(self.second.signals, ["TERM"])
        self.second.end()
        self.first.end()
        self.successResultOf(stopped)

    def test_nothing_is_started_while_stopping(self) -> None:
        """One that waits to be started again, or that ends before its turn, stays away, and nobody waits for it."""
        self.third.end(1)
        stopped = self.supervisor.stopService()
        self.first.end(signal=signal.SIGKILL)
        self.second.end()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual(self.reactor.ports, ["5001", "5002", "5003"])

    def test_last_words(self) -> None:
        """What a replica said without a newline before it ended is not lost."""
        self.first.complain(b"oh no")
        self.first.end(1)
        self.assertIn("[5001] oh no", self.logged)


class LinesTests(SynchronousTestCase):
    """Bytes become lines."""

    def lines(self, *pieces: bytes) -> list[str]:
        """What is told of bytes that come in such pieces."""
        told: list[Any] = []
        lines = Lines(told.append)
        for piece in pieces:
            lines.add(piece)
        return told

    def test_pieces(self) -> None:
        """A line is told when it is whole, however its bytes come; letters are not torn."""
        whole = "one\nдва\r\n\nthree {x}\nfo".encode()
        self.assertEqual(self.lines(whole), ["one", "два", "three {x}"])
        self.assertEqual(self.lines(*(whole[n : n + 1] for n in range(len(whole)))), ["one", "два", "three {x}"])

    def test_not_utf8(self) -> None:
        """What is no UTF-8 is shown as well as it can be."""
        self.assertEqual(self.lines(b"caf\xe9\n"), ["caf\N{REPLACEMENT CHARACTER}"])

    def test_long(self) -> None:
        """A line of any length takes no more room than LONGEST_LINE, and is shown whole, in several."""
        for length in LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 10 * LONGEST_LINE + 7:
            line = b"x" * length + b"\n"
            for pieces in [line], [line[:LONGEST_LINE], line[LONGEST_LINE:]], [line[:9], line[9:]]:
                told = self.lines(*pieces, b"next\n")
                self.assertEqual("".join(told[:-1]), "x" * length)
                self.assertLessEqual(max(map(len, told)), LONGEST_LINE)
                self.assertEqual(told[-1], "next")
