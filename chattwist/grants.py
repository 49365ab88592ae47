"""Granting sessions: what the primary does for LOGIN on any replica (R21); an account has one session in the view."""

from collections.abc import Callable

from chattwist import errors
from chattwist.chat import Chat
from chattwist.online import Online
from chattwist.replication.messages import NEVER, AnyMessage, End, Enter, Epoch, Login, Logins, View
from chattwist.roster import Roster

Answer = Callable[[Login | errors.ChatError], None]


class Grants:
    """The primary's side of logging in and out; a follower only keeps the roster."""

    def __init__(
        self, rank: int, chat: Chat, online: Online, roster: Roster, send: Callable[[int, AnyMessage], None]
    ) -> None:
        self._rank, self._chat, self._online, self._roster, self._send = rank, chat, online, roster, send
        self._view: View | None = None
        self._counted: Epoch | None = None
        self._count = 0
        self._ending: dict[str, list[Callable[[], None]]] = {}  # id of a session that has to end → who waits for that

    def lead(self, view: View) -> None:
        """This replica grants sessions from now on."""
        self._view = view
        if self._counted != view.epoch:
            self._counted, self._count = view.epoch, 0

    def rest(self) -> list[Callable[[], None]]:
        """It does not any more; gives those who were waiting, to ask again."""
        waiting = [again for some in self._ending.values() for again in some]
        self._view, self._ending = None, {}
        return waiting

    def enter(self, wish: Enter, answer: Answer, again: Callable[[], None]) -> None:
        """Grant a session, or say why not; ``again`` is called when that is to be asked once more."""
        account = self._chat.accounts.get(wish.account)
        if account is None or account.deleted or account.password != wish.password:
            return answer(errors.WrongPassword(errors.WRONG))
        if account.listed is None:  # what was a registration of its own a moment ago is the copy of another
            return answer(errors.TryLater("this account was just joined with another of yours; LOGIN again"))
        other = self._roster.get(wish.account)
        if other is None or other.session == wish.session:
            return answer(self._grant(wish))
        if not wish.takeover:
            name = account.name
            text = f"{name} is logged in elsewhere; TAKEOVER {name} ends that session"
            return answer(errors.LoggedInElsewhere(text))
        text = f"{account.name} logged in elsewhere; this login is over"
        if other.rank == self._rank:
            self._online.end(wish.account, text)
            return answer(self._grant(wish))
        self._send(other.rank, End(wish.account, other.session, text))
        if self._view is None or other.rank not in self._view.members:  # what it asks for is refused from now on
            return answer(self._grant(wish))
        self._ending.setdefault(other.session, []).append(again)

    def is_unconfirmed(self, account: str) -> bool:
        """Whether the account's registration may not be committed (R19)."""
        return account in self._chat.accounts.unconfirmed

    def may_act(self, rank: int, account: str, session: str) -> bool:
        """Whether the session is the account's; where none is known, it becomes so: its grant was lost with a view."""
        login = self._roster.get(account)
        if login is not None:
            return login.session == session
        known = self._chat.accounts.get(account)
        lost = not self._roster.is_over(session)
        if lost and self._view is not None and known is not None and not known.deleted:
            self._grant(Enter(0, NEVER, rank, account, "", False, session))
            return True
        return False

    def _grant(self, wish: Enter) -> Login:
        assert self._view is not None
        self._count += 1
        login = Login(wish.account, wish.rank, wish.session, (self._view.epoch[0], self._count))
        self._roster.enter(login)
        self._tell([login], [])
        return login

    def left(self, account: str, session: str) -> None:
        """A session is over."""
        login = self._roster.get(account)
        if login is not None and login.session == session:
            self._roster.leave(account)
            self._tell([], [account])
        for again in self._ending.pop(session, ()):
            again()

    def all_of(self, rank: int, logins: list[Login]) -> None:
        """These are all sessions of a replica; of no interest to one that does not grant any."""
        if self._view is None:
            return
        there = {login.session for login in logins}
        for login in self._roster.at(rank):
            if login.session not in there:
                self.left(login.account, login.session)

    def _tell(self, entered: list[Login], left: list[str]) -> None:
        if self._view is not None:
            logins = Logins(self._view.epoch, entered, left)
            for rank in self._view.members:
                if rank != self._rank:
                    self._send(rank, logins)
