"""Who may speak on the channel: mutual TLS 1.3, where both sides show a certificate of the cluster's authority."""

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from chattwist.replication.keys import Keys, named

_HINT = " (do both have keys of one authority? see keys/ in the data directory of each)"


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class MutualTLS:
    """Both sides of TLS, each of which asks for the other's certificate and takes none of another authority."""

    def __init__(self, keys: Keys) -> None:
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._context.set_options(SSL.OP_NO_TICKET)
        self._context.use_certificate(keys.certificate)
        self._context.use_privatekey(keys.private)
        store = self._context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(keys.authority))
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Our side of a connection that we opened."""
        return SSL.Connection(self._context, None)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Our side of a connection that we accepted."""
        return SSL.Connection(self._context, None)


class TLSFactory(TLSMemoryBIOFactory):
    """Puts TLS under a protocol. Writes go out as they come: what this package writes is collected already."""

    protocol = TLSMemoryBIOProtocol


def proven_name(transport: TLSMemoryBIOProtocol) -> str | None:
    """Whom the peer's certificate names, after a handshake; its chain has been verified then."""
    certificate = transport.getPeerCertificate()
    return None if certificate is None else named(certificate.to_cryptography())


def hung_up(reason: Failure) -> bool:
    """Whether a peer ended the connection without saying why."""
    error = reason.value
    return not isinstance(error, SSL.Error) or not error.args or not error.args[0]


def explain(reason: Failure) -> str:
    """Say in a few words why a connection ended before its peer was proven."""
    error = reason.value
    if isinstance(error, SSL.Error) and not hung_up(reason):
        why = str(error.args[0][-1][-1])
        return f"no proof of who it is: {why}{_HINT if 'verify failed' in why or 'unknown ca' in why else ''}"
    return "it hung up before it had proved who it is"
