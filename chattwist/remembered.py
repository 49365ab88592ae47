"""What a replica remembers of its cluster over a restart, as JSON; pure.

Note [Why names are saved]: a rank is a place in the order of the replicas, so an edited cluster file gives the same rank to
another replica. Saved as it is, a view would then name members that were never in it, and R16 would count them.
"""

from collections.abc import Sequence

import msgspec

from chattwist.cluster import without_case
from chattwist.errors import StoreError
from chattwist.replication.messages import NEVER, Epoch, State, View


class _Saved(State, frozen=True):
    """With all replicas of the cluster file, ``HOST:PORT`` by rank; none in a file of an earlier program."""

    replicas: tuple[str, ...] = ()


def encode(state: State, replicas: Sequence[str]) -> bytes:
    """One JSON object; ``replicas``: what they are called now, by rank."""
    return msgspec.json.encode(_Saved(state.promised, state.view, state.damaged, tuple(replicas)))


def decode(data: bytes, replicas: Sequence[str]) -> State:
    """What was saved, in the ranks of now; nothing for a new replica. Who is not in the cluster any more has a rank beyond.

    StoreError if another version saved it.
    """
    try:
        saved = msgspec.json.decode(data, type=_Saved) if data else _Saved()
    except msgspec.DecodeError as error:
        raise StoreError(f"state.json: not of this version ({error}); start the version that wrote it") from error
    # an earlier program kept their case
    before = tuple(map(without_case, saved.replicas)) or tuple(replicas)

    def rank_now(rank: int) -> int:
        if before == tuple(replicas):
            return rank
        name = before[rank] if rank < len(before) else ""
        return replicas.index(name) if name in replicas else len(replicas) + rank

    def epoch_now(epoch: Epoch) -> Epoch:
        return NEVER if epoch == NEVER else (epoch[0], rank_now(epoch[1]))

    view = saved.view
    if view is not None:
        view = View(epoch_now(view.epoch), tuple(sorted(map(rank_now, view.members))), view.forced)
    return State(epoch_now(saved.promised), view, saved.damaged)
