"""What a replica finds on its disk when it starts, put right where it is damaged."""

from collections.abc import Callable, Sequence

import attrs
import msgspec
from twisted.logger import Logger

from chattwist import remembered
from chattwist.chat import Chat
from chattwist.errors import DiskFailed, DiskFull, StoreError
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
    take: Callable[[], IDisk],
    replicas: Sequence[str],
    salvage: bool = False,
    opened: Callable[[IDisk, bool], Store] = Store.open,
) -> Loaded:
    """Read what is on the disk that ``take()`` gives; StoreError if that can't be done. ``replicas`` are all names, by rank.

    Where there are others, what damage left whole is kept, and the rest comes from them: without those that have it this
    replica does not go on at once (R10, R16). Alone it raises Damage unless it is told to ``salvage``.
    """
    alone = len(replicas) == 1
    try:
        return _read(opened(take(), False), replicas)
    except Damage as damage:
        if not alone:
            log.error("{damage}; what is whole is kept, the rest comes from the other replicas", damage=damage.what)
            _remember_damage(take(), replicas)  # before it is put right: whatever happens then, it is known
        elif not salvage:
            raise
    return _read(opened(take(), True), replicas)


def _read(store: Store, replicas: Sequence[str]) -> Loaded:
    chat, operations = Chat(), Log()
    try:
        for operation in store.load():
            chat.apply(operation)
            operations.load(operation)
        for message in chat.gone:
            operations.forget_text(message)
        return Loaded(store, chat, operations, _state(store, operations, replicas))
    except StoreError:
        store.close()
        raise


def _state(store: Store, operations: Log, replicas: Sequence[str]) -> State:
    """What was saved; where no view is and operations are, the others may have gone on without this replica."""
    state = remembered.decode(store.state(), replicas)
    if state.view is None and operations.vector:
        return msgspec.structs.replace(state, view=View(NEVER, tuple(range(len(replicas)))))
    return state


def _remember_damage(disk: IDisk, replicas: Sequence[str]) -> None:
    disk.lock()
    try:
        state = msgspec.structs.replace(remembered.decode(states.load(disk), replicas), damaged=True)
        states.save(disk, remembered.encode(state, replicas))
    except (DiskFull, DiskFailed) as error:
        raise StoreError(f"{disk.path}: {error}; nothing was changed") from error
    finally:
        disk.release()
