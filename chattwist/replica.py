"""One replica: what its clients' sessions see of it, and the service that joins it to its disk and its port."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.chat import Account, Chat
from chattwist.cluster import Address, Cluster
from chattwist.commits import Commits, Journal
from chattwist.daemon import allow_descriptors, end_process_with_status
from chattwist.logins import Logins
from chattwist.online import Online
from chattwist.passwords import PasswordThreads
from chattwist.protocol.backend import Committed, Done, ReplicaStatus, Status
from chattwist.protocol.server import Clients
from chattwist.protocol.session import Session
from chattwist.requests import Request, check_name_is_free, registered_before
from chattwist.store.disk import Disk
from chattwist.store.store import Store
from chattwist.store.writer import Writer

OTHER_FILES = 64  # descriptors besides the clients': files, pipes, the reactor's own


def microseconds() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


class Replica:
    """The chat, who is logged in, and what is on its way to the disk: the Backend of all sessions."""

    log = Logger()

    def __init__(
        self,
        cluster: Cluster,
        address: Address,
        chat: Chat,
        journal: Journal,
        threads: PasswordThreads,
        reactor: Any,
        disk_failed: Callable[[BaseException], None],
        origin: str,
        now: Callable[[], int] = microseconds,
    ) -> None:
        """``chat`` holds what ``journal`` does; ``origin`` is new at each start; ``now`` gives microseconds since 1970."""
        self.chat = chat
        self.name = str(address.port)
        self.mailbox = cluster.limits.mailbox
        self._cluster, self._address, self._reactor, self._now = cluster, address, reactor, now
        self._online = Online()
        self._commits = Commits(
            reactor, chat, model.Stamps(origin), now, journal, took=self._take, again=self._again, failed=disk_failed
        )
        if cluster.mode == "majority" and 2 * self._disks() <= len(cluster.replicas):
            self.refuse(
                errors.NoPrimary("no majority of the replicas is here, so nothing was recorded; try again later")
            )
        logins = Logins(reactor, now, chat, self._commits, self._online, threads, cluster.limits.bcrypt_cost)
        self.register, self.login = logins.register, logins.login
        self.change_password, self.unregister = logins.change_password, logins.unregister
        self.logout = self._online.leave

    def submit(self, request: Request, done: Done) -> None:
        """See Backend."""
        self._commits.submit(request, done)

    def may_register(self, name: str, key: str) -> None:
        """See Backend."""
        if registered_before(self.chat, name, key, self._now()) is None:
            check_name_is_free(self.chat, name)

    def done_before(self, owner: str, key: str) -> Committed | None:
        """See Backend."""
        operation = self.chat.done_before(owner, key, self._now())
        return None if operation is None else self._again(operation)

    def online(self, after: str, limit: int) -> tuple[Sequence[Account], bool]:
        """See Backend."""
        found, more = self._online.page(after, limit)
        return [self.chat.accounts[account] for account in found], more

    def status(self) -> Status:
        """See Backend."""
        here = self._address
        replicas = [
            ReplicaStatus(other.port, "primary", "live") if other == here else ReplicaStatus(other.port, "-", "down")
            for other in self._cluster.replicas
        ]
        return Status(replicas, here.port, 1, self._cluster.mode)

    def log_bug(self) -> None:
        """See Backend."""
        self.log.failure("a command failed")

    def _again(self, operation: model.AnyOperation) -> Committed:
        pushed = isinstance(operation, model.Sent) and (
            operation.recipient in self._online.sessions or not self.chat.is_unread(operation)
        )
        return Committed(operation, self._disks(), pushed)

    def _disks(self) -> int:
        return 1

    def _take(self, operation: model.AnyOperation) -> Committed:
        """Apply an operation that is durable, and tell the sessions it concerns."""
        shown = self._sessions_that_saw(operation) if isinstance(operation, model.Deleted) else ()
        self.chat.apply(operation)
        if isinstance(operation, model.Unregistered):
            self._reactor.callLater(0, self._online.end, operation.account, "this account was deleted")
        for session, message_id in shown:
            session.event(f"DELETED {message_id}")
        pushed = isinstance(operation, model.Sent) and self._push(operation)
        return Committed(operation, self._disks(), pushed)

    def _push(self, message: model.Sent) -> bool:
        session = self._online.sessions.get(message.recipient)
        if session is not None:
            session.push(message)
        return session is not None

    def _sessions_that_saw(self, operation: model.Deleted) -> list[tuple[Session, str]]:
        """The other parties' sessions, each with a message that was shown there."""
        found = []
        for message in filter(None, map(self.chat.messages.get, operation.messages)):
            for account in {message.sender, message.recipient} - {operation.account}:
                session = self._online.sessions.get(account)
                if session is not None and session.was_shown(message.id):
                    found.append((session, message.id))
        return found

    def refuse(self, error: errors.ChatError) -> None:
        """Commit nothing from now on."""
        self._commits.refusal = error

    def settled(self) -> Deferred[None]:
        """Fires once nothing is on its way to the disk."""
        done: Deferred[None] = Deferred()
        self._commits.when_settled(lambda: done.callback(None))
        return done


