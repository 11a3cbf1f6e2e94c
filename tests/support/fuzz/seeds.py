"""What the fuzzer begins with: what gateways send, what servers answer, and what is seldom sent."""

import zlib
from functools import cache

from protocol import base
from protocol.codec import (
    encode_address,
    encode_avp,
    encode_grouped,
    encode_i32,
    encode_message,
    encode_time,
    encode_u32,
    encode_u64,
    encode_utf8,
    read_header,
)
from protocol.credit_control import (
    CostInformation,
    CreditControlAnswer,
    FinalUnitIndication,
    Money,
    ServiceUnits,
)
from protocol.credit_control_writer import write_cca
from protocol.session_commands import SessionCommand, SessionRequest, write_session_request
from tests.support import gateway_messages as gateways
from tests.support.blackbox_client import mscc
from tests.support.gateway_messages import (
    DEFAULT_MSISDN,
    DEFAULT_TIME_NS,
    OCS_HOST,
    OCS_REALM,
    TGPP,
)

PS, IMS, SMS = "12.32251@3gpp.org", "12.32260@3gpp.org", "12.32274@3gpp.org"
INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4


def head(kind: int, number: int, session: str, context: str = PS) -> bytes:
    """Return the AVPs that every request begins with."""
    avps = encode_utf8(263, session) + encode_utf8(264, "pgw1.net.example")
    avps += encode_utf8(296, "net.example") + encode_utf8(283, OCS_REALM) + encode_u32(258, 4)
    avps += encode_utf8(461, context) + encode_i32(416, kind) + encode_u32(415, number)
    return avps + gateways.subscription_id(0, DEFAULT_MSISDN)


def ccr(kind: int, number: int, session: str, *services: bytes, more: bytes = b"") -> bytes:
    """Return a request of a data session with these MSCC."""
    body = b"".join(encode_grouped(456, service) for service in services)
    return numbered(gateways.ccr(head(kind, number, session) + body + more))


def asked(group: int, units: bytes = b"") -> bytes:
    """Return the members of an MSCC that asks for units of a rating group."""
    return encode_u32(432, group) + encode_grouped(437, units)


def used(units: bytes, *more: bytes) -> bytes:
    """Return a Used-Service-Unit."""
    return encode_grouped(446, units + b"".join(more))


def _data_session() -> list[bytes]:
    total = encode_u64(421, 2_500_000)
    parts = encode_i32(872, 0, TGPP), encode_u64(412, 500_000), encode_u64(414, 2_000_000)
    name = "pgw1.net.example;1;data"
    return [
        ccr(INITIAL, 0, name, asked(100), asked(200, encode_u64(421, 2_000_000))),
        ccr(UPDATE, 1, name, asked(100) + used(total, *parts)),
        ccr(UPDATE, 2, name, encode_u32(432, 200) + used(total) + encode_i32(872, 2, TGPP)),
        ccr(UPDATE, 3, name, asked(100) + used(total, encode_i32(452, 0)) + used(total)),
        ccr(UPDATE, 4, name, asked(500) + used(encode_u32(420, 20)), asked(310)),
        ccr(TERMINATION, 5, name, encode_u32(432, 100) + used(total), more=encode_i32(295, 1)),
    ]


def _told_session() -> list[bytes]:
    """What few clients say: triggers, envelopes, who is behind a service, all of a bearer."""
    trigger = encode_grouped(1264, encode_i32(870, 4, TGPP) + encode_i32(870, 3, TGPP), TGPP)
    start = encode_time(1269, DEFAULT_TIME_NS, TGPP)
    envelope = encode_grouped(1266, start + encode_u64(421, 7), TGPP)
    info = encode_grouped(1249, encode_utf8(863, "gold", TGPP) + encode_u32(1257, 4, TGPP), TGPP)
    flows = encode_grouped(510, encode_u32(518, 1, TGPP) + encode_u32(509, 2, TGPP), TGPP)
    behind = encode_grouped(1276, encode_avp(505, b"icid", TGPP) + flows, TGPP)
    rare = trigger + envelope + info + behind + encode_avp(21, b"\x06", TGPP)
    event = encode_time(1258, DEFAULT_TIME_NS, TGPP)
    location = encode_avp(22, bytes.fromhex("8200f110000100f11000000001"), TGPP)
    bearer = location + encode_avp(23, b"\x40\0", TGPP) + encode_avp(18, b"00101", TGPP)
    bearer += encode_avp(2, b"\0\0\0\x07", TGPP) + encode_avp(21, b"6", TGPP)
    bearer += encode_avp(13, b"0800", TGPP) + encode_utf8(1004, "gold", TGPP)
    told = encode_grouped(873, encode_grouped(874, bearer, TGPP), TGPP) + encode_i32(2055, 1, TGPP)
    name = "pgw1.net.example;1;told"
    total = encode_u64(421, 2_500_000)
    return [
        ccr(INITIAL, 0, name, asked(100), more=told),
        ccr(UPDATE, 1, name, asked(100) + used(total, event) + rare, more=told),
        ccr(TERMINATION, 2, name, encode_u32(432, 100) + used(total), more=told),
    ]


