"""What a supervised replica's process does before it is twistd: ``python -m chattwist.supervised PID ARGUMENT...``.

PID is the supervisor's, the ARGUMENTs are twistd's. The process leaves the supervisor's group, which a terminal or a
shell signals as a whole, and gets SIGTERM when the supervisor has ended, however that was.
"""

import ctypes
import os
import signal
import sys

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)
from twisted.scripts import twistd

PR_SET_PDEATHSIG = 1  # of prctl(2)


def log_to_supervisor() -> ILogObserver:
    """Make the log of a process to whose lines the supervisor adds time and port; without what Twisted says of itself."""
    wanted = LogLevelFilterPredicate(LogLevel.warn)
    wanted.setLogLevelForNamespace("chattwist", LogLevel.info)
    return FilteringLogObserver(FileLogObserver(sys.stdout, as_lines), [wanted])


def as_lines(event: LogEvent) -> str:
    """Text of an event, with its traceback if there is one."""
    return eventAsText(event, includeTimestamp=False, includeSystem=False) + "\n"


def main(supervisor: int, *arguments: str) -> None:
    """Become twistd, tied to the process ``supervisor``."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:  # it ended before that was asked for
        raise SystemExit(1)
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", f"--logger={__spec__.name}.log_to_supervisor", *arguments]
    twistd.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
