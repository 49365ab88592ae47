"""What replicas say to each other, as values; pure. A replica is named by its rank, see Cluster.ranked.

An *epoch* numbers a view and says who made it: ``(number, rank of its primary)``; later ones are larger.
"""

from typing import TypeAlias

import msgspec

from chattwist import model
from chattwist.replication.ranges import Places
from chattwist.requests import AnyRequest

Epoch: TypeAlias = tuple[int, int]
NEVER: Epoch = (0, -1)


class View(msgspec.Struct, frozen=True):
    """Who commits together: an operation is acknowledged once all members hold it durably.

    ``forced``: some of those that served before were not there, and not all replicas have been since (R16).
    """

    epoch: Epoch
    members: tuple[int, ...]
    forced: bool = False

    @property
    def primary(self) -> int:
        """The rank of the one that orders the operations."""
        return self.epoch[1]

    def is_newer(self, other: "View") -> bool:
        """Whether it came after the other; of one epoch are two views only if a disk was lost, and then each is to be left."""
        return self.epoch > other.epoch or (self.epoch == other.epoch and self != other)


class State(msgspec.Struct, frozen=True):
    """What a replica keeps on disk besides operations: the epoch that it promised, and the view that it was in last.

    ``damaged``: some of what it held then is lost.
    """

    promised: Epoch = NEVER
    view: View | None = None
    damaged: bool = False


class Login(msgspec.Struct, frozen=True, array_like=True):
    """An account's session: at which replica, its id there, and when it was granted, later ones being larger."""

    account: str
    rank: int
    session: str
    granted: tuple[int, int]  # the number of the view's epoch, and a count within the view


class Message(msgspec.Struct, frozen=True, tag_field="m", array_like=True):
    """What all messages have: a tag."""


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """A sign of life, and all that the others need to know for electing a primary.

    ``view`` is the last view, as on disk; ``current``: this replica has been in it ever since. ``primary``: whom it
    hears serving, itself included, or -1. ``hears``: whom it hears, each with the ``sent`` that it heard last from it.
    ``fit``: it can write to its disk. ``wall``: its clock, microseconds; ``sent``: its monotonic clock, seconds.
    ``serving``: it takes part in that view now, also where others went on without it meanwhile. ``unsettled``: it
    caught up with something since the view began, which the other members may lack.
    """

    view: View | None
    current: bool
    primary: int
    hears: tuple[tuple[int, float], ...]
    fit: bool
    promised: Epoch
    wall: int
    sent: float
    damaged: bool = False
    serving: bool = False
    unsettled: bool = False


class Prepare(Message, frozen=True, tag="prepare"):
    """Promise to take nothing of an older epoch any more."""

    epoch: Epoch


class Promise(Message, frozen=True, tag="promise"):
    """Promised, durably; with what the sender holds: ``loose`` are the numbers of what it holds behind gaps, by origin.

    ``lost`` as in Pull. ``logins`` are the sessions at the sender, ``heard`` those at others that it knows of.
    """

    epoch: Epoch
    vector: dict[str, int]
    loose: dict[str, list[int]]
    lost: Places
    view: View | None
    current: bool
    logins: list[Login]
    heard: list[Login] = []
    damaged: bool = False


class Refusal(Message, frozen=True, tag="refusal"):
    """The epoch is too old, or not needed: ``promised`` is what the sender promised."""

    promised: Epoch


class Pull(Message, frozen=True, tag="pull"):
    """Send what a replica with this version vector lacks, about ``most`` bytes of it.

    ``lost``: places of operations that damage took, and that others may have after all, see ranges.Places.
    """

    number: int
    vector: dict[str, int]
    lost: Places
    most: int


class Pulled(Message, frozen=True, tag="pulled"):
    """The next of what was lacking, in answer to the Pull of that number; ``more``: there is more of it."""

    number: int
    operations: list[model.AnyOperation]
    more: bool


class Fill(Message, frozen=True, tag="fill"):
    """What a member of the coming view lacks."""

    epoch: Epoch
    operations: list[model.AnyOperation]


class Install(Message, frozen=True, tag="install"):
    """Enter the view; ``logins`` are the sessions of all its members, ``over`` ids of those that have to end."""

    view: View
    logins: list[Login]
    over: list[str]


