"""The scripts of etc/expect, with the real telnet and the real nc."""

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PASSWORD, PATIENCE, ROOT, Server
from tests.programs import needed

TEXT = "Привет, 世界 👋  250 $HOME [exit] {\ttab"
MESSAGE = r"^[0-9a-z]{8}-\d+ \S+Z %s %s %s\n$"
DONE, REFUSED, WRONGLY, NOT_NOW = 0, 1, 64, 75


class TelnetTests(SynchronousTestCase):
    """With telnet, whose terminal echoes what is typed."""

    client = "telnet"

    def setUp(self) -> None:
        needed("expect", self.client)
        self.server = Server(self.mktemp()).start()
        self.addCleanup(self.server.kill)

    def begin(self, script: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a script."""
        settings = {"CHAT_PORT": str(self.server.port), "CHAT_CLIENT": self.client, "CHAT_PASSWORD": PASSWORD}
        return subprocess.Popen(
            [os.path.join(ROOT, "etc", "expect", f"{script}.exp"), *arguments], env={**os.environ, **settings, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str]", status: int = DONE) -> str:
        """What a script prints, or where it ought to fail, complains of."""
        output, complaint = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, status, output + complaint)
        return output if status == DONE else complaint

    def run_script(self, script: str, *arguments: str, status: int = DONE, **environment: str) -> str:
        """Run a script to its end."""
        return self.end(self.begin(script, *arguments, **environment), status)

    def test_register(self) -> None:
        """register.exp makes an account, also with spaces and other letters in its password; a name that is taken is refused."""
        secret = "пароль со 空格"
        self.assertEqual(self.run_script("register", "ann", CHAT_PASSWORD=secret), "ann 0 unread\n")
        self.assertEqual(self.run_script("newest", "ann", CHAT_PASSWORD=secret), "")
        self.assertIn("551", self.run_script("register", "ANN", CHAT_PASSWORD=secret, status=REFUSED))

    def test_send_and_newest(self) -> None:
        """send.exp sends any text as it is; newest.exp shows the newest messages, once."""
        for name in ("ann", "bob"):
            self.server.session(name).expect("221", "QUIT")
        self.assertRegex(self.run_script("send", "ann", "bob", "the first"), r"^\S+ queued for bob, on 1 replicas\n$")
        self.run_script("send", "ann", "bob", TEXT)
        newest = self.run_script("newest", "bob", "1")
        self.assertRegex(newest, MESSAGE % ("ann", "bob", ".*"))
        self.assertTrue(newest.endswith(f" {TEXT}\n"), newest)
        self.assertRegex(self.run_script("newest", "bob"), MESSAGE % ("ann", "bob", "the first"))
        self.assertEqual(self.run_script("newest", "bob"), "")

    def test_send_with_a_retry_key(self) -> None:
        """send.exp run twice with one CHAT_KEY sends one message and prints the same id."""
        ann = self.server.session("ann")
        ann.expect("250", "LOGOUT")
        first = self.run_script("send", "ann", "ann", "once", CHAT_KEY="key-1")
        again = self.run_script("send", "ann", "ann", "once", CHAT_KEY="key-1")
        self.assertEqual(first.split()[0], again.split()[0])
        ann.expect("230", f"LOGIN ann {PASSWORD}")
        self.assertEqual(len(ann.history()), 1)

    def test_answer(self) -> None:
        """answer.exp waits for a message, shows it, and answers it."""
        ann = self.server.session("ann")
        self.server.session("bob").expect("221", "QUIT")
        answering = self.begin("answer", "bob", "I am here")
        while len(ann.expect("212", "WHO")) < 3:  # both names, and how many
            self.assertIsNone(answering.poll(), "it ended before a message came")
        ann.expect("250", "SEND bob are you there?")
        self.assertRegex(self.end(answering), MESSAGE % ("ann", "bob", r"are you there\?"))
        self.assertEqual([line.split(" ", 4)[4] for line in ann.history()], ["are you there?", "I am here"])

    def test_answer_gives_up(self) -> None:
        """answer.exp says so when nothing came for CHAT_WAIT seconds."""
        self.server.session("bob").expect("221", "QUIT")
        self.assertIn("nothing came", self.run_script("answer", "bob", "hi", CHAT_WAIT="1", status=NOT_NOW))

    def test_refused(self) -> None:
        """What the server refuses for good is status 1, what may be tried again 75; both with the server's words."""
        ann = self.server.session("ann")
        self.assertIn("453", self.run_script("send", "ann", "ann", "hi", status=NOT_NOW))
        ann.expect("250", "LOGOUT")
        self.assertIn("550", self.run_script("send", "ann", "nobody", "hi", status=REFUSED))
        self.assertIn("535", self.run_script("newest", "ann", CHAT_PASSWORD="not-the-password", status=REFUSED))

    def test_no_server(self) -> None:
        """Without a server they end with status 75, and one line."""
        self.server.kill()
        complaint = self.run_script("newest", "ann", status=NOT_NOW)
        self.assertEqual(complaint, "newest.exp: no connection, or it ended\n")

    def test_called_wrongly(self) -> None:
        """Wrong arguments show the usage; nothing is typed that a terminal would take for a command or for two lines."""
        self.server.session("ann").expect("221", "QUIT")
        for script, arguments in (("register", ["a", "b"]), ("send", ["ann"]), ("answer", ["ann"]), ("newest", [])):
            self.assertRegex(self.run_script(script, *arguments, status=WRONGLY), rf"^usage: {script}\.exp NAME")
        for text in ("one\ntwo", "\x1d", "\x03", "x" * 4001):
            self.run_script("send", "ann", "ann", text, status=WRONGLY)
        self.run_script("send", "ann", "ann bob", "hi", status=WRONGLY)
        self.run_script("send", "ann", "ann", "hi", CHAT_KEY="two words", status=WRONGLY)
        self.assertEqual(self.run_script("newest", "ann"), "")


class NetcatTests(TelnetTests):
    """The same with nc."""

    client = "nc"
