"""Who is logged in, over all replicas: one session an account; pure. The primary grants them, all members know them."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from chattwist.names import fold
from chattwist.replication.messages import Login

MOST_OVER = 10_000


class Roster:
    """The sessions by account id, in the order of the accounts' names; ``logins`` is for reading."""

    def __init__(self, name_of: Callable[[str], str | None]) -> None:
        """``name_of`` gives the name of the account of that id, None if it is deleted: then it has no session."""
        self._name_of = name_of
        self.logins: dict[str, Login] = {}
        self._over: dict[str, None] = {}  # ids of sessions that gave way, the last MOST_OVER of them
        self._newest: dict[str, Login] = {}  # each account's last grant, also where that session is gone
        self._ordered: list[tuple[str, str]] = []  # (folded name at login, account id)
        self._places: dict[str, tuple[str, str]] = {}

    def replace(self, logins: Iterable[Login], over: Iterable[str] = ()) -> None:
        """These are the sessions now, no others; those whose ids are in ``over`` had to give way to newer ones."""
        self.logins, self._places = {}, {}
        for session in over:
            self._gave_way(session)
        for login in logins:
            self._put(login)
        self._ordered = sorted(self._places.values())

    def get(self, account: str) -> Login | None:
        """The session of an account."""
        return self.logins.get(account)

    def is_over(self, session: str) -> bool:
        """Whether the session had to give way to a newer one, as far as is known; that one may be gone by now."""
        return session in self._over

    def _gave_way(self, session: str) -> None:
        self._over[session] = None
        if len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]

    def at(self, rank: int) -> list[Login]:
        """The sessions at one replica."""
        return [login for login in self.logins.values() if login.rank == rank]

    def elsewhere(self, rank: int) -> list[Login]:
        """The sessions at all others."""
        return [login for login in self.logins.values() if login.rank != rank]

    def enter(self, login: Login) -> None:
        """The account has this session now."""
        if self._put(login):
            insort(self._ordered, self._places[login.account])

    def _put(self, login: Login) -> bool:
        """Whether it is a new one: its place is not yet among those in order."""
        name = self._name_of(login.account)
        if name is None:
            return False
        is_new = login.account not in self.logins
        if is_new:
            self._places[login.account] = fold(name), login.account
        self.logins[login.account] = login
        self._note(login)
        return is_new

    def _note(self, login: Login) -> None:
        last = self._newest.get(login.account, login)
        older, newer = sorted((last, login), key=lambda one: one.granted)
        self._newest[login.account] = newer
        self._over.pop(newer.session, None)
        if older.session != newer.session:
            self._gave_way(older.session)

    def merged(self, logins: Iterable[Login], heard: Iterable[Login] = ()) -> tuple[list[Login], list[str]]:
        """Of the sessions of several replicas those that stay, and the ids of those that have to end (R21).

        ``heard``: others that one of them knows of, and that may be gone.

        Of two of one account the one that was granted later stays, and none that is older than one that ended since.
        """
        for login in heard:
            self._note(login)
        newest: dict[str, Login] = {}
        over = []
        for login in sorted(logins, key=lambda login: login.granted):
            if login.account in newest:
                over.append(newest.pop(login.account).session)
            last = self._newest.get(login.account, login)
            if login.granted < last.granted and login.session != last.session:
                over.append(login.session)
            else:
                newest[login.account] = login
        return list(newest.values()), over

    def leave(self, account: str) -> None:
        """It has none any more."""
        if self.logins.pop(account, None) is not None:
            del self._ordered[bisect_left(self._ordered, self._places.pop(account))]

    def page(self, after: str, limit: int) -> tuple[list[str], bool]:
        """At most ``limit`` ids of accounts in the order of their names, behind the name ``after``; whether there are more."""
        start = bisect_left(self._ordered, (fold(after) + "\0", ""))
        found = self._ordered[start : start + limit]
        return [account for _, account in found], len(self._ordered) > start + limit
