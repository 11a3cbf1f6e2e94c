"""What recorded usage costs under another catalogue: the engine decides the records once more.

The requests of one account are decided in their order by a catalogue that may be a draft, with
money for everything. What was really granted, split at tariff switches and paid from free units
is taken from the records, so that nothing but the prices makes a difference: under the catalogue
that it was charged by, the same usage comes to the same charges. Called by
provisioning.catalogues.whatif.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from ocs.amounts import OCTETS, SECONDS, Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PRICED, Service
from ocs.charging.adoption import same_terms, start_afresh
from ocs.charging.debits.parking import UNRATED
from ocs.charging.engine import decide
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.messages import (
    EVENT,
    INITIAL,
    SUCCESS,
    TERMINATION,
    UPDATE,
    ChargedLine,
    ChargingRecord,
    ChargingRequest,
    EventAction,
    Outcome,
    ServiceReply,
    ServiceRequest,
    TariffSide,
    Units,
)
from ocs.charging.model.profile import ClientProfile
from ocs.charging.model.session import QuotaState, Session
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.charging.quotas.contexts import units_of
from ocs.ledger.account import Account, Bucket, Hold
from ocs.ledger.entries import MAIN_BUCKET

SESSIONS_MAX = 1_000
"""Open sessions of one account that are remembered; of others the records are decided again."""
ENDED_MAX = 64
"""The same of sessions that are over, for usage that is reported late."""
_VERSION = 1
_MONEY_MICRO = 1 << 60
_MAIN_ID = 1
_REPLAYED = ClientProfile("what-if", bound_usage=False)
_IN_SESSION = (INITIAL, UPDATE, TERMINATION)
_NOT_CHARGED = (Outcome.UNKNOWN_SESSION, Outcome.UNABLE_TO_COMPLY, Outcome.USER_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it was stored, with its key."""

    session_key: bytes
    kind: int
    number: int
    received_ns: int
    record: ChargingRecord


@dataclass(frozen=True, slots=True)
class Rerated:
    """What a request comes to; ``unrated`` are the reasons why some of its usage has no price."""

    charged: list[ChargedLine] = field(default_factory=list)
    unrated: tuple[str, ...] = ()


class Rerating:
    """The records of one account, in their order."""

    def __init__(
        self, account_id: int, index: CatalogIndex, policy: DecisionPolicy,
        new_id: Callable[[], int], plans: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Charge by ``index``; ``plans`` are other plans to charge by, by that of the record."""
        self._index = index
        self._plans = plans or {}
        self._new_id = new_id
        self._context = DecisionContext(0, 0, {_VERSION: index}, _VERSION, policy)
        account = Account(account_id, index.catalog.currency, "")
        self._main = Bucket(account_id, _MAIN_ID, 0, MAIN_BUCKET)
        self._state = AccountState(account, [self._main])
        self._sessions: dict[bytes, Session] = {}
        self._ended: dict[bytes, Session] = {}

    def plan_of(self, record: ChargingRecord) -> str:
        """Return the plan that a record is charged by here."""
        return self._plans.get(record.plan, record.plan)

    def is_sold(self, record: ChargingRecord) -> bool:
        """Tell whether the catalogue has the record's plan."""
        return self.plan_of(record) in self._index.catalog.plans

    def needs_history(self, recorded: Recorded) -> bool:
        """Tell whether the records of this session from before must be decided first."""
        key = recorded.session_key
        return (
            recorded.kind in (UPDATE, TERMINATION)
            and key not in self._sessions
            and key not in self._ended
        )

    def rerate(
        self, recorded: Recorded, subscriber_id: int = 0, *, begins: bool = False
    ) -> Rerated:
        """Decide one record that ``is_usage`` and ``is_sold``, of a member of the account.

        With ``begins`` the session begins with it, because nothing is known from before.
        """
        record, key = recorded.record, recorded.session_key
        account = self._state.account
        account.plan = self.plan_of(record)
        session = self._session_of(recorded)
        if session is not None and session.plan != account.plan:
            self._change_plan(session, account.plan)
        _ask_what_was_granted(record)
        _report_what_was_charged(record)
        self._give_free_units(record, session)
        self._main.available = _MONEY_MICRO
        self._context.now_ns = recorded.received_ns
        working_set = WorkingSet(
            {account.account_id: self._state},
            {} if session is None else {key: session},
            {},
            self._new_id,
        )
        request = _request(recorded, INITIAL if begins else recorded.kind)
        request.account_id, request.subscriber_id = account.account_id, subscriber_id
        decide(request, working_set, self._context)
        session = working_set.sessions.get(key)
        if session is not None:
            _settle(session, record)
            for quota in session.quotas:
                quota.holds = [one for one in quota.holds if one.bucket_id == _MAIN_ID]
            self._keep(key, session, ended=recorded.kind == TERMINATION)
        del self._state.buckets[1:]
        return Rerated(
            working_set.records[-1].record.charged if working_set.records else [],
            tuple([one.reason for one in working_set.reviews if one.kind == UNRATED]),
        )

    def _session_of(self, recorded: Recorded) -> Session | None:
        if recorded.kind == EVENT:
            return None
        key = recorded.session_key
        if recorded.kind == INITIAL:
            self._sessions.pop(key, None)
            self._ended.pop(key, None)
            return None
        return self._sessions.get(key) or self._ended.get(key)

    def _keep(self, key: bytes, session: Session, *, ended: bool) -> None:
        if ended or key in self._ended:
            self._sessions.pop(key, None)
            self._ended[key] = session
            if len(self._ended) > ENDED_MAX:
                del self._ended[next(iter(self._ended))]
            return
        self._sessions[key] = session
        if len(self._sessions) > SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]

    def _change_plan(self, session: Session, plan: str) -> None:
        """Charge a session by another plan: what it was granted last was granted under that."""
        index = self._index
        terms_of = index.catalog.plans[plan].terms
        for quota in session.quotas:
            if same_terms(index, session.plan, index, plan, quota.service):
                continue
            zone = quota.zone
            start_afresh(quota)
            terms = terms_of.get(quota.service)
            if terms is not None and terms.mode is PRICED and quota.granted_ns:
                slot = index.tariff_at(terms, zone, quota.granted_ns)
                if slot.rule is not None:
                    quota.rule, quota.zone = slot.rule.code, zone
                    quota.slot_ns = slot.start_ns
        session.plan = plan

    def _give_free_units(self, record: ChargingRecord, session: Session | None) -> None:
        """Give what was paid from free units, to the quotas that it was paid for."""
        given: dict[tuple[int | None, int], list[int]] = {}
        for line in record.charged:
            if line.from_buckets:
                given = _free_units(record)
                break
        if not given:
            return
        services = self._index.catalog.services
        for asked in record.services:
            service = services.get(asked.service) if asked.service else self._index.match_service(
                record.service_context, asked.rating_group, asked.service_identifiers
            )
            if service is None or not (asked.used or record.kind == EVENT):
                continue
            other = services.get(service.together_with)
            for one in (service,) if other is None else (service, other):
                amounts = given.get((asked.rating_group, one.unit))
                if amounts and (amount := amounts.pop(0)):
                    self._give(one, asked, session, amount)

    def _give(
        self, service: Service, asked: ServiceRequest, session: Session | None, amount: int
    ) -> None:
        account_id, buckets = self._state.account.account_id, self._state.buckets
        bucket = Bucket(
            account_id, _MAIN_ID + len(buckets), service.unit, f"free/{service.code}",
            services=(service.code,), measure=service.measure,
        )
        buckets.append(bucket)
        quota = session and session.quota_for(
            service.code, asked.rating_group, asked.service_identifiers
        )
        if quota:
            bucket.held = amount
            quota.holds.append(Hold(bucket.bucket_id, amount))
        else:
            bucket.available = amount


