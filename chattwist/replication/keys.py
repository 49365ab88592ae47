"""What a replica proves itself with: a key, a certificate that names it, and the authority that signed all of them.

In the keys' directory (0700; the files 0600) stand

``ca.pem``                   the authority's certificate; the same for all replicas
``ca-key.pem``               its key, only where all replicas are on one machine: whoever has it can be any replica
``replica-HOST-PORT.pem``    one replica's key and certificate, in one file so that they cannot be torn apart

Each file appears under its name once it is durable, so whatever is there is whole, and reading needs no lock.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chattwist.cluster import Address, Cluster, is_local
from chattwist.errors import StartError

AUTHORITY = "ca.pem"
AUTHORITY_KEY = "ca-key.pem"
BUNDLE = "python -m chattwist.bundle --cluster FILE --out DIR"

T = TypeVar("T")

_SCHEME = "chattwist://"
# Nobody renews keys at 3 a.m., and a clock may be wrong by years: a cluster must not fall silent for a date.
_VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
_VALID_FOR = timedelta(days=36500)
_USES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@attrs.frozen
class Keys:
    """One replica's proof: its ``private`` key and ``certificate``, and the ``authority`` that others are held to."""

    authority: x509.Certificate
    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey = attrs.field(repr=False)


@attrs.frozen
class Authority:
    """Whoever may say who is a replica of this cluster."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey = attrs.field(repr=False)

    @classmethod
    def new(cls) -> "Authority":
        """Make one; it is like no other."""
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(_sign(_subject("chattwist authority"), private.public_key(), private), private)

    def issue(self, address: Address) -> bytes:
        """Make a key and a certificate for the replica at ``address``: its PEM file."""
        private = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(self.certificate.subject, private.public_key(), self.private, address)
        return key_pem(private) + certificate_pem(certificate)


def make_or_load(directory: str, cluster: Cluster, address: Address) -> Keys:
    """Give the keys of the replica at ``address``, made first where all replicas are on this machine.

    StartError, one line that says what to do, if they are missing elsewhere, damaged, foreign, or cannot be read.
    """
    try:
        if _missing(directory, [address]):
            _make_missing(directory, cluster, address)
        _close_to_others(directory)
        return load(directory, address)
    except OSError as error:
        raise StartError(f"keys: {error.filename or directory}: {error.strerror}") from None


def check(directory: str, cluster: Cluster, address: Address) -> None:
    """Check that ``make_or_load`` will find good keys there or can make them, and change nothing; StartError."""
    try:
        if not _missing(directory, [address]):
            load(directory, address)
        elif not _may_make(cluster):
            raise _not_made(directory, address)
    except OSError as error:
        raise StartError(f"keys: {error.filename or directory}: {error.strerror}") from None


def load(directory: str, address: Address) -> Keys:
    """Read the keys of the replica at ``address``; StartError if they are no good, OSError if they cannot be read."""
    with _explained(directory):
        authority = _parsed(directory, AUTHORITY, x509.load_pem_x509_certificate, "a certificate")
        private = _parsed(directory, file_name(address), _private, "a key")
        certificate = _parsed(directory, file_name(address), x509.load_pem_x509_certificate, "a certificate")
        keys = Keys(authority, certificate, private)
        keys.certificate.verify_directly_issued_by(keys.authority)
        if keys.certificate.public_key() != keys.private.public_key():
            raise ValueError(f"the key in {file_name(address)} is not that of its certificate")
        if named(keys.certificate) != replica_name(address):
            raise ValueError(f"{file_name(address)} names {named(keys.certificate)}")
    return keys


def load_authority(directory: str) -> Authority:
    """Read an authority with its key; StartError if it is no good, OSError if it cannot be read."""
    with _explained(directory):
        certificate = _parsed(directory, AUTHORITY, x509.load_pem_x509_certificate, "a certificate")
        authority = Authority(certificate, _parsed(directory, AUTHORITY_KEY, _private, "a key"))
        if authority.certificate.public_key() != authority.private.public_key():
            raise ValueError(f"{AUTHORITY_KEY} is not the key of {AUTHORITY}")
    return authority


def save_authority(directory: str, authority: Authority) -> None:
    """Write an authority with its key. The certificate comes last: once it is there, all of it is."""
    write(directory, AUTHORITY_KEY, key_pem(authority.private))
    write(directory, AUTHORITY, certificate_pem(authority.certificate))


def write(directory: str, name: str, data: bytes) -> None:
    """Write a file that only its owner reads, which is there in whole or not at all, also after a crash; OSError."""
    temporary = os.path.join(directory, f"{name}.tmp-{os.getpid()}")
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(directory, name))
    _sync(directory)


def make_directory(path: str) -> None:
    """Make a directory, and those above it, that only its owner may enter; OSError."""
    if not os.path.isdir(path):
        parent = os.path.dirname(os.path.abspath(path))
        os.makedirs(parent, 0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        _sync(parent)


def replica_name(address: Address) -> str:
    """What a certificate calls the replica: ``host:port``, the port that clients use."""
    return quote(f"{address.host.lower()}:{address.port}", safe=":")


def named(certificate: x509.Certificate) -> str | None:
    """Whom a certificate names, as ``replica_name`` spells it; None if it is not one replica."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    uris = found.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0].removeprefix(_SCHEME) if len(uris) == 1 and uris[0].startswith(_SCHEME) else None


