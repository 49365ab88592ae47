"""Who is logged in on this replica: one session an account."""

from chattwist.chat import Account
from chattwist.errors import LoggedInElsewhere, TryLater
from chattwist.protocol.session import Session


class Online:
    """The sessions that are logged in, by account id."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def enter(self, session: Session, account: Account, takeover: bool) -> None:
        """Log the session in; errors.LoggedInElsewhere if the account has another and ``takeover`` is not asked for."""
        if session.closed:
            raise TryLater("the connection ended before the login was done")
        other = self.sessions.get(account.id)
        if other is not None and not takeover:
            raise LoggedInElsewhere(f"{account.name} is logged in elsewhere; TAKEOVER {account.name} ends that session")
        self.sessions[account.id] = session
        session.begin(account)
        if other is not None:
            other.bye(f"{account.name} logged in elsewhere; this login is over")

    def leave(self, session: Session, account: Account) -> None:
        """The session's login is over."""
        if self.sessions.get(account.id) is session:
            del self.sessions[account.id]

    def end(self, account_id: str, text: str) -> None:
        """End the login of an account, if it has one."""
        session = self.sessions.pop(account_id, None)
        if session is not None:
            session.bye(text)
