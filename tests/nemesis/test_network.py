"""The proxies between replicas do what the faults say they do."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.nemesis.network import Network, steady_ports


class NetworkTests(SynchronousTestCase):
    """Two ends, 1 and 2; 1 connects to 2."""

    def setUp(self) -> None:
        self.ports = dict(zip((1, 2), steady_ports(2), strict=True))
        self.network = Network(self.ports)
        self.addCleanup(self.network.close)

    def listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.ports[2]))
        self.addCleanup(listener.close)
        self.network.heal()  # its answer says that it has looked
        return listener

    def connect(self) -> socket.socket:
        end = socket.create_connection(("127.0.0.1", self.network.port(1, 2)), 10)
        self.addCleanup(end.close)
        return end

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A connection through the proxy: the end of 1 and the end of 2."""
        listener = self.listen()
        one = self.connect()
        two, _ = listener.accept()
        self.addCleanup(two.close)
        two.settimeout(10)
        return one, two

    def assertSilent(self, end: socket.socket) -> None:
        """Nothing comes, not even an end."""
        end.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            end.recv(1)
        end.settimeout(10)

    def test_refuses_while_nobody_listens(self) -> None:
        """A port behind which no process listens refuses, and takes connections as soon as one does."""
        with self.assertRaises(ConnectionRefusedError):
            self.connect()
        one, two = self.pair()
        one.sendall(b"there")
        self.assertEqual(two.recv(10), b"there")

    def test_refuses_at_once_when_the_process_ended(self) -> None:
        """Who hears that a connection has ended, and tries again, is refused by then."""
        listener = self.listen()
        one = self.connect()
        two, _ = listener.accept()
        listener.close()
        two.close()
        self.assertEqual(one.recv(1), b"")
        with self.assertRaises(ConnectionRefusedError):
            self.connect()

    def test_passes_both_ways(self) -> None:
        """What is sent arrives, as does the end of one side, while the other goes on."""
        one, two = self.pair()
        one.sendall(b"question")
        one.shutdown(socket.SHUT_WR)
        self.assertEqual(two.recv(20), b"question")
        self.assertEqual(two.recv(1), b"")
        two.sendall(b"answer")
        self.assertEqual(one.recv(20), b"answer")

    def test_cut_one_way(self) -> None:
        """One direction is silent, the other passes, nothing closes; healed, what was held arrives."""
        one, two = self.pair()
        self.network.cut(1, 2)
        one.sendall(b"held")
        self.assertSilent(two)
        two.sendall(b"passes")
        self.assertEqual(one.recv(20), b"passes")
        self.network.heal()
        self.assertEqual(two.recv(20), b"held")

    def test_cut_hides_an_end(self) -> None:
        """A process that ends behind a cut is not noticed: neither by an end nor by a refusal."""
        listener = self.listen()
        one = self.connect()
        two, _ = listener.accept()
        self.network.cut(2, 1)
        listener.close()
        two.close()
        self.assertSilent(one)
        again = self.connect()
        self.assertSilent(again)
        self.network.heal()
        self.assertEqual(one.recv(1), b"")
        with self.assertRaises(ConnectionResetError):
            again.recv(1)

    def test_reset(self) -> None:
        """A reset breaks what is open, and no more."""
        one, two = self.pair()
        self.network.reset(1, 2)
        for end in one, two:
            with self.assertRaises(ConnectionResetError):
                end.recv(1)
        self.connect().sendall(b"again")

    def test_delay(self) -> None:
        """What is delayed arrives whole and in order."""
        one, two = self.pair()
        self.network.delay(1, 2, 0.05)
        sent = bytes(n % 251 for n in range(200_000))
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        self.assertEqual(b"".join(iter(lambda: two.recv(65536), b"")), sent)
