"""Operations as lines of text, each sealed with a checksum; pure.

A file is lines of JSON. A header comes first, then records, one a line::

    {"chattwist":"journal","version":1,"number":3,"previous":"0a1b2c3d","sum":"5e6f7081"}
    {"ops":[{"op":"sent","id":"k3v9x2mq-17","at":1795348800000000,...}],"sum":"92a3b4c5"}

``sum`` is the CRC-32, 8 hexadecimal digits, of the line's bytes before ``,"sum":``; the CRC of the line before is
its start value (0 for the header), so a line that is missing, moved or from elsewhere is noticed as well.
``previous`` in a journal's header is the last sum of the journal before it. A snapshot ends with
``{"end":N,"previous":"..."}``: how many operations it holds, and the ``previous`` that the journal behind it
carries.

The operations that share an fsync share a record: so what a power loss tears is never more than the last line.
A header keeps this form in all versions, so that an old program can name a newer file.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

import msgspec

from chattwist import model
from chattwist.errors import ChattwistError

VERSION: Final = 1
LONGEST: Final = 64 * 1024 * 1024  # bytes of a line; what is longer is no line of ours
SECTOR: Final = 512  # bytes; a disk writes each wholly or not at all
SEAL: Final = len(b',"sum":"00000000"}\n')
_RECORD: Final = b'{"ops":'
_HEADER: Final = b'{"chattwist":'
_SUM: Final = re.compile(rb',"sum":"([0-9a-f]{8})"}')
_NULS: Final = re.compile(rb"\0+")


class JournalHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="chattwist", tag="journal"):
    """The first line of a journal file; ``previous`` is the last sum of the journal before it."""

    version: int = VERSION
    number: int
    previous: str


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="chattwist", tag="snapshot"):
    """The first line of a snapshot, which stands for all journals up to number ``upto``."""

    version: int = VERSION
    upto: int


class SnapshotEnd(msgspec.Struct, frozen=True):
    """The last line of a snapshot: it is complete, with ``end`` operations."""

    end: int
    previous: str


class _Version(msgspec.Struct):
    version: int


Header = JournalHeader | SnapshotHeader
_encoder = msgspec.json.Encoder()
_operations = msgspec.json.Decoder(list[model.AnyOperation])
_version = msgspec.json.Decoder(_Version)
_header = msgspec.json.Decoder(Header)
_end = msgspec.json.Decoder(SnapshotEnd)


class NewerVersion(ChattwistError):
    """A line with a good sum that this version does not understand; the text says what it needs."""


def encode(operations: Sequence[model.AnyOperation], start: int) -> tuple[bytes, int]:
    """One record: the line, and its sum, which is the ``start`` of the next; ValueError when longer than LONGEST."""
    body = _RECORD + _encoder.encode(operations)
    if len(body) > LONGEST - SEAL:
        raise ValueError(f"{len(operations)} operations do not fit in one record of {LONGEST} bytes")
    return seal(body, start)


def encode_meta(meta: Header | SnapshotEnd, start: int = 0) -> tuple[bytes, int]:
    """A header or end: the line and its sum."""
    return seal(_encoder.encode(meta)[:-1], start)


def seal(body: bytes, start: int) -> tuple[bytes, int]:
    """A line of a JSON object, given without its last brace, and the line's sum."""
    crc = crc32(body, start)
    return b'%b,"sum":"%08x"}\n' % (body, crc), crc


def verify(line: bytes, start: int) -> int | None:
    """The sum of a whole line, or None if it is not what was written behind a line with the sum ``start``."""
    crc = crc32(line[:-SEAL], start)
    return crc if line[-SEAL:] == b',"sum":"%08x"}\n' % crc else None


def is_record(line: bytes) -> bool:
    """Whether a verified line holds operations."""
    return line.startswith(_RECORD)


def is_header(line: bytes) -> bool:
    """Whether a verified line is a file's first."""
    return line.startswith(_HEADER)


def decode(line: bytes) -> list[model.AnyOperation]:
    """The operations of a verified record."""
    try:
        return _operations.decode(line[len(_RECORD) : -SEAL])
    except msgspec.DecodeError as error:
        raise NewerVersion(f"it holds what this version cannot read ({error})") from error


def decode_header(line: bytes) -> Header:
    """The header in a verified line."""
    body = line[:-SEAL] + b"}"
    try:
        version = _version.decode(body).version
        header: Header | None = _header.decode(body) if version == VERSION else None
    except msgspec.DecodeError as error:
        raise NewerVersion(f"its first line is no header that this version can read ({error})") from error
    if header is None:
        raise NewerVersion(f"it is of version {version} and needs a newer chattwist; this one reads version {VERSION}")
    return header


def decode_end(line: bytes) -> SnapshotEnd:
    """The end of a snapshot in a verified line."""
    try:
        return _end.decode(line[:-SEAL] + b"}")
    except msgspec.DecodeError as error:
        raise NewerVersion(f"it holds what this version cannot read ({error})") from error


def hexadecimal(crc: int) -> str:
    """A sum as it stands in the files."""
    return f"{crc:08x}"


def is_torn(line: bytes, offset: int) -> bool:
    """Whether a bad last line, ``offset`` bytes from the file's start, looks as a power loss leaves it: never complete.

    Either the end is missing, or whole sectors of it were never written and read as NUL. One NUL that is alone
    between good bytes is not that, but a bit that fell over.
    """
    if b"\0" in line:
        return all(_unwritten(run, len(line), offset) for run in _NULS.finditer(line))
    return not line.endswith(b"\n") and _SUM.search(line) is None


def _unwritten(run: re.Match[bytes], length: int, offset: int) -> bool:
    first, last = run.span()
    begins = first == 0 or (offset + first) % SECTOR == 0
    return begins and (last == length or (offset + last) % SECTOR == 0)


def whole(lines: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """All lines of a damaged file, each with whether it is whole as far as the sums beside it can tell.

    A line is whole if its sum follows from a sum that was stored in the line before, or that the line before ought
    to have had. Lines that lost the newline between them come apart again.
    """
    starts = {0}
    for piece, stored in _pieces(lines):
        sums = {crc32(piece[:-SEAL], start) for start in starts}
        good = stored in sums
        yield piece, good
        starts = set() if good else sums
        if stored is not None:
            starts.add(stored)


def _pieces(lines: Iterator[bytes]) -> Iterator[tuple[bytes, int | None]]:
    for line in lines:
        begin = 0
        for seal in _SUM.finditer(line):
            yield line[begin : seal.end()] + b"\n", int(seal[1], 16)
            begin = seal.end() + 1
        if begin < len(line):
            yield line[begin:], None
