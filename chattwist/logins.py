"""What needs a password: REGISTER, LOGIN, PASSWD, UNREGISTER. Hashing happens in threads, deciding in the commits."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.attempts import Attempts
from chattwist.chat import Chat
from chattwist.names import fold
from chattwist.passwords import PasswordThreads, hash_password, is_right, nobodys_hash
from chattwist.protocol.backend import Committed, Done
from chattwist.protocol.session import Session
from chattwist.requests import (
    AnyRequest,
    ChangePassword,
    Confirm,
    Register,
    Unregister,
    check_name_is_free,
    registered_before,
)

HALF_REGISTERED = "the account may have been made, but nobody could confirm it: LOGIN to find out, else REGISTER again"
SOON = 0.05  # seconds until it is looked again whether this replica is up to date


class Prospects(Protocol):
    """Whether anything can be committed: the router."""

    def outlook(self) -> bool | None:
        """Whether this replica has all that is committed: None where it may have it soon."""

    def no_primary(self) -> errors.ChatError:
        """Why nothing can be committed here."""


class Logins:
    """Each method ends in ``done(result)``, called once with its result or an errors.ChatError."""

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: Callable[[], int],
        chat: Chat,
        submit: Callable[[AnyRequest, Done], None],
        enter: Callable[[Account, str, bool, Session, Done], None],
        threads: PasswordThreads,
        cost: int,
        prospects: Prospects,
    ) -> None:
        """``now`` gives microseconds since 1970; ``cost`` is bcrypt's.

        ``submit(request, done)`` has a request committed; ``enter(account, hash, takeover, session, done)`` has the session
        logged in whose password was found to fit the hash, and gives its Login.
        """
        self._reactor, self._now, self._chat, self._submit, self._enter = reactor, now, chat, submit, enter
        self._threads, self._cost, self._prospects = threads, cost, prospects
        self._attempts = Attempts()

    def register(self, session: Session, name: str, password: str, key: str, done: Done) -> None:
        """Make the account and log the session in; ``done(Account)``."""
        self._run(self._register(session, name, password, key), done)

    def login(self, session: Session, name: str, password: str, takeover: bool, done: Done) -> None:
        """Log the session in; ``done(Account)``."""
        self._run(self._login(session, name, password, takeover), done)

    def change_password(self, account: Account, address: str, old: str, new: str, key: str, done: Done) -> None:
        """Replace the password; ``done(Committed)``."""
        self._run(self._change_password(account, address, old, new, key), done)

    def unregister(self, account: Account, address: str, password: str, key: str, done: Done) -> None:
        """Delete the account; ``done(Committed)``."""
        self._run(self._unregister(account, address, password, key), done)

    def _run(self, work: Coroutine[Deferred[Any], Any, Any], done: Done) -> None:
        async def answered() -> object:
            try:
                return await work
            except errors.ChatError as error:
                return error
            except Exception:
                self.log.failure("a command with a password failed")
                return errors.Internal(errors.BUG)

        Deferred.fromCoroutine(answered()).addCallback(done).addErrback(
            lambda failure: self.log.failure("an answer could not be given", failure=failure)
        )

    async def _register(self, session: Session, name: str, password: str, key: str) -> Account:
        first = registered_before(self._chat, name, key, self._now())
        if first is None:
            check_name_is_free(self._chat, name)
            hashed = await self._threads.run(hash_password, password, self._cost, patient=True, source=session.address)
            _check_open(session)  # else the name would be gone, and nobody's
            committed = (await self._committed(Register(name, hashed, key=key))).operation
            assert isinstance(committed, model.Registered)
            first = committed
            if first.password == hashed:
                await self._confirm(first, session)
                try:
                    return await self._entered(self._chat.accounts[first.id], hashed, True, session)
                except (errors.NoPrimary, errors.NoSpace):
                    raise errors.OutcomeUnknown("the account was made, but it could not be logged in; LOGIN") from None
        try:  # repeated with its retry key: only for who knows the password
            return await self._login(session, self._chat.accounts[first.id].name, password, takeover=True)
        except errors.WrongPassword:
            raise errors.NameTaken(f"the name {name} is taken; choose another") from None
        except (errors.NoPrimary, errors.NoSpace):  # something is recorded, though
            raise errors.OutcomeUnknown(HALF_REGISTERED) from None

    async def _confirm(self, registered: model.Registered, session: Session) -> None:
        """A registration counts once all replicas know that it was committed (R19).

        It is for the replica of the client to ask for that. So what nobody is told of is never confirmed: what a lost
        primary made of this request before, or what is done only when the client is gone.
        """
        _check_open(session)
        try:
            await self._committed(Confirm(registered.id))
        except errors.NameTaken:
            raise
        except errors.ChatError:
            raise errors.OutcomeUnknown(HALF_REGISTERED) from None

    async def _login(self, session: Session, name: str, password: str, takeover: bool) -> Account:
        await self._current()
        accounts = [self._chat.accounts[account] for account in self._chat.names.claimants(name)]
        account, hashed = await self._verified(accounts, name, password, session.address)
        return await self._entered(account, hashed, takeover, session)

    async def _current(self) -> None:
        """Wait until this replica has all accounts and passwords, or it is clear that it will not have them soon."""
        while (outlook := self._prospects.outlook()) is None:
            await deferLater(self._reactor, SOON)
        if not outlook:
            raise self._prospects.no_primary()

    async def _change_password(self, account: Account, address: str, old: str, new: str, key: str) -> Committed:
        await self._current()
        _, hashed = await self._verified(
            [account], account.name, old, address, "wrong password, the old one stays; try again"
        )
        renewed = await self._threads.run(hash_password, new, self._cost, source=address)
        return await self._committed(ChangePassword(account.id, hashed, renewed, key=key))

    async def _unregister(self, account: Account, address: str, password: str, key: str) -> Committed:
        await self._current()
        _, hashed = await self._verified(
            [account], account.name, password, address, "wrong password, the account stays; try again"
        )
        return await self._committed(Unregister(account.id, hashed, key=key))

    async def _verified(
        self, accounts: list[Account], name: str, password: str, address: str, wrong: str = errors.WRONG
    ) -> tuple[Account, str]:
        """The account and the hash that the password is right for; with no account it takes as long as a wrong password."""
        tried = fold(name[:100]), address  # no name is longer: this bounds what is remembered of each try
        if wait := self._attempts.wait(*tried, self._reactor.seconds()):
            await deferLater(self._reactor, wait)
        for account in accounts:  # several only where they were registered on two sides of a cut
            hashed = account.password
            if await self._is_right(tried, password, hashed):
                self._attempts.succeeded(*tried)
                return account, hashed
        if not accounts:
            await self._is_right(tried, password, "")
        raise errors.WrongPassword(wrong)

    async def _is_right(self, tried: tuple[str, str], password: str, hashed: str) -> bool:
        try:
            return await self._threads.run(is_right, password, hashed or nobodys_hash(self._cost), source=tried[1])
        except errors.TryLater:
            self._attempts.not_tried(*tried)
            raise

    async def _committed(self, request: AnyRequest) -> Committed:
        result: Committed = await _result(lambda done: self._submit(request, done))
        return result

    async def _entered(self, account: Account, hashed: str, takeover: bool, session: Session) -> Account:
        _check_open(session)
        await _result(lambda done: self._enter(account, hashed, takeover, session, done))
        return account


def _check_open(session: Session) -> None:
    if session.closed:
        raise errors.TryLater("the connection ended before it was done")


async def _result(begin: Callable[[Done], None]) -> Any:
    """Wait for what ``begin`` passes to its callback; an errors.ChatError is raised."""
    waiting: Deferred[Any] = Deferred()
    begin(waiting.callback)
    result = await waiting
    if isinstance(result, errors.ChatError):
        raise result
    return result
