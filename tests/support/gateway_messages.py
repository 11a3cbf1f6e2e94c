"""Credit-control requests in the shapes that real gateways send, AVP for AVP in their order.

Every function returns the octets of one message. They are built with the plain AVP encoders, not
with our request writer, so that the reader meets what a stranger wrote.
"""

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
)

TGPP = 10415
REQUEST_FLAGS = 0xC0
DEFAULT_IMSI = "001010000000001"
DEFAULT_MSISDN = "15550001"
DEFAULT_TIME_NS = 1_767_225_600 * 10**9  # 2026-01-01T00:00:00Z
OCS_HOST, OCS_REALM = "ocs1.ocs.example", "ocs.example"

INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4


def ccr(avps: bytes, hop_by_hop: int = 1, end_to_end: int = 1) -> bytes:
    """A Credit-Control-Request around these AVPs."""
    return encode_message(272, 4, REQUEST_FLAGS, hop_by_hop, end_to_end, avps)


def vm(code: int, payload: bytes) -> bytes:
    """A 3GPP AVP with V and M."""
    return encode_avp(code, payload, TGPP)


def v(code: int, payload: bytes) -> bytes:
    """A 3GPP AVP with V, without M."""
    return encode_avp(code, payload, TGPP, flags=0)


def subscription_id(kind: int, data: str) -> bytes:
    return encode_grouped(443, encode_i32(450, kind) + encode_utf8(444, data))


def _octets(total: int | None, uplink: int | None = None, downlink: int | None = None) -> bytes:
    avps = b""
    if uplink is not None:
        avps += encode_u64(412, uplink)
    if downlink is not None:
        avps += encode_u64(414, downlink)
    if total is not None:
        avps += encode_u64(421, total)
    return avps


# ----------------------------------------------------------------------------------- Open5GS

_OPEN5GS_HOST, _OPEN5GS_REALM = "smf.net.example", "ocs.example"
_REASONS_IN_USED = (0, 3, 5)


def _open5gs_qos() -> bytes:
    priority = v(1046, (8).to_bytes(4, "big"))
    priority += v(1047, (1).to_bytes(4, "big")) + v(1048, (1).to_bytes(4, "big"))
    rates = v(1041, (1_000_000_000).to_bytes(4, "big")) + v(
        1040, (1_000_000_000).to_bytes(4, "big")
    )
    return vm(1016, vm(1028, (9).to_bytes(4, "big")) + v(1034, priority) + rates)


def _open5gs_ps(first: bool, nsapi: bytes = b"\x05") -> bytes:
    members = vm(2, (7).to_bytes(4, "big"))
    if first:
        members += vm(3, (0).to_bytes(4, "big"))
    members += encode_address(1227, "10.45.0.2", TGPP)
    members += encode_address(1228, "192.0.2.3", TGPP) + encode_address(847, "192.0.2.4", TGPP)
    members += encode_utf8(30, "internet")
    members += vm(12, b"0") + vm(13, b"0800") + vm(18, b"00101") + vm(10, nsapi)
    members += vm(23, b"\x40\x00") + vm(22, bytes.fromhex("8200f1100001 00f1100000 0101"))
    members += vm(21, b"\x06")
    members += encode_grouped(458, encode_i32(459, 0) + encode_avp(460, b"3534900698733190"))
    return vm(873, vm(874, members))


def _open5gs(
    kind: int,
    session_id: str,
    number: int,
    services: bytes,
    imsi: str,
    msisdn: str | None,
    context: str,
    destination_host: str | None,
    time_ns: int,
    nsapi: bytes = b"\x05",
) -> bytes:
    avps = encode_utf8(263, session_id)
    avps += encode_utf8(264, _OPEN5GS_HOST) + encode_utf8(296, _OPEN5GS_REALM)
    avps += encode_utf8(283, _OPEN5GS_REALM) + encode_u32(258, 4) + encode_utf8(461, context)
    avps += encode_i32(416, kind) + encode_u32(415, number)
    if destination_host is not None:
        avps += encode_utf8(293, destination_host)
    avps += encode_time(55, time_ns) + subscription_id(1, imsi)
    if msisdn is not None:
        avps += subscription_id(0, msisdn)
    if kind == TERMINATION:
        avps += encode_i32(295, 1)
    avps += encode_i32(436, 0) + encode_i32(2055, 1, TGPP)
    if kind == INITIAL:
        avps += encode_i32(455, 0)
    return ccr(avps + encode_grouped(456, services) + _open5gs_ps(kind == INITIAL, nsapi))


