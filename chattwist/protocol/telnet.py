"""Bytes ↔ lines, for nc, telnet and whatever else connects; pure.

``LineReader`` keeps what came as it came and takes it apart a line at a time, when asked: a connection that is paused holds
raw bytes only. A plain line costs one search. Only lines with telnet commands or odd line ends go byte by byte.

Telnet is RFC 854, 855 and 1143 in spirit: nothing is negotiated but BINARY (so that UTF-8 gets through) and ECHO (to hide a
password), and each other option is refused once.
"""

from enum import Enum

import attrs

LONGEST = 8192  # bytes of a line with its end
LONGEST_SUBNEGOTIATION = 512  # bytes, then it is given up on: some garbage that began like one

LF, CR, NUL, BS, DEL = 10, 13, 0, 8, 127
SE, NOP, EC, EL, AYT, SB, WILL, WONT, DO, DONT, IAC = 240, 241, 247, 248, 246, 250, 251, 252, 253, 254, 255
BINARY, ECHO, TIMING_MARK = 0, 1, 6

THERE = b"* NOTICE yes, chattwist is here\r\n"


class Problem(Enum):
    """Why a line cannot be taken as it is."""

    NONE = 0
    TOO_LONG = 1
    TELNET = 2  # a telnet command inside it
    CUT = 3  # the input ended inside it


class State(Enum):
    """Where in a telnet command or line end the reader is."""

    TEXT = 0
    AFTER_CR = 1
    AFTER_IAC = 2
    OPTION = 3
    SUBNEGOTIATION = 4
    SUBNEGOTIATION_IAC = 5


@attrs.frozen
class Line:
    """A line without its end."""

    content: bytes
    problem: Problem = Problem.NONE


