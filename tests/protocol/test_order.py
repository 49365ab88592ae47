"""Whatever clients send, in whatever pieces, and however slow the disk is: one reply a command, in order."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.wire import World

COMMANDS = [
    "SEND ann hi", "SEND bob hi", "SEND nobody hi", "SEND bob", "NOOP", "READ", "READ 2", "HISTORY", "HISTORY bob 3", "UNREAD",
    "LIST *", "WHO", "STATUS", "HELP", "DELETE x-1", "DELETE 0rigin00-3", "FROBNICATE", "SEND ann \x00",
    "PASSWD password password2",
    "LOGOUT", "LOGIN ann password", "LOGIN ann wrong-password", "UNREGISTER wrong-password",
]  # fmt: skip
SENT = re.compile(r"250 0rigin00-(\d+) (?:sent to|queued for) (\w+), ")
REPLIES = {  # what each SEND may be told; 530 behind LOGOUT
    "SEND ann hi": "250 530", "SEND bob hi": "250 530", "SEND nobody hi": "550 530", "SEND bob": "501 530",
    "SEND ann \x00": "501 530",
}  # fmt: skip


class OrderTests(SynchronousTestCase):
    """A client that counts replies is never led astray."""

    @settings(max_examples=150)
    @given(
        st.lists(st.tuples(st.sampled_from(COMMANDS) | st.sampled_from(COMMANDS[:3]), st.booleans()), max_size=30),
        st.lists(st.integers(1, 120), min_size=1, max_size=20),
        st.lists(st.booleans(), min_size=1, max_size=10),
    )
    def test_one_reply_a_command(self, typed: list[tuple[str, bool]], sizes: list[int], held: list[bool]) -> None:
        """Replies come in the order of the commands, with tags and without; no event and no other reply inside one's lines."""
        world = World()
        world.play(
            "bob > REGISTER bob password\nbob < 230 bob 0 unread\nann > REGISTER ann password\nann < 230 ann 0 unread"
        )
        ann = world.connections["ann"]
        commands = [(f"@{number} " if tagged else "", command) for number, (command, tagged) in enumerate(typed)]
        data = "".join(f"{tag}{command}\n" for tag, command in commands).encode()
        turn = 0
        while data:
            size = sizes[turn % len(sizes)]
            world.journal.held = held[turn % len(held)]
            ann.send(data[:size])
            world.connections["bob"].send(b"SEND ann hello\n")
            data, turn = data[size:], turn + 1
        world.journal.held = False
        world.run()
        world.clock.advance(60)
        world.pass_time(0.3)
        world.run()
        self.check(ann.received().decode().splitlines(), commands)

    def check(self, lines: list[str], commands: list[tuple[str, str]]) -> None:
        """The lines are the replies to the commands, each behind its tag, in order, with events between them only."""
        answered, inside, latest = 0, False, 0
        for line in lines:
            if line.startswith("* "):
                self.assertFalse(inside, line)
                continue
            tag, command = commands[answered]
            self.assertTrue(line.startswith(tag), (line, tag, command))
            reply = line.removeprefix(tag)
            self.assertRegex(reply, r"^\d{3}[ -]")
            self.assertIn(reply[:3], REPLIES.get(command, reply[:3]), (line, command))
            if command.startswith("SEND ") and (sent := SENT.match(reply)):
                self.assertEqual(sent[2], command.split(" ")[1])
                self.assertGreater(int(sent[1]), latest, "what was sent first has the lower id")
                latest = int(sent[1])
            inside = reply[3] == "-"
            answered += not inside
        self.assertEqual(answered, len(commands))
