"""This replica's sessions as the cluster knows them: asked for, granted, announced anew, ended (R21); pure."""

from collections.abc import Callable, Iterable, Sequence

from chattwist import errors
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.online import Online
from chattwist.protocol.backend import Done
from chattwist.protocol.session import Session
from chattwist.replication.messages import NEVER, AnyMessage, End, Ended, Enter, Epoch, Here, Login, Logins, View
from chattwist.roster import Roster
from chattwist.router import Router

ELSEWHERE = "this account logged in elsewhere; this login is over"


class Sessions:
    """Between the sessions here (``online``), those of all replicas (``roster``), and the primary behind ``router``."""

    def __init__(
        self, rank: int, chat: Chat, online: Online, roster: Roster, router: Router, prefix: str,
        send: Callable[[int, AnyMessage], None],
    ) -> None:  # fmt: skip
        """``prefix`` makes the ids of sessions unique: another one at each start."""
        self._rank, self._chat, self._online, self._roster, self._router = rank, chat, online, roster, router
        self._prefix, self._send = prefix, send
        self._count = 0
        self._epoch: Epoch = NEVER  # of the view that began last
        self._untold: list[tuple[str, str]] = []  # (account, id) of sessions whose end could be told to nobody yet

    def enter(self, account: Account, hashed: str, takeover: bool, session: Session, done: Done) -> None:
        """Have a session logged in whose password was found to fit the hash; ``done(Login | ChatError)``."""
        self._count += 1
        wish = self._wish(account, hashed, takeover, f"{self._prefix}:{self._count}")

        def entered(result: Login | errors.ChatError) -> None:
            if isinstance(result, Login):
                try:
                    self._online.enter(session, account, result)
                except errors.ChatError as error:
                    self._leave(account.id, wish.session)
                    return done(error)
            done(result)
            if isinstance(result, Login):
                self._see_that_it_is_known(result)

        self._router.enter(wish, entered)

    def _see_that_it_is_known(self, login: Login) -> None:
        """It may have been granted in an older view; and a line that waited behind it may have ended it by now."""
        if self.is_here(login.account, login.session) and self._roster.get(login.account) != login:
            self._ask_again(login)

    def _wish(self, account: Account, hashed: str, takeover: bool, session: str) -> Enter:
        return Enter(0, NEVER, self._rank, account.id, hashed, takeover, session)

    def left(self, session: Session, account: Account, done: Callable[[], None]) -> None:
        """A session here logged out, or its connection ended; ``done`` once the others know, or will by the next view."""
        if left := self._online.leave(session, account):
            self._leave(account.id, left, done)
        else:
            done()

    def _leave(self, account: str, session: str, done: Callable[[], None] = lambda: None) -> None:
        def told(result: object) -> None:
            if isinstance(result, errors.ChatError):  # those of a view without this replica may know of it all the same
                self._untold.append((account, session))
            done()

        self._router.leave(account, session, told)

    def tell_again(self) -> None:
        """Tell what could not be told before, if there is anybody to tell."""
        if self._untold and self._router.outlook():
            untold, self._untold = self._untold, []
            for account, session in untold:
                self._leave(account, session)

    def is_here(self, account: str, session: str) -> bool:
        """Whether it is the account's session on this replica."""
        return self._online.id(account) == session

    def over(self, account: str, session: str, text: str = ELSEWHERE) -> None:
        """End a session, if it is still here."""
        if self.is_here(account, session):
            self._online.end(account, text)

    # -- what other replicas say

    def asked_to_end(self, rank: int, message: End) -> None:
        """The primary wants the session to end."""
        self.over(message.account, message.session, message.text)
        self._send(rank, Ended(message.account, message.session))

    def changed(self, message: Logins) -> None:
        """The primary tells who came and went; what an earlier one said may come late, and counts no more (R12)."""
        if message.epoch != self._epoch:
            return
        for login in message.entered:
            self._roster.enter(login)
            if self._online.id(login.account) not in ("", login.session):
                self._online.end(login.account, ELSEWHERE)
        for account in message.left:
            self._roster.leave(account)

    def view_begins(self, view: View, logins: Sequence[Login], over: Iterable[str]) -> None:
        """These are all sessions of the view's members; those whose ids are in ``over`` have to end."""
        self._epoch = view.epoch
        ended = set(over)
        self._roster.replace(logins, ended)
        for mine in self._online.logins:
            theirs = self._roster.get(mine.account)
            if mine.session in ended or (theirs is not None and theirs.session != mine.session):
                self._online.end(mine.account, ELSEWHERE)
            elif theirs is None and not self._chat.accounts[mine.account].deleted:
                # it was granted so late that the new primary did not hear of it
                self._ask_again(mine)

    def _ask_again(self, login: Login) -> None:
        account = self._chat.accounts[login.account]

        def answered(result: Login | errors.ChatError) -> None:
            if isinstance(result, errors.LoggedInElsewhere | errors.WrongPassword):
                self.over(account.id, login.session)
            elif isinstance(result, Login) and not self.is_here(account.id, login.session):  # it ended meanwhile
                self._leave(account.id, login.session)

        # patient, for a view that begins has no primary yet, and there may have been none for long before
        self._router.enter(self._wish(account, account.password, False, login.session), answered, patient=True)

    def note_ended(self) -> None:
        """Tell, soon, of those sessions here that a new view has, but that are over; before any is granted in it."""
        known = [(login.account, login.session) for login in self._roster.at(self._rank)]
        self._untold = [one for one in known if not self.is_here(*one)]

    def tell_all(self, rank: int) -> None:
        """Tell the primary all sessions here: some of what it was told may have been lost."""
        self._send(rank, Here(self._online.logins))
