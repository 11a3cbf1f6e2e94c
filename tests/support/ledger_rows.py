"""Values to put into a store: accounts, sessions, records, and the keys that name them."""

import itertools

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
from ocs.charging.model.session import QuotaState, Session, SessionState, make_session_key
from ocs.charging.model.working_set import NewRecord, RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND, IdSource, ManualClock
from ocs.ledger.account import Account, Bucket, Contra, Hold, Movement, OperatorAction
from ocs.store.interface import Store

NOW_NS = 1_800_000_000 * NS_PER_SECOND
HOST = "pgw1.example"
MAIN = 1
"""Bucket id of the money of every account here."""

_nodes = itertools.count()


def new_ids() -> IdSource:
    """Ids that no other source of this process makes."""
    return IdSource(ManualClock(NOW_NS), next(_nodes) % 256)


def session_id(account_id: int, name: str = "a") -> str:
    return f"{HOST};{account_id};{name}"


def key_of(
    account_id: int, number: int = 0, kind: int = RequestKind.UPDATE, name: str = "a"
) -> RequestKey:
    return RequestKey(
        account_id, make_session_key(session_id(account_id, name), None), kind, number
    )


def make_session(account_id: int, name: str = "a", deadline_ns: int = NOW_NS) -> Session:
    return Session(
        session_id=session_id(account_id, name),
        sub_session_id=None,
        account_id=account_id,
        subscriber_id=account_id,
        identity=f"msisdn:4917{account_id}",
        service_context="32251@3gpp.org",
        origin_host=HOST,
        origin_realm="example",
        peer=HOST,
        node=1,
        origin_state_id=7,
        plan="basic",
        catalogue_version=1,
        state=SessionState.OPEN,
        started_ns=NOW_NS - NS_PER_SECOND,
        last_request_ns=NOW_NS - NS_PER_SECOND,
        deadline_ns=deadline_ns,
        seen=[0, 0],
        quotas=[QuotaState("data", 1, (), rule="data", granted=1000, holds=[Hold(MAIN, 5)])],
    )


def make_record(account_id: int, number: int, kind: int = RequestKind.UPDATE) -> ChargingRecord:
    return ChargingRecord(
        session_id=session_id(account_id),
        sub_session_id=None,
        kind=kind,
        number=number,
        identity=f"msisdn:4917{account_id}",
        service_context="32251@3gpp.org",
        origin_host=HOST,
        peer=HOST,
        end_to_end=number,
        event_ns=NOW_NS,
        action=-1,
        services=(ServiceRequest(1, (), Units(), (UsedUnits(Units(octets=1000)),)),),
        attributes=RatingAttributes(apn="internet"),
        reply=ChargingReply(0, [ServiceReply(1, (), granted=Units(octets=1000))]),
        charged=[ChargedLine("data", 1, 1, 1000, 0, 5, 1000, 5)],
        balance_micro=0,
        held_micro=5,
        catalogue_version=1,
        plan="basic",
    )


def make_action(action_id: int = 1) -> OperatorAction:
    return OperatorAction(action_id, NOW_NS, "mia", "peer allow", "pgw1", "a test")


def add_account(store: Store, account_id: int, available: int = 1_000_000) -> None:
    """Put an account with one money bucket into a store."""

    def decide(working_set: WorkingSet) -> None:
        working_set.add_account(Account(account_id, "EUR", "basic"))
        working_set.add_bucket(Bucket(account_id, MAIN, 0, "main", available))

    store.transact([], decide)


def add_session(
    store: Store, account_id: int, name: str = "a", deadline_ns: int = NOW_NS
) -> Session:
    """Put an open session into a store."""
    session = make_session(account_id, name, deadline_ns)
    key = key_of(account_id, 0, RequestKind.INITIAL, name)
    store.transact([key], lambda working_set: working_set.add_session(key.session_key, session))
    return session


def read_session(store: Store, key: RequestKey) -> Session | None:
    return store.transact([key], lambda working_set: working_set.sessions.get(key.session_key))


def available(store: Store, account_id: int) -> int:
    """What the money bucket of an account has available."""
    key = key_of(account_id)
    return store.transact(
        [key], lambda working_set: working_set.accounts[account_id].buckets[0].available
    )


def debit(working_set: WorkingSet, key: RequestKey, amount: int) -> bool:
    """Answer a request that takes an amount of money; False when it was answered before.

    The session of the key, if it is loaded, remembers the number.
    """
    if key in working_set.answers:
        return False
    bucket = working_set.accounts[key.account_id].buckets[0]
    bucket.available -= amount
    working_set.mark_bucket(bucket)
    session = working_set.sessions.get(key.session_key)
    if session is not None:
        session.note_seen(key.number)
        session.last_request_ns = NOW_NS
        working_set.mark_session(key.session_key)
    request_id = working_set.new_request_id()
    working_set.movements.append(
        Movement(key.account_id, request_id, 0, MAIN, 0, Contra.REVENUE, -amount, NOW_NS)
    )
    record = make_record(key.account_id, key.number, key.kind)
    working_set.add_record(NewRecord(key, request_id, NOW_NS, key.number, record))
    return True


def charge(store: Store, key: RequestKey, amount: int = 1) -> bool:
    """Take an amount in a transaction of its own; False when it was answered before."""
    return store.transact([key], lambda working_set: debit(working_set, key, amount), "a batch")
