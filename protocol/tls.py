"""TLS out of PEM files, and what the certificate of a peer proves (RFC 6733 2.2 and 13.1).

Loaded by the server and the simulator; `transport` secures connections with the context and asks
the certificate for whom it was made. Both ends show one, and no file is looked at twice: what was
checked is what is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname

TLS_PORT = 5868
"""Diameter over TLS: RFC 6733 11.4; the 5658 of its section 2.1 is erratum 3997."""

TlsVersion = Literal["1.2", "1.3"]
FileKind = Literal["certificate", "private_key", "trusted", "ciphers"]

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
"""What TLS 1.2 may use unless the owner says otherwise; those of TLS 1.3 are all good."""

_VERSIONS: dict[TlsVersion, int] = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_SESSION_CONTEXT = b"diameter"
SUBJECT_MAX = 200
"""Characters of a subject that are shown."""
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_DISTRUST = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed and not among the trusted ones",
    19: "comes from an authority that is not among the trusted ones",
    20: "comes from an authority that is not among the trusted ones",
    21: "comes from an authority that is not among the trusted ones",
    24: "comes from a certificate that is no authority",
    26: "was made for another purpose (it needs clientAuth, or serverAuth where we call)",
}
"""Why OpenSSL does not believe a certificate, by its number of the error."""
_EXPLAINED = {
    "wrong version number": "it does not speak TLS",
    "http request": "it does not speak TLS",
    "unknown protocol": "it does not speak TLS",
    "packet length too long": "it does not speak TLS",
    "unsupported protocol": "it speaks only older versions of TLS",
    "version too low": "it speaks only older versions of TLS",
    "no shared cipher": "it shares no cipher with us",
    "peer did not return a certificate": "it showed no certificate",
}

T = TypeVar("T")


class CredentialsError(Exception):
    """Files that TLS cannot be spoken with; `kind` says which of them is to be mended."""

    def __init__(self, kind: FileKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where our identity and those that we believe are kept, all of it PEM.

    `certificate` is our own followed by those between it and its authority; `private_key` has no
    password; `trusted` are authorities, or single peers' certificates.
    """

    certificate: Path
    private_key: Path
    trusted: Path
    minimum_version: TlsVersion = "1.2"
    ciphers: str = CIPHERS

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """The three files."""
        return self.certificate, self.private_key, self.trusted


class PeerCertificate:
    """The certificate that a peer has proved to own; its chain was verified in the handshake.

    None at all (on a connection that is secured and yet has none) is for nobody.
    """

    __slots__ = ("_certificate", "names")

    def __init__(self, certificate: x509.Certificate | None) -> None:
        self._certificate = certificate
        self.names = () if certificate is None else dns_names(certificate)

    def is_for(self, host: str) -> bool:
        """Whether its subjectAltName has this DNS name; a wildcard stands for its first label."""
        if self._certificate is None:
            return False
        try:
            verify_certificate_hostname(self._certificate, host.rstrip("."))
        except (VerificationError, CertificateError, *_UNREADABLE):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Credentials:
    """Our side of TLS, checked and ready; the context serves callers and listeners."""

    context: SSL.Context
    subject: str
    certificate: PeerCertificate
    """Our own, as a peer sees it."""
    valid_from: datetime
    valid_until: datetime
    """When the first certificate of our chain expires, UTC."""
    weaknesses: tuple[str, ...]
    """What will not work or is not safe though it can be loaded, for the owner's log."""

    def days_left(self, now: datetime) -> float:
        """Days until the first of our certificates expires; negative afterwards."""
        return (self.valid_until - now) / timedelta(days=1)

    def holds(self, now: datetime) -> bool:
        """Whether peers can believe it now: it is neither too early nor too late."""
        return self.valid_from <= now <= self.valid_until


