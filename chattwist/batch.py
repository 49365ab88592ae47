"""What is committed together: requests are decided one after the other against the same chat; pure."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from msgspec.structs import force_setattr

from chattwist import errors, model
from chattwist.chat import Chat
from chattwist.protocol.backend import Done, SendsDone
from chattwist.requests import HERE, MOST_MARKED, AnyRequest, Claim, MarkRead, Sends, Tag, Together


@attrs.define(eq=False)
class Waiting:
    """A request before it is decided; None stands for a barrier. That of Sends is told a list, see Backend.send_all.

    ``session`` is the id of the session that makes it.
    """

    request: AnyRequest | Sends | None
    done: Any
    session: str = ""
    tag: Tag = HERE


@attrs.define(eq=False)
class Batch:
    """What goes into one commit, and who is told of it then.

    ``told``: each with the operation whose result it gets, of this commit or recorded before (R6); None for a barrier.
    ``sends``: likewise, with an operation or error for each message.
    ``refused``: each with the error. ``later``: those that have to wait for the next commit.
    """

    operations: list[model.AnyOperation] = attrs.Factory(list)
    tags: list[Tag] = attrs.Factory(list)
    told: list[tuple[Done, model.AnyOperation | None]] = attrs.Factory(list)
    sends: list[tuple[SendsDone, list[model.Sent | errors.ChatError]]] = attrs.Factory(list)
    refused: list[tuple[Done, errors.ChatError]] = attrs.Factory(list)
    later: list[Waiting] = attrs.Factory(list)


class Deciding:
    """Makes batches."""

    def __init__(
        self, chat: Chat, stamps: model.Stamps, is_settled: Callable[[str], bool], log_bug: Callable[[], None]
    ) -> None:
        """``is_settled`` tells of the id of an operation that is here whether all others have it, too."""
        self._chat, self._stamps, self._is_settled, self._log_bug = chat, stamps, is_settled, log_bug

    def is_shared(self, account: str) -> bool:
        """Whether all others know that account, and that its registration was confirmed, if it was."""
        known = self._chat.accounts.get(account)
        confirmed = known.confirmed_by if known is not None else ""
        return self._is_settled(account) and (not confirmed or self._is_settled(confirmed))

    def decide(self, waiting: list[Waiting], now: int) -> Batch:
        """Decide all of these that can share a commit; ``now`` in microseconds since 1970."""
        batch = Batch()
        marks: list[tuple[tuple[str, ...], Done | None]] = []
        claimed: set[Claim] = set()
        together = Together(partial(self._stamps.next, now, self._chat.latest))
        for one in waiting:
            request = one.request
            if isinstance(request, Sends):
                self._send(one.done, request, together, batch)
                if request.read:
                    marks.append((request.read, None))
                continue
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
                marks.append((request.messages, one.done))
                continue
            self._decide(one, request, now, together, batch)
        self._mark_read(marks, together, batch)
        return batch

    def _send(self, done: SendsDone, request: Sends, together: Together, batch: Batch) -> None:
        made = request.decide(self._chat, together, self._bug)
        operations = [one for one in made if isinstance(one, model.Sent)]
        batch.operations += operations
        batch.tags += [HERE] * len(operations)
        batch.sends.append((done, made))

    def _decide(self, one: Waiting, request: AnyRequest, now: int, together: Together, batch: Batch) -> None:
        try:
            operation = request.done_before(self._chat, now)
            if operation is None:
                operation = request.decide(self._chat, together)
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
            batch.refused.append((one.done, self._bug()))

    def _bug(self) -> errors.ChatError:
        self._log_bug()
        return errors.Internal(errors.BUG)

    def _mark_read(self, marks: list[tuple[tuple[str, ...], Done | None]], together: Together, batch: Batch) -> None:
        """What several sessions have read goes into one operation, of no account in particular: each SEND brings such a mark."""
        ids: list[str] = []
        readers: list[Done] = []
        for number, (some, done) in enumerate(marks, 1):
            ids += some
            if done is not None:
                readers.append(done)
            if len(ids) >= MOST_MARKED or number == len(marks):
                operation = model.Read(*together.stamp(), "", tuple(ids))
                batch.operations.append(operation)
                batch.tags.append(HERE)
                batch.told += [(done, operation) for done in readers]
                ids, readers = [], []
