"""A network that is cut: who goes on, and what is there once it is whole again."""

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.harness import PASSWORD, Client
from tests.nemesis.cluster import NUMBERS, SHORT, Cluster, until_done

OTHER_PASSWORD = "another-good-password"


class Partitions(SynchronousTestCase):
    mode = "available"

    def setUp(self) -> None:
        self.cluster = Cluster(self.mktemp(), self.mode, SHORT)
        self.addCleanup(self.cluster.close)
        self.cluster.start()
        self.cluster.wait_quiet()
        self.ann, self.bob = self.session(1, "ann"), self.session(2, "bob")

    def session(self, number: int, name: str) -> Client:
        """A session that ends with the test."""
        client = self.cluster.session(number, name)
        self.addCleanup(client.close)
        return client

    def send(self, client: Client, name: str, text: str) -> str:
        """Send until it is done; the reply."""
        answer = until_done(client, f"@!{text} SEND {name} {text}")[0]
        self.assertTrue(answer.startswith("250 "), answer)
        return answer

    def assertOnAll(self, name: str, *texts: str) -> None:
        """That account sees these on each replica, once each."""
        for number in NUMBERS:
            self.assertEqual(self.cluster.texts(number, name), sorted(texts), f"{name} on {number}")


class AvailableTests(Partitions):
    def test_both_sides_go_on(self) -> None:
        """The lowest alone and the other two: both sides acknowledge, and all of it is everywhere after the cut."""
        self.send(self.ann, "bob", "before")
        self.cluster.isolate(1)
        self.assertIn("on 1 replicas", self.send(self.ann, "bob", "lone"))
        self.assertIn("on 2 replicas", self.send(self.bob, "ann", "pair"))
        self.cluster.heal()
        self.cluster.wait_quiet(*NUMBERS)
        self.assertOnAll("ann", "before", "lone", "pair")
        self.assertOnAll("bob", "before", "lone", "pair")

    def test_one_name_on_both_sides(self) -> None:
        """Two accounts registered under one name: one keeps it, the other is NAME~2 and told so; neither is lost."""
        self.cluster.isolate(1)
        self.send(self.ann, "bob", "lone")
        self.send(self.bob, "ann", "pair")
        passwords = {1: PASSWORD, 2: OTHER_PASSWORD}
        for number, password in passwords.items():
            carl = Client(self.cluster[number].port)
            self.assertTrue(until_done(carl, f"REGISTER carl {password}")[0].startswith("230 carl "))
            self.send(carl, "ann", f"from-{number}")
            carl.close()
        self.cluster.heal()
        self.cluster.wait_quiet(*NUMBERS)
        for number in NUMBERS:
            self.assertEqual(self.names(number), ["212-ann", "212-bob", "212-carl", "212-carl~2", "212 4 accounts"])
        (first,) = (n for n, password in passwords.items() if self.logged_in("carl", password).startswith("230 carl "))
        (second,) = (n for n, password in passwords.items() if self.logged_in("carl~2", password).startswith("230"))
        self.assertNotEqual(first, second)
        told = self.logged_in("carl~2", passwords[second])
        self.assertTrue(told.startswith("230 carl~2 "), told)
        self.assertIn("you are carl~2", told)
        self.assertOnAll("ann", "lone", "pair", "from-1", "from-2")

    def names(self, number: int) -> list[str]:
        client = Client(self.cluster[number].port)
        self.addCleanup(client.close)
        return client.ask("LIST")

    def logged_in(self, name: str, password: str) -> str:
        client = Client(self.cluster[3].port)
        self.addCleanup(client.close)
        return until_done(client, f"TAKEOVER {name} {password}")[0]

    def test_one_retry_key_on_both_sides(self) -> None:
        """A message whose sender got no answer and repeats it on the other side of a cut is there once in the end."""
        self.cluster.isolate(1)
        self.ann.send("@!twice SEND bob twice")
        self.send(self.session(2, "ann"), "bob", "twice")
        self.cluster.heal()
        self.cluster.wait_quiet(*NUMBERS)
        self.assertOnAll("bob", "twice")

    def test_one_direction(self) -> None:
        """One replica hears another but is not heard by it: two of three go on at least, and nobody's login ends."""
        self.go_on_with([[(1, 2)], [(2, 1)], [(2, 3)], [(3, 1)]])

    def test_one_reaches_both(self) -> None:
        """Two are cut from each other while the third reaches both: two of three go on at least, and nobody's login ends."""
        self.go_on_with([[(a, b), (b, a)] for a, b in ((1, 3), (1, 2), (2, 3))])

    def go_on_with(self, cuts: list[list[tuple[int, int]]]) -> None:
        """With each of these cuts each client sends a message: two of them during it, the last one after it."""
        senders = {"ann": self.ann, "bob": self.bob, "carl": self.session(3, "carl")}
        self.session(3, "dora").close()
        for number, directions in enumerate(cuts):
            for a, b in directions:
                self.cluster.network.cut(a, b)
            waiting = self.two_send(senders, f"cut-{number}")
            self.cluster.network.heal()
            self.cluster.wait_quiet(*NUMBERS)
            for name in waiting:
                self.send(senders[name], "dora", f"cut-{number}-{name}")
        self.assertOnAll("dora", *(f"cut-{number}-{name}" for number in range(len(cuts)) for name in senders))

    def two_send(self, senders: dict[str, Client], text: str) -> list[str]:
        """Let all try until two are done; who is not."""
        waiting, end = list(senders), time.monotonic() + 60
        while len(waiting) > 1:
            self.assertLess(time.monotonic(), end, f"{waiting} of three are still waiting with {text}")
            for name in list(waiting):
                answer = senders[name].ask(f"@!{text}-{name} SEND dora {text}-{name}")[0]
                self.assertRegex(answer, "^(250|451|454) ")
                if answer.startswith("250"):
                    waiting.remove(name)
        return waiting

    def test_killed_outside_the_view(self) -> None:
        """Whose replica is cut from the primary, goes through another, and is killed: its users can log in elsewhere at once."""
        self.session(1, "zed").close()
        self.cluster.network.part([1], [3])
        while "live 2 of 3" not in self.ann.ask("STATUS")[-1]:
            time.sleep(0.1)
        self.assertIn(f"primary {self.cluster[1].port} ", self.ann.ask("STATUS")[-1])
        zed = self.session(3, "zed")
        self.send(zed, "ann", "through-another")
        self.cluster.kill(3)
        client = Client(self.cluster[1].port)
        self.addCleanup(client.close)
        self.assertRegex(until_done(client, f"LOGIN zed {PASSWORD}", 10)[0], "^230 zed")

    def test_broken_connections(self) -> None:
        """Connections between replicas that break now and then harm nobody: no refusal, no session ended."""
        for number in range(10):
            self.cluster.network.reset(1, 2)
            answer = self.ann.ask(f"SEND bob text-{number}")[0]
            self.assertTrue(answer.startswith("250 "), answer)
        self.cluster.wait_quiet(*NUMBERS)
        self.assertOnAll("bob", *(f"text-{number}" for number in range(10)))


