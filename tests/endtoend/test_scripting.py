"""What README.md and docs/SCRIPTING.md tell people to type into a shell does what they say."""

import os
import re
import shutil
import socket
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PASSWORD, PATIENCE, ROOT, Server
from tests.programs import needed
from tests.test_readme import document


def snippet(word: str, name: str = os.path.join("docs", "SCRIPTING.md")) -> str:
    """The block of shell commands in a document that contains ``word``."""
    blocks = re.findall(r"^```bash\n(.*?)^```$|((?:^    [^\n]*\n)+)", document(name), re.MULTILINE | re.DOTALL)
    found = [fenced or re.sub(r"^    ", "", indented, flags=re.MULTILINE) for fenced, indented in blocks]
    (block,) = [block for block in found if word in block]
    return block


class ScriptingTests(SynchronousTestCase):
    """The commands as they stand there, but for the port."""

    def setUp(self) -> None:
        needed("bash", "nc")
        self.server = Server(self.mktemp()).start()
        self.addCleanup(self.server.kill)
        self.ann = self.server.session("ann")

    def begin(self, script: str) -> "subprocess.Popen[str]":
        """Give commands to a shell."""
        script = script.replace("127.0.0.1 5001", f"127.0.0.1 {self.server.port}")
        environment = {**os.environ, "CHAT_PASSWORD": PASSWORD, "CHAT_PORT": str(self.server.port), "PYTHONPATH": ROOT}
        return subprocess.Popen(
            ["bash", "-c", script], env=environment, cwd=self.server.folder, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str]") -> str:
        """What the commands print, once they are done without a complaint."""
        output, complaint = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, complaint), (0, ""), output)
        return output

    def shell(self, script: str) -> str:
        """Run commands to their end."""
        return self.end(self.begin(script))

    def robot(self) -> None:
        """Make the account of the scripts."""
        self.server.session("robot").expect("221", "QUIT")

    def texts(self) -> list[str]:
        """What ann got and sent, newest first."""
        return [line.split(" ", 4)[4] for line in self.ann.history()]

    def test_one_go(self) -> None:
        """Commands in, replies out."""
        lines = self.shell(snippet("REGISTER robot")).splitlines()
        self.assertEqual([line[:3] for line in lines], ["220", "230", "250"])
        self.assertEqual(self.texts(), ["the disk of db1 is nearly full"])

    def test_a_tag(self) -> None:
        """The number of unread messages, found by its tag."""
        self.robot()
        for text in ("one", "two"):
            self.ann.expect("250", f"SEND robot {text}")
        self.assertEqual(self.shell(snippet("@mail UNREAD")), "2\n")

    def test_sent_once(self) -> None:
        """The loop with a retry key sends one message, however often it is run on one day."""
        self.robot()
        for _ in range(2):
            self.assertEqual(self.shell(snippet("send_once()")), "")
        self.assertEqual(self.texts(), ["the backup of today is done"])

    def test_sent_once_ends_when_it_is_refused(self) -> None:
        """The loop with a retry key does not go on where the server will not change its mind."""
        process = self.begin(snippet("send_once()").replace(" ann ", " nobody "))
        self.assertIn("535", process.communicate(timeout=PATIENCE)[1])  # there is no robot
        self.robot()
        process = self.begin(snippet("send_once()").replace(" ann ", " nobody "))
        self.assertIn("550", process.communicate(timeout=PATIENCE)[1])
        self.assertEqual(process.returncode, 1)

    def test_sent_once_goes_on_while_logins_are_refused(self) -> None:
        """Where the server does not let anybody in now, or not even answers, the loop tries again later."""
        sends = [
            "",
            "421 stopping\n",
            "220 ready\n451 no primary\n@!k 530 log in first\n",
            "220\n230 robot\n@!k 250 1-1 sent\n",
        ]
        with socket.create_server(("127.0.0.1", 0)) as server:
            script = snippet("send_once()").replace("backup-$(date +%F)", "k").replace("sleep 2", "sleep 0.1")
            process = self.begin(script.replace("127.0.0.1 5001", f"127.0.0.1 {server.getsockname()[1]}"))
            for text in sends:
                client, _ = server.accept()
                with client, client.makefile("rwb") as lines:
                    lines.write(text.encode())
                    lines.flush()
                    client.shutdown(socket.SHUT_WR)
                    lines.read()
        self.assertEqual(self.end(process), "")

    def test_waiting_for_a_message(self) -> None:
        """The bot shows what it gets, answers it, and ends when it is told to."""
        self.robot()
        bot = self.begin(snippet("coproc"))
        while "212-robot" not in self.ann.expect("212", "WHO"):
            self.assertIsNone(bot.poll(), "it ended before a message came")
        for text in ("привет", "stop"):
            self.ann.expect("250", f"SEND robot {text}")
        self.assertEqual(self.end(bot), "ann: привет\nann: stop\n")
        self.assertEqual(len([text for text in self.texts() if text.startswith("I got ")]), 2)

    def test_expect(self) -> None:
        """The example of a script from etc/expect."""
        needed("expect")
        self.robot()
        os.symlink(os.path.join(ROOT, "etc"), os.path.join(self.server.folder, "etc"))
        self.assertIn(" sent to ann", self.shell(snippet("CHAT_CLIENT=")))
        self.assertEqual(self.texts(), ["the lift works again"])

    def backup(self) -> str:
        """Copy the running server's files; where the copy is."""
        copy = os.path.join(self.server.folder, "backup", "5001")
        shutil.copytree(self.server.data, copy)
        return copy

    def check(self) -> "subprocess.Popen[str]":
        """README's check of a backup."""
        return self.begin(snippet("backup/5001", "README.md").replace(".venv/bin/python", sys.executable))

    def test_backup(self) -> None:
        """README's check of a copy counts its operations."""
        self.robot()
        self.backup()
        self.assertEqual(self.end(self.check()), "4 operations, all whole\n")

    def test_damaged_backup(self) -> None:
        """README's check of a copy complains of damage, names the place, and changes nothing."""
        self.robot()
        journal = os.path.join(self.backup(), "journal-000001.jsonl")
        with open(journal, "rb+") as file:
            damaged = file.read().replace(b"ann", b"eve", 1)
            file.seek(0)
            file.write(damaged)
        process = self.check()
        self.assertIn("journal-000001.jsonl: line 2", process.communicate(timeout=PATIENCE)[1])
        self.assertNotEqual(process.returncode, 0)
        with open(journal, "rb") as file:
            self.assertEqual(file.read(), damaged)

    def test_jq(self) -> None:
        """README's jq finds the messages in the files."""
        needed("jq")
        self.ann.expect("250", "SEND ann a note")
        script = snippet("jq -r", "README.md").replace("chat-data/5001", self.server.data)
        self.assertRegex(self.shell(script), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t\S+-\d+\ta note\n$")
