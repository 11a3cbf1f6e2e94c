"""Usage of any service that is recorded, not asked for by a gateway: charged once for each key.

A neutral direct debit by the name of the service goes through the same engine and store as a
gateway's (K-310 to K-316, K-334). Called by `ocs usage record`, and for each row by usage_import.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ocs.amounts import Measured, Unit, format_quantity, measured, parse_quantity
from ocs.catalog.loading.units import ATTRIBUTE_VALUE
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Service
from ocs.charging import engine
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingRequest,
    EventAction,
    Identity,
    Outcome,
    RatingAttributes,
    RequestKind,
    ServiceRequest,
    Units,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, StoredAnswer, WorkingSet
from ocs.clock import NS_PER_SECOND, made_ns
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.marked import unknown_word
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.desk import Desk, Found, find_subscriber
from ocs.provisioning.instants import format_instant
from ocs.provisioning.published import History
from ocs.provisioning.views import money
from ocs.store.schema import SETTING_PRUNED_BEFORE

CONTEXT = "usage"
"""What records have in the place of a Service-Context-Id."""
KEY_MAX = 200
AHEAD_SECONDS = 300
"""How far ahead of our clock usage may be: clocks differ."""
_VALUE = re.compile(ATTRIBUTE_VALUE)
_NUMBER = re.compile(r"\+?([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Usage:
    """Some usage, as a person or a file says it. Texts that are empty say nothing."""

    key: str
    """Names it: the same again is not charged again."""
    service: str
    quantity: str
    at_ns: int = 0
    """When it was used (ns UTC); 0 = now."""
    destination: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


class Rates:
    """The catalogue in force, and those that were when late usage was used. For a short while."""

    def __init__(self, desk: Desk, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self.current = catalogues.current()
        self.history = History(desk.store, self.current)
        self._schedule = catalogues.schedule()
        self._now_ns = desk.clock.now_ns()
        pruned_ns = int(desk.store.setting(SETTING_PRUNED_BEFORE) or 0)
        self.known_from_ns = pruned_ns + AHEAD_SECONDS * NS_PER_SECOND if pruned_ns else 0
        """Records of all usage from then on are there to say whether it was charged."""

    def then(self, at_ns: int) -> CatalogIndex:
        """Return the catalogue of an instant: that in force where there was none yet."""
        if at_ns >= self._now_ns:
            return self.current
        version = self._schedule.then(at_ns)
        return self._catalogues.version(version) if version else self.current


@dataclass(frozen=True, slots=True)
class Prepared:
    """Usage that the catalogue knows, ready to be decided."""

    request: ChargingRequest
    measure: Measured
    key: str
    current: CatalogIndex
    then: CatalogIndex
    """That of when it was used."""
    history: History
    """Those of what is overdue for the account."""

    def index_for(self, plan: str) -> CatalogIndex:
        """Return the catalogue that it is charged by under a plan (K-316): that of its time, or
        the present one where the other did not sell it.
        """
        (asked,) = self.request.services
        catalog = self.then.catalog
        service, sold = catalog.services.get(asked.service), catalog.plans.get(plan)
        if (
            service is not None
            and sold is not None
            and service.code in sold.terms
            and service.counted_in == self.measure
        ):
            return self.then
        return self.current

    @property
    def request_key(self) -> RequestKey:
        """What it is known by in the store."""
        return engine.key_of(self.request)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recorded usage came to."""

    account_id: int
    request_id: int
    record: ChargingRecord
    key: str
    repeated: bool
    """The key was known: nothing moved now, this is what was stored."""

    @property
    def charged_micro(self) -> int:
        """Money that was taken."""
        return sum(line.charged_micro for line in self.record.charged)

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        record = self.record
        (asked,) = record.services
        line = record.charged[0]
        unit = measured(line.unit, line.measure)
        return {
            "account_id": str(self.account_id),
            "request_id": str(self.request_id),
            "entry": f"{self.request_id}.0" if line.taken else "",
            "key": self.key,
            "service": asked.service,
            "unit": unit.label,
            "quantity": line.used,
            "quantity_text": format_quantity(line.used, unit),
            "from_buckets": line.from_buckets,
            "from_buckets_text": format_quantity(line.from_buckets, unit),
            **money("charged", self.charged_micro),
            "currency": record.reply.currency,
            "at": format_instant(record.event_ns),
            "attributes": dict(record.attributes.named),
            "plan": record.plan,
            "catalogue_version": record.catalogue_version,
            **money("balance", record.balance_micro),
            **money("held", record.held_micro),
            "repeated": self.repeated,
        }


