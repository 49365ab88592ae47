"""chattwist.bundle: keys for replicas on several machines."""

import contextlib
import io
import json
import os

from twisted.trial.unittest import SynchronousTestCase

from chattwist import bundle
from chattwist.cluster import Address, Cluster
from chattwist.replication import keys

HOSTS = [{"host": "192.0.2.1", "port": 5001}, {"host": "192.0.2.2", "port": 5001}]


class BundleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = os.path.join(self.mktemp(), "bundles")
        self.file = self.mktemp()
        self.write(HOSTS)

    def write(self, replicas: list[dict[str, object]]) -> None:
        with open(self.file, "w") as file:
            json.dump({"replicas": replicas}, file)
        self.cluster = Cluster(tuple(Address(str(each["host"]), 5001) for each in replicas))

    def run_it(self, *options: str) -> str:
        """What it prints."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            bundle.main(["--cluster", self.file, "--out", self.out, *options])
        return said.getvalue()

    def load(self, address: Address) -> keys.Keys:
        """As the replica does that finds its bundle in its directory."""
        return keys.make_or_load(bundle.bundle(self.out, address), self.cluster, address)

    def test_a_directory_a_replica(self) -> None:
        """Each directory starts one replica, the printout says where to copy it, and none has the authority's key."""
        said = self.run_it()
        loaded = [self.load(address) for address in self.cluster.replicas]
        self.assertEqual(len({each.authority for each in loaded}), 1)
        for address in self.cluster.replicas:
            self.assertIn(f"copy {bundle.bundle(self.out, address)}/* to {address.host}", said)
        names = [name for _, _, names in os.walk(self.out) for name in names]
        self.assertNotIn(keys.AUTHORITY_KEY, names)

    def test_replica_added_later(self) -> None:
        """With the authority kept, a replica that is added gets keys that the others take; theirs stay as they are."""
        self.run_it("--keep-ca")
        before = self.load(self.cluster.replicas[0])
        self.write([*HOSTS, {"host": "192.0.2.3", "port": 5001}])
        said = self.run_it()
        self.assertEqual(said.count("copy "), 1)
        self.assertEqual(self.load(self.cluster.replicas[0]).certificate, before.certificate)
        self.assertEqual(self.load(self.cluster.replicas[2]).authority, before.authority)

    def test_nothing_to_make(self) -> None:
        """Run again, it changes nothing and says so."""
        self.run_it("--keep-ca")
        before = self.load(self.cluster.replicas[0])
        self.assertIn("nothing to make", self.run_it())
        self.assertEqual(self.load(self.cluster.replicas[0]).certificate, before.certificate)

    def test_authority_not_kept(self) -> None:
        """Without the authority it does not mix keys that do not belong together: one line says what to do."""
        self.run_it()
        with self.assertRaises(SystemExit) as raised:
            self.run_it()
        self.assertIn("name a new directory", str(raised.exception))

    def test_mistakes(self) -> None:
        """A cluster file that is not there, or a place that cannot be written: one line."""
        with self.assertRaises(SystemExit) as raised:
            bundle.main(["--cluster", self.file + "-not", "--out", self.out])
        self.assertIn("No such file", str(raised.exception))
        with self.assertRaises(SystemExit) as raised:
            bundle.main(["--cluster", self.file, "--out", os.path.join(self.file, "below")])
        self.assertIn("bundle: ", str(raised.exception))