class ReplicaService(Service):
    """A replica with its disk and its clients, from start to stop."""

    log = Logger()

    def __init__(
        self,
        cluster: Cluster,
        address: Address,
        directory: str,
        *,
        salvage: bool = False,
        reactor: Any = default_reactor,
    ) -> None:
        """``directory`` is the replica's own; nothing is opened before the start."""
        self._cluster, self._address, self._directory, self._salvage = cluster, address, directory, salvage
        self._reactor = reactor

    def startService(self) -> None:
        """Load what is on disk, then listen; errors.StartError where one of them can't be done."""
        store = Store.open(Disk(self._directory), salvage=self._salvage)
        chat = load(store)
        self._writer = Writer(store, self._reactor)
        self._threads = PasswordThreads(self._reactor, self._cluster.limits.password_queue)
        self._replica = Replica(
            self._cluster,
            self._address,
            chat,
            self._writer,
            self._threads,
            self._reactor,
            self._disk_failed,
            model.new_origin(),
        )
        self._clients = Clients(self._replica, self._cluster, self._reactor)
        self._allow_connections(self._cluster.limits.connections)
        self._listen()
        self._writer.start()
        super().startService()
        self._reactor.callWhenRunning(self._say_ready)

    def _say_ready(self) -> None:
        """Once the reactor runs: not before a SIGTERM ends the process in good order."""
        self.log.info(
            "replica {port} ready: {accounts} accounts, {messages} messages",
            port=self._address.port,
            accounts=len(self._replica.chat.names),
            messages=len(self._replica.chat.messages),
        )

    def _allow_connections(self, most: int) -> None:
        allowed = allow_descriptors(most + OTHER_FILES) - OTHER_FILES
        if allowed < most:
            self.log.warn(
                "only {allowed} connections of limits.connections {most} will fit: raise the limit of open files (ulimit -n)",
                allowed=allowed, most=most,
            )  # fmt: skip

    def _listen(self) -> None:
        host, port = self._address.host, self._address.port
        try:
            self._port = self._reactor.listenTCP(port, self._clients, backlog=1024, interface=host)
        except CannotListenError as error:
            raise errors.StartError(f"cannot listen on port {port} of {host}: {error.socketError}") from None

    async def _stop(self) -> None:
        await maybeDeferred(self._port.stopListening)
        self._clients.stop_taking_lines()
        await self._replica.settled()
        self._replica.refuse(
            errors.NoPrimary("this replica is stopping; connect again soon")
        )  # a hash may be under way
        await self._clients.say_goodbye("this replica is stopping; connect again soon, or to another replica")
        self._threads.stop()
        await self._writer.stop()
        self.log.info("replica {port} stopped", port=self._address.port)

    def stopService(self) -> Deferred[None]:
        """Answer what is under way, tell all clients, close the files; fires when that is done."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _disk_failed(self, failure: BaseException) -> None:
        """End the process (R9): what the disk holds is not known any more, and reading it anew is the way to find out."""
        self.log.critical(
            "replica {port} ends, its disk failed: {reason}", port=self._address.port, reason=str(failure)
        )
        end_process_with_status(1)


def load(store: Store) -> Chat:
    """The chat that a store holds; garbage collection is off meanwhile: there is none, and it would look for it all the time."""
    chat = Chat()
    gc.disable()
    try:
        for operation in store.load():
            chat.apply(operation)
    finally:
        gc.freeze()
        gc.enable()
    return chat
