"""Who may lead: the rules that need no state; pure."""

from collections.abc import Mapping
from typing import Protocol

from chattwist.replication.messages import View


class Known(Protocol):
    """What a replica says of itself, in a heartbeat or a promise."""

    @property
    def view(self) -> View | None:
        """Its last view."""

    @property
    def current(self) -> bool:
        """Whether it has been in it ever since."""


def newest(known: Mapping[int, Known]) -> View | None:
    """The newest of their last views."""
    views = [one.view for one in known.values() if one.view is not None]
    return max(views, key=lambda view: view.epoch, default=None)


def holds_all(known: Mapping[int, Known]) -> bool:
    """Whether these replicas together hold all that was acknowledged in the newest view that they know of (R16).

    They do if one of them was in it without a break, or all of its members are here.
    """
    view = newest(known)
    if view is None:
        return False
    if any(one.current and one.view == view for one in known.values()):
        return True
    return all(member in known for member in view.members)


def is_majority(count: int, size: int) -> bool:
    """Whether ``count`` of ``size`` replicas are more than half."""
    return 2 * count > size


def majority_remembers(known: Mapping[int, Known], size: int) -> bool:
    """Whether a majority has been in views: then, in majority mode, one of them was in the last."""
    return is_majority(sum(one.view is not None for one in known.values()), size)
