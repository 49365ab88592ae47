"""``twistd chatreplica``: from options to the service; the one place where the parts are joined."""

import os
from collections.abc import Sequence
from importlib.metadata import version

from twisted.application.service import IService
from twisted.python import usage

from chattwist import preflight
from chattwist.cluster import DEFAULT, Address, Cluster, load
from chattwist.daemon import Daemon
from chattwist.errors import StartError

NAME = "chatreplica"


def whole_number(text: str) -> int:
    """Read the value of --port; UsageError if it is no whole number."""
    try:
        return int(text)
    except ValueError:
        raise usage.UsageError(f"--port takes a whole number, not {text!r}") from None


class Options(usage.Options):
    """What can be said behind ``twistd chatreplica``; whatever is wrong with it is one line and exit status 1.

    Once parsed, ``cluster`` is the Cluster, ``address`` the Address of this replica and ``directory`` the path of its
    own directory, absolute.
    """

    longdesc = "One replica of a chat server that people use with telnet and nc."
    optParameters = [
        ["port", "p", 5001, "Which replica of the cluster this is: its client port.", whole_number],
        ["cluster", "c", None, "JSON file that lists the replicas. [default: 5001, 5002, 5003 on 127.0.0.1]"],
        ["data", "d", "chat-data", "Directory for data; each replica keeps its own in DIR/PORT/."],
    ]
    optFlags = [
        ["salvage", None, "Start although files are damaged: sets them aside and keeps every record that is whole."],
    ]
    cluster: Cluster
    address: Address
    directory: str

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"chattwist {version('chattwist')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse and check, as usage.Options does, but end the process with one line on what is wrong."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"{NAME}: {error} (twistd {NAME} --help shows the options)") from None
        except StartError as error:
            raise SystemExit(f"{NAME}: {error}") from None

    def postOptions(self) -> None:
        """Find this replica in its cluster and check what can be checked while the terminal is still there."""
        path = self["cluster"]
        self.cluster = DEFAULT if path is None else load(self._from_rundir(path))
        self.address = self.cluster.replica(self["port"])
        self.directory = os.path.join(self._from_rundir(self["data"]), str(self.address.port))
        preflight.check_free(self.address.host, self.address.port)
        preflight.check_directory(self.directory)
        if self.parent is not None:
            name_files(self.parent, self.address.port)

    def _from_rundir(self, path: str) -> str:
        """Say where a relative path leads once twistd has gone to its --rundir."""
        rundir = "." if self.parent is None else self.parent["rundir"]
        return os.path.abspath(os.path.join(rundir, path))


def name_files(twistd: usage.Options, port: int) -> None:
    """Name the pid file and the log after the port, where no names were asked for: replicas may share a directory."""
    if twistd["pidfile"] == "twistd.pid":
        twistd["pidfile"] = f"twistd-{port}.pid"
        preflight.remove_stale_pid_file(os.path.abspath(twistd["pidfile"]))
    if twistd["logfile"] is None and not (twistd["nodaemon"] or twistd["debug"] or twistd["syslog"]):
        twistd["logfile"] = f"twistd-{port}.log"
    for path in (twistd["pidfile"], twistd["logfile"]):
        if path and path != "-":
            preflight.check_file(os.path.abspath(path))
    if not os.path.isdir(twistd["rundir"]):
        raise StartError(f"--rundir {twistd['rundir']} is not a directory")


def makeService(options: Options) -> IService:
    """Make the replica that ``options`` describe; its files and ports are opened at its start, not here."""
    from chattwist.replica import ReplicaService

    replica = ReplicaService(options.cluster, options.address, options.directory, salvage=bool(options["salvage"]))
    return Daemon(NAME, replica)
