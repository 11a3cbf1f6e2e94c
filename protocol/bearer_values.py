"""Values of a bearer that gateways write as octets or as text (TS 29.061 16.4.7).

Readers for the tables of `service_information` and `credit_control_groups`; what they accept,
`credit_control_layout` accepts too.
"""

from protocol.locations import network_digits
from protocol.members import INVALID_AVP_VALUE, Reading, Step, read_text

HEX_DIGITS = b"0123456789ABCDEFabcdef"
PLMN_OCTETS = 3
RAT_TYPES_LIKE_DIGITS = frozenset(b"%d" % digit for digit in range(3, 10))
"""3GPP-RAT-Types 51 to 57, each of which is also the octet of a digit."""


def read_number_in_octets(reading: Reading, position: int, start: int, stop: int) -> int | None:
    """A number sent as its raw octets, 1 to 4 of them."""
    size = stop - start
    if 1 <= size <= 4:
        return int.from_bytes(reading.data[start:stop], "big")
    return _refused(reading, position, stop, f"a number of {size} octets")


def read_rat_type(reading: Reading, position: int, start: int, stop: int) -> int | None:
    """3GPP-RAT-Type, one octet; by some gateways the digits of the number.

    The numbers 48 to 50, which are spare, are read as the digits 0 to 2; 51 (NR) and more are
    never digits where they stand alone.
    """
    payload = reading.data[start:stop]
    digits = payload.isdigit() and len(payload) <= 3 and payload not in RAT_TYPES_LIKE_DIGITS
    if digits and reading.leniency.raw_3gpp_octets:
        return int(payload)
    return read_number_in_octets(reading, position, start, stop)


def read_network(reading: Reading, position: int, start: int, stop: int) -> str | None:
    """MCC and MNC as text; by some gateways the three octets of a PLMN."""
    payload = reading.data[start:stop]
    if len(payload) == PLMN_OCTETS and reading.leniency.raw_3gpp_octets and not payload.isdigit():
        return network_digits(payload) or read_text(reading, position, start, stop)
    return read_text(reading, position, start, stop)


def read_charging_id(reading: Reading, position: int, start: int, stop: int) -> int | None:
    """3GPP-Charging-Id, a number in 4 octets."""
    if stop - start != 4:
        return _refused(reading, position, stop, "3GPP-Charging-Id needs 4 octets")
    return int.from_bytes(reading.data[start:stop], "big")


def read_nsapi(reading: Reading, position: int, start: int, stop: int) -> int | None:
    """One ASCII hexadecimal digit, or by some gateways the raw number."""
    payload = reading.data[start:stop]
    if len(payload) == 1:
        if payload in HEX_DIGITS:
            return int(payload, 16)
        if payload[0] < 16 and reading.leniency.raw_3gpp_octets:
            return payload[0]
    return _refused(reading, position, stop, "3GPP-NSAPI is one hexadecimal digit")


def _refused(reading: Reading, position: int, stop: int, message: str) -> int | None:
    failed = reading.data[position : (stop + 3) & -4]
    reading.problem(Step.CONTENT, INVALID_AVP_VALUE, message, failed)
    return None
