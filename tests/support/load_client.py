"""A pipelining Diameter client that remembers every request it sent and every answer it heard.

Its memory is what the tests of tests/durability hold the database against: it outlives every
server. Everything runs in one asyncio loop.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from protocol import codec
from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    CommandCode,
    DeviceWatchdogAnswer,
    DisconnectPeerAnswer,
)
from protocol.codec import Header, MessageBuffer, read_header
from protocol.credit_control import CreditControlRequest
from protocol.credit_control_reader import read_cca
from protocol.credit_control_writer import write_ccr

SUCCESS = 2001
FAULTS = (3004, 5012)
"""What says that nothing was decided: the request is to be sent again (D25)."""
ORIGIN_STATE_ID = 278
READ_OCTETS = 1 << 16


@dataclass(eq=False, slots=True)
class Exchange:
    """One request and everything that was heard about it."""

    request: CreditControlRequest
    account_id: int
    end_to_end: int
    number: int
    """Place in the order of making, over all connections."""
    sent: int = 0
    answer: bytes | None = None
    """The first answer that was no fault."""
    seconds: float = 0.0
    """How long the last answer took."""


@dataclass
class Memory:
    """What all connections of a test have in common."""

    exchanges: list[Exchange] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """Second answers that were not the first one again."""
    results: Counter[int] = field(default_factory=Counter)
    answers: int = 0
    losses: int = 0
    """Requests whose connection ended before their answer came."""
    slowest_seconds: float = 0.0
    faults: int = 0
    """Answers that said nothing was decided."""
    _end_to_end: Iterator[int] = field(default_factory=lambda: itertools.count(0x700000))
    _waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    def add(self, request: CreditControlRequest, account_id: int) -> Exchange:
        """Remember a request that is about to be sent."""
        made = Exchange(request, account_id, next(self._end_to_end), len(self.exchanges))
        self.exchanges.append(made)
        return made

    def unanswered(self) -> list[Exchange]:
        """Requests that were sent and have no answer yet, in the order of making."""
        return [one for one in self.exchanges if one.sent and one.answer is None]

    async def until_answers(self, count: int) -> None:
        """Wait until this many answers were heard."""
        if self.answers < count:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((count, waiter))
            await waiter

    def heard(self, exchange: Exchange, message: bytes, seconds: float) -> int:
        """Note an answer; returns its Result-Code."""
        result = read_cca(message).result_code or 0
        exchange.seconds = seconds
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        self.results[result] += 1
        if result in FAULTS:
            self.faults += 1
        elif exchange.answer is None:
            exchange.answer = message
        elif comparable(exchange.answer) != comparable(message):
            said = exchange.request
            self.differences.append(
                f"{said.session_id} type {said.request_type} number {said.request_number}: "
                f"first {exchange.answer.hex()}, then {message.hex()}"
            )
        self.answers += 1
        while self._waiters and self._waiters[0][0] <= self.answers:
            _, waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
        return result


def comparable(message: bytes) -> tuple[Any, ...]:
    """Return an answer without what may change: Hop-by-Hop id and Origin-State-Id."""
    header = read_header(message)
    avps = [
        (code, vendor, flags, message[start:end])
        for code, vendor, flags, start, end in codec.iter_avps(
            message, codec.HEADER_SIZE, len(message)
        )
        if (vendor, code) != (0, ORIGIN_STATE_ID)
    ]
    return header.flags, header.command_code, header.application_id, header.end_to_end, avps


class LoadConnection:
    """One gateway; it may be connected again and again, to one server or another."""

    def __init__(self, memory: Memory, origin_host: str, origin_realm: str = "net.example") -> None:
        self.memory = memory
        self.origin_host = origin_host
        self.origin_realm = origin_realm
        self.goodbyes = 0
        """DPR received and answered since it was connected."""
        self._hop_by_hop = itertools.count(1)
        self._pending: dict[int, tuple[Exchange, float, asyncio.Future[int]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether capabilities were exchanged and nobody has closed since."""
        return self._writer is not None and not self._writer.transport.is_closing()

    async def connect(self, address: tuple[str, int]) -> None:
        """Connect and exchange capabilities."""
        reader, writer = await asyncio.open_connection(*address)
        request = CapabilitiesExchangeRequest(
            self.origin_host,
            self.origin_realm,
            host_ip_addresses=(writer.get_extra_info("sockname")[0],),
            vendor_id=0,
            product_name="load",
            auth_application_ids=(4,),
        )
        writer.write(request.write(next(self._hop_by_hop), 1))
        buffer = MessageBuffer()
        while (message := buffer.next_message()) is None:
            data = await reader.read(READ_OCTETS)
            if not data:
                raise ConnectionError(f"{self.origin_host}: closed instead of a CEA")
            buffer.feed(data)
        answer = CapabilitiesExchangeAnswer.read(message)
        assert answer.result_code == SUCCESS, answer
        self._writer = writer
        self.goodbyes = 0
        self._reading = asyncio.create_task(self._read(reader, buffer))

    def send(self, exchange: Exchange, *, retransmitted: bool = False) -> asyncio.Future[int]:
        """Send a request; the result is the Result-Code, or 0 when the connection ended first."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        exchange.sent += 1
        if self._writer is None or self._writer.transport.is_closing():
            future.set_result(0)
            return future
        hop_by_hop = next(self._hop_by_hop)
        self._pending[hop_by_hop] = (exchange, loop.time(), future)
        self._writer.write(
            write_ccr(exchange.request, hop_by_hop, exchange.end_to_end, retransmitted)
        )
        return future

    async def ask(self, *exchanges: Exchange, retransmitted: bool = False) -> list[int]:
        """Send requests back to back and wait for all their answers."""
        futures = [self.send(one, retransmitted=retransmitted) for one in exchanges]
        return [await future for future in futures]

    async def close(self) -> None:
        """Close without a goodbye; harmless when it is closed."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None

    async def ended(self) -> None:
        """Wait until the other side has closed."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self, reader: asyncio.StreamReader, buffer: MessageBuffer) -> None:
        writer = self._writer
        assert writer is not None
        loop = asyncio.get_running_loop()
        try:
            while True:
                while (message := buffer.next_message()) is not None:
                    self._take(read_header(message), message, writer, loop.time())
                data = await reader.read(READ_OCTETS)
                if not data:
                    break
                buffer.feed(data)
        except ConnectionError:
            pass  # the server was killed; what it has not answered says enough
        finally:
            self._writer = None
            writer.transport.abort()
            pending, self._pending = self._pending, {}
            self.memory.losses += len(pending)
            for _, _, future in pending.values():
                if not future.done():
                    future.set_result(0)

    def _take(
        self, header: Header, message: bytes, writer: asyncio.StreamWriter, now: float
    ) -> None:
        if header.is_request:
            if header.command_code == CommandCode.DEVICE_WATCHDOG:
                answer = DeviceWatchdogAnswer(SUCCESS, self.origin_host, self.origin_realm)
                writer.write(answer.write(header))
            elif header.command_code == CommandCode.DISCONNECT_PEER:
                self.goodbyes += 1
                goodbye = DisconnectPeerAnswer(SUCCESS, self.origin_host, self.origin_realm)
                writer.write(goodbye.write(header))
            return
        exchange, sent_at, future = self._pending.pop(header.hop_by_hop)
        assert header.end_to_end == exchange.end_to_end
        result = self.memory.heard(exchange, message, now - sent_at)
        if not future.done():
            future.set_result(result)
