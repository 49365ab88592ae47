"""Bytes on the channel: messages of any size up to LARGEST, as a stream that is cut into chunks.

Each message is its length (4 bytes, the highest first) and itself. The stream is cut anywhere, also inside a length, at
every CHUNK bytes at most, since Perspective Broker takes no string above 640 KiB; small messages share a chunk.
"""

import hashlib
import struct
from collections.abc import Iterable

import msgspec

from chattwist.cluster import Cluster
from chattwist.errors import ChattwistError

LARGEST = 64 * 1024 * 1024  # bytes of one message
CHUNK = 256 * 1024  # bytes of one chunk

_LENGTH = struct.Struct("!I")


class WireError(ChattwistError):
    """What arrived is no message of this program."""


def framed(message: bytes) -> bytes:
    """A message as part of the stream; ValueError for one above LARGEST, which is the caller's mistake."""
    if len(message) > LARGEST:
        raise ValueError(f"a message of {len(message)} bytes; the most is {LARGEST}")
    return _LENGTH.pack(len(message)) + message


def chunks(frames: Iterable[bytes]) -> list[bytes]:
    """Cut a part of the stream."""
    data = b"".join(frames)
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


class Assembly:
    """Puts messages together again; holds at most one message and one chunk."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def take(self, chunk: bytes) -> list[bytes]:
        """Give the messages that ``chunk`` completes, in order; WireError if it is none of ours, and all is over."""
        if len(chunk) > CHUNK:
            raise WireError(f"a chunk of {len(chunk)} bytes")
        if not self._rest and len(chunk) > _LENGTH.size and _LENGTH.unpack_from(chunk)[0] == len(chunk) - _LENGTH.size:
            return [chunk[_LENGTH.size :]]  # as most are: one whole message
        self._rest += chunk
        messages, start = [], 0
        while (end := self._end(start)) is not None and end <= len(self._rest):
            messages.append(bytes(self._rest[start + _LENGTH.size : end]))
            start = end
        del self._rest[:start]
        return messages

    def _end(self, start: int) -> int | None:
        """Where the message ends that begins at ``start``; None while its length is not all there."""
        if len(self._rest) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._rest, start)
        if length > LARGEST:
            raise WireError(f"a message of {length} bytes")
        return start + _LENGTH.size + int(length)


FORMAT = b"5"  # of messages: another number wherever a replica of the version before would not understand one
OTHER_VERSION = "its version of chattwist is another one: stop all replicas, install the same on all, start them"
OTHER_CLUSTER = "cluster files differ in their replicas or mode: stop all replicas, give them the same file, start them"


def greeting(cluster: Cluster) -> bytes:
    """FORMAT, and a digest of what has to be the same in two replicas' cluster files.

    Not the channels, which one may reach through a proxy.
    """
    replicas = sorted((replica.host.lower(), replica.port) for replica in cluster.replicas)
    return FORMAT + b" " + hashlib.sha256(msgspec.json.encode([replicas, cluster.mode])).hexdigest().encode()


def objection(ours: bytes, theirs: bytes) -> str:
    """Why a replica that greets with ``theirs`` is none of ours, or nothing."""
    if ours == theirs:
        return ""
    return OTHER_CLUSTER if ours.split(b" ")[0] == theirs.split(b" ")[0] else OTHER_VERSION
