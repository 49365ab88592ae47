"""PROTOCOL.txt and the code say the same."""

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from chattwist import errors
from chattwist.protocol import accounts, client, information, messages
from chattwist.protocol.commands import COMMANDS, Row

TEXT = (files("chattwist.protocol") / "PROTOCOL.txt").read_text()
RECORDING = "A command that records something, and a login, can meet these, too:"


def sections() -> dict[str, str]:
    """The text about each command, by its verb."""
    parts = re.split(r"^([A-Z]{3,})(?= |$)", TEXT, flags=re.MULTILINE)
    return {verb: re.split(r"\n\n\n|\n331 means", body)[0] for verb, body in zip(parts[1::2], parts[2::2], strict=True)}


def codes(text: str) -> set[int]:
    """The codes at the beginnings of lines."""
    return {int(code) for code in re.findall(r"^(\d{3})[ -]", text, flags=re.MULTILINE)}


def general(command: Row) -> set[int]:
    """What a section leaves out, and HELP does not: wrong arguments, and what recording or a login can meet."""
    recording = codes(TEXT.split(RECORDING)[1].split("\n\n\n")[0])
    login = command.verb in ("LOGIN", "TAKEOVER")
    return {501} | (recording if command.records else recording - {454} if login else set())


def sent_by_the_code() -> set[int]:
    """Every code in an error, or given to a reply."""
    found = {
        error.code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, errors.ChatError)
    }
    for module in (accounts, client, information, messages):
        source = (files("chattwist.protocol") / f"{module.__name__.split('.')[-1]}.py").read_text()
        found |= {int(code) for code in re.findall(r"reply\((\d{3}),", source)}
    return found | {331, client.CLOSING}


class ContractTests(SynchronousTestCase):
    """A client's author needs to read only that file."""

    def test_verbs(self) -> None:
        """The file has a section for each command that there is, and no other."""
        self.assertEqual(set(sections()), set(COMMANDS))

    def test_usage(self) -> None:
        """Each section begins with the usage that HELP shows."""
        for verb, body in sections().items():
            usage = re.sub(r"[<>]", "", verb + body.split("\n", 1)[0])
            self.assertEqual(usage, COMMANDS[verb].usage)

    def test_codes_of_each_command(self) -> None:
        """What a section lists, and what it says of commands in general, are the replies that HELP lists, and no others."""
        for verb, body in sections().items():
            self.assertEqual(codes(body) | general(COMMANDS[verb]), set(COMMANDS[verb].all_codes), verb)

    def test_all_codes(self) -> None:
        """Every code that the server can send stands in the file, and every code in the file can be sent."""
        self.assertEqual(codes(TEXT), sent_by_the_code())

    def test_events(self) -> None:
        """Every event that is sent stands in the file."""
        sent = set()
        for path in (*files("chattwist").iterdir(), *files("chattwist.protocol").iterdir()):
            if path.name.endswith(".py"):
                sent |= set(re.findall(r"""(?:event\(f?"|b"\* )([A-Z]{3,})""", path.read_text()))
        self.assertEqual(set(re.findall(r"^\* ([A-Z]+)", TEXT, flags=re.MULTILINE)), sent)
