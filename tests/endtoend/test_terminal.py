"""The programs that people have, telnet and nc, in a terminal: what is typed arrives, what is shown is what was sent."""

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PASSWORD, PATIENCE, Server
from tests.endtoend.terminal import Terminal
from tests.programs import needed

TEXTS = ["Привет, Боб", "你好，鲍勃", "🎉👩‍👩‍👧 и 🇺🇦", "e\u0301 é ÿ \u00ff"]


class TerminalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(self.mktemp()).start()
        self.addCleanup(self.server.kill)

    def terminal(self, *command: str) -> Terminal:
        """One that has seen the greeting."""
        needed(command[0])
        terminal = Terminal(*command, str(self.server.port))
        self.addCleanup(terminal.close)
        terminal.see("220 chattwist")
        terminal.see("\n")
        return terminal

    def telnet(self) -> Terminal:
        return self.terminal("telnet", "127.0.0.1")

    def nc(self) -> Terminal:
        return self.terminal("nc", "-N", "127.0.0.1")


class TelnetTests(TerminalTests):
    """GNU telnet as it comes."""

    def register(self, terminal: Terminal, name: str) -> None:
        """Make an account, asked for the password."""
        terminal.enter(f"REGISTER {name}", "331 ")
        terminal.enter(PASSWORD, "331 ")
        terminal.enter(PASSWORD, f"230 {name} 0 unread")

    def test_password_is_hidden(self) -> None:
        """The terminal never shows a password that was asked for, and shows again what is typed afterwards."""
        ann = self.telnet()
        self.register(ann, "ann")
        self.assertIn("NOOP", ann.enter("NOOP", "250 ok"))
        ann.enter("LOGOUT", "250 ")
        ann.enter("LOGIN ann", "331 ")
        ann.enter("not the password", "535 ")
        ann.enter("LOGIN ann", "331 ")
        ann.enter(PASSWORD, "230 ann")
        self.assertIn("HELP", ann.enter("HELP send", "214 "))
        self.assertNotIn(PASSWORD.encode(), ann.shown)
        self.assertNotIn(b"not the password", ann.shown)

    def test_all_letters(self) -> None:
        """Cyrillic, Chinese, emoji and the letter that looks like a telnet command, both ways, byte for byte."""
        ann, bob = self.telnet(), self.server.session("bob")
        self.register(ann, "ann")
        for text in TEXTS:
            ann.enter(f"SEND bob {text}", "250 ")
            self.assertEqual(bob.line().split(" ", 6)[6], text)
            bob.expect("250", f"SEND ann {text}!")
            ann.see(f" bob ann {text}!\r\n")

    def test_letters_that_telnet_takes_for_commands(self) -> None:
        """Who never was asked for a password is told once to send such a line again; from then on all letters arrive."""
        ann = self.telnet()
        ann.enter(f"REGISTER ann {PASSWORD}", "230 ")
        ann.enter("SEND ann Я рядом", "500 a telnet command")
        ann.enter("SEND ann Я рядом", " ann ann Я рядом\r\n")

    def test_letters_that_telnet_takes_apart(self) -> None:
        """Who never was asked for a password, and whose letters arrive broken, is told what to press; then all arrive."""
        ann = self.telnet()
        ann.enter(f"REGISTER ann {PASSWORD}", "230 ")
        ann.enter("SEND ann х Å", "in telnet press Ctrl-C once")
        ann.enter("\x03NOOP", "250 ok")
        ann.enter("SEND ann ”х Å”", " ann ann ”х Å”\r\n")

    def test_ctrl_c(self) -> None:
        """Ctrl-C in the middle of a line or before one: the session goes on, and its output comes back."""
        ann = self.telnet()
        self.register(ann, "ann")
        ann.type("SEND ann half a li\x03")
        ann.enter("", "\n")
        ann.enter("\x03NOOP", "250 ok")
        ann.enter("SEND ann whole", " whole\r\n")
        self.assertNotIn("half", "".join(self.server.session("ann").history()))

    def test_backspace(self) -> None:
        """A typing error can be corrected, in the letters of any language."""
        ann = self.telnet()
        self.register(ann, "ann")
        ann.enter("SEND ann helo\x7flo Мирт\x7f", "250 ")
        self.assertEqual(self.server.session("ann").history()[0].split(" ", 4)[4], "hello Мир")

    def test_quit(self) -> None:
        """After QUIT telnet ends by itself."""
        ann = self.telnet()
        ann.enter("QUIT", "221 ")
        ann.see_the_end()
        self.assertIn(b"Connection closed", ann.shown)


class NcTests(TerminalTests):
    """OpenBSD's nc."""

    def test_all_letters(self) -> None:
        """Cyrillic, Chinese and emoji, both ways, byte for byte."""
        ann, bob = self.nc(), self.server.session("bob")
        ann.enter(f"REGISTER ann {PASSWORD}", "230 ")
        for text in TEXTS:
            ann.enter(f"SEND bob {text}", "250 ")
            self.assertEqual(bob.line().split(" ", 6)[6], text)
            bob.expect("250", f"SEND ann {text}!")
            ann.see(f" bob ann {text}!\r\n")

    def test_asked_for_a_password(self) -> None:
        """What is typed into nc shows, so the question says it; nothing of telnet is ever sent to nc."""
        ann = self.nc()
        self.assertIn("it shows", ann.enter("REGISTER ann", "331 ") + ann.see("\n"))
        ann.enter(PASSWORD, "331 ")
        ann.enter(PASSWORD, "230 ann 0 unread")
        self.assertNotIn(b"\xff", ann.shown)

    def check_piped(self, end: str) -> None:
        """Pipe lines that end so into nc, and compare."""
        needed("nc")
        lines = [f"LOGIN ann {PASSWORD}", f"REGISTER ann {PASSWORD}", "SEND ann hi", "WHO", "NOOP", ""]
        nc = subprocess.run(
            ["nc", "-N", "127.0.0.1", str(self.server.port)],
            input=end.join(lines).encode(), stdout=subprocess.PIPE, timeout=PATIENCE, check=True,
        )  # fmt: skip
        greeting, _, rest = nc.stdout.decode().partition("\r\n")
        self.assertTrue(greeting.startswith("220 "))
        codes = [line[:3] for line in rest.split(end) if not line.startswith("* ")]
        self.assertEqual(codes, ["535", "230", "250", "212", "212", "250", ""], rest)

    def test_piped(self) -> None:
        """All replies to what is piped into nc come out."""
        self.check_piped("\n")

    def test_piped_from_windows(self) -> None:
        """Lines that end with CR LF are answered with such lines."""
        self.check_piped("\r\n")