def is_usage(recorded: Recorded) -> bool:
    """Tell whether a record is one of usage: not of a timer or operator, an enquiry or a refund,
    nor one that was refused and charged nothing.
    """
    record = recorded.record
    if recorded.kind == EVENT:
        return (
            record.action == EventAction.DIRECT_DEBITING and record.reply.outcome == SUCCESS
        )
    if recorded.kind == INITIAL:
        return record.reply.outcome == SUCCESS
    return recorded.kind in _IN_SESSION and record.reply.outcome not in _NOT_CHARGED


def _request(recorded: Recorded, kind: int) -> ChargingRequest:
    record = recorded.record
    return ChargingRequest(
        session_id=record.session_id,
        session_key=recorded.session_key,
        sub_session_id=record.sub_session_id,
        kind=kind,
        number=recorded.number,
        received_ns=recorded.received_ns,
        deadline_ns=0,
        content_hash=0,
        service_context=record.service_context,
        services=record.services,
        event_ns=record.event_ns,
        action=record.action,
        attributes=record.attributes,
        profile=_REPLAYED,
    )


def _replies(record: ChargingRecord) -> list[ServiceReply]:
    """Return the reply to each service, without second ones for the time after a switch."""
    return [one for one in record.reply.services if one.tariff_side != TariffSide.AFTER]


def _ask_what_was_granted(record: ChargingRecord) -> None:
    """Leave out of the request what nothing was granted for."""
    if record.kind == EVENT:
        return
    replies = _replies(record)
    for place, asked in enumerate(record.services):
        if asked.requested is not None and (
            place >= len(replies) or replies[place].granted is None
        ):
            asked.requested = None


def _report_what_was_charged(record: ChargingRecord) -> None:
    """Leave out of the reports what was not charged but left to a person (D05)."""
    if record.kind == EVENT:
        return
    charged: dict[tuple[int | None, int], int] = {}
    for line in record.charged:
        key = line.rating_group, line.unit
        charged[key] = charged.get(key, 0) + line.used
    for (rating_group, number), units in charged.items():
        unit = Unit(number)
        reports = [
            used
            for asked in record.services
            if asked.rating_group == rating_group
            for used in asked.used
        ]
        amounts = [units_of(used.units, unit) or 0 for used in reports]
        surplus = sum(amounts) - units
        while surplus > 0:
            used, amount = reports.pop(), amounts.pop()
            left = max(0, amount - surplus)
            surplus -= amount - left
            used.units = _with_amount(used.units, unit, left)


def _with_amount(units: Units, unit: Unit, amount: int) -> Units:
    if unit is OCTETS:
        return replace(units, octets=amount, input_octets=None, output_octets=None)
    return replace(units, seconds=amount) if unit is SECONDS else replace(units, events=amount)


def _settle(session: Session, record: ChargingRecord) -> None:
    """Tell quotas where the client's usage was really split."""
    for reply in _replies(record):
        if reply.granted is None:
            continue
        for quota in session.quotas:
            if _is_of(quota, reply):
                quota.tariff_change_ns = reply.tariff_change_ns


def _is_of(quota: QuotaState, reply: ServiceReply) -> bool:
    return (
        quota.rating_group == reply.rating_group
        and quota.service_identifiers == reply.service_identifiers
    )


def _free_units(record: ChargingRecord) -> dict[tuple[int | None, int], list[int]]:
    """Return what was paid from free units by rating group and unit, in the order of reports."""
    found: dict[tuple[int | None, int], list[int]] = {}
    for line in record.charged:
        if line.used:
            found.setdefault((line.rating_group, line.unit), []).append(line.from_buckets)
    return found
