"""Who is logged in on this replica: one session an account."""

from bisect import bisect_left, insort

from chattwist.chat import Account
from chattwist.errors import LoggedInElsewhere, TryLater
from chattwist.names import fold
from chattwist.protocol.session import Session


class Online:
    """The sessions that are logged in, by account id."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self._ordered: list[tuple[str, str]] = []  # (folded name at login, account id)
        self._places: dict[str, tuple[str, str]] = {}

    def enter(self, session: Session, account: Account, takeover: bool) -> None:
        """Log the session in; errors.LoggedInElsewhere if the account has another and ``takeover`` is not asked for."""
        if session.closed:
            raise TryLater("the connection ended before the login was done")
        other = self.sessions.get(account.id)
        if other is not None and not takeover:
            raise LoggedInElsewhere(f"{account.name} is logged in elsewhere; TAKEOVER {account.name} ends that session")
        self.sessions[account.id] = session
        if other is None:
            self._places[account.id] = (fold(account.name), account.id)
            insort(self._ordered, self._places[account.id])
        session.begin(account)
        if other is not None:
            other.bye(f"{account.name} logged in elsewhere; this login is over")

    def leave(self, session: Session, account: Account) -> None:
        """The session's login is over."""
        if self.sessions.get(account.id) is session:
            self._remove(account.id)

    def end(self, account_id: str, text: str) -> None:
        """End the login of an account, if it has one."""
        session = self.sessions.get(account_id)
        if session is not None:
            self._remove(account_id)
            session.bye(text)

    def page(self, after: str, limit: int) -> tuple[list[str], bool]:
        """At most ``limit`` ids of accounts in the order of their names, behind the name ``after``; whether there are more."""
        start = bisect_left(self._ordered, (fold(after) + "\0", ""))
        found = self._ordered[start : start + limit]
        return [account_id for _, account_id in found], len(self._ordered) > start + limit

    def _remove(self, account_id: str) -> None:
        del self.sessions[account_id]
        del self._ordered[bisect_left(self._ordered, self._places.pop(account_id))]
