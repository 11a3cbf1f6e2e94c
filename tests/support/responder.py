"""A small charging server for tests of clients: sockets, threads and the sans-IO peer connection.

It grants what is asked until a total is used up, keeps every request it was sent, and can be told
to lose answers or connections. It shares no code with the server under development but `protocol`.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from protocol.codec import Header
from protocol.credit_control import (
    CreditControlAnswer,
    CreditControlRequest,
    FinalUnitIndication,
    MultipleServices,
    RequestType,
    ServiceUnits,
)
from protocol.credit_control_reader import read_ccr
from protocol.credit_control_writer import write_cca
from protocol.members import LENIENT
from protocol.peer import EndToEndIds, PeerConnection, PeerSettings, RequestReceived

Answerer = Callable[["Responder", Header, CreditControlRequest], CreditControlAnswer | None]
"""Makes the answer; None leaves the request without one."""

SLICES = {
    "32251@3gpp.org": ServiceUnits(total_octets=1_000_000),
    "32260@3gpp.org": ServiceUnits(time=60),
}


def grant_all(
    _: "Responder", header: Header, request: CreditControlRequest
) -> CreditControlAnswer:
    """2001, with a grant for every service that asks for one."""
    services = [_granted(request, part) for part in request.services]
    return answer_to(request, services)


def answer_to(
    request: CreditControlRequest,
    services: list[MultipleServices] | None = None,
    result_code: int = 2001,
) -> CreditControlAnswer:
    """An answer of this responder with these services."""
    return CreditControlAnswer(
        request.session_id,
        result_code,
        "responder.ocs.example",
        "ocs.example",
        request.request_type,
        request.request_number,
        services=services or [],
    )


def _granted(request: CreditControlRequest, part: MultipleServices) -> MultipleServices:
    answer = MultipleServices(
        rating_group=part.rating_group,
        service_identifiers=part.service_identifiers,
        result_code=2001,
    )
    if part.requested is None:
        return answer
    if request.request_type == RequestType.EVENT:
        answer.granted = part.requested
        return answer
    for context, units in SLICES.items():
        if request.service_context_id.endswith(context):
            answer.granted = units
    answer.validity_time = 3600
    return answer


def final(action: int, validity: int | None = None) -> MultipleServices:
    """An answer's part with final units: half a slice of octets."""
    return MultipleServices(
        result_code=2001,
        granted=ServiceUnits(total_octets=500_000),
        validity_time=validity,
        final_unit=FinalUnitIndication(action),
    )


class Responder:
    """Listens on a free loopback port while used in a `with` statement."""

    def __init__(
        self, answerer: Answerer = grant_all, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.requests: list[tuple[Header, CreditControlRequest]] = []
        self.strays: list[bytes] = []
        """Messages that nobody has asked for: whoever is answered next gets them, too."""
        self.most_outstanding = 0
        self._answerer = answerer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        self.drop_connections()
        # A blocked accept is not woken by closing its socket, but by one last caller.
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def drop_connections(self) -> None:
        """Lose every connection, as a crash would."""
        with self._lock:
            for one in self._sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            self._sockets.clear()

    def of_type(self, request_type: RequestType) -> list[CreditControlRequest]:
        """The requests of one type, in the order they came."""
        return [one for _, one in self.requests if one.request_type == request_type]

    def _begin(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            if self._stopped:
                accepted.close()
                return
            with self._lock:
                self._sockets.append(accepted)
            self._begin(self._serve, accepted)

    def _serve(self, accepted: socket.socket) -> None:
        settings = PeerSettings("responder.ocs.example", "ocs.example", ("127.0.0.1",))
        connection = PeerConnection(
            settings,
            now=time.monotonic(),
            jitter=lambda: 0.0,
            end_to_end_ids=EndToEndIds(1, 1),
        )
        if self._tls is not None:
            try:
                accepted = self._tls.wrap_socket(accepted, server_side=True)
            except OSError:
                return
        with accepted:
            while not connection.wants_close:
                try:
                    data = accepted.recv(1 << 16)
                    if not data:
                        return
                    connection.tick(time.monotonic())
                    connection.receive_data(data)
                    self._serve_events(connection)
                    accepted.sendall(connection.data_to_send() + self._stray())
                except OSError:
                    return

    def _stray(self) -> bytes:
        with self._lock:
            messages, self.strays = b"".join(self.strays), []
        return messages

    def _serve_events(self, connection: PeerConnection) -> None:
        batch: list[bytes | None] = []
        while (event := connection.next_event()) is not None:
            if isinstance(event, RequestReceived):
                batch.append(self._answer(event.header, event.message))
        self.most_outstanding = max(self.most_outstanding, len(batch))
        for answer in batch:
            if answer is None:
                connection.release_request()
            else:
                connection.send_answer(answer)

    def _answer(self, header: Header, message: bytes) -> bytes | None:
        request = read_ccr(message, header, LENIENT)
        with self._lock:
            self.requests.append((header, request))
            answer = self._answerer(self, header, request)
        if answer is None:
            return None
        return write_cca(answer, header.hop_by_hop, header.end_to_end, header.is_proxiable)
