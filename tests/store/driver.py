"""A process that keeps a store, to be killed: ``python driver.py DIRECTORY COUNT``.

It says what it loaded, and each message's number once it is recorded; after every second rotation it
compacts and cleans up.
"""

import sys

from chattwist.errors import DiskFailed, DiskFull
from chattwist.store.disk import Disk
from chattwist.store.snapshot import compact
from chattwist.store.store import Store
from tests.store.samples import message


def say(*words: object) -> None:
    """To the test, at once."""
    print(*words, flush=True)


def main(directory: str, count: int) -> None:
    """Live."""
    disk = Disk(directory)
    store = Store.open(disk, journal_size=400)
    found = list(store.load())
    say("loaded", len(found))
    compacted = store.closed
    for number in range(len(found) + 1, len(found) + count + 1):
        try:
            store.append([message(number)])
            say("recorded", number)
        except (DiskFull, DiskFailed) as error:
            say(type(error).__name__, number)
        if store.closed >= compacted + 2:
            compact(disk, store.closed, now=0)
            store.remove_covered()
            compacted = store.closed
    store.close()
    say("closed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
