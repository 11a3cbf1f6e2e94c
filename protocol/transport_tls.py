"""Twisted's TLS around the connections of a factory, from the first octet on (RFC 6733 2.2).

`transport` asks it about the other side; whoever listens or calls wraps its factory with `secured`.
The context is asked for at each connection, so that a new certificate needs no new listener.
"""

from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.ssl import ContextFactory
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory

from protocol.tls import PeerCertificate, explain

CurrentContext = Callable[[], SSL.Context]
"""Gives the context of the next connection."""


class SecuredTransport(BufferingTLSTransport):
    """The transport of a secured connection."""

    distrust = ""
    """Why the peer's certificate was refused; set by `tls` while it looks at it."""

    def makeConnection(self, transport: Any) -> None:  # noqa: N802 -- Twisted's name
        """Begin, and let `tls` find this transport while it looks at certificates."""
        super().makeConnection(transport)  # type: ignore[no-untyped-call] # Twisted has no types
        connection: Any = self.getHandle()  # type: ignore[no-untyped-call]
        if connection is not None:
            connection.set_app_data(self)

    def peer_certificate(self) -> PeerCertificate:
        """What the peer has shown and proved to own; nobody's while the handshake goes on."""
        connection: Any = self.getHandle()  # type: ignore[no-untyped-call]
        if connection is None or connection.get_peer_finished() is None:
            return PeerCertificate(None)
        return PeerCertificate(connection.get_peer_certificate(as_cryptography=True))


class _SecuredFactory(TLSMemoryBIOFactory):
    protocol = SecuredTransport

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 -- Twisted's name
        """Secure the connection, or close it with None where the factory inside does."""
        inside = self.wrappedFactory.buildProtocol(addr)
        return None if inside is None else self.protocol(self, inside)


class _ContextOfNow(ContextFactory):
    def __init__(self, current: CurrentContext) -> None:
        self._current = current

    def getContext(self) -> SSL.Context:  # noqa: N802 -- Twisted's name
        """Return what the next connection is secured with."""
        return self._current()


def secured(
    reactor: Any, factory: Any, context: CurrentContext, *, is_client: bool = False
) -> Any:
    """Return a factory that makes the connections of `factory`, secured by what `context` gives."""
    return _SecuredFactory(cast(Any, _ContextOfNow(context)), is_client, factory, reactor)


def reason_of(error: BaseException | None, transport: Any) -> str:
    """Return in words why a secured connection failed; empty when TLS was not the reason."""
    if not isinstance(error, SSL.Error):
        return ""
    distrust = transport.distrust if isinstance(transport, SecuredTransport) else ""
    return f"TLS failed: {distrust or explain(error)}"
