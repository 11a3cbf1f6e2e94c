"""Identities: one spelling is stored, whatever people write."""

import pytest

from ocs.charging.model.messages import Identity
from ocs.errors import UsageError
from ocs.provisioning.identities import candidates, normalise_identity, parse_identity


@pytest.mark.parametrize(
    "kind,text,value",
    [
        ("msisdn", "+49 (151) 1234-5678", "4915112345678"),
        ("msisdn", "tel:+49-151-12345678;phone-context=x", "4915112345678"),
        ("msisdn", " 4915112345678 ", "4915112345678"),
        ("imsi", "262 01 1234567890", "262011234567890"),
        ("imsi", "123456", "123456"),
        ("sip", "SIP:Alice@Example.COM:5060;transport=udp", "sip:Alice@example.com:5060"),
        ("sip", "sip:bob@[2001:DB8::1]", "sip:bob@[2001:db8::1]"),
        ("nai", "Alice@Realm.Example", "Alice@realm.example"),
        ("private", "line 7", "line 7"),
    ],
)
def test_normalised(kind, text, value):
    assert normalise_identity(kind, text) == Identity(kind, value)


@pytest.mark.parametrize(
    "kind,text",
    [
        ("msisdn", ""),
        ("msisdn", "+"),
        ("msisdn", "+49x"),
        ("msisdn", "1234567890123456"),
        ("msisdn", "٤٩"),
        ("imsi", "12345"),
        ("imsi", "1234567890123456"),
        ("imsi", "+26201123456789"),
        ("sip", "alice@example.com"),
        ("sip", "sip:example.com"),
        ("nai", "alice"),
        ("nai", "a@b@c"),
        ("nai", "alice@"),
        ("private", ""),
        ("private", "a\nb"),
        ("fax", "123"),
    ],
)
def test_refused(kind, text):
    with pytest.raises(UsageError):
        normalise_identity(kind, text)


@pytest.mark.parametrize(
    "text,kind",
    [
        ("+4915112345678", "msisdn"),
        ("tel:+4915112345678", "msisdn"),
        ("4915112345678", "msisdn"),
        ("imsi:262011234567890", "imsi"),
        ("alice@example.com", "nai"),
        ("sip:alice@example.com", "sip"),
        ("private:17", "private"),
    ],
)
def test_recognised(text, kind):
    assert parse_identity(text).kind == kind


def test_bare_digits_may_be_either_number():
    assert candidates("262011234567890") == (
        Identity("msisdn", "262011234567890"),
        Identity("imsi", "262011234567890"),
    )
    with pytest.raises(UsageError, match="names no subscriber"):
        candidates("hello")
