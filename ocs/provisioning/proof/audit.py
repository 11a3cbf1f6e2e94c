"""The audit: everything stored must add up to the last micro unit (section 5.2).

    1  every bucket's balance is the sum of its movements, each of which has its request
    2  what buckets hold is what open sessions hold; closed sessions hold nothing
    3  money is beyond the credit limit only by flagged over-usage; units are never negative
    4  every charge is what its catalogue says, each session's debits follow each other, and
       their sum is what the session says
    6  every request has one answer, and every request to a client is finished or due

Reads one snapshot account by account, so the server may go on meanwhile. Called by `ocs audit`
and by tests.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from ocs.amounts import Unit, format_amount
from ocs.catalog.exchange import purse_currency
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import exchange
from ocs.charging.accounts.agenda import due_ns_of
from ocs.charging.counts import counters
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import Session, SessionState
from ocs.currencies import NUMERIC_BY_CODE
from ocs.errors import RefusedError
from ocs.ledger.account import Account, Contra, Movement
from ocs.ledger.invariants import check_account
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.desk import Desk
from ocs.provisioning.proof.recompute import cumulative_micro, fee_micro, fee_tax
from ocs.provisioning.views import label
from ocs.store.audit_reports import AuditedAccount, AuditReports, UsageLine


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that does not add up."""

    account_id: int
    message: str


@dataclass(slots=True)
class Totals:
    """What went through the sides of one currency or unit, and what the buckets have of it."""

    sides: Counter[str] = field(default_factory=Counter)
    buckets: int = 0


@dataclass(slots=True)
class AuditResult:
    """Counts and sums over everything; ``violations`` is empty when all is well."""

    accounts: int = 0
    buckets: int = 0
    movements: int = 0
    requests: int = 0
    sessions_open: int = 0
    sessions_closed: int = 0
    totals: dict[str, Totals] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything adds up."""
        return not self.violations


def run(
    desk: Desk, catalogues: Catalogues, progress: Callable[[int], None] = lambda _count: None
) -> AuditResult:
    """Audit the whole database; ``progress`` is called with the number of accounts done."""
    result = AuditResult()
    with desk.reader.snapshot() as connection:
        reports = AuditReports(connection)
        for page in reports.pages():
            by_id = {one.account.account_id: one for one in page}
            for one in page:
                _audit_account(one, result)
            lines = reports.usage_lines(min(by_id), max(by_id))
            _audit_charges(by_id, lines, catalogues, result)
            progress(result.accounts)
        for table, count in reports.strangers().items():
            result.violations.append(
                Violation(0, f"{count} rows of {table} belong to accounts that do not exist")
            )
        result.violations += (
            Violation(account_id, f"request {number} to a client will never be finished")
            for account_id, number in reports.forgotten_requests()
        )
    _check_totals(result)
    return result


def view(result: AuditResult) -> dict[str, Any]:
    """Return the result as JSON."""
    return {
        "clean": result.clean,
        "accounts": result.accounts,
        "buckets": result.buckets,
        "movements": result.movements,
        "requests": result.requests,
        "sessions_open": result.sessions_open,
        "sessions_closed": result.sessions_closed,
        "totals": [
            _totals_view(name, totals) for name, totals in sorted(result.totals.items())
        ],
        "violations": [
            {"account_id": str(one.account_id), "message": one.message}
            for one in result.violations
        ],
    }


def _totals_view(name: str, totals: Totals) -> dict[str, Any]:
    is_money = name in NUMERIC_BY_CODE

    def text(amount: int) -> str:
        return format_amount(amount) if is_money else str(amount)

    sum_of_sides = sum(totals.sides.values())
    return {
        "unit": name,
        "sides": [
            {"side": side, "amount": amount, "amount_text": text(amount)}
            for side, amount in sorted(totals.sides.items())
        ],
        "into_buckets": sum_of_sides,
        "into_buckets_text": text(sum_of_sides),
        "in_buckets": totals.buckets,
        "in_buckets_text": text(totals.buckets),
        "difference": sum_of_sides - totals.buckets,
    }


def _counted_in(account: Account, unit: int, measure: str) -> str:
    """Return what a total is of: a currency, be it a purse's, a named unit, or a plain one."""
    if unit == Unit.MONEY:
        return account.currency
    return purse_currency(measure) or measure or Unit(unit).label


