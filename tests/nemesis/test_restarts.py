"""Replicas that are killed and come back, in every order: what was acknowledged is there, once, on each of them."""

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import Client
from tests.nemesis.cluster import NUMBERS, SHORT, Cluster, until_done


class Restarts(SynchronousTestCase):
    """Three replicas, with accounts ann and bob; ``acknowledged`` are the texts that ann was told are stored."""

    def setUp(self) -> None:
        self.cluster = Cluster(self.mktemp(), timings=SHORT)
        self.addCleanup(self.cluster.close)
        self.cluster.start()
        self.cluster.wait_quiet()
        self.cluster.session(3, "bob").close()
        self.cluster.session(3, "ann").close()
        self.acknowledged: list[str] = []
        self._keys = count(1)

    def send(self, client: Client) -> str:
        """Send to bob until it is done; the reply."""
        key = f"message-{next(self._keys)}"
        answer = until_done(client, f"@!{key} SEND bob {key}")[0]
        self.assertTrue(answer.startswith("250 "), answer)
        self.acknowledged.append(key)
        return answer

    def send_on(self, number: int) -> None:
        """The same, in a session of its own on that replica."""
        client = self.cluster.session(number, "ann")
        self.send(client)
        client.close()

    def assertAllThere(self) -> None:
        """On each replica both accounts see what was acknowledged, once."""
        for name in "ann", "bob":
            for number in NUMBERS:
                self.assertEqual(self.cluster.texts(number, name), sorted(self.acknowledged), f"{name} on {number}")


class OrderTests(Restarts):
    """Each replica is killed a message later than the one before, and all come back, each serving before the next starts."""

    def come_back(self, *order: int) -> None:
        self.send_on(1)
        for number in NUMBERS:
            self.cluster.kill(number)
            if number != NUMBERS[-1]:
                self.send_on(number + 1)
        for number in order:
            self.cluster.start(number)
            self.send_on(number)
        self.cluster.wait_quiet(*NUMBERS)
        self.send_on(2)
        self.assertAllThere()

    def test_1_2_3(self) -> None:
        """The one that died first, and knows least, serves first: what it lacks comes with the others."""
        self.come_back(1, 2, 3)

    def test_1_3_2(self) -> None:
        """The oldest first, then the newest."""
        self.come_back(1, 3, 2)

    def test_2_1_3(self) -> None:
        """The one in the middle first, the newest last."""
        self.come_back(2, 1, 3)

    def test_2_3_1(self) -> None:
        """The one in the middle first, then the newest."""
        self.come_back(2, 3, 1)

    def test_3_1_2(self) -> None:
        """The newest first, then the oldest."""
        self.come_back(3, 1, 2)

    def test_3_2_1(self) -> None:
        """Those that died last come back first."""
        self.come_back(3, 2, 1)

    def test_all_at_once(self) -> None:
        """Killed one after the other, started together: they wait for each other, and the first answer misses nothing."""
        self.send_on(1)
        for number in NUMBERS:
            self.cluster.kill(number)
            if number != NUMBERS[-1]:
                self.send_on(number + 1)
        self.cluster.start(*NUMBERS)
        self.assertEqual(self.cluster.texts(1, "bob"), sorted(self.acknowledged))
        self.cluster.wait_quiet(*NUMBERS)
        self.assertAllThere()


