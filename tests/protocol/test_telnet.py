"""From bytes to lines, and telnet: plain lines, limits, telnet clients."""

from twisted.trial.unittest import SynchronousTestCase

from chattwist.protocol import telnet
from chattwist.protocol.telnet import Line, LineReader, Problem

NOP, DM, BRK, IP, AO, AYT, EC, EL, GA = (bytes((255, n)) for n in (241, 242, 243, 244, 245, 246, 247, 248, 249))
IAC, SB, SE = b"\xff", b"\xff\xfa", b"\xff\xf0"
WILL, WONT, DO, DONT = b"\xff\xfb", b"\xff\xfc", b"\xff\xfd", b"\xff\xfe"
BINARY, ECHO, SGA, TIMING_MARK, NAWS = b"\0", b"\1", b"\3", b"\6", b"\x1f"
DO_BINARY = DO + BINARY


def lines(reader: LineReader, data: bytes) -> list[Line]:
    """Feed, and take all lines; replies stay for take_replies()."""
    reader.feed(data)
    found = []
    while (line := reader.next_line()) or reader.waiting:
        found += [line] if line else []
    return found


def contents(reader: LineReader, data: bytes) -> list[bytes]:
    """The same, of lines without a problem."""
    found = lines(reader, data)
    assert all(line.problem is Problem.NONE for line in found), found
    return [line.content for line in found]


def telnet_reader() -> LineReader:
    """The reader of a known telnet client, its first replies taken."""
    reader = LineReader()
    lines(reader, NOP)
    reader.take_replies()
    return reader


class PlainTests(SynchronousTestCase):
    """Peers that are not known to be telnet."""

    def test_endings(self) -> None:
        """LF, CR LF and CR NUL end a line, and we end our lines as the peer did its latest one, with CR LF before that."""
        reader = LineReader()
        self.assertEqual(reader.ending, b"\r\n")
        for ending, ours in ((b"\n", b"\n"), (b"\r\n", b"\r\n"), (b"\n", b"\n"), (b"\r\0", b"\r\n")):
            self.assertEqual(contents(reader, b"NOOP" + ending), [b"NOOP"])
            self.assertEqual(reader.ending, ours)

    def test_ending_of_the_line_just_given(self) -> None:
        """A reply has the ending of its own line, also when further lines came with it."""
        reader = LineReader()
        reader.feed(b"a\r\nb\nc\r\0")
        endings = [reader.ending for _ in iter(reader.next_line, None)]
        self.assertEqual(endings, [b"\r\n", b"\n", b"\r\n"])

    def test_no_telnet_to_others(self) -> None:
        """A peer that shows no sign of telnet gets none, not even when a password is asked for."""
        reader = LineReader()
        self.assertEqual(contents(reader, "LOGIN bob\nÿ 世界\n".encode()), [b"LOGIN bob", "ÿ 世界".encode()])
        self.assertEqual(reader.take_replies() + reader.hide_input() + reader.show_input(), b"")
        self.assertFalse(reader.telnet)

    def test_other_bytes_stay(self) -> None:
        """CR, NUL, BS and DEL inside a line are bytes of it."""
        self.assertEqual(contents(LineReader(), b"a\rb\x08\x7f\0\r\r\nc\r\r\0"), [b"a\rb\x08\x7f\0\r", b"c\r"])

    def test_mixed_endings(self) -> None:
        """Whichever end comes first ends the line, also when all come in one chunk."""
        self.assertEqual(contents(LineReader(), b"a\r\0b\nc\r\nd\r\0e\r\n"), [b"a", b"b", b"c", b"d", b"e"])

    def test_cr_at_the_end_of_a_chunk(self) -> None:
        """A line's end may come in two pieces and still is one."""
        reader = LineReader()
        self.assertEqual(contents(reader, b"a\r"), [])
        self.assertEqual(contents(reader, b"\nb\r"), [b"a"])
        self.assertEqual(contents(reader, b"\0c\r"), [b"b"])
        self.assertEqual(contents(reader, b"d\n"), [b"c\rd"])

    def test_empty_lines(self) -> None:
        """An empty line is a line: it cancels a password prompt."""
        self.assertEqual(contents(LineReader(), b"\n\r\n\r\0"), [b"", b"", b""])

    def test_programs_that_know_no_telnet(self) -> None:
        """Bytes that only look like telnet stay in their line, which ends where its sender ended it."""
        for garbage in (IAC, DONT, WILL, SB, IAC + b"a", b"a" + DO, b"\xff\x80a", b"\xff\xec"):
            for ending in (b"\n", b"\r\n"):
                reader = LineReader()
                self.assertEqual(contents(reader, garbage + ending + b"NOOP\n"), [garbage, b"NOOP"])
                self.assertEqual(reader.take_replies(), b"")
                self.assertFalse(reader.telnet)

    def test_nothing_is_looked_at_before_it_is_asked_for(self) -> None:
        """What a client sends while it has to wait is held as it is, and said to be waiting."""
        reader = LineReader()
        self.assertFalse(reader.waiting)
        reader.feed(b"a\n" + AYT + b"b")
        self.assertEqual(reader.next_line(), Line(b"a"))
        self.assertTrue(reader.waiting)
        self.assertFalse(reader.telnet)
        self.assertIsNone(reader.next_line())
        self.assertFalse(reader.waiting)
        self.assertTrue(reader.telnet)


