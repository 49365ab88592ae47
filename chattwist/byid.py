"""Messages by id, in few bytes; pure.

Ids are numbered by their origin, so a list for each origin finds a message: a dict of all takes 70 bytes a message more.
"""

from collections.abc import Iterator, Mapping

from chattwist import model

DIGITS = 15  # of a number, at most: more than any origin lives to count


class ById(Mapping[str, model.Sent]):
    """Messages, each found by its id in constant time."""

    __slots__ = ("_count", "_origins")

    def __init__(self) -> None:
        self._origins: dict[str, list[model.Sent | None]] = {}  # None where another operation has that number
        self._count = 0

    def get(self, message_id: str, default: model.Sent | None = None) -> model.Sent | None:  # type: ignore[override]
        """The message of that id, which may be anything that a user wrote."""
        number = message_id.rpartition("-")[2]
        if len(number) > DIGITS or not number.isdecimal():
            return default
        message = self.known(message_id)
        return message if message is not None and message.id == message_id else default  # 7 may be written as 007

    def known(self, message_id: str) -> model.Sent | None:
        """The message of an id that was given to one, if it is here; quicker than get."""
        origin, _, number = message_id.rpartition("-")
        try:
            return self._origins[origin][int(number)]
        except LookupError:
            return None

    def __getitem__(self, message_id: str) -> model.Sent:
        message = self.get(message_id)
        if message is None:
            raise KeyError(message_id)
        return message

    def add(self, message: model.Sent) -> bool:
        """Take in a message; False where it is here already."""
        origin, _, number = message.id.rpartition("-")
        messages = self._origins.get(origin)
        if messages is None:
            messages = self._origins[origin] = []
        index, end = int(number), len(messages)
        if index == end:
            messages.append(message)
        elif index > end:
            messages.extend([None] * (index - end))
            messages.append(message)
        elif messages[index] is not None:
            return False
        else:
            messages[index] = message
        self._count += 1
        return True

    def pop(self, message_id: str) -> model.Sent | None:
        """Take one out, if it is here."""
        message = self.get(message_id)
        if message is not None:
            origin, _, number = message_id.rpartition("-")
            self._origins[origin][int(number)] = None
            self._count -= 1
        return message

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (message.id for messages in self._origins.values() for message in messages if message is not None)
