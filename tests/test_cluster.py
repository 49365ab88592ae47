"""chattwist.cluster: what a cluster file may say, and what is said about one that is wrong."""

import json
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from chattwist import cluster
from chattwist.cluster import DEFAULT, Address, Cluster
from chattwist.errors import StartError

ETC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "etc")
ONE = [{"host": "127.0.0.1", "port": 5001}]


class ClusterFile(SynchronousTestCase):
    def write(self, text: str | bytes) -> str:
        """Write a cluster file; its path."""
        path: str = self.mktemp()
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, **fields: Any) -> Cluster:
        """What a cluster file with these fields says."""
        return cluster.load(self.write(json.dumps(fields)))

    def refusal(self, text: str | bytes) -> str:
        """What is said of a cluster file with this text, behind the name of the file, which always comes first."""
        path = self.write(text)
        said = str(self.assertRaises(StartError, cluster.load, path))
        self.assertNotIn("\n", said)
        self.assertTrue(said.startswith(f"cluster file {path}"), said)
        return said.removeprefix(f"cluster file {path}").lstrip(": ")

    def refusal_of(self, **fields: Any) -> str:
        """What is said of a cluster file with these fields beside one good replica."""
        return self.refusal(json.dumps({"replicas": ONE} | fields))


class GoodFileTests(ClusterFile):
    def test_the_default_is_written_out_in_etc(self) -> None:
        """etc/cluster.json says exactly what holds without a cluster file, every field of it."""
        path = os.path.join(ETC, "cluster.json")
        self.assertEqual(cluster.load(path), DEFAULT)
        with open(path) as file:
            said = json.load(file)
        for part, default in ("timings", DEFAULT.timings), ("limits", DEFAULT.limits):
            self.assertEqual(list(said[part]), list(default.__struct_fields__))

    def test_one_replica_is_enough(self) -> None:
        """Only host and port have to be given: all else has a default, the channel's is port + 10000."""
        self.assertEqual(self.load(replicas=ONE), Cluster((Address("127.0.0.1", 5001, 15001),)))

    def test_byte_order_mark(self) -> None:
        """Some editors begin a file with one."""
        path = self.write(b"\xef\xbb\xbf" + json.dumps({"replicas": ONE}).encode())
        self.assertEqual(len(cluster.load(path).replicas), 1)

    def test_all_can_be_said(self) -> None:
        """Mode, channel, timings and limits are taken from the file; those left out beside them keep their default."""
        said = self.load(
            mode="majority",
            replicas=[{"host": "chat.example", "port": 6001, "channel": 6002}],
            timings={"idle": 0.5},
            limits={"mailbox": 7},
        )
        self.assertEqual((said.mode, said.replicas[0].channel), ("majority", 6002))
        self.assertEqual((said.timings.idle, said.timings.stalled), (0.5, 60))
        self.assertEqual((said.limits.mailbox, said.limits.bcrypt_cost), (7, 12))