def open5gs_initial(
    session_id: str,
    number: int = 0,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = None,
    context: str = "32251@3gpp.org",
    time_ns: int = DEFAULT_TIME_NS,
    nsapi: bytes = b"\x05",
) -> bytes:
    """SMF at attach: one MSCC without a rating group, always 1 000 000 octets, MSI 0.

    The NSAPI is one raw octet for GTPv2, a hexadecimal digit for GTPv1.
    """
    services = encode_grouped(437, encode_u64(421, 1_000_000)) + _open5gs_qos()
    return _open5gs(
        INITIAL, session_id, number, services, imsi, msisdn, context, None, time_ns, nsapi
    )


def _open5gs_used(reason: int | None, seconds: int, uplink: int, downlink: int) -> bytes:
    members = b""
    if reason in _REASONS_IN_USED:
        members = encode_i32(872, reason, TGPP)
    return encode_grouped(446, members + encode_u32(420, seconds) + _octets(None, uplink, downlink))


def open5gs_update(
    session_id: str,
    number: int = 1,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = None,
    uplink: int = 200_000,
    downlink: int = 600_000,
    seconds: int = 60,
    reason: int = 0,
    time_ns: int = DEFAULT_TIME_NS,
) -> bytes:
    """SMF report and request: used units without a total, the reason inside or beside them."""
    services = encode_grouped(437, encode_u64(421, 1_000_000))
    services += _open5gs_used(reason, seconds, uplink, downlink)
    if reason not in _REASONS_IN_USED:
        services += encode_i32(872, reason, TGPP)
    services += _open5gs_qos()
    return _open5gs(
        UPDATE, session_id, number, services, imsi, msisdn, "32251@3gpp.org", OCS_HOST, time_ns
    )


def open5gs_termination(
    session_id: str,
    number: int = 2,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = None,
    uplink: int = 1_000,
    downlink: int = 2_000,
    seconds: int = 5,
    reason: int = 2,
    time_ns: int = DEFAULT_TIME_NS,
) -> bytes:
    """SMF at detach: final usage, the reason beside the used units, Termination-Cause 1."""
    services = _open5gs_used(None, seconds, uplink, downlink)
    services += encode_i32(872, reason, TGPP) + _open5gs_qos()
    return _open5gs(
        TERMINATION, session_id, number, services, imsi, msisdn, "32251@3gpp.org", OCS_HOST, time_ns
    )


# ------------------------------------------------------------------------------------- Magma


def _magma_ps() -> bytes:
    members = v(3, bytes(4)) + v(21, b"\x06") + v(12, b"0") + v(10, b"5")
    members += encode_address(846, "192.0.2.1", TGPP) + encode_address(1227, "10.0.0.9", TGPP)
    members += encode_address(1228, "192.0.2.5", TGPP) + encode_address(847, "192.0.2.5", TGPP)
    members += v(18, b"00101") + v(9, b"00101") + encode_utf8(30, "magma.ipv4")
    members += v(22, bytes.fromhex("8200f110000100f11000000101")) + v(2, bytes(4))
    rates = encode_u32(1040, 200_000_000, TGPP) + encode_u32(1041, 100_000_000, TGPP)
    return vm(873, vm(874, members + vm(1016, rates)))


