"""Whether what the server has charged is what the simulator has used, to the last unit.

Pure: from the simulator's own account (`own_account`) and what the server says (`statements`).
A request that nobody answered may be in the books or not; if it is, it is there once and in full.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from protocol.credit_control import RequestedAction
from simulators.reports.verdict import Verdict
from simulators.scenarios.expectations import Expectation, money_text
from simulators.scenarios.populations import Subscribers
from simulators.verdicts.judging import title
from simulators.verdicts.own_account import OwnAccount, OwnRequest, OwnSession
from simulators.verdicts.statements import ChargedRequest, ChargedSession, Statement
from simulators.verdicts.tallies import Groups

SHOWN_MAX = 20
"""Discrepancies that a verdict names; the others are counted."""
_NAMES = {1: "initial request", 2: "update", 3: "termination", 4: "event"}


def discrepancies(own: OwnAccount, statements: list[Statement]) -> list[str]:
    """Everything in which the books differ from the simulator's own account."""
    sessions = own.subscribers()
    found: list[str] = []
    for statement in statements:
        mine = sessions.get(statement.identities, [])
        found += [f"{statement.name}: {words}" for words in _of_subscriber(statement, mine)]
    return found


def _of_subscriber(statement: Statement, mine: list[OwnSession]) -> Iterator[str]:
    if not statement.known:
        if any(session.began for session in mine):
            yield "the server has answered but does not know the subscriber"
        return
    yield from statement.findings
    for session in mine:
        charged = statement.sessions.get(session.session_id)
        for words in _of_session(session, charged):
            yield f"{session.session_id}: {words}"
    balance, expected = statement.balance_micro, statement.expected_balance_micro
    if balance is not None and expected is not None and balance != expected:
        yield f"the balance is {money_text(balance)}, but the entries make {money_text(expected)}"
    yield from _against_before(statement, mine)
    if statement.held_micro and all(session.over for session in mine):
        yield f"{money_text(statement.held_micro)} is held although every session has ended"


def _against_before(statement: Statement, mine: list[OwnSession]) -> Iterator[str]:
    before, after = statement.before_micro, statement.balance_micro
    costs = [
        None if one is None else one.charged_micro
        for one in (statement.sessions.get(session.session_id) for session in mine)
    ]
    if before is None or after is None or None in costs:
        return
    spent = sum(cost for cost in costs if cost is not None)
    due = before + statement.topped_up_micro - spent
    if after != due:
        yield (
            f"the balance is {money_text(after)}, but {money_text(before)} before, topped up by"
            f" {money_text(statement.topped_up_micro)} and charged {money_text(spent)}, it has to"
            f" be {money_text(due)}"
        )


def _of_session(session: OwnSession, charged: ChargedSession | None) -> Iterator[str]:
    if charged is None:
        if any(_low(request) for request in session.requests.values()):
            yield "what was used and answered is not in the books"
        return
    if charged.requests is not None:
        yield from _of_requests(session, charged.requests)
    if charged.used is not None:
        yield from _of_sums(session, charged.used)
    cost, price = charged.charged_micro, charged.price_micro
    if cost is not None and price is not None and cost != price:
        yield f"charged {money_text(cost)}, but what was used costs {money_text(price)}"
    yield from _of_sponsors(charged)


def _of_sponsors(charged: ChargedSession) -> Iterator[str]:
    paid, prices = charged.sponsored, charged.sponsored_price
    if paid is None or prices is None:
        return
    for name in sorted({*paid, *prices}):
        cost, price = paid.get(name, 0), prices.get(name, 0)
        if cost != price:
            yield (
                f"charged {money_text(cost)} to sponsor '{name}', but what was used costs him"
                f" {money_text(price)}"
            )


def _of_requests(session: OwnSession, charged: list[ChargedRequest]) -> Iterator[str]:
    times = Counter((one.kind, one.number) for one in charged)
    for (kind, number), count in times.items():
        words = f"{_NAMES.get(kind, 'request')} {number}"
        if (kind, number) not in session.requests:
            yield f"{words} is in the books and was never sent"
        elif count > 1:
            yield f"{words} is in the books {count} times"
    by_key = {(one.kind, one.number): one for one in charged}
    for key, request in session.requests.items():
        stored = by_key.get(key)
        words = f"{_NAMES.get(request.kind, 'request')} {request.number}"
        if stored is not None:
            for difference in _of_request(request, stored):
                yield f"{words}: {difference}"
        elif _low(request):
            yield f"{words} was answered and is not in the books"


