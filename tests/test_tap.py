"""chattwist.tap and chattwist.daemon: options, and how the process starts and ends; the replica is a stand-in here."""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap

from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from chattwist.tap import Options

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# twistd as it is, with a replica that says where it is, and then does what the environment variable TROUBLE says.
TWISTD = textwrap.dedent("""
    import os, signal, sys, types
    from twisted.application.service import Service
    from twisted.logger import Logger
    from twisted.scripts import twistd
    from chattwist.errors import StartError

    class ReplicaService(Service):
        def __init__(self, cluster, address, directory, *, salvage=False):
            self.said = f"port={address.port} directory={directory} salvage={salvage}"
        def startService(self):
            from twisted.internet import reactor
            reactor.callWhenRunning(os.write, int(os.environ["NEWS"]), b"running")
            Logger().info("ready {said}", said=self.said)
            if trouble := os.environ["TROUBLE"]:
                raise {"StartError": StartError, "KeyboardInterrupt": KeyboardInterrupt}[trouble]("é" * 99)

    sys.modules["chattwist.service"] = types.ModuleType("chattwist.service")
    sys.modules["chattwist.service"].ReplicaService = ReplicaService
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    twistd.run()
""")


def free_port() -> int:
    """A port on which nobody listens, low enough for a channel (port + 10000)."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
            if port + 10000 <= 65535:
                return port


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process if it still runs, and read no more from it: one that it left behind may have its pipes."""
    process.kill()
    process.wait()
    for pipe in process.stdout, process.stderr:
        if pipe is not None:
            pipe.close()


