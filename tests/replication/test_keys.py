"""chattwist.replication.keys: made once where all replicas are on one machine, and looked at before they are relied on."""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import DEFAULT, Address, Cluster
from chattwist.errors import StartError
from chattwist.replication import keys

FIRST, SECOND, _ = DEFAULT.replicas
ELSEWHERE = Cluster((Address("192.0.2.1", 5001), FIRST))  # an address for examples, which no machine has
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = """
import sys
from chattwist.cluster import DEFAULT
from chattwist.replication.keys import certificate_pem, make_or_load
sys.stdin.readline()
print(certificate_pem(make_or_load(sys.argv[1], DEFAULT, DEFAULT.replicas[int(sys.argv[2])]).authority).decode())
"""


class KeysTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.join(os.path.abspath(self.mktemp()), "keys")

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def halves(self, address: Address) -> list[bytes]:
        """A replica's key and its certificate."""
        with open(self.path(keys.file_name(address)), "rb") as file:
            return file.read().split(b"-----BEGIN CERT")

    def refusal(self, cluster: Cluster = DEFAULT, address: Address = FIRST) -> str:
        """The one line that is said instead of a start."""
        text = str(self.assertRaises(StartError, keys.make_or_load, self.directory, cluster, address))
        self.assertEqual(len(text.splitlines()), 1)
        self.assertIn(self.directory, text)
        return text


class MakeTests(KeysTestCase):
    def test_made_once(self) -> None:
        """The first start makes the keys of all replicas; every later one finds the same."""
        first = keys.make_or_load(self.directory, DEFAULT, FIRST)
        self.assertEqual(keys.make_or_load(self.directory, DEFAULT, FIRST).certificate, first.certificate)
        second = keys.make_or_load(self.directory, DEFAULT, SECOND)
        self.assertEqual(second.authority, first.authority)
        self.assertEqual(
            [keys.named(each.certificate) for each in (first, second)], ["127.0.0.1:5001", "127.0.0.1:5002"]
        )

    def test_closed_to_others(self) -> None:
        """Only the owner reads the keys, and nothing half-written is left beside them."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        names = os.listdir(self.directory)
        self.assertEqual({stat.S_IMODE(os.stat(self.path(name)).st_mode) for name in names}, {0o600})
        self.assertEqual(len([name for name in names if name.endswith(".pem")]), len(names))

    def test_copied(self) -> None:
        """Keys that were copied here open to everybody are closed when they are first used."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        os.chmod(self.directory, 0o755)
        os.chmod(self.path(keys.file_name(FIRST)), 0o644)
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.path(keys.file_name(FIRST))).st_mode), 0o600)

    def test_replicas_that_start_together(self) -> None:
        """Three processes that start at the same moment end up with keys of one authority."""
        command = [sys.executable, "-c", START, self.directory]
        pipe = subprocess.PIPE
        started = [
            subprocess.Popen([*command, str(rank)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for rank in range(3)
        ]
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in started]
        self.assertEqual([process.returncode for process in started], [0, 0, 0])
        self.assertEqual(len(set(said)), 1)

    def test_waits_for_the_one_that_makes_them(self) -> None:
        """Whoever finds another process making keys waits, and then takes what that one made."""
        made = []

        def wait(descriptor: int, operation: int) -> None:
            made.append(authority := keys.Authority.new())
            keys.save_authority(self.directory, authority)
            keys.write(self.directory, keys.file_name(FIRST), authority.issue(FIRST))

        self.patch(fcntl, "flock", wait)
        loaded = keys.make_or_load(self.directory, DEFAULT, FIRST)
        self.assertEqual([authority.certificate for authority in made], [loaded.authority])

    def test_replica_added_later(self) -> None:
        """A replica that comes to the cluster file later gets its keys from the authority that is there."""
        first = keys.make_or_load(self.directory, Cluster((FIRST,)), FIRST)
        second = keys.make_or_load(self.directory, DEFAULT, SECOND)
        self.assertEqual(second.authority, first.authority)

    def test_start_that_was_killed(self) -> None:
        """An authority's key without its certificate is what a killed first start leaves: the next one makes both."""
        os.makedirs(self.directory)
        keys.write(self.directory, keys.AUTHORITY_KEY, b"of a start that was killed")
        keys.make_or_load(self.directory, DEFAULT, FIRST)

    def test_validity(self) -> None:
        """Certificates hold for a machine whose clock is years behind, and for longer than anybody will run this."""
        certificate = keys.make_or_load(self.directory, DEFAULT, FIRST).certificate
        self.assertLess(certificate.not_valid_before_utc.year, 2000)
        self.assertGreater(certificate.not_valid_after_utc.year, 2100)

    def test_key_is_not_shown(self) -> None:
        """The private key is in no printout of the keys."""
        self.assertNotIn("rivate", repr(keys.make_or_load(self.directory, DEFAULT, FIRST)))

    def test_names_in_any_script(self) -> None:
        """A host may be a name with any characters, or an IPv6 address: its file and certificate can be made."""
        for host in ("::1", "münchen.example", ".".join(["A" * 63] * 3)):
            address = Address(host, 5001)
            os.makedirs(self.directory, exist_ok=True)
            keys.save_authority(self.directory, authority := keys.Authority.new())
            keys.write(self.directory, keys.file_name(address), authority.issue(address))
            self.assertEqual(keys.named(keys.load(self.directory, address).certificate), keys.replica_name(address))

    def test_what_else_is_there(self) -> None:
        """A directory, a link that leads nowhere, and a file that another start has just renamed do not stop a start."""
        os.makedirs(self.path("notes"), mode=0o755)
        os.symlink("nowhere", self.path("link"))
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("notes")).st_mode), 0o755)
        with patch("os.chmod", side_effect=FileNotFoundError):
            keys.make_or_load(self.directory, DEFAULT, FIRST)


