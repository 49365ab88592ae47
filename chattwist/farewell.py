"""How a replica stops in good order: what its clients sent is answered, another replica leads, and everybody is told."""

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from chattwist import errors
from chattwist.protocol.server import Clients
from chattwist.replica import Replica

HANDOVER = 3.0  # seconds at most until another replica is primary, where this one was and stops
SOON = 0.01  # seconds until it is looked again whether it is
STOPPING = "this replica is stopping; connect again soon, or to another replica"


async def take_leave(replica: Replica, clients: Clients, reactor: IReactorTime) -> None:
    """Done once all clients are gone; new ones must not come any more."""
    clients.stop_taking_lines()
    await replica.settled()
    until = reactor.seconds() + HANDOVER
    while replica.retire() and reactor.seconds() < until:  # what is passed on to it meanwhile is given back (R17)
        await deferLater(reactor, SOON)
    replica.refuse(errors.NoPrimary("this replica is stopping; connect again soon"))  # a hash may be under way
    await clients.say_goodbye(STOPPING)
