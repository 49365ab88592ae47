"""What goes into the core and what comes out of it, as values; pure. Operations are chattwist.model's."""

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from chattwist import model
from chattwist.replication.messages import AnyMessage, Login, State, View

TICKS = 5  # in each heartbeat

# -- events


@attrs.frozen
class Tick:
    """Time passes: comes TICKS times in each heartbeat."""


@attrs.frozen
class Connected:
    """Messages to the replica ``rank`` will be carried from now on."""

    rank: int


@attrs.frozen
class Lost:
    """The connection to it is gone; what was sent last may not have arrived."""

    rank: int


@attrs.frozen
class Refused:
    """No process is there."""

    rank: int


@attrs.frozen
class Received:
    """A message came, in the order of sending."""

    rank: int
    message: AnyMessage


@attrs.frozen
class Written:
    """The oldest Store or Save that was asked for is durable, or with ``full`` there was no room and nothing was written."""

    full: bool = False


@attrs.frozen
class Commit:
    """To the primary, one at a time: commit operations that it made; Finish tells the outcome. ``tags``: see Append."""

    operations: Sequence[model.AnyOperation]
    tags: Sequence[tuple[int, int]]


Event: TypeAlias = Tick | Connected | Lost | Refused | Received | Written | Commit

# -- effects, to be carried out in their order


@attrs.frozen
class Send:
    """Send a message."""

    rank: int
    message: AnyMessage


@attrs.frozen
class Abort:
    """Drop the connection to a replica, and with it all that waits for it."""

    rank: int


@attrs.frozen
class Store:
    """Make operations durable, then say Written."""

    operations: Sequence[model.AnyOperation]


@attrs.frozen
class Save:
    """Make this state durable, in the place of the one before, then say Written."""

    state: State


@attrs.frozen
class Apply:
    """These operations are durable here: merge them into the chat. ``tags`` as in Append, or empty."""

    operations: Sequence[model.AnyOperation]
    tags: Sequence[tuple[int, int]] = ()


@attrs.frozen
class Finish:
    """The outcome of the Commit: ``""`` committed, ``full`` or ``refused`` recorded nowhere, ``unknown``.

    ``replicas``: how many hold durably what was committed.
    """

    outcome: str
    replicas: int


@attrs.frozen
class Role:
    """From now on this replica is ``primary`` or ``follower`` in the view, or ``""``: neither."""

    role: str
    view: View | None


@attrs.frozen
class Entered:
    """A view begins, with the sessions of all its members; those whose ids are in ``over`` have to end."""

    view: View
    logins: Sequence[Login]
    over: Sequence[str]


@attrs.frozen
class Deliver:
    """A message that is not for the core."""

    rank: int
    message: AnyMessage


@attrs.frozen
class Say:
    """Something for the log, and for people: ``loud`` where somebody should look."""

    text: str
    loud: bool = False


Effect: TypeAlias = Send | Abort | Store | Save | Apply | Finish | Role | Entered | Deliver | Say
