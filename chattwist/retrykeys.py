"""Retry keys: what each was used for; pure.

A key is remembered for a day. Those of messages are kept beyond that: another message under the same key may yet come from a
replica that was away, and all have to take it for a copy (R6), whenever it comes to them and whatever they were told since.
"""

from itertools import islice, takewhile

from msgspec.structs import replace

from chattwist import model
from chattwist.model import rank

LIFETIME = 24 * 3600 * 1_000_000  # how long a retry key is remembered, microseconds
FORGOTTEN_AT_ONCE = 5000  # retry keys
LEAP = 60 * 1_000_000  # microseconds by which keys grow older from one look at the clock to the next, at most


class RetryKeys:
    """By the id of the account that used them, and themselves."""

    def __init__(self) -> None:
        # a tuple where there are several
        self._messages: dict[str, dict[str, model.Sent | tuple[model.Sent, ...]]] = {}
        self._others: dict[tuple[str, str], tuple[model.Keyed, ...]] = {}
        self._present: int | None = None  # the clock, as far as keys follow it

    def remember(self, operation: model.Keyed, owner: str) -> None:
        """It was done under its key, if it has one."""
        if not operation.key:
            return
        if isinstance(operation, model.Sent):
            mine = self._messages.setdefault(owner, {})
            several = {*self._sent(owner, operation.key), operation}
            mine[operation.key] = tuple(sorted(several, key=rank)) if len(several) > 1 else operation
        else:
            known = self._others.pop((owner, operation.key), ())  # put back at the end: the newest keys stand last
            self._others[owner, operation.key] = tuple(sorted({*known, operation}, key=rank))

    def forget_text(self, message: model.Sent) -> None:
        """It is deleted (R7): what is left is that it was sent."""
        if message.key:
            known = self._sent(message.sender, message.key)
            left = tuple(replace(one, text="") if one.id == message.id else one for one in known)
            self._messages[message.sender][message.key] = left

    def _sent(self, owner: str, key: str) -> tuple[model.Sent, ...]:
        mine = self._messages.get(owner)
        known = () if mine is None else mine.get(key, ())
        return known if isinstance(known, tuple) else (known,)

    def copies_of(self, message: model.Sent) -> list[model.Sent]:
        """The others under its key and within a day of it, whatever became of them: all stand for one message."""
        known = self._sent(message.sender, message.key) if message.key else ()
        return [other for other in known if other.id != message.id and abs(other.at - message.at) <= LIFETIME]

    def done_before(self, owner: str, key: str, now: int) -> model.Keyed | None:
        """What was done under the key within a day before ``now``; of several the one that counts, see model.rank."""
        known = [one for one in (*self._others.get((owner, key), ()), *self._sent(owner, key)) if self.has(one, now)]
        return max(known, key=rank, default=None)

    def has(self, operation: model.Operation, now: int) -> bool:
        """Whether the operation's key still counts."""
        present = now if self._present is None else min(now, self._present + LEAP)
        return operation.at >= present - LIFETIME

    def forget(self, now: int) -> None:
        """Look at the clock, and drop keys older than a day, a few thousand at most.

        A clock that leaps ahead, or was wrong and is set right, makes keys of a moment ago no day older: one who repeats a
        command because it was not answered repeats it soon.

        In one pass: to find the first that is left in a dict, all that were taken out before it are passed over.
        """
        self._present = now if self._present is None else min(now, self._present + LEAP)
        oldest = islice(self._others, FORGOTTEN_AT_ONCE)
        for one in list(takewhile(lambda one: not any(self.has(known, now) for known in self._others[one]), oldest)):
            del self._others[one]
