"""chattwist.replication.wire: messages as a stream of chunks."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Address, Cluster
from chattwist.replication import wire


class StreamTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
    def test_cut_anywhere(self, messages: list[bytes], size: int) -> None:
        """Messages come out as they went in, wherever the stream is cut."""
        stream, assembly = b"".join(map(wire.framed, messages)), wire.Assembly()
        out = [m for at in range(0, len(stream), size) for m in assembly.take(stream[at : at + size])]
        self.assertEqual(out, messages)

    def test_chunks_are_small_enough(self) -> None:
        """A large message is cut into chunks that Perspective Broker takes, small ones share a chunk."""
        large, small = b"x" * (3 * wire.CHUNK), b"y"
        sizes = [len(chunk) for chunk in wire.chunks([wire.framed(large), wire.framed(small), wire.framed(small)])]
        self.assertEqual(sizes, [wire.CHUNK] * 3 + [4 + 5 + 5])

    def test_nothing_is_cut_into_nothing(self) -> None:
        """No message, no chunk."""
        self.assertEqual(list(wire.chunks([])), [])

    def test_too_large_to_send(self) -> None:
        """A message above the bound is the caller's mistake, and nothing is sent."""
        self.assertRaises(ValueError, wire.framed, bytes(wire.LARGEST + 1))

    def test_too_large_to_receive(self) -> None:
        """A length above the bound is refused when it is announced, before anything is held for it."""
        length = (wire.LARGEST + 1).to_bytes(4, "big")
        self.assertRaises(wire.WireError, wire.Assembly().take, length)

    def test_chunk_too_large(self) -> None:
        """A chunk larger than any that is sent is refused."""
        self.assertRaises(wire.WireError, wire.Assembly().take, bytes(wire.CHUNK + 1))


class DigestTests(SynchronousTestCase):
    ONE, TWO = Address("h", 5001), Address("h", 5002)

    def test_order_and_channels_do_not_matter(self) -> None:
        """The same replicas in another order, or reached over other channel ports, are the same cluster."""
        other = Cluster((Address("H", 5002, 9999), self.ONE))
        self.assertEqual(wire.digest(Cluster((self.ONE, self.TWO))), wire.digest(other))

    def test_replicas_and_mode_matter(self) -> None:
        """Another replica, one less, or another mode is another cluster."""
        clusters = [
            Cluster((self.ONE, self.TWO)),
            Cluster((self.ONE,)),
            Cluster((self.ONE, Address("h", 5003))),
            Cluster((self.ONE, Address("g", 5002))),
            Cluster((self.ONE, self.TWO), "majority"),
        ]
        self.assertEqual(len({wire.digest(cluster) for cluster in clusters}), len(clusters))
