"""Sessions and charging records survive being stored, whatever is in them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.amounts import INT64_MAX
from ocs.charging.model.messages import ChargedLine, ChargingRecord, ServiceReply, Units
from ocs.charging.model.session import ChargeContext, QuotaState, Session
from ocs.errors import IntegrityError
from ocs.ledger.account import Hold
from ocs.store import records
from tests.support.ledger_rows import make_record, make_session

numbers = st.integers(-INT64_MAX - 1, INT64_MAX)
texts = st.text(max_size=40)
holds = st.lists(st.builds(Hold, numbers, numbers), max_size=3)
contexts = st.lists(st.builds(ChargeContext, texts, numbers, texts, numbers, numbers), max_size=3)
quotas = st.builds(
    QuotaState,
    service=texts,
    rating_group=st.none() | numbers,
    service_identifiers=st.lists(numbers, max_size=3).map(tuple),
    holds=holds,
    contexts=contexts,
    final=st.booleans(),
    used_units=numbers,
)
sessions = st.builds(
    lambda quotas, seen, text, number, sub: msgspec.structs.replace(
        make_session(5), quotas=quotas, seen=seen, session_id=text, deadline_ns=number,
        sub_session_id=sub,
    ),
    st.lists(quotas, max_size=4),
    st.lists(numbers, max_size=8),
    texts,
    numbers,
    st.none() | numbers,
)  # fmt: skip
replies = st.builds(
    ServiceReply,
    rating_group=st.none() | numbers,
    service_identifiers=st.lists(numbers, max_size=3).map(tuple),
    granted=st.none() | st.builds(Units, seconds=st.none() | numbers, octets=st.none() | numbers),
    reason=texts,
)
lines = st.builds(
    ChargedLine, texts, st.none() | numbers, numbers, numbers, numbers, numbers, numbers, numbers,
    holds,
)  # fmt: skip


def _record(services: list[ServiceReply], charged: list[ChargedLine], note: str) -> ChargingRecord:
    record = make_record(5, 1)
    record.reply.services = services
    record.charged, record.note = charged, note
    return record


@pytest.mark.rule("C-102")
@given(sessions)
def test_a_session_is_read_as_it_was_written(session: Session) -> None:
    assert records.decode_session(records.encode_session(session), 5, bytes(16)) == session


@given(st.builds(_record, st.lists(replies, max_size=4), st.lists(lines, max_size=4), texts))
def test_a_record_is_read_as_it_was_written(record: ChargingRecord) -> None:
    assert records.decode_record(records.encode_record(record), 9) == record


@given(octets=st.binary(max_size=60), known=st.booleans())
def test_anything_else_is_refused_and_named(octets: bytes, known: bool) -> None:
    blob = records.FORMAT + octets if known else octets
    with pytest.raises(IntegrityError, match=f"session {'00' * 16} of account 5"):
        records.decode_session(blob, 5, bytes(16))
    with pytest.raises(IntegrityError, match="the record of request 9"):
        records.decode_record(blob, 9)


def test_a_blob_of_a_later_format_is_not_guessed_at() -> None:
    blob = b"\x02" + records.encode_session(make_session(5))[1:]
    with pytest.raises(IntegrityError, match="its format is 02, not 01"):
        records.decode_session(blob, 5, bytes(16))


def test_fields_appended_later_read_with_their_defaults() -> None:
    fields = msgspec.to_builtins(make_session(5))
    shorter = records.FORMAT + msgspec.msgpack.encode(fields[:18])
    read = records.decode_session(shorter, 5, bytes(16))
    assert read.quotas == []
    assert read.profile == "generic"
    assert read.seen == [0, 0]
