"""What a replica finds on its disk when it starts, put right where it is damaged."""

from collections.abc import Callable

import attrs
import msgspec
from twisted.logger import Logger

from chattwist.chat import Chat
from chattwist.errors import DiskFailed, DiskFull, StoreError
from chattwist.member import state_of
from chattwist.replication.log import Log
from chattwist.replication.messages import NEVER, State, View
from chattwist.store import state as states
from chattwist.store.disk import IDisk
from chattwist.store.history import Damage
from chattwist.store.store import Store

log = Logger()


@attrs.frozen
class Loaded:
    """The store, ready to be written to, and what is in it: the chat, all operations, and what the replica promised."""

    store: Store
    chat: Chat
    operations: Log
    state: State


def load(
    take: Callable[[], IDisk], size: int, salvage: bool = False, opened: Callable[[IDisk, bool], Store] = Store.open
) -> Loaded:
    """Read what is on the disk that ``take()`` gives; StoreError if that can't be done. The cluster has ``size`` replicas.

    Where there are others, what damage left whole is kept, and the rest comes from them: without those that have it this
    replica does not go on at once (R10, R16). Alone it raises Damage unless it is told to ``salvage``.
    """
    try:
        return _read(opened(take(), False), size)
    except Damage as damage:
        if size == 1 and not salvage:
            raise
        if size > 1:
            log.error("{damage}; what is whole is kept, the rest comes from the other replicas", damage=damage.what)
    if size > 1:
        _remember_damage(
            take()
        )  # before it is put right: whatever happens then, this replica knows that it lost something
    return _read(opened(take(), True), size)


def _read(store: Store, size: int) -> Loaded:
    chat, operations = Chat(), Log()
    try:
        for operation in store.load():
            chat.apply(operation)
            operations.load(operation)
        for message in chat.gone:
            operations.forget_text(message)
        return Loaded(store, chat, operations, _state(store, operations, size))
    except StoreError:
        store.close()
        raise


def _state(store: Store, operations: Log, size: int) -> State:
    """What was saved; where no view is and operations are, the others may have gone on without this replica."""
    state = state_of(store.state())
    if state.view is None and operations.vector:
        return msgspec.structs.replace(state, view=View(NEVER, tuple(range(size))))
    return state


def _remember_damage(disk: IDisk) -> None:
    disk.lock()
    try:
        state = msgspec.structs.replace(state_of(states.load(disk)), damaged=True)
        states.save(disk, msgspec.json.encode(state))
    except (DiskFull, DiskFailed) as error:
        raise StoreError(f"{disk.path}: {error}; nothing was changed") from error
    finally:
        disk.release()
