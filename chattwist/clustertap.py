"""``twistd chatcluster``: all replicas of the cluster file that live on this machine, each in a process of its own."""

import os
import signal
from collections.abc import Sequence

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorCore

from chattwist import preflight
from chattwist.cluster import Address, Cluster, is_local
from chattwist.daemon import Daemon, allow_descriptors, stop_on_signal
from chattwist.errors import StartError
from chattwist.options import DEFAULT_PID_FILE, ClusterOptions, name_files
from chattwist.supervisor import Supervisor

NAME = "chatcluster"
FILES = "cluster"  # behind "twistd-" in the names of its pid file and log: no replica's are called so
PID_FILE = f"twistd-{FILES}.pid"
DESCRIPTORS = 256  # without which Twisted starts no process


class Options(ClusterOptions):
    """What can be said behind ``twistd chatcluster``; once parsed, ``addresses`` are those to start, lowest port first."""

    command = NAME
    longdesc = "All replicas of the cluster that live on this machine, watched and started again when one ends."
    addresses: Sequence[Address]

    def postOptions(self) -> None:
        """Find the replicas, and check what can be checked of each before any is started."""
        super().postOptions()
        self.addresses = local_replicas(self.cluster)
        for address in self.addresses:
            preflight.check_replica(self.cluster, address, self.data)
        if (files := allow_descriptors(DESCRIPTORS)) < DESCRIPTORS:
            raise StartError(f"ulimit -n is {files}: make it {DESCRIPTORS} or more")
        if self.parent is not None:
            if self.parent["pidfile"] == DEFAULT_PID_FILE:
                check_alone(os.path.abspath(PID_FILE))
            name_files(self.parent, FILES)

    def arguments(self, address: Address) -> list[str]:
        """What stands behind ``twistd`` for one replica; all paths are absolute."""
        file = [] if self["cluster"] is None else ["--cluster", self.from_rundir(self["cluster"])]
        return ["chatreplica", "--port", str(address.port), *file, "--data", self.data]


def local_replicas(cluster: Cluster) -> list[Address]:
    """The replicas that live on this machine, lowest port first; StartError if there is none, or two with one port."""
    found = sorted(address.port for address in cluster.replicas if is_local(address.host))
    if not found:
        hosts = ", ".join(sorted({address.host for address in cluster.replicas}))
        raise StartError(f"no replica of the cluster is on this machine: none of {hosts} is a name or an address of it")
    return [cluster.replica(port) for port in found]


def check_alone(pid_file: str) -> None:
    """Check that no other chatcluster, of another cluster file, left ``pid_file`` and still runs; StartError."""
    try:
        with open(pid_file) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            runs = NAME.encode() in file.read().split(b"\0") and pid != os.getpid()
    except (OSError, ValueError):  # nobody left one, or who did is gone
        return
    if runs:
        raise StartError(f"{pid_file}: process {pid} is another {NAME}; start this one in another directory")


class ClusterDaemon(Daemon):
    """Ends with exit status 0 by Ctrl-C as well: that is how people stop it, and all replicas end in good order."""

    def startService(self) -> None:
        """Start; see Daemon, which says why a signal is asked for twice."""
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
            signal.signal(signal.SIGINT, stop_on_signal)
            IReactorCore(reactor).callWhenRunning(signal.signal, signal.SIGINT, stop_on_signal)
        super().startService()


def makeService(options: Options) -> IService:
    """Make the supervisor of the replicas that ``options`` name; it starts them once it runs."""
    replicas = {address.port: options.arguments(address) for address in options.addresses}
    first, ports = options.addresses[0], ", ".join(map(str, replicas))
    welcome = f"replicas {ports}; connect with: telnet {first.host} {first.port}; Ctrl-C or SIGTERM stops all"
    return ClusterDaemon(NAME, Supervisor(reactor, replicas, welcome))
