"""The failure detector: who can be heard, and for how long one that failed has to prove itself."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Timings
from chattwist.replication.contact import LONGEST_HOLD_DOWN, Contact
from chattwist.replication.messages import Heartbeat, View


def beat(hears: tuple[int, ...] = (0, 1, 2), primary: int = -1, echo: float = 1000.0) -> Heartbeat:
    """What a replica says of itself; ``echo``: when what it heard last from each was sent."""
    return Heartbeat(None, False, primary, tuple((rank, echo) for rank in hears), True, (0, -1), 0, 0.0)


class ContactTests(SynchronousTestCase):
    """Replica 1 of three, at second 1000."""

    def setUp(self) -> None:
        self.timings = Timings(silence=1.0, hold_down=5.0)
        self.contact = Contact(1, 3, self.timings, 1000.0)

    def hear(self, rank: int, said: Heartbeat | None = None) -> None:
        """Connect, if that is not done, and hear a heartbeat."""
        self.contact.connected(rank)
        self.contact.heard(rank)
        self.contact.peers[rank].beat = said or beat()

    def ranks(self) -> list[int]:
        """Those with contact both ways."""
        return [peer.rank for peer in self.contact.two_way()]

    def test_knows_nobody_at_first(self) -> None:
        """Nobody is taken to be there before he was heard."""
        self.assertEqual((self.contact.alive(), self.ranks(), self.contact.primary()), ([], [], None))

    def test_silence(self) -> None:
        """One that was heard is there for ``silence`` seconds, and not longer."""
        self.hear(0)
        self.contact.now += 1.0
        self.assertEqual(self.ranks(), [0])
        self.contact.now += 0.01
        self.assertEqual((self.contact.alive(), self.ranks()), ([], []))

    def test_both_ways(self) -> None:
        """Contact takes three things: it is heard, messages to it go out, and it says that it hears this one (R15)."""
        self.contact.heard(0)
        self.contact.peers[0].beat = beat()
        self.assertEqual(self.ranks(), [])
        self.contact.connected(0)
        self.assertEqual(self.ranks(), [0])
        self.contact.peers[0].beat = beat(hears=(2,))
        self.assertEqual(self.ranks(), [])
        self.assertTrue(self.contact.is_alive(0))

    def test_a_round_trip(self) -> None:
        """After a start or a pause only an answer to what was sent since then is contact: others may speak to the past (R13)."""
        self.hear(0, beat(echo=999.9))
        self.assertEqual(self.ranks(), [])
        self.hear(0, beat(echo=1000.0))
        self.assertEqual(self.ranks(), [0])
        self.contact.now = 1005.0
        self.contact.forget()
        self.hear(0, beat(echo=1000.0))
        self.assertEqual(self.ranks(), [])
        self.hear(0, beat(echo=1005.0))
        self.assertEqual(self.ranks(), [0])

    def test_a_lost_connection(self) -> None:
        """When a connection breaks, its peer may still be alive; but what it was sent may be lost, and has to be made good."""
        self.hear(0)
        self.contact.lost(0)
        self.assertTrue(self.contact.is_alive(0))
        self.assertEqual(self.ranks(), [])
        self.contact.connected(0)
        self.assertTrue(self.contact.peers[0].broken)

    def test_refused(self) -> None:
        """A port where no process listens is a peer that is gone, at once; since when is remembered."""
        self.hear(0, beat(primary=0))
        self.contact.is_refused(0)
        self.assertEqual((self.contact.is_alive(0), self.contact.primary()), (False, None))
        self.contact.now += 1
        self.contact.is_refused(0)
        self.assertEqual((self.contact.peers[0].refused, self.contact.peers[0].broken), (1000.0, True))
        self.contact.connected(0)
        self.assertGreater(self.contact.peers[0].refused, 1e9)

    def test_nobody_was_heard_yet(self) -> None:
        """Electing oneself needs silence, or the word of each machine that nobody is there: a start brings neither (R15)."""
        self.assertFalse(self.contact.has_listened())
        self.contact.is_refused(0)
        self.assertFalse(self.contact.has_listened())
        self.contact.is_refused(2)
        self.assertTrue(self.contact.has_listened())
        self.contact = Contact(1, 3, self.timings, 1000.0)
        self.contact.now += 1.5
        self.assertTrue(self.contact.has_listened())

    def test_started_a_moment_ago(self) -> None:
        """One that was not there at the first attempt, but is heard by now, is not taken for down (R15)."""
        self.hear(2, beat(hears=(1,)))
        self.contact.is_refused(0)
        self.assertTrue(self.contact.has_listened())
        self.hear(2, beat(hears=(0, 1)))
        self.assertFalse(self.contact.has_listened())
        self.hear(2, beat(hears=(1,)))
        self.contact.heard(0)
        self.assertFalse(self.contact.has_listened())
        self.contact.now += 1.5
        self.assertTrue(self.contact.has_listened())

    def test_forget(self) -> None:
        """After a pause nobody counts as heard, whatever was heard before it (R13)."""
        self.hear(0, beat(primary=0))
        peer = self.contact.peers[0]
        peer.pulled = peer.given = peer.behind = True
        self.contact.forget()
        self.assertEqual((self.contact.alive(), self.contact.primary()), ([], None))
        self.assertEqual((peer.pulled, peer.given, peer.behind), (False, False, False))

    def test_primary(self) -> None:
        """Primary is who says so himself; of two, the lowest."""
        self.hear(2, beat(primary=2))
        self.assertEqual(self.contact.primary(), 2)
        self.hear(0, beat(primary=2))
        self.assertEqual(self.contact.primary(), 2)
        self.hear(0, beat(primary=0))
        self.assertEqual(self.contact.primary(), 0)

    def test_hearsay(self) -> None:
        """A primary that only another one hears is a primary all the same (R14); what that one says of this replica is not."""
        self.hear(2, beat(primary=0))
        self.assertTrue(self.contact.primary_by_hearsay())
        self.assertIsNone(self.contact.primary())
        for said in beat(primary=1), beat(), beat(hears=(0,), primary=0):
            self.hear(2, said)
            self.assertFalse(self.contact.primary_by_hearsay())

    def test_relay(self) -> None:
        """Requests go through one in the primary's view that gives this replica all that it has, the primary itself first."""
        member = msgspec.structs.replace(beat(primary=0), view=View((2, 0), (0, 2)), serving=True)
        self.hear(2, member)
        self.assertIsNone(self.contact.relay())
        self.contact.peers[2].complete = 1000.0
        self.assertEqual(self.contact.relay(), 2)
        self.hear(2, beat(primary=0))
        self.assertIsNone(self.contact.relay())
        self.hear(2, member)
        self.hear(0, member)
        self.contact.peers[0].complete = 1000.0
        self.assertEqual(self.contact.relay(), 0)
        self.contact.now += 0.9
        self.hear(2, beat(primary=0))
        self.contact.now += 0.2
        self.assertIsNone(self.contact.relay())

    def test_no_relay(self) -> None:
        """Not through one that is in no view with the primary that it hears: what it has may lack what is committed."""
        view = View((2, 0), (0, 2))
        member = msgspec.structs.replace(beat(primary=0), view=view, serving=True)
        for said in (
            msgspec.structs.replace(member, view=None),
            msgspec.structs.replace(member, serving=False),
            msgspec.structs.replace(member, view=View((2, 0), (0, 1))),
            msgspec.structs.replace(member, view=View((2, 2), (0, 2))),
        ):
            self.hear(2, said)
            self.contact.peers[2].complete = 1000.0
            self.assertIsNone(self.contact.relay(), said)
        self.hear(2, member)
        self.assertEqual(self.contact.relay(), 2)

    def test_hold_down(self) -> None:
        """Each time that a replica is lost, its hold-down is twice as long, up to twelve times the shortest."""
        peer = self.contact.peers[0]
        found = []
        for _ in range(6):
            self.contact.note_members((0, 1))
            self.contact.note_members((1, 2))
            found.append(self.contact.hold_down(peer))
        self.assertEqual(found, [5.0, 10.0, 20.0, 40.0, 60.0, 60.0])
        self.assertEqual(found[-1], LONGEST_HOLD_DOWN * self.timings.hold_down)

    def test_late(self) -> None:
        """One that kept all waiting is put off, for twice as long each time, whether it was a member or not (R18)."""
        peer = self.contact.peers[0]
        self.assertFalse(self.contact.is_put_off(peer))
        found = []
        for member in True, False, False, False, False, False:
            self.contact.note_members((0, 1) if member else (1, 2))
            for _ in range(2):
                self.contact.heard(0)
                self.contact.was_late(0)
            self.contact.note_members((1, 2))
            began = self.contact.now
            while self.contact.is_put_off(peer):
                self.contact.now += 1.0
            found.append(self.contact.now - began)
        self.assertEqual(found, [2.0, 4.0, 8.0, 16.0, 32.0, 60.0])

    def test_late_because_it_was_cut_off(self) -> None:
        """One that is not heard any more is not late, whatever waits for it: it is back as soon as it is heard."""
        peer = self.contact.peers[0]
        self.contact.heard(0)
        self.contact.now += 1.0
        self.contact.was_late(0)
        self.assertEqual((peer.slow, self.contact.is_put_off(peer)), (True, False))

    def test_lost_for_years(self) -> None:
        """However often one was lost or late, there is a longest time that it has to prove itself."""
        peer = self.contact.peers[0]
        peer.losses = peer.delays = 5000
        peer.late = self.contact.now
        self.assertEqual(self.contact.hold_down(peer), 60.0)
        self.assertTrue(self.contact.is_put_off(peer))

    def test_gone(self) -> None:
        """Gone is who is in no view, and is heard neither here nor by one that can be reached."""
        self.assertEqual(self.contact.gone(()), [0, 2])
        self.assertEqual(self.contact.gone((0, 1)), [2])
        self.hear(2, beat(hears=(0, 1)))
        self.assertEqual(self.contact.gone(()), [])
        self.hear(2, beat(hears=(1,)))
        self.assertEqual(self.contact.gone(()), [0])

    def test_a_loss_counts_once(self) -> None:
        """One that stays away is not lost again with each view that it is not in."""
        self.contact.note_members((0, 1))
        for _ in range(3):
            self.contact.note_members((1, 2))
        self.assertEqual(self.contact.peers[0].losses, 1)

    def test_steady_again(self) -> None:
        """Who was steady for long begins anew with the shortest hold-down; views that come and go meanwhile do not matter."""
        peer = self.contact.peers[0]
        peer.losses = 4
        self.contact.note_members((0, 1))
        self.contact.now += 60
        self.contact.note_members((0, 1, 2))
        self.contact.forgive()
        self.assertEqual(peer.losses, 4)
        self.contact.now += 61
        self.contact.forgive()
        self.assertEqual((peer.losses, peer.steady), (0, 1000.0))

    def test_a_new_view_makes_good(self) -> None:
        """What a member may have missed is made good by entering a view; one that is not in it still lacks it."""
        for peer in self.contact.peers.values():
            peer.broken = peer.slow = True
        self.contact.note_members((0, 1))
        self.assertEqual([peer.broken for peer in self.contact.peers.values()], [False, True])
        self.assertEqual([peer.slow for peer in self.contact.peers.values()], [False, False])