class SurvivorTests(Restarts):
    """Clients of a replica that stays up."""

    def test_two_of_three_killed(self) -> None:
        """Whichever two are killed, the third goes on in the same session, and the two get what they missed."""
        for survivor in NUMBERS:
            client = self.cluster.session(survivor, "ann")
            self.assertIn("on 3 replicas", self.send(client))
            self.cluster.kill(*[number for number in NUMBERS if number != survivor])
            self.send(client)
            self.assertIn("on 1 replicas", self.send(client))
            self.cluster.start()
            self.cluster.wait_quiet(*NUMBERS)
            self.assertIn("on 3 replicas", self.send(client))
            client.close()
        self.assertAllThere()

    def test_primary_killed_and_back(self) -> None:
        """The primary is killed, comes back and takes over again; a client of another replica sees a pause, no more."""
        client = self.cluster.session(2, "ann")
        self.send(client)
        self.cluster.kill(1)
        self.send(client)  # what was under way when it died may be answered 454, and is repeated
        self.cluster.start(1)
        while (status := self.cluster[2].status()) is None or status.primary != self.cluster[1].port:
            answer = client.ask(f"@!way-{len(self.acknowledged)} SEND bob way-{len(self.acknowledged)}")[0]
            self.assertTrue(answer.startswith("250 "), answer)
            self.acknowledged.append(f"way-{len(self.acknowledged)}")
        self.assertIn("on 3 replicas", self.send(client))
        client.close()
        self.assertAllThere()

    def test_stopped_primary(self) -> None:
        """A primary that stops without dying is replaced; when it goes on it does not act as if nothing had happened."""
        client = self.cluster.session(2, "ann")
        stale = self.cluster.session(1, "bob")
        self.cluster[1].stop_signal()
        self.send(client)
        self.assertIn("on 2 replicas", self.send(client))
        stale.send("@!stale SEND ann stale")
        self.cluster[1].cont()
        answer = stale.reply()[0]
        self.cluster.wait_quiet(*NUMBERS)
        if answer.startswith("250 "):
            self.acknowledged.append("stale")
        elif answer.startswith("454 "):
            self.acknowledged += [text for text in self.cluster.texts(2, "bob") if text == "stale"]
        stale.close()
        client.close()
        self.assertAllThere()

    def test_terminated_primary(self) -> None:
        """A primary that is stopped in good order hands over: the client of another one gets no refusal at all."""
        client = self.cluster.session(2, "ann")
        self.send(client)
        client.send(*(f"@!many-{n} SEND bob many-{n}" for n in range(50)))
        self.assertEqual(self.cluster[1].terminate(), 0)
        for n in range(50):
            answer = client.reply()[0]
            self.assertTrue(answer.startswith("250 "), answer)
            self.acknowledged.append(f"many-{n}")
        self.cluster.start(1)
        self.cluster.wait_quiet(*NUMBERS)
        client.close()
        self.assertAllThere()

    def test_wiped(self) -> None:
        """A replica that comes back without its data gets all of it from the others."""
        self.send_on(1)
        for number in NUMBERS:
            self.cluster.kill(number)
            self.cluster[number].wipe()
            self.send_on(number % 3 + 1)
            self.cluster.start(number)
            self.cluster.wait_quiet(*NUMBERS)
        self.assertAllThere()

    def test_old_backup(self) -> None:
        """A replica that comes back with an old copy of its data, and acts at once, mixes nothing up."""
        for number in NUMBERS:
            self.cluster[number].terminate()
            self.cluster[number].backup()
            self.cluster.start(number)
            self.cluster.wait_quiet(*NUMBERS)
            self.send_on(number)
        for number in NUMBERS:
            self.cluster.kill(number)
            self.cluster[number].restore()
            self.cluster.start(number)
            self.send_on(number)
            self.cluster.wait_quiet(*NUMBERS)
        self.assertAllThere()

    def test_full_disk(self) -> None:
        """A primary whose disk is full hands over; with room again it takes part again, with all it missed."""
        client, stuck = self.cluster.session(2, "ann"), self.cluster.session(1, "bob")
        self.send(client)
        self.cluster[1].fill_disk()
        self.send(client)
        self.assertIn("on 2 replicas", self.send(client))
        self.assertRegex(stuck.ask("SEND ann full")[0], "^452 ")
        self.assertIn(self.acknowledged[0], stuck.ask("HISTORY")[0])
        self.cluster[1].free_disk()
        self.cluster.wait_quiet(*NUMBERS)
        self.assertIn("on 3 replicas", self.send(client))
        stuck.close()
        client.close()
        self.assertAllThere()


class StopTests(Restarts):
    def test_the_primary_is_stopped(self) -> None:
        """In good order it hands over first: for clients of the others that is a pause, in which no outcome is unknown."""
        client = self.cluster.session(2, "ann")
        for turn in range(3):
            client.send(*(f"SEND bob {turn}-{n}" for n in range(200)))
            client.reply()
            self.assertEqual(self.cluster[1].terminate(), 0)
            self.assertEqual({client.reply()[0][:4] for _ in range(199)}, {"250 "})
            self.acknowledged += [f"{turn}-{n}" for n in range(200)]
            self.cluster.start(1)
            self.cluster.wait_primary(1, 3)
        self.assertAllThere()
