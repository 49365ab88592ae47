"""README.md tells what the code does. ``python -m tests.test_readme`` prints its command table and its session."""

import os
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from chattwist.chat import Chat
from chattwist.cluster import DEFAULT, Cluster, Limits, Timings
from chattwist.protocol.commands import COMMANDS, Row
from chattwist.protocol.server import Clients
from chattwist.replica import Replica
from chattwist.replication.log import Log
from chattwist.replication.messages import State
from tests.test_purity import SHELL, modules
from tests.wire import NOON, Connection, MemoryJournal, NoThreads, World

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = ["README.md", os.path.join("docs", "SCRIPTING.md")]
DESIGN = os.path.join("chattwist", "replication", "DESIGN.md")

AT = {"alice": 5001, "bob": 5002}  # who is at which replica in README's session
TYPED = [  # who types what in it; a password that telnet hides is marked
    ("alice", "register alice open-sesame"),
    ("bob", "register bob"),
    ("bob", "(hidden)correct horse"),
    ("bob", "(hidden)correct horse"),
    ("alice", "who"),
    ("alice", "send bob Hello Bob, are you there?"),
    ("bob", "send alice Hi Alice, I am here."),
    ("alice", "send bob Lunch at one?"),
    ("bob", "quit"),
    ("alice", "send bob Or at two?"),
]
_OF_TELNET_ITSELF = ("Trying ", "Connected to ", "Escape character ", "Connection closed ")


def document(name: str) -> str:
    """The text of a document of the project."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def command_table() -> str:
    """README's table of the commands."""
    return "\n".join(["| command | does | login | replies |", "|---|---|---|---|", *map(_row, COMMANDS.values())])


def _row(command: Row) -> str:
    when = "any time" if command.before_login and command.after_login else "before" if command.before_login else "after"
    return f"| `{command.usage}` | {command.does} | {when} | {' '.join(map(str, sorted(command.all_codes)))} |"


def settings() -> Iterator[tuple[str, str]]:
    """Names and defaults of the cluster file's timings and limits, as README writes them."""
    for section, values in (("timings", Timings()), ("limits", Limits())):
        for name, value in msgspec.structs.asdict(values).items():
            yield f"{section}.{name}", f"{value:g}" if isinstance(value, float) and value < 1000 else str(int(value))


