"""How many decided requests a store writes each second, without network, decoding or rating.

Each request updates a random account's session and bucket and adds one record and one movement,
as an update with one rating group does. Run it: ``python -m benchmarks.store URL [BATCH ...]``.
"""

import gc
import random
import sys
import time
from collections.abc import Iterator

from ocs.charging.model.messages import (
    ChargedLine,
    ChargingRecord,
    ChargingReply,
    RatingAttributes,
    RequestKind,
    ServiceReply,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import (
    ChargeContext,
    QuotaState,
    Session,
    SessionState,
    make_session_key,
)
from ocs.charging.model.working_set import NewRecord, RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND, IdSource, SystemClock
from ocs.ledger.account import Account, Bucket, Contra, Hold, Movement
from ocs.store import migrations
from ocs.store.interface import Store
from ocs.store.sql import SqlStore

ACCOUNTS = 20_000
SLICE_OCTETS = 10_000_000
TCC_NS = 1200 * NS_PER_SECOND
CONTEXT = "32251@3gpp.org"
HOST = "pgw1.epc.mnc001.mcc999.3gppnetwork.org"


def _session(account_id: int, session_id: str, now_ns: int) -> Session:
    return Session(
        session_id=session_id,
        sub_session_id=None,
        account_id=account_id,
        subscriber_id=account_id,
        identity=f"msisdn:49170{account_id:07d}",
        service_context=CONTEXT,
        origin_host=HOST,
        origin_realm="epc.mnc001.mcc999.3gppnetwork.org",
        peer=HOST,
        node=1,
        origin_state_id=1,
        plan="basic",
        catalogue_version=1,
        state=SessionState.OPEN,
        started_ns=now_ns,
        last_request_ns=now_ns,
        deadline_ns=now_ns + TCC_NS,
        seen=[0, 0],
        quotas=[
            QuotaState(
                service="data",
                rating_group=1,
                service_identifiers=(),
                rule="data",
                granted=SLICE_OCTETS,
                granted_ns=now_ns,
                expires_ns=now_ns + TCC_NS,
                holds=[Hold(1, 100)],
                contexts=[ChargeContext(rule="data", slot_ns=0)],
                reported_ns=now_ns,
            )
        ],
    )


def _session_id(account_id: int) -> str:
    return f"{HOST};1449;{account_id};gy"


def populate(store: Store, accounts: int) -> None:
    """Make accounts with one money bucket and one open session each."""
    now_ns = time.time_ns()

    def decide(working_set: WorkingSet) -> None:
        for account_id in block:
            working_set.add_account(Account(account_id, "EUR", "basic"))
            bucket = Bucket(account_id, 1, 0, "main", available=10**15, held=100)
            working_set.add_bucket(bucket)
            session_id = _session_id(account_id)
            session = _session(account_id, session_id, now_ns)
            working_set.add_session(make_session_key(session_id, None), session)

    for start in range(1, accounts + 1, 1000):
        block = range(start, min(start + 1000, accounts + 1))
        store.transact([], decide, "populate")


def _record(session: Session, number: int, now_ns: int) -> ChargingRecord:
    used = Units(octets=SLICE_OCTETS, input_octets=1_000_000, output_octets=9_000_000)
    return ChargingRecord(
        session_id=session.session_id,
        sub_session_id=None,
        kind=RequestKind.UPDATE,
        number=number,
        identity=session.identity,
        service_context=CONTEXT,
        origin_host=HOST,
        peer=HOST,
        end_to_end=number,
        event_ns=now_ns,
        action=-1,
        services=(ServiceRequest(1, (), Units(), (UsedUnits(used),)),),
        attributes=RatingAttributes(apn="internet", visited_network="99901", rat_type=6),
        reply=ChargingReply(0, [ServiceReply(1, (), granted=Units(octets=SLICE_OCTETS))]),
        charged=[ChargedLine("data", 1, 1, SLICE_OCTETS, 0, 100, SLICE_OCTETS, 100)],
        balance_micro=10**15,
        held_micro=100,
        catalogue_version=1,
        plan="basic",
    )


def _decide(working_set: WorkingSet, keys: list[RequestKey]) -> None:
    now_ns = time.time_ns()
    for key in keys:
        session = working_set.sessions[key.session_key]
        session.note_seen(key.number)
        session.last_request_ns = now_ns
        session.deadline_ns = now_ns + TCC_NS
        quota = session.quotas[0]
        quota.used_units += SLICE_OCTETS
        quota.contexts[0].charged_micro += 100
        working_set.mark_session(key.session_key)
        bucket = working_set.accounts[key.account_id].buckets[0]
        bucket.available -= 100
        working_set.mark_bucket(bucket)
        request_id = working_set.new_request_id()
        working_set.movements.append(
            Movement(
                key.account_id, request_id, 0, 1, 0, Contra.REVENUE, -100, now_ns,
                "data", "data", units_after=SLICE_OCTETS, catalogue_version=1,
            )
        )  # fmt: skip
        record = _record(session, key.number, now_ns)
        working_set.add_record(NewRecord(key, request_id, now_ns, request_id, record))


def _batches(size: int, accounts: int, first_number: int) -> Iterator[list[RequestKey]]:
    numbers = [first_number] * (accounts + 1)
    keys = [b"", *(make_session_key(_session_id(i), None) for i in range(1, accounts + 1))]
    picks = random.Random(1)
    while True:
        batch = []
        for account_id in picks.sample(range(1, accounts + 1), size):
            numbers[account_id] += 1
            number = numbers[account_id]
            batch.append(RequestKey(account_id, keys[account_id], RequestKind.UPDATE, number))
        yield batch


def measure(store: Store, size: int, seconds: float, accounts: int, first_number: int = 0) -> float:
    """Return the requests per second that a populated store takes in batches of ``size``."""
    done = 0
    # As the server does after its start: what lives for ever is not looked through again.
    gc.collect()
    gc.freeze()
    batches = _batches(size, accounts, first_number)
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        batch = next(batches)
        store.transact(batch, lambda working_set: _decide(working_set, batch))  # noqa: B023
        done += size
    return done / elapsed


def run(url: str, batch_size: int, seconds: float, accounts: int = ACCOUNTS) -> float:
    """Make the tables and accounts in an empty database, measure, return requests per second."""
    migrations.upgrade(url)
    store = SqlStore(url, IdSource(SystemClock(), 1))
    try:
        populate(store, accounts)
        return measure(store, batch_size, seconds, accounts)
    finally:
        store.close()


def main(url: str, sizes: list[int]) -> None:
    """Print requests per second for each batch size, in one database."""
    migrations.upgrade(url)
    store = SqlStore(url, IdSource(SystemClock(), 1))
    populate(store, ACCOUNTS)
    for index, size in enumerate(sizes):
        measure(store, size, 1, ACCOUNTS, index * 1_000_000)
        cpu = time.process_time()
        rate = measure(store, size, 8, ACCOUNTS, index * 1_000_000 + 500_000)
        micros = (time.process_time() - cpu) / (8 * rate) * 1e6
        print(f"batch {size:5}: {rate:9.0f}/s, {micros:.0f} us of this process each")
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], [int(size) for size in sys.argv[2:]] or [1, 16, 64, 256])
