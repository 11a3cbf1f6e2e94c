"""A database with records of a month, as a server would have left it: for `benchmarks.whatif`.

Every request is decided by the engine and stored by the store, in batches and in the order of
time; only the wire is left out, and the clock is the traffic's. So what is in the database passes
the audit, and re-rating it by the catalogue that charged it makes no difference.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from benchmarks import catalogues
from benchmarks.databases import BALANCE_MICRO
from config import sample_catalogue_path
from ocs.catalog.matching import CatalogIndex
from ocs.charging.engine import decide, keys_of
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    EventAction,
    Identity,
    RatingAttributes,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import NS_PER_SECOND, IdSource, ManualClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers.subscribers import NewSubscriber, open_account
from ocs.provisioning.desk import Desk
from ocs.store import migrations
from ocs.store.sql import SqlStore

PLANS = ("basic", "basic", "plus", "traveller", "company")
DAYS = 30
RECORDS_PER_SUBSCRIBER = 50
_DAY_NS = 86_400 * NS_PER_SECOND
_BATCH = 256
_NODE = 251
_ACCOUNTS = 2_000
_CALLED = ("34911234567", "34600123456", "4930123456", "12025550143", "8811234567", "5511999990")
_VISITED = ("21407", "21407", "21407", "26201", "310410")
_UPDATES = 8
_RECORDS_PER_ARRIVAL = 4.5
"""Less than sessions have on average, so that the days suffice."""
_WITHOUT_VIDEO = "traveller"


class _Planned(NamedTuple):
    """A request that a client will send."""

    at_ns: int
    order: int
    subscriber: int
    session: str
    kind: RequestKind
    number: int
    context: str
    services: tuple[ServiceRequest, ...]
    attributes: RatingAttributes


def make(url: str, records: int, end_ns: int, said: Callable[[int], None]) -> None:
    """Make a database with so many records in the ``DAYS`` before ``end_ns``.

    ``said`` is called with the number of records that are stored.
    """
    migrations.upgrade(url)
    clock = ManualClock(end_ns - DAYS * _DAY_NS)
    ids = IdSource(clock, _NODE)
    store = SqlStore(url, ids)
    try:
        subscribers = max(1, records // RECORDS_PER_SUBSCRIBER)
        index, accounts = _fill(store, clock, ids, subscribers)
        context = DecisionContext(
            clock.now_ns(), _NODE, {index.catalog.version: index}, index.catalog.version,
            DecisionPolicy(),
        )
        planned = itertools.islice(traffic(subscribers, records, clock.now_ns()), records)
        done = 0
        while batch := list(itertools.islice(planned, _BATCH)):
            _advance(clock, batch[0].at_ns)
            context.now_ns = clock.now_ns()
            requests = [_request(one, accounts[one.subscriber]) for one in batch]
            store.transact(
                [key for one in requests for key in keys_of(one)],
                _decider(requests, context),
                "records",
            )
            done += len(batch)
            said(done)
    finally:
        store.close()


def _fill(
    store: SqlStore, clock: ManualClock, ids: IdSource, count: int
) -> tuple[CatalogIndex, list[int]]:
    desk = Desk(store, cast(Any, None), clock, ids, "benchmark", "benchmark")
    text = catalogues.text(large=False)
    catalogs.check(text, sample_catalogue_path().name)
    action = desk.action("catalog publish", "records")
    store.publish_catalogue(text, "records", action)
    index = catalogs.Catalogues(store).current()
    accounts: list[int] = []
    for start in range(0, count, _ACCOUNTS):
        numbers = range(start, min(start + _ACCOUNTS, count))
        made = [ids.next_id() for _ in numbers]
        accounts += made

        def add(
            working_set: WorkingSet, numbers: range = numbers, made: list[int] = made
        ) -> None:
            for number, account_id in zip(numbers, made, strict=True):
                plan = PLANS[number % len(PLANS)]
                new = NewSubscriber(
                    (Identity("msisdn", f"34600{number:06d}"),), plan, BALANCE_MICRO
                )
                terms = index.catalog.plans[plan]
                open_account(desk, working_set, account_id, new, terms, index)

        store.transact([], add, "records")
    return index, accounts


def traffic(subscribers: int, records: int, start_ns: int, seed: int = 1) -> Iterator[_Planned]:
    """Yield requests in the order of time: sessions of data and calls, and messages."""
    chance = random.Random(seed)
    order = itertools.count()
    waiting: list[_Planned] = []
    arrivals = max(1, int(records / _RECORDS_PER_ARRIVAL))
    gap_ns = DAYS * _DAY_NS // arrivals
    for number in itertools.count():
        arrival_ns = start_ns + number * gap_ns
        while waiting and waiting[0].at_ns <= arrival_ns:
            yield heapq.heappop(waiting)
        who = chance.randrange(subscribers)
        kind = chance.choices((_data, _call, _message), (6, 3, 6))[0]
        for one in kind(chance, who, f"gw;{number}", arrival_ns, order):
            heapq.heappush(waiting, one)


def _data(
    chance: random.Random, who: int, session: str, at_ns: int, order: Iterator[int]
) -> Iterator[_Planned]:
    said = RatingAttributes(
        visited_network=chance.choice(_VISITED), rat_type=chance.choice((6, 10)), apn="internet"
    )
    last = chance.randint(1, 2 * _UPDATES)
    for number in range(last + 1):
        kind = _kind(number, last)
        services = []
        both = chance.random() < 0.5 and PLANS[who % len(PLANS)] != _WITHOUT_VIDEO
        for group in (100, 200) if both else (100,):
            used = (
                (UsedUnits(Units(octets=chance.randrange(1, 9_000_000))),) if number else ()
            )
            asks = None if kind is RequestKind.TERMINATION else Units()
            services.append(ServiceRequest(group, (), asks, used))
        yield _Planned(
            at_ns, next(order), who, session, kind, number, "32251@3gpp.org", tuple(services),
            said,
        )  # fmt: skip
        at_ns += chance.randint(20, 1_500) * NS_PER_SECOND


def _call(
    chance: random.Random, who: int, session: str, at_ns: int, order: Iterator[int]
) -> Iterator[_Planned]:
    said = RatingAttributes(
        called_party=chance.choice(_CALLED), role_of_node=0, visited_network=chance.choice(_VISITED)
    )
    last = chance.randint(1, 4)
    for number in range(last + 1):
        kind = _kind(number, last)
        seconds = chance.randint(1, 120)
        used = (UsedUnits(Units(seconds=seconds)),) if number else ()
        asks = None if kind is RequestKind.TERMINATION else Units()
        yield _Planned(
            at_ns, next(order), who, session, kind, number, "32260@3gpp.org",
            (ServiceRequest(100, (), asks, used),), said,
        )  # fmt: skip
        at_ns += 121 * NS_PER_SECOND


def _message(
    chance: random.Random, who: int, session: str, at_ns: int, order: Iterator[int]
) -> Iterator[_Planned]:
    said = RatingAttributes(recipients=(chance.choice(_CALLED),), recipient_type=1)
    asked = ServiceRequest(1, (), Units(events=1))
    yield _Planned(
        at_ns, next(order), who, session, RequestKind.EVENT, 0, "32274@3gpp.org", (asked,), said
    )


def _kind(number: int, last: int) -> RequestKind:
    if not number:
        return RequestKind.INITIAL
    return RequestKind.TERMINATION if number == last else RequestKind.UPDATE


def _request(one: _Planned, account_id: int) -> ChargingRequest:
    return ChargingRequest(
        session_id=one.session,
        session_key=make_session_key(one.session, None),
        kind=one.kind,
        number=one.number,
        received_ns=one.at_ns,
        deadline_ns=0,
        content_hash=one.order,
        service_context=one.context,
        identities=(Identity("msisdn", f"34600{one.subscriber:06d}"),),
        services=one.services,
        event_ns=one.at_ns,
        action=EventAction.DIRECT_DEBITING if one.kind is RequestKind.EVENT else -1,
        origin_host="gw.example",
        origin_realm="example",
        peer="gw.example",
        attributes=one.attributes,
        account_id=account_id,
    )


def _decider(
    requests: list[ChargingRequest], context: DecisionContext
) -> Callable[[WorkingSet], list[ChargingReply]]:
    return lambda working_set: [decide(one, working_set, context) for one in requests]


def _advance(clock: ManualClock, at_ns: int) -> None:
    clock.advance(max(0, at_ns - clock.now_ns()) // NS_PER_SECOND)
