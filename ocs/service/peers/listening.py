"""Where the server listens, and why it cannot: each failure is said with what to do about it.

Used by ``application`` for Diameter in clear, over TLS and on SCTP, and for the status port.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from twisted.internet.error import CannotListenError

from ocs.errors import FaultError
from ocs.settings.values import Endpoint, Listener
from protocol import sctp
from protocol.transport import listen
from protocol.transport_sctp import listen_sctp

NO_SCTP = "this kernel has no SCTP (where it is a module: modprobe sctp)"
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_log = structlog.get_logger(__name__)


class Way(NamedTuple):
    """A way in: an address of the settings, and what makes the connections that come there."""

    listener: Listener
    factory: Any
    key: str
    """The setting that names the address."""


class OpenWay(NamedTuple):
    """A way in that is listened on; a port that the system has chosen is filled in."""

    listener: Listener
    key: str
    port: Any


def listen_for_diameter(reactor: Any, ways: Sequence[Way]) -> list[OpenWay]:
    """Listen on every address, or raise FaultError and listen on none.

    A machine without IPv6 is forgiven the loopback address that it does not have.
    """
    opened: list[OpenWay] = []
    failures: list[FaultError] = []
    for way in ways:
        try:
            port: Any = listen(reactor, way.factory, way.listener.host, way.listener.port)
        except CannotListenError as error:
            failures.append(cannot_listen(way.listener, way.key, error))
            if _may_be_missing(way.listener, error):
                continue
            _close(opened)
            raise failures[-1] from error
        address = Listener(way.listener.host, port.getHost().port)
        opened.append(OpenWay(address, way.key, port))
    if failures and not opened:
        raise failures[0]
    for failure in failures:
        _log.warning(str(failure))
    return opened


def listen_for_sctp(
    reactor: Any, factory: Any, endpoints: Sequence[Endpoint], *, alone: bool
) -> list[tuple[Endpoint, Any]]:
    """Listen with SCTP where the kernel has it; returns what is listened on, and its port.

    A kernel without it is a reason not to start only where there is no other way in (``alone``).
    """
    if endpoints and not sctp.is_available():
        if alone:
            raise FaultError(f"{NO_SCTP}, and diameter.sctp is the only way in that is set")
        _log.warning(f"{NO_SCTP}: peers can connect with TCP only")
        return []
    opened: list[tuple[Endpoint, Any]] = []
    for endpoint in endpoints:
        try:
            port: Any = listen_sctp(reactor, factory, endpoint.hosts, endpoint.port)
        except CannotListenError as error:
            for _, earlier in opened:
                earlier.stopListening()
            raise cannot_listen(endpoint, "diameter.sctp.listen", error) from error
        opened.append((Endpoint(endpoint.hosts, port.getHost().port), port))
    return opened


def _close(ways: Sequence[OpenWay]) -> None:
    for way in ways:
        way.port.stopListening()


def _may_be_missing(listener: Listener, error: CannotListenError) -> bool:
    """Whether it is the IPv6 loopback of a machine without IPv6, which nobody can use anyway."""
    return listener.host == "::1" and _errno(error) in _NO_SUCH_ADDRESS


def cannot_listen(listener: Listener | Endpoint, key: str, error: CannotListenError) -> FaultError:
    """Return the error that says why, and which setting to change."""
    number = _errno(error)
    if number == errno.EADDRINUSE:
        advice = f"another program uses it: stop that one, or choose another port in {key}"
    elif number == errno.EACCES:
        advice = f"ports below 1024 need a privilege: choose a higher one in {key}"
    elif number in _NO_SUCH_ADDRESS:
        advice = f"this machine has no such address: correct {key}"
    else:
        advice = f"{error.socketError}: correct {key}"
    return FaultError(f"cannot listen on {listener}: {advice}")


def _errno(error: CannotListenError) -> int:
    return getattr(error.socketError, "errno", 0) or 0
