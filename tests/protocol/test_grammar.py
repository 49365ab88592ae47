"""Bytes and commands: whatever comes, there is an answer to it, and nothing in it can break a line."""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist.protocol import grammar

HOSTILE = "\x1b[2J\x07\x00\x9b\u202e\u2066\r\n\x7f\u0085"


class ParseTests(SynchronousTestCase):
    """From bytes to commands."""

    @given(st.one_of(st.binary(max_size=100), st.text(max_size=50).map(str.encode)))
    @example(b"@")
    @example(b"@! NOOP")
    @example(b"\xff\xfe")
    @example(b"@t \xff")
    def test_never_raises(self, content: bytes) -> None:
        """Any bytes are a command, a problem that can be told, or nothing at all."""
        command = grammar.parse(content)
        if command is None:
            self.assertEqual(content.strip(b" "), b"")
        elif command.problem is None:
            self.assertTrue(command.verb)
        else:
            self.assertIn(command.problem.code, (500, 501))

    @given(st.from_regex(r"!?[A-Za-z0-9._-]{1,32}", fullmatch=True), st.binary(max_size=30))
    def test_a_tag_is_found_whatever_follows(self, tag: str, rest: bytes) -> None:
        """An error carries its line's tag, also when the rest is not UTF-8."""
        command = grammar.parse(f"@{tag} ".encode() + rest)
        assert command is not None
        self.assertEqual((command.tag, command.key), (tag, tag[1:] if tag[0] == "!" else ""))

    def test_words_and_text(self) -> None:
        """Runs of spaces separate words; a text is kept as it is behind one space."""
        command = grammar.parse("  send   bob  Привет,  мир ".encode())
        assert command is not None
        self.assertEqual((command.verb, grammar.split_text(command.rest)), ("SEND", ("bob", " Привет,  мир ")))
        self.assertEqual(command.words(), ["bob", "Привет,", "мир"])

    def test_other_letters(self) -> None:
        """Verbs may be typed in any case, which is that of our letters only."""
        for line, verb in (
            ("sTatus", "STATUS"),
            ("\N{LATIN SMALL LETTER LONG S}tatus", "\N{LATIN SMALL LETTER LONG S}tatus"),
        ):
            command = grammar.parse(line.encode())
            assert command is not None
            self.assertEqual(command.verb, verb)

    def test_passwords_do_not_show(self) -> None:
        """A command in a log or a traceback does not show its arguments."""
        self.assertNotIn("secret", repr(grammar.parse(b"LOGIN bob secret-of-bob")))


class TextTests(SynchronousTestCase):
    """What people may write to each other."""

    @given(st.text(max_size=60))
    @example(HOSTILE)
    def test_clean(self, text: str) -> None:
        """What is left has none of the removed characters, and all others in their order."""
        removed = {*map(chr, range(9)), *map(chr, range(10, 32)), *map(chr, range(0x7F, 0xA0)), *map(chr, range(0x202A, 0x202F)),
                   *map(chr, range(0x2066, 0x206A))}  # fmt: skip
        self.assertEqual(grammar.clean(text), "".join(character for character in text if character not in removed))

    def test_visible(self) -> None:
        """Spaces and what has no shape are not a message; letters, emoji and a full stop are."""
        for text in (
            "",
            " ",
            "\t",
            "\u200b",
            "\u00a0",
            "\u2028",
            "\ufeff \u200d",
            "\ufe0f",
            "\u0301",
            "\u3164",
            "\u2800",
        ):
            self.assertFalse(grammar.is_visible(text), repr(text))
        for text in (".", "  x", "好", "é", "ｱ", "👋", "\U0001fae8", "\U0001faef"):
            self.assertTrue(grammar.is_visible(text), repr(text))


class ReplyTests(SynchronousTestCase):
    """From replies to bytes."""

    @given(
        st.lists(st.text(max_size=20), min_size=1, max_size=4),
        st.sampled_from(["", "t"]),
        st.sampled_from([b"\n", b"\r\n"]),
    )
    @example([HOSTILE, HOSTILE], "t", b"\n")
    def test_each_line_is_one_line(self, lines: list[str], tag: str, ending: bytes) -> None:
        """Each line has the code and the tag, all but the last a minus; no text can make a line of its own."""
        data = grammar.reply(213, lines, tag, ending)
        self.assertTrue(data.endswith(ending))
        found = data[: -len(ending)].split(ending)
        start = b"@t 213" if tag else b"213"
        self.assertEqual([line[: len(start) + 1] for line in found], [start + b"-"] * (len(lines) - 1) + [start + b" "])
        self.assertNotIn(b"\x1b", data)

    def test_time(self) -> None:
        """Times are UTC, to the second."""
        self.assertEqual(grammar.time_text(1795348800 * 1_000_000 + 999_999), "2026-11-22T12:00:00Z")
