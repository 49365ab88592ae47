"""What is committed together: requests are decided one after the other against the same chat; pure."""

from collections.abc import Callable
from functools import partial

import attrs
from msgspec.structs import force_setattr

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.protocol.backend import Done
from chattwist.requests import HERE, MOST_MARKED, AnyRequest, Claim, MarkRead, Stamp, Tag


@attrs.define(eq=False)
class Waiting:
    """A request before it is decided; None stands for a barrier.

    ``session`` is the id of the session that makes it, at the replica ``home``.
    """

    request: AnyRequest | None
    done: Done
    session: str = ""
    home: int = -1
    tag: Tag = HERE


@attrs.define(eq=False)
class Batch:
    """What goes into one commit, and who is told of it then.

    ``told``: each with the operation whose result it gets, of this commit or recorded before (R6); None for a barrier.
    ``refused``: each with the error. ``later``: those that have to wait for the next commit.
    """

    operations: list[model.AnyOperation] = attrs.Factory(list)
    tags: list[Tag] = attrs.Factory(list)
    told: list[tuple[Done, model.AnyOperation | None]] = attrs.Factory(list)
    refused: list[tuple[Done, errors.ChatError]] = attrs.Factory(list)
    later: list[Waiting] = attrs.Factory(list)


class Deciding:
    """Makes batches."""

    def __init__(
        self, chat: Chat, stamps: model.Stamps, is_settled: Callable[[str], bool], log_bug: Callable[[], None]
    ) -> None:
        """``is_settled`` tells of the id of an operation that is here whether all others have it, too."""
        self._chat, self._stamps, self._is_settled, self._log_bug = chat, stamps, is_settled, log_bug

    def decide(self, waiting: list[Waiting], now: int) -> Batch:
        """Decide all of these that can share a commit; ``now`` in microseconds since 1970."""
        batch = Batch()
        marks: list[Waiting] = []
        claimed: set[Claim] = set()
        stamp: Stamp = partial(self._stamps.next, now, self._chat.latest)
        for one in waiting:
            request = one.request
            if request is None:
                batch.later.append(one) if batch.later else batch.told.append((one.done, None))
                continue
            claims = request.claims()
            if claims:
                if not claimed.isdisjoint(claims):
                    batch.later.append(one)
                    continue
                claimed.update(claims)
            elif isinstance(request, MarkRead):
                marks.append(one)
                continue
            self._decide(one, request, now, stamp, batch)
        self._mark_read(marks, stamp, batch)
        return batch

    def _decide(self, one: Waiting, request: AnyRequest, now: int, stamp: Stamp, batch: Batch) -> None:
        try:
            operation = request.done_before(self._chat, now)
            if operation is None:
                operation = request.decide(self._chat, stamp)
                if operation.key or isinstance(operation, model.PasswordChanged):
                    assert isinstance(operation, model.Keyed)
                    view = max(operation.view, self._stamps.view)
                    force_setattr(operation, "view", view)  # nobody has seen it yet
                batch.operations.append(operation)
                batch.tags.append(one.tag)
            elif not self._is_settled(operation.id):
                raise errors.OutcomeUnknown("it is recorded, and on its way to all replicas; repeat it in a moment")
            batch.told.append((one.done, operation))
        except errors.ChatError as error:
            batch.refused.append((one.done, error))
        except Exception:
            self._log_bug()
            batch.refused.append(
                (one.done, errors.Internal("internal error, logged; nothing was done; other commands still work"))
            )

    def _mark_read(self, marks: list[Waiting], stamp: Stamp, batch: Batch) -> None:
        """What several sessions have read goes into one operation, of no account in particular: each SEND brings such a mark."""
        ids: list[str] = []
        readers: list[Done] = []
        for one in marks:
            assert isinstance(one.request, MarkRead)
            ids += one.request.messages
            readers.append(one.done)
            if len(ids) >= MOST_MARKED or one is marks[-1]:
                operation = model.Read(*stamp(), "", tuple(ids))
                batch.operations.append(operation)
                batch.tags.append(HERE)
                batch.told += [(done, operation) for done in readers]
                ids, readers = [], []
