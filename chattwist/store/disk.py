"""The disk: the only place where this package meets the operating system's files.

All names are plain names in one directory. What an error means is for the callers to say (see
chattwist.store.files): these calls raise OSError as it comes.
"""

# ruff: noqa: N805  # the methods of a zope interface have no self

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from zope.interface import Attribute, Interface, implementer

from chattwist.errors import StoreError

_BUFFER = 1024 * 1024


class IDisk(Interface):
    """One directory. A *handle* is what ``open`` or ``create`` gave; all calls may raise OSError."""

    path: str = Attribute("the directory, for people")

    def lock() -> None:
        """Take the directory for this process until ``release``; StoreError if another has it."""

    def release() -> None:
        """Give the directory back."""

    def names() -> list[str]:
        """The names in the directory, in no order."""

    def size(name: str) -> int:
        """The length of a file, bytes."""

    def reader(name: str) -> IO[bytes]:
        """A file from its beginning, to be read and closed."""

    def create(name: str) -> int:
        """A handle on a new file, empty; FileExistsError if the name is taken."""

    def open(name: str) -> int:
        """A handle on a file that exists."""

    def write(handle: int, data: bytes, offset: int) -> int:
        """Write at ``offset``; gives how many bytes were taken, which may be fewer than all."""

    def truncate(handle: int, size: int) -> None:
        """Cut a file to ``size`` bytes."""

    def sync(handle: int) -> None:
        """Return once the file's contents are durable; after an error nothing is known of them, nor by another sync."""

    def close(handle: int) -> None:
        """Give a handle back."""

    def rename(old: str, new: str) -> None:
        """Give a file another name, in place of what had it."""

    def link(old: str, new: str) -> None:
        """Give a file a second name; FileExistsError if it is taken."""

    def unlink(name: str) -> None:
        """Take a name away."""

    def sync_directory() -> None:
        """Return once all names are durable."""


@implementer(IDisk)
class Disk:
    """A real directory; it is held by a descriptor, so the process may go elsewhere.

    With ``make`` it is made if it is missing, and closed to others (0700); without, nothing is changed.
    """

    def __init__(self, path: str, make: bool = True) -> None:
        self.path = os.path.abspath(path)
        try:
            if make:
                _make(self.path)
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            if make:
                self._close_to_others()
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be used as the data directory: {error.strerror}") from error

    def _close_to_others(self) -> None:
        try:
            os.fchmod(self._directory, 0o700)
        except PermissionError:
            raise StoreError(f"{self.path} belongs to another user: give it, and what is in it, to this one") from None

    def lock(self) -> None:
        """Take the directory. The lock is the kernel's, so it ends with the process, however that ends."""
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{self.path}: another process is using this directory") from None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be locked: {error.strerror}") from error

    def release(self) -> None:
        """Give the directory back; nothing else may be called after."""
        os.close(self._directory)

    def names(self) -> list[str]:
        """The names in the directory."""
        return os.listdir(self._directory)

    def size(self, name: str) -> int:
        """The length of a file, bytes."""
        return os.stat(name, dir_fd=self._directory).st_size

    def reader(self, name: str) -> IO[bytes]:
        """A file from its beginning."""
        return os.fdopen(os.open(name, os.O_RDONLY, dir_fd=self._directory), "rb", _BUFFER)

    def create(self, name: str) -> int:
        """A handle on a new file."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._directory)

    def open(self, name: str) -> int:
        """A handle on a file that exists."""
        return os.open(name, os.O_RDWR, dir_fd=self._directory)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write at ``offset``."""
        return os.pwrite(handle, data, offset)

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """Make a file's contents, and its length, durable."""
        os.fdatasync(handle)

    def close(self, handle: int) -> None:
        """Give a handle back."""
        os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def link(self, old: str, new: str) -> None:
        """Give a file a second name."""
        os.link(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def unlink(self, name: str) -> None:
        """Take a name away."""
        os.unlink(name, dir_fd=self._directory)

    def sync_directory(self) -> None:
        """Make all names durable."""
        os.fsync(self._directory)


def _make(path: str) -> None:
    """Make a directory and those above it, each durable in the one that holds it."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    _make(parent)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(disk: IDisk, name: str) -> Iterator[int]:
    """A handle on a file that exists, for a while."""
    handle = disk.open(name)
    try:
        yield handle
    finally:
        disk.close(handle)