class ReplicaProcess(SynchronousTestCase):
    """A folder with the cluster file of one replica on a free port, and twistd to be run there.

    Each process holds a pipe to the test, so that it need not guess when that runs and when it has ended.
    """

    def setUp(self) -> None:
        self.port = free_port()
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        self.cluster_file = os.path.join(self.folder, "cluster.json")
        with open(self.cluster_file, "w") as file:
            json.dump({"replicas": [{"host": "127.0.0.1", "port": self.port}]}, file)

    def twistd(self, *options: str, trouble: str = "") -> "subprocess.Popen[str]":
        """Start ``twistd options``; it is killed after the test if it still runs."""
        self.news, news = os.pipe()
        self.addCleanup(os.close, self.news)
        twistd = subprocess.Popen(
            [sys.executable, "-c", TWISTD, *options],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": ROOT, "TROUBLE": trouble, "NEWS": str(news)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[news],
        )
        os.close(news)
        self.addCleanup(end, twistd)
        return twistd

    def chatreplica(self, *options: str, daemon: bool = False, trouble: str = "") -> "subprocess.Popen[str]":
        """Start ``twistd chatreplica`` as the replica of the cluster file."""
        own = [] if daemon else ["-n"]
        ours = ["--cluster", self.cluster_file, "--port", str(self.port)]
        return self.twistd(*own, "chatreplica", *ours, *options, trouble=trouble)

    def assert_refused(self, twistd: "subprocess.Popen[str]", pattern: str) -> None:
        """The process ended with exit status 1 and one line on stderr."""
        _, said = twistd.communicate(timeout=60)
        self.assertEqual(twistd.returncode, 1, said)
        self.assertRegex(said, rf"\Achatreplica: .*{pattern}.*\n\Z")

    def next_word(self) -> bytes:
        """``running`` once the process that was started last does so, and no word once it has ended."""
        readable, _, _ = select.select([self.news], [], [], 60)
        self.assertTrue(readable, "nothing was heard of the process")
        return os.read(self.news, 7)

    def pid_of_daemon(self) -> int:
        """Process id that the daemon has left."""
        with open(os.path.join(self.folder, f"twistd-{self.port}.pid")) as file:
            return int(file.read())

    def kill_daemon(self) -> None:
        """End the daemon if the test has not."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self.pid_of_daemon(), signal.SIGKILL)

    def log_of_daemon(self) -> str:
        """What the daemon has logged."""
        with open(os.path.join(self.folder, f"twistd-{self.port}.log")) as file:
            return file.read()


class RefusalTests(ReplicaProcess):
    """Every mistake is one clear line on stderr and exit status 1: no traceback, no page of usage."""

    def test_options(self) -> None:
        """Unknown options, missing and wrong values, stray words."""
        for options, pattern in (
            (["--bogus"], "--bogus not recognized"),
            (["--port", "abc"], "--port takes a whole number, not 'abc'"),
            (["--port"], "--port requires argument"),
            (["--data", ""], "--data is empty"),
            (["word"], "Wrong number of arguments"),
        ):
            self.assert_refused(self.twistd("-n", "chatreplica", *options), pattern)

    def test_cluster_file(self) -> None:
        """A cluster file that is missing, and a port that it does not have."""
        self.assert_refused(self.twistd("-n", "chatreplica", "--cluster", "no.json"), "no.json: No such file")
        self.assert_refused(self.chatreplica("--port", "9"), f"port 9 is no replica .* {self.port}")

    def test_port_in_use(self) -> None:
        """The client port is taken; told at once also by a daemon."""
        with socket.create_server(("127.0.0.1", self.port)):
            for daemon in False, True:
                self.assert_refused(self.chatreplica(daemon=daemon), f"port {self.port} of 127.0.0.1: it is in use")

    def test_channel_port_in_use(self) -> None:
        """The port for the other replicas is taken, where there are others."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            channel = taken.getsockname()[1]
            one = {"host": "127.0.0.1", "port": self.port, "channel": channel}
            with open(self.cluster_file, "w") as file:
                json.dump({"replicas": [one, {"host": "127.0.0.1", "port": 1}]}, file)
            for daemon in False, True:
                self.assert_refused(self.chatreplica(daemon=daemon), f"port {channel} of 127.0.0.1: it is in use")

    def test_data_directory(self) -> None:
        """The data cannot be kept where a file stands; told at once also by a daemon."""
        for daemon in False, True:
            refused = self.chatreplica("--data", "cluster.json", daemon=daemon)
            self.assert_refused(refused, f"{self.cluster_file} is not a directory")

    def test_damaged_state(self) -> None:
        """What the replica remembers is damaged: told at once also by a daemon."""
        directory = os.path.join(self.folder, "chat-data", str(self.port))
        os.makedirs(directory)
        with open(os.path.join(directory, "state.json"), "w") as file:
            file.write("{}\n")
        for daemon in False, True:
            self.assert_refused(self.chatreplica(daemon=daemon), f"{directory}/state.json is damaged. Restore it")

    def test_pid_file_in_the_way(self) -> None:
        """What stands where the pid file goes, and cannot be taken away, is told."""
        os.mkdir(os.path.join(self.folder, f"twistd-{self.port}.pid"))
        self.assert_refused(self.chatreplica(), f"cannot take away the old .*twistd-{self.port}.pid: Is a directory")

    def test_data_directory_in_use(self) -> None:
        """Another process has the data: told at once also by a daemon."""
        directory = os.path.join(self.folder, "chat-data", str(self.port))
        os.makedirs(directory)
        held = os.open(directory, os.O_RDONLY)
        self.addCleanup(os.close, held)
        fcntl.flock(held, fcntl.LOCK_EX)
        for daemon in False, True:
            self.assert_refused(self.chatreplica(daemon=daemon), f"{directory}: another process is using this")

    def test_trouble_at_the_start(self) -> None:
        """What only the start itself can find, e.g. damaged files, is told in one line as well; no pid file stays."""
        self.assert_refused(self.chatreplica(trouble="StartError"), "é" * 99)
        self.assertEqual(os.listdir(self.folder), ["cluster.json"])

    def test_trouble_at_the_start_of_a_daemon(self) -> None:
        """A daemon tells it whole, on the terminal that started it and in its log, before twistd's own words."""
        refused = self.chatreplica(daemon=True, trouble="StartError")
        _, said = refused.communicate(timeout=60)
        self.assertEqual(refused.returncode, 1)
        self.assertEqual(said.splitlines()[0], "chatreplica: " + "é" * 99)
        self.assertNotIn("Traceback", said)
        self.assertIn("é" * 99, self.log_of_daemon())
        self.assertEqual(self.next_word(), b"")  # it has ended: its pid file goes after the terminal was told
        self.assertNotIn(f"twistd-{self.port}.pid", os.listdir(self.folder))

    def test_interrupted_at_the_start(self) -> None:
        """Ctrl-C while it reads its files ends it without a traceback."""
        interrupted = self.chatreplica(trouble="KeyboardInterrupt")
        _, said = interrupted.communicate(timeout=60)
        self.assertEqual((interrupted.returncode, said), (130, ""))


