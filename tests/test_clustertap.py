"""chattwist.clustertap: the options of chatcluster."""

import json
import os
import shutil
import socket
import subprocess
import sys

from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from chattwist import bundle, clustertap
from chattwist.cluster import Address, load
from chattwist.clustertap import NAME, Options
from tests.endtoend.harness import free_port

ELSEWHERE = "192.0.2.1"  # an address of no machine: it is for documentation


class OptionsTests(SynchronousTestCase):
    """A folder with a cluster file of two replicas here and one elsewhere."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        here = set[int]()
        while len(here) < 2:
            here.add(free_port())
        self.low, self.high = sorted(here)
        self.write((ELSEWHERE, 5001), ("127.0.0.1", self.high), ("127.0.0.1", self.low))
        self.make_keys()

    def write(self, *replicas: tuple[str, int]) -> None:
        """Write the cluster file."""
        with open(os.path.join(self.folder, "cluster.json"), "w") as file:
            json.dump({"replicas": [{"host": host, "port": port} for host, port in replicas]}, file)

    def make_keys(self) -> None:
        """Bring the keys of the replicas here."""
        out = os.path.join(self.folder, "out")
        bundle.make(load(os.path.join(self.folder, "cluster.json")), out, False)
        for port in self.low, self.high:
            shutil.copytree(
                bundle.bundle(out, Address("127.0.0.1", port)),
                os.path.join(self.folder, "chat-data", "keys"),
                dirs_exist_ok=True,
            )
        shutil.rmtree(out)

    def parse(self, *twistd: str) -> tuple[ServerOptions, Options]:
        """The options of twistd and of chatcluster, of ``twistd chatcluster --cluster cluster.json``."""
        options = ServerOptions()
        options.parseOptions([*twistd, "--rundir", self.folder, "chatcluster", "--cluster", "cluster.json"])
        return options, options.subOptions

    def refusal(self) -> str:
        """What is said by options that are refused, in one line."""
        said = str(self.assertRaises(SystemExit, self.parse).code)
        self.assertTrue(said.startswith("chatcluster: "), said)
        self.assertNotIn("\n", said)
        return said

    def test_replicas_of_this_machine(self) -> None:
        """Those that live here are started, in the order of their ports; the others are somebody else's."""
        _, options = self.parse()
        self.assertEqual([address.port for address in options.addresses], [self.low, self.high])

    def test_arguments(self) -> None:
        """Each replica is told its port, and cluster file and data by absolute paths."""
        _, options = self.parse()
        file, data = os.path.join(self.folder, "cluster.json"), os.path.join(self.folder, "chat-data")
        expected = ["chatreplica", "--port", str(self.low), "--cluster", file, "--data", data]
        self.assertEqual(options.arguments(options.addresses[0]), expected)

    def test_no_cluster_file(self) -> None:
        """Without a cluster file the replicas get none either: they know the same default."""
        options = Options()
        options["cluster"] = None
        options.data = "/data"
        self.assertNotIn("--cluster", options.arguments(self.parse()[1].addresses[0]))

    def test_none_here(self) -> None:
        """A cluster that is wholly elsewhere cannot be started here."""
        self.write((ELSEWHERE, 5001), (ELSEWHERE, 5002))
        self.assertIn(f"no replica of the cluster is on this machine: none of {ELSEWHERE} is a name", self.refusal())

    def test_ports_in_use(self) -> None:
        """Somebody else's port is named, whether clients or replicas would come to it."""
        for port in self.low, self.high, self.high + 10000:
            with socket.create_server(("127.0.0.1", port)):
                self.assertIn(f"cannot listen on port {port} of 127.0.0.1: it is in use", self.refusal())
        self.assertEqual(os.listdir(os.path.join(self.folder, "chat-data")), ["keys"])

    def test_data(self) -> None:
        """So is a place where a replica cannot keep its data."""
        with open(os.path.join(self.folder, "chat-data", str(self.high)), "w"):
            pass
        self.assertIn(f"chat-data/{self.high} is not a directory", self.refusal())

    def test_keys(self) -> None:
        """So are keys that are missing, where they are to come from another machine."""
        shutil.rmtree(os.path.join(self.folder, "chat-data", "keys"))
        said = self.refusal()
        self.assertIn(f"no keys for 127.0.0.1:{self.low}", said)
        self.assertIn("python -m chattwist.bundle", said)
        self.assertEqual(os.listdir(os.path.join(self.folder, "chat-data")), [])

    def test_too_few_files(self) -> None:
        """A process that may hardly open files cannot start others: it says which limit that is."""
        self.patch(clustertap, "allow_descriptors", lambda wanted: 200)
        self.assertIn("ulimit -n is 200: make it 256 or more", self.refusal())

    def test_files(self) -> None:
        """Pid file and log are called after the cluster: they are not those of a replica in the same directory."""
        twistd, _ = self.parse()
        self.assertEqual(twistd["pidfile"], os.path.abspath("twistd-cluster.pid"))
        self.assertEqual(twistd["logfile"], "twistd-cluster.log")
        self.assertIsNone(self.parse("-n")[0]["logfile"])

    def left_by(self, pid: int) -> None:
        """Have a pid file, in the directory in which the tests run."""
        self.addCleanup(subprocess.run, ["rm", "-f", "twistd-cluster.pid"], check=True)
        with open("twistd-cluster.pid", "w") as file:
            file.write(str(pid))

    def test_another_in_the_directory(self) -> None:
        """A chatcluster of other ports that was started in the same directory keeps its pid file and its log."""
        program = [sys.executable, "-c", "print(flush=True); input()", NAME]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()  # until it runs, it may not have its name yet
            self.left_by(other.pid)
            self.assertIn(f"twistd-cluster.pid: process {other.pid} is another chatcluster", self.refusal())
            other.communicate(b"\n")
        self.parse()

    def test_another_name(self) -> None:
        """Who names the pid file otherwise may start another one in the same directory."""
        self.left_by(1)
        self.patch(clustertap, "check_alone", self.fail)
        self.parse("--pidfile", "other.pid")

    def test_stale_pid_file(self) -> None:
        """What a chatcluster left that was killed keeps none from starting, whoever has its number now."""
        for pid in os.getpid(), 1:
            self.left_by(pid)
            self.parse()
            self.assertFalse(os.path.exists("twistd-cluster.pid"))
