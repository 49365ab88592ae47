"""The service: a replica with its disk, its clients and its channel to the others, from start to stop."""

import gc
import os
import time
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from chattwist import errors, model
from chattwist.cluster import Address, Cluster
from chattwist.daemon import allow_descriptors, end_process_with_status
from chattwist.farewell import take_leave
from chattwist.loading import Loaded, load
from chattwist.member import NoChannel
from chattwist.passwords import PasswordThreads
from chattwist.protocol.crowd import Crowd, CrowdPort
from chattwist.protocol.server import Clients
from chattwist.replica import Replica
from chattwist.replication.channel import Channel
from chattwist.replication.keys import make_or_load
from chattwist.store.disk import Disk
from chattwist.store.writer import Writer

OTHER_FILES = 64  # descriptors besides the clients': files, pipes, the reactor's own
TURN = 5.0  # seconds between the compactions of two replicas, see Writer: enough for a million messages
GARBAGE = 20_000, 20, 50  # see gc.set_threshold


def microseconds() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000


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
        """``directory`` is the replica's own, the channel's keys are beside it; nothing is opened before the start."""
        self._cluster, self._address, self._directory, self._salvage = cluster, address, directory, salvage
        self._keys = os.path.join(os.path.dirname(directory), "keys")
        self._reactor = reactor

    def startService(self) -> None:
        """Load what is on disk, then listen; errors.StartError where one of them can't be done."""
        found = self._load()
        self._writer = Writer(found.store, self._reactor, self._cluster.ranked.index(self._address) * TURN)
        self._threads = PasswordThreads(self._reactor, self._cluster.limits.password_queue)
        self._replica = Replica(
            self._cluster, self._address, found.chat, found.operations, found.state, self._writer, self._threads, self._reactor,
            self._failed, model.new_origin, microseconds,
        )  # fmt: skip
        self._clients = Clients(self._replica, self._cluster, self._reactor)
        self._clients.most = self._allow_connections(self._cluster.limits.connections)
        self._listen()
        self._channel = self._open_channel()
        self._writer.start()
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def _load(self) -> Loaded:
        """Load, without looking for garbage, of which there is none.

        From then on it is looked for rarely: at the usual thresholds that takes a fifth of the time of each SEND.
        """
        gc.disable()
        try:
            return load(lambda: Disk(self._directory), self._cluster.names, self._salvage)
        finally:
            gc.freeze()
            gc.set_threshold(*GARBAGE)
            gc.enable()

    def _open_channel(self) -> Channel | NoChannel:
        if len(self._cluster.replicas) == 1:
            return NoChannel()
        keys = make_or_load(self._keys, self._cluster, self._address)
        channel = Channel(self._reactor, self._cluster, self._address, keys, self._replica.member)
        channel.start()
        return channel

    def _begin(self) -> None:
        """Once the reactor runs: not before a SIGTERM ends the process in good order."""
        self._replica.start(self._channel)
        self.log.info(
            "replica {port} ready: {accounts} accounts, {messages} messages",
            port=self._address.port,
            accounts=len(self._replica.chat.names),
            messages=len(self._replica.chat.messages),
        )

    def _allow_connections(self, most: int) -> int:
        """How many clients fit beside the files and the connections that the replica needs itself, at most ``most``."""
        files = allow_descriptors(most + OTHER_FILES)
        allowed = files - OTHER_FILES
        if allowed < 1:
            raise errors.StartError(
                f"ulimit -n is {files}: make it larger than {OTHER_FILES}, by the number of clients"
            )
        if allowed < most:
            self.log.warn(
                "only {allowed} connections of limits.connections {most} will fit: raise the limit of open files (ulimit -n)",
                allowed=allowed, most=most,
            )  # fmt: skip
        return min(allowed, most)

    def _listen(self) -> None:
        host, port = self._address.host, self._address.port
        self._crowd = Crowd(self._reactor)
        self._port = CrowdPort(port, self._clients, 1024, host, self._reactor, self._crowd)
        try:
            self._port.startListening()
        except CannotListenError as error:
            raise errors.StartError(f"cannot listen on port {port} of {host}: {error.socketError}") from None
        self._crowd.start()

    async def _stop(self) -> None:
        await maybeDeferred(self._port.stopListening)
        await take_leave(self._replica, self._clients, self._reactor)
        self._crowd.stop()
        self._threads.stop()
        self._replica.stop()
        if isinstance(self._channel, Channel):
            await self._channel.stop()
        await self._writer.stop()
        self.log.info("replica {port} stopped", port=self._address.port)

    def stopService(self) -> Deferred[None]:
        """Answer what is under way, tell all clients, close the files; fires when that is done."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _failed(self, failure: BaseException) -> None:
        """End the process (R9): what the disk holds is not known any more, and reading it anew is the way to find out."""
        self.log.critical("replica {port} ends: {reason}", port=self._address.port, reason=str(failure))
        end_process_with_status(1)
