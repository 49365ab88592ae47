"""``twistd chatcluster`` with real processes: what people see of it, and that nothing is left behind."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Thread
from typing import IO

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PATIENCE, ROOT, TWISTD, Client, free_port


class Process:
    """Any process, from now until it is gone, whoever started it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def is_gone(self) -> bool:
        """Wait for its end; False if there is none."""
        return bool(select.select([self._descriptor], [], [], PATIENCE)[0])

    def signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """End it, if it is there."""
        self.signal(signal.SIGKILL)
        os.close(self._descriptor)


class ClusterTests(SynchronousTestCase):
    """A folder with the cluster file of three replicas."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        ports = set[int]()
        while len(ports) < 3:
            ports.add(free_port())
        self.ports = sorted(ports)
        with open(os.path.join(self.folder, "cluster.json"), "w") as file:
            replicas = [{"host": "127.0.0.1", "port": port} for port in self.ports]
            json.dump({"replicas": replicas, "limits": {"bcrypt_cost": 4}}, file)

    def launch(self, *twistd: str) -> None:
        """Start ``twistd chatcluster``, in a process group of its own."""
        with open(os.path.join(self.folder, "stderr"), "wb") as stderr:
            self.cluster = subprocess.Popen(
                [sys.executable, "-c", TWISTD, *twistd, "chatcluster", "--cluster", "cluster.json"],
                cwd=self.folder, env={**os.environ, "PYTHONPATH": ROOT},
                stdout=subprocess.PIPE, stderr=stderr, bufsize=0, start_new_session=True,
            )  # fmt: skip
        assert self.cluster.stdout is not None
        self.lines: SimpleQueue[str] = SimpleQueue()
        listener = Thread(target=self.listen, args=(self.cluster.stdout, self.lines), daemon=True)
        listener.start()
        self.addCleanup(listener.join, PATIENCE)
        self.addCleanup(self.cluster.wait, PATIENCE)
        self.addCleanup(self.cluster.kill)

    def listen(self, stdout: IO[bytes], lines: "SimpleQueue[str]") -> None:
        with stdout:
            for line in stdout:
                lines.put(line.decode())
        lines.put("")

    def see(self, text: str) -> str:
        """Read what is shown until a line with ``text``; all that."""
        shown, deadline = "", time.monotonic() + PATIENCE
        while text not in shown.rpartition("\n")[2]:
            line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            self.assertTrue(line, f"{text!r} was not shown, but: {shown}{self.errors()}")
            shown += "\n" + line.rstrip("\n")
        return shown

    def rest(self) -> str:
        """All that is shown until the end."""
        return "".join(iter(lambda: self.lines.get(timeout=PATIENCE), ""))

    def errors(self) -> str:
        """What was said on stderr."""
        with open(os.path.join(self.folder, "stderr")) as file:
            return file.read()

    def start(self) -> dict[int, Process]:
        """Start it, and wait until all is ready; the process of each replica."""
        self.launch("-n")
        self.see("[cluster] all replicas are ready")
        return self.replicas()

    def replicas(self) -> dict[int, Process]:
        """The replicas' processes, by port."""
        with open(f"/proc/{self.cluster.pid}/task/{self.cluster.pid}/children") as file:
            children = [Process(int(pid)) for pid in file.read().split()]
        for child in children:
            self.addCleanup(child.close)
        return {self.port_of(child.pid): child for child in children}

    def port_of(self, pid: int) -> int:
        """The value of --port on a process's command line."""
        with open(f"/proc/{pid}/cmdline") as file:
            words = file.read().split("\0")
        return int(words[words.index("--port") + 1])

    def assert_gone(self, processes: Iterable[Process]) -> None:
        """All of them end."""
        self.assertEqual([process.pid for process in processes if not process.is_gone()], [])

    def assert_stopped(self, replicas: dict[int, Process]) -> None:
        """It ends with exit status 0, and no process nor pid file stays."""
        self.assertEqual((self.cluster.wait(PATIENCE), self.errors()), (0, ""))
        self.assert_gone(replicas.values())
        self.assertEqual(set(os.listdir(self.folder)), {"cluster.json", "stderr", "chat-data"})


