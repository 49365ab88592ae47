"""How a process of this project starts and ends under twistd, for the person or the script that started it.

Either it runs, or there is one line on stderr and exit status 1; and a stop by SIGTERM is exit status 0.
"""

import atexit
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from types import FrameType

from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.logger import Logger

from chattwist.errors import StartError


class StartFailed(SystemExit, Exception):
    """The start failed, and it has been said.

    Of both kinds, since each serves one reader: twistd cleans up after an Exception (its pid file, its parent that
    waits for the daemon), and Python ends without a traceback on a SystemExit.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Daemon(MultiService):
    """All that runs in the process. Made before twistd daemonizes, it keeps the stderr of that moment for the start."""

    log = Logger()

    def __init__(self, name: str, *services: IService) -> None:
        super().__init__()
        # Twisted's own is the wall clock: set back by an hour, it would keep all timers waiting for that long (R22)
        reactor.seconds = time.monotonic  # type: ignore[method-assign]
        self.program = name
        self._made_in = os.getpid()
        self._stderr = os.dup(2)
        for service in services:
            service.setServiceParent(self)

    def startService(self) -> None:
        """Start all services; StartFailed if one raises StartError, or on Ctrl-C."""
        # Twice, since Twisted puts its own handler in this one's place when the reactor starts to run.
        signal.signal(signal.SIGTERM, stop_on_signal)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # the terminal was closed; not so under nohup
            signal.signal(signal.SIGHUP, stop_on_signal)
        IReactorCore(reactor).callWhenRunning(signal.signal, signal.SIGTERM, stop_on_signal)
        try:
            super().startService()
        except StartError as error:
            self._say(f"{self.program}: {error}")
            raise StartFailed(str(error)) from None
        except KeyboardInterrupt:
            raise StartFailed("interrupted", 128 + signal.SIGINT) from None
        finally:
            os.close(self._stderr)  # a daemon that kept it would keep a terminal, or a pipe's reader, waiting

    def _say(self, line: str) -> None:
        if os.getpid() != self._made_in:  # a daemon, whose log nobody watches now but somebody will read
            self.log.critical("{line}", line=line)
        os.write(self._stderr, (line + "\n").encode("utf-8", "backslashreplace"))


def stop_on_signal(number: int, frame: FrameType | None) -> None:
    """Stop the reactor; unlike Twisted's own handler, leave no note to end by the same signal in the end."""
    Daemon.log.info("Received {name}, shutting down.", name=signal.Signals(number).name)
    IReactorFromThreads(reactor).callFromThread(_stop)


def _stop() -> None:
    with suppress(ReactorNotRunning):  # a second signal while it shuts down
        IReactorCore(reactor).stop()


def allow_descriptors(wanted: int) -> int:
    """Let this process open ``wanted`` files and sockets, or as many as it may; gives how many that is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def end_process_with_status(status: int) -> None:
    """Stop the reactor in good order, then let the process end with ``status``; twistd alone would make it 0."""

    def end() -> None:
        sys.stdout.flush()
        os._exit(status)

    atexit.register(end)
    _stop()