def screen_of(program: str) -> list[str]:
    """What README shows of a program's session, without the program's own words, ids and times."""
    found = re.search(rf"^```\n\$ {program} [^\n]*\n(.*?)^```$", document("README.md"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return [masked(line) for line in found[1].splitlines() if not line.startswith(_OF_TELNET_ITSELF)]


def masked(line: str) -> str:
    """A line without what differs at each run."""
    return re.sub(r"\b[0-9a-z]{8}-(\d+)\b", r"ID-\1", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line))


class Wires:
    """What a replica says to the others, until somebody carries it there; the Channel of its Member."""

    def __init__(self, rank: int, letters: deque[tuple[int, int, bytes]]) -> None:
        self._rank, self._letters = rank, letters

    def send(self, rank: int, message: bytes, at_once: bool = False) -> bool:
        """Send; it arrives later."""
        self._letters.append((self._rank, rank, message))
        return True

    def abort(self, rank: int) -> None:
        """Nobody is dropped here."""


class Three:
    """The cluster that runs without a cluster file, in memory: ``connect(name)`` goes to the replica of AT."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cluster = Cluster(DEFAULT.replicas, limits=Limits(bcrypt_cost=4))
        self.connections: dict[str, Connection] = {}
        self.journals = {address.port: MemoryJournal() for address in self.cluster.replicas}
        self._letters: deque[tuple[int, int, bytes]] = deque()
        self.replicas = [self._replica(rank) for rank in range(len(self.cluster.replicas))]
        for rank, replica in enumerate(self.replicas):
            replica.start(Wires(rank, self._letters))
            for other in range(len(self.replicas)):
                if other != rank:
                    replica.member.connected(other)
        self.run()

    def _replica(self, rank: int) -> Replica:
        address, threads = self.cluster.replicas[rank], NoThreads()
        any_threads: Any = threads
        return Replica(
            self.cluster, address, Chat(), Log(), State(), self.journals[address.port], any_threads, self.clock, self._failed,
            lambda: f"0rigin0{rank}", lambda: int((NOON + self.clock.seconds()) * 1_000_000),
        )  # fmt: skip

    def _failed(self, failure: BaseException) -> None:
        raise failure

    def connect(self, name: str) -> Connection:
        """A new client of the replica of AT."""
        replica = self.replicas[[address.port for address in self.cluster.replicas].index(AT[name])]
        self.connections[name] = connection = Connection(cast(World, self), Clients(replica, self.cluster, self.clock))
        connection.begin()
        return connection

    def run(self) -> None:
        """Let everything happen that needs no time to pass."""
        busy = True
        while busy:
            self.clock.advance(0)
            worked = [journal.work() for journal in self.journals.values()]
            flushed = [connection.transport.flush() for connection in self.connections.values()]
            due = any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())
            busy = any(worked) or any(flushed) or due or self._carry()

    def _carry(self) -> bool:
        letters = list(self._letters)
        self._letters.clear()
        for sender, recipient, message in letters:
            self.replicas[recipient].member.received(sender, message)
        return bool(letters)


def played() -> dict[str, list[str]]:
    """What both see when README's session is typed: nc shows all, telnet hides what it is asked to hide."""
    world = Three()
    screens: dict[str, list[str]] = {name: _shown(world.connect(name).received()) for name in AT}
    for name, typed in TYPED:
        if not typed.startswith("(hidden)"):
            screens[name].append(typed)
        ending = b"\r\n" if name == "bob" else b"\n"
        world.connections[name].send(typed.removeprefix("(hidden)").encode() + ending)
        for each, screen in screens.items():
            screen += _shown(world.connections[each].received())
    return screens


def _shown(received: bytes) -> list[str]:
    return [masked(line) for line in re.sub(rb"\xff[\xfb-\xfe].", b"", received, flags=re.DOTALL).decode().splitlines()]


class ReadmeTests(SynchronousTestCase):
    """What can be compared with the code."""

    maxDiff = None

    def test_command_table(self) -> None:
        """Its table has all commands with all their replies, as the code has them."""
        self.assertTrue(command_table() in document("README.md"), f"README.md needs this table:\n{command_table()}")

    def test_settings(self) -> None:
        """Its table of settings has all timings and limits, with the values that hold where they are left out."""
        rows = re.findall(r"^\| `((?:timings|limits)\.\w+)` \| (\S+) \|", document("README.md"), re.MULTILINE)
        self.assertEqual(rows, list(settings()))

    def test_session(self) -> None:
        """The session it shows is what happens when the same is typed."""
        screens = played()
        for name, program in (("alice", "nc"), ("bob", "telnet")):
            self.assertEqual(screen_of(program), screens[name], f"README.md shows another session of {name}")

    def test_links(self) -> None:
        """Links in the documents lead somewhere."""
        for name in DOCUMENTS:
            folder = os.path.dirname(os.path.join(ROOT, name))
            for target in re.findall(r"\]\(([^)#:]+)\)", document(name)):
                self.assertTrue(os.path.exists(os.path.join(folder, target)), f"{name}: no {target}")

    def test_links_to_headings(self) -> None:
        """Links to a heading have one."""
        headings = {
            heading.lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", document("README.md"), re.MULTILINE)
        }
        self.assertEqual(set(re.findall(r"\]\(#([^)]+)\)", document("README.md"))) - headings, set())


class ArchitectureTests(SynchronousTestCase):
    """Its list of the modules."""

    def listed(self) -> dict[str, str]:
        """What it says, by package: of those in packages all of it, else the names."""
        text = document("README.md").split("## Architecture\n")[1].split("## Contributing\n")[0]
        found = {"chattwist": ""}
        for entry in re.findall(r"^ {4}(?! |\w+ → )(.*\n(?: {5,}.*\n)*)", text, re.MULTILINE):
            package = re.match(r"(\w+)/ ", entry)
            if package is not None:
                found[f"chattwist.{package[1]}"] = entry
            else:
                found["chattwist"] += re.split("  |\n", entry)[0] + "\n"
        return found

    def test_modules(self) -> None:
        """It has each module, in its package; those with a star, and no others, are pure, but for the clock of one."""
        listed = self.listed()
        for name, path in modules():
            package, _, module = name.rpartition(".")
            if not path.endswith("__init__.py"):
                star = r"(?!\*)" if name in SHELL or name == "chattwist.store.worker" else r"\*"
                self.assertRegex(listed[package], rf"\b{module}\b{star}")

    def test_no_others(self) -> None:
        """What it names is there."""
        there = {name.rpartition(".")[2] for name, _ in modules()}
        listed = self.listed()
        names = re.findall(r"\w+", listed["chattwist"]) + re.findall(r"(\w+)\*", "".join(listed.values()))
        self.assertEqual(set(names) - there, set())


class DesignTests(SynchronousTestCase):
    """What replication/DESIGN.md says of the code."""

    def rules(self) -> dict[str, str]:
        """Each rule with what is said about it."""
        parts = re.split(r"^- \*\*(R\d+)\*\* ", document(DESIGN).split("## Messages")[0], flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def sources(self) -> Iterator[tuple[str, str]]:
        """Path below chattwist, and text, of every module."""
        root = os.path.join(ROOT, "chattwist")
        for folder, _, names in os.walk(root):
            for path in (os.path.join(folder, name) for name in names if name.endswith(".py")):
                yield os.path.relpath(path, root), document(path)

    def test_rules(self) -> None:
        """Every rule that the code names is one of those that stand there, and each of those is named."""
        named = {rule for _, text in self.sources() for rule in re.findall(r"\bR\d+\b", text)}
        self.assertEqual(named, set(self.rules()))
        self.assertEqual([f"R{number + 1}" for number in range(len(self.rules()))], list(self.rules()))

    def test_places(self) -> None:
        """Every module in which a rule is said to be kept is there, and names the rule."""
        there = {path.removesuffix(".py"): text for path, text in self.sources()}
        for rule, text in self.rules().items():
            kept_in = re.findall(r"(?:(chattwist|store|protocol)/)?`(\w+)[.\w]*`(?=[,:)])", text[text.rindex(" (") :])
            self.assertNotEqual(kept_in, [], rule)
            for package, name in kept_in:
                folder = {"chattwist": "", "": "replication/"}.get(package, f"{package}/")
                self.assertIn(folder + name, there, rule)
                self.assertTrue(re.search(rf"\b{rule}\b", there[folder + name]), f"{folder}{name} does not name {rule}")


if __name__ == "__main__":
    print(command_table(), *("\n".join(["", *screen]) for screen in played().values()), sep="\n")