def record(
    desk: Desk, catalogues: Catalogues, subscriber: str, usage: Usage, *, into_debt: bool = False
) -> Recorded:
    """Charge usage of a subscriber once; the same key answers what was stored.

    ``into_debt`` charges it also when the account cannot pay. Raises UsageError, NotFoundError,
    ConflictError when the key was used with other content, and RefusedError: then nothing is
    stored, and the same key may come again.
    """
    found = find_subscriber(desk, subscriber)
    rates = Rates(desk, catalogues)
    prepared = prepare(desk, rates, found, usage, into_debt=into_debt)

    def decide(working_set: WorkingSet) -> Recorded:
        done = decide_one(desk, prepared, working_set)
        if not done.repeated:
            working_set.actions.append(
                desk.action(
                    "usage record", found.name, found.account_id, key=usage.key,
                    service=usage.service, quantity=usage.quantity,
                )
            )  # fmt: skip
        return done

    return desk.store.transact([prepared.request_key], decide, "usage record")


def prepare(
    desk: Desk, rates: Rates, found: Found, usage: Usage, *, into_debt: bool = False
) -> Prepared:
    """Return the request that usage makes. Raises UsageError, NotFoundError."""
    if not 0 < len(usage.key) <= KEY_MAX or not usage.key.isprintable():
        raise UsageError(f"a key is 1 to {KEY_MAX} printable characters")
    index = rates.current
    service = index.catalog.services.get(usage.service)
    if service is None:
        known = index.catalog.services
        raise NotFoundError(unknown_word(usage.service, "no service of the catalogue", known))
    try:
        units = parse_quantity(usage.quantity, service.counted_in)
    except ValueError as error:
        raise UsageError(str(error)) from None
    now_ns = desk.clock.now_ns()
    if usage.at_ns > now_ns + AHEAD_SECONDS * NS_PER_SECOND:
        raise UsageError(f"{format_instant(usage.at_ns)} is in the future")
    if 0 < usage.at_ns < rates.known_from_ns:
        raise UsageError(
            f"it was used before {format_instant(rates.known_from_ns)}: the records of that time "
            "are pruned, and nobody knows whether it was charged"
        )
    named = _named(index, usage.attributes)
    number = _number(service, usage.destination)
    kind, _, value = found.name.partition(":")
    request = ChargingRequest(
        session_id=usage.key,
        session_key=make_session_key(f"usage\x00{usage.key}", None),
        kind=RequestKind.EVENT,
        number=0,
        received_ns=now_ns,
        deadline_ns=0,
        content_hash=_content(service.code, units, usage.at_ns, number, named),
        service_context=CONTEXT,
        identities=(Identity(kind, value),),
        services=(ServiceRequest(requested=_units(units, service.unit), service=service.code),),
        event_ns=usage.at_ns or now_ns,
        action=EventAction.DIRECT_DEBITING,
        attributes=RatingAttributes(called_party=number, named=named),
        account_id=found.account_id,
        subscriber_id=found.subscriber_id,
        overdraw=into_debt,
    )
    then = rates.then(request.event_ns)
    return Prepared(request, service.counted_in, usage.key, index, then, rates.history)


def decide_one(desk: Desk, prepared: Prepared, working_set: WorkingSet) -> Recorded:
    """Decide prepared usage inside a transaction that has loaded its key.

    Raises ConflictError and RefusedError; then the working set is as if it had not been asked.
    """
    request, key = prepared.request, prepared.request_key
    stored = working_set.answers.get(key)
    if stored is not None:
        return _repeated(prepared, stored)
    _check_opened(request)
    state = working_set.accounts.get(key.account_id)
    index = prepared.index_for(state.account.plan if state is not None else "")
    request.catalogue_version = index.catalog.version
    current = prepared.current.catalog.version
    known = prepared.history
    known[index.catalog.version] = index
    context = engine.DecisionContext(
        desk.clock.now_ns(), 0, known, current, desk.policy, known.version_at
    )
    reply = engine.decide(request, working_set, context)
    if reply.outcome != Outcome.SUCCESS:
        working_set.forget(key)
        reason = reply.reason or next((one.reason for one in reply.services if one.reason), "")
        raise RefusedError(reason or f"it was refused: {Outcome(reply.outcome).name.lower()}")
    answer = working_set.answers[key]
    answer.record.operator, answer.record.note = desk.operator, desk.reason
    return Recorded(key.account_id, answer.request_id, answer.record, prepared.key, repeated=False)


