"""What is told before a replica starts."""

import socket
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import Address, Cluster
from chattwist.errors import StartError
from chattwist.preflight import check_free, check_reachable, check_replica
from tests.endtoend.harness import free_port

HERE, NOT_HERE = "127.0.0.1", "192.0.2.1"  # the second is an address for examples, which no machine has


class PortTests(SynchronousTestCase):
    def check(self, *addresses: str) -> None:
        """Whether a replica may listen at a name that stands for these addresses."""
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in addresses]
        with patch("socket.getaddrinfo", return_value=found):
            check_free("localhost", 0)

    def test_a_name_with_an_address_of_no_use(self) -> None:
        """Localhost may stand for ::1, too, where the machine has no IPv6: one address that is there is enough."""
        self.check(NOT_HERE, HERE)
        error = self.assertRaises(StartError, self.check, NOT_HERE, NOT_HERE)
        self.assertIn("this machine does not have that address", str(error))

    def test_a_name_for_the_loopback_only(self) -> None:
        """What /etc/hosts may say of a machine's own name: the replica would listen where no other machine can come."""
        for addresses, good in ((["127.0.1.1", HERE], False), (["127.0.1.1", NOT_HERE], True)):
            found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in addresses]
            with patch("socket.getaddrinfo", return_value=found):
                if good:
                    check_reachable("db1")
                else:
                    error = self.assertRaises(StartError, check_reachable, "db1")
                    self.assertIn("db1 is 127.0.0.1 and 127.0.1.1 on this machine", str(error))
        check_reachable(HERE)  # an address says what it is

    def test_all_addresses(self) -> None:
        """0.0.0.0 in the file of several machines would be a replica on each of them, all with one name."""
        for host in "0.0.0.0", "::":
            error = self.assertRaises(StartError, check_reachable, host)
            self.assertIn(f"{host} stands for whatever machine reads it: write the address", str(error))

    def test_told_before_keys_are_asked_for(self) -> None:
        """What is wrong with the host comes first: keys for it would be made in vain."""
        cluster = Cluster((Address("0.0.0.0", free_port()), Address(NOT_HERE, 5002)))
        error = self.assertRaises(StartError, check_replica, cluster, cluster.replicas[0], self.mktemp())
        self.assertIn("stands for whatever machine reads it", str(error))

    def test_in_use(self) -> None:
        """A port that is in use at one of the addresses is not free."""
        with (
            socket.create_server((HERE, 0)) as other,
            patch(
                "socket.getaddrinfo",
                return_value=[
                    (socket.AF_INET, socket.SOCK_STREAM, 0, "", (HERE, port)) for port in (0, other.getsockname()[1])
                ],
            ),
        ):
            self.assertIn("it is in use", str(self.assertRaises(StartError, check_free, "localhost", 0)))