class RunTests(ReplicaProcess):
    """It runs, alone in its directory or beside others, and ends as it was told."""

    def test_sigterm(self) -> None:
        """SIGTERM stops it with exit status 0, and its pid file goes."""
        replica = self.chatreplica()
        self.assertEqual(self.next_word(), b"running")
        replica.send_signal(signal.SIGTERM)
        said, errors = replica.communicate(timeout=60)
        self.assertEqual((replica.returncode, errors), (0, ""))
        self.assertIn("Received SIGTERM", said)
        self.assertEqual(os.listdir(self.folder), ["cluster.json"])

    def test_sighup(self) -> None:
        """So does SIGHUP, when the terminal is closed."""
        replica = self.chatreplica()
        self.assertEqual(self.next_word(), b"running")
        replica.send_signal(signal.SIGHUP)
        _, errors = replica.communicate(timeout=60)
        self.assertEqual((replica.returncode, errors), (0, ""))

    def test_stale_pid_file(self) -> None:
        """What a killed replica left does not keep the next from starting, though some process has that number now."""
        with open(os.path.join(self.folder, f"twistd-{self.port}.pid"), "w") as file:
            file.write(str(os.getpid()))
        replica = self.chatreplica()
        self.assertEqual(self.next_word(), b"running")
        replica.terminate()
        replica.communicate(timeout=60)
        self.assertEqual(replica.returncode, 0)

    def test_sigint(self) -> None:
        """Ctrl-C stops it as it stops any program: by that signal, without a traceback."""
        replica = self.chatreplica()
        self.assertEqual(self.next_word(), b"running")
        replica.send_signal(signal.SIGINT)
        said, errors = replica.communicate(timeout=60)
        self.assertEqual((replica.returncode, errors), (-signal.SIGINT, ""))
        self.assertNotIn("Traceback", said)

    def test_options_reach_the_replica(self) -> None:
        """The replica is given its own directory, DIR/PORT, as an absolute path, and --salvage."""
        replica = self.chatreplica("--data", "elsewhere", "--salvage")
        self.assertEqual(self.next_word(), b"running")
        replica.terminate()
        said, _ = replica.communicate(timeout=60)
        self.assertIn(f"port={self.port} directory={self.folder}/elsewhere/{self.port} salvage=True", said)

    def test_daemon(self) -> None:
        """A daemon leaves the terminal alone, has pid file and log named after its port, and ends by SIGTERM."""
        self.addCleanup(self.kill_daemon)
        started = self.chatreplica(daemon=True)
        self.assertEqual((*started.communicate(timeout=60), started.returncode), ("", "", 0))
        self.assertEqual(self.next_word(), b"running")
        os.kill(self.pid_of_daemon(), signal.SIGTERM)
        self.assertEqual(self.next_word(), b"")
        self.assertIn(f"directory={self.folder}/chat-data/{self.port} salvage=False", self.log_of_daemon())
        self.assertEqual(sorted(os.listdir(self.folder)), ["cluster.json", f"twistd-{self.port}.log"])


class OptionsTests(ReplicaProcess):
    """What twistd is told by the options of the replica."""

    def parse(self, *options: str, rundir: str | None = None) -> tuple[ServerOptions, Options]:
        """The options of twistd and of chatreplica, of ``twistd options chatreplica --cluster cluster.json``."""
        twistd = ServerOptions()
        ours = ["--cluster", "cluster.json", "--port", str(self.port)]
        twistd.parseOptions([*options, "--rundir", rundir or self.folder, "chatreplica", *ours])
        return twistd, twistd.subOptions

    def test_paths_are_relative_to_the_rundir(self) -> None:
        """Cluster file and data are looked for where twistd will be when it runs."""
        _, options = self.parse("-n")
        self.assertEqual(options.directory, os.path.join(self.folder, "chat-data", str(self.port)))

    def test_names_with_the_port(self) -> None:
        """Pid file and log bear the port; where twistd writes no file it gets none."""
        twistd, _ = self.parse()
        self.assertEqual(twistd["pidfile"], os.path.abspath(f"twistd-{self.port}.pid"))
        self.assertEqual(twistd["logfile"], f"twistd-{self.port}.log")
        for foreground in "-n", "--syslog":
            self.assertIsNone(self.parse(foreground)[0]["logfile"])

    def test_names_that_were_asked_for(self) -> None:
        """Names given on the command line stay, and so does no pid file at all."""
        twistd, _ = self.parse("--pidfile", "mine.pid", "--logfile", "mine.log")
        self.assertEqual((twistd["pidfile"], twistd["logfile"]), (os.path.abspath("mine.pid"), "mine.log"))
        self.assertEqual(self.parse("--pidfile=")[0]["pidfile"], "")

    def test_names_that_cannot_be(self) -> None:
        """A pid file or a log in a directory that is not there is told before twistd stumbles over it."""
        for option in "--pidfile", "--logfile":
            refusal = self.assertRaises(SystemExit, self.parse, option, "nowhere/name")
            self.assertIn("cannot write ", str(refusal.code))
