"""An authority for tests: certificates for peers, as PEM files and as contexts of the client side.

Keys are of curve P-256, because making those takes no time.
"""

import datetime as dt
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.tls import TlsFiles

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _days(count: float) -> dt.timedelta:
    return dt.timedelta(days=count)


class Identity:
    """A certificate with its key, and the two as files."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, directory: Path
    ) -> None:
        self.certificate = certificate
        self.key = key
        directory.mkdir(exist_ok=True, parents=True)
        self.certificate_file = directory / "certificate.pem"
        self.key_file = directory / "key.pem"
        self.write(self.certificate_file, self.key_file)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes = b"") -> bytes:
        encryption = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def write(self, certificate_file: Path, key_file: Path) -> None:
        """Put it where a server looks for its own."""
        certificate_file.write_bytes(self.pem)
        key_file.write_bytes(self.key_pem())
        key_file.chmod(0o600)


class Authority:
    """Who makes certificates, and whom others trust for it."""

    def __init__(self, directory: Path, name: str = "Test authority") -> None:
        self.directory = directory
        self.name = _name(name)
        directory.mkdir(exist_ok=True, parents=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(
            self.name,
            self.key.public_key(),
            (-1.0, 3650.0),
            [(x509.BasicConstraints(ca=True, path_length=None), True)],
        )
        self.trusted_file = directory / "trusted.pem"
        self.trusted_file.write_bytes(
            self.certificate.public_bytes(serialization.Encoding.PEM)
        )

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        days: tuple[float, float],
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() + _days(days[0]))
            .not_valid_after(_now() + _days(days[1]))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(
        self,
        *names: str,
        days: tuple[float, float] = (-1.0, 365.0),
        usage: Sequence[x509.ObjectIdentifier] = BOTH,
        folder: str = "",
        subject: str = "",
    ) -> Identity:
        """Return a certificate for DNS names, valid between two days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        if names:
            alternatives = [x509.DNSName(name) for name in names]
            extensions.append((x509.SubjectAlternativeName(alternatives), False))
        if usage:
            extensions.append((x509.ExtendedKeyUsage(list(usage)), False))
        subject = subject or (names[0] if names else "nameless")
        certificate = self._sign(_name(subject), key.public_key(), days, extensions)
        return Identity(certificate, key, self.directory / (folder or subject))

    def settings(self, identity: Identity, **changes: Any) -> dict[str, Any]:
        """Return the group ``diameter.tls`` of a server's settings, on a port of the system."""
        return {
            "listen": ["127.0.0.1:0"],
            "certificate": str(identity.certificate_file),
            "private_key": str(identity.key_file),
            "trusted": str(self.trusted_file),
            **changes,
        }

    def files(self, identity: Identity) -> TlsFiles:
        """Return what a side of TLS with this identity loads; it trusts this authority."""
        return TlsFiles(identity.certificate_file, identity.key_file, self.trusted_file)

    def server(self, identity: Identity) -> ssl.SSLContext:
        """Return a server's context: it wants certificates of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(self.trusted_file)
        context.load_cert_chain(identity.certificate_file, identity.key_file)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, identity: Identity | None) -> ssl.SSLContext:
        """Return a client's context: it trusts this authority and shows ``identity``, if any."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.trusted_file)
        if identity is not None:
            context.load_cert_chain(identity.certificate_file, identity.key_file)
        return context
