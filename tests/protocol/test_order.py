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
LAST_LINE = re.compile(r"@(\S+) \d{3} ")
OTHER_LINE = re.compile(r"@(\S+) \d{3}-")


class OrderTests(SynchronousTestCase):
    """A client that counts replies is never led astray."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.sampled_from(COMMANDS), max_size=30),
        st.lists(st.integers(1, 60), min_size=1, max_size=20),
        st.lists(st.booleans(), min_size=1, max_size=10),
    )
    def test_one_reply_a_command(self, commands: list[str], sizes: list[int], held: list[bool]) -> None:
        """Tags come back in order, each once; no event and no other reply inside a reply's lines."""
        world = World()
        world.play(
            "bob > REGISTER bob password\nbob < 230 bob 0 unread\nann > REGISTER ann password\nann < 230 ann 0 unread"
        )
        ann = world.connections["ann"]
        data = "".join(f"@{number} {command}\n" for number, command in enumerate(commands)).encode()
        turn = 0
        while data:
            size = sizes[turn % len(sizes)]
            world.journal.held = held[turn % len(held)]
            ann.send(data[:size])
            world.connections["bob"].send(b"SEND ann hello\n")
            data, turn = data[size:], turn + 1
        world.journal.held = False
        world.clock.advance(60)
        world.pass_time(0.3)
        world.run()
        self.check(ann.received().decode().splitlines(), len(commands))

    def check(self, lines: list[str], count: int) -> None:
        """The lines are the replies to so many commands, in order, with events between them only."""
        answered, inside = 0, False
        for line in lines:
            if line.startswith("* "):
                self.assertFalse(inside, line)
                continue
            found = LAST_LINE.match(line) or OTHER_LINE.match(line)
            assert found is not None, line
            self.assertEqual(found[1], str(answered))
            inside = found.re is OTHER_LINE
            answered += not inside
        self.assertEqual(answered, count)
