"""Why a ledger line is what it is: computed again from the catalogue and what was stored.

Called by `ocs why`. The steps are sentences; ``matches`` says whether the recomputed charge is
the one in the ledger.
"""

from dataclasses import dataclass, field
from typing import Any

from ocs.amounts import Measured, Unit, format_amount, format_quantity
from ocs.catalog.conditions import describe
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import TariffSlot
from ocs.errors import RefusedError
from ocs.ledger.account import Bucket, Contra, Movement
from ocs.ledger.entries import TRANSFER_FEE
from ocs.provisioning.catalogues import choices
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers.accounts import find_entry
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.provisioning.proof.recompute import cumulative_micro, fee_micro, is_timed
from ocs.provisioning.usage.recording import CONTEXT as USAGE_CONTEXT
from ocs.provisioning.views import bucket_name, ledger_view, request_view, unit_of
from ocs.rating.explain import explain_seconds, explain_units
from ocs.store.ledger_reports import LedgerLine


@dataclass(slots=True)
class _Explanation:
    """Steps in words, and the charge computed again where there is one."""

    steps: list[str] = field(default_factory=list)
    recomputed_micro: int | None = None
    charged_micro: int = 0
    choice: dict[str, Any] = field(default_factory=choices.none)
    """Why this price held and the others did not."""
    siblings: list[Movement] = field(default_factory=list)
    """All that was taken for this charge."""
    sponsor: str = ""
    """Who paid it instead of the account."""

    @property
    def matches(self) -> bool:
        return self.recomputed_micro is None or self.recomputed_micro == self.charged_micro


def explain(desk: Desk, catalogues: Catalogues, entry: str) -> dict[str, Any]:
    """Return the explanation of the ledger line named REQUEST_ID.LINE.

    Raises UsageError, NotFoundError.
    """
    line = find_entry(desk, entry)
    buckets = {
        bucket.bucket_id: bucket for bucket in desk.reports.buckets(line.movement.account_id)
    }
    explanation = _explain(desk, catalogues, line, buckets)
    recomputed = explanation.recomputed_micro
    return {
        **ledger_view(line, buckets),
        "account_id": str(line.movement.account_id),
        "plan": line.request.record.plan,
        "steps": explanation.steps,
        **explanation.choice,
        "recomputed": None if recomputed is None else format_amount(recomputed),
        "recomputed_micro": recomputed,
        "matches": explanation.matches,
        "request": request_view(line.request),
    }


def _explain(
    desk: Desk, catalogues: Catalogues, line: LedgerLine, buckets: dict[int, Bucket]
) -> _Explanation:
    moved, record = line.movement, line.request.record
    unit = unit_of(moved, buckets)
    bucket = bucket_name(moved, buckets)
    result = _Explanation()
    if moved.contra == Contra.FEE or (moved.contra == Contra.TAX and not moved.service):
        _of_fee(desk, catalogues, line, bucket, result)
        return result
    if moved.contra not in (Contra.REVENUE, Contra.TAX):
        result.steps += _of_operator_or_timer(line, bucket, unit)
        return result
    result.steps.append(_request_words(line))
    if unit is not Unit.MONEY:
        result.steps.append(
            f"{format_quantity(-moved.amount, unit)} were paid from the free units of bucket "
            f"'{bucket}'; free units are used before money"
        )
        return result
    if moved.rule == TRANSFER_FEE and not moved.service:
        result.steps.append(
            f"fee of a transfer by plan '{record.plan}': {format_amount(-moved.amount)} taken "
            f"from bucket '{bucket}'"
        )
        return result
    if not moved.rule:
        result.steps.append(
            f"the client itself asked for {format_amount(-moved.amount)}: no price was applied"
        )
        return result
    try:
        index = catalogues.version(moved.catalogue_version)
        _of_price(desk, index, line, result)
    except RefusedError as error:
        result.steps.append(f"cannot be computed again: {error}")
        return result
    if result.sponsor:
        result.steps.append(f"paid by sponsor '{result.sponsor}': the account pays nothing")
    elif result.charged_micro != -moved.amount:
        result.steps.append(
            "paid in several lines, in the order in which buckets are spent: "
            + ", ".join(
                f"{format_amount(-one.amount)} from '{bucket_name(one, buckets)}'"
                for one in result.siblings
            )
        )
    else:
        result.steps.append(f"{format_amount(-moved.amount)} taken from bucket '{bucket}'")
    if record.anomaly:
        result.steps.append(f"noted: {record.anomaly}")
    return result


