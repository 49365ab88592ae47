"""chattwist.commits: what shares a commit, and what waits for the next one."""

from twisted.trial.unittest import SynchronousTestCase

from tests.wire import World


class SettledTests(SynchronousTestCase):
    def test_waits_for_what_waits_for_another(self) -> None:
        """A replica that stops has answered also what could not share a commit with the same done by another session."""
        world = World()
        names = "ann", "bob"
        for name in names:
            world.connect(name).send(f"REGISTER {name} password\n".encode())
        ann, bob = (world.connections[name] for name in names)
        ann.send(b"SEND bob hi\n")
        bob.send(b"NOOP\n")  # it has read the message
        (message,) = world.chat.messages
        for connection in ann, bob:
            connection.received()
            connection.protocol.dataReceived(f"DELETE {message}\n".encode())
        said: list[bytes] = []

        def look(_: None) -> None:
            for connection in ann, bob:
                connection.transport.flush()
                said.append(connection.received())

        world.replica.settled().addCallback(look)
        world.run()
        self.assertIn(b"250 1 deleted\n", said[0])
        self.assertIn(b"550 ", said[1])
