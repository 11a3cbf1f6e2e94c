"""Charging scenarios written as text tables, run against the engine over a store in memory.

One line is one step. A request and what must come of it:

    I 0  100 rsu              => 100 ok 10000000 thr=2000000       | B=10.00 R=0.50
    U 1  100 used=400 rsu=500 => 100 4012                          | B=9.00 R=0
    T 2                       => 2001                              | B=9.00 R=0
    E 0  1 rsu=3 action=0     => 1 ok 3                            | B=9.79 R=0

Left of ``=>``: type, CC-Request-Number, then services divided by ``;``: rating group (``-`` for
none, ``si5`` for a service identifier), ``rsu`` or ``rsu=N``, ``used=N``, ``before=N``,
``after=N``, ``straddling=N``, ``money=1.25``, ``usedmoney=0.80``, ``reason=NAME``, ``rate=N``
octets a second, ``invalid=TEXT`` (what the front found wrong). ``N`` counts the scenario's unit;
``octets:5+seconds:7`` names kinds, and ``!NAME`` behind it the reason of one report. A word with
``@name`` picks another session; words such as ``context=``, ``called=``, ``profile=``, ``client=``,
``action=``, and those of RatingAttributes, set parts of the request. Right of it: the
reply in the words of charging_replies. After ``|``: balance, reserved money, and ``P=`` reviews in
all. Other steps: ``again`` (the last request once more), ``wait SECONDS`` (timers run too),
``top-up AMOUNT``, ``block``, ``unblock``, ``plan CODE``, ``abort`` (all sessions). After every step
the invariants must hold.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from ocs.amounts import Unit, parse_amount
from ocs.catalog.matching import CatalogIndex, normalise_context
from ocs.catalog.model import Catalog, ChargeMode
from ocs.charging import engine, lifecycle
from ocs.charging.counts import counters
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    Identity,
    Outcome,
    RatingAttributes,
    ReportingReason,
    RequestKind,
    ServiceRequest,
    TariffSide,
    Units,
    UsedUnits,
)
from ocs.charging.model.profile import PROFILES, ClientProfile
from ocs.charging.model.session import Session, SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.charging.quotas.contexts import cost_in_context
from ocs.clock import NS_PER_SECOND, IdSource, ManualClock
from ocs.ledger import entries, invariants
from ocs.ledger.account import Account, AccountStatus, Bucket, Contra, Hold, Movement
from ocs.store.memory import MemoryStore
from tests.support.charging_replies import compare_reply

NOON_NS = 1_767_614_400 * 10**9
"""2026-01-05T12:00:00Z, a Monday."""
KINDS = {
    "I": RequestKind.INITIAL,
    "U": RequestKind.UPDATE,
    "T": RequestKind.TERMINATION,
    "E": RequestKind.EVENT,
}
ACCOUNT = 1001
SAID: dict[str, Callable[[str], Any]] = {
    "apn": str, "calling_party": str, "location": str, "media": str, "messages": int,
    "rat_type": int, "recipient_type": int, "time_zone": str, "visited_network": str,
}
"""Attributes that are set under their own names."""
OPTIONS = frozenset({
    "action", "advice", "called", "client", "context", "emergency", "event", "profile",
    "recipients", "refund", "role", "sub", *SAID,
})
CLIENTS = PROFILES | {
    "rfc": ClientProfile("rfc", pools=True, dual_tariff_quota=True, qos_final_unit=True)
}
"""The profiles of a scenario: those of the server, and a client that knows all of RFC 8506."""


class Scenario:
    """One account on a store in memory, and the steps a test plays on it."""

    def __init__(
        self, catalog: Catalog, balance: str = "10.00", plan: str = "basic", limit: str = "0",
        buckets: Iterable[Bucket] = (), unit: Unit = Unit.OCTETS,
    ) -> None:
        self.unit = unit
        self.clock = ManualClock(NOON_NS)
        self.ids = IdSource(self.clock, 1)
        self.store = MemoryStore(self.ids)
        self.catalogues: dict[int, CatalogIndex] = {}
        self.in_force = 0
        """Version in force; 0 = the one that was published last."""
        self.publish(catalog)
        self.last: ChargingRequest | None = None
        self.reply = ChargingReply(Outcome.SUCCESS)
        self.sessions: dict[bytes, str] = {}
        self.policy = engine.DecisionPolicy(tcc_default_seconds=60, tombstone_seconds=20)
        self._hashes = itertools.count(1)
        self._open_account(parse_amount(balance), plan, parse_amount(limit), buckets)

    def context(self) -> engine.DecisionContext:
        """Return what decisions at this moment share."""
        return engine.DecisionContext(
            self.clock.now_ns(), 1, self.catalogues, self.in_force or len(self.catalogues),
            self.policy,
        )

    def publish(self, catalog: Catalog) -> None:
        """Put a catalogue in force, as the next version."""
        version = len(self.catalogues) + 1
        self.catalogues[version] = CatalogIndex(replace(catalog, version=version))

    @property
    def index(self) -> CatalogIndex:
        """The catalogue in force."""
        return self.catalogues[len(self.catalogues)]

    @index.setter
    def index(self, index: CatalogIndex) -> None:
        self.catalogues[len(self.catalogues)] = index

    def play(self, text: str) -> None:
        """Play the steps of a text table, checking each."""
        for number, line in enumerate(text.strip().splitlines(), 1):
            step = line.strip()
            if step and not step.startswith("#"):
                self._step(step, f"line {number}: {step}")
                self.check(f"line {number}: {step}")

    def _step(self, step: str, where: str) -> None:
        word, _, rest = step.partition(" ")
        if word in KINDS:
            asked, _, expected = step.partition("=>")
            self.send(self.request(asked))
            self._compare(expected, where)
        elif word == "again":
            assert self.last is not None
            before = self.reply
            self.send(self.last)
            assert self.reply == before, where
        elif word == "wait":
            self.clock.advance(int(rest))
            self.run_timers()
        elif word == "top-up":
            self.top_up(parse_amount(rest))
        elif word in ("block", "unblock"):
            self._set_status(AccountStatus.BLOCKED if word == "block" else AccountStatus.ACTIVE)
        elif word == "plan":
            self._change_plan(rest.strip())
        elif word == "abort":
            self._abort()
        else:
            raise AssertionError(f"no such step: {step}")

    def send(self, request: ChargingRequest) -> ChargingReply:
        """Have one request decided."""
        self.last = request
        self.sessions[request.session_key] = request.session_id
        self.reply = self.store.transact(
            engine.keys_of(request),
            lambda working_set: engine.decide(request, working_set, self.context()),
        )
        return self.reply

    def run_timers(self) -> None:
        """Do what the supervisor does at this instant."""
        for due in self.store.due_sessions(self.clock.now_ns(), 100):
            key = RequestKey(due.account_id, due.session_key, RequestKind.TIMER, 0)
            expire = partial(
                lifecycle.expire_session, session_key=key.session_key, context=self.context()
            )
            self.store.transact([key], expire)
        for bucket in self.store.due_buckets(self.clock.now_ns(), 100):
            key = RequestKey(bucket.account_id, b"\0" * 16, RequestKind.TIMER, 0)
            expire_bucket = partial(
                lifecycle.expire_bucket, account_id=bucket.account_id, bucket_id=bucket.bucket_id,
                context=self.context(),
            )
            self.store.transact([key], expire_bucket)

    def top_up(self, amount_micro: int) -> None:
        """Credit the main bucket."""

        def decide(working_set: WorkingSet) -> None:
            state = working_set.accounts[ACCOUNT]
            entries.credit(working_set, entries.main_bucket(state), amount_micro, self._posting())

        self.store.transact([self._operator_key()], decide)

    def load(self) -> tuple[Account, list[Bucket], list[Session]]:
        """Return the account as it is stored."""

        def decide(working_set: WorkingSet) -> tuple[Account, list[Bucket], list[Session]]:
            state = working_set.accounts[ACCOUNT]
            return state.account, state.buckets, list(working_set.sessions.values())

        keys = [RequestKey(ACCOUNT, key, RequestKind.OPERATOR, 0) for key in self.sessions]
        return self.store.transact(keys or [self._operator_key()], decide)

    def money(self) -> tuple[int, int]:
        """Return balance and reserved money in micro units."""
        _, buckets, _ = self.load()
        money = [bucket for bucket in buckets if bucket.unit == Unit.MONEY]
        return sum(bucket.balance for bucket in money), sum(bucket.held for bucket in money)

    def check(self, where: str = "") -> None:
        """Assert the invariants of section 5.2."""
        account, buckets, sessions = self.load()
        moved: dict[int, int] = {}
        movements = self.store.movements(ACCOUNT)
        for movement in movements:
            moved[movement.bucket_id] = moved.get(movement.bucket_id, 0) + movement.amount
        assert len({(line.request_id, line.line) for line in movements}) == len(movements), where
        self._check_debits(sessions, movements, where)
        holds: list[Hold] = []
        for session in sessions:
            for quota in session.quotas:
                if session.state == SessionState.OPEN:
                    holds += quota.holds
                else:
                    assert not quota.holds, f"{where}: a closed session holds {quota.holds}"
        assert not invariants.check_account(account, buckets, moved, holds), where
        assert not counters.check(account, sessions), where

    def _check_debits(
        self, sessions: list[Session], movements: list[Movement], where: str
    ) -> None:
        """Assert that each session paid the price of all it reported, context by context."""
        paid: Counter[bytes] = Counter()
        key_by_request = {
            record.request_id: record.key.session_key
            for record in self.store.stored_records(ACCOUNT)
            if record.key.kind != RequestKind.EVENT
        }
        for line in movements:
            if line.unit == Unit.MONEY and line.contra in (
                Contra.REVENUE, Contra.TAX, Contra.SPONSOR
            ):  # fmt: skip
                paid[key_by_request.get(line.request_id, b"")] -= line.amount
        for session in sessions:
            assert session.charged_micro == paid[session.key], where
            keys = [(one.service, one.service_identifiers or one.rating_group)
                    for one in session.quotas]
            assert len(keys) == len(set(keys)), where
            index = self.catalogues[session.catalogue_version]
            terms = index.catalog.plans[session.plan].terms
            for quota in session.quotas:
                unit = index.catalog.services[quota.service].unit
                for context in quota.contexts:
                    price = index.rule(session.plan, quota.service, context.rule).price
                    cost = cost_in_context(
                        index, terms[quota.service], unit, price, context.zone,
                        context.slot_ns, context.paid_units,
                    )
                    assert context.charged_micro == cost, where
                paid_units = sum(context.paid_units for context in quota.contexts)
                sold = terms[quota.service] if quota.contexts else None
                # A terminating call may be free for a part of its time.
                if sold and sold.mode is ChargeMode.PRICED and not (
                    sold.prices_terminating or sold.counted
                ):
                    assert quota.used_units == paid_units + quota.bucket_units, where

    def _open_account(
        self, balance: int, plan: str, limit: int, buckets: Iterable[Bucket]
    ) -> None:
        def decide(working_set: WorkingSet) -> None:
            account = Account(ACCOUNT, "EUR", plan, credit_limit_micro=limit)
            working_set.add_account(account)
            main = Bucket(ACCOUNT, self.ids.next_id(), Unit.MONEY, entries.MAIN_BUCKET)
            working_set.add_bucket(main)
            posting = self._posting()
            entries.credit(working_set, main, balance, posting)
            for bucket in buckets:
                amount, bucket.available = bucket.available, 0
                bucket.account_id = ACCOUNT
                bucket.bucket_id = bucket.bucket_id or self.ids.next_id()
                working_set.add_bucket(bucket)
                entries.credit(working_set, bucket, amount, posting)

        self.store.transact([self._operator_key()], decide)

    def _posting(self) -> entries.Posting:
        now_ns = self.clock.now_ns()
        return entries.Posting(self.ids.next_id(), now_ns, now_ns, Contra.TOP_UP)

    def _operator_key(self) -> RequestKey:
        key = make_session_key(f"operator {self.ids.next_id()}", None)
        return RequestKey(ACCOUNT, key, RequestKind.OPERATOR, 0)

    def _set_status(self, status: AccountStatus) -> None:
        def decide(working_set: WorkingSet) -> None:
            account = working_set.accounts[ACCOUNT].account
            account.status = status
            working_set.mark_account(account)

        self.store.transact([self._operator_key()], decide)

    def _change_plan(self, plan: str) -> None:
        def decide(working_set: WorkingSet) -> None:
            account = working_set.accounts[ACCOUNT].account
            account.plan = plan
            working_set.mark_account(account)

        self.store.transact([self._operator_key()], decide)

    def _abort(self) -> None:
        def decide(working_set: WorkingSet) -> None:
            for key, session in working_set.sessions.items():
                session.aborted = True
                working_set.mark_session(key)

        keys = [RequestKey(ACCOUNT, key, RequestKind.OPERATOR, 0) for key in self.sessions]
        self.store.transact(keys, decide)

    def request(self, text: str) -> ChargingRequest:
        """Return the request that the left side of a line means."""
        head, *words = text.split()
        number = words.pop(0)
        options: dict[str, str] = {}
        name = "s1"
        rest: list[str] = []
        for word in words:
            key, _, value = word.partition("=")
            if word.startswith("@"):
                name = word[1:]
            elif key in OPTIONS:
                options[key] = value
            else:
                rest.append(word)
        services = [self._service(part) for part in " ".join(rest).split(";") if part.strip()]
        now_ns = self.clock.now_ns()
        context = options.get("context", "32251@3gpp.org")
        account = 0 if options.get("client") == "unknown" else ACCOUNT
        sub_session = int(options["sub"]) if "sub" in options else None
        event_ns = now_ns + int(options.get("event", "0")) * NS_PER_SECOND
        return ChargingRequest(
            session_id=f"pgw1.net.example;1;{name}",
            session_key=make_session_key(f"pgw1.net.example;1;{name}", sub_session),
            kind=KINDS[head],
            number=int(number),
            received_ns=now_ns,
            deadline_ns=1 << 62,
            content_hash=next(self._hashes),
            service_context=normalise_context(context),
            identities=(Identity("msisdn", "15550001"),),
            services=tuple(services),
            sub_session_id=sub_session,
            event_ns=event_ns,
            action=int(options.get("action", "-1")),
            origin_host="pgw1.net.example",
            origin_realm="net.example",
            peer="pgw1.net.example",
            attributes=_attributes(options),
            advice=int(options.get("advice", "0")),
            refund_reference=options.get("refund", ""),
            profile=CLIENTS[options.get("profile", "generic")],
            account_id=account,
        )

    def _service(self, text: str) -> ServiceRequest:
        group, *words = text.split()
        request = ServiceRequest()
        if group.startswith("si"):
            request.service_identifiers = (int(group[2:]),)
        elif group != "-":
            request.rating_group = int(group)
        used: list[UsedUnits] = []
        for word in words:
            key, _, value = word.partition("=")
            if key == "rsu":
                request.requested = self._units(value) if value else Units()
            elif key == "money":
                request.requested = _money(value)
            elif key == "usedmoney":
                used.append(UsedUnits(_money(value)))
            elif key == "used":
                value, _, reason = value.partition("!")
                why = ReportingReason[reason] if reason else -1
                used.append(UsedUnits(self._units(value), reason=why))
            elif key == "rate":
                request.rate_octets_per_second = int(value)
            elif key in ("before", "after", "straddling"):
                side = {"before": TariffSide.BEFORE, "after": TariffSide.AFTER}.get(
                    key, TariffSide.INDETERMINATE
                )
                used.append(UsedUnits(self._units(value), side, side_given=True))
            elif key == "invalid":
                request.invalid = value
            elif key == "reason":
                request.reason = ReportingReason[value]
            else:
                raise AssertionError(f"no such part of a service: {word}")
        request.used = tuple(used)
        return request

    def _units(self, text: str) -> Units:
        if ":" in text:
            kinds: dict[str, Any] = {}
            for part in text.split("+"):
                kind, _, value = part.partition(":")
                kinds[kind] = int(value)
            return Units(**kinds)
        amount = int(text)
        if self.unit is Unit.SECONDS:
            return Units(seconds=amount)
        return Units(events=amount) if self.unit is Unit.EVENTS else Units(octets=amount)

    def _compare(self, expected: str, where: str) -> None:
        answers, _, money = expected.partition("|")
        compare_reply(self.reply, answers, where)
        for word in money.split():
            key, _, value = word.partition("=")
            balance, held = self.money()
            if key == "P":
                parked = self.store.reviews()
                assert len(parked) == int(value), (where, parked)
                continue
            actual = {"B": balance, "R": held}[key]
            assert actual == parse_amount(value), (where, f"{key} is {actual} micro")


def _attributes(options: dict[str, str]) -> RatingAttributes:
    recipients = options.get("recipients", "")
    said: dict[str, Any] = {name: SAID[name](options[name]) for name in SAID if name in options}
    return RatingAttributes(
        called_party=options.get("called", ""),
        role_of_node=int(options.get("role", "-1")),
        emergency="emergency" in options,
        recipients=tuple(recipients.split(",")) if recipients else (),
        **said,
    )


def _money(text: str) -> Units:
    currency = text.lstrip("-.0123456789")
    return Units(
        money_micro=parse_amount(text.removesuffix(currency)), money_currency=currency or "EUR"
    )
