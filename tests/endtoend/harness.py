"""Real servers and their clients: twistd in a process of its own, on a free port, with its own folder. All calls wait."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import IO

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 180.0  # seconds until a test gives up on an answer: a machine that does much else can take a minute
PASSWORD = "a-good-password"

TWISTD = (  # Ctrl-C and a hang-up are heard, also where the tests run in a shell's background or under nohup: those ignore them
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "from twisted.scripts.twistd import run; run()"
)
SHORT_JOURNALS = (
    "from functools import partial; from chattwist.store.store import Store; "
    "Store.open = partial(Store.open, journal_size={}); "
)


def free_port() -> int:
    """A port on which nobody listens, and whose channel (port + 10000) is free as well."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe, socket.socket() as channel:
            port = int(probe.getsockname()[1])
            try:
                channel.bind(("127.0.0.1", port + 10000))
            except (OSError, OverflowError):
                continue
            return port


class Server:
    """One replica that is alone in its cluster file, in ``folder``; hashing is cheap.

    ``data`` is its own directory, ``log`` what the present process has logged, a line an entry; what all of them have
    logged is in the file ``log``.
    """

    def __init__(
        self,
        folder: str,
        limits: Mapping[str, int] | None = None,
        journal_size: int = 0,
        port: int = 0,
        cluster: Mapping[str, object] | None = None,
        data: str = "chat-data",
    ) -> None:
        """``limits`` are the cluster file's; with ``journal_size``, in bytes, journals are closed and compacted early.

        For one of several: its ``port``, all that its ``cluster`` file says, and --data, relative to ``folder``.
        """
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.port = port or free_port()
        self._data = data
        self.data = os.path.normpath(os.path.join(self.folder, data, str(self.port)))
        self.log: list[str] = []
        self._clients: list[Client] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._program = (SHORT_JOURNALS.format(journal_size) if journal_size else "") + TWISTD
        with open(os.path.join(self.folder, "cluster.json"), "w") as file:
            replicas = [{"host": "127.0.0.1", "port": self.port}]
            json.dump(cluster or {"replicas": replicas, "limits": {"bcrypt_cost": 4, **(limits or {})}}, file)

    def start(
        self, *options: str, environment: Mapping[str, str] | None = None, limit: Callable[[], None] | None = None
    ) -> "Server":
        """Start as ``launch`` does, and return once it takes clients; AssertionError if it ends instead."""
        self.launch(*options, environment=environment, limit=limit)
        if not self.is_ready():
            raise AssertionError(f"it did not start: {self.errors()}{self.text()}")
        return self

    def launch(
        self, *options: str, environment: Mapping[str, str] | None = None, limit: Callable[[], None] | None = None
    ) -> None:
        """Start without waiting; ``limit`` is called in the new process before twistd."""
        command = [sys.executable, "-c", self._program, "-n", "chatreplica", "--cluster", "cluster.json"]
        command += ["--port", str(self.port), "--data", self._data, *options]
        with open(os.path.join(self.folder, "stderr"), "wb") as stderr:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, "PYTHONPATH": ROOT, **(environment or {})},
                stdout=subprocess.PIPE, stderr=stderr, preexec_fn=limit, bufsize=0, start_new_session=True,
            )  # fmt: skip
        self.log = []
        self._told, self._ready = Event(), False
        assert self.process.stdout is not None
        self._listener = Thread(target=self._listen, args=(self.process.stdout, self.log, self._told), daemon=True)
        self._listener.start()

    def _listen(self, stdout: IO[bytes], log: list[str], told: Event) -> None:
        with open(os.path.join(self.folder, "log"), "ab", buffering=0) as file:
            for line in stdout:
                file.write(line)
                log.append(line.decode(errors="replace"))
                if f"replica {self.port} ready" in log[-1]:
                    self._ready = True
                    told.set()
        told.set()
        stdout.close()

    def is_ready(self) -> bool:
        """Wait until it takes clients, or ends without."""
        if not self._told.wait(PATIENCE):
            raise AssertionError("it neither serves nor ends")
        return self._ready

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def text(self) -> str:
        """All that it has logged."""
        return "".join(self.log)

    def errors(self) -> str:
        """What it said on stderr."""
        with open(os.path.join(self.folder, "stderr")) as file:
            return file.read()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        assert self.process is not None
        status = self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        return status

    def stop(self) -> int:
        """Hang up all clients and stop it in good order; the exit status."""
        while self._clients:
            self._clients.pop().close()
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.wait()

    def client(self) -> "Client":
        """A new connection that has been greeted."""
        client = Client(self.port)
        self._clients.append(client)
        return client

    def session(self, name: str) -> "Client":
        """A new connection that is logged in as ``name``, a new account if there is none."""
        client = self.client()
        answer = client.ask(f"TAKEOVER {name} {PASSWORD}")[-1]
        if answer.startswith("535"):
            client.expect("230", f"REGISTER {name} {PASSWORD}")
        elif not answer.startswith("230"):
            raise AssertionError(f"{name} was answered {answer!r}")
        return client


class Client:
    """One connection; lines are text without their ends. OSError once it is broken or silent for too long."""

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        """``patience``: seconds without a byte until it is too long."""
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self.socket.makefile("rb")
        self.events: list[str] = []
        self.greeting = self.line()

    def send(self, *lines: str) -> None:
        """Send lines, all at once."""
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def line(self) -> str:
        """The next line, whatever it is."""
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError(f"the connection ended, with {line!r}")
        return line.rstrip(b"\r\n").decode()

    def reply(self) -> list[str]:
        """The lines of the next reply, without their tag; events before it are put into ``events``."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            line = self.line()
            if line.startswith("* "):
                self.events.append(line)
            else:
                lines.append(line.partition(" ")[2] if line.startswith("@") else line)
        return lines

    def ask(self, line: str) -> list[str]:
        """Send one command and wait for its reply."""
        self.send(line)
        return self.reply()

    def expect(self, code: str, line: str) -> list[str]:
        """Send one command; AssertionError unless its reply has that code."""
        lines = self.ask(line)
        if not lines[-1].startswith(code):
            raise AssertionError(f"{line[:100]!r} was answered {lines[-1]!r}, not {code}")
        return lines

    def history(self) -> list[str]:
        """All messages of the account, newest page first and oldest first in each, each ``ID TIME SENDER RECIPIENT text``."""
        found: list[str] = []
        before = ""
        while True:
            *messages, last = self.expect("213", f"HISTORY 200{before}")
            found += [line[4:] for line in messages]
            if ", more before " not in last:
                return found
            before = f" BEFORE {last.rpartition(' ')[2]}"

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self.socket.close()
