"""Any bytes in any chunks: what holds for all input that a reader of lines can get."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist.protocol.telnet import Line, LineReader
from tests.protocol.test_telnet import (
    AYT,
    BINARY,
    DM,
    DO,
    DO_BINARY,
    DONT,
    EC,
    ECHO,
    EL,
    IAC,
    NAWS,
    NOP,
    SB,
    SE,
    SGA,
    TIMING_MARK,
    WILL,
)

PIECES = [
    b"a", b"NOOP", "é世😀".encode(), b"\xa0", b"\n", b"\r\n", b"\r\0", b"\r", b"\0", b"\x08", b"\x7f", IAC, IAC + IAC, NOP, AYT,
    EC, EL, DM, SB, SE, SB + NAWS + b"\0\x50\0\x18" + SE, DO_BINARY, WILL + BINARY, DO + TIMING_MARK, DO + ECHO, WILL + SGA,
    DONT + b"\n", b"x" * 508, b"y" * 8180, b"z" * 8190,
]  # fmt: skip
STREAMS = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))
CUTS = st.lists(st.integers(1, 9), max_size=40)


def everything(data: bytes, cuts: list[int], ask_at: int) -> tuple[list[Line], bytes, bytes]:
    """All lines, all that is sent, and the final ending, when ``data`` comes in chunks; line ``ask_at`` asks for a password."""
    reader = LineReader()
    found: list[Line] = []
    sent = b""
    for chunk in [*chunks(data, cuts), b""]:
        reader.feed(chunk)
        while True:
            line, replies = reader.next_line(), reader.take_replies()
            sent += replies
            if line is not None:
                found.append(line)
                sent += reader.show_input()
                sent += reader.hide_input() if len(found) == ask_at else b""
            elif not (replies or reader.waiting):
                break
    last = reader.end()
    return found + ([last] if last else []), sent, reader.ending


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` in pieces: as long as ``cuts`` says, then the rest."""
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    return [*pieces, data[at:]]


class AnyBytesTests(SynchronousTestCase):
    """Whatever comes."""

    @given(STREAMS, CUTS, st.integers(0, 4))
    @example(b"a\r" + NOP + b"\n", [2, 2], 0)
    @example(b"\xff\xfe\n", [1, 1], 0)
    @settings(max_examples=300)
    def test_chunks_do_not_matter(self, data: bytes, cuts: list[int], ask_at: int) -> None:
        """However the network cuts the stream, lines, telnet answers and endings are the same."""
        whole = everything(data, [], ask_at)
        self.assertEqual(everything(data, cuts, ask_at), whole)
        self.assertEqual(everything(data, [1] * len(data), ask_at), whole)

    @given(STREAMS, CUTS)
    @settings(max_examples=300)
    def test_fast_and_slow_agree(self, data: bytes, cuts: list[int]) -> None:
        """The short way for plain lines gives what the long one gives."""
        short, long = LineReader(), LineReader()
        for chunk in chunks(data, cuts):
            short.feed(chunk)
            long.feed(chunk)
            while True:
                expected = long._decode(), long.take_replies(), long.ending, long.telnet
                self.assertEqual((short.next_line(), short.take_replies(), short.ending, short.telnet), expected)
                if not (expected[0] or expected[1] or long.waiting):
                    break
        self.assertEqual(short.end(), long.end())

    @given(STREAMS)
    def test_memory_is_bounded(self, data: bytes) -> None:
        """Once all lines are taken, no more is held than one line and one sequence."""
        reader = LineReader()
        for _ in range(3):
            reader.feed(data)
            while reader.next_line() or reader.take_replies() or reader.waiting:
                pass
            self.assertFalse(reader.waiting)
            self.assertEqual(reader._raw, b"")
            self.assertLess(len(reader._line), 8192)
            self.assertLess(len(reader._rest), 512)

    @given(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")), max_size=20),
        st.sampled_from([b"\n", b"\r\n"]),
        CUTS,
    )
    def test_text_arrives_as_it_is(self, texts: list[str], ending: bytes, cuts: list[int]) -> None:
        """Any text in UTF-8 comes through unchanged, and nothing is sent."""
        data = b"".join(text.encode() + ending for text in texts)
        found, sent, _ = everything(data, cuts, 0)
        self.assertEqual([line.content.decode() for line in found], texts)
        self.assertEqual(sent, b"")
