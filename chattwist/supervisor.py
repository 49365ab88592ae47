"""Replicas as processes of their own: started, listened to, started again when they end, and stopped one by one."""

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.runner.procmon import LoggingProtocol, ProcessMonitor

from chattwist.child import deaf_to, environment

LONGEST_LINE = 4096  # bytes; a longer one is shown in several
PIECE = re.compile(rb"[^\n]{0,%d}\n|[^\n]{%d}" % (LONGEST_LINE, LONGEST_LINE))


class Supervisor(ProcessMonitor):
    """Keeps replicas running. The name of each process is the port of its replica; its log has the lines of all."""

    threshold = 10  # seconds: one that ends sooner than this is started again later each time
    minRestartDelay = 0.25  # type: ignore[assignment]  # seconds may be a float
    maxRestartDelay = 5
    killTime = 10
    log = Logger()

    def __init__(self, reactor: Any, replicas: Mapping[int, Sequence[str]], welcome: str) -> None:
        """``replicas`` has the arguments of twistd for each port; ``welcome`` is logged before the first is started."""
        super().__init__(reactor)
        self._arguments = {str(port): arguments for port, arguments in replicas.items()}
        self._welcome = welcome
        self._environment = environment()  # now: a daemon leaves this directory
        self._awaited = set(self._arguments)  # those that never were ready

    def startService(self) -> None:
        """Start all replicas."""
        self.say("cluster", self._welcome)
        for port in self._arguments:
            self.addProcess(port, [])  # startProcess knows what to start
        super().startService()

    def startProcess(self, name: str) -> None:
        """Start one, as ProcessMonitor does, but listen to it in another way and keep the terminal's signals from it."""
        command = [sys.executable, "-P", "-X", "utf8", "-m", "chattwist.supervised", str(os.getpid())]
        command += self._arguments[name]
        self.protocols[name] = replica = ReplicaProcess(self, name)
        self.timeStarted[name] = self._clock.seconds()
        try:
            with deaf_to(signal.SIGINT, signal.SIGHUP):
                self._reactor.spawnProcess(replica, sys.executable, command, env=self._environment)
        except OSError:
            replica.connectionMade()
            replica.processEnded(Failure())

    def stopService(self) -> Deferred[None]:  # type: ignore[override]  # ProcessMonitor's waits for nobody
        """Stop one replica after the other, the highest port first; fires when all have ended."""
        Service.stopService(self)  # from now on none is started again
        for call in self.restart.values():
            if call.active():
                call.cancel()
        return Deferred.fromCoroutine(self._stop_each())

    async def _stop_each(self) -> None:
        for name in sorted(self.protocols, key=int, reverse=True):
            if replica := self.protocols.get(name):
                self.say(name, "stopping")
                self.stopProcess(name)
                await cast(ReplicaProcess, replica).ended

    def heard(self, name: str, line: str) -> None:
        """Pass on what a replica says."""
        self.say(name, line)
        if f"replica {name} ready" in line and name in self._awaited:
            self._awaited.remove(name)
            if not self._awaited:
                self.say("cluster", "all replicas are ready")

    def told_end(self, name: str, reason: Failure) -> None:
        """Say how a replica ended, unless it was asked to and did."""
        if self.running:
            delay = self.restart[name].getTime() - self._clock.seconds()
            self.say(name, f"{how_it_ended(reason)}; started again {f'in {delay:.2g} s' if delay > 0 else 'now'}")
        elif not reason.check(ProcessDone):
            self.say(name, how_it_ended(reason))

    def say(self, name: str, line: str) -> None:
        """Log a line of ``name``, a port or ``cluster``."""
        self.log.info("{line}", line=line, log_system=name)


class ReplicaProcess(LoggingProtocol):
    """The process of one replica; ``ended`` fires when it is gone."""

    service: Supervisor

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self.service, self.name = supervisor, name
        self.ended: Deferred[None] = Deferred()
        self._said = Lines(partial(supervisor.heard, name))
        self._complained = Lines(partial(supervisor.heard, name))

    def outReceived(self, data: bytes) -> None:
        """Pass on what it logs."""
        self._said.add(data)

    def errReceived(self, data: bytes) -> None:
        """Pass on what it says before or beside its log."""
        self._complained.add(data)

    def processEnded(self, reason: Failure) -> None:
        """Pass on its last words, and let the supervisor start it again."""
        self._said.add(b"\n")
        self._complained.add(b"\n")
        # of anything else Twisted would log a traceback, at each attempt to start it
        ended = reason if reason.check(ProcessDone, ProcessTerminated) else Failure(ProcessTerminated())
        super().processEnded(ended)
        self.service.told_end(self.name, reason)
        self.ended.callback(None)


class Lines:
    """Makes lines of text out of bytes as they come; each is given to ``tell``, empty ones are not."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._rest = b""

    def add(self, data: bytes) -> None:
        """Take bytes; what is no whole line yet waits, up to LONGEST_LINE."""
        data, end = self._rest + data, 0
        for piece in PIECE.finditer(data):
            end = piece.end()
            if line := piece[0].decode(errors="replace").rstrip():
                self._tell(line)
        self._rest = data[end:]


def how_it_ended(reason: Failure) -> str:
    """Say it for people; ``reason`` is what Twisted gives for the end of a process."""
    error = reason.value
    if not isinstance(error, (ProcessDone, ProcessTerminated)):
        return f"cannot be started: {error}"
    return f"ended by {signal.Signals(error.signal).name}" if error.signal else f"ended with status {error.exitCode}"
