"""A disk in memory that can lose power, run full and fail: what a real one may do, at any call, again and again."""

import errno
import io
import os
from collections.abc import Callable
from random import Random
from typing import IO

import attrs
from zope.interface import implementer

from chattwist.errors import StoreError
from chattwist.store.disk import IDisk

SECTOR = 512  # what a disk writes wholly or not at all, bytes
Write = tuple[int, bytes]


class PowerLoss(BaseException):
    """The machine is off; nothing that is still running can do anything."""


@attrs.define(eq=False)
class File:
    """What readers see, what is on the platter, and what is on its way there: writes, and sizes that it was cut to."""

    seen: bytearray = attrs.Factory(bytearray)
    durable: bytes = b""
    pending: list[Write | int] = attrs.Factory(list)

    def survivor(self, random: Random | None) -> bytes:
        """What may be on the platter now: of the effects on their way some, some in part (None: all)."""
        data = bytearray(self.durable)
        for effect in self.pending:
            if random is not None and random.random() < 0.3:
                continue
            if isinstance(effect, int):
                del data[effect:]
            elif random is None:
                _overwrite(data, *effect)
            else:
                _write_partly(data, *effect, random)
        return bytes(data)

    def arrive(self, data: bytes) -> None:
        """An fsync ended, well or not: nothing is on its way any more.

        After an error the kernel calls pages clean that never arrived, and no other fsync writes them.
        """
        self.durable = data
        self.pending.clear()


def _overwrite(data: bytearray, offset: int, written: bytes) -> None:
    data.extend(bytes(max(0, offset - len(data))))
    data[offset : offset + len(written)] = written


def _write_partly(data: bytearray, offset: int, written: bytes, random: Random) -> None:
    """Some of the sectors, up to some length of the file; where the file grew, the others read as NUL."""
    end = offset + (len(written) if random.random() < 0.6 else random.randrange(len(written) + 1))
    keep = random.choice([1.0, 1.0, 0.5, 0.0])
    data.extend(bytes(max(0, end - len(data))))
    while offset < end:
        upto = min(end, offset - offset % SECTOR + SECTOR)
        if random.random() < keep:
            data[offset:upto] = written[: upto - offset]
        offset, written = upto, written[upto - offset :]


@implementer(IDisk)
class MemoryDisk:
    """``calls`` lists the calls so far that change something, as names of methods.

    ``crash_at``: the number of the call, from 1, at which the power goes. ``faults``: errors by the number of the call.
    ``room``: how many bytes may still be written, None for as many as one likes.
    """

    path = "/memory"

    def __init__(self, random: Random | None = None) -> None:
        self.calls: list[str] = []
        self.crash_at = 0
        self.faults: dict[int, int] = {}
        self.room: int | None = None
        self._random = random or Random(0)
        self._names: dict[str, File] = {}
        self._durable_names: dict[str, File] = {}
        self._renamings: list[Callable[[dict[str, File]], object]] = []  # changes of names that are not durable yet
        self._handles: dict[int, File] = {}
        self._locked = False

    # -- what a test may do to it

    def after_power_loss(self, seed: int = 0) -> "MemoryDisk":
        """The disk as the machine may find it when it is on again."""
        random = Random(seed)
        names = dict(self._durable_names)
        for rename in self._renamings:
            if random.random() < 0.6:
                rename(names)
        copies: dict[int, File] = {}
        for file in names.values():
            data = file.survivor(random)
            copies.setdefault(id(file), File(bytearray(data), data))
        disk = MemoryDisk(random)
        disk._names = {name: copies[id(file)] for name, file in names.items()}
        disk._durable_names = dict(disk._names)
        return disk

    def after_kill(self) -> "MemoryDisk":
        """The disk as the next process finds it when only the process ended; this one must not be used any more."""
        disk = MemoryDisk(self._random)
        disk._names, disk._durable_names, disk._renamings = self._names, self._durable_names, self._renamings
        return disk

    def contents(self, name: str) -> bytes:
        """What a file holds."""
        return bytes(self._names[name].seen)

    def put(self, name: str, data: bytes) -> None:
        """Give a file other contents, durably, by another hand than the program's."""
        self._names[name] = self._durable_names[name] = File(bytearray(data), data)

    def drop(self, name: str) -> None:
        """Take a file away likewise."""
        del self._names[name], self._durable_names[name]

    def everything(self) -> dict[str, bytes]:
        """All files."""
        return {name: bytes(file.seen) for name, file in self._names.items()}

    # -- the disk

    def lock(self) -> None:
        if self._locked:
            raise StoreError(f"{self.path}: another process is using this directory")
        self._locked = True

    def release(self) -> None:
        self._locked = False

    def names(self) -> list[str]:
        return list(self._names)

    def size(self, name: str) -> int:
        return len(self._file(name).seen)

    def reader(self, name: str) -> IO[bytes]:
        return io.BytesIO(self._file(name).seen)

    def create(self, name: str) -> int:
        self._call("create")
        if name in self._names:
            raise _error(errno.EEXIST)
        file = File()
        self._change_names(lambda names: names.update({name: file}))
        return self.open(name)

    def open(self, name: str) -> int:
        handle = len(self._handles)
        self._handles[handle] = self._file(name)
        return handle

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self._call("write")
        file = self._handles[handle]
        data = self._what_fits(file, bytes(data), offset)
        _overwrite(file.seen, offset, data)
        file.pending.append((offset, data))
        return len(data)

    def truncate(self, handle: int, size: int) -> None:
        self._call("truncate")
        file = self._handles[handle]
        if self.room is not None:
            self.room += len(file.seen) - size
        del file.seen[size:]
        file.pending.append(size)

    def sync(self, handle: int) -> None:
        file = self._handles[handle]
        try:
            self._call("sync")
        except OSError:
            file.arrive(file.survivor(self._random))
            raise
        file.arrive(file.survivor(None))

    def close(self, handle: int) -> None:
        self._handles[handle] = File()

    def rename(self, old: str, new: str) -> None:
        self._call("rename")
        self._link(old, new, keep=False)

    def link(self, old: str, new: str) -> None:
        self._call("link")
        if new in self._names:
            raise _error(errno.EEXIST)
        self._link(old, new, keep=True)

    def unlink(self, name: str) -> None:
        self._call("unlink")
        file = self._file(name)
        if self.room is not None:
            self.room += len(file.seen)
        self._change_names(lambda names: names.pop(name, None))

    def sync_directory(self) -> None:
        self._call("sync_directory")
        self._durable_names = dict(self._names)
        self._renamings.clear()

    def _call(self, name: str) -> None:
        if self.crash_at and len(self.calls) + 1 >= self.crash_at:
            raise PowerLoss
        self.calls.append(name)
        if fault := self.faults.get(len(self.calls)):
            raise _error(fault)

    def _file(self, name: str) -> File:
        if name not in self._names:
            raise _error(errno.ENOENT)
        return self._names[name]

    def _what_fits(self, file: File, data: bytes, offset: int) -> bytes:
        if self.room is None:
            return data
        growth = max(0, offset + len(data) - len(file.seen))
        taken = data[: len(data) - max(0, growth - self.room)]
        if data and not taken:
            raise _error(errno.ENOSPC)
        self.room -= min(growth, self.room)
        return taken

    def _link(self, old: str, new: str, keep: bool) -> None:
        file = self._file(old)

        def change(names: dict[str, File]) -> None:
            names[new] = file
            if not keep:
                names.pop(old, None)

        self._change_names(change)

    def _change_names(self, change: Callable[[dict[str, File]], object]) -> None:
        change(self._names)
        self._renamings.append(change)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