def load(files: TlsFiles) -> Credentials:
    """Read and check the files. Raises CredentialsError with what is to be mended."""
    chain = _read("certificate", files.certificate, x509.load_pem_x509_certificates)
    trusted = _read("trusted", files.trusted, x509.load_pem_x509_certificates)
    key = _read("private_key", files.private_key, _load_key)
    own = chain[0]
    try:
        is_ours = own.public_key() == key.public_key()
    except UnsupportedAlgorithm as error:
        raise CredentialsError("certificate", f"{files.certificate}: {error}") from error
    if not is_ours:
        raise CredentialsError(
            "private_key",
            f"{files.private_key} is not the key of the first certificate in {files.certificate}",
        )
    return Credentials(
        _context(files, chain, key, trusted),
        shown_subject(own),
        PeerCertificate(own),
        max(one.not_valid_before_utc for one in chain),
        min(one.not_valid_after_utc for one in chain),
        tuple(_weaknesses(files, own)),
    )


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names in the subjectAltName; none where it cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))


def shown_subject(certificate: x509.Certificate) -> str:
    """Return whose it says it is, on one line: anybody can write there what he likes."""
    try:
        text = certificate.subject.rfc4514_string()
    except ValueError:
        return "(unreadable)"
    return "".join(one if one.isprintable() else "?" for one in text[:SUBJECT_MAX])


def explain(error: SSL.Error) -> str:
    """Return why TLS failed in words; those of OpenSSL where there are no better ones."""
    queue = error.args[0] if error.args else ()
    if not isinstance(queue, list | tuple) or not queue:
        return "the peer ended it"
    said = "; ".join(str(one[-1]).lower() for one in queue)
    for words, explanation in _EXPLAINED.items():
        if words in said:
            return explanation
    return f"the peer refused: {said}" if "alert" in said else said


def _read(kind: FileKind, path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise CredentialsError(kind, f"{path} cannot be read: {error.strerror}") from error
    except TypeError as error:
        advice = f"openssl pkey -in {path} -out KEYFILE"
        raise CredentialsError(kind, f"{path} has a password; without it: {advice}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "private key" if kind == "private_key" else "certificate"
        raise CredentialsError(kind, f"{path} holds no {what} in PEM: {error}") from error


def _load_key(data: bytes) -> Any:
    return load_pem_private_key(data, None)


def _context(
    files: TlsFiles, chain: list[x509.Certificate], key: Any, trusted: list[x509.Certificate]
) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(_VERSIONS[files.minimum_version])
    # A resumed session would be believed because of certificates that are trusted no longer.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(_SESSION_CONTEXT)
    context.set_options(
        SSL.OP_NO_TICKET
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    try:
        context.set_cipher_list(files.ciphers.encode())
    except SSL.Error as error:
        raise CredentialsError(
            "ciphers", f"'{files.ciphers}' names no cipher that OpenSSL has"
        ) from error
    try:
        context.use_certificate(chain[0])
        for intermediate in chain[1:]:
            context.add_extra_chain_cert(intermediate)
        context.use_privatekey(key)
    except (SSL.Error, TypeError, ValueError) as error:
        raise CredentialsError(
            "certificate", f"OpenSSL does not accept {files.certificate}: {error}"
        ) from error
    store = context.get_cert_store()
    assert store is not None
    # What was put there is believed, also an authority whose own authority was left out.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    try:
        for one in trusted:
            store.add_cert(crypto.X509.from_cryptography(one))
            context.add_client_ca(one)
    except (SSL.Error, crypto.Error) as error:
        raise CredentialsError(
            "trusted", f"OpenSSL does not accept {files.trusted}: {error}"
        ) from error
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    return context


def _verified(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """Keep why a certificate is not believed, which OpenSSL's own error leaves out."""
    if not ok:
        subject = shown_subject(certificate.to_cryptography())
        reason = _DISTRUST.get(error, f"is not believed (OpenSSL error {error})")
        whose = "its certificate" if depth == 0 else "an authority of its certificate,"
        owner = connection.get_app_data()
        if owner is not None:
            owner.distrust = f"{whose} {subject} {reason}"
    return bool(ok)


def _weaknesses(files: TlsFiles, own: x509.Certificate) -> list[str]:
    found = []
    if not dns_names(own):
        found.append(
            f"{files.certificate} has no DNS name in its subjectAltName; peers that check will"
            " refuse it"
        )
    try:
        usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *_UNREADABLE):
        usage = None
    if usage is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        found.append(f"{files.certificate} was not made for servers (serverAuth)")
    try:
        readable_by_all = files.private_key.stat().st_mode & 0o004
    except OSError:
        readable_by_all = 0
    if readable_by_all:
        found.append(f"{files.private_key} can be read by every user of this machine")
    return found
