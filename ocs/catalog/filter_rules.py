"""The part of IPFilterRule (RFC 6733 4.3.1) that can be said as a Filter-Rule of RFC 5777.

Called by the loader, which refuses other rules where QoS-Final-Unit-Indication is wanted, and by
the front end that writes it.
"""

import ipaddress
import re
from dataclasses import dataclass

PORT_MAX = 65_535
_RULE = re.compile(
    r"(?P<action>permit|deny) (?P<way>in|out) (?P<protocol>ip|[0-9]{1,3}) "
    r"from (?P<source>\S+)(?: (?P<source_ports>[0-9,-]+))? "
    r"to (?P<target>\S+)(?: (?P<target_ports>[0-9,-]+))?"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a filter rule."""

    address: str = ""
    """An IPv4 or IPv6 address in its usual form; empty for any, and for the user's own."""
    bits: int = 0
    """How many of its bits count."""
    assigned: bool = False
    """The address that the user was given."""
    negated: bool = False
    """Everything but this."""
    ports: tuple[tuple[int, int], ...] = ()
    """First and last of each range; empty means all."""


@dataclass(frozen=True, slots=True)
class FilterRule:
    """Traffic that is let through or not."""

    permits: bool
    inbound: bool
    """From the user's side, as the word ``in`` of an IPFilterRule."""
    protocol: int | None
    """None means every protocol."""
    source: Endpoint
    target: Endpoint


def parse_filter_rule(text: str) -> FilterRule:
    """Return the rule of a text such as ``permit out ip from 192.0.2.80 to assigned``.

    Raises ValueError with a sentence for people.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"'{text}' is not of the form 'permit|deny in|out ip|NUMBER from ADDRESS [PORTS] to "
            "ADDRESS [PORTS]', which is all that QoS can say"
        )
    protocol = None if match["protocol"] == "ip" else int(match["protocol"])
    if protocol is not None and protocol > 255:
        raise ValueError(f"{protocol} is no protocol number")
    return FilterRule(
        match["action"] == "permit",
        match["way"] == "in",
        protocol,
        _endpoint(match["source"], match["source_ports"] or ""),
        _endpoint(match["target"], match["target_ports"] or ""),
    )


def _endpoint(text: str, ports: str) -> Endpoint:
    negated = text.startswith("!")
    name, ranges = text.removeprefix("!"), _ports(ports)
    if name == "any":
        return Endpoint(negated=negated, ports=ranges)
    if name == "assigned":
        return Endpoint(assigned=True, negated=negated, ports=ranges)
    try:
        network = ipaddress.ip_interface(name).network
    except ValueError as error:
        raise ValueError(f"'{name}' is no address such as 192.0.2.80 or 2001:db8::/32") from error
    return Endpoint(
        network.network_address.compressed, network.prefixlen, negated=negated, ports=ranges
    )


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first or (dash and not last) or "-" in last:
            raise ValueError(f"'{part}' is no port and no range of ports")
        low, high = int(first), int(last or first)
        if not low <= high <= PORT_MAX:
            raise ValueError(f"'{part}' is no port and no range of ports")
        ranges.append((low, high))
    return tuple(ranges)
