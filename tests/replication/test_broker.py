"""Perspective Broker on the channel: what is written by hand is what Banana writes, however it arrives."""

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from chattwist.replication.broker import Broker
from chattwist.replication.wire import WireError


def connected(is_client: bool) -> tuple[Broker, StringTransport]:
    """A Broker that has agreed on the dialect, and what it writes from then on."""
    broker, transport = Broker(is_client), StringTransport()
    broker.makeConnection(transport)
    broker.currentDialect = b"pb"
    transport.clear()
    return broker, transport


class TakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client, self.transport = connected(True)
        self.server, _ = connected(False)
        self.chunks: list[bytes] = []
        self.server.taken = self.chunks.append

    def told(self, *chunks: bytes) -> bytes:
        """The bytes of these calls."""
        for chunk in chunks:
            self.client.tell(chunk)
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def test_bytes(self) -> None:
        """It is the call of ``take`` as Twisted's own encoder writes it, for every length of a chunk's length."""
        for size in (0, 1, 127, 128, 16383, 16384, 262144):
            told = self.told(b"x" * size)
            self.client.sendCall(b"message", 0, b"root", b"take", 0, [b"tuple", b"x" * size], [b"dictionary"])
            self.assertEqual(told, self.transport.value())
            self.transport.clear()

    def test_together(self) -> None:
        """Several calls in one piece are taken in order."""
        self.server.dataReceived(self.told(b"one", b"", b"y" * 300))
        self.assertEqual(self.chunks, [b"one", b"", b"y" * 300])

    def test_in_pieces(self) -> None:
        """What is cut anywhere is taken whole, by Twisted's own decoder: in Inbound both have the same end."""
        data = self.told(b"one", b"z" * 200)
        taken: list[bytes] = []
        for at in range(len(data)):
            broker, _ = connected(False)
            broker.taken = taken.append
            broker.proto_message = lambda *message: taken.append(message[4][1])  # type: ignore[method-assign]
            broker.dataReceived(data[:at])
            broker.dataReceived(data[at:])
            self.assertEqual(taken, [b"one", b"z" * 200], at)
            taken.clear()

    def test_others(self) -> None:
        """Whatever else is sent is looked at as ever: a call of another method is refused."""
        self.client.sendCall(b"message", 0, b"root", b"took", 0, [b"tuple", b"x"], [b"dictionary"])
        with self.assertRaises(WireError):
            self.server.dataReceived(self.told(b"one") + self.transport.value())

    def test_a_wrong_end(self) -> None:
        """Bytes behind the chunk that are none of ours are not passed over."""
        data = self.told(b"one")
        with self.assertRaises(WireError):
            self.server.dataReceived(data[:-4] + b"\x02" + data[-3:] + data[-2:])
        self.assertEqual(self.chunks, [])
