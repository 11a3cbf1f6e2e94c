"""The status port: /metrics for Prometheus, /live and /ready for whoever runs the server.

Off unless the settings ask for it, and then on loopback unless they say otherwise. Live means the
event loop turns; ready means requests are decided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.protocols.policies import WrappingFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from ocs.service.watching.metrics import Metrics

STATUS_CONNECTIONS_MAX = 50


class _Page(Resource):
    """One page made by a function that returns (status, content type, body)."""

    isLeaf = True  # noqa: N815 -- Twisted's name

    def __init__(self, make: Callable[[], tuple[int, bytes, bytes]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # twisted.web has no types
        self._make = make

    def render_GET(self, request: Request) -> bytes:  # noqa: N802 -- Twisted's name
        """Answer GET and HEAD."""
        status, content_type, body = self._make()
        request.setResponseCode(status)
        request.setHeader(b"content-type", content_type)  # type: ignore[no-untyped-call]
        return body


class _Bounded(WrappingFactory):
    """Closes at once what comes beyond the limit."""

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 -- Twisted's name
        """Return a connection of the site, or None."""
        is_full = len(self.protocols) >= STATUS_CONNECTIONS_MAX
        return None if is_full else super().buildProtocol(addr)


def status_site(metrics: Metrics, not_ready_because: Callable[[], str]) -> WrappingFactory:
    """Return the site; ``not_ready_because`` gives an empty text when all is well."""

    def ready() -> tuple[int, bytes, bytes]:
        reason = not_ready_because()
        if reason:
            return 503, b"text/plain; charset=utf-8", reason.encode() + b"\n"
        return 200, b"text/plain; charset=utf-8", b"ready\n"

    root: Any = Resource()  # type: ignore[no-untyped-call]
    root.putChild(
        b"metrics",
        _Page(lambda: (200, b"text/plain; version=0.0.4; charset=utf-8", metrics.exposition())),
    )
    root.putChild(b"live", _Page(lambda: (200, b"text/plain; charset=utf-8", b"live\n")))
    root.putChild(b"ready", _Page(ready))
    site = Site(root)  # type: ignore[no-untyped-call]
    site.displayTracebacks = False
    # Requests are counted by whoever asks; an access log would be noise.
    site.noisy = False
    return _Bounded(site)  # type: ignore[no-untyped-call]