def _of_fee(
    desk: Desk, catalogues: Catalogues, line: LedgerLine, bucket: str, result: _Explanation
) -> None:
    """Explain a recurring fee: for which days of which period it is (K-263)."""
    moved, plan = line.movement, line.request.record.plan
    before, after = moved.units_before, moved.units_after
    result.steps.append(
        f"recurring '{moved.rule}' of plan '{plan}', for a period from "
        f"{format_instant(moved.slot_ns)} on"
    )
    if moved.amount >= 0:
        result.steps.append(
            f"{format_amount(moved.amount)} given back to bucket '{bucket}': {before - after} of "
            f"{before} days that were paid had not begun"
        )
        return
    try:
        index = catalogues.version(moved.catalogue_version)
        result.recomputed_micro = fee_micro(index, plan, moved)
    except RefusedError as error:
        result.steps.append(f"cannot be computed again: {error}")
        return
    item = next(one for one in index.catalog.plans[plan].recurring if one.code == moved.rule)
    words = f"catalogue '{index.catalog.name}' version {index.catalog.version}: the fee is "
    words += f"{format_amount(item.fee_micro)} for {after} days"
    if before:
        words += f", of which {after - before} were left: {format_amount(item.fee_micro)} * "
        words += f"{after - before} / {after} = {format_amount(result.recomputed_micro or 0)}"
    result.steps.append(words)
    lines = desk.ledger.lines_of(moved.account_id, moved.request_id)
    fees = [one for one in lines if one.contra in (Contra.FEE, Contra.TAX)]
    result.charged_micro = -sum(one.amount for one in fees)
    if item.tax is not None:
        part = item.tax.part_of(result.recomputed_micro or 0)
        result.steps.append(f"of it {format_amount(part)} is tax: {item.tax.text()}")
    result.steps.append(f"{format_amount(-moved.amount)} taken from bucket '{bucket}'")


def _of_price(desk: Desk, index: CatalogIndex, line: LedgerLine, result: _Explanation) -> None:
    moved, kind, plan = line.movement, line.request.kind, line.request.record.plan
    rule = index.rule(plan, moved.service, moved.rule)
    service = index.catalog.services[moved.service]
    currency = index.catalog.currency
    result.steps.append(
        f"catalogue '{index.catalog.name}' version {index.catalog.version}, plan '{plan}', "
        f"service '{moved.service}'" + (f", {describe(moved.zone)}" if moved.zone else "")
    )
    before = cumulative_micro(index, plan, kind, moved, moved.units_before) or 0
    after = cumulative_micro(index, plan, kind, moved, moved.units_after) or 0
    if is_timed(index, plan, kind, moved):
        terms = index.catalog.plans[plan].terms[moved.service]

        def tariff_at(instant_ns: int) -> TariffSlot:
            return index.tariff_at(terms, moved.zone, instant_ns)

        result.steps.append(f"seconds are counted from {format_instant(moved.slot_ns)}")
        result.steps += explain_seconds(
            tariff_at, moved.slot_ns, currency, moved.units_before, moved.units_after
        )
    else:
        result.steps += explain_units(
            rule, service.counted_in, currency, moved.units_before, moved.units_after
        )
    result.choice = choices.of_charge(
        index, index.catalog.plans[plan].terms[moved.service], rule, moved.zone,
        (moved.slot_ns, moved.event_ns),
    )  # fmt: skip
    result.siblings = [
        other
        for other in desk.ledger.lines_of(moved.account_id, moved.request_id)
        if _context(other) == _context(moved)
    ]
    result.charged_micro = -sum(other.amount for other in result.siblings)
    result.recomputed_micro = after - before
    result.sponsor = rule.sponsor
    tax = index.catalog.plans[plan].terms[moved.service].tax
    if tax is not None:
        part = tax.part_of(after) - tax.part_of(before)
        result.steps.append(
            f"of it {format_amount(part)} is tax, {tax.text()}: "
            f"{format_amount(tax.part_of(after))} of {format_amount(after)} in all, "
            f"{format_amount(tax.part_of(before))} of {format_amount(before)} before"
        )


