"""README.md tells what the code does. ``python -m tests.test_readme`` prints the command table for it."""

import os
import re
from collections.abc import Iterator

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Limits, Timings
from chattwist.protocol.commands import COMMANDS, Command
from tests.wire import World

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = ["README.md", os.path.join("docs", "SCRIPTING.md")]

TYPED = [  # who types what in README's session; a password that telnet hides is marked
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


def _row(command: Command) -> str:
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


def played() -> dict[str, list[str]]:
    """What both see when README's session is typed: nc shows all, telnet hides what it is asked to hide."""
    world = World()
    screens: dict[str, list[str]] = {name: _shown(world.connect(name).received()) for name in ("alice", "bob")}
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


if __name__ == "__main__":
    print(command_table())
