"""What the commands of this project have in common on twistd's command line."""

import os
from collections.abc import Sequence
from importlib.metadata import version

from twisted.python import usage

from chattwist import preflight
from chattwist.cluster import DEFAULT, Cluster, load
from chattwist.errors import StartError

DEFAULT_PID_FILE = "twistd.pid"  # twistd's own


class ClusterOptions(usage.Options):
    """Options of a ``twistd`` command; whatever is wrong with them is one line and exit status 1.

    Once parsed, ``cluster`` is the Cluster and ``data`` the absolute path of the directory for all replicas' data.
    """

    command: str
    optParameters = [
        ["cluster", "c", None, "JSON file that lists the replicas. [default: 5001, 5002, 5003 on 127.0.0.1]"],
        ["data", "d", "chat-data", "Directory for data; each replica keeps its own in DIR/PORT/."],
    ]
    cluster: Cluster
    data: str

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"chattwist {version('chattwist')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse and check, as usage.Options does, but end the process with one line on what is wrong."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"{self.command}: {error} (twistd {self.command} --help shows the options)") from None
        except StartError as error:
            raise SystemExit(f"{self.command}: {error}") from None

    def postOptions(self) -> None:
        """Read the cluster file, and find the directory."""
        for option in ("cluster", "data"):
            if self[option] == "":  # a variable that was not set would mean where twistd was started
                raise usage.UsageError(f"--{option} is empty")
        self.cluster = DEFAULT if self["cluster"] is None else load(self.from_rundir(self["cluster"]))
        self.data = self.from_rundir(self["data"])

    def directory_of(self, port: int) -> str:
        """Path of the directory of the replica with that client port, absolute."""
        return os.path.join(self.data, str(port))

    def from_rundir(self, path: str) -> str:
        """Say where a relative path leads once twistd has gone to its --rundir."""
        rundir = "." if self.parent is None else self.parent["rundir"]
        return os.path.abspath(os.path.join(rundir, path))


def name_files(twistd: usage.Options, name: str) -> None:
    """Call the pid file and the log twistd-NAME, where no names were asked for: processes may share a directory."""
    if twistd["pidfile"] == DEFAULT_PID_FILE:
        twistd["pidfile"] = f"twistd-{name}.pid"
        preflight.remove_stale_pid_file(os.path.abspath(twistd["pidfile"]))
    if twistd["logfile"] is None and not (twistd["nodaemon"] or twistd["debug"] or twistd["syslog"]):
        twistd["logfile"] = f"twistd-{name}.log"
    for path in (twistd["pidfile"], twistd["logfile"]):
        if path and path != "-":
            preflight.check_file(os.path.abspath(path))
    if not os.path.isdir(twistd["rundir"]):
        raise StartError(f"--rundir {twistd['rundir']} is not a directory")
