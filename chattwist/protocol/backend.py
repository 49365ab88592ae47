"""What a session needs from the outside: the replica behind it and the connection before it; pure.

Nothing here blocks. What may take time calls ``done``, at once or later, exactly once: with its result or a ChatError.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import attrs
import msgspec

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.requests import AnyRequest, Sends

if TYPE_CHECKING:
    from chattwist.protocol.session import Session

Done: TypeAlias = Callable[[Any], None]
SendsDone: TypeAlias = "Callable[[list[Committed | errors.ChatError], bool], None]"


class Committed(msgspec.Struct, gc=False):  # not an attrs class: that takes three times as long to make
    """A request is done: ``replicas`` disks hold its operation; ``pushed``: a message went to its recipient's session."""

    operation: model.AnyOperation
    replicas: int
    pushed: bool = False


@attrs.frozen
class ReplicaStatus:
    """One replica of the cluster: role ``primary``, ``follower`` or ``-``; state ``live``, ``joining`` or ``down``."""

    port: int
    role: str
    state: str


@attrs.frozen
class Status:
    """The cluster as one replica sees it; ``primary`` is a port, or 0.

    ``forced``: it serves though what was acknowledged may still be on a replica that is not there.
    """

    replicas: Sequence[ReplicaStatus]
    primary: int
    view: int
    mode: str
    forced: bool = False


class Backend(Protocol):
    """The replica."""

    chat: Chat
    name: str
    mailbox: int

    @property
    def leads(self) -> bool:
        """Whether what is submitted is committed here, as far as is known."""

    def submit(self, request: AnyRequest, done: Done) -> None:
        """Have a request committed; ``done(Committed | ChatError)``."""

    def send_all(self, sends: Sends, done: "SendsDone") -> None:
        """Have messages committed, each for itself; ``done(results, marked)``.

        ``results`` has a Committed or ChatError for each; ``marked``: what the session has read is recorded, too.
        """

    def mark_read(self, ids: tuple[str, ...], done: Done) -> None:
        """Count messages as read by those to whom they were sent; ``done(Committed | ChatError)``."""

    def may_register(self, name: str, key: str) -> None:
        """Raise the error that REGISTER would end in, if it is known already."""

    def done_before(self, owner: str, key: str) -> Committed | None:
        """The result under a retry key of the account ``owner``, as far as this replica knows."""

    def register(self, session: "Session", name: str, password: str, key: str, done: Done) -> None:
        """Make an account and log the session in; ``done(Account | ChatError)``."""

    def login(self, session: "Session", name: str, password: str, takeover: bool, done: Done) -> None:
        """Log the session in; ``done(Account | ChatError)``."""

    def change_password(self, account: Account, address: str, old: str, new: str, key: str, done: Done) -> None:
        """Replace the password; ``done(Committed | ChatError)``."""

    def unregister(self, account: Account, address: str, password: str, key: str, done: Done) -> None:
        """Delete the account; ``done(Committed | ChatError)``."""

    def logout(self, session: "Session", account: Account, done: Callable[[], None]) -> None:
        """The session's login is over, or its connection is; ``done()`` once WHO shows it nowhere."""

    def online(self, after: str, limit: int) -> tuple[Sequence[Account], bool]:
        """At most ``limit`` accounts logged in on any replica, by name, behind the name ``after``; whether there are more."""

    def status(self) -> Status:
        """What STATUS shows."""

    def log_bug(self) -> None:
        """Log the exception being handled, which is a bug."""


class Sink(Protocol):
    """The connection that a session writes to."""

    @property
    def telnet(self) -> bool:
        """Whether the peer is known to be a telnet client."""

    @property
    def ending(self) -> bytes:
        """How lines to this client end."""

    def write(self, data: bytes) -> None:
        """Send bytes; session.drained() is called once all that was written has gone out."""

    def push(self, data: bytes) -> bool:
        """Send an event; or, while too many wait for a peer that does not read, don't and give False."""

    def hide_input(self) -> None:
        """A password prompt comes next: a telnet peer stops echoing."""

    def show_input(self) -> None:
        """The password came."""

    def ready(self) -> None:
        """The session takes lines again."""

    def close(self) -> None:
        """End the connection once all has gone out."""


class Gone:
    """The sink of a session whose connection is gone: that is free at once then, without a search for garbage."""

    telnet = False
    ending = b"\r\n"

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def push(self, data: bytes) -> bool:
        """Nobody sees it."""
        return False

    def hide_input(self) -> None:
        """Nobody types."""

    show_input = ready = close = hide_input


GONE = Gone()
