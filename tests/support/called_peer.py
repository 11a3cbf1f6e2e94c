"""A peer that is called: listens on a loopback port and answers what the server begins."""

import socket
import ssl
from typing import Any

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    DisconnectCause,
    DisconnectPeerRequest,
)
from tests.support.diameter_client import DiameterClient


class CalledPeer:
    """The other side: listens for calls, and can call."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.security: ssl.SSLContext | None = None
        """Speak TLS, with this."""
        self.open: list[Called] = []
        self.port = 0
        self.listener: socket.socket
        self.listen()
        self.address = f"127.0.0.1:{self.port}"

    def stop_listening(self) -> None:
        """Refuse calls, and keep the port from everybody else's tests."""
        self.listener.close()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))

    def listen(self) -> None:
        """Listen, after `stop_listening` on the same port."""
        if self.port:
            self.listener.listen()
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port = self.listener.getsockname()[1]

    def close(self) -> None:
        """Be gone."""
        self.listener.close()
        for called in self.open:
            called.close()

    def called(self) -> "Called":
        """Accept a call and read its CER."""
        accepted, _ = self.listener.accept()
        if self.security is not None:
            accepted = self.security.wrap_socket(accepted, server_side=True)
        self.open.append(Called(accepted, self.host))
        return self.open[-1]

    def is_called(self) -> bool:
        """Whether a call has come that nobody has accepted; what will come, has come."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        finally:
            self.listener.settimeout(10)
        return True


class Called(DiameterClient):
    """A connection that the server began."""

    def __init__(self, accepted: socket.socket, host: str) -> None:
        super().__init__(accepted, host)
        self.header, message = self.receive()
        self.cer = CapabilitiesExchangeRequest.read(message)

    def accept(self, result_code: int = 2001, origin_host: str = "", **said: Any) -> None:
        """Answer the CER."""
        answer = CapabilitiesExchangeAnswer(
            origin_host=origin_host or self.origin_host,
            origin_realm="net.example",
            result_code=result_code,
            host_ip_addresses=("127.0.0.1",),
            vendor_id=0,
            product_name="peer",
            **{"auth_application_ids": (4,), **said},
        )
        self.send(answer.write(self.header))

    def hears_nothing(self) -> bool:
        """Whether nothing comes but watchdogs for a moment."""
        self.socket.settimeout(0.2)
        try:
            self.receive()
        except TimeoutError:
            return True
        return False

    def leave(self, cause: DisconnectCause) -> None:
        """Say goodbye and close after the answer."""
        self.ask(DisconnectPeerRequest(self.origin_host, "net.example", cause).write(*self.ids()))
        self.close()