def _magma(
    kind: int, session_id: str, number: int, services: list[bytes], imsi: str, msisdn: str | None
) -> bytes:
    avps = encode_utf8(263, session_id)
    avps += b"".join(encode_grouped(456, service) for service in reversed(services))
    if kind != INITIAL:
        avps += encode_utf8(293, OCS_HOST)
    avps += _magma_ps() + encode_time(55, DEFAULT_TIME_NS) + encode_u32(258, 4)
    avps += encode_i32(416, kind) + encode_utf8(461, "32251@3gpp.org") + encode_u32(415, number)
    if msisdn is not None:
        avps += subscription_id(0, msisdn)
    avps += subscription_id(1, imsi)
    equipment = encode_i32(459, 0, flags=0) + encode_avp(460, b"3534900698733190", flags=0)
    avps += encode_avp(458, equipment, flags=0) + encode_i32(455, 1)
    avps += encode_utf8(264, "feg.net.example") + encode_utf8(296, "net.example")
    avps += encode_u32(278, 1_700_000_000) + encode_utf8(283, OCS_REALM)
    if kind == INITIAL:
        avps += encode_utf8(293, OCS_HOST)
    return ccr(avps)


def magma_session_id(imsi: str = DEFAULT_IMSI) -> str:
    return f"feg.net.example;1234567;7654321;IMSI{imsi}"


def magma_initial(
    session_id: str,
    number: int = 0,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = DEFAULT_MSISDN,
    rating_groups: tuple[int, ...] = (1, 2),
    requested: int | None = 100_000,
) -> bytes:
    """Session proxy: MSCC in front and reversed; no rating groups asks for authorization only."""
    services = []
    for rating_group in rating_groups:
        units = b"" if requested is None else _octets(requested, requested, requested)
        services.append(encode_u32(432, rating_group) + encode_grouped(437, units))
    return _magma(INITIAL, session_id, number, services, imsi, msisdn)