class RunTests(ClusterTests):
    """It starts, it goes on, and it stops."""

    def test_start(self) -> None:
        """One command, and people can connect to each replica; the first lines say how, and how to stop it."""
        self.launch("-n")
        ports = ", ".join(map(str, self.ports))
        told = f"replicas {ports}; connect with: telnet 127.0.0.1 {self.ports[0]}; Ctrl-C or SIGTERM stops all"
        shown = self.see(told) + self.see("[cluster] all replicas are ready")
        self.assertEqual(list(self.replicas()), self.ports)
        for port in self.ports:
            self.assertRegex(shown, rf"\n[-0-9T:+]+ \[{port}\] replica {port} ready")
            client = Client(port)
            self.addCleanup(client.close)
            self.assertIn(f"220 chattwist {port} ready", client.greeting)

    def test_stop(self) -> None:
        """Ctrl-C, SIGTERM and SIGHUP, to the whole group: the replicas stop in good order, the highest port first."""
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            replicas = self.start()
            os.killpg(self.cluster.pid, number)
            shown = self.rest()
            self.assert_stopped(replicas)
            self.assertNotIn("Traceback", shown)
            words = [
                f"[{port}] {word}" for port in reversed(self.ports) for word in ("stopping", f"replica {port} stopped")
            ]
            places = [shown.index(text) for text in words]
            self.assertEqual(places, sorted(places))

    def test_stop_at_the_start(self) -> None:
        """Ctrl-C as soon as anything is shown ends all as well."""
        self.launch("-n")
        self.see("[cluster] replicas")
        os.killpg(self.cluster.pid, signal.SIGINT)
        self.assertEqual((self.cluster.wait(PATIENCE), self.errors()), (0, ""))
        self.assertNotIn("Traceback", self.rest())

    def test_second_ctrl_c(self) -> None:
        """Ctrl-C again while a replica takes its time neither breaks the stop nor leaves processes behind."""
        replicas = self.start()
        last = replicas[self.ports[2]]
        last.signal(signal.SIGSTOP)
        for _ in range(2):
            os.killpg(self.cluster.pid, signal.SIGINT)
            self.see("Received SIGINT")
        last.signal(signal.SIGCONT)
        self.assert_stopped(replicas)

    def test_killed_replica(self) -> None:
        """A replica that is killed comes back, with all that was acknowledged; the others stay as they are."""
        replicas = self.start()
        port = self.ports[1]
        client = Client(port)
        self.addCleanup(client.close)
        client.expect("230", "REGISTER ann password-of-ann")
        replicas[port].signal(signal.SIGKILL)
        self.see(f"[{port}] ended by SIGKILL; started again")
        self.see(f"[{port}] replica {port} ready: 1 accounts")
        again = self.replicas()
        self.assertNotEqual(again[port].pid, replicas[port].pid)
        self.assertEqual([again[other].pid == replicas[other].pid for other in self.ports], [True, False, True])
        self.cluster.terminate()
        self.assert_stopped(again)

    def test_killed(self) -> None:
        """If chatcluster itself is killed, its replicas end too: their ports are free for the next."""
        replicas = self.start()
        self.cluster.kill()
        self.assert_gone(replicas.values())
        replicas = self.start()
        self.cluster.terminate()
        self.assert_stopped(replicas)

    def test_replica_that_cannot_start(self) -> None:
        """What keeps a replica from starting is shown with its port, as often as it is tried; the others serve."""
        low, middle, high = self.ports
        data = os.path.join(self.folder, "chat-data", str(middle))
        os.makedirs(data)
        with open(os.path.join(data, "state.json"), "w") as file:
            file.write("damaged\n" * 9)
        self.launch("-n")
        for _ in range(2):
            shown = self.see(f"[{middle}] ended with status 1; started again in")
            self.assertRegex(shown, rf"\[{middle}\] chatreplica: .*state.json")
        self.assertNotIn("Traceback", shown)
        self.assertEqual(set(self.replicas()) - {middle}, {low, high})
        self.cluster.terminate()
        self.assertEqual(self.cluster.wait(PATIENCE), 0)

    def test_daemon(self) -> None:
        """Without -n the terminal is free at once; log and pid file are the cluster's, and SIGTERM stops it."""
        self.launch()
        self.assertEqual((self.cluster.wait(PATIENCE), self.rest(), self.errors()), (0, "", ""))
        with open(os.path.join(self.folder, "twistd-cluster.pid")) as file:
            daemon = Process(int(file.read()))
        self.addCleanup(daemon.close)
        daemon.signal(signal.SIGTERM)
        self.assert_gone([daemon])
        with open(os.path.join(self.folder, "twistd-cluster.log")) as file:
            self.assertIn("[cluster] replicas", file.read())
        self.assertEqual(set(os.listdir(self.folder)) - {"chat-data"}, {"cluster.json", "stderr", "twistd-cluster.log"})


class RefusalTests(ClusterTests):
    """What cannot work is one line and exit status 1, before anything is started."""

    def assert_refused(self, text: str, *twistd: str) -> None:
        """It ends at once, with such a line."""
        self.launch(*twistd)
        self.assertEqual((self.cluster.wait(PATIENCE), self.rest()), (1, ""))
        self.assertRegex(self.errors(), rf"\Achatcluster: .*{text}.*\n\Z")
        self.assertEqual(sorted(os.listdir(self.folder)), ["cluster.json", "stderr"])

    def test_port_in_use(self) -> None:
        """A port, also one for the other replicas, on which somebody else listens."""
        for port in self.ports[1], self.ports[2] + 10000:
            with socket.create_server(("127.0.0.1", port)):
                self.assert_refused(f"cannot listen on port {port} of 127.0.0.1: it is in use", "-n")
                self.assert_refused(f"cannot listen on port {port} of 127.0.0.1: it is in use")

    def test_cluster_file(self) -> None:
        """A cluster file that cannot be read."""
        with open(os.path.join(self.folder, "cluster.json"), "w") as file:
            file.write("{")
        self.assert_refused("cluster.json is not JSON", "-n")