def _audit_account(one: AuditedAccount, result: AuditResult) -> None:
    account = one.account
    result.accounts += 1
    result.buckets += len(one.buckets)
    result.requests += one.requests
    moved: Counter[int] = Counter()
    counted_in = {
        bucket.bucket_id: _counted_in(account, bucket.unit, bucket.measure)
        for bucket in one.buckets
    }
    for side in one.sides:
        moved[side.bucket_id] += side.amount
        result.movements += side.movements
        name = counted_in.get(side.bucket_id) or _counted_in(account, side.unit, "")
        totals = result.totals.setdefault(name, Totals())
        totals.sides[side.carried or label(side.contra, Contra)] += side.amount
    for bucket in one.buckets:
        result.totals.setdefault(counted_in[bucket.bucket_id], Totals()).buckets += bucket.balance
    still_open = [session for session in one.sessions if session.state == SessionState.OPEN]
    result.sessions_open += len(still_open)
    result.sessions_closed += len(one.sessions) - len(still_open)
    holds = [hold for session in still_open for quota in session.quotas for hold in quota.holds]
    problems = check_account(account, one.buckets, moved, holds)
    problems += counters.check(account, one.sessions)
    if account.due_ns != due_ns_of(account):
        problems.append(
            f"account {account.account_id} is due at {account.due_ns}, its agenda says "
            f"{due_ns_of(account)}"
        )
    problems += [
        f"session {session.session_id} is closed and still holds something"
        for session in one.sessions
        if session.state != SessionState.OPEN and any(quota.holds for quota in session.quotas)
    ]
    problems += [f"entry {entry} has no request" for entry in one.orphan_movements]
    if one.repeated_answers:
        problems.append(f"{one.repeated_answers} requests have more than one answer")
    result.violations += (Violation(account.account_id, text) for text in problems)


def _audit_charges(
    by_id: dict[int, AuditedAccount], lines: Iterator[UsageLine], catalogues: Catalogues,
    result: AuditResult,
) -> None:  # fmt: skip
    """Check the prices of a page's charges, and that they make up what the sessions say."""
    seen: set[int] = set()
    for account_id, own in groupby(lines, key=lambda line: line.movement.account_id):
        one = by_id.get(account_id)
        if one is None:
            continue
        seen.add(account_id)
        problems = _Charges(catalogues).check(own, one.sessions)
        result.violations += (Violation(account_id, text) for text in problems)
    for account_id, one in by_id.items():
        if account_id not in seen and any(session.charged_micro for session in one.sessions):
            problems = _Charges(catalogues).check(iter(()), one.sessions)
            result.violations += (Violation(account_id, text) for text in problems)