@attrs.define
class LineReader:
    """One connection's input. ``telnet``: the peer is known to speak it; ``ending``: how our lines to it end."""

    telnet: bool = False
    ending: bytes = b"\r\n"
    _raw: bytes = b""  # came, and was not looked at from _start on
    _start: int = 0
    _line: bytearray = attrs.Factory(bytearray)  # the beginning of a line that goes byte by byte
    _state: State = State.TEXT
    _command: int = 0  # DO, DONT, WILL or WONT, of which the option comes next
    _skipped: int = 0  # bytes of a subnegotiation
    _tainted: bool = False  # a telnet command came inside the line
    _discarding: bool = False  # the line was too long: its rest is thrown away
    _ended_with_cr: bool = False
    _hidden: bool = False
    _refused: bytes = b""  # the answers given to options, each once
    _replies: bytes = b""

    # -- in

    def feed(self, data: bytes) -> None:
        """Keep bytes that came."""
        self._raw = self._raw[self._start :] + data if self._start < len(self._raw) else data
        self._start = 0

    @property
    def waiting(self) -> bool:
        """Whether there are bytes that next_line has not looked at."""
        return self._start < len(self._raw)

    def next_line(self) -> Line | None:
        """The next line; None when more bytes are needed."""
        if self.telnet or self._line or self._state is not State.TEXT or self._discarding:
            return self._byte_by_byte()
        raw, start = self._raw, self._start
        end = raw.find(b"\n", start)
        line = raw[start : end if end >= 0 else len(raw)]
        cr = line.find(b"\r")
        if end < 0 or b"\xff" in line or (cr >= 0 and cr < len(line) - 1) or len(line) >= LONGEST:
            return self._byte_by_byte()
        self._start = end + 1
        return self._finish(line if cr < 0 else line[:-1], cr >= 0)

    def end(self) -> Line | None:
        """The input has ended: what is left over, as a line that has no end."""
        left = bool(self._line) or self._state is State.AFTER_CR
        self._line, self._state = bytearray(), State.TEXT
        return Line(b"", Problem.CUT) if left and not self._discarding else None

    def _finish(self, content: bytes, cr: bool) -> Line:
        self._ended_with_cr = cr
        self.ending = b"\r\n" if cr or self.telnet else b"\n"
        return Line(content)

    # -- byte by byte

    def _byte_by_byte(self) -> Line | None:
        raw, index, steps = self._raw, self._start, _STEPS
        line = None
        while index < len(raw) and line is None:
            byte = raw[index]
            index += 1
            line = steps[self._state](self, byte)
        self._start = index
        return line

    def _text(self, byte: int) -> Line | None:
        if byte == LF:
            return self._line_ends(cr=False)
        if byte == CR:
            self._state = State.AFTER_CR
            return self._line_ends(cr=True) if self.telnet else None
        if byte == IAC:
            self._state = State.AFTER_IAC
            return None
        if self.telnet and byte in (BS, DEL):
            self._erase()
            return None
        return self._add(byte)

    def _after_cr(self, byte: int) -> Line | None:
        self._state = State.TEXT
        if byte in (LF, NUL):
            return None if self.telnet else self._line_ends(cr=True)  # to telnet the line ended with the CR
        return self._text(byte) if self.telnet else (self._add(CR) or self._text(byte))

    def _after_iac(self, byte: int) -> Line | None:
        if byte < SE:  # garbage that knows nothing of telnet
            self._state = State.TEXT
            return self._add(IAC) or self._text(byte)
        if byte in (DO, DONT, WILL, WONT):
            self._command, self._state = byte, State.OPTION
            return None
        self._know_telnet()
        self._state = State.TEXT
        if byte == IAC:
            return self._add(IAC)
        if byte == SB:
            self._skipped, self._state = 0, State.SUBNEGOTIATION
        elif byte == EC:
            self._erase()
        elif byte == EL:
            self._line.clear()
        elif byte == AYT:
            self._replies += THERE
        if byte not in (EC, EL):
            self._taint()
        return None

    def _option(self, option: int) -> Line | None:
        self._state = State.TEXT
        if option in (CR, LF):  # no option that anybody negotiates, but the end of a garbage line
            return self._add(IAC) or self._add(self._command) or self._text(option)
        self._know_telnet()
        self._taint()
        self._answer(self._command, option)
        return None

    def _subnegotiation(self, byte: int) -> Line | None:
        self._skipped += 1
        if byte == IAC:
            self._state = State.SUBNEGOTIATION_IAC
        elif self._skipped > LONGEST_SUBNEGOTIATION:
            self._state, self._tainted = State.TEXT, True
        return None

    def _subnegotiation_iac(self, byte: int) -> Line | None:
        self._state = State.TEXT if byte == SE else State.SUBNEGOTIATION
        return None

    def _line_ends(self, cr: bool) -> Line | None:
        content, tainted, discarding = bytes(self._line), self._tainted, self._discarding
        self._line.clear()
        self._tainted = self._discarding = False
        if not self.telnet:
            self._state = State.TEXT
        line = self._finish(content, cr)
        if discarding:
            return None
        if len(content) + 1 + cr > LONGEST:
            return Line(b"", Problem.TOO_LONG)
        return Line(b"", Problem.TELNET) if tainted else line

    def _add(self, byte: int) -> Line | None:
        if self._discarding:
            return None
        self._line.append(byte)
        if len(self._line) < LONGEST:
            return None
        self._line.clear()
        self._discarding = True
        return Line(b"", Problem.TOO_LONG)

    def _erase(self) -> None:
        """Take the last character off the line, with all bytes of its UTF-8."""
        while self._line and self._line[-1] & 0xC0 == 0x80:
            self._line.pop()
        if self._line:
            self._line.pop()

    def _taint(self) -> None:
        self._tainted = self._tainted or bool(self._line)

    # -- negotiation

    def take_replies(self) -> bytes:
        """What negotiation wants to be sent now."""
        if not self._replies:
            return b""
        replies, self._replies = self._replies, b""
        return replies

    def hide_input(self) -> bytes:
        """A password is asked for: what to send before, so that the peer does not show it; nothing if it is not telnet."""
        if self._ended_with_cr:
            self._know_telnet()
        replies = self.take_replies()
        if self.telnet and not self._hidden:
            self._hidden = True
            replies += bytes((IAC, WILL, ECHO))
        return replies

    def show_input(self) -> bytes:
        """The password came: what to send so that the peer shows again what is typed."""
        if not self._hidden:
            return b""
        self._hidden = False
        return bytes((IAC, WONT, ECHO))

    def _know_telnet(self) -> None:
        if not self.telnet:
            self.telnet, self.ending = True, b"\r\n"
            self._replies += bytes((IAC, DO, BINARY))

    def _answer(self, command: int, option: int) -> None:
        if command == DO and option == TIMING_MARK:
            self._replies += bytes((IAC, WILL, TIMING_MARK))
        elif command == DO and not (option == ECHO and self._hidden):
            self._refuse(WONT, option)
        elif command == WILL and option != BINARY:
            self._refuse(DONT, option)

    def _refuse(self, answer: int, option: int) -> None:
        refusal = bytes((IAC, answer, option))
        if refusal not in (self._refused[i : i + 3] for i in range(0, len(self._refused), 3)):
            self._refused += refusal
            self._replies += refusal


_STEPS = {
    State.TEXT: LineReader._text,
    State.AFTER_CR: LineReader._after_cr,
    State.AFTER_IAC: LineReader._after_iac,
    State.OPTION: LineReader._option,
    State.SUBNEGOTIATION: LineReader._subnegotiation,
    State.SUBNEGOTIATION_IAC: LineReader._subnegotiation_iac,
}
