"""What needs a password: REGISTER, LOGIN, PASSWD, UNREGISTER. Hashing happens in threads, deciding in the commits."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.attempts import Attempts
from chattwist.chat import Account, Chat
from chattwist.commits import Commits
from chattwist.names import fold
from chattwist.online import Online
from chattwist.passwords import PasswordThreads, hash_password, is_right, nobodys_hash
from chattwist.protocol.backend import Committed, Done
from chattwist.protocol.session import Session
from chattwist.requests import ChangePassword, Register, Request, Unregister, check_name_is_free, registered_before


class Logins:
    """Each method ends in ``done(result)``, called once with its result or an errors.ChatError."""

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: Callable[[], int],
        chat: Chat,
        commits: Commits,
        online: Online,
        threads: PasswordThreads,
        cost: int,
    ) -> None:
        """``now`` gives microseconds since 1970; ``cost`` is bcrypt's."""
        self._reactor, self._now, self._chat, self._commits, self._online = reactor, now, chat, commits, online
        self._threads, self._cost = threads, cost
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
                return errors.Internal("internal error, logged; nothing was done; other commands still work")

        Deferred.fromCoroutine(answered()).addCallback(done).addErrback(
            lambda failure: self.log.failure("an answer could not be given", failure=failure)
        )

    async def _register(self, session: Session, name: str, password: str, key: str) -> Account:
        first = registered_before(self._chat, name, key, self._now())
        if first is None:
            check_name_is_free(self._chat, name)
            hashed = await self._threads.run(hash_password, password, self._cost, patient=True)
            committed = (await self._committed(Register(name, hashed, key=key))).operation
            assert isinstance(committed, model.Registered)
            first = committed
            if first.password == hashed:
                account = self._chat.accounts[first.id]
                self._online.enter(session, account, takeover=True)
                return account
        try:  # repeated with its retry key: only for who knows the password
            return await self._login(session, self._chat.accounts[first.id].name, password, takeover=True)
        except errors.WrongPassword:
            raise errors.NameTaken(f"the name {name} is taken; choose another") from None

    async def _login(self, session: Session, name: str, password: str, takeover: bool) -> Account:
        account, hashed = await self._verified(name, password, session.address)
        await self._settled()  # so that what this account read in a session that just ended counts as read
        if self._commits.refusal is not None:
            raise self._commits.refusal
        if account.deleted or account.password != hashed:
            raise errors.WrongPassword("wrong name or password")
        self._online.enter(session, account, takeover)
        return account

    async def _change_password(self, account: Account, address: str, old: str, new: str, key: str) -> Committed:
        _, hashed = await self._verified(account.name, old, address, "wrong password; the old one stays")
        renewed = await self._threads.run(hash_password, new, self._cost)
        return await self._committed(ChangePassword(account.id, hashed, renewed, key=key))

    async def _unregister(self, account: Account, address: str, password: str, key: str) -> Committed:
        _, hashed = await self._verified(account.name, password, address, "wrong password; the account stays")
        return await self._committed(Unregister(account.id, hashed, key=key))

    async def _verified(
        self, name: str, password: str, address: str, wrong: str = "wrong name or password"
    ) -> tuple[Account, str]:
        """The account and the hash that the password was found right for; a wrong name takes as long as a wrong password."""
        wait = self._attempts.wait(fold(name[:100]), address, self._reactor.seconds())
        if wait:
            await deferLater(self._reactor, wait)
        account = self._chat.account(name)
        hashed = (account and account.password) or nobodys_hash(self._cost)
        try:
            right = await self._threads.run(is_right, password, hashed)
        except errors.TryLater:
            self._attempts.not_tried(fold(name[:100]), address)
            raise
        if account is None or not right:
            raise errors.WrongPassword(wrong)
        self._attempts.succeeded(fold(name[:100]), address)
        return account, hashed

    async def _committed(self, request: Request) -> Committed:
        result: Deferred[Committed | errors.ChatError] = Deferred()
        self._commits.submit(request, result.callback)
        committed = await result
        if isinstance(committed, errors.ChatError):
            raise committed
        return committed

    async def _settled(self) -> None:
        settled: Deferred[None] = Deferred()
        self._commits.when_settled(lambda: settled.callback(None))
        await settled