class _Charges:
    """The usage lines of one account, taken request by request."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self._ends: dict[tuple[object, ...], Counter[int]] = {}
        self._sums: Counter[bytes] = Counter()
        self._problems: list[str] = []

    def check(self, lines: Iterator[UsageLine], sessions: list[Session]) -> list[str]:
        """Return what is wrong with these lines and with the sessions' own counts."""
        for _, of_request in groupby(lines, key=lambda line: line.movement.request_id):
            self._check_request(list(of_request))
        for session in sessions:
            charged = self._sums[session.key]
            if charged != session.charged_micro:
                self._problems.append(
                    f"session {session.session_id} says it was charged "
                    f"{session.charged_micro}, its movements sum to {charged}"
                )
            for quota in session.quotas:
                for context in quota.contexts:
                    self._check_context(session, quota.service, context)
        return self._problems

    def _check_request(self, lines: list[UsageLine]) -> None:
        exchanged = [one.movement for one in lines if one.movement.contra == Contra.EXCHANGE]
        if exchanged:
            self._check_exchange(exchanged)
            lines = [one for one in lines if one.movement.contra != Contra.EXCHANGE]
        if any(line.movement.contra == Contra.FEE for line in lines):
            self._check_fee(lines)
            return
        groups: dict[tuple[object, ...], list[UsageLine]] = {}
        lines, sponsored = _sponsored(lines)
        for moved, key, kind in sponsored:
            if kind != RequestKind.EVENT:
                self._sums[key] -= moved.amount
        for line in lines:
            if line.movement.unit != Unit.MONEY:
                continue
            if line.record.kind != RequestKind.EVENT:
                # An event belongs to no session, not even to one whose Session-Id it has.
                self._sums[line.session_key] -= line.movement.amount
            if line.movement.rule:
                groups.setdefault(_posting_of(line.movement), []).append(line)
        for group in groups.values():
            self._check_posting(group)
            self._check_sponsor(group, [moved for moved, _, _ in sponsored])

    def _check_sponsor(self, group: list[UsageLine], sponsored: list[Movement]) -> None:
        """Check that a charge with a sponsor is paid by him, and no other charge is (K-216)."""
        moved = group[0].movement
        try:
            index = self._catalogues.version(moved.catalogue_version)
            sponsor = index.rule(group[0].record.plan, moved.service, moved.rule).sponsor
        except RefusedError:
            return
        charged = -sum(line.movement.amount for line in group) if sponsor else 0
        paid = sum(
            one.amount for one in sponsored
            if _posting_of(replace(one, rule=moved.rule)) == _posting_of(moved)
            and (not sponsor or one.rule == sponsor)
        )
        if paid != charged:
            self._problems.append(
                f"entry {moved.request_id}.{moved.line}: sponsors paid {paid}, they owe {charged}"
            )

    def _check_tax(
        self, group: list[UsageLine], index: CatalogIndex, before: int, after: int, times: int
    ) -> None:
        moved, plan = group[0].movement, group[0].record.plan
        tax = index.catalog.plans[plan].terms[moved.service].tax
        part = (tax.part_of(after) - tax.part_of(before)) * times if tax is not None else 0
        found = -sum(
            line.movement.amount for line in group if line.movement.contra == Contra.TAX
        )
        if found != part:
            self._problems.append(
                f"entry {moved.request_id}.{moved.line} has {found} of tax, its price has {part}"
            )

    def _check_exchange(self, moved: list[Movement]) -> None:
        problem = exchange.problem_of(moved)
        if problem:
            self._problems.append(f"request {moved[0].request_id}: {problem}")

    def _check_fee(self, lines: list[UsageLine]) -> None:
        moved = lines[0].movement
        charged = -sum(line.movement.amount for line in lines)
        entry = f"{moved.request_id}.{moved.line}"
        try:
            index = self._catalogues.version(moved.catalogue_version)
            fee = fee_micro(index, lines[0].record.plan, moved)
            tax = fee_tax(index, lines[0].record.plan, moved)
        except RefusedError as error:
            self._problems.append(f"entry {entry} cannot be computed again: {error}")
            return
        if fee is None:
            return
        taxed = -sum(line.movement.amount for line in lines if line.movement.contra == Contra.TAX)
        part = tax.part_of(fee) if tax is not None else 0
        if (fee, part) != (charged, taxed):
            self._problems.append(
                f"entry {entry} took {charged} with {taxed} of tax, the fee is {fee} with {part}"
            )

    def _check_posting(self, group: list[UsageLine]) -> None:
        first = group[0]
        moved, record = first.movement, first.record
        entry = f"{moved.request_id}.{moved.line}"
        try:
            index = self._catalogues.version(moved.catalogue_version)
            before, after = (
                cumulative_micro(index, record.plan, record.kind, moved, units) or 0
                for units in (moved.units_before, moved.units_after)
            )
        except RefusedError as error:
            self._problems.append(f"entry {entry} cannot be priced again: {error}")
            return
        charged = -sum(line.movement.amount for line in group)
        # Quotas of one service can be at the same count in one request: then their postings look
        # alike and come together here.
        alike = sum(1 for line in record.charged if line.service == moved.service)
        if charged not in {(after - before) * times for times in range(1, max(alike, 1) + 1)}:
            self._problems.append(
                f"entry {entry} charged {charged}, its price is {after - before}"
            )
            return
        if index.rule(record.plan, moved.service, moved.rule).price.counted:
            # Sessions and events share its count, and refunds take from it: no chain of debits.
            return
        times = charged // (after - before) if after != before else 1
        self._check_tax(group, index, before, after, times)
        ends = self._ends.setdefault(
            (first.session_key, moved.service, moved.rule, moved.zone, moved.slot_ns), Counter()
        )
        if before and ends[before] < times:
            self._problems.append(
                f"entry {entry} begins at a cost of {before}, where no charge before it ended"
            )
        if before:
            ends[before] -= times
        ends[after] += times

    def _check_context(self, session: Session, service: str, context: Any) -> None:
        if not context.rule:
            return
        moved = Movement(
            session.account_id, 0, 0, 0, Unit.MONEY, Contra.REVENUE, 0, 0, service=service,
            rule=context.rule, zone=context.zone, slot_ns=context.slot_ns,
        )  # fmt: skip
        try:
            index = self._catalogues.version(session.catalogue_version)
            cost = cumulative_micro(index, session.plan, 0, moved, context.paid_units) or 0
        except RefusedError as error:
            self._problems.append(f"session {session.session_id} cannot be priced again: {error}")
            return
        if cost != context.charged_micro:
            self._problems.append(
                f"session {session.session_id} was charged {context.charged_micro} for "
                f"{context.paid_units} units of '{service}', which cost {cost}"
            )


def _sponsored(
    lines: list[UsageLine],
) -> tuple[list[UsageLine], list[tuple[Movement, bytes, int]]]:
    """Return the charges of a request, and what sponsors paid of them; what went back to them in
    a refund is neither.
    """
    charges = [line for line in lines if line.movement.contra != Contra.SPONSOR]
    if len(charges) == len(lines):
        return lines, []
    numbers = {line.movement.line for line in charges}
    return charges, [
        (line.movement, line.session_key, line.record.kind)
        for line in lines
        if line.movement.contra == Contra.SPONSOR and line.movement.line + 1 in numbers
    ]


def _posting_of(moved: Movement) -> tuple[object, ...]:
    return (
        moved.service, moved.rule, moved.zone, moved.slot_ns, moved.units_before,
        moved.units_after,
    )  # fmt: skip


def _check_totals(result: AuditResult) -> None:
    for name, totals in result.totals.items():
        if sum(totals.sides.values()) != totals.buckets:
            result.violations.append(
                Violation(
                    0,
                    f"{name}: {sum(totals.sides.values())} went into buckets, "
                    f"which have {totals.buckets}",
                )
            )
        given = totals.sides[label(Contra.TRANSFER, Contra)]
        if given:
            result.violations.append(
                Violation(0, f"{name}: what accounts gave each other differs by {given}")
            )