class Installed(Message, frozen=True, tag="installed"):
    """The sender holds, durably, all that it was sent before, and is in the view."""

    epoch: Epoch


class Serving(Message, frozen=True, tag="serving"):
    """All members are in the view: its primary serves."""

    epoch: Epoch


class Append(Message, frozen=True, tag="append"):
    """Commit number ``number`` of the view. ``tags``: for each operation who forwarded its request, and under which number."""

    epoch: Epoch
    number: int
    operations: list[model.AnyOperation]
    tags: list[tuple[int, int]]


class Ack(Message, frozen=True, tag="ack"):
    """The sender holds the view's commits up to ``number`` durably, and applies them before it hears anything else."""

    epoch: Epoch
    number: int


class Unfit(Message, frozen=True, tag="unfit"):
    """The sender cannot write to its disk: go on without it."""

    epoch: Epoch


class TakeOver(Message, frozen=True, tag="takeover"):
    """To a member with a lower rank, which has proved steady: become primary."""

    epoch: Epoch


class Forward(Message, frozen=True, tag="forward"):
    """A request of a client of replica ``rank``; ``session`` is the id of the session that makes it, or ``""``.

    It goes to the primary of the view of ``epoch``, and is refused in any other (R12): the sender may have given it to
    another by now. With NEVER it goes to a replica that reaches the primary where the sender does not (R14).
    """

    number: int
    epoch: Epoch
    rank: int
    request: AnyRequest
    session: str


class Result(Message, frozen=True, tag="result"):
    """A forwarded request is committed; ``operation`` is the id of the operation that did it."""

    number: int
    operation: str
    replicas: int
    pushed: bool


class Failure(Message, frozen=True, tag="failure"):
    """A forwarded request or login is refused, with the reply's code and text."""

    number: int
    code: int
    text: str


class Enter(Message, frozen=True, tag="enter"):
    """Ask for a session of an account at replica ``rank``, where the password was found to fit the hash ``password``.

    ``epoch`` as in Forward.
    """

    number: int
    epoch: Epoch
    rank: int
    account: str
    password: str
    takeover: bool
    session: str


class Entered(Message, frozen=True, tag="entered"):
    """The session is granted."""

    number: int
    login: Login


class Leave(Message, frozen=True, tag="leave"):
    """A session at replica ``rank`` is over: it logged out, or its connection ended; ``epoch`` as in Forward."""

    number: int
    epoch: Epoch
    rank: int
    account: str
    session: str


class Left(Message, frozen=True, tag="left"):
    """All members of the view know that the session is over."""

    number: int


class End(Message, frozen=True, tag="end"):
    """End a session; ``text`` is for its user."""

    account: str
    session: str
    text: str


class Ended(Message, frozen=True, tag="ended"):
    """The session that was to end is over, or was so before."""

    account: str
    session: str


class Again(Message, frozen=True, tag="again"):
    """A forwarded request or login was not begun, since the sender is not, or not for long, the primary it is for."""

    number: int


class Here(Message, frozen=True, tag="here"):
    """All sessions of the sender, to the primary, over a new connection: the end of one may have been lost with the old."""

    logins: list[Login]


class Logins(Message, frozen=True, tag="logins"):
    """Sessions that were granted in the view of ``epoch``, and accounts that have none any more: what all members know."""

    epoch: Epoch
    entered: list[Login]
    left: list[str]


class Bundle(Message, frozen=True, tag="bundle"):
    """What was passed on, or answered, in one turn of the reactor, in order: read and written together."""

    messages: list[Forward | Result | Failure]


AnyMessage: TypeAlias = (
    Bundle | Heartbeat | Prepare | Promise | Refusal | Pull | Pulled | Fill | Install | Installed | Serving | Append | Ack | Unfit
    | TakeOver | Forward | Result | Failure | Enter | Entered | Leave | Left | End | Ended | Again | Here | Logins
)  # fmt: skip

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode(data: bytes) -> AnyMessage:
    """The message in ``data``; ValueError if it is none."""
    try:
        message: AnyMessage = _decoder.decode(data)
        return message
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a message of this version: {error}") from error
