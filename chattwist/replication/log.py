"""All operations that this replica holds durably, by origin: what catching up goes by; pure."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain
from operator import attrgetter

import msgspec

from chattwist import model
from chattwist.replication.ranges import Places, contains, extend, up_to, without

NOTHING: Places = {}
BATCH = 500  # operations that go into one message, and
BATCH_BYTES = 200_000  # bytes of text and of ids: so that none keeps a replica busy for long

_at = attrgetter("at")

Vector = dict[str, int]  # origin → how many of its operations, counted from its first without a gap


class Log:
    """A set of operations. Those of one origin are known up to some number, which the version vector tells."""

    def __init__(self) -> None:
        self._origins: dict[str, list[model.AnyOperation]] = {}
        self._loose: dict[str, dict[int, model.AnyOperation]] = {}  # behind a gap, which only damage leaves
        self._lost: Places = {}  # of what damage took from all replicas (R10)

    @property
    def vector(self) -> Vector:
        """How much of each origin is here."""
        return {origin: len(operations) for origin, operations in self._origins.items()}

    @property
    def loose(self) -> dict[str, list[int]]:
        """The numbers of the operations behind gaps, by origin."""
        return {origin: sorted(numbers) for origin, numbers in self._loose.items() if numbers}

    @property
    def lost(self) -> Places:
        """Where there are places only, and not the operations."""
        return {origin: list(ranges) for origin, ranges in self._lost.items() if ranges}

    def load(self, operation: model.AnyOperation) -> None:
        """Take in an operation from the disk, where damage may have left gaps."""
        if not self.add(operation):
            origin, number = split(operation.id)
            if number > len(self._origins[origin]):
                self._loose.setdefault(origin, {})[number] = operation

    def add(self, operation: model.AnyOperation) -> bool:
        """Take in the next operation of its origin, or one that was lost; False for others: known, or behind a gap (R3)."""
        origin, number = split(operation.id)
        operations = self._origins.setdefault(origin, [])
        if self._is_found(origin, number, operation):
            operations[number - 1] = operation
            self._lost[origin] = without(self._lost[origin], [(number, number)])
            return True
        if number != len(operations) + 1:
            return False
        self._append(origin, operations, operation)
        loose = self._loose.get(origin)
        while loose and (following := loose.pop(len(operations) + 1, None)) is not None:
            self._append(origin, operations, following)
        return True

    def _append(self, origin: str, operations: list[model.AnyOperation], operation: model.AnyOperation) -> None:
        operations.append(operation)
        if isinstance(operation, model.Lost):
            extend(self._lost.setdefault(origin, []), len(operations))

    def _is_found(self, origin: str, number: int, operation: model.AnyOperation) -> bool:
        if not self._lost or isinstance(operation, model.Lost):
            return False
        return contains(self._lost.get(origin, []), number)

    def new_of(self, operations: Sequence[model.AnyOperation]) -> Sequence[model.AnyOperation]:
        """Those that follow on what is here, in their order: each the next of its origin (R3), or one that was lost."""
        if self._all_follow(operations):
            return operations
        ends: Vector = {}
        found = []
        for operation in operations:
            origin, number = split(operation.id)
            end = ends.get(origin)
            if end is None:
                end = len(self._origins.get(origin, ()))
            if number == end + 1:
                found.append(operation)
                end = number
            elif self._is_found(origin, number, operation):
                found.append(operation)
            ends[origin] = end
        return found

    def _all_follow(self, operations: Sequence[model.AnyOperation]) -> bool:
        """Whether these are the next ones of one origin, as those of a commit are."""
        if not operations:
            return True
        origin, _ = split(operations[0].id)
        if self._loose.get(origin):  # some of them may be here already
            return False
        start = len(self._origins.get(origin, ())) + 1
        return [operation.id for operation in operations] == [
            f"{origin}-{number}" for number in range(start, start + len(operations))
        ]

    def take(self, fresh: Sequence[model.AnyOperation]) -> None:
        """Take in what new_of() found, if nothing came in between."""
        if not fresh:
            return
        (origin, first), (other, last) = split(fresh[0].id), split(fresh[-1].id)
        operations = self._origins.setdefault(origin, [])
        in_a_row = origin == other and last - first == len(fresh) - 1  # then all are of it, each being its next
        plain = not self._loose.get(origin) and model.Lost not in {*map(type, fresh)}
        if in_a_row and first == len(operations) + 1 and plain:
            operations.extend(fresh)
        else:
            for operation in fresh:
                self.add(operation)

    def holds(self, operations: Sequence[model.AnyOperation]) -> bool:
        """Whether all of these are here."""
        if not operations:
            return True
        origin, first = split(operations[0].id)
        here = self._origins.get(origin, [])[first - 1 : first - 1 + len(operations)]
        if [operation.id for operation in here] == [operation.id for operation in operations]:  # as those of a commit
            return True
        return all(self.get(operation.id) is not None for operation in operations)

    def get(self, operation_id: str) -> model.AnyOperation | None:
        """The operation of that id."""
        origin, number = split(operation_id)
        operations = self._origins.get(origin, ())
        return operations[number - 1] if 0 < number <= len(operations) else None

    def missing(
        self, vector: Mapping[str, int], lost: Places = NOTHING, most: int = BATCH_BYTES
    ) -> tuple[list[model.AnyOperation], bool]:
        """Some of the operations that a replica with ``vector`` lacks, those of an origin in order; whether there are more.

        Before them what is here of those that it has ``lost``.

        ``most``: bytes of text and ids in them, from which on there is none more.

        Of several origins the oldest come first: what is newer than all before is merged into a chat the soonest.
        """
        found: list[model.AnyOperation] = []
        size = 0
        for operation in chain(self._held_at(self.found_of(lost)), merge(*self._behind(vector), key=_at)):
            if len(found) == BATCH or size >= most:
                return found, True
            found.append(operation)
            size += _length(operation)
        return found, False

    def found_of(self, lost: Places) -> Places:
        """Where this replica has what another has lost."""
        return {
            origin: without(up_to(ranges, len(self._origins[origin])), self._lost.get(origin, []))
            for origin, ranges in lost.items()
            if origin in self._origins
        }

    def _held_at(self, places: Places) -> Iterator[model.AnyOperation]:
        for origin, ranges in places.items():
            for first, last in ranges:
                yield from map(self._origins[origin].__getitem__, range(first - 1, last))

    def _behind(self, vector: Mapping[str, int]) -> Iterator[Iterator[model.AnyOperation]]:
        """Of each origin of which something is lacking that, read as far as it is asked for: it may be a million."""
        for origin, operations in self._origins.items():
            start = vector.get(origin, 0)
            if start < len(operations):
                yield map(operations.__getitem__, range(start, len(operations)))

    def covers(self, vector: Mapping[str, int], lost: Places = NOTHING) -> bool:
        """Whether nothing that a replica with ``vector`` holds, but for what it has ``lost``, is missing here."""
        behind = any(len(self._origins.get(origin, ())) < count for origin, count in vector.items())
        theirs = {origin: without(ranges, lost.get(origin, [])) for origin, ranges in self._lost.items()}
        return not behind and not any(up_to(ranges, vector.get(origin, 0)) for origin, ranges in theirs.items())

    def forget_text(self, message_id: str) -> None:
        """Keep of a deleted message all but its text (R7)."""
        origin, number = split(message_id)
        operations = self._origins.get(origin)
        if operations is None or not 0 < number <= len(operations):
            return
        message = operations[number - 1]
        if isinstance(message, model.Sent) and message.text:
            operations[number - 1] = msgspec.structs.replace(message, text="")

    def __iter__(self) -> Iterator[model.AnyOperation]:
        return chain.from_iterable(self._origins.values())


def _length(operation: model.AnyOperation) -> int:
    """About how many bytes there are in it that another one of its kind may not have."""
    if isinstance(operation, model.Sent):
        return len(operation.text) if operation.text.isascii() else len(operation.text.encode())
    return sum(map(len, operation.messages)) if isinstance(operation, model.Deleted | model.Read) else 0


def split(operation_id: str) -> tuple[str, int]:
    """The origin, and the number in it, that an id is made of."""
    origin, _, number = operation_id.rpartition("-")
    return origin, int(number)
