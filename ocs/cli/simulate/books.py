"""The books of this server about the subscribers of a run, as `simulators.verdicts` wants them.

Reads the database beside the server. Called by `verdicts` after the run.
"""

from typing import TYPE_CHECKING

from ocs.amounts import Unit
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.cli.simulate.pricing import SessionPrices
from ocs.ledger.account import Contra, Movement
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.desk import Desk
from ocs.provisioning.identities import normalise_identity
from ocs.store.ledger_reports import StoredRequest

if TYPE_CHECKING:
    from simulators.traffic.subscriber import Identities
    from simulators.verdicts.own_account import OwnAccount, OwnSession
    from simulators.verdicts.statements import ChargedRequest, ChargedSession, Statement

_FIRST, _LAST = RequestKind.INITIAL, RequestKind.EVENT
_REFUND = ";refund"
"""What the name of a session ends with that gives back what another one has cost."""


def statements(desk: Desk, catalogues: Catalogues, own: "OwnAccount") -> "list[Statement]":
    """What the database says of everybody who did something."""
    prices = SessionPrices(catalogues)
    return [
        _Reader(desk, prices, sessions).statement(identities)
        for identities, sessions in own.subscribers().items()
    ]


class _Reader:
    """Reads the books of one subscriber."""

    def __init__(self, desk: Desk, prices: SessionPrices, sessions: "list[OwnSession]") -> None:
        self._desk = desk
        self._prices = prices
        self._sessions = sessions

    def statement(self, identities: "Identities") -> "Statement":
        from simulators.verdicts.statements import Statement

        found = Statement(identities)
        names = [normalise_identity(kind, text) for kind, text in identities]
        accounts = {one.account_id for one in self._desk.store.find(names).values()}
        if len(accounts) != 1:
            found.known = False
            return found
        account_id = accounts.pop()
        self._read_balance(account_id, found)
        self._read_sessions(account_id, found)
        return found

    def _read_balance(self, account_id: int, found: "Statement") -> None:
        buckets = self._desk.reports.buckets(account_id)
        moved = self._desk.ledger.moved(account_id)
        money = [one for one in buckets if one.unit == Unit.MONEY]
        found.balance_micro = sum(one.balance for one in money)
        found.expected_balance_micro = sum(moved.get(one.bucket_id, 0) for one in money)
        found.held_micro = sum(one.held for one in money)
        for one in buckets:
            if one.unit != Unit.MONEY and one.balance != moved.get(one.bucket_id, 0):
                found.findings.append(
                    f"bucket '{one.name}' has {one.balance}, but its entries make"
                    f" {moved.get(one.bucket_id, 0)}"
                )

    def _read_sessions(self, account_id: int, found: "Statement") -> None:
        by_id = {session.session_id: session for session in self._sessions}
        stored: dict[str, list[tuple[StoredRequest, list[Movement]]]] = {}
        keys = [make_session_key(name, None) for name in by_id]
        for request, lines in self._desk.ledger.of_sessions(account_id, keys):
            stored.setdefault(request.record.session_id, []).append((request, lines))
        for name, session in by_id.items():
            if name in stored:
                found.sessions[name] = _charged(session, stored[name], self._prices)
        for name, one in found.sessions.items():
            if name.endswith(_REFUND) and by_id[name].began:
                debit = found.sessions.get(name.removesuffix(_REFUND))
                price = debit.price_micro if debit is not None else None
                one.price_micro = None if price is None else -price
                sponsored = debit.sponsored_price if debit is not None else None
                one.sponsored_price = (
                    None if sponsored is None
                    else {sponsor: -paid for sponsor, paid in sponsored.items()}
                )


def _charged(
    session: "OwnSession",
    stored: list[tuple[StoredRequest, list[Movement]]],
    prices: SessionPrices,
) -> "ChargedSession":
    from simulators.verdicts.statements import ChargedSession

    asked = [request for request, _ in stored if _FIRST <= request.kind <= _LAST]
    cost = -sum(line.amount for _, lines in stored for line in lines if _is_money_for_use(line))
    price = prices.price(session, asked)
    sponsored: dict[str, int] = {}
    for line in (line for _, lines in stored for line in lines):
        if line.contra == Contra.SPONSOR:
            sponsored[line.rule] = sponsored.get(line.rule, 0) + line.amount
    return ChargedSession(
        charged_micro=cost,
        price_micro=price.own_micro if price is not None else None,
        sponsored=sponsored,
        sponsored_price=price.sponsored if price is not None else None,
        requests=[_request(request) for request in asked],
    )


def _is_money_for_use(line: Movement) -> bool:
    """Whether it is money for use, or given back for it; what a sponsor pays comes in first."""
    counts = line.contra in (Contra.REVENUE, Contra.TAX, Contra.SPONSOR)
    usage = counts and line.service != ""
    return line.unit == Unit.MONEY and (usage or line.contra == Contra.REFUND)


def _request(stored: StoredRequest) -> "ChargedRequest":
    from simulators.verdicts.statements import ChargedRequest

    used: dict[tuple[int | None, str], int] = {}
    for line in stored.record.charged:
        key = line.rating_group, Unit(line.unit).label
        used[key] = used.get(key, 0) + line.used
    return ChargedRequest(stored.kind, stored.number, used)

