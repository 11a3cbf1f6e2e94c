"""Certificates out of files: what can be used, what is wrong with the rest, whom they name."""

from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from protocol.tls import (
    CredentialsError,
    PeerCertificate,
    TlsFiles,
    explain,
    load,
    shown_subject,
)
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def test_what_the_files_say(authority):
    own = authority.issue("ocs1.ocs.example", "ocs.example")
    found = load(authority.files(own))
    assert found.subject == "CN=ocs1.ocs.example"
    assert found.certificate.names == ("ocs1.ocs.example", "ocs.example")
    assert found.weaknesses == ()
    expiry = own.certificate.not_valid_after_utc
    assert found.days_left(expiry - timedelta(hours=36)) == 1.5
    assert found.holds(expiry) and not found.holds(expiry + timedelta(seconds=1))
    assert not found.holds(own.certificate.not_valid_before_utc - timedelta(seconds=1))


def test_the_whole_chain_must_hold(authority):
    own = authority.issue("ocs1.ocs.example", days=(-1, 300))
    between = authority.issue("between.example", days=(-0.5, 30))
    own.certificate_file.write_bytes(own.pem + between.pem)
    found = load(authority.files(own))
    assert found.valid_until == between.certificate.not_valid_after_utc
    assert found.valid_from == between.certificate.not_valid_before_utc
    assert found.certificate.names == ("ocs1.ocs.example",)


def _missing(own):
    own.key_file.unlink()


def _another_key(own):
    own.key_file.write_bytes(Authority(own.key_file.parent / "other").issue("x").key_pem())


def _password(own):
    own.key_file.write_bytes(own.key_pem(b"secret"))


def _no_key(own):
    own.key_file.write_bytes(own.pem)


def _no_certificate(own):
    own.certificate_file.write_bytes(own.key_pem())


def _empty(own):
    own.certificate_file.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil,kind,words",
    [
        (_missing, "private_key", r"key\.pem cannot be read: No such file"),
        (_another_key, "private_key", r"key\.pem is not the key of the first certificate in /"),
        (_password, "private_key", r"key\.pem has a password; without it: openssl pkey -in /"),
        (_no_key, "private_key", r"key\.pem holds no private key in PEM"),
        (_no_certificate, "certificate", r"certificate\.pem holds no certificate in PEM"),
        (_empty, "certificate", r"certificate\.pem holds no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_what_is_wrong(authority, spoil, kind, words):
    own = authority.issue("ocs1.ocs.example")
    spoil(own)
    with pytest.raises(CredentialsError, match=words) as caught:
        load(authority.files(own))
    assert caught.value.kind == kind
    assert "secret" not in str(caught.value)


def test_whom_to_trust_must_be_said(authority, tmp_path):
    own = authority.issue("ocs1.ocs.example")
    files = TlsFiles(own.certificate_file, own.key_file, tmp_path / "nobody.pem")
    with pytest.raises(CredentialsError, match=r"nobody\.pem cannot be read") as caught:
        load(files)
    assert caught.value.kind == "trusted"


def test_ciphers_that_openssl_does_not_have(authority):
    own = authority.issue("ocs1.ocs.example")
    files = TlsFiles(own.certificate_file, own.key_file, authority.trusted_file, ciphers="ROT13")
    with pytest.raises(CredentialsError, match="'ROT13' names no cipher") as caught:
        load(files)
    assert caught.value.kind == "ciphers"


def test_what_can_be_loaded_and_yet_will_not_do(authority):
    own = authority.issue(usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    own.key_file.chmod(0o644)
    weak = load(authority.files(own)).weaknesses
    assert len(weak) == 3
    assert "no DNS name in its subjectAltName" in weak[0]
    assert "not made for servers" in weak[1]
    assert "key.pem can be read by every user" in weak[2]


@pytest.mark.rule("B-002")
@pytest.mark.parametrize(
    "names,host,fits",
    [
        (("pgw1.net.example",), "pgw1.net.example", True),
        (("PGW1.Net.Example",), "pgw1.net.example", True),
        (("pgw1.net.example",), "pgw1.net.example.", True),
        (("pgw2.net.example", "pgw1.net.example"), "pgw1.net.example", True),
        (("*.net.example",), "pgw1.net.example", True),
        (("*.net.example",), "pgw1.west.net.example", False),
        (("*.example",), "pgw1.net.example", False),
        (("pgw2.net.example",), "pgw1.net.example", False),
        (("pgw1.net.example.evil.example",), "pgw1.net.example", False),
        ((), "nameless", False),
        (("pgw1.net.example",), "", False),
        (("192.0.2.1",), "192.0.2.1", False),
    ],
)
def test_a_certificate_is_for_the_names_in_its_alternative_names(authority, names, host, fits):
    certificate = PeerCertificate(authority.issue(*names).certificate)
    assert certificate.names == names
    assert certificate.is_for(host) is fits


@pytest.mark.rule("B-002")
def test_no_certificate_is_for_nobody():
    assert not PeerCertificate(None).is_for("pgw1.net.example")
    assert PeerCertificate(None).names == ()


def test_a_subject_is_one_line_whatever_is_written_there(authority):
    evil = "pgw1\n2026-01-01 [info] peer connected\x1b[2J"
    shown = shown_subject(authority.issue(subject=evil, folder="evil").certificate)
    assert shown == "CN=pgw1?2026-01-01 [info] peer connected?[2J"


@pytest.mark.parametrize(
    "queue,words",
    [
        ([("SSL routines", "", "wrong version number")], "it does not speak TLS"),
        ([("SSL routines", "", "unsupported protocol")], "only older versions"),
        ([("SSL routines", "", "no shared cipher")], "shares no cipher"),
        ([("SSL routines", "", "peer did not return a certificate")], "showed no certificate"),
        ([("SSL routines", "", "ssl/tls alert unknown ca")], "the peer refused: .*unknown ca"),
        ([("a", "", "b"), ("SSL routines", "", "bad record mac")], "bad record mac"),
        ([], "the peer ended it"),
    ],
)
def test_failures_of_tls_in_words(queue, words):
    import re

    assert re.search(words, explain(SSL.Error(queue)))
