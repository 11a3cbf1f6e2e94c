"""The data formats of RFC 6733: every value survives, every wrong size or content is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import datatypes
from protocol.errors import LocalProtocolError

SECOND = 10**9


@pytest.mark.parametrize(
    "pack, unpack, lowest, highest",
    [
        (datatypes.pack_u32, datatypes.unpack_u32, 0, 2**32 - 1),
        (datatypes.pack_i32, datatypes.unpack_i32, -(2**31), 2**31 - 1),
        (datatypes.pack_u64, datatypes.unpack_u64, 0, 2**64 - 1),
        (datatypes.pack_i64, datatypes.unpack_i64, -(2**63), 2**63 - 1),
    ],
)
@pytest.mark.rule("B-032")
def test_integers_keep_their_whole_range_and_nothing_beyond(pack, unpack, lowest, highest):
    for value in (lowest, 0, highest):
        assert unpack(pack(value)) == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(LocalProtocolError):
            pack(value)
    with pytest.raises(ValueError, match="octets"):
        unpack(pack(0) + b"\0")


def test_floats_survive():
    assert datatypes.unpack_f32(datatypes.pack_f32(0.5)) == 0.5
    assert datatypes.unpack_f64(datatypes.pack_f64(-1e300)) == -1e300
    with pytest.raises(LocalProtocolError):
        datatypes.pack_f32(1e300)


@pytest.mark.rule("B-034", "T122")
@pytest.mark.parametrize(
    "octets, moment",
    [
        ("ed003780", datetime(2026, 1, 1, tzinfo=UTC)),
        ("ffffffff", datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC)),
        ("00000000", datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC)),
        ("001df780", datetime(2036, 3, 1, tzinfo=UTC)),
        ("80000000", datetime(1968, 1, 20, 3, 14, 8, tzinfo=UTC)),
        ("7fffffff", datetime(2104, 2, 26, 9, 42, 23, tzinfo=UTC)),
    ],
)
def test_time_counts_from_1900_until_it_wraps_in_2036(octets, moment):
    unix_ns = int(moment.timestamp()) * SECOND
    assert datatypes.time_to_unix_ns(bytes.fromhex(octets)) == unix_ns
    assert datatypes.unix_ns_to_time(unix_ns).hex() == octets


@pytest.mark.rule("B-034")
@given(st.binary(min_size=4, max_size=4))
def test_every_time_survives(octets):
    assert datatypes.unix_ns_to_time(datatypes.time_to_unix_ns(octets)) == octets


def test_time_outside_both_eras_is_refused_and_fractions_are_cut():
    for year in (1967, 2105):
        moment = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND
        with pytest.raises(LocalProtocolError):
            datatypes.unix_ns_to_time(moment)
    assert datatypes.unix_ns_to_time(SECOND + 999) == datatypes.unix_ns_to_time(SECOND)


@pytest.mark.parametrize(
    "address, octets, family",
    [
        ("192.0.2.10", "0001c000020a", 1),
        ("2001:db8::1", "000220010db8000000000000000000000001", 2),
        ("15550001", "00083135353530303031", 8),
    ],
)
@pytest.mark.rule("B-032")
def test_addresses_carry_their_family(address, octets, family):
    assert datatypes.pack_address(address).hex() == octets
    assert datatypes.unpack_address(bytes.fromhex(octets)) == (family, address)


@pytest.mark.parametrize("octets", ["", "00", "0001c00002", "000220010db8", "0008ff"])
def test_an_address_that_does_not_fit_its_family_is_refused(octets):
    with pytest.raises(ValueError):
        datatypes.unpack_address(bytes.fromhex(octets))


def test_an_address_of_another_family_comes_back_as_digits():
    assert datatypes.unpack_address(b"\x00\x03\xab") == (3, "ab")
    with pytest.raises(LocalProtocolError):
        datatypes.pack_address("not an address")


@pytest.mark.rule("B-035")
def test_text_is_utf8_without_nul():
    assert datatypes.unpack_utf8("Größe €".encode()) == "Größe €"
    for octets in (b"\xff", b"a\0b", b"\xed\xa0\x80"):
        with pytest.raises(ValueError):
            datatypes.unpack_utf8(octets)
    with pytest.raises(LocalProtocolError):
        datatypes.pack_utf8("\ud800")
