"""From a client's bytes to its lines, and as much telnet (RFC 854, 855, 856, 857, 860) as its users need; no I/O.

Nothing of telnet is said to a peer that has not shown that it speaks it: programs and nc get text only. A known telnet
client is asked for binary input, as the usual ones drop or replace all but ASCII otherwise, and while a password is typed
it is told that we echo, which we don't. We never offer binary output or SUPPRESS-GO-AHEAD: with either, telnet clients
change their line ends or send each key alone.
"""

import enum
import re

import attrs
import msgspec

MOST_IN_LINE = 8192  # bytes of a line, its end included
MOST_SUBNEGOTIATED = 512  # bytes of one IAC SB ... IAC SE
MOST_REPLIES = 1024  # bytes of replies that may wait before next_line stops: a flood must not fill the memory
MOST_STEPS = 64  # special bytes, sequences and runs of plain bytes, after which it stops, too: nor take all the time

LF, CRLF = b"\n", b"\r\n"
CR, IAC = 13, 255
EOF, SE, AYT, SB, WILL, WONT, DO, DONT = 236, 240, 246, 250, 251, 252, 253, 254
BINARY, ECHO, TIMING_MARK = 0, 1, 6  # options

HERE = b"* NOTICE yes, chattwist is here\r\n"  # the answer to "are you there"

_PLAIN_LINE = re.compile(rb"([^\n\r\xff]*)(\r?\n)")
_SPECIAL = re.compile(rb"[\n\r\xff]")
_SPECIAL_IN_TELNET = re.compile(rb"[\n\r\xff\x08\x7f]")
_SUBNEGOTIATION = re.compile(rb"\xff\xfa(?:[^\xff]|\xff[^\xf0])*\xff\xf0")
_LAST_CHARACTER = re.compile(rb"(?:[\xc2-\xf4][\x80-\xbf]{1,3}|.)\Z", re.DOTALL)


