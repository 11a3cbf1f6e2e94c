"""Addresses, names and networks in the settings, as parsers of single texts and of lists.

Used by ``reading`` and ``transport``; a ValueError says what is wrong with a text.
"""

import ipaddress
import re
from collections.abc import Callable

from ocs.marked import Mapping, Scalar
from ocs.settings.values import Endpoint, Listener

_IDENTITY_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_IDENTITY = re.compile(rf"{_IDENTITY_LABEL}(?:\.{_IDENTITY_LABEL})*")

def read_listeners(group: Mapping, default: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Return the addresses of the list ``listen``, each of them once."""
    if not group.has("listen"):
        return default
    listeners: list[Listener] = []
    for scalar in group.scalars("listen"):
        listener = scalar.parsed(parse_listener, None)
        if listener is None:
            continue
        if listener in listeners and listener.port:
            scalar.problem(f"{listener} is given twice")
        listeners.append(listener)
    return tuple(listeners)


def unique(group: Mapping, key: str, parse: Callable[[str], str]) -> tuple[str, ...]:
    """Return the values of a list, each of them once."""
    values: list[str] = []
    for scalar in group.scalars(key):
        _add_unique(values, scalar, parse)
    return tuple(values)


def _add_unique(values: list[str], scalar: Scalar, parse: Callable[[str], str]) -> None:
    value = scalar.parsed(parse, "")
    if value and value in values:
        scalar.problem(f"{scalar.describe()} is given twice")
    values.append(value)


def parse_listener(text: str) -> Listener | None:
    """Return the address of a text such as ``127.0.0.1:3868`` or ``[::1]:3868``."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        usable = _version(host) == 6
    else:
        usable = bool(_IDENTITY.fullmatch(host))
    if not colon or not usable or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError(f"'{text}' is no address such as 127.0.0.1:3868 or '[::1]:3868'")
    return Listener(host, int(port))


def parse_endpoint(text: str) -> Endpoint | None:
    """Return the addresses of a text such as ``192.0.2.10,198.51.100.10:3868``."""
    hosts, _, port = text.rpartition(":")
    found: list[str] = []
    number = -1
    for host in hosts.split(","):
        listener = parse_listener(f"{host}:{port}")
        if listener is None or not _version(listener.host):
            raise ValueError(f"'{text}' is no list of addresses such as 192.0.2.1,192.0.2.2:3868")
        if listener.host in found:
            raise ValueError(f"{listener.host} is given twice")
        found.append(listener.host)
        number = listener.port
    return Endpoint(tuple(found), number)


def diameter_identity(text: str) -> str:
    """Return a DiameterIdentity (RFC 6733 4.3.1): a host name of at most 255 octets."""
    if not _IDENTITY.fullmatch(text) or len(text) > 255:
        raise ValueError(f"'{text}' is no host name such as ocs1.ocs.example")
    return text


def ip_address(text: str) -> str:
    """Return an IP address as it is always written."""
    if not _version(text):
        raise ValueError(f"'{text}' is no IP address")
    return str(ipaddress.ip_address(text))


def call_address(text: str) -> str:
    """Return an address at which a peer is called, such as ``pgw1.example:3868``."""
    listener = parse_listener(text)
    if listener is None or not listener.port:
        raise ValueError(f"'{text}' is no address to call: port 0 is none")
    return str(listener)


def host_or_address(text: str) -> str:
    """Return an IP address or a host name."""
    if not _version(text) and not _IDENTITY.fullmatch(text):
        raise ValueError(f"'{text}' is neither an IP address nor a host name")
    return text


def network(text: str) -> str:
    """Return a network as it is always written."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(
            f"'{text}' is no network such as 10.0.0.0/8 (bits behind the mask must be zero)"
        ) from error


def _version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0