def _money_session() -> list[bytes]:
    amount = encode_grouped(445, encode_avp(447, (125).to_bytes(8, "big")) + encode_i32(429, -2))
    money = encode_grouped(413, amount + encode_u32(425, 978))
    name = "pgw1.net.example;1;money"
    return [
        ccr(INITIAL, 0, name, asked(100, money)),
        ccr(UPDATE, 1, name, asked(100, money) + used(money)),
        ccr(TERMINATION, 2, name, encode_u32(432, 100) + used(money)),
    ]


def _legacy_session() -> list[bytes]:
    name = "pgw1.net.example;1;legacy"
    request = encode_u32(439, 5) + encode_grouped(437, encode_u64(421, 1_000_000))
    report = encode_u32(439, 5) + used(encode_u64(421, 900_000))
    sub = encode_u64(419, 7)
    return [
        ccr(INITIAL, 0, name, more=request),
        ccr(INITIAL, 0, name, more=request + sub),
        ccr(UPDATE, 1, name, more=request + report[12:]),
        ccr(TERMINATION, 2, name, more=report + sub),
        ccr(TERMINATION, 2, name, more=report),
    ]


def _events() -> list[bytes]:
    messages = encode_grouped(437, encode_u64(417, 2))
    found = []
    for action in range(4):
        name = f"pgw1.net.example;2;event{action}"
        avps = head(EVENT, 0, name, SMS) + encode_i32(436, action)
        avps += encode_grouped(456, messages + encode_u32(432, 1))
        avps += encode_avp(2022, b"0001", TGPP) if action == 1 else b""
        found.append(numbered(gateways.ccr(avps)))
    return found


def _base_messages() -> dict[str, bytes]:
    host, realm = "pgw1.net.example", "net.example"
    group = base.VendorSpecificApplication(10415, auth_application_id=4)
    cer = base.CapabilitiesExchangeRequest(
        host, realm, host_ip_addresses=("192.0.2.20",), vendor_id=0, product_name="gateway",
        auth_application_ids=(4,), vendor_specific_applications=(group,), origin_state_id=7,
        supported_vendor_ids=(10415,),
    )  # fmt: skip
    dwr = base.DeviceWatchdogRequest(host, realm).write(1, 1)
    cause = base.DisconnectCause.REBOOTING
    header = read_header(dwr)
    return {
        "cer": cer.write(1, 1),
        "dwr": dwr,
        "dpr": base.DisconnectPeerRequest(host, realm, cause).write(1, 1),
        "dwa": base.DeviceWatchdogAnswer(2001, host, realm).write(header),
        "dpa": base.DisconnectPeerAnswer(2001, host, realm).write(header),
    }


def _session_commands() -> dict[str, bytes]:
    found = {}
    for command in SessionCommand:
        request = SessionRequest(
            command, "pgw1.net.example;1;data", "pgw1.net.example", "net.example", OCS_REALM,
            OCS_HOST, termination_cause=1, re_auth_request_type=0, rating_group=100,
        )  # fmt: skip
        found[command.name.lower()] = write_session_request(request, 1, 1)
    answer = encode_utf8(263, "pgw1.net.example;1;data") + encode_u32(268, 2002)
    answer += encode_utf8(264, "pgw1.net.example") + encode_utf8(296, "net.example")
    found["raa"] = encode_message(258, 4, 0x40, 1, 1, answer)
    found["asa"] = encode_message(274, 4, 0x40, 1, 1, answer.replace(b"\x07\xd2", b"\x13\x8a"))
    return found


