"""What can be told before a replica starts: looked at while there is still a terminal to say it on.

Nothing is made or changed here. What passes may still fail at the start itself, which says so too (chattwist.daemon).
"""

import errno
import os
import socket
from ipaddress import ip_address

from chattwist import remembered
from chattwist.cluster import Address, Cluster, is_local
from chattwist.errors import StartError
from chattwist.replication import keys
from chattwist.store import state
from chattwist.store.disk import Disk

_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def check_replica(cluster: Cluster, address: Address, data: str) -> None:
    """Check what can be checked of the replica at ``address`` with its directory in ``data``; StartError."""
    check_free(address.host, address.port)
    if not all(is_local(replica.host) for replica in cluster.replicas):
        check_reachable(address.host)
    if len(cluster.replicas) > 1:
        check_free(address.host, address.channel)
        keys.check(os.path.join(data, "keys"), cluster, address)
    check_directory(os.path.join(data, str(address.port)))


def check_state(directory: str, cluster: Cluster) -> None:
    """Check what a replica remembers of its cluster, if it does; StartError."""
    if os.path.exists(directory):
        disk = Disk(directory, make=False)
        try:
            remembered.decode(state.load(disk), cluster.names)
        finally:
            disk.release()


def check_reachable(host: str) -> None:
    """Check that other machines can come to ``host``, which is this one; StartError for the loopback's name, and for 0.0.0.0."""
    names = {str(address[0]) for *_, address in socket.getaddrinfo(host, 0)}
    found = {name: ip_address(name.partition("%")[0]) for name in names}
    if all(one.is_unspecified for one in found.values()):  # each would take it for its own, and start that replica
        raise StartError(
            f"{host} stands for whatever machine reads it: write the address of one into the cluster file, on all machines"
        )
    if host not in found and all(one.is_loopback for one in found.values()):
        raise StartError(
            f"{host} is {' and '.join(sorted(found))} on this machine, where no other machine can come:"
            " write its address into the cluster file, on all machines, or correct /etc/hosts"
        )


def check_free(host: str, port: int) -> None:
    """Check that this process may listen on ``port`` of ``host``; StartError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failures = [
            error for family, kind, _, _, address in found if (error := _failure_to_bind(family, kind, address))
        ]
    except socket.gaierror as error:
        raise StartError(f"host {host!r} is not known: {error.strerror}") from None
    for failure in failures:  # a name may have an address of a family that this machine does without
        if len(failures) == len(found) or failure.errno not in _ABSENT:
            raise StartError(f"cannot listen on port {port} of {host}: {_reason(failure)}")


def check_directory(path: str) -> None:
    """Check that the directory ``path`` can be used by this process alone, or can be made; StartError."""
    nearest = path
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        raise StartError(f"cannot keep data in {path}: {nearest} is not a directory")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(f"cannot keep data in {path}: {nearest} is not writable")
    if nearest == path:
        _check_unlocked(path)


def check_file(path: str) -> None:
    """Check that the file ``path`` can be written, in a directory that is there; StartError."""
    there = path if os.path.lexists(path) else os.path.dirname(path)
    if os.path.isdir(path) or not os.access(there, os.W_OK):
        raise StartError(
            f"cannot write {path}; start in a directory that you may write to, or name another file to twistd"
        )


def remove_stale_pid_file(path: str) -> None:
    """Take away what a replica that was killed left: its number may be another process's now, and keep twistd from starting.

    Only once check_free and check_directory have shown that no replica runs with that port or data.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StartError(f"cannot take away the old {path}: {error.strerror}") from None


def _check_unlocked(path: str) -> None:
    """Take the directory as the store does, and give it back."""
    disk = Disk(path, make=False)
    try:
        disk.lock()
    finally:
        disk.release()


def _failure_to_bind(family: int, kind: int, address: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Twisted does: old connections don't count
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _reason(error: OSError) -> str:
    known = {errno.EADDRINUSE: "it is in use", errno.EADDRNOTAVAIL: "this machine does not have that address"}
    return known.get(error.errno or 0, str(error.strerror))
