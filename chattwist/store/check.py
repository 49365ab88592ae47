"""``python -m chattwist.store.check DIRECTORY``: is a copy of a replica's directory whole? Changes nothing."""

import sys

from chattwist.errors import StoreError
from chattwist.store import state
from chattwist.store.disk import Disk
from chattwist.store.history import Damage, History


def check(directory: str) -> int:
    """How many operations the directory holds; StoreError if it is none of a replica, or damaged."""
    disk = Disk(directory, make=False)
    try:
        history = History(disk)
        if not history.found.names:
            raise StoreError(f"{disk.path}: no journal is here; name a replica's own directory, such as chat-data/5001")
        state.load(disk)
        return sum(map(len, history.batches()))
    except Damage as damage:  # without its advice, which is for a replica's own directory
        raise StoreError(f"{disk.path}/{damage.what}; this copy is not whole") from None


def main(arguments: list[str]) -> int:
    """Check the directory that is named; the exit status, with one line on stderr if it is not 0."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m chattwist.store.check DIRECTORY", file=sys.stderr)
        return 1
    try:
        print(f"{check(arguments[0])} operations, all whole")
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
