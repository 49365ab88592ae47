"""One replica, as its clients' sessions see it: the chat, who is logged in, and the cluster behind it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.accounts import Account
from chattwist.chat import Chat
from chattwist.cluster import Address, Cluster
from chattwist.commits import Commits
from chattwist.delivery import DELETED, Delivery
from chattwist.errand import What
from chattwist.grants import Grants
from chattwist.logins import Logins
from chattwist.marks import ReadMarks
from chattwist.member import Channel, Member, Writer
from chattwist.online import Online
from chattwist.passwords import PasswordThreads
from chattwist.protocol.backend import Committed, Done, ReplicaStatus, SendsDone, Status
from chattwist.protocol.session import Session
from chattwist.replication import messages
from chattwist.replication.core import Core
from chattwist.replication.log import Log
from chattwist.replication.messages import AnyMessage, Login, State, View
from chattwist.requests import AnyRequest, OwnAccount, Request, Sends, Tag, check_name_is_free, registered_before
from chattwist.roster import Roster
from chattwist.router import Router
from chattwist.sessions import Sessions


class Replica:
    """The Backend of all sessions here, and the Side of this replica's Member."""

    log = Logger()

    def __init__(
        self, cluster: Cluster, address: Address, chat: Chat, log: Log, state: State, writer: Writer, threads: PasswordThreads,
        reactor: Any, failed: Callable[[BaseException], None], origin: Callable[[], str], now: Callable[[], int],
    ) -> None:  # fmt: skip
        """``chat``, ``log`` and ``state`` hold what ``writer`` wrote; ``origin`` draws one; ``now``: microseconds since 1970."""
        self.chat = chat
        self.name = str(address.port)
        self.mailbox = cluster.limits.mailbox
        self._cluster, self._now, self._failed = cluster, now, failed
        self._rank = cluster.ranked.index(address)
        self._online = online = Online()
        self._roster = roster = Roster(self._name_of)
        self.core = Core(
            self._rank, len(cluster.replicas), majority=cluster.mode == "majority", timings=cluster.timings, log=log, state=state,
            now=reactor.seconds(), wall=now, logins=lambda: online.logins, merge=roster.merged,
            heard=lambda: roster.elsewhere(self._rank),
        )  # fmt: skip
        self.member = Member(self.core, self, writer, reactor, self._disk_failed, cluster.names)
        self._stamps = stamps = model.Stamps(origin)
        self._commits = Commits(reactor, chat, stamps, self._clock, self, self.result, self._results, self._is_settled)
        self._grants = Grants(self._rank, chat, online, roster, self.member.send)
        self._router = Router(
            self._rank, reactor.seconds, cluster.timings, log, self._commits, self._grants, self,
            crc32(stamps.origin.encode()) << 20,
        )  # fmt: skip
        self._role = ""
        self._primary: int | None = None  # the port of the last one
        self._sessions = Sessions(self._rank, chat, online, roster, self._router, stamps.origin, self.member.send)
        later: Callable[[Callable[[], None]], object] = partial(reactor.callLater, 0)
        self._delivery = Delivery(chat, log, online, roster, later, self.log_bug)
        self._marks = ReadMarks(self.submit, later, self.log_bug)
        self._seconds = reactor.seconds
        self._alone_since: float | None = reactor.seconds()  # since when it is in no view; None once that is told
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor
        logins = Logins(
            reactor, now, chat, self.submit, self._sessions.enter, threads, cluster.limits.bcrypt_cost, self._router,
        )  # fmt: skip
        self.register, self.login = logins.register, logins.login  # see Backend
        self.change_password, self._unregister = logins.change_password, logins.unregister

    def _name_of(self, account: str) -> str | None:
        known = self.chat.accounts.known(account)
        return None if known.deleted else known.name

    def start(self, channel: Channel) -> None:
        """Look for the others through ``channel``, which tells ``member`` what it hears."""
        self.member.start(channel)
        self._ticks.start(self._cluster.timings.heartbeat, now=False)

    def stop(self) -> None:
        """Say nothing more to the others."""
        self.member.stop()
        if self._ticks.running:
            self._ticks.stop()

    # -- the Backend

    def submit(self, request: AnyRequest, done: Done) -> None:
        """See Backend."""
        session = self._online.id(request.account) if isinstance(request, OwnAccount) else ""
        self._router.submit(request, session, done)

    @property
    def leads(self) -> bool:
        """See Backend."""
        return self._role == "primary"

    def send_all(self, sends: Sends, done: SendsDone) -> None:
        """See Backend."""
        self._router.send_all(sends, self._online.id(sends.account), done)

    def mark_read(self, ids: tuple[str, ...], done: Done) -> None:
        """See Backend."""
        self._marks.add(ids, done)

    def may_register(self, name: str, key: str) -> None:
        """See Backend."""
        if registered_before(self.chat, name, key, self._now()) is None:
            check_name_is_free(self.chat, name)

    def done_before(self, owner: str, key: str) -> Committed | None:
        """See Backend."""
        operation = self.chat.keys.done_before(owner, key, self._now())
        return None if operation is None else self.result(operation, 0)

    def unregister(self, account: Account, address: str, password: str, key: str, done: Done) -> None:
        """See Backend."""

        def ended(result: Committed | errors.ChatError) -> None:
            self._delivery.deleting.discard(account.id)
            done(result)
            if account.deleted:  # if it was not told so
                self._online.end(account.id, DELETED)

        self._delivery.deleting.add(account.id)
        self._unregister(account, address, password, key, ended)

    def logout(self, session: Session, account: Account, done: Callable[[], None]) -> None:
        """See Backend."""
        self._marks.flush()
        self._sessions.left(session, account, done)

    def online(self, after: str, limit: int) -> tuple[Sequence[Account], bool]:
        """See Backend."""
        found, more = self._roster.page(after, limit)
        return [self.chat.accounts[account] for account in found], more

    def status(self) -> Status:
        """See Backend."""
        ranked = self._cluster.ranked
        replicas = [ReplicaStatus(ranked[rank].port, *self.core.seen(rank)) for rank in range(len(ranked))]
        view, mode = self.core.view, self._cluster.mode
        if view is None:
            return Status(replicas, 0, 0, mode)
        return Status(replicas, ranked[view.primary].port, view.epoch[0], mode, view.forced)

    def log_bug(self) -> None:
        """See Backend."""
        self.log.failure("a command failed")

    # -- what surrounds the commits

    def _clock(self) -> int:
        return self.core.clamped(self._now())

    def commit(
        self,
        operations: Sequence[model.AnyOperation],
        tags: Sequence[Tag],
        done: Callable[[BaseException | None, int], None],
    ) -> None:
        """See Journal. A message is pushed once it is committed, together with the replies to the same client."""

        def ended(failure: BaseException | None, replicas: int) -> None:
            self._delivery.push()
            done(failure, replicas)

        self.member.commit(operations, tags, ended)

    # -- the Outside of the router

    def send(self, rank: int, message: AnyMessage) -> None:
        """See Outside."""
        self.member.send(rank, message)

    def relay(self) -> int | None:
        """See Outside."""
        return self.core.relay()

    def is_here(self, account: str, session: str) -> bool:
        """See Outside."""
        return self._sessions.is_here(account, session)

    def over(self, account: str, session: str) -> None:
        """See Outside."""
        self._sessions.over(account, session)

    def unfit(self) -> errors.ChatError | None:
        """See Outside."""
        if self.core.fit:
            return None
        return errors.NoSpace(
            "not recorded: this replica's disk is full, or does not answer; free some space there, or use another replica"
        )

    def result(self, operation: model.AnyOperation, replicas: int) -> Committed:
        """See Outside."""
        pushed = isinstance(operation, model.Sent) and (
            self._roster.get(operation.recipient) is not None or not self.chat.is_unread(operation)
        )
        return Committed(operation, replicas, pushed)

    def is_begun(self, what: What) -> bool:
        """See Outside."""
        return isinstance(what, Request) and bool(what.key) and what.done_before(self.chat, self._clock()) is not None

    def _results(
        self, made: Sequence[model.Sent | errors.ChatError], replicas: int
    ) -> list[Committed | errors.ChatError]:
        online, is_unread = self._roster.logins, self.chat.is_unread
        return [
            Committed(one, replicas, one.recipient in online or not is_unread(one))
            if isinstance(one, model.Sent)
            else one
            for one in made
        ]

    def _is_settled(self, operation: str) -> bool:
        settled = self.core.is_settled(operation)
        if not settled:
            self.core.settle()
        return settled

    # -- the Side of the member

    def applied(self, operations: Sequence[model.AnyOperation], tags: Sequence[Tag]) -> None:
        """See Side."""
        for operation in operations:
            try:
                self._delivery.take(operation)
            except Exception:  # the others, and all later ones, still have to be taken in
                self.log.failure("an operation that is durable could not be taken in")
        if self._role != "primary":
            self._delivery.push()  # before the router tells of them: events stand before the replies
        self._router.applied(operations, tags)

    def role(self, role: str, view: View | None) -> None:
        """See Side."""
        self._role = role
        self._stamps.view = view.epoch[0] if view is not None else 0
        self._delivery.push()
        if view is not None:
            self._tell_primary(view)
        self._alone_since = None if view is not None else self._alone_since or self._seconds()
        if role:
            self._sessions.note_ended()
        self._router.role(role, view)
        self._sessions.tell_again()

    def _tick(self) -> None:
        try:
            self._router.tick()
            self._sessions.tell_again()
            for rank in self.core.gone():  # a member's sessions end with its view (R21)
                self._grants.all_of(rank, [])
            self.chat.keys.forget(self._clock())
            self.chat.tidy()
            self._tell_if_alone()
        except Exception:  # else the loop would end for ever
            self.log_bug()

    def _tell_if_alone(self) -> None:
        since = self._alone_since
        if since is not None and self._seconds() - since > 2 * self._cluster.timings.silence:
            self._alone_since = None
            self.log.warn("no primary is in reach: nothing can be recorded until one is")

    def connected(self, rank: int) -> None:
        """See Side."""
        view = self._router.view
        if view is not None and view.primary == rank:
            self._sessions.tell_all(rank)
        self._router.connected(rank)

    def _tell_primary(self, view: View) -> None:
        ports = [address.port for address in self._cluster.ranked]
        primary = ports[view.primary]
        members = ", ".join(str(ports[rank]) for rank in view.members)
        self.log.info(
            "view {view}: {primary} is primary of {members}", view=view.epoch[0], primary=primary, members=members
        )
        if self._primary not in (None, primary):
            for session in list(self._online.sessions.values()):
                session.event(f"NOTICE replica {primary} is primary now")
        self._primary = primary

    def entered(self, view: View, logins: Sequence[Login], over: Sequence[str]) -> None:
        """See Side."""
        self._sessions.view_begins(view, logins, over)

    def deliver(self, rank: int, message: AnyMessage) -> None:
        """See Side."""
        match message:
            case messages.Bundle():
                for one in message.messages:
                    try:
                        self._router.deliver(rank, one)
                    except Exception:  # the others in it are not to be lost
                        self.log.failure("what another replica passed on could not be taken")
            case messages.End():
                self._marks.flush()
                self._sessions.asked_to_end(rank, message)
            case messages.Logins():
                self._sessions.changed(message)
            case _:
                self._router.deliver(rank, message)

    # -- the end

    def _disk_failed(self, failure: BaseException) -> None:
        try:
            self.refuse(errors.NoSpace("not recorded: this replica failed and it is stopping; connect again soon"))
        finally:
            self._failed(failure)

    def refuse(self, error: errors.ChatError) -> None:
        """Commit nothing from now on."""
        self._router.refuse(error)

    def retire(self) -> bool:
        """If this replica is primary and there are others, let one of them be; whether that is still to come."""
        view = self._router.view
        if self._role == "primary" and view is not None and len(view.members) > 1:
            self.core.retire()
            return True
        return self.core.own.retired and self.core.view is None

    def settled(self) -> Deferred[None]:
        """Fires once nothing of what was submitted is on its way."""
        done: Deferred[None] = Deferred()
        self._router.when_settled(lambda: done.callback(None))
        return done