class Problem(enum.Enum):
    """Why a line cannot be taken as it is."""

    NONE = 0
    TOO_LONG = 1
    TELNET = 2  # a telnet command came inside it
    CUT = 3  # the input ended inside it


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line without its end; where it has a problem, what there is of it, its beginning at least."""

    content: bytes
    problem: Problem = Problem.NONE


@attrs.define(eq=False)
class LineReader:
    """One client's input. It holds at most what was fed and not yet asked for, and one line.

    ``telnet`` is whether the peer is known to be a telnet client. ``ending`` is what to end our own lines with: CR LF for
    telnet and before the first line, else as the peer ended its latest line.

    Call next_line(), or match() before, and write what take_replies() gives, until there is neither a line nor a reply,
    and nothing is ``waiting``.
    """

    telnet: bool = attrs.field(default=False, init=False)
    ending: bytes = attrs.field(default=CRLF, init=False)
    _raw: bytes = attrs.field(default=b"", init=False)
    _at: int = attrs.field(default=0, init=False)  # where in _raw the first byte is that was not looked at
    _rest: bytes = attrs.field(default=b"", init=False)  # looked at: a sequence whose end did not come yet
    _line: bytearray = attrs.field(factory=bytearray, init=False)  # the beginning of a line, decoded
    _state: Problem = attrs.field(default=Problem.NONE, init=False)  # of that line; TOO_LONG: told, its rest is dropped
    _after_cr: bool = attrs.field(default=False, init=False)  # a CR ended telnet's last line: its LF or NUL may follow
    _hidden: bool = attrs.field(default=False, init=False)
    _answered: int = attrs.field(default=0, init=False)  # a bit for each DO and WILL that gets no answer any more
    _replies: bytes = attrs.field(default=b"", init=False)

    # -- what the caller does

    def feed(self, data: bytes) -> None:
        """Keep bytes that came; nothing is parsed before it is asked for."""
        if self._rest or self._raw:
            data = self._rest + self._raw[self._at :] + data
            self._rest = b""
        self._raw, self._at = data, 0

    @property
    def waiting(self) -> bool:
        """Whether bytes are held that next_line() has not looked at."""
        return self._at < len(self._raw)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Take off the next line if nothing but its end makes a line of it, and it fits the pattern; None if not.

        What the pattern matches is a whole line without IAC, and its last group the end of that.
        """
        if self.telnet or self._line or self._state is not Problem.NONE:
            return None
        found = pattern.match(self._raw, self._at)
        if found is None or found.end() - self._at > MOST_IN_LINE:
            return None
        self.ending = found[found.re.groups]
        self._at = found.end()
        if self._at == len(self._raw):
            self._raw, self._at = b"", 0
        return found

    def next_line(self) -> Line | None:
        """The next line; None when more bytes are needed, when replies have to go out first, or after MOST_STEPS."""
        found = self.match(_PLAIN_LINE)
        return Line(found[1]) if found else self._decode()

    def take_replies(self) -> bytes:
        """What telnet wants said now, before the answer to the line that next_line() gave."""
        replies, self._replies = self._replies, b""
        return replies

    def hide_input(self) -> bytes:
        """A password is asked for after the latest line: what to send before saying so, b"" where input cannot be hidden.

        A peer that ended its line with CR is taken for telnet from then on.
        """
        if not self.telnet and self.ending == CRLF:
            self._become_telnet()
        if self.telnet and not self._hidden:
            self._hidden = True
            self._answered &= ~_bit(DO, ECHO)  # that is the answer now; once we show input again, a new question
            self._say(WILL, ECHO)
        return self.take_replies()

    def show_input(self) -> bytes:
        """The password has come: what to send so that the peer shows what is typed again."""
        if self._hidden:
            self._hidden = False
            self._say(WONT, ECHO)
        return self.take_replies()

    def end(self) -> Line | None:
        """The input has ended, and next_line() gave None: the line that has no end, if there is one."""
        if self.waiting or self._state is Problem.TOO_LONG:
            return None
        content = bytes(self._line) + self._rest
        self._rest = b""
        self._begin_line()
        return Line(content, Problem.CUT) if content else None

    # -- bytes to lines

    def _decode(self) -> Line | None:
        """next_line() for all input."""
        for _ in range(MOST_STEPS):
            if not self.waiting or len(self._replies) >= MOST_REPLIES:
                break
            before = self._at
            line = self._step()
            if line is not None:
                return line
            if self._at == before:
                self._rest, self._at = self._raw[before:], len(self._raw)
        if not self.waiting:
            self._raw, self._at = b"", 0
        return None

    def _step(self) -> Line | None:
        """Take in the next run of plain bytes, or one special byte or sequence; nothing while its end is missing."""
        match = (_SPECIAL_IN_TELNET if self.telnet else _SPECIAL).search(self._raw, self._at)
        start, stop = self._at, match.start() if match else len(self._raw)
        if self._after_cr and self._raw[start] != IAC:
            self._after_cr = False
            if self._raw[start] in b"\n\0":
                self._at += 1
                return None
        if start < stop:
            self._at = stop
            return self._add(self._raw[start:stop])
        byte = self._raw[start]
        if byte == IAC:
            return self._command()
        if byte == CR:
            return self._carriage_return()
        self._at += 1
        if byte == LF[0]:
            return self._end_line(LF)
        self._erase()
        return None

    def _add(self, content: bytes) -> Line | None:
        self._after_cr = False
        if self._state is Problem.TOO_LONG:
            return None
        self._line += content
        if len(self._line) < MOST_IN_LINE:
            return None
        line = self._too_long()
        self._state = Problem.TOO_LONG
        return line

    def _too_long(self) -> Line:
        line = Line(bytes(self._line[: MOST_IN_LINE - 1]), Problem.TOO_LONG)
        self._begin_line()
        return line

    def _carriage_return(self) -> Line | None:
        following = self._raw[self._at + 1 : self._at + 2]
        if following in (b"\n", b"\0"):
            self._at += 2
            return self._end_line(CRLF)
        if self.telnet:  # its LF or NUL may come, but need not
            self._at += 1
            self._after_cr = True
            return self._end_line(CRLF)
        if not following:
            return None
        self._at += 1
        return self._add(b"\r")

    def _end_line(self, ending: bytes) -> Line | None:
        self.ending = CRLF if self.telnet else ending
        if self._state is Problem.TOO_LONG:
            self._begin_line()
            return None
        if len(self._line) + len(ending) > MOST_IN_LINE:
            return self._too_long()
        line = Line(bytes(self._line), self._state)
        self._begin_line()
        return line

    def _begin_line(self) -> None:
        self._line.clear()
        self._state = Problem.NONE

    def _erase(self) -> None:
        match = _LAST_CHARACTER.search(self._line, max(0, len(self._line) - 4))
        if match:
            del self._line[match.start() :]

    # -- telnet

    def _command(self) -> Line | None:
        """Do what follows an IAC, all of it or nothing; what cannot be telnet is data, and its sender will be told so."""
        sequence = self._raw[self._at : self._at + 3]
        if len(sequence) < 2:
            return None
        command = sequence[1]
        if command == IAC:
            self._at += 2
            return self._add(b"\xff")
        least = EOF if self.telnet else SE  # EOF, SUSP, ABORT and EOR are younger and no sign of telnet by themselves
        # two letters of Latin-1 before a line's end; of a known telnet client it is option 13 or 10
        ends = not self.telnet and sequence[2:] in (b"\r", b"\n")
        if command < least or (command >= SB and ends):
            self._at += 1
            return self._add(b"\xff")
        if command == SB:
            self._subnegotiation()
        elif command < SB:
            self._at += 2
            self._simple(command)
        elif len(sequence) == 3:
            self._at += 3
            self._interrupted()
            self._negotiate(command, sequence[2])
        return None

    def _subnegotiation(self) -> None:
        match = _SUBNEGOTIATION.match(self._raw, self._at, self._at + MOST_SUBNEGOTIATED)
        if match:
            self._at = match.end()
            self._interrupted()
        elif len(self._raw) >= self._at + MOST_SUBNEGOTIATED:
            self._at += MOST_SUBNEGOTIATED
            if self._state is Problem.NONE:
                self._state = Problem.TELNET

    def _simple(self, command: int) -> None:
        self._interrupted()
        if command == AYT:
            self._replies += HERE

    def _interrupted(self) -> None:
        """A command came, maybe inside a line."""
        self._become_telnet()
        if self._line:
            self._state = Problem.TELNET

    def _become_telnet(self) -> None:
        if not self.telnet:
            self.telnet = True
            self.ending = CRLF
            self._answered |= _bit(WILL, BINARY)
            self._say(DO, BINARY)

    def _negotiate(self, command: int, option: int) -> None:
        """Refuse what is asked for, each thing once: then no two parties can go on refusing for ever."""
        if (command, option) == (DO, TIMING_MARK):  # a client shows nothing after Ctrl-C until it gets this
            self._say(WILL, TIMING_MARK)
        elif (command, option) == (DO, ECHO) and self._hidden:
            return
        elif command in (DO, WILL) and not self._answered & _bit(command, option):
            self._answered |= _bit(command, option)
            self._say(WONT if command == DO else DONT, option)

    def _say(self, command: int, option: int) -> None:
        self._replies += bytes((IAC, command, option))


def _bit(command: int, option: int) -> int:
    return 1 << (2 * option + (command == DO))