def _magma_used(total: int, reason: int) -> bytes:
    members = _octets(total, total // 4, total - total // 4)
    if reason in (0, 3, 5, 8):
        members += encode_i32(872, reason, TGPP)
    return encode_grouped(446, members)


def _magma_service(rating_group: int, requested: bytes, used: int, reason: int) -> bytes:
    service = encode_u32(432, rating_group) + requested
    if reason not in (0, 3, 5, 8):
        service += encode_i32(872, reason, TGPP)
    return service + _magma_used(used, reason)


def magma_update(
    session_id: str,
    number: int = 3,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = DEFAULT_MSISDN,
    rating_groups: tuple[int, ...] = (1, 2),
    used: int = 80_000,
    reason: int = 3,
    requested: int | None = 100_000,
) -> bytes:
    """Session proxy: all three octet counters, an empty RSU where `requested` is None."""
    units = b"" if requested is None else _octets(requested, requested, requested)
    services = [
        _magma_service(rating_group, encode_grouped(437, units), used, reason)
        for rating_group in rating_groups
    ]
    return _magma(UPDATE, session_id, number, services, imsi, msisdn)


def magma_termination(
    session_id: str,
    number: int = 5,
    imsi: str = DEFAULT_IMSI,
    msisdn: str | None = DEFAULT_MSISDN,
    rating_groups: tuple[int, ...] = (1, 2),
    used: int = 0,
) -> bytes:
    """Session proxy: FINAL beside the used units, which are often zero; no Termination-Cause."""
    services = [_magma_service(rating_group, b"", used, 2) for rating_group in rating_groups]
    return _magma(TERMINATION, session_id, number, services, imsi, msisdn)


# ----------------------------------------------------------------------------------- Kamailio


def _kamailio_ims(party: bytes) -> bytes:
    event_type = encode_utf8(824, "INVITE", TGPP) + encode_utf8(825, "dummy", TGPP)
    event_type += encode_u32(888, 0, TGPP)
    members = vm(823, event_type) + encode_i32(829, 0, TGPP) + encode_i32(862, 6, TGPP)
    members += encode_utf8(830, "a84b4c76e66710@net.example", TGPP)
    members += encode_utf8(831, "tel:+15550001", TGPP) + encode_utf8(832, "tel:+15550002", TGPP)
    members += vm(1263, b"3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=00101000100000101")
    members += encode_utf8(1250, "tel:+15550002", TGPP)
    members += encode_utf8(1251, "tel:15550002", TGPP)
    members += vm(833, encode_time(834, DEFAULT_TIME_NS, TGPP))
    members += vm(838, encode_utf8(839, "net.example", TGPP))
    members += encode_utf8(841, "icid-4711", TGPP) + encode_i32(861, 0, TGPP)
    members += vm(850, encode_utf8(836, "sip:as.net.example", TGPP))
    return vm(873, party + vm(876, members))


def _kamailio(
    kind: int, session_id: str, number: int, service: bytes, party: tuple[int, str], twice: bool
) -> bytes:
    identity = subscription_id(*party)
    sender = encode_utf8(264, "scscf.net.example") + encode_utf8(296, "net.example")
    avps = encode_utf8(263, session_id) + sender + encode_utf8(283, OCS_REALM)
    if twice:
        avps += sender + encode_utf8(293, OCS_HOST) + encode_utf8(283, OCS_REALM)
    record_type = {INITIAL: 2, UPDATE: 3, TERMINATION: 4}[kind]
    avps += encode_i32(480, record_type) + encode_u32(485, number)
    avps += encode_utf8(1, party[1]) + encode_utf8(461, "ext.01.001.8.32260@3gpp.org")
    avps += _kamailio_ims(identity)
    avps += encode_grouped(260, encode_u32(266, TGPP) + encode_u32(258, 4))
    avps += encode_i32(416, kind) + encode_u32(415, number)
    avps += encode_time(55, DEFAULT_TIME_NS, flags=0)
    avps += encode_grouped(458, encode_i32(459, 1) + encode_avp(460, b"00-00-00-00-00-00"))
    avps += identity + encode_i32(455, 1) + encode_grouped(456, service)
    if kind == TERMINATION:
        avps += encode_i32(295, 1) + encode_avp(5, b"info", 10, flags=0)
    return ccr(avps)


_KAMAILIO_PARTY = (0, "+15550001")
_KAMAILIO_KEYS = encode_u32(439, 1000) + encode_u32(432, 100)


def kamailio_initial(
    session_id: str,
    number: int = 0,
    seconds: int = 30,
    party: tuple[int, str] = _KAMAILIO_PARTY,
    twice: bool = True,
) -> bytes:
    """S-CSCF at INVITE: identities twice, accounting AVPs, no plain Auth-Application-Id."""
    service = encode_grouped(437, encode_u32(420, seconds)) + _KAMAILIO_KEYS
    return _kamailio(INITIAL, session_id, number, service, party, twice)


def kamailio_update(
    session_id: str,
    number: int = 1,
    used: int = 30,
    seconds: int = 30,
    party: tuple[int, str] = _KAMAILIO_PARTY,
    twice: bool = True,
) -> bytes:
    """S-CSCF during a call: delta seconds after the keys."""
    service = encode_grouped(437, encode_u32(420, seconds)) + _KAMAILIO_KEYS
    service += encode_grouped(446, encode_u32(420, used))
    return _kamailio(UPDATE, session_id, number, service, party, twice)


def kamailio_termination(
    session_id: str,
    number: int = 2,
    used: int | None = 12,
    party: tuple[int, str] = _KAMAILIO_PARTY,
    twice: bool = True,
) -> bytes:
    """S-CSCF at BYE: perhaps used units, no RSU, AVPs of another vendor without M."""
    service = b"" if used is None else encode_grouped(446, encode_u32(420, used))
    return _kamailio(TERMINATION, session_id, number, service + _KAMAILIO_KEYS, party, twice)


# ----------------------------------------------------------------------------- siphon, PyHSS


def _siphon(session_id: str, kind: int, number: int, context: str, identity: bytes) -> bytes:
    avps = encode_utf8(263, session_id) + encode_u32(258, 4)
    avps += encode_utf8(264, "sip.net.example") + encode_utf8(296, "net.example")
    avps += encode_utf8(283, OCS_REALM) + encode_utf8(461, context)
    return avps + encode_i32(416, kind) + encode_u32(415, number) + identity


def siphon_event_sms(
    session_id: str, number: int = 0, msisdn: str = DEFAULT_MSISDN, messages: int = 1
) -> bytes:
    """SIP server: direct debiting of a short message, one MSCC with service-specific units."""
    identity = subscription_id(0, msisdn)
    avps = _siphon(session_id, EVENT, number, "32274@3gpp.org", identity) + encode_i32(436, 0)
    avps += encode_time(55, DEFAULT_TIME_NS) + encode_i32(455, 1)
    requested = encode_grouped(437, encode_u64(417, messages))
    avps += encode_grouped(456, requested + encode_u32(432, 1))
    sms = encode_i32(2016, 3, TGPP) + encode_address(2017, "15559999", TGPP)
    sms += vm(2027, encode_i32(899, 1, TGPP) + encode_utf8(897, msisdn, TGPP))
    recipient = vm(1201, encode_i32(899, 1, TGPP) + encode_utf8(897, "15550002", TGPP))
    sms += vm(2026, recipient) + encode_i32(2007, 0, TGPP)
    return ccr(avps + vm(873, vm(2000, sms)))


def siphon_initial_without_services(
    session_id: str, number: int = 0, uri: str = "sip:alice@net.example"
) -> bytes:
    """SIP server without a rating group: an empty Requested-Service-Unit at command level."""
    identity = subscription_id(2, uri)
    avps = _siphon(session_id, INITIAL, number, "32260@3gpp.org", identity)
    return ccr(avps + encode_avp(437, b""))


def pyhss_initial(
    session_id: str, number: int = 0, imsi: str = DEFAULT_IMSI, msisdn: str = DEFAULT_MSISDN
) -> bytes:
    """A test generator: zero units asked and reported at once, Session-Id after Origin-*, an
    Event-Timestamp of zero.
    """
    avps = encode_utf8(264, "hss.net.example") + encode_utf8(296, "net.example")
    avps += encode_utf8(283, OCS_REALM) + encode_utf8(263, session_id) + encode_u32(258, 4)
    avps += encode_i32(416, INITIAL) + encode_u32(415, number)
    avps += encode_utf8(461, "open5gs-smfd@open5gs.org") + encode_avp(55, bytes(4))
    avps += subscription_id(0, msisdn) + subscription_id(1, imsi)
    requested = encode_grouped(437, encode_u32(420, 0) + encode_u64(421, 0))
    avps += encode_grouped(456, requested + encode_grouped(446, encode_u64(421, 0)))
    avps += encode_i32(455, 1) + encode_i32(436, 0)
    members = vm(12, b"0") + vm(13, b"0800") + vm(18, b"00101") + vm(10, b"5") + vm(21, b"\x06")
    members += encode_address(1228, "192.0.2.6", TGPP) + encode_utf8(30, "internet")
    return ccr(avps + vm(873, vm(874, members)))


def all_shapes() -> dict[str, bytes]:
    """One of every shape, by name, for tests that only need variety."""
    return {
        "open5gs-initial": open5gs_initial("smf.net.example;1;1;a"),
        "open5gs-2.6-context": open5gs_initial(
            "smf.net.example;1;1;b", context="open5gs-smfd@open5gs.org"
        ),
        "open5gs-update-threshold": open5gs_update("smf.net.example;1;1;a", msisdn="15550001"),
        "open5gs-update-validity": open5gs_update("smf.net.example;1;1;a", reason=4),
        "open5gs-termination": open5gs_termination("smf.net.example;1;1;a"),
        "magma-initial": magma_initial(magma_session_id()),
        "magma-authorization-only": magma_initial(magma_session_id(), rating_groups=()),
        "magma-update": magma_update(magma_session_id()),
        "magma-update-empty-request": magma_update(magma_session_id(), requested=None, reason=4),
        "magma-termination": magma_termination(magma_session_id()),
        "kamailio-initial": kamailio_initial("scscf.net.example;1;2"),
        "kamailio-initial-sip": kamailio_initial(
            "scscf.net.example;1;3", party=(2, "sip:alice@net.example")
        ),
        "kamailio-update": kamailio_update("scscf.net.example;1;2"),
        "kamailio-termination": kamailio_termination("scscf.net.example;1;2"),
        "kamailio-absurd-time": kamailio_termination("scscf.net.example;1;2", used=71_582_788),
        "siphon-event-sms": siphon_event_sms("sip.net.example;9;9"),
        "siphon-without-services": siphon_initial_without_services("sip.net.example;9;8"),
        "pyhss-initial": pyhss_initial("hss.net.example;3;4"),
    }