class BadFileTests(ClusterFile):
    def test_missing(self) -> None:
        """A file that is not there is named."""
        error = self.assertRaises(StartError, cluster.load, "nowhere.json")
        self.assertEqual(str(error), "cluster file nowhere.json: No such file or directory")

    def test_not_json(self) -> None:
        """Text that is no JSON, cut short, empty or not UTF-8, is called that."""
        for text in b"{", b"", b"{'replicas': 1}", b'{"mode": "\xff"}':
            self.assertIn("is not JSON: ", self.refusal(text))

    def test_line_of_a_mistake(self) -> None:
        """A comma too many is found by its line."""
        said = self.refusal('{"replicas": [\n  {"host": "127.0.0.1", "port": 5001},\n]}')
        self.assertEqual(said, "is not JSON: JSON is malformed: trailing comma in array (line 3)")

    def test_not_an_object(self) -> None:
        """JSON that is no object is refused."""
        self.assertEqual(self.refusal("[]"), "Expected `object`, got `array`")

    def test_no_replicas(self) -> None:
        """A cluster has at least one replica."""
        self.assertIn("`replicas`", self.refusal("{}"))
        self.assertTrue(self.refusal_of(replicas=[]).startswith("replicas: "))

    def test_unknown_fields(self) -> None:
        """A misspelt field is refused at every level, not passed over."""
        self.assertIn("`limit`", self.refusal_of(limit={}))
        self.assertEqual(self.refusal_of(limits={"mail": 1}), "limits: object contains unknown field `mail`")
        self.assertIn("`hots`", self.refusal_of(replicas=[{"hots": "a", "port": 1}]))

    def test_wrong_types(self) -> None:
        """A field of the wrong type is named with its place."""
        wrong = self.refusal_of(replicas=[*ONE, {"host": "a", "port": "5002"}])
        self.assertEqual(wrong, "replicas[1].port: expected `int`, got `str`")
        self.assertTrue(self.refusal_of(mode="both").startswith("mode: "))

    def test_ports_out_of_range(self) -> None:
        """Ports are 1 to 65535, the channel's too, given or not."""
        for port in 0, -1, 65536:
            self.assertTrue(self.refusal_of(replicas=[{"host": "a", "port": port}]).startswith("replicas[0].port: "))
            channel = self.refusal_of(replicas=[{"host": "a", "port": 1, "channel": port}])
            self.assertTrue(channel.startswith("replicas[0].channel: "))
        self.assertIn("port 60000 needs a channel", self.refusal_of(replicas=[{"host": "a", "port": 60000}]))

    def test_ports_given_twice(self) -> None:
        """On one host each port serves one purpose of one replica; hosts are compared without case."""
        for other in {"host": "A", "port": 5001, "channel": 9}, {"host": "a", "port": 5002, "channel": 15001}:
            self.assertIn("of a is given 2 times", self.refusal_of(replicas=[{"host": "a", "port": 5001}, other]))
        self.assertIn("port 7 of a", self.refusal_of(replicas=[{"host": "a", "port": 7, "channel": 7}]))
        self.assertEqual(len(self.load(replicas=[*ONE, {"host": "b", "port": 5001}]).replicas), 2)

    def test_case_of_hosts(self) -> None:
        """Files that differ in the case of a host are of one cluster, and number its replicas alike."""
        one, other = (
            self.load(replicas=[{"host": host, "port": 5001} for host in ("alpha", b)]) for b in ("beta", "Beta")
        )
        self.assertEqual(one, other)
        self.assertEqual(one.names, ("alpha:5001", "beta:5001"))
        zone = self.load(replicas=[{"host": "FE80::1%enP2p1s0", "port": 5001}]).replicas[0]
        self.assertEqual(zone.host, "fe80::1%enP2p1s0")  # the name of an interface has a case

    def test_hosts(self) -> None:
        """A mistyped host is found before anybody looks it up."""
        written_otherwise = "10.0.0.2:5002", "[::1]", "http://a", " 10.0.0.2", "a, b", "*"
        for host in "10.0.0..2", "a" * 70, "a\0b", "fe80::1%eth0 ", "fe80::1%eth0/64", *written_otherwise:
            self.assertIn(
                "is neither the name of a machine nor an address", self.refusal_of(replicas=[{"host": host, "port": 1}])
            )

    def test_good_hosts(self) -> None:
        """A name, also with letters of any language, and an address of either family."""
        for host in "chat_1", "b\u00fcro.example", "10.0.0.2", "::1", "fe80::1%eth0", "::ffff:10.0.0.2":
            self.assertEqual(self.load(replicas=[{"host": host, "port": 5001}]).replicas[0].host, host)

    def test_silence(self) -> None:
        """A failure timeout that no healthy replica could keep is refused."""
        self.assertEqual(self.refusal_of(timings={"silence": 0.01}).partition(":")[0], "timings")
        for timings in {"silence": 0.2}, {"heartbeat": 5}, {"heartbeat": 0.6}:
            self.assertIn("timings: silence has to be at least twice heartbeat", self.refusal_of(timings=timings))

    def test_amounts_are_positive(self) -> None:
        """Times and limits are above zero."""
        for timing in cluster.Timings.__struct_fields__:
            self.assertTrue(self.refusal_of(timings={timing: 0}).startswith(f"timings.{timing}: "))
        for limit in cluster.Limits.__struct_fields__:
            self.assertTrue(self.refusal_of(limits={limit: 0}).startswith(f"limits.{limit}: "))

    def test_bcrypt_cost(self) -> None:
        """A bcrypt cost is 4 to 16: below it bcrypt has none, above it a login takes many seconds."""
        for cost in 3, 17:
            self.assertTrue(self.refusal_of(limits={"bcrypt_cost": cost}).startswith("limits.bcrypt_cost: "))
        self.assertEqual(self.load(replicas=ONE, limits={"bcrypt_cost": 4}).limits.bcrypt_cost, 4)


class WhichReplicaTests(SynchronousTestCase):
    def test_by_port(self) -> None:
        """A replica is found by its client port."""
        self.assertEqual(DEFAULT.replica(5002), Address("127.0.0.1", 5002, 15002))

    def test_none(self) -> None:
        """For a port that is nobody's, the ports there are are listed."""
        error = self.assertRaises(StartError, DEFAULT.replica, 5009)
        self.assertIn("5009", str(error))
        self.assertIn("5001, 5002, 5003", str(error))

    def test_one_port_on_several_hosts(self) -> None:
        """Where several hosts have the port, it is the replica of this one."""
        both = Cluster((Address("203.0.113.1", 5001), Address("127.0.0.1", 5001)))
        self.assertEqual(both.replica(5001).host, "127.0.0.1")

    def test_no_telling(self) -> None:
        """Where none or several of the hosts are this one, that is said, with the hosts."""
        for hosts, word in (("203.0.113.1", "203.0.113.2"), "none"), (("127.0.0.1", "127.0.0.2"), "several"):
            found = Cluster(tuple(Address(host, 5001) for host in hosts))
            error = self.assertRaises(StartError, found.replica, 5001)
            self.assertIn(f"{word} of {', '.join(hosts)} are addresses of this machine", str(error))

    def test_unknown_host(self) -> None:
        """A name that cannot be resolved is not this machine."""
        self.assertFalse(cluster.is_local("no-such-host.invalid"))
        self.assertTrue(cluster.is_local("localhost"))