def _answers() -> dict[str, bytes]:
    service = mscc(100)
    service.granted = ServiceUnits(total_octets=10_000_000, tariff_time_change_ns=DEFAULT_TIME_NS)
    service.result_code, service.validity_time = 2001, 30
    service.final_unit = FinalUnitIndication(1, 2, "http://topup.example/")
    answer = CreditControlAnswer(
        "pgw1.net.example;1;data", 2001, "ocs1.ocs.example", "ocs.example", 1, 0,
        services=[service], cost_information=CostInformation(Money(23, -1, 978)),
    )  # fmt: skip
    return {"cca": write_cca(answer, 1, 1)}


def _strange() -> dict[str, bytes]:
    """What only a tester or an attacker sends."""
    proxy = encode_grouped(284, encode_utf8(280, "dra1.net.example") + encode_avp(33, b"\0\1\0"))
    many = encode_avp(65000, b"", flags=0) * 4090
    nested = b""
    for _ in range(15):
        nested = encode_grouped(456, nested)
    extension = encode_grouped(659, encode_utf8(660, DEFAULT_MSISDN, flags=0), flags=0)
    service = encode_address(1227, "2001:db8::1", TGPP) + encode_avp(22, b"\x82\0\xf1\x10", TGPP)
    information = encode_avp(873, encode_avp(874, service, TGPP), TGPP)
    parameter = encode_grouped(440, encode_u32(441, 77) + encode_avp(442, b"x"))
    name = "pgw1.net.example;3;"
    return {
        "routed": ccr(INITIAL, 0, name + "a", asked(100), more=proxy * 2 + encode_utf8(282, "d")),
        "astray": ccr(INITIAL, 0, name + "g", more=proxy * 2 + encode_utf8(293, "elsewhere")),
        "doubled": ccr(INITIAL, 0, name + "h", more=proxy * 2 + encode_u32(415, 0)),
        "many": ccr(INITIAL, 0, name + "b", asked(100), more=many),
        "nested": ccr(INITIAL, 0, name + "c", asked(100), more=nested),
        "extension": ccr(INITIAL, 0, name + "d", asked(100), more=extension),
        "information": ccr(INITIAL, 0, name + "e", asked(100), more=information),
        "parameter": ccr(INITIAL, 0, name + "f", asked(100), more=parameter),
        "no-avps": encode_message(272, 4, 0xC0, 1, 1, b""),
    }


@cache
def messages() -> dict[str, bytes]:
    """Return one message of every kind, by name: requests and answers."""
    sequences = {
        f"{name}-{number}": message
        for name, sequence in _sequences().items()
        for number, message in enumerate(sequence)
    }
    found = {
        **gateways.all_shapes(), **sequences, **_base_messages(), **_session_commands(),
        **_answers(), **_strange(),
    }  # fmt: skip
    return {name: numbered(message) for name, message in found.items()}


@cache
def _sequences() -> dict[str, list[bytes]]:
    return {
        "data": _data_session(),
        "told": _told_session(),
        "money": _money_session(),
        "legacy": _legacy_session(),
        "event": _events(),
    }


@cache
def streams() -> dict[str, bytes]:
    """Return what a client may send after its CER, by name: whole sessions and single messages."""
    found = {name: b"".join(sequence) for name, sequence in _sequences().items()}
    named = messages()
    for client in ("open5gs", "magma", "kamailio"):
        found[client] = b"".join(part for name, part in named.items() if name.startswith(client))
    found["watched"] = named["dwr"] + found["data"] + named["cer"]
    found["leaving"] = found["event"] + named["dpr"]
    found["ended"] = named["data-0"] + named["session_termination"] + named["data-1"]
    for name in (*_strange(), "raa", "asa"):
        found[name] = named[name]
    return found


def numbered(message: bytes) -> bytes:
    """Return a message under ids that no other seed has, the same in every run."""
    ids = zlib.crc32(message), zlib.adler32(message)
    return message[:12] + ids[0].to_bytes(4, "big") + ids[1].to_bytes(4, "big") + message[20:]
