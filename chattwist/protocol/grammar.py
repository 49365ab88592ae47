"""Bytes ↔ commands and replies, as PROTOCOL.txt has them; pure.

A line is ``[@TAG] VERB [WORDS…]``. ``parse`` never raises: what is wrong with a line comes with it, so that the answer can carry
the line's tag.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import attrs

from chattwist import errors

_TAG = re.compile(rb" *@(!?[A-Za-z0-9._-]{1,32})(?: +|$)")
_PLAIN = re.compile("[!-~]")  # visible, and in nearly every message
_HTTP = re.compile(r"\S+ HTTP/\d(\.\d)?")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"))  # not Cn: that may be next year's emoji
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")  # letters and symbols that show nothing
NOT_UTF8 = "this line is not UTF-8; use a UTF-8 terminal, in telnet press Ctrl-C once, and send it again"
_ECHOED = 40  # characters of what a client sent that an error repeats


@attrs.define  # not frozen: that takes three times as long to make
class Command:
    """One line, taken apart: ``verb`` in capitals, ``rest`` what follows it behind one space or more, as it came."""

    tag: str = ""
    verb: str = ""
    rest: str = attrs.field(default="", repr=False)  # may hold a password
    problem: errors.ChatError | None = None

    @property
    def key(self) -> str:
        """The retry key: a tag that begins with ``!``."""
        return self.tag[1:] if self.tag.startswith("!") else ""

    def words(self) -> list[str]:
        """The arguments, separated by runs of spaces."""
        return [word for word in self.rest.split(" ") if word]


def parse(content: bytes) -> Command | None:
    """The command on a line without its ending; None for an empty line."""
    tag = ""
    if content.lstrip(b" ")[:1] == b"@":
        found = _TAG.match(content)
        if found is None:
            return Command(
                problem=errors.Unreadable(
                    "a tag is @, or @! for a retry key, and 1 to 32 of A-Z a-z 0-9 . _ - before a command"
                )
            )
        tag, content = found[1].decode("ascii"), content[found.end() :]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return Command(tag, problem=errors.WrongArguments(NOT_UTF8))
    verb, _, rest = text.lstrip(" ").partition(" ")
    if not verb:
        return (
            Command(tag, problem=errors.Unreadable("no command behind the tag; HELP lists the commands"))
            if tag
            else None
        )
    return Command(tag, keyword(verb), rest.lstrip(" "))


def keyword(word: str) -> str:
    """A word of the protocol, in capitals, as it may be typed in any case; other letters than ours are never one of ours."""
    return word.upper() if word.isascii() else word


def not_a_command(command: Command) -> errors.Unreadable:
    """What to tell about a verb that there is not."""
    if _HTTP.fullmatch(command.rest):
        return errors.Unreadable("this is chat, not the web; connect with telnet or nc and type HELP")
    return errors.Unreadable(f"not a command: {echoed(command.verb)}; HELP lists the commands")


def unreadable(content: bytes, why: str) -> Command:
    """What stands for a line of which there is only this beginning: its tag, and the error to tell."""
    found = _TAG.match(content)
    return Command(found[1].decode("ascii") if found else "", problem=errors.Unreadable(why))


def split_text(rest: str) -> tuple[str, str]:
    """The first word and all that follows it after one space."""
    word, _, text = rest.partition(" ")
    return word, text


def clean(text: str) -> str:
    """Text without what could drive a reader's terminal: control characters but TAB, bidirectional overrides and isolates."""
    if text.isprintable():  # then it has none of those, and this is known faster
        return text
    return _CONTROL.sub("", text)


def is_visible(text: str) -> bool:
    """Whether at least one character of it can be seen."""
    return _PLAIN.search(text) is not None or any(
        unicodedata.category(character) not in _INVISIBLE and character not in _BLANK for character in text
    )


def echoed(text: str) -> str:
    """What a client sent, short enough to be repeated in an error, and with what cannot be seen made visible."""
    short = text if len(text) <= _ECHOED else text[:_ECHOED] + "…"
    return short if short.isprintable() else ascii(short)


def time_text(at: int) -> str:
    """Microseconds since 1970 as ``2026-11-22T12:00:00Z``."""
    return _second_text(at // 1_000_000)


@lru_cache(256)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reply(code: int, lines: Sequence[str], tag: str, ending: bytes) -> bytes:
    """The bytes of a reply; each line gets the code and the tag."""
    start = f"@{tag} {code}" if tag else str(code)
    if len(lines) == 1:
        return f"{start} {clean(lines[0])}".encode() + ending
    last = len(lines) - 1
    return b"".join(
        f"{start}{' ' if index == last else '-'}{clean(line)}".encode() + ending for index, line in enumerate(lines)
    )


def event(text: str, ending: bytes) -> bytes:
    """The bytes of an event."""
    return f"* {clean(text)}".encode() + ending
