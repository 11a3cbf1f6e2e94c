"""QoS-Final-Unit-Indication with its Filter-Rules and its Redirect-Server-Extension.

RFC 8506 sections 8.64 to 8.68, RFC 5777 sections 3 and 4. Called by `credit_control_writer` for
answers, and through the table of `credit_control_groups` by whoever reads them.
"""

from protocol.avp_writers import number, octets, text
from protocol.credit_control import FilterRule, QosFinalUnitIndication, TrafficEnd
from protocol.datatypes import pack_address
from protocol.errors import LocalProtocolError
from protocol.members import (
    Reading,
    Table,
    address,
    i32,
    many_in_tuple,
    one,
    read_address,
    read_members,
    read_text,
    u32,
)
from protocol.members import text as text_member

DROP, PERMIT = 0, 3
"""Treatment-Action, RFC 5777 section 5.1."""

_indication = octets("QoS-Final-Unit-Indication")
_action = number("Final-Unit-Action", "i")
_filter_rule = octets("Filter-Rule")
_precedence = number("Filter-Rule-Precedence", "I")
_classifier = octets("Classifier")
_classifier_id = octets("Classifier-ID")
_protocol = number("Protocol", "i")
_direction = number("Direction", "i")
_from_spec = octets("From-Spec")
_to_spec = octets("To-Spec")
_ip_address = octets("IP-Address")
_ip_address_mask = octets("IP-Address-Mask")
_bits = number("IP-Bit-Mask-Width", "I")
_port = number("Port", "i")
_port_range = octets("Port-Range")
_port_start = number("Port-Start", "i")
_port_end = number("Port-End", "i")
_negated = number("Negated", "i")
_assigned = number("Use-Assigned-Address", "i")
_filter_id = text("Filter-Id")
_treatment = number("Treatment-Action", "i")
_redirect_server = octets("Redirect-Server-Extension")
_redirect_ip = octets("Redirect-Address-IPAddress")
_redirect_url = text("Redirect-Address-URL")
_redirect_sip = text("Redirect-Address-SIP-URI")
_ADDRESS_BITS = {6: 32, 18: 128}  # by the length of a packed address


def write_qos_final_unit(indication: QosFinalUnitIndication) -> bytes:
    """The AVP; LocalProtocolError when it names several redirect servers."""
    members = _action(indication.action)
    for precedence, rule in enumerate(indication.filter_rules, 1):
        members += _filter_rule(_precedence(precedence) + _rule(precedence, rule))
    for filter_id in indication.filter_ids:
        members += _filter_id(filter_id)
    servers = []
    if indication.redirect_ip is not None:
        servers.append(_redirect_ip(pack_address(indication.redirect_ip)))
    if indication.redirect_url is not None:
        servers.append(_redirect_url(indication.redirect_url))
    if indication.redirect_sip_uri is not None:
        servers.append(_redirect_sip(indication.redirect_sip_uri))
    if len(servers) > 1:
        raise LocalProtocolError("a Redirect-Server-Extension has one address")
    if servers:
        members += _redirect_server(servers[0])
    return _indication(members)


def _rule(number_of_rule: int, rule: FilterRule) -> bytes:
    members = _classifier_id(str(number_of_rule).encode())
    if rule.protocol is not None:
        members += _protocol(rule.protocol)
    members += _direction(rule.direction)
    source, target = _end(rule.source), _end(rule.target)
    members += _from_spec(source) if source else b""
    members += _to_spec(target) if target else b""
    return _classifier(members) + _treatment(PERMIT if rule.permits else DROP)


def _end(end: TrafficEnd) -> bytes:
    members = b""
    if end.address is not None:
        packed = pack_address(end.address)
        if end.bits is None or end.bits == _ADDRESS_BITS.get(len(packed)):
            members = _ip_address(packed)
        else:
            members = _ip_address_mask(_ip_address(packed) + _bits(end.bits))
    for first, last in end.ports:
        if first == last:
            members += _port(first)
        else:
            members += _port_range(_port_start(first) + _port_end(last))
    if end.negated:
        members += _negated(1)
    if end.assigned:
        members += _assigned(1)
    return members


# ------------------------------------------------------------------------------------- reading

_MASK: Table = dict([address("IP-Address", "address"), u32("IP-Bit-Mask-Width", "bits")])
_RANGE: Table = dict([i32("Port-Start", "start"), i32("Port-End", "end")])


def _read_mask(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[str | None, int | None]:
    found = read_members(reading, start, stop, _MASK)
    return found.get("address"), found.get("bits")


def _read_range(reading: Reading, _position: int, start: int, stop: int) -> tuple[int, int]:
    found = read_members(reading, start, stop, _RANGE)
    return found.get("start", 0), found.get("end", 65_535)


_END: Table = dict(
    [
        address("IP-Address", "address"),
        one("IP-Address-Mask", "mask", _read_mask),
        i32("Port", "port"),
        many_in_tuple("Port-Range", "ports", _read_range),
        i32("Negated", "negated"),
        i32("Use-Assigned-Address", "assigned"),
    ]
)


def _read_end(reading: Reading, _position: int, start: int, stop: int) -> TrafficEnd:
    found = read_members(reading, start, stop, _END)
    masked, bits = found.get("mask", (None, None))
    ports: tuple[tuple[int, int], ...] = found.get("ports", ())
    if "port" in found:
        ports = ((found["port"], found["port"]), *ports)
    return TrafficEnd(
        found.get("address", masked),
        bits,
        bool(found.get("assigned")),
        bool(found.get("negated")),
        ports,
    )


_CLASSIFIER: Table = dict(
    [
        i32("Protocol", "protocol"),
        i32("Direction", "direction"),
        one("From-Spec", "source", _read_end),
        one("To-Spec", "target", _read_end),
    ]
)


def _read_classifier(
    reading: Reading, _position: int, start: int, stop: int
) -> dict[str, object]:
    return read_members(reading, start, stop, _CLASSIFIER)


_RULE: Table = dict(
    [one("Classifier", "classifier", _read_classifier), i32("Treatment-Action", "treatment")]
)


def _read_rule(reading: Reading, _position: int, start: int, stop: int) -> FilterRule:
    found = read_members(reading, start, stop, _RULE)
    return FilterRule(found.get("treatment") == PERMIT, **found.get("classifier", {}))


_REDIRECT: Table = dict(
    [
        one("Redirect-Address-IPAddress", "redirect_ip", read_address),
        text_member("Redirect-Address-URL", "redirect_url"),
        text_member("Redirect-Address-SIP-URI", "redirect_sip_uri"),
    ]
)


def _read_redirect(reading: Reading, _position: int, start: int, stop: int) -> dict[str, str]:
    return read_members(reading, start, stop, _REDIRECT)


_INDICATION: Table = dict(
    [
        i32("Final-Unit-Action", "action"),
        many_in_tuple("Filter-Rule", "filter_rules", _read_rule),
        many_in_tuple("Filter-Id", "filter_ids", read_text),
        one("Redirect-Server-Extension", "redirect", _read_redirect),
    ]
)


def read_qos_final_unit(
    reading: Reading, _position: int, start: int, stop: int
) -> QosFinalUnitIndication | None:
    """A QoS-Final-Unit-Indication; without its action it is 5005."""
    found = read_members(reading, start, stop, _INDICATION)
    if "action" not in found:
        reading.missing("Final-Unit-Action")
        return None
    return QosFinalUnitIndication(**found.pop("redirect", {}), **found)
