"""The accounts, living and deleted, and who has which name; pure. A part of the chat: see there about merging."""

from collections.abc import Iterable

import attrs

from chattwist import model
from chattwist.model import Rank, place, rank
from chattwist.names import Claim, Names, fold

NEVER = float("inf")
UNKNOWN = "?"  # not nothing: lines that show it keep their fields


@attrs.define(eq=False)
class Account:
    """An account, living or deleted; an operation may speak of one whose registration is not known yet: then it is UNKNOWN."""

    id: str
    name: str = UNKNOWN
    registered: model.Registered | None = None
    confirmed: int = 0  # when its registration was confirmed first (R19): a stamp, or 0
    confirmed_by: str = ""  # the id of the operation that did so
    listed: Claim | None = None  # by which it has its name now; None: it has none
    password: str = ""
    password_set: Rank = (0, 0, "")
    deleted: bool = False
    messages: list[model.Sent] = attrs.Factory(list)
    unread: dict[str, model.Sent] = attrs.Factory(dict)
    unread_from: dict[str, int] = attrs.Factory(dict)
    unread_in_order: bool = True

    @property
    def shown(self) -> str:
        """How the account is called on the wire."""
        return f"~{self.name}" if self.deleted else self.name

    @property
    def is_renamed(self) -> bool:
        """Whether another account has the name that it was registered under."""
        return self.registered is not None and self.name != self.registered.name

    @property
    def claim(self) -> Claim:
        """By which it claims its name; once it is registered."""
        assert self.registered is not None
        return self.confirmed or NEVER, *place(self.registered)


class Accounts(dict[str, Account]):
    """All accounts by id. ``unconfirmed``: ids of those with a name whose registration may not be committed (R19).

    ``former``: ids of deleted ones by their folded names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = Names()
        self.unconfirmed: set[str] = set()
        self.former: dict[str, list[str]] = {}
        self._registrations: dict[tuple[str, str], list[Account]] = {}  # (folded name, retry key) → accounts

    def used_and_deleted(self, name: str, key: str) -> bool:
        """Whether an account that was registered under this name with this retry key was deleted since."""
        return any(one.deleted for one in self._registrations.get((fold(name), key), ()))

    def known(self, account_id: str) -> Account:
        """The account of that id; something is known of it from now on."""
        account = self.get(account_id)
        if account is None:
            account = self[account_id] = Account(account_id)
        return account

    def registered(self, operation: model.Registered) -> None:
        """An account was made."""
        account = self.known(operation.id)
        if account.registered is not None:
            return
        account.registered = operation
        account.name = operation.name
        self.set_password(account, operation.password, rank(operation))
        if account.deleted:
            self.former.setdefault(fold(account.name), []).append(account.id)
        self._alike(account).append(account)
        self._give_names(account)

    def confirmed(self, operation: model.Confirmed) -> None:
        """Its registration was committed, and somebody is told so."""
        account = self.known(operation.account)
        if not account.confirmed or place(operation) < (account.confirmed, account.confirmed_by):
            account.confirmed, account.confirmed_by = operation.at, operation.id
        self._give_names(account)

    def set_password(self, account: Account, password: str, where: Rank) -> None:
        """Of several passwords the one that was set last counts, see model.rank."""
        if where > account.password_set:
            account.password, account.password_set = password, where

    def delete(self, account: Account) -> None:
        """Its owner deleted it."""
        account.deleted = True
        if account.registered is not None:
            self._give_names(account)
            self.former.setdefault(fold(account.registered.name), []).append(account.id)

    def _alike(self, account: Account) -> list[Account]:
        """The registrations that may be copies of one: of the same name, with the same retry key."""
        made = account.registered
        if made is None or not made.key:
            return []
        return self._registrations.setdefault((fold(made.name), made.key), [])

    def _give_names(self, account: Account) -> None:
        """Something about an account is known now: see that it and those alike have the names that they claim."""
        for other in self._alike(account) or [account]:
            claim = other.claim if other.registered and not other.deleted and not self._is_copy(other) else None
            if claim != other.listed:
                self._claim_name(other, claim)

    def _claim_name(self, account: Account, claim: Claim | None) -> None:
        assert account.registered is not None
        name = account.registered.name
        renamed = self.names.claim(name, account.listed, claim)
        account.name, account.listed = name, claim
        self._rename(renamed)
        self.unconfirmed.discard(account.id)
        if claim is not None and not account.confirmed:
            self.unconfirmed.add(account.id)

    def _is_copy(self, account: Account) -> bool:
        """Whether it was registered for the second time only because the first was not answered: nobody knows of it."""
        return not account.confirmed and any(other.claim < account.claim for other in self._alike(account))

    def _rename(self, suffixes: Iterable[tuple[str, str]]) -> None:
        for account_id, suffix in suffixes:
            account = self[account_id]
            if account.registered is not None:
                account.name = account.registered.name + suffix
