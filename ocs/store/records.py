"""Sessions, charging records and what an account keeps as bytes, and the two derived columns; used
by memory and sql.

A blob is one format octet followed by MessagePack. Fields are only appended to the stored structs,
so an older blob of the same format reads with the defaults of what it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ocs.charging.model.messages import ChargingRecord, RequestKind
from ocs.charging.model.session import Session
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import IntegrityError
from ocs.ledger.account import Account, Bucket, Counter
from ocs.ledger.details import NOTHING, AccountDetails

FORMAT = b"\x01"
_TIMER = int(RequestKind.TIMER)

_encode = msgspec.msgpack.Encoder().encode
_decode_session = msgspec.msgpack.Decoder(Session).decode
_decode_record = msgspec.msgpack.Decoder(ChargingRecord).decode
_decode_counters = msgspec.msgpack.Decoder(list[Counter]).decode
_decode_details = msgspec.msgpack.Decoder(AccountDetails).decode


class LoadedSession(NamedTuple):
    """What the row of a session said beside its blob when it was loaded."""

    version: int
    state: int
    due_ns: int
    origin_host: str


def encode_session(session: Session) -> bytes:
    """Return the blob of a session."""
    return FORMAT + _encode(session)


def decode_session(blob: bytes, account_id: int, session_key: bytes) -> Session:
    """Return the session of a blob; IntegrityError names the row when it cannot be read."""
    try:
        return _decode_session(_content(blob))
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntegrityError(
            f"session {session_key.hex()} of account {account_id} cannot be read: {error}"
        ) from error


def encode_record(record: ChargingRecord) -> bytes:
    """Return the blob of a charging record."""
    return FORMAT + _encode(record)


def decode_record(blob: bytes, request_id: int) -> ChargingRecord:
    """Return the record of a blob; IntegrityError names the request when it cannot be read."""
    try:
        return _decode_record(_content(blob))
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntegrityError(f"the record of request {request_id} cannot be read: {error}") from (
            error
        )


def _content(blob: bytes) -> memoryview:
    """Return what follows the format octet."""
    if blob[:1] != FORMAT:
        raise ValueError(f"its format is {blob[:1].hex() or 'empty'}, not {FORMAT.hex()}")
    return memoryview(blob)[1:]


def encode_counters(counters: list[Counter]) -> bytes:
    """Return the blob of an account's counters, empty when there are none."""
    return FORMAT + _encode(counters) if counters else b""


def copies(counters: list[Counter]) -> list[Counter]:
    """Return the same counters as values of their own."""
    return _decode_counters(_encode(counters))


def copy_of(details: AccountDetails) -> AccountDetails:
    """Return the same details as a value of its own."""
    return _decode_details(_encode(details))


def encode_details(details: AccountDetails) -> bytes:
    """Return the blob of an account's details, empty when nothing is known."""
    return b"" if details == NOTHING else FORMAT + _encode(details)


def account_of(row: Sequence[Any]) -> Account:
    """Return the account of a row with its columns in the order of the struct's fields.

    IntegrityError names the account when its blobs cannot be read.
    """
    *columns, counters, details = row
    account = Account(*columns)
    try:
        if counters:
            account.counters = _decode_counters(_content(counters))
        if details:
            account.details = _decode_details(_content(details))
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntegrityError(f"account {columns[0]} cannot be read: {error}") from error
    return account


def session_due_ns(session: Session, loaded: LoadedSession, exact: bool) -> int:
    """Return what ``due_ns`` of a changed session becomes: at most its deadline (ns UTC).

    Unless it has to be ``exact`` it stays where it was as long as it is a lower bound in the
    future, so that an update that only moves the deadline away leaves the index alone.
    """
    if (
        exact
        or session.state != loaded.state
        or session.deadline_ns < loaded.due_ns
        or loaded.due_ns <= session.last_request_ns
    ):
        return session.deadline_ns
    return loaded.due_ns


def rearm_timers(
    keys: Iterable[RequestKey], working_set: WorkingSet, loaded: Mapping[bytes, LoadedSession]
) -> set[bytes]:
    """Return the sessions that a timer looked at: their ``due_ns`` must be written exactly.

    One that turned out not to be due is marked as changed, else it would stay in the due list.
    """
    timed = {key.session_key for key in keys if key.kind == _TIMER}
    for session_key in timed:
        row = loaded.get(session_key)
        if row is not None and row.due_ns != working_set.sessions[session_key].deadline_ns:
            working_set.mark_session(session_key)
    return timed


def bucket_due_ns(bucket: Bucket) -> int:
    """Return ``due_ns`` of a bucket: when it expires with something in it, else 0 (ns UTC).

    Once the clients that hold of it were asked, what is held does not count any more, and what
    came back of it is due one nanosecond later: that is how ``was_asked`` knows.
    """
    if bucket.available > 0:
        return bucket.expires_ns + bucket.asked
    return bucket.expires_ns if bucket.held > 0 and not bucket.asked else 0


def was_asked(available: int, held: int, expires_ns: int, due_ns: int) -> bool:
    """Tell from a bucket's row whether the clients that hold of it were asked (Bucket.asked)."""
    return expires_ns > 0 and due_ns != expires_ns and (available > 0 or held > 0)
