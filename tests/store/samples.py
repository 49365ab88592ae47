"""Stores to test with: small journals, so that a few operations fill many files."""

from collections.abc import Iterator, Sequence

from chattwist.model import AnyOperation, Sent
from chattwist.store.disk import IDisk
from chattwist.store.snapshot import compact
from chattwist.store.store import Store

DAY = 24 * 3600 * 1_000_000  # microseconds


def message(number: int, text: str = 'ünï, "quoted" and ,"sum":"0a1b2c3d"}', key: str = "") -> Sent:
    """A message whose place is ``number``."""
    return Sent(id=f"k3v9x2mq-{number}", at=number, sender="a-1", recipient="a-2", text=text, key=key)


def messages(count: int, first: int = 1) -> list[AnyOperation]:
    """Messages in order."""
    return [message(number) for number in range(first, first + count)]


def started(disk: IDisk, journal_size: int = 8 * 1024 * 1024) -> Store:
    """A store that was loaded."""
    store = Store.open(disk, journal_size=journal_size)
    for _ in store.load():
        pass
    return store


def filled(disk: IDisk, operations: Sequence[AnyOperation], journal_size: int = 8 * 1024 * 1024) -> None:
    """Record operations, each by itself, and close the store."""
    store = started(disk, journal_size)
    for operation in operations:
        store.append([operation])
    store.close()


def loaded(disk: IDisk, salvage: bool = False) -> list[AnyOperation]:
    """All that the next process finds."""
    store = Store.open(disk, salvage=salvage)
    try:
        return list(store.load())
    finally:
        store.close()


def life(disk: IDisk, acknowledged: list[AnyOperation], operations: Sequence[AnyOperation], journal_size: int) -> None:
    """All that a store does: load, append, rotate, compact, clean up. ``acknowledged`` grows by what was recorded."""
    store = started(disk, journal_size)
    compacted = store.closed
    for operation in operations:
        store.append([operation])
        acknowledged.append(operation)
        if store.closed >= compacted + 2:
            compact(disk, store.closed, now=0)
            store.remove_covered()
            compacted = store.closed
    store.close()


def flips(data: bytes, offset: int) -> Iterator[bytes]:
    """The same bytes with one bit fallen over at ``offset``, each of eight."""
    for bit in range(8):
        yield data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]
