"""What is promised while no more goes wrong than there is already: people are served, and nobody leads too soon."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.attempts import Attempt
from tests.simulation.wire import Reply

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.truth import Served
    from tests.simulation.user import User
    from tests.simulation.world import World

STUCK = 1000.0  # times as slow: a disk that answers nothing, while one that is only slow is waited for now and then
SOONER = 0.95  # by how much clocks may run faster


def look(world: "World") -> None:
    """Nobody waits for long at a replica that a primary can be reached from, whatever is the matter with another."""
    for user in world.users:
        if not _waits_for_all(world, user) or user.wire is None or not user.wire.alive:
            continue
        waited = world.timeline.now - user.waits_since
        if waited > world.cluster.timings.patience and _is_served(world, user.at, user.waits_since):
            world.truth.violated(
                "who reaches a primary is answered soon", f"{user.asked} at {user.at} for {waited:.2f} s"
            )
            user.waits_since = world.timeline.now


def _waits_for_all(world: "World", user: "User") -> bool:
    """Whether it waits for what takes as long as all replicas do, and not for its turn to try a password that may be wrong."""
    words = user.asked.split()
    if not user.waits_for_reply or not words:
        return False
    if words[0] in ("LOGIN", "TAKEOVER"):
        return _is_right(world, user, words[1])
    return not {"SEND", "DELETE", "READ"}.isdisjoint(words)


def _is_right(world: "World", user: "User", name: str) -> bool:
    """Whether there is only one password that it can be, of an account that is known where it logs in."""
    machine = world.machines[user.at]
    account = machine.replica.chat.account(name) if machine.runs else None
    return account is not None and len(user.mailbox.passwords) == 1 and account.password.endswith(user.mailbox.password)


def check_refused(world: "World", attempt: Attempt, reply: Reply) -> None:
    """Nobody is refused for want of a primary at a replica that one can be reached from, through another one if need be."""
    sent, sitting = attempt.tries[-1]
    unknown = reply.code == 454 and len(attempt.tries) == 1
    if sitting is not None and (reply.code == 451 or unknown) and _is_served(world, sitting.rank, sent):
        world.truth.violated(
            "who reaches a primary is not refused", f"{attempt.line} at {sitting.rank}: {reply.code} {reply.text}"
        )


def _is_served(world: "World", rank: int, begun: float) -> bool:
    """Whether what was begun then at a replica has to be done soon: all have had time to find out who is lost."""
    return begun - served_since(world, world.machines[rank]) > 4 * world.cluster.timings.silence


def served_since(world: "World", machine: "Machine") -> float:
    """Since when a replica should serve, for nothing more went wrong, and it reaches a primary that serves."""
    if not is_whole(machine) or not is_steady(world):
        return world.timeline.now
    leading = [since for rank, (_, since) in world.truth.leading.items() if rank in world.reached(machine.rank)]
    return max(world.changed, world.started, min(leading, default=world.timeline.now))


def is_whole(machine: "Machine") -> bool:
    """Whether its process runs and its disk takes what it is given."""
    return machine.runs and machine.slowness == 1.0 and machine.room is None


def is_steady(world: "World") -> bool:
    """Whether nothing is slow: that comes and goes by itself."""
    return world.network.slow == 1.0 and not any(1.0 < one.slowness < STUCK for one in world.machines)


def check_lead(world: "World", served: "Served") -> None:
    """A replica that came back, and is led by another, leads only after it has been steady for a while (R17)."""
    view, before = served.view, served.parent
    if before is None or not _was_handed_over(world, served, before):
        return
    came = _came_back(world, before, view.primary)
    since = served.begun if came is None else world.truth.entered_at(came)
    if came is not None and served.begun - since < SOONER * world.cluster.timings.hold_down:
        what = f"{view.primary} in {view}, after {before.view}; it had come at {since:.3f}"
        world.truth.violated("who came back is a follower for a while", what)


def _was_handed_over(world: "World", served: "Served", before: "Served") -> bool:
    """Whether a primary that could lead on let a lower one lead."""
    silence = world.cluster.timings.silence
    primary = before.view.primary
    return (
        served.view.primary < primary
        and {served.view.primary, primary} <= {*served.view.members} & {*before.view.members}
        and served.begun - world.truth.led_until.get(primary, 0.0) < silence / 2
        and served.begun - world.changed > 3 * silence
        and is_steady(world)
        and all(map(is_whole, world.machines))
    )


def _came_back(world: "World", served: "Served", rank: int) -> "Served | None":
    """The view in which it came, to follow that primary without a break until this one; None if it had not been away."""
    came = None
    for one in reversed(world.truth.served_between(served.view.primary, 0.0, served.begun)):
        if rank not in one.view.members:
            return came
        if one.view.primary == rank:
            break
        came = one
    return None


def check_told(world: "World") -> Iterator[tuple[str, str]]:
    """Whichever replica somebody asks, the answer is the same, and nobody has to log in for that."""
    for question in ("LIST *", "WHO"):
        answers = [world.ask(machine, question) for machine in world.machines]
        if any(answer != answers[0] for answer in answers):
            yield "all replicas show the same", f"{question}: {answers}"
        if question != "WHO" and len(answers[0]) <= min(100, _known(world)):
            yield "LIST shows who was told yes", f"{answers[0]}"
    for machine in world.machines:
        last = world.ask(machine, "STATUS")[-1]
        if not last.startswith("primary 5001 ") or f"live {len(world.machines)} of" not in last:
            yield "STATUS says how it is", f"at {machine.rank}: {last}"


def _known(world: "World") -> int:
    """How many living accounts there are whose users were told yes."""
    accounts = world.machines[0].replica.chat.accounts
    return sum(one in accounts and bool(accounts[one].listed) and one not in accounts.unconfirmed for one in world.told)