def _of_request(request: OwnRequest, stored: ChargedRequest) -> Iterator[str]:
    """Compare by rating group, in the units that the server charges in."""
    certain: Counter[tuple[int | None, str]] = Counter()
    possible: Counter[tuple[int | None, str]] = Counter()
    sign = 1 if request.debits else -1 if request.action == RequestedAction.REFUND_ACCOUNT else 0
    for service in request.services if sign else ():
        group = service.rating_group
        counted = [unit for where, unit in stored.used if where == group]
        for unit in counted or list(service.used)[:1]:
            amount = sign * service.used.get(unit, 0)
            possible[group, unit] += amount
            certain[group, unit] += amount if request.is_charged(service) else 0
    for key in {*possible, *stored.used}:
        found, low, high = stored.used.get(key, 0), certain[key], possible[key]
        if found not in {low, high}:
            where = "" if key[0] is None else f" of rating group {key[0]}"
            yield f"used {high} {key[1]}{where}, charged {found}"


def _of_sums(session: OwnSession, used: dict[str, int]) -> Iterator[str]:
    for unit, found in used.items():
        low = high = 0
        for request in session.requests.values():
            low += _low(request, unit)
            high += _high(request, unit)
        if not low <= found <= high:
            most = f" to {high}" if high > low else ""
            yield f"used {low}{most} {unit}, charged {found}"


def _low(request: OwnRequest, unit: str | None = None) -> int:
    """What of a unit, or of all, certainly has to be in the books."""
    if not request.debits:
        return 0
    return sum(
        amount
        for service in request.services
        for kind, amount in service.used.items()
        if unit in (None, kind) and request.is_charged(service)
    )


def _high(request: OwnRequest, unit: str) -> int:
    if not request.debits:
        return 0
    return sum(service.used.get(unit, 0) for service in request.services)


# Verdicts.


def reconciled(own: OwnAccount, statements: list[Statement], name: str = "") -> list[Verdict]:
    """Two verdicts: whether the books agree, and, which is no failure, what was over-used."""
    found = discrepancies(own, statements)
    sessions = len(own.sessions)
    told = [session for one in statements for session in one.sessions.values()]
    priced = sum(one.price_micro is not None for one in told)
    unanswered = sum(
        request.result_code is None
        for session in own.sessions.values()
        for request in session.requests.values()
    )
    words = (
        f"{sessions} sessions of {len(statements)} subscribers, {priced} of them priced again,"
        f" {unanswered} requests unanswered, {own.retransmissions} sent again"
    )
    verdicts = [
        Verdict(
            name or "reconciled with the server's books",
            not found and sessions > 0,
            "charged what was used, at its price; nothing held at the end",
            _listed(found) if found else words,
        )
    ]
    if own.over_use:
        over = [str(one) for one in own.over_use]
        verdicts.append(Verdict("used beyond what was granted", True, "named", _listed(over)))
    return verdicts


def _listed(found: list[str]) -> str:
    more = [f"and {len(found) - SHOWN_MAX} more"] if len(found) > SHOWN_MAX else []
    return f"{len(found)}: " + "; ".join([*found[:SHOWN_MAX], *more])


def judge_books(
    blocks: Iterable[Expectation],
    subscribers: tuple[Subscribers, ...],
    own: OwnAccount,
    statements: list[Statement],
) -> Iterator[Verdict]:
    """Verdicts about what blocks of `expect` say of balances."""
    groups = Groups(subscribers)
    for block in blocks:
        if block.subscribers is None:
            concerned = statements
        else:
            concerned = [
                one for one in statements
                if (group := groups.of(one.identities)) and group.name == block.subscribers
            ]  # fmt: skip
        yield from _block(block, concerned)
        if block.reconciled:
            yield from reconciled(own, statements, f"{title(block)}reconciled")


def _block(block: Expectation, statements: list[Statement]) -> Iterator[Verdict]:
    amounts = {
        "balance": (block.balance, [one.balance_micro for one in statements]),
        "held": (block.held, [one.held_micro for one in statements]),
    }
    for what, (bound, found) in amounts.items():
        if bound is not None:
            wrong = [
                f"{statement.name} {'unknown' if amount is None else money_text(amount)}"
                for statement, amount in zip(statements, found, strict=True)
                if amount is None or not bound.holds(amount)
            ]
            words = _listed(wrong) if wrong else f"so with {len(found)} subscribers"
            ok = bool(found) and not wrong
            yield Verdict(f"{title(block)}{what} of each", ok, str(bound), words)
    if block.spent is not None:
        costs = [
            session.charged_micro for one in statements for session in one.sessions.values()
        ]
        told = [cost for cost in costs if cost is not None]
        spent = sum(told)
        ok = len(told) == len(costs) and bool(statements) and block.spent.holds(spent)
        missing = "" if len(told) == len(costs) else f", {len(costs) - len(told)} sessions not told"
        yield Verdict(f"{title(block)}spent", ok, str(block.spent), money_text(spent) + missing)

