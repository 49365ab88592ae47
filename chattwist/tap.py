"""``twistd chatreplica``: from options to the service; the one place where the parts are joined."""

from twisted.application.service import IService
from twisted.python import usage

from chattwist import preflight
from chattwist.cluster import Address
from chattwist.daemon import Daemon
from chattwist.options import ClusterOptions, name_files

NAME = "chatreplica"


def whole_number(text: str) -> int:
    """Read the value of --port; UsageError if it is no whole number."""
    try:
        return int(text)
    except ValueError:
        raise usage.UsageError(f"--port takes a whole number, not {text!r}") from None


class Options(ClusterOptions):
    """What can be said behind ``twistd chatreplica``.

    Once parsed, ``address`` is the Address of this replica and ``directory`` the path of its own directory, absolute.
    """

    command = NAME
    longdesc = "One replica of a chat server that people use with telnet and nc."
    optParameters = [
        ["port", "p", 5001, "Which replica of the cluster this is: its client port.", whole_number],
    ]
    optFlags = [
        ["salvage", None, "Start although files are damaged: sets them aside and keeps every record that is whole."],
    ]
    address: Address
    directory: str

    def postOptions(self) -> None:
        """Find this replica in its cluster and check what can be checked while the terminal is still there."""
        super().postOptions()
        self.address = self.cluster.replica(self["port"])
        self.directory = self.directory_of(self.address.port)
        preflight.check_replica(self.cluster, self.address, self.data)
        preflight.check_state(self.directory, self.cluster)
        if self.parent is not None:
            name_files(self.parent, str(self.address.port))


def makeService(options: Options) -> IService:
    """Make the replica that ``options`` describe; its files and ports are opened at its start, not here."""
    from chattwist.service import ReplicaService

    replica = ReplicaService(options.cluster, options.address, options.directory, salvage=bool(options["salvage"]))
    return Daemon(NAME, replica)