class MajorityTests(Partitions):
    mode = "majority"

    def test_lone_side_refuses(self) -> None:
        """Without a majority: 451, not a wait without end; the other side goes on, and after the cut so do all."""
        self.send(self.ann, "bob", "before")
        self.cluster.isolate(1)
        self.assertIn("on 2 replicas", self.send(self.bob, "ann", "pair"))
        self.ann.socket.settimeout(20)
        self.assertRegex(self.ann.ask("SEND bob first")[0], "^45[14] ")  # it was under way when the cut was noticed
        begun = time.monotonic()
        self.assertRegex(self.ann.ask("SEND bob second")[0], "^451 ")
        print(f"451 after {time.monotonic() - begun:.1f} s")
        self.cluster.heal()
        self.cluster.wait_quiet(*NUMBERS)
        self.send(self.session(1, "ann"), "bob", "after")
        texts = self.cluster.texts(3, "bob")
        self.assertEqual([text for text in texts if text != "first"], ["after", "before", "pair"])
        self.assertOnAll("bob", *texts)

    def test_lone_survivor_reads(self) -> None:
        """Two of three killed: the third refuses what would be recorded, and shows what it has."""
        self.send(self.ann, "bob", "before")
        self.cluster.kill(1, 3)
        while not (answer := self.bob.ask("SEND ann later")[0]).startswith("451 "):
            self.assertTrue(answer.startswith("454 "), answer)  # under way when they died
        self.assertRegex(self.bob.ask("LIST")[0], "^212-ann")
        client = Client(self.cluster[2].port)
        self.addCleanup(client.close)
        self.assertRegex(client.ask("REGISTER carl a-good-password")[0], "^451 ")
        self.cluster.start()
        self.cluster.wait_quiet(*NUMBERS)
        self.assertNotIn("carl", "".join(client.ask("LIST")))
