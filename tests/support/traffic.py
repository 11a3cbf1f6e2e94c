"""Random charging traffic whose price is known beforehand, whatever the server answers.

Usage is debited in full (M-003, M-008), so what a subscriber pays depends only on what was
reported: the model here knows the black-box catalogue's prices and nothing of the server's code.
"""

import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from protocol.credit_control import (
    CreditControlRequest,
    Money,
    MultipleServices,
    RequestedAction,
    RequestType,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from tests.support.load_client import Exchange, Memory

PS, SMS = "12.32251@3gpp.org", "12.32274@3gpp.org"
REALM, OCS_REALM = "net.example", "ocs.example"
MICRO = 1_000_000
MB = 1_000_000
BLOCK_MICRO = {100: 50_000, 200: 200_000, 101: 1_000_000, 310: 0}
"""Price of every started megabyte by rating group."""
MESSAGE_MICRO = 70_000
RICH_MICRO = 100_000 * MICRO
POOR_MICRO = MICRO


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One prepaid account; a poor one runs out of money at once."""

    account_id: int
    msisdn: str
    opening_micro: int

    @property
    def is_rich(self) -> bool:
        """Whether its money cannot run out."""
        return self.opening_micro == RICH_MICRO


def make_subscribers(count: int, poor: int = 0) -> list[Subscriber]:
    """Return ``count`` subscribers, the last ``poor`` of them with hardly any money."""
    return [
        Subscriber(5000 + i, f"1555100{i:04d}", POOR_MICRO if i >= count - poor else RICH_MICRO)
        for i in range(count)
    ]


class Traffic:
    """Makes sessions and events, and knows what they cost."""

    def __init__(
        self, seed: int, memory: Memory, subscribers: list[Subscriber], run: str = ""
    ) -> None:
        self.memory = memory
        self.subscribers = subscribers
        self._random = random.Random(seed)
        self._run = run or f"{seed:x}"
        self._sessions = itertools.count(1)

    def next(self, origin_host: str) -> list[list[Exchange]]:
        """Return a session or an event: bursts of requests, each to be answered before the next."""
        chance = self._random
        subscriber = chance.choice(self.subscribers)
        if subscriber.is_rich and chance.random() < 0.3:
            return [[self.event(origin_host, subscriber)]]
        requests = self.session(
            origin_host,
            subscriber,
            tuple(chance.sample((100, 200, 310), chance.randint(1, 2))),
            [chance.randrange(3 * MB) for _ in range(chance.randint(1, 5))],
        )
        if chance.random() < 0.25:
            return [requests]
        bursts = [requests[:1]]
        rest = requests[1:]
        while rest:
            size = chance.randint(1, 3)
            bursts.append(rest[:size])
            rest = rest[size:]
        return bursts

    def session(
        self,
        origin_host: str,
        subscriber: Subscriber,
        groups: tuple[int, ...],
        used: list[int],
    ) -> list[Exchange]:
        """Return CCR-I, one CCR-U for each of ``used`` but the last, CCR-T with the last."""
        name = self._name(origin_host)
        made = []
        for number in range(len(used) + 1):
            last = number == len(used)
            kind = RequestType.UPDATE if number else RequestType.INITIAL
            request = self._request(
                origin_host, subscriber, name, RequestType.TERMINATION if last else kind, number, PS
            )
            request.multiple_services_indicator = None if number else 1
            if number and self._random.random() < 0.5:
                request.subscription_ids = []  # the session says who it is
            for group in groups:
                part = MultipleServices(rating_group=group)
                part.requested = None if last else ServiceUnits()
                if number:
                    part.used = [UsedServiceUnit(total_octets=used[number - 1])]
                request.services.append(part)
            made.append(self.memory.add(request, subscriber.account_id))
        return made

    def event(self, origin_host: str, subscriber: Subscriber) -> Exchange:
        """Return a direct debit of messages, or of money."""
        request = self._request(
            origin_host, subscriber, self._name(origin_host), RequestType.EVENT, 0, SMS
        )
        request.requested_action = RequestedAction.DIRECT_DEBITING
        part = MultipleServices(rating_group=1)
        if self._random.random() < 0.5:
            part.requested = ServiceUnits(service_specific=self._random.randint(1, 3))
        else:
            part.requested = ServiceUnits(money=Money(self._random.randint(1, 999), -2, 978))
        request.services.append(part)
        return self.memory.add(request, subscriber.account_id)

    def _name(self, origin_host: str) -> str:
        return f"{origin_host};{self._run};{next(self._sessions)}"

    def _request(
        self,
        origin_host: str,
        subscriber: Subscriber,
        session_id: str,
        kind: RequestType,
        number: int,
        context: str,
    ) -> CreditControlRequest:
        return CreditControlRequest(
            session_id=session_id,
            origin_host=origin_host,
            origin_realm=REALM,
            destination_realm=OCS_REALM,
            auth_application_id=4,
            service_context_id=context,
            request_type=kind,
            request_number=number,
            event_timestamp_ns=time.time_ns(),
            subscription_ids=[SubscriptionId(0, subscriber.msisdn)],
        )

    # --------------------------------------------------------------------------- the model

    def balances(self) -> dict[int, int]:
        """Return what each account must have left once every request sent was decided."""
        cost = spent_micro(one for one in self.memory.exchanges if one.sent)
        return {
            one.account_id: one.opening_micro - cost[one.account_id] for one in self.subscribers
        }

    def open_sessions(self) -> int:
        """Return how many sessions have begun and not ended, by the requests that were sent."""
        sent = Counter(one.request.request_type for one in self.memory.exchanges if one.sent)
        return sent[RequestType.INITIAL] - sent[RequestType.TERMINATION]


def spent_micro(exchanges: Iterable[Exchange]) -> Counter[int]:
    """Return what requests cost together, by account, in micro units."""
    used: dict[tuple[int, str, int], int] = defaultdict(int)
    spent: Counter[int] = Counter()
    for one in exchanges:
        request = one.request
        for part in request.services:
            if request.request_type != RequestType.EVENT:
                octets = sum(unit.total_octets or 0 for unit in part.used)
                used[one.account_id, request.session_id, part.rating_group or 0] += octets
            elif part.requested and part.requested.money:
                spent[one.account_id] += part.requested.money.value_digits * MICRO // 100
            elif part.requested:
                spent[one.account_id] += (part.requested.service_specific or 0) * MESSAGE_MICRO
    for (account_id, _, group), octets in used.items():
        spent[account_id] += -(-octets // MB) * BLOCK_MICRO[group]
    return spent
