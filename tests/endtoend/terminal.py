"""A program in a terminal of its own, and a person who types into it and looks at it."""

import os
import pty
import select
import signal
import termios

from tests.endtoend.harness import PATIENCE

IUTF8 = (
    0o40000  # of termios, where Python has no name for it: backspace takes away a whole letter, as in real terminals
)


class Terminal:
    """A pseudo terminal in which a program runs; ``shown`` is all that it has shown, what was typed and echoed included."""

    def __init__(self, *command: str) -> None:
        self.shown = b""
        self._looked_at = 0
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            input_modes, *others = termios.tcgetattr(0)
            termios.tcsetattr(0, termios.TCSANOW, [input_modes | IUTF8, *others])
            os.execvpe(
                command[0], command, {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", "HOME": "/nonexistent"}
            )

    def type(self, text: str) -> None:
        """Type as on a keyboard, where Enter is a carriage return, Ctrl-C the byte 3, and backspace DEL."""
        os.write(self._file, text.encode())

    def see(self, text: str) -> str:
        """Look until ``text`` is shown, behind what was seen before; what is between, and it. AssertionError if it is not."""
        wanted = text.encode()
        while wanted not in self.shown[self._looked_at :]:
            if not self._more():
                raise AssertionError(f"{text!r} was not shown: {self.shown[self._looked_at :]!r}")
        begin, self._looked_at = self._looked_at, self.shown.index(wanted, self._looked_at) + len(wanted)
        return self.shown[begin : self._looked_at].decode()

    def enter(self, line: str, answer: str) -> str:
        """Type a line and Enter; see the answer."""
        self.type(f"{line}\r")
        return self.see(answer)

    def see_the_end(self) -> None:
        """Look until the program has ended."""
        while self._more():
            pass

    def _more(self) -> bool:
        ready, _, _ = select.select([self._file], [], [], PATIENCE)
        if not ready:
            return False
        try:
            data = os.read(self._file, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.shown += data
        return bool(data)

    def close(self) -> None:
        """Switch the terminal off."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._file)
