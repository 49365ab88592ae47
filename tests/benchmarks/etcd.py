"""Three nodes of etcd, to compare with: a replicated store that also has each write on three disks.

They are found as ``etcd`` on the PATH, or where CHATTWIST_ETCD says; the program that loads them as ``etcdbench``, or
where CHATTWIST_ETCDBENCH says; its source is etcdbench.go, and docs/PERFORMANCE.md tells how to build it.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.measuring import TEXT, Figures, Meter, say
from tests.nemesis.network import steady_ports

PATIENCE = 30.0  # seconds until they have a leader
SHOWN = re.compile(r"puts/s=([\d.]+) p50=([\d.]+)ms .*p99=([\d.]+)ms")


def found(name: str) -> str | None:
    """The path of a program."""
    return os.environ.get(f"CHATTWIST_{name.upper()}") or shutil.which(name)


class Etcd:
    """Three nodes with etcd's own settings, started at once."""

    def __init__(self, folder: str, program: str, bench: str) -> None:
        self._bench = bench
        ports = steady_ports(6)
        self._clients, peers = ports[:3], ports[3:]
        cluster = ",".join(f"n{n}=http://127.0.0.1:{port}" for n, port in enumerate(peers))
        self._nodes = [node(program, folder, n, ports[n], peers[n], cluster) for n in range(3)]
        self.leader = self._await_leader()

    def _await_leader(self) -> int:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for port in self._clients:
                if is_leader(port):
                    return port
            time.sleep(0.1)
        raise SystemExit("etcd found no leader")

    def load(self, clients: int, seconds: float) -> Figures:
        """Put values of a message's size at the leader; the first second is not measured."""
        command = [self._bench, "-n", str(clients), "-s", str(TEXT), "-t", str(seconds)]
        command += ["-e", f"127.0.0.1:{self.leader}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            meter = Meter([node.pid for node in self._nodes], process.pid)
            shown = SHOWN.search(process.stdout.read())
            cpu = meter.read()
        if shown is None:
            raise SystemExit(f"{self._bench} did not print what it has to, see tests/benchmarks/etcd.py")
        rate, p50, p99 = map(float, shown.groups())
        return Figures(rate, p50, p99, cpu=cpu)

    def close(self) -> None:
        """End all."""
        for node in self._nodes:
            node.kill()
            node.wait()


def node(program: str, folder: str, number: int, port: int, peer: int, cluster: str) -> "subprocess.Popen[bytes]":
    """Start one, with its own folder."""
    options = {
        "name": f"n{number}",
        "data-dir": os.path.join(folder, f"n{number}"),
        "listen-client-urls": f"http://127.0.0.1:{port}",
        "advertise-client-urls": f"http://127.0.0.1:{port}",
        "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-cluster": cluster,
        "quota-backend-bytes": str(6 * 10**9),
    }
    with open(os.path.join(folder, f"log-{number}"), "wb") as log:
        return subprocess.Popen(
            [program, *(f"--{name}={value}" for name, value in options.items())], stdout=log, stderr=log
        )


def is_leader(port: int) -> bool:
    """Ask a node whether it leads."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v3/maintenance/status", b"{}")
    try:
        with urllib.request.urlopen(request, timeout=1) as answer:
            status = json.load(answer)
    except OSError:
        return False
    return bool(status.get("leader")) and status["leader"] == status["header"]["member_id"]


@contextmanager
def etcd(is_wanted: bool) -> Iterator[Etcd | None]:
    """Three nodes in a folder that is removed in the end; None, and a line that says so, where they are not to be had."""
    program, bench = found("etcd"), found("etcdbench")
    if not is_wanted or program is None or bench is None:
        reason = "the programs etcd and etcdbench are not both here" if is_wanted else "this is short"
        say(f"etcd is left out: {reason}")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="chattwist-etcd-") as folder:
        nodes = Etcd(folder, program, bench)
        try:
            yield nodes
        finally:
            nodes.close()
