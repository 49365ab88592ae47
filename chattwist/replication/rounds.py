"""Committing within a view: the primary's rounds, one at a time, and what the followers do for them; pure.

A round is committed once each member of the view holds it durably (R1). A follower says so, and applies it before it hears
anything else: so what is asked of it after that finds it applied (R20). When a view ends in the middle of one, the next view
that this replica gets into completes it: what it holds durably was collected from it when it promised, and is with all
members before that view serves.
"""

from collections.abc import Sequence

import attrs

from chattwist import model
from chattwist.replication.messages import NEVER, Ack, Append, Epoch, Refusal, Unfit, View
from chattwist.replication.own import Own, Tags
from chattwist.replication.steps import Finish


@attrs.define
class Round:
    """What the primary waits for: the ranks of members that do not hold it yet."""

    view: View
    number: int
    waiting: set[int]
    begun: float


class Rounds:
    """The round under way, if this replica began one, and the last one of the view that it holds."""

    def __init__(self, own: Own, patience: float) -> None:
        """``patience``: seconds until a client is told that the outcome is not known."""
        self._own = own
        self._patience = patience
        self.round: Round | None = None
        self._counted: tuple[Epoch, int] = NEVER, 0
        self._held: tuple[Epoch, int] = NEVER, 0  # the last round of another that is durable here

    def _number(self, view: View) -> int:
        """The last round of the view that was begun or came; they are counted from 1."""
        epoch, number = self._counted
        return number if epoch == view.epoch else 0

    # -- the primary

    def begin(self, operations: Sequence[model.AnyOperation], tags: Tags) -> None:
        """Commit operations; the broadcast goes beside the local write."""
        view = self._own.view
        if view is None or not self._own.leads:
            return self._finish("refused")
        assert self.round is None
        number = self._number(view) + 1
        self._counted = view.epoch, number
        self.round = Round(view, number, set(view.members), self._own.now)
        append = Append(view.epoch, number, list(operations), list(tags))
        for rank in view.members:
            if rank != self._own.rank:
                self._own.send(rank, append)
        alone = len(view.members) == 1
        self._own.store(operations, lambda durable: self._written(durable, alone), tags)

    def _written(self, durable: bool, alone: bool) -> None:
        if durable:
            self._has(self._own.rank)
        else:  # others may hold it: then nobody can say that it is not recorded, and another has to lead
            self._finish("full" if alone else "unknown")

    def acked(self, rank: int, message: Ack) -> None:
        """A follower holds it."""
        round_ = self.round
        if round_ is not None and (message.epoch, message.number) == (round_.view.epoch, round_.number):
            self._has(rank)

    def _has(self, rank: int) -> None:
        if self.round is not None:
            self.round.waiting.discard(rank)
            if not self.round.waiting:
                self._finish("", self.round.view)

    def completed_by_view(self) -> None:
        """A view serves that this replica got into by its promise."""
        view = self._own.view
        if self.round is not None and view is not None and view.epoch > self.round.view.epoch:
            self._finish("", view)

    def give_up(self) -> None:
        """The client has waited for long enough."""
        if self.round is not None and not self._own.leads and self._own.now - self.round.begun > self._patience:
            self._finish("unknown")

    def late(self, silence: float) -> set[int]:
        """Members that the round has been waiting for longer than ``silence`` seconds (R18)."""
        round_ = self.round
        if round_ is None or round_.view != self._own.view or self._own.now - round_.begun <= silence:
            return set()
        return round_.waiting - {self._own.rank}

    def _finish(self, outcome: str, view: View | None = None) -> None:
        self.round = None
        self._own.effects.append(Finish(outcome, len(view.members) if view is not None else 0))

    # -- a follower

    def append(self, rank: int, message: Append) -> None:
        """Hold it durably, then acknowledge and apply it."""
        view = self._own.view
        if view is None or view.epoch != message.epoch or message.number > self._number(view) + 1:
            self._own.send(rank, Refusal(self._own.promised))
            return
        self._counted = view.epoch, max(self._number(view), message.number)

        def stored(durable: bool) -> None:
            whole = durable and self._own.log.holds(message.operations)
            if whole:
                self._held = message.epoch, message.number
                self._own.settle(message.operations)
            answer = Ack(message.epoch, message.number) if whole else Unfit(message.epoch)
            self._own.send(rank, answer)

        # the others need not wait until it is applied: that comes in the same step, before anything else is heard (R20)
        self._own.store(message.operations, stored, message.tags, early=True)

    def acknowledge_again(self) -> None:
        """The connection to the primary is new: what was acknowledged last may have been lost."""
        view = self._own.view
        if view is not None and self._held[0] == view.epoch:
            self._own.send(view.primary, Ack(*self._held))
