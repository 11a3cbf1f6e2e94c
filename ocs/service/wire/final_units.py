"""What a client does at the end of the money, in the words of the wire (RFC 8506 8.34, 8.68).

Called by ``answers``. The plain indication is always said; clients whose profile knows the other
obey that one where they get both.
"""

from __future__ import annotations

from functools import lru_cache

from ocs.catalog.filter_rules import Endpoint, parse_filter_rule
from ocs.charging.model.messages import FinalUnit
from protocol.credit_control import (
    FilterRule,
    FinalUnitIndication,
    QosFinalUnitIndication,
    TrafficEnd,
)

_REDIRECT = 1
_IN, _OUT = 0, 1
"""Direction of a Classifier (RFC 5777 4.1.4): from and to the user's terminal."""
_URL, _SIP = 2, 3
"""Redirect-Address-Type (RFC 8506 8.38); the others are IP addresses."""


def plain_indication(final: FinalUnit) -> FinalUnitIndication:
    """Return the Final-Unit-Indication."""
    redirects = final.action == _REDIRECT
    return FinalUnitIndication(
        final.action,
        final.redirect_address_type if redirects else None,
        final.redirect_address if redirects else None,
        final.restriction_filter_rules,
        final.filter_ids,
    )


def qos_indication(final: FinalUnit) -> QosFinalUnitIndication:
    """Return the same as a QoS-Final-Unit-Indication; the catalogue has checked its rules."""
    said = QosFinalUnitIndication(
        final.action, tuple(map(_rule, final.restriction_filter_rules)), final.filter_ids
    )
    if final.action == _REDIRECT:
        if final.redirect_address_type == _URL:
            said.redirect_url = final.redirect_address
        elif final.redirect_address_type == _SIP:
            said.redirect_sip_uri = final.redirect_address
        else:
            said.redirect_ip = final.redirect_address
    return said


@lru_cache(maxsize=256)
def _rule(text: str) -> FilterRule:
    rule = parse_filter_rule(text)
    return FilterRule(
        rule.permits,
        _IN if rule.inbound else _OUT,
        rule.protocol,
        _end(rule.source),
        _end(rule.target),
    )


def _end(end: Endpoint) -> TrafficEnd:
    if not end.address:
        return TrafficEnd(assigned=end.assigned, negated=end.negated, ports=end.ports)
    whole = end.bits == (128 if ":" in end.address else 32)
    return TrafficEnd(
        end.address, None if whole else end.bits, negated=end.negated, ports=end.ports
    )
