"""The lives of docs/catalogue.md: an account through time, on a real database, as its tables say.

A table under a catalogue with the columns ``at`` and ``happens`` is one account:

    | at | happens | balance | left | told |
    | 2026-03-02T10:00 | opened as told with 12.00 | 12.00 | surf 1 GB | |
    | 2026-03-02T10:05 | 400 MB of web | 12.00 | surf 600 MB | |
    | 2026-03-09T10:00 | nothing | ... |

``at`` is on the catalogue's clock. What happens: ``opened as PLAN with AMOUNT``, ``asks for
[QUANTITY of] SERVICE``, ``used QUANTITY of SERVICE and asks`` or ``ends`` (the requests of one
session, with ``answer`` what the gateway is told, ``as PROFILE`` behind the first), ``QUANTITY of
SERVICE`` (one session, or recorded usage where the service has no contexts), with ``to NUMBER``,
``in MCCMNC``, ``with ATTRIBUTE=VALUE`` or ``used TIME`` behind it, ``topped up by AMOUNT USD``,
``gave AMOUNT`` to another account, ``could not give AMOUNT``,
``named NUMBER a friend``, ``could not name NUMBER a friend``, ``spends at most AMOUNT a PERIOD`` (a
cap of the customer's own), ``redeemed a voucher of AMOUNT``, ``joined by the other`` (a member, who
uses what ends in ``by the other``), ``changed to PLAN``, ``erased`` (all money being forfeited),
``nothing``. Who is refused uses nothing. Everything the server would have done meanwhile is done
first. A column that is there must hold: ``balance``, ``left`` (all other buckets with something in
them), ``told`` (notifications since the line before), ``status``, ``until`` (when that ends, on the
catalogue's clock), ``costs`` (what this step cost), ``record`` (what is kept of the last request
that was charged), ``why`` (its destination, and its price as `ocs why` computes it again).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ocs import yamldoc
from ocs.amounts import Unit, format_amount, format_quantity, measured, parse_amount, parse_quantity
from ocs.catalog.loading import number_plans
from ocs.catalog.model import Service
from ocs.charging import engine, lifecycle
from ocs.charging.accounts import duties
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    Identity,
    Outcome,
    RatingAttributes,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey
from ocs.clock import NS_PER_SECOND
from ocs.errors import RefusedError
from ocs.ledger.account import Account, AccountStatus, Bucket
from ocs.provisioning import events
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import (
    accounts,
    caps,
    erasure,
    friends,
    members,
    subscribers,
    transfers,
    vouchers,
)
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import why as explanations
from ocs.provisioning.usage import recording as usage
from ocs.store.ledger_reports import LedgerLine
from tests.support.charging import CLIENTS
from tests.support.charging_replies import in_short
from tests.support.desks import NUMBER, Office, open_office
from tests.support.offers import OTHER

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogue.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```yaml\n(.*?)^```\n(.*?)(?=^```|^#|\Z)", re.MULTILINE | re.DOTALL)


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return the tables of a text: their rows as dictionaries by column title."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in lines.splitlines()
        ]
        found.append([dict(zip(cells[0], row, strict=True)) for row in cells[2:]])
    return found


FILES = dict(re.findall(r"^```csv (\S+)\n(.*?)^```\n", TEXT, re.MULTILINE | re.DOTALL))
"""The number plans of the document, by the name of the file that each of them is."""


def with_files(catalogue: str) -> str:
    """Return a catalogue with the number plans it names, as `ocs catalog publish` sends it."""
    named = number_plans.named_files(yamldoc.parse(catalogue, DOCUMENT.name))
    return number_plans.attach(catalogue, {one.text: FILES[one.text] for one in named})


EXAMPLES = [(with_files(catalogue), tables(after)) for catalogue, after in _BLOCK.findall(TEXT)]
"""The catalogues of the document, each with the tables that follow it."""
_USAGE = re.compile(r"(?P<quantity>[0-9.]+ ?[A-Za-z]*) of (?P<service>\S+)(?: to (?P<to>\S+))?"
                    r"(?: in (?P<network>[0-9]+))?(?: with (?P<said>\S+))?"
                    r"(?: used (?P<when>\S+))?(?P<other> by the other)?")  # fmt: skip
_ASKED = re.compile(r"(?:used (?P<quantity>\S+ ?[A-Za-z]*) of )?(?:(?P<first>asks) for )?"
                    r"(?:(?P<wanted>[0-9.]+ ?[A-Za-z]*) of )?(?P<service>\S+)"
                    r"(?: and (?P<then>asks|ends))?(?: as (?P<profile>\S+))?")  # fmt: skip
_NAMED = re.compile(r"(?P<how>could not name|named) (?P<number>[0-9]+) a friend")
_CAPPED = re.compile(r"spends at most (?P<amount>\S+) a (?P<every>day|week|month)")
_OPENED = re.compile(r"opened as (?P<plan>\S+) with (?P<amount>\S+)")
STEPS_MAX = 2_000
"""Turns of the server between two lines of a table; more would never end."""


class Life:
    """One account and what happens to it."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._catalogues = office.catalogues
        self._sessions = count(1)
        self._account_id = 0
        self._answer = ""
        self._member = (NUMBER, 0)
        """Who uses a service: its number, and its id where it is not that of the account."""
        self._open: dict[str, tuple[str, int, ClientProfile]] = {}
        """By service, the session that a gateway has open: its name, and its next number."""
        self._outbox = events.Tail(office.desk, events.Selection(), events.Position())

    @property
    def _context(self) -> DecisionContext:
        index = self._catalogues.current()
        version = index.catalog.version
        return DecisionContext(
            self._office.clock.now_ns(), 1, {version: index}, version, self._office.desk.policy
        )

    def play(self, row: dict[str, str]) -> None:
        """Do one line of a table and check what it says."""
        self.wait_until(self._instant(row["at"]))
        before, self._answer = self.balance(), ""
        self.do(row["happens"])
        found = {
            "answer": lambda: self._answer, "balance": self.balance, "told": self.told,
            "status": self.status, "until": self.until, "record": self.record, "why": self.why,
            "costs": lambda: format_amount(parse_amount(before) - parse_amount(self.balance())),
        }  # fmt: skip
        seen = {name: found[name]() for name in row if name in found}
        assert seen == {name: row[name] for name in seen}, row
        if "left" in row:
            assert self.left() == self._expected(row["left"]), row

    def _instant(self, text: str) -> int:
        zone = ZoneInfo(self._catalogues.current().catalog.time_zone)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return int(moment.timestamp()) * NS_PER_SECOND

    # ------------------------------------------------------------------------- what happens

    def do(self, what: str) -> None:
        """Make happen what one line says."""
        desk = self._office.desk
        head, _, rest = what.partition(" ")
        if what == "nothing":
            return
        if opened := _OPENED.fullmatch(what):
            new = NewSubscriber(
                (Identity("msisdn", NUMBER),), opened["plan"], parse_amount(opened["amount"])
            )
            shown = subscribers.add(desk, new, self._catalogues.current())
            self._account_id = int(shown["account_id"])
        elif used := _USAGE.fullmatch(what):
            words = used.groupdict()
            if words.pop("other"):
                self._member = (OTHER, find_subscriber(desk, f"+{OTHER}").subscriber_id)
            self._use(**words)
            self._member = (NUMBER, 0)
        elif head in ("asks", "used") and (asked := _ASKED.fullmatch(what)):
            self._speak(**asked.groupdict())
        elif head == "topped":
            found = find_subscriber(desk, f"+{NUMBER}")
            amount, _, currency = rest.removeprefix("up by ").partition(" ")
            accounts.top_up(
                desk, found, amount, catalogue=self._catalogues.current(), currency=currency
            )
        elif head == "gave":
            self._give(rest)
        elif head == "could" and " name " not in what:
            with pytest.raises(RefusedError):
                self._give(rest.removeprefix("not give "))
        elif named := _NAMED.fullmatch(what):
            found = find_subscriber(desk, f"+{NUMBER}")
            name = partial(
                friends.change, desk, found, (named["number"],), (), self._catalogues.current()
            )
            if named["how"] != "named":
                with pytest.raises(RefusedError):
                    name()
            else:
                name()
        elif capped := _CAPPED.fullmatch(what):
            caps.set_cap(
                desk, find_subscriber(desk, f"+{NUMBER}"), "own", capped["amount"],
                capped["every"], (), self._catalogues.current(),
            )  # fmt: skip
        elif what == "joined by the other":
            members.join(desk, find_subscriber(desk, f"+{NUMBER}"), (Identity("msisdn", OTHER),))
        elif what == "erased":
            self._erase()
        elif head == "redeemed":
            self._redeem(rest.removeprefix("a voucher of "))
        elif head == "changed":
            found = find_subscriber(desk, f"+{NUMBER}")
            plan = rest.removeprefix("to ")
            subscribers.change_plan(
                desk, found, plan, self._catalogues.current(), allowances=True
            )
        else:
            raise AssertionError(f"nothing known can happen like '{what}'")

    def _erase(self) -> None:
        found = find_subscriber(self._office.desk, f"+{NUMBER}")
        erasure.erase(self._office.desk, found, forfeit=True, progress=lambda _records: None)

    def _redeem(self, amount: str) -> None:
        desk, catalogue = self._office.desk, self._catalogues.current()
        batch = vouchers.NewBatch(1, parse_amount(amount), catalogue.catalog.currency)
        with TemporaryDirectory() as folder:
            codes = Path(folder) / "codes.csv"
            vouchers.generate(desk, batch, codes, lambda _done, _all: None)
            code = codes.read_text(encoding="utf-8").splitlines()[-1].rpartition(",")[2]
        vouchers.redeem(desk, find_subscriber(desk, f"+{NUMBER}"), code, catalogue)

    def _give(self, amount: str) -> None:
        desk, catalogue = self._office.desk, self._catalogues.current()
        other = Identity("msisdn", OTHER)
        if not desk.store.find([other]):
            plan = self._account().plan
            subscribers.add(desk, NewSubscriber((other,), plan), catalogue)
        giver, taker = (find_subscriber(desk, f"+{name}") for name in (NUMBER, OTHER))
        transfers.transfer(desk, giver, taker, amount, catalogue)

    def _use(
        self, quantity: str, service: str, to: str | None, network: str | None,
        said: str | None, when: str | None,
    ) -> None:  # fmt: skip
        sold = self._catalogues.current().catalog.services[service]
        if not sold.contexts:
            self._record(quantity, service, to, said, when)
            return
        self._use_in_session(quantity, sold, to, network)

    def _record(
        self, quantity: str, service: str, to: str | None, said: str | None, when: str | None
    ) -> None:
        name, _, value = (said or "").partition("=")
        usage.record(
            self._office.desk, self._catalogues, f"+{NUMBER}",
            usage.Usage(
                f"worked-{next(self._sessions)}", service, quantity,
                self._instant(when) if when else 0, to or "", ((name, value),) if said else (),
            ),
        )  # fmt: skip

    def _use_in_session(
        self, quantity: str, sold: Service, to: str | None, network: str | None
    ) -> None:
        units = parse_quantity(quantity.strip(), sold.counted_in)
        session = f"worked;{next(self._sessions)}"
        said = RatingAttributes(called_party=to or "", visited_network=network or "")
        group = min(sold.rating_groups, default=None)
        reply = self._ask(sold, session, 0, said, ServiceRequest(group, (), requested=Units()))
        if not any(one.outcome == Outcome.SUCCESS for one in reply.services):
            return
        if sold.unit is Unit.SECONDS:
            self._office.clock.advance(units)
        kind = {Unit.OCTETS: "octets", Unit.SECONDS: "seconds", Unit.EVENTS: "events"}[sold.unit]
        used = (UsedUnits(msgspec.structs.replace(Units(), **{kind: units})),)
        self._ask(sold, session, 1, said, ServiceRequest(group, (), used=used))

    def _speak(
        self, quantity: str | None, first: str | None, wanted: str | None, service: str,
        then: str | None, profile: str | None,
    ) -> None:  # fmt: skip
        """Let a gateway ask for a service, or report and ask again or end; keep the answer."""
        sold = self._catalogues.current().catalog.services[service]
        begins = (f"asked;{next(self._sessions)}", 0, CLIENTS[profile or "generic"])
        session, number, client = self._open.pop(service, begins)
        kind, ends = sold.unit.label, then == "ends"
        used: tuple[UsedUnits, ...] = ()
        if quantity is not None:
            units = Units(**{kind: parse_quantity(quantity.strip(), sold.counted_in)})  # type: ignore[arg-type]
            used = (UsedUnits(units),)
        requested = None if ends else Units()
        if wanted is not None:
            units = Units(**{kind: parse_quantity(wanted.strip(), sold.counted_in)})  # type: ignore[arg-type]
            requested = units
        asked = ServiceRequest(
            min(sold.rating_groups, default=None), (), requested=requested, used=used
        )
        assert (number == 0) == (first is not None), "a session begins with 'asks for'"
        reply = self._ask(sold, session, number, RatingAttributes(), asked, client, ends=ends)
        if not ends:
            self._open[service] = (session, number + 1, client)
        self._answer = "; ".join(map(in_short, reply.services)) if not ends else ""

    def _ask(
        self, service: Service, session: str, number: int, said: RatingAttributes,
        asked: ServiceRequest, profile: ClientProfile = GENERIC, *, ends: bool = True,
    ) -> ChargingReply:  # fmt: skip
        kind = RequestKind.TERMINATION if ends else RequestKind.UPDATE
        now_ns = self._office.clock.now_ns()
        request = ChargingRequest(
            session, make_session_key(session, None),
            kind if number else RequestKind.INITIAL, number, now_ns, 1 << 62,
            next(self._office.hashes), service.contexts[0], (Identity("msisdn", self._member[0]),),
            (asked,), event_ns=now_ns, attributes=said, profile=profile,
            account_id=self._account_id, subscriber_id=self._member[1] or self._account_id,
        )  # fmt: skip
        return self._office.desk.store.transact(
            engine.keys_of(request),
            lambda working_set: engine.decide(request, working_set, self._context),
        )

    # ---------------------------------------------------------------------- what the server does

    def wait_until(self, at_ns: int) -> None:
        """Let time pass, and do everything that becomes due at its time."""
        clock = self._office.clock
        if not self._account_id:
            clock.advance((at_ns - clock.now_ns()) // NS_PER_SECOND)
        for _ in range(STEPS_MAX):
            due_ns = self._next_due_ns()
            if not due_ns or due_ns > at_ns:
                break
            clock.advance(max(0, -((clock.now_ns() - due_ns) // NS_PER_SECOND)))
            self._run_timers()
        else:
            raise AssertionError("the account stays due for ever")
        clock.advance((at_ns - clock.now_ns()) // NS_PER_SECOND)

    def _next_due_ns(self) -> int:
        if not self._account_id:
            return 0
        ends = [one.expires_ns for one in self._buckets() if one.expires_ns and one.available > 0]
        return min([one for one in (self._account().due_ns, *ends) if one], default=0)

    def _run_timers(self) -> None:
        store, now_ns = self._office.desk.store, self._office.clock.now_ns()
        key = RequestKey(self._account_id, b"\0" * 16, RequestKind.TIMER, 0)
        for due in store.due_accounts(now_ns, 10):
            act = partial(duties.advance, account_id=due.account_id, context=self._context)
            store.transact([key], act)
        for bucket in store.due_buckets(now_ns, 10):
            expire = partial(
                lifecycle.expire_bucket, account_id=bucket.account_id, bucket_id=bucket.bucket_id,
                context=self._context,
            )
            store.transact([key], expire)

    # ----------------------------------------------------------------------------- what is seen

    def _account(self) -> Account:
        account = self._office.desk.reports.account(self._account_id)
        assert account is not None
        return account

    def _buckets(self) -> list[Bucket]:
        return self._office.desk.reports.buckets(self._account_id)

    def balance(self) -> str:
        """Return all money of the account."""
        if not self._account_id:
            return "0.00"
        money = [one for one in self._buckets() if one.unit == Unit.MONEY and not one.measure]
        return format_amount(sum(one.balance for one in money))

    def left(self) -> dict[str, str]:
        """Return what is in the other buckets, by name."""
        sums: dict[tuple[str, int, str], int] = {}
        for one in self._buckets():
            if one.name != "main" and one.balance:
                key = one.name, one.unit, one.measure
                sums[key] = sums.get(key, 0) + one.balance
        return {
            name: format_quantity(amount, measured(unit, measure))
            for (name, unit, measure), amount in sums.items()
        }

    def _expected(self, text: str) -> dict[str, str]:
        """Return what a line says is left, in the words of ``left``."""
        counted = {one.name: measured(one.unit, one.measure) for one in self._buckets()}
        parts = [part.strip().partition(" ") for part in text.split(",") if part.strip()]
        return {
            name: format_quantity(
                parse_amount(amount)
                if counted[name] is Unit.MONEY
                else parse_quantity(amount, counted[name]),
                counted[name],
            )
            for name, _, amount in parts
        }

    def status(self) -> str:
        """Return the state of the account."""
        return AccountStatus(self._account().status).name.lower().replace("_", "-")

    def until(self) -> str:
        """Return when this state ends by itself."""
        life = self._account().details.life
        if life is None or not life.until_ns:
            return ""
        zone = ZoneInfo(self._catalogues.current().catalog.time_zone)
        return datetime.fromtimestamp(life.until_ns // NS_PER_SECOND, zone).strftime(
            "%Y-%m-%dT%H:%M"
        )

    def _charge(self) -> LedgerLine | None:
        """Return the last line of a price."""
        lines = self._office.desk.ledger.ledger(self._account_id, 100)
        return next((one for one in lines if one.movement.service), None)

    def record(self) -> str:
        """Return what is kept of the last request that was charged."""
        charge = self._charge()
        if charge is None:
            return ""
        said = charge.request.record
        words = [
            f"{one.used} {measured(one.unit, one.measure).label} of {one.service}, "
            f"{format_amount(one.charged_micro)}"
            for one in said.charged
        ]
        words.append(f"of {said.identity}")
        if said.attributes.called_party:
            words.append(f"to {said.attributes.called_party}")
        return ", ".join(words)

    def why(self) -> str:
        """Return the destination of the last charge, and its price computed again."""
        charge = self._charge()
        if charge is None:
            return ""
        moved = charge.movement
        entry = f"{moved.request_id}.{moved.line}"
        shown = explanations.explain(self._office.desk, self._catalogues, entry)
        assert shown["matches"], shown
        return f"{moved.zone}, {shown['recomputed']}"

    def told(self) -> str:
        """Return the notifications since the last time, in short."""
        words = []
        for one in self._outbox.next():
            percent = f"{one.percent} %" if one.percent else ""
            level = one.details.get("level_micro")
            shown = format_amount(level) if isinstance(level, int) else ""
            words.append(" ".join(part for part in (one.kind, one.subject, percent, shown) if part))
        return ", ".join(words)


@contextmanager
def worked_life(url: str, catalogue: str) -> Iterator[Life]:
    """Yield a life on a new database with a catalogue of the document in force."""
    with open_office(url, publish=False) as office:
        catalogs.publish(office.desk, catalogue, "catalogue.md")
        yield Life(office)