def _check_opened(request: ChargingRequest) -> None:
    """Refuse usage from before the account was opened (K-334): nobody sold it to this customer."""
    opened_ns = made_ns(request.account_id)
    if request.event_ns + AHEAD_SECONDS * NS_PER_SECOND < opened_ns:
        raise RefusedError(
            f"it was used at {format_instant(request.event_ns)}, before the account was opened at "
            f"{format_instant(opened_ns)}: if the customer owes it all the same, take the amount "
            "with `ocs account adjust`"
        )


def _repeated(prepared: Prepared, stored: StoredAnswer) -> Recorded:
    request = prepared.request
    if stored.content_hash == request.content_hash:
        return Recorded(
            request.account_id, stored.request_id, stored.record, prepared.key, repeated=True
        )
    before, now = stored.record, request
    was = _words(before.services, before.attributes, before.event_ns, prepared.measure)
    wanted = _words(now.services, now.attributes, now.event_ns, prepared.measure)
    differences = [
        f"{name} was '{was[name]}', now '{wanted[name]}'"
        for name in was
        if was[name] != wanted[name]
    ]
    raise ConflictError(
        f"key '{prepared.key}' was used before with other content: "
        + ("; ".join(differences) or "the time was given, or not")
    )


def _words(
    services: Sequence[ServiceRequest], attributes: RatingAttributes, event_ns: int,
    measure: Measured,
) -> dict[str, str]:  # fmt: skip
    asked = services[0] if services else ServiceRequest()
    units = asked.requested or Units()
    counts = (units.octets, units.seconds, units.events)
    count = next((value for value in counts if value is not None), 0)
    return {
        "service": asked.service,
        "quantity": format_quantity(count, measure),
        "time": format_instant(event_ns),
        "destination": attributes.called_party,
        "attributes": " ".join(f"{name}={value}" for name, value in attributes.named),
    }


def _content(
    service: str, units: int, at_ns: int, number: str, named: tuple[tuple[str, str], ...]
) -> int:
    """Return 63 bits over everything that a repeat with the same key must have alike."""
    parts = [service, str(units), str(at_ns), number, *(f"{one}={value}" for one, value in named)]
    text = "\x00".join(parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def _units(units: int, unit: Unit) -> Units:
    if unit is Unit.OCTETS:
        return Units(octets=units)
    return Units(seconds=units) if unit is Unit.SECONDS else Units(events=units)


def _named(
    index: CatalogIndex, attributes: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Return attributes in the order of the catalogue. Raises UsageError."""
    declared = index.catalog.attributes
    said = dict(attributes)
    if len(said) < len(attributes):
        raise UsageError("an attribute is given twice")
    for name, value in attributes:
        known = declared.get(name)
        if known is None:
            names = ", ".join(declared) or "none"
            raise UsageError(f"the catalogue declares no attribute '{name}'; it has {names}")
        if known and value not in known:
            raise UsageError(f"'{value}' is no value of '{name}'; it has {', '.join(known[:40])}")
        if not _VALUE.fullmatch(value):
            raise UsageError(
                f"{name} is '{value[:80]}', but a value is a word without spaces and commas, at "
                "most 64 long"
            )
    return tuple((name, said[name]) for name in declared if name in said)


def _number(service: Service, destination: str) -> str:
    if not destination:
        return ""
    match = _NUMBER.fullmatch(destination.strip())
    if match is None:
        raise UsageError(f"'{destination}' is no number in international format")
    if not service.destination_rated:
        raise UsageError(f"service '{service.code}' is not rated by destination")
    return match[1]