def file_name(address: Address) -> str:
    """The file of one replica's key and certificate."""
    return f"replica-{quote(address.host.lower(), safe='')}-{address.port}.pem"


def key_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as text."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(Encoding.PEM)


def _missing(directory: str, replicas: Iterable[Address]) -> list[Address]:
    """Those whose file is not there; all of them while there is no authority."""
    if not os.path.exists(os.path.join(directory, AUTHORITY)):
        return list(replicas)
    return [address for address in replicas if not os.path.exists(os.path.join(directory, file_name(address)))]


def _may_make(cluster: Cluster) -> bool:
    return all(is_local(replica.host) for replica in cluster.replicas)


def _not_made(directory: str, address: Address) -> StartError:
    return StartError(
        f"no keys for {address} in {directory}: the replicas are on several machines, so copy there what {BUNDLE!r} made for"
        " this one; if that is lost, stop all replicas before it makes new keys, for all of them"
    )


def _make_missing(directory: str, cluster: Cluster, address: Address) -> None:
    """Make what is missing, for all replicas at once; those that start at this moment wait, and find it."""
    if not _may_make(cluster):
        raise _not_made(directory, address)
    make_directory(directory)
    with _locked(directory):
        authority = _authority(directory)
        for replica in _missing(directory, cluster.replicas):
            write(directory, file_name(replica), authority.issue(replica))


def _authority(directory: str) -> Authority:
    """Read the authority of a directory, or make it in one that has no certificates yet."""
    names = os.listdir(directory)
    if AUTHORITY in names:
        if AUTHORITY_KEY not in names:
            raise StartError(
                f"keys in {directory}: no {AUTHORITY_KEY} to make more with: make all anew with {BUNDLE!r}"
            )
        return load_authority(directory)
    if any(name.startswith("replica-") and name.endswith(".pem") for name in names):
        raise StartError(f"keys in {directory}: {AUTHORITY} is missing: {_ADVICE}")
    save_authority(directory, Authority.new())
    return load_authority(directory)


def _close_to_others(directory: str) -> None:
    """What was copied here may be open to others; where it belongs to another user, its mode is theirs to choose."""
    with suppress(OSError):
        os.chmod(directory, 0o700)
    for entry in os.scandir(directory):
        with suppress(OSError):  # another replica that makes its keys just now has renamed it
            if entry.is_file(follow_symlinks=False):
                os.chmod(entry.path, 0o600)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the directory; the lock is the kernel's and ends with the process, however that ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_ADVICE = "bring back the files that were there, or stop all replicas, move the directory away and have new keys made"


@contextmanager
def _explained(directory: str) -> Iterator[None]:
    """Raise StartError for what a file of keys should not hold."""
    try:
        yield
    except InvalidSignature:
        raise StartError(f"keys in {directory} are not of one authority: {_ADVICE}") from None
    except (ValueError, TypeError) as error:
        raise StartError(f"keys in {directory} are no good: {' '.join(str(error).split())}: {_ADVICE}") from None


def _parsed(directory: str, name: str, parse: Callable[[bytes], T], what: str) -> T:
    """What a file holds; ValueError that names the file where it holds something else."""
    with open(os.path.join(directory, name), "rb") as file:
        data = file.read()
    try:
        return parse(data)
    except (ValueError, TypeError, x509.InvalidVersion):
        raise ValueError(f"{name} does not hold {what}") from None


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    private = load_pem_private_key(pem, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of another kind than this program makes")
    return private


def _subject(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _sign(
    issuer: x509.Name, public: ec.EllipticCurvePublicKey, by: ec.EllipticCurvePrivateKey, of: Address | None = None
) -> x509.Certificate:
    """Sign a certificate: of a replica, or without ``of`` the authority's own."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(_subject("chattwist replica") if of else issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(datetime.now(UTC) + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=of is None, path_length=None if of else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if of:
        uri = x509.UniformResourceIdentifier(_SCHEME + replica_name(of))
        builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        builder = builder.add_extension(_USES, critical=False)
    return builder.sign(by, hashes.SHA256())


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
