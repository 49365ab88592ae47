"""Which account has which name; pure.

A name is compared without case. Replicas that served cut off from each other can each have given the same name away. Then
the account whose registration was confirmed first keeps it, of those that were not the one registered first; the k-th is
called ``name~k`` (rule R19), a name that nobody can register. Who is called what depends on the set of the living
accounts only, not on the order in which they got known.
"""

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection

FEW = 100  # names at most that are put in their places one by one: to sort is to pass over all names
SHARE_OF_NEW = 8  # an eighth of the names at most waits to be put in, so that who asks first does not wait for all

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")

Claim = tuple[float, int, str]  # when it was confirmed, stamp and id of an account: the smallest has the name


def is_name(text: str) -> bool:
    """Whether an account may be registered under ``text``."""
    return _NAME.fullmatch(text) is not None


def fold(name: str) -> str:
    """The form in which names are compared. Other letters than ours stay what they are: of some the small one is ours."""
    return name.lower() if name.isascii() else name


class Names:
    """The names of the living accounts, in order."""

    def __init__(self) -> None:
        self._claims: dict[str, list[Claim]] = {}
        self._accounts: dict[str, str] = {}
        self._ordered: list[str] = []  # all names but the new ones
        self._new: set[str] = set()

    def claim(self, name: str, before: Claim | None, now: Claim | None) -> list[tuple[str, str]]:
        """An account's claim to live under ``name`` is another now; None: it has none.

        Gives what those of that name are called from now on, as (account, suffix) pairs.
        """
        folded = fold(name)
        claims = self._claims.setdefault(folded, [])
        count = len(claims)
        if before is not None:
            claims.remove(before)
        if now is not None:
            insort(claims, now)
        if not claims:
            del self._claims[folded]
        return self._renamed(folded, claims, count)

    def find(self, name: str) -> str | None:
        """The id of the account that is called ``name`` now."""
        return self._accounts.get(fold(name))

    def claimants(self, name: str) -> list[str]:
        """The ids of all accounts that were registered under ``name``, who has it now first; or of the one called so."""
        claims = self._claims.get(fold(name))
        found = self.find(name)
        return [account for _, _, account in claims] if claims else [] if found is None else [found]

    def page(self, prefix: str, after: str, limit: int, hidden: Collection[str] = ()) -> tuple[list[str], bool]:
        """At most ``limit`` ids of accounts whose names begin with ``prefix``, behind ``after``; whether there are more.

        The accounts in ``hidden`` are left out.
        """
        folded = fold(prefix)
        ordered = self._in_order()
        start = max(bisect_left(ordered, folded), bisect_right(ordered, fold(after)) if after else 0)
        some = ordered[start : start + limit + 1 + len(hidden)]
        found = [self._accounts[name] for name in some if name.startswith(folded)]
        shown = [account for account in found if account not in hidden]
        return shown[:limit], len(shown) > limit

    def __len__(self) -> int:
        return len(self._accounts)

    def _renamed(self, folded: str, claims: list[Claim], before: int) -> list[tuple[str, str]]:
        for index in range(len(claims), before):
            self._drop(folded + _suffix(index))
        for index, (_, _, account) in enumerate(claims):
            self._put(folded + _suffix(index), account)
        return [(account, _suffix(index)) for index, (_, _, account) in enumerate(claims)]

    def _put(self, shown: str, account: str) -> None:
        if shown not in self._accounts:
            self._new.add(shown)
            if len(self._new) * SHARE_OF_NEW > len(self._ordered):
                self._in_order()
        self._accounts[shown] = account

    def _drop(self, shown: str) -> None:
        del self._accounts[shown]
        if shown in self._new:
            self._new.remove(shown)
        else:
            del self._ordered[bisect_left(self._ordered, shown)]

    def _in_order(self) -> list[str]:
        """All names. The new ones are put in only now, many of them together: each by itself moves half of the others."""
        if len(self._new) > FEW:
            self._ordered += self._new
            self._ordered.sort()
        else:
            for name in self._new:
                insort(self._ordered, name)
        self._new.clear()
        return self._ordered


def _suffix(index: int) -> str:
    return f"~{index + 1}" if index else ""