class LimitTests(SynchronousTestCase):
    """8192 bytes with the end."""

    def test_longest(self) -> None:
        """The longest line there can be is taken with each ending; one byte more is too long."""
        for ending in (b"\n", b"\r\n", b"\r\0"):
            content = b"x" * (8192 - len(ending))
            self.assertEqual(contents(LineReader(), content + ending), [content])
            too_long, following = lines(LineReader(), b"x" + content + ending + b"NOOP" + ending)
            self.assertEqual(too_long.problem, Problem.TOO_LONG)
            self.assertEqual(following, Line(b"NOOP"))

    def test_told_at_once_and_once(self) -> None:
        """A line that never ends is answered as soon as it is too long, once; the next one counts again."""
        reader = LineReader()
        self.assertEqual(lines(reader, b"x" * 8191), [])
        self.assertEqual(lines(reader, b"x"), [Line(b"x" * 8191, Problem.TOO_LONG)])
        self.assertEqual(lines(reader, b"x" * 100000 + b"\r"), [])
        self.assertEqual(lines(reader, b"\nNOOP\n"), [Line(b"NOOP")])

    def test_begins_with_its_tag(self) -> None:
        """The beginning of a line too long is kept, so that its answer can carry its tag."""
        (line,) = lines(LineReader(), b"@7 SEND bob " + b"x" * 100000)
        self.assertTrue(line.content.startswith(b"@7 SEND bob x"))

    def test_memory(self) -> None:
        """What is thrown away is not kept meanwhile."""
        reader = LineReader()
        lines(reader, b"x" * 100000)
        self.assertEqual((reader._raw, reader._rest, bytes(reader._line)), (b"", b"", b""))

    def test_telnet_bytes_do_not_count(self) -> None:
        """A doubled 255 is one byte, an erased character none, a command none."""
        reader = telnet_reader()
        self.assertEqual(contents(reader, NOP + IAC * 2 * 8190 + b"\r\n"), [IAC * 8190])
        self.assertEqual(contents(reader, b"x\x08" * 9000 + b"y\r\n"), [b"y"])

    def test_telnet_commands_in_a_line_too_long(self) -> None:
        """While the rest of a line is thrown away, telnet is still answered; the line is told of once."""
        reader = LineReader()
        found = lines(reader, b"x" * 9000 + DO + TIMING_MARK + EL + EC + b"\x08y" + SB + b"y" * 600 + b"\r\nNOOP\r\n")
        self.assertEqual([line.problem for line in found], [Problem.TOO_LONG, Problem.NONE])
        self.assertEqual(reader.take_replies(), DO_BINARY + WILL + TIMING_MARK)

    def test_flood_of_questions(self) -> None:
        """However many telnet questions a peer asks, few answers are held at a time, and all are given."""
        reader = LineReader()
        reader.feed((DO + TIMING_MARK) * 1000 + AYT * 1000 + b"NOOP\r\n")
        sent, line = b"", None
        while line is None:
            line = reader.next_line()
            replies = reader.take_replies()
            self.assertLessEqual(len(replies), telnet.MOST_REPLIES + len(telnet.HERE))
            self.assertTrue(line or replies)
            sent += replies
        self.assertEqual(sent, DO_BINARY + (WILL + TIMING_MARK) * 1000 + telnet.HERE * 1000)
        self.assertEqual(line, Line(b"NOOP"))

    def test_flood_without_lines(self) -> None:
        """However many bytes stand for nothing, the reader looks at few of them at a time, and then goes on."""
        for flood in (NOP, b"x\x08", IAC * 2, b"\r"):
            reader = telnet_reader() if flood == b"x\x08" else LineReader()
            reader.feed(flood * 1000 + b"\n")
            asked, line = 0, None
            while line is None and reader.waiting:
                line, _ = reader.next_line(), reader.take_replies()
                asked += 1
            self.assertGreaterEqual(asked, 1000 // telnet.MOST_STEPS)


class EndTests(SynchronousTestCase):
    """The end of the input."""

    def test_nothing_left(self) -> None:
        """After a whole line nothing is left over; nor is the rest of a line that was answered already."""
        for data in (b"", b"NOOP\n", b"x" * 9000, b"x" * 9000 + b"\r", NOP, b"NOOP\r\n" + NOP, b"\n"):
            reader = LineReader()
            lines(reader, data)
            self.assertIsNone(reader.end())

    def test_cut(self) -> None:
        """A line without its end is given as such, once: it must not be taken for a command."""
        for data in (b"SEND bob", b"\xff", b"a\xff", b"NOOP\r", b"a\xff\xfd", b"\xff\xfa\x1f"):
            reader = LineReader()
            self.assertEqual(lines(reader, b"NOOP\n" + data)[1:], [])
            self.assertEqual(reader.end(), Line(data, Problem.CUT))
            self.assertIsNone(reader.end())

    def test_not_before_the_lines(self) -> None:
        """While lines wait, the end of the input has not come yet."""
        reader = LineReader()
        self.assertEqual(lines(reader, b"NO"), [])
        reader.feed(b"OP\nNO")
        self.assertIsNone(reader.end())
        self.assertEqual(reader.next_line(), Line(b"NOOP"))
        self.assertIsNone(reader.next_line())
        self.assertEqual(reader.end(), Line(b"NO", Problem.CUT))


class RecognitionTests(SynchronousTestCase):
    """Who is taken for telnet."""

    def test_by_a_command(self) -> None:
        """Any telnet command makes the peer telnet: it is asked for binary input, once, and our lines end with CR LF."""
        for command in (NOP, DM, BRK, IP, AO, EC, EL, GA, SE, WILL + BINARY, WONT + SGA, DONT + ECHO, SB + NAWS + SE):
            reader = LineReader()
            self.assertEqual(contents(reader, b"a\n" + command), [b"a"])
            self.assertTrue(reader.telnet)
            self.assertEqual(reader.ending, b"\r\n")
            self.assertEqual(contents(reader, b"b\n" + command), [b"b"])
            self.assertEqual(reader.take_replies(), DO_BINARY)

    def test_by_cr_before_a_password(self) -> None:
        """A peer that ends its lines with CR LF or CR NUL is taken for telnet once a password is asked for."""
        for ending in (b"\r\n", b"\r\0"):
            reader = LineReader()
            self.assertEqual(contents(reader, b"LOGIN bob" + ending), [b"LOGIN bob"])
            self.assertFalse(reader.telnet)
            self.assertEqual(reader.hide_input(), DO_BINARY + WILL + ECHO)
            self.assertTrue(reader.telnet)

    def test_data_byte_255_is_no_sign(self) -> None:
        """A doubled 255 is a byte of the line, from whomever it comes."""
        reader = LineReader()
        self.assertEqual(contents(reader, b"a\xff\xffb\n"), [b"a\xffb"])
        self.assertFalse(reader.telnet)


class TelnetTests(SynchronousTestCase):
    """Known telnet clients."""

    def test_password(self) -> None:
        """The client is told that we echo while a password is typed, and that we don't after; its answers get none."""
        reader = telnet_reader()
        lines(reader, b"LOGIN bob\r\n")
        self.assertEqual(reader.hide_input(), WILL + ECHO)
        self.assertEqual(reader.hide_input(), b"")
        self.assertEqual(contents(reader, DO + ECHO + b"secret\r\n"), [b"secret"])
        self.assertEqual(reader.show_input(), WONT + ECHO)
        self.assertEqual(reader.show_input(), b"")
        self.assertEqual(contents(reader, DONT + ECHO + b"NOOP\r\n"), [b"NOOP"])
        self.assertEqual(reader.hide_input(), WILL + ECHO)
        self.assertEqual(contents(reader, DO + ECHO), [])
        self.assertEqual(reader.take_replies(), b"")

    def test_echo_is_refused_but_at_a_password(self) -> None:
        """A client that asks us to echo is told no, before and after a password, else its user would type blindly."""
        reader = telnet_reader()
        for _ in range(2):
            lines(reader, (DO + ECHO) * 2)
            self.assertEqual(reader.take_replies(), WONT + ECHO)
            self.assertEqual(reader.hide_input(), WILL + ECHO)
            lines(reader, (DO + ECHO) * 2)
            self.assertEqual(reader.take_replies(), b"")
            self.assertEqual(reader.show_input(), WONT + ECHO)

    def test_younger_commands(self) -> None:
        """EOF, SUSP, ABORT and EOR do nothing."""
        reader = telnet_reader()
        self.assertEqual(contents(reader, b"\xff\xec\xff\xed\xff\xee\xff\xefNOOP\r\n"), [b"NOOP"])
        self.assertEqual(lines(reader, b"a\xff\xed\r\n"), [Line(b"a", Problem.TELNET)])
        self.assertEqual(contents(reader, b"\xff\xeb\r\n"), [b"\xff\xeb"])

    def test_bare_cr(self) -> None:
        """A bare CR ends the line at once; the LF or NUL that may still come belongs to it."""
        for ending in (b"\n", b"\0", b"", NOP + b"\n"):
            reader = telnet_reader()
            self.assertEqual(contents(reader, b"a\r"), [b"a"])
            self.assertEqual(contents(reader, ending + b"b\r\n"), [b"b"])
        self.assertEqual(contents(telnet_reader(), b"a\r" + IAC * 2 + b"\n"), [b"a", IAC])

    def test_two_bare_crs(self) -> None:
        """Each CR ends a line, each LF without a CR too, whatever the client mixes."""
        self.assertEqual(contents(telnet_reader(), b"a\r\rb\r\n\nc\n\r\0"), [b"a", b"", b"b", b"", b"c", b""])

    def test_always_cr_lf(self) -> None:
        """Whatever ends its lines, telnet gets CR LF, as the standard says."""
        reader = telnet_reader()
        lines(reader, b"NOOP\n")
        self.assertEqual(reader.ending, b"\r\n")

    def test_erase(self) -> None:
        """BS and DEL take back a whole character; at the beginning of the line there is nothing to take back."""
        for key in (b"\x08", b"\x7f"):
            for typed, left in (
                ("\b\bab\b", "a"),
                ("a\b\b\bb", "b"),
                ("й\b", ""),
                ("ab世\b", "ab"),
                ("😀😀\b", "😀"),
                ("a\nb\b\bc", "c"),
            ):
                data = typed.encode().replace(b"\b", key) + b"\r\n"
                self.assertEqual(contents(telnet_reader(), data)[-1], left.encode(), (key, typed))
        self.assertEqual(contents(telnet_reader(), b"a\x80\x08\xc3\xc3\x7f\r\n"), [b"a\xc3"])

    def test_command_inside_a_line(self) -> None:
        """The line may have lost something: it has to be sent again. Before the first byte and behind the end it is whole."""
        for command in (NOP, DM, IP, AYT, EC, EL, WILL + BINARY, DO + TIMING_MARK, SB + NAWS + b"\0\n\0\n" + SE):
            found = lines(LineReader(), command + b"a\r\nb" + command + b"c\r\n" + command + b"d\r\n" + command)
            self.assertEqual(found, [Line(b"a"), Line(b"bc", Problem.TELNET), Line(b"d")])

    def test_are_you_there(self) -> None:
        """AYT gets an answer that a person sees, each time, before the reply to what follows it."""
        reader = telnet_reader()
        self.assertEqual(contents(reader, AYT), [])
        self.assertEqual(reader.take_replies(), b"* NOTICE yes, chattwist is here\r\n")
        self.assertEqual(contents(reader, AYT + b"NOOP\r\n"), [b"NOOP"])
        self.assertEqual(reader.take_replies(), b"* NOTICE yes, chattwist is here\r\n")

    def test_refusals(self) -> None:
        """Each option is refused once, so that two sides can't go on for ever; a refusal is never answered."""
        for option in [bytes((n,)) for n in range(256) if n not in (0, 6)]:
            reader = telnet_reader()
            lines(reader, (DO + option) * 3)
            self.assertEqual(reader.take_replies(), WONT + option)
            lines(reader, (WILL + option) * 3)
            self.assertEqual(reader.take_replies(), DONT + option)
            lines(reader, DONT + option + WONT + option)
            self.assertEqual(reader.take_replies(), b"")

    def test_binary(self) -> None:
        """We ask for binary input and take either answer; binary output is refused."""
        reader = telnet_reader()
        lines(reader, WILL + BINARY + WONT + BINARY + WILL + BINARY)
        self.assertEqual(reader.take_replies(), b"")
        lines(reader, DO_BINARY * 2)
        self.assertEqual(reader.take_replies(), WONT + BINARY)

    def test_timing_mark(self) -> None:
        """DO TIMING-MARK is answered each time: after Ctrl-C the client shows nothing before that."""
        reader = telnet_reader()
        for _ in range(3):
            lines(reader, IP + DO + TIMING_MARK + DM)
            self.assertEqual(reader.take_replies(), WILL + TIMING_MARK)

    def test_subnegotiation_without_an_end(self) -> None:
        """It is given up after 512 bytes; the line that goes on there has to be sent again, the next one counts."""
        for behind in (b"", b"y", b"y" * 5000):
            found = lines(telnet_reader(), SB + b"x" * 510 + behind + b"\r\nNOOP\r\n")
            self.assertEqual(found, [Line(behind, Problem.TELNET), Line(b"NOOP")])
        self.assertEqual(contents(telnet_reader(), SB + b"x" * 508 + SE + b"NOOP\r\n"), [b"NOOP"])
        self.assertEqual(lines(telnet_reader(), SB + b"x" * 509 + SE + b"\r\n"), [Line(b"\xf0", Problem.TELNET)])

    def test_255_inside_a_subnegotiation(self) -> None:
        """A doubled 255 does not end it, nor does the byte 240 behind one."""
        self.assertEqual(contents(telnet_reader(), SB + NAWS + b"\xff\xff\xf0\xff\xff" + SE + b"NOOP\r\n"), [b"NOOP"])
