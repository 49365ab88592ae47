"""chattwist.replication.wire: messages as a stream of chunks."""

import hashlib
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from twisted.trial.unittest import SynchronousTestCase

from chattwist import model
from chattwist.cluster import Address, Cluster
from chattwist.replication import messages, wire
from chattwist.requests import AnyRequest


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


class GreetingTests(SynchronousTestCase):
    ONE, TWO = Address("h", 5001), Address("h", 5002)

    def test_order_and_channels_do_not_matter(self) -> None:
        """The same replicas in another order, or reached over other channel ports, are the same cluster."""
        other = Cluster((Address("H", 5002, 9999), self.ONE))
        self.assertEqual(wire.greeting(Cluster((self.ONE, self.TWO))), wire.greeting(other))

    def test_replicas_and_mode_matter(self) -> None:
        """Another replica, one less, or another mode is another cluster."""
        clusters = [
            Cluster((self.ONE, self.TWO)),
            Cluster((self.ONE,)),
            Cluster((self.ONE, Address("h", 5003))),
            Cluster((self.ONE, Address("g", 5002))),
            Cluster((self.ONE, self.TWO), "majority"),
        ]
        self.assertEqual(len({wire.greeting(cluster) for cluster in clusters}), len(clusters))
        ours, *others = map(wire.greeting, clusters)
        self.assertEqual([wire.objection(ours, other) for other in others], [wire.OTHER_CLUSTER] * len(others))
        self.assertEqual(wire.objection(ours, ours), "")

    def test_versions(self) -> None:
        """One that may say what this one does not understand is told apart, whatever else is different."""
        ours = wire.greeting(Cluster((self.ONE, self.TWO)))
        for theirs in (b"", b"0" * 64, ours.replace(wire.FORMAT, b"17", 1)):
            self.assertEqual(wire.objection(ours, theirs), wire.OTHER_VERSION)

    def test_format(self) -> None:
        """What replicas say to each other has a number: where this fails, the number grows, and the digest here changes."""
        said = [messages.Login, messages.View, *get_args(messages.AnyMessage), *get_args(AnyRequest)]
        shapes = [[one.__name__, *(field.name for field in structs.fields(one))] for one in said]
        shapes += [[one.__name__, *one.__struct_fields__] for one in get_args(model.AnyOperation)]
        digest = hashlib.sha256(repr(shapes).encode()).hexdigest()[:8]
        self.assertEqual((wire.FORMAT, digest), (b"5", "ecbe0122"))
