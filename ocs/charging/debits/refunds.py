"""Refunds that name their debit: all of it or a part, once (M-014; TS 32.299 7.2.171).

A debit is an event's, or what the last report of a session of countable events cost (ECUR); the
refund may come in any session. Called by events; the reference is the Refund-Information of the
debit's answer.
"""

from __future__ import annotations

from ocs.amounts import EVENTS, MONEY, Unit, round_half_up
from ocs.charging.counts import bucket_caps, limits, prices
from ocs.charging.debits import sponsors
from ocs.charging.model.decision import Decision
from ocs.charging.model.messages import (
    ChargedLine,
    ChargingRecord,
    ChargingReply,
    EventAction,
    Outcome,
    RequestKind,
    ServiceReply,
    ServiceRequest,
    Units,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import NewRecord, RequestKey
from ocs.charging.quotas.contexts import units_of
from ocs.ledger import entries
from ocs.ledger.account import Contra, Hold

_REFERENCE_OCTETS = 16
_SUFFIXES = {"": RequestKind.EVENT, "t": RequestKind.TERMINATION}
"""Kind of the debit by what stands behind its number."""


def make_reference(session_key: bytes, kind: int, number: int) -> str:
    """Return the token by which a later refund names the debit of this request."""
    return f"{session_key.hex()}.{number}" + (".t" if kind == RequestKind.TERMINATION else "")


def reference_of_session(decision: Decision) -> str:
    """Return the token for what the last request of a session cost; "" where none is given."""
    request = decision.request
    if not any(line.unit is EVENTS and (line.taken or line.sponsored) for line in decision.charged):
        return ""
    return make_reference(request.session_key, request.kind, request.number)


def keys_of(account_id: int, reference: str) -> list[RequestKey]:
    """Return the keys of the debit a reference names and of its refund, if it is well-formed."""
    name, _, rest = reference.partition(".")
    number, _, suffix = rest.partition(".")
    kind = _SUFFIXES.get(suffix)
    try:
        session_key = bytes.fromhex(name)
    except ValueError:
        return []
    if (
        kind is None
        or len(session_key) != _REFERENCE_OCTETS
        or not (number.isascii() and number.isdecimal())
        or reference != make_reference(session_key, kind, int(number))
    ):
        return []
    marker = make_session_key(f"refund\x00{reference}", None)
    return [
        RequestKey(account_id, session_key, kind, int(number) & 0xFFFFFFFF),
        RequestKey(account_id, marker, RequestKind.OPERATOR, 0),
    ]


def refund(decision: Decision) -> ChargingReply:
    """Put back what a debit took, or the part that the request names, once per reference."""
    request = decision.request
    keys = keys_of(request.account_id, request.refund_reference)
    answers = decision.working_set.answers
    original = answers.get(keys[0]) if keys else None
    if original is None or not _is_debit(original.record):
        return ChargingReply(
            Outcome.INVALID_VALUE,
            reason="the refund names no debit of this account",
            failed="refund-information",
        )
    if keys[1] in answers:
        return ChargingReply(Outcome.UNABLE_TO_COMPLY, reason="this debit was refunded before")
    shares = _shares(decision, original.record)
    if isinstance(shares, ChargingReply):
        return shares
    decision.posting.contra = Contra.REFUND
    lines = [share.put_back(decision) for share in shares]
    _mark(decision, keys[1])
    return answer(decision, sum(line.charged_micro for line in lines), lines)


def answer(
    decision: Decision, total_micro: int, lines: list[ChargedLine]
) -> ChargingReply:
    """Return the reply to a refund of ``total_micro``; ``lines`` are what it puts back."""
    services = []
    for asked in decision.request.services:
        reply = ServiceReply(
            asked.rating_group, asked.service_identifiers, command_level=asked.command_level
        )
        reply.granted = asked.requested
        services.append(reply)
    request = decision.request
    decision.working_set.ask_sessions(request.account_id, Trigger.TOP_UP, request.received_ns)
    decision.charged.extend(
        ChargedLine(line.service, line.rating_group, line.unit, -line.used, -line.from_buckets,
                    -line.charged_micro, 0, 0, sponsored=line.sponsored)
        for line in lines
    )
    return ChargingReply(
        Outcome.SUCCESS, services, cost_micro=-total_micro,
        currency=decision.state.account.currency,
    )


class _Share:
    """How much of one line of a debit goes back: money and free units."""

    __slots__ = ("free", "line", "micro", "record", "sponsored", "units")

    def __init__(self, line: ChargedLine, record: ChargingRecord) -> None:
        self.line, self.record = line, record
        self.units, self.free, self.micro = line.used, line.from_buckets, line.charged_micro
        self.sponsored = sum(one.units for one in line.sponsored)
        """Units that go back to sponsors."""

    def reduce_to(self, units: int) -> None:
        """Refund so many units only: those paid with money first, in proportion, then those of
        sponsors.
        """
        line = self.line
        paid = line.used - line.from_buckets - self.sponsored
        back = min(units, paid)
        self.sponsored = min(units - back, self.sponsored)
        self.units, self.free = units, units - back - self.sponsored
        self.micro = round_half_up(line.charged_micro * back, paid) if paid else 0

    def reduce_to_money(self, amount_micro: int) -> None:
        """Refund an amount only."""
        self.units = self.free = self.sponsored = 0
        self.micro = amount_micro

    def put_back(self, decision: Decision) -> ChargedLine:
        """Credit the buckets that paid, the last one first; return what went back."""
        decision.posting.service = self.line.service
        if self.line.counted and self.units:
            self._count_back(decision)
        by_id = {bucket.bucket_id: bucket for bucket in decision.state.buckets}
        left = {True: self.micro, False: self.free}
        given: list[Hold] = []
        for entry in reversed(self.line.taken):
            bucket = by_id.get(entry.bucket_id)
            if bucket is None:
                continue
            is_money = bucket.unit == MONEY
            amount = min(entry.amount, left[is_money])
            if amount > 0:
                left[is_money] -= amount
                entries.credit(decision.working_set, bucket, amount, decision.posting)
                given.append(Hold(bucket.bucket_id, amount))
        if self.line.counted and left[True] > 0:
            # The period's total falls by more than this debit was.
            bucket = entries.main_bucket(decision.state)
            entries.credit(decision.working_set, bucket, left[True], decision.posting)
            given.append(Hold(bucket.bucket_id, left[True]))
            left[True] = 0
        line, record = self.line, self.record
        counted_ns = line.counted_ns or record.event_ns
        if self.free and decision.bounded:
            bucket_caps.count_back(decision, given, counted_ns)
        returned = sponsors.give_back(decision, line.sponsored, self.sponsored)
        for one in line.counted:
            prices.hold_anew(
                decision, record.plan, record.catalogue_version, line.service, one
            )
        index = decision.index
        service = index.catalog.services.get(line.service) if index is not None else None
        if service is not None and decision.limited:
            limits.take_back(
                decision, service, line.subscriber_id, self.units, self.micro - left[True],
                counted_ns,
            )  # fmt: skip
        return ChargedLine(
            line.service, line.rating_group, line.unit, self.units, self.free - left[False],
            self.micro - left[True], 0, 0, given, sponsored=returned,
        )


    def _count_back(self, decision: Decision) -> None:
        """Take the units out of the counts of their periods; what goes back is what these fall by
        (K-205).
        """
        line, units = self.line, self.units - self.free - self.sponsored
        counted = sum(one.charged_micro for one in line.counted)
        other = line.charged_micro - counted if self.units == line.used else 0
        self.micro = max(0, other)
        for one in reversed(line.counted):
            back = min(units, one.units)
            units -= back
            self.micro += prices.take_back(
                decision, self.record.plan, self.record.catalogue_version, line.service, one, back
            )


def _is_debit(record: ChargingRecord) -> bool:
    if record.reply.outcome != Outcome.SUCCESS:
        return False
    if record.kind == RequestKind.EVENT:
        return record.action == EventAction.DIRECT_DEBITING
    return bool(record.reply.refund_reference)


def _shares(
    decision: Decision, record: ChargingRecord
) -> list[_Share] | ChargingReply:
    """Return what the request wants back of each line; a reply where it wants what was not paid.

    A request without amounts, or with all that was debited, wants everything.
    """
    charged = record.charged
    asked = [one for one in decision.request.services if _names_amount(one)]
    if not asked:
        return [_Share(line, record) for line in charged]
    shares: list[_Share] = []
    for one in asked:
        service = decision.match(one)
        lines = [line for line in charged if service is not None and line.service == service.code]
        line = lines[0] if lines else charged[0] if len(charged) == 1 else None
        if line is None or any(share.line is line for share in shares):
            return _too_much("the refund asks for a service that was not debited")
        requested = one.requested or Units()
        share = _Share(line, record)
        if requested.money_micro is not None:
            if (
                requested.money_currency not in ("", decision.state.account.currency)
                or not 0 <= requested.money_micro <= line.charged_micro
            ):
                return _too_much("the refund asks for more money than was debited")
            share.reduce_to_money(requested.money_micro)
        else:
            units = units_of(requested, Unit(line.unit))
            # An amount that the client had rated itself has no units, and goes back whole.
            if line.used and (units is None or units > line.used):
                return _too_much("the refund asks for more units than were debited")
            if units is not None and units < line.used:
                share.reduce_to(units)
        shares.append(share)
    return shares


def _names_amount(asked: ServiceRequest) -> bool:
    return asked.requested is not None and asked.requested != Units()


def _too_much(reason: str) -> ChargingReply:
    return ChargingReply(Outcome.INVALID_VALUE, reason=reason, failed="requested-service-unit")


def _mark(decision: Decision, marker: RequestKey) -> None:
    """Store that the reference was used: the key that a second refund meets."""
    request = decision.request
    record = ChargingRecord(
        session_id=request.session_id, sub_session_id=None, kind=RequestKind.OPERATOR, number=0,
        identity="", service_context=request.service_context, origin_host=request.origin_host,
        peer=request.peer, end_to_end=request.end_to_end, event_ns=request.event_ns,
        action=request.action, services=(), attributes=request.attributes,
        reply=ChargingReply(Outcome.SUCCESS), charged=[], balance_micro=0, held_micro=0,
        catalogue_version=0, plan="",
        note=f"refund of {request.refund_reference}",
    )
    decision.working_set.add_record(
        NewRecord(
            marker, decision.working_set.new_request_id(), request.received_ns,
            request.content_hash, record,
        )
    )
