"""What the channel takes for TLS."""

from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from chattwist.cluster import DEFAULT
from chattwist.replication.keys import make_or_load
from chattwist.replication.tls import MutualTLS


class VersionTests(SynchronousTestCase):
    def test_an_older_one(self) -> None:
        """Nobody talks a replica into an older TLS than 1.3, not even with a key of the cluster."""
        keys = make_or_load(self.mktemp(), DEFAULT, DEFAULT.replicas[0])
        protocol: Any = None
        ours = MutualTLS(keys).serverConnectionForTLS(protocol)
        ours.set_accept_state()
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(keys.certificate)
        context.use_privatekey(keys.private)
        theirs = SSL.Connection(context, None)
        theirs.set_connect_state()
        self.assertRaises(SSL.WantReadError, theirs.do_handshake)
        ours.bio_write(theirs.bio_read(65536))
        error = self.assertRaises(SSL.Error, ours.do_handshake)
        self.assertIn("unsupported protocol", str(error))
