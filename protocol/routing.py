"""Whether a request is for us: loop, destination, application, command (RFC 6733 section 6.1).

The server asks before it reads a request any further; `peer` asks for application 0. The checks
come after those of the header and before those of the AVPs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protocol.answers import ResultCode
from protocol.codec import HEADER_SIZE, Header, iter_avps
from protocol.errors import RemoteProtocolError
from protocol.grammar import identity_key

_ROUTE_RECORD, _DESTINATION_REALM, _DESTINATION_HOST = 282, 283, 293


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """Who we are to a request: our host, the realms we serve, and each application's commands."""

    host: str
    realms: tuple[str, ...]
    applications: Mapping[int, frozenset[int]]
    host_key: str = field(init=False, repr=False)
    realm_keys: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host_key", identity_key(self.host))
        object.__setattr__(self, "realm_keys", frozenset(map(identity_key, self.realms)))


def route_check(
    message: bytes, header: Header, identity: LocalIdentity
) -> RemoteProtocolError | None:
    """The first routing fault of a request as the error to answer, or None if it is for us.

    Never raises: what cannot be walked or is no text is reported by the checks that come later.
    """
    host: str | None = None
    realm: str | None = None
    records: list[str] = []
    try:
        for code, vendor, _, start, end in iter_avps(message, HEADER_SIZE, len(message)):
            if vendor or not _ROUTE_RECORD <= code <= _DESTINATION_HOST:
                continue
            if code == _ROUTE_RECORD:
                records.append(message[start:end].decode("utf-8", "replace"))
            elif code == _DESTINATION_REALM and realm is None:
                realm = message[start:end].decode("utf-8", "replace")
            elif code == _DESTINATION_HOST and host is None:
                host = message[start:end].decode("utf-8", "replace")
    except RemoteProtocolError:
        pass  # what was found before the broken AVP decides; its 5014 comes after these checks
    return route_check_values(header, host, realm, records, identity)


def route_check_values(
    header: Header,
    destination_host: str | None,
    destination_realm: str | None,
    route_records: Iterable[str],
    identity: LocalIdentity,
) -> RemoteProtocolError | None:
    """The same from values already read, for a caller that has walked the message itself."""
    for record in route_records:
        if identity_key(record) == identity.host_key:
            return RemoteProtocolError(
                ResultCode.LOOP_DETECTED, f"Route-Record names {identity.host}: routing loop"
            )
    if destination_host is not None:
        served = identity_key(destination_host) == identity.host_key
        code, text = ResultCode.UNABLE_TO_DELIVER, f"this is not host {destination_host}"
    elif destination_realm is not None:
        served = identity_key(destination_realm) in identity.realm_keys
        code, text = ResultCode.REALM_NOT_SERVED, f"realm {destination_realm} is not served here"
    else:
        return _application_check(header, identity)
    return _application_check(header, identity) if served else RemoteProtocolError(code, text)


def _application_check(header: Header, identity: LocalIdentity) -> RemoteProtocolError | None:
    commands = identity.applications.get(header.application_id)
    if commands is None:
        return RemoteProtocolError(
            ResultCode.APPLICATION_UNSUPPORTED,
            f"application {header.application_id} is not supported",
        )
    if header.command_code not in commands:
        return RemoteProtocolError(
            ResultCode.COMMAND_UNSUPPORTED,
            f"command {header.command_code} is not supported in"
            f" application {header.application_id}",
        )
    return None