def _context(movement: Movement) -> tuple[object, ...]:
    return (
        movement.contra in (Contra.REVENUE, Contra.TAX), movement.unit, movement.service,
        movement.rule, movement.zone, movement.slot_ns, movement.units_before, movement.units_after,
    )  # fmt: skip


def _request_words(line: LedgerLine) -> str:
    record = line.request.record
    kind = {1: "initial", 2: "update", 3: "termination", 4: "event"}.get(
        line.request.kind, "operator's"
    )
    if record.service_context == USAGE_CONTEXT:
        received = format_instant(line.request.received_ns)
        return f"usage with key {record.session_id}, received {received}"
    session = f" of session {record.session_id}" if record.session_id else ""
    sender = f" from {record.origin_host}" if record.origin_host else ""
    return (
        f"{kind} request number {line.request.number}{session}{sender}, received "
        f"{format_instant(line.request.received_ns)}"
    )


def _of_operator_or_timer(line: LedgerLine, bucket: str, unit: Measured) -> list[str]:
    moved, record = line.movement, line.request.record
    amount = format_quantity(abs(moved.amount), unit)
    what = {
        Contra.TOP_UP: f"top-up of {amount} into bucket '{bucket}'",
        Contra.ADJUSTMENT: (
            f"adjustment of bucket '{bucket}' by {'-' if moved.amount < 0 else '+'}{amount}"
        ),
        Contra.REFUND: f"refund of {amount} into bucket '{bucket}'",
        Contra.TRANSFER: (
            f"transfer of {amount} "
            + (f"to {moved.rule} from" if moved.amount < 0 else f"from {moved.rule} into")
            + f" bucket '{bucket}'"
        ),
        Contra.EXCHANGE: (
            f"exchange of {amount} "
            + ("out of" if moved.amount < 0 else "into")
            + f" bucket '{bucket}' at the rate {moved.rule}, rounded down"
        ),
        Contra.BONUS: f"bonus '{moved.rule}' of a top-up: {amount} into bucket '{bucket}'",
        Contra.SPONSOR: (
            f"{amount} paid by sponsor '{moved.rule}' for the charge in the next line"
            if moved.amount > 0 else f"{amount} given back to sponsor '{moved.rule}'"
        ),
        Contra.EXPIRY: f"{amount} expired in bucket '{bucket}'",
        Contra.ALLOWANCE: f"{amount} given by plan '{record.plan}' as bucket '{bucket}'",
        Contra.CARRIED_FORWARD: (
            f"sum of older lines of side '{moved.rule}' of bucket '{bucket}' that were pruned"
        ),
    }.get(Contra(moved.contra), f"{amount} in bucket '{bucket}'")
    steps = [what]
    if moved.contra == Contra.REFUND and moved.rule:
        steps.append(f"it gives back entry {moved.rule}")
    if moved.contra == Contra.EXCHANGE and not record.operator:
        steps.append("because the account's own money was short of what this request took or held")
    if record.operator:
        reason = f", because: {record.note}" if record.note else ""
        steps.append(f"by {record.operator} at {format_instant(line.request.received_ns)}{reason}")
    elif record.note:
        steps.append(record.note)
    return steps