class RefusalTests(KeysTestCase):
    def test_several_machines(self) -> None:
        """Keys of replicas on several machines are not made in passing: the line names the command that makes them."""
        self.assertIn("python -m chattwist.bundle", self.refusal(ELSEWHERE))
        self.assertFalse(os.path.exists(self.directory))

    def test_damaged(self) -> None:
        """Files that are no keys: the line says which and what to do."""
        for name in (keys.AUTHORITY, keys.file_name(FIRST)):
            shutil.rmtree(self.directory, ignore_errors=True)
            keys.make_or_load(self.directory, DEFAULT, FIRST)
            for content in (
                b"",
                b"rubbish",
                b"\xff\xfe",
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ):
                keys.write(self.directory, name, content)
                self.assertRegex(self.refusal(), f"{re.escape(name)} does not hold .* move the directory away")

    def test_of_another_authority(self) -> None:
        """A replica's keys and an authority that did not sign them."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        keys.save_authority(self.directory, keys.Authority.new())
        self.assertIn("not of one authority", self.refusal())

    def test_of_another_replica(self) -> None:
        """The keys of another replica under this one's name."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        shutil.copy(self.path(keys.file_name(SECOND)), self.path(keys.file_name(FIRST)))
        self.assertIn("names 127.0.0.1:5002", self.refusal())

    def test_key_of_another_certificate(self) -> None:
        """A certificate with a key that is not its own."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        own, other = map(self.halves, (FIRST, SECOND))
        keys.write(self.directory, keys.file_name(FIRST), other[0] + b"-----BEGIN CERT" + own[1])
        self.assertIn("not that of its certificate", self.refusal())

    def test_authority_lost(self) -> None:
        """Replicas' keys without their authority are not replaced by new ones behind their owner's back."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        os.unlink(self.path(keys.AUTHORITY))
        self.assertIn("is missing", self.refusal())

    def test_authority_without_key(self) -> None:
        """A copied bundle cannot make keys for others: the line names the command that does."""
        keys.make_or_load(self.directory, DEFAULT, FIRST)
        os.unlink(self.path(keys.AUTHORITY_KEY))
        os.unlink(self.path(keys.file_name(FIRST)))
        self.assertIn("python -m chattwist.bundle", self.refusal())

    def test_unreadable(self) -> None:
        """A file that cannot be read is named."""
        os.makedirs(self.path(keys.AUTHORITY))
        os.makedirs(self.path(keys.file_name(FIRST)))
        self.assertIn("Is a directory", self.refusal())
