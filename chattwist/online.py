"""Who is logged in on this replica: sessions that the primary granted."""

from chattwist.accounts import Account
from chattwist.errors import WRONG, TryLater, WrongPassword
from chattwist.protocol.session import Session
from chattwist.replication.messages import Login


class Online:
    """The sessions of this replica by account id, each with its grant."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self._logins: dict[str, Login] = {}

    @property
    def logins(self) -> list[Login]:
        """All grants."""
        return list(self._logins.values())

    def id(self, account: str) -> str:
        """The id of the account's session here, or nothing."""
        login = self._logins.get(account)
        return "" if login is None else login.session

    def enter(self, session: Session, account: Account, login: Login) -> None:
        """The session is granted; TryLater if its connection ended meanwhile, WrongPassword if the account was deleted."""
        if session.closed:
            raise TryLater("the connection ended before the login was done")
        if account.deleted:
            raise WrongPassword(WRONG)
        self.end(account.id, f"{account.name} logged in elsewhere; this login is over")
        self.sessions[account.id], self._logins[account.id] = session, login
        session.begin(account)

    def leave(self, session: Session, account: Account) -> str:
        """The session's login is over; gives its id, or nothing if it had none."""
        if self.sessions.get(account.id) is not session:
            return ""
        del self.sessions[account.id]
        return self._logins.pop(account.id).session

    def end(self, account: str, text: str) -> None:
        """End the login of an account here, if it has one."""
        session = self.sessions.pop(account, None)
        if session is not None:
            del self._logins[account]
            session.bye(text)
