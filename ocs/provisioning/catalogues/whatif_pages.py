"""A few accounts charged again by a draft catalogue: the work of one process of `whatif`.

Called by provisioning.catalogues.whatif, in processes of its own where there is more than one.
What it returns is as small for a million records as for one: sums, differences and the worst
cases.
"""

import gc
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from itertools import count, groupby

from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.decision import DecisionPolicy
from ocs.charging.model.messages import ChargingRecord
from ocs.charging.rerating import Rerating, is_usage
from ocs.provisioning.catalogues import catalogs
from ocs.store import dialects
from ocs.store.reading import Reader
from ocs.store.recorded_usage import AccountRange, OwnedRecord, RecordedUsage, Span

REASONS_MAX = 100
"""Reasons why usage has no price that are told apart."""
_COLLECT_EVERY = 50_000
"""Objects made between two looks for garbage in cycles, of which decisions leave none."""


@dataclass(slots=True)
class Sums:
    """What one service of a plan came to; ``used`` in the unit that was charged."""

    lines: int = 0
    used: int = 0
    charged_micro: int = 0
    draft_micro: int = 0
    unit: int = -1

    def add(self, other: "Sums") -> None:
        """Take the sums of other accounts in."""
        self.lines += other.lines
        self.used += other.used
        self.charged_micro += other.charged_micro
        self.draft_micro += other.draft_micro
        self.unit = max(self.unit, other.unit)


@dataclass(slots=True)
class Case:
    """What one subscriber was charged, and what the draft would have charged."""

    account_id: int
    name: str
    """An identity, ``kind:value``."""
    plan: str = ""
    """That of the last record."""
    charged_micro: int = 0
    draft_micro: int = 0

    @property
    def difference_micro(self) -> int:
        """How much more the draft charges."""
        return self.draft_micro - self.charged_micro


@dataclass(slots=True)
class Page:
    """What some accounts came to."""

    records: int = 0
    left_out: int = 0
    """Records of what is no usage."""
    begun_within: int = 0
    """Sessions whose beginning is not stored any more."""
    services: dict[tuple[str, str], Sums] = field(default_factory=dict)
    """By plan and service."""
    differences: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each subscriber, draft minus charged."""
    highest: list[Case] = field(default_factory=list)
    lowest: list[Case] = field(default_factory=list)
    unrated: Counter[str] = field(default_factory=Counter)
    """Records with usage that the draft has no price for, by reason."""

    def add(self, other: "Page", worst: int) -> None:
        """Take in what other accounts came to, and keep so many of the ``worst`` cases."""
        self.records += other.records
        self.left_out += other.left_out
        self.begun_within += other.begun_within
        for key, sums in other.services.items():
            self.services.setdefault(key, Sums()).add(sums)
        self.differences.extend(other.differences)
        for reason, number in other.unrated.items():
            self.note_unrated(reason, number)
        self.keep_worst([*other.highest, *other.lowest], worst)

    def note_unrated(self, reason: str, number: int = 1) -> None:
        """Count records with usage that has no price."""
        if reason not in self.unrated and len(self.unrated) >= REASONS_MAX:
            reason = "other reasons"
        self.unrated[reason] += number

    def keep_worst(self, cases: list[Case], worst: int) -> None:
        """Keep the largest differences in both directions."""
        higher = [one for one in cases if one.difference_micro > 0]
        lower = [one for one in cases if one.difference_micro < 0]
        self.highest = nlargest(worst, [*self.highest, *higher], key=_difference)
        self.lowest = nsmallest(worst, [*self.lowest, *lower], key=_difference)


@dataclass(frozen=True, slots=True)
class Work:
    """What every process needs to know."""

    url: str
    draft: str
    """The catalogue's text."""
    draft_name: str
    policy: DecisionPolicy
    span: Span
    since_id: int
    """Records up to this id are only counted towards the periods that prices count over."""
    plans: Mapping[str, str]
    """Other plans to charge by, by that of the record."""
    worst: int


class Rerater:
    """Charges accounts again, range by range."""

    def __init__(self, work: Work, reader: Reader) -> None:
        self._work = work
        self._usage = RecordedUsage(reader)
        self._index = CatalogIndex(catalogs.load(work.draft, work.draft_name))
        self._ids = count(1)

    def page(self, accounts: AccountRange) -> Page:
        """Charge the records of a range of accounts again."""
        page = Page()
        members = self._usage.members(accounts)
        records = self._usage.records(accounts, self._work.span)
        for account_id, owned in groupby(records, key=lambda one: one.account_id):
            rerating = Rerating(
                account_id, self._index, self._work.policy, self._ids.__next__, self._work.plans
            )
            cases = _Cases(account_id, members.get(account_id, {}))
            for one in owned:
                is_asked = one.request_id > self._work.since_id
                page.records += is_asked
                if not is_usage(one.recorded):
                    page.left_out += is_asked
                elif is_asked:
                    self._charge(page, rerating, one, cases)
                elif rerating.is_sold(one.recorded.record):
                    self._count(rerating, one, cases)
            found = list(cases.by_subscriber.values())
            page.differences.extend([one.difference_micro for one in found])
            page.keep_worst(found, self._work.worst)
        return page

    def _charge(self, page: Page, rerating: Rerating, one: OwnedRecord, cases: "_Cases") -> None:
        record = one.recorded.record
        plan = rerating.plan_of(record)
        case = cases.of(record)
        for line in record.charged:
            sums = page.services.setdefault((record.plan, line.service), Sums())
            sums.lines += 1
            sums.used += line.used
            sums.unit = line.unit
            sums.charged_micro += line.charged_micro
            case.charged_micro += line.charged_micro
        if not rerating.is_sold(record):
            if any(line.used for line in record.charged):
                page.note_unrated(f"the draft has no plan '{plan}'")
            return
        begins = self._replay(rerating, one, cases)
        page.begun_within += begins
        result = rerating.rerate(one.recorded, cases.subscriber_of(record), begins=begins)
        for line in result.charged:
            sums = page.services.setdefault((record.plan, line.service), Sums())
            sums.draft_micro += line.charged_micro
            sums.unit = line.unit if sums.unit < 0 else sums.unit
            case.draft_micro += line.charged_micro
        for reason in result.unrated:
            page.note_unrated(reason)

    def _count(self, rerating: Rerating, one: OwnedRecord, cases: "_Cases") -> None:
        """Charge what is not asked for, for what the account counts."""
        begins = self._replay(rerating, one, cases)
        rerating.rerate(one.recorded, cases.subscriber_of(one.recorded.record), begins=begins)

    def _replay(self, rerating: Rerating, one: OwnedRecord, cases: "_Cases") -> bool:
        """Bring a session to where it was before a record; what it came to until then is past.

        Returns whether nothing is known from before.
        """
        if not rerating.needs_history(one.recorded):
            return False
        begun = False
        for earlier in self._usage.of_session(
            one.account_id, one.recorded.session_key, one.request_id
        ):
            if is_usage(earlier) and rerating.is_sold(earlier.record):
                rerating.rerate(earlier, cases.subscriber_of(earlier.record), begins=not begun)
                begun = True
        return rerating.needs_history(one.recorded)


class _Cases:
    """The subscribers of one account."""

    def __init__(self, account_id: int, members: Mapping[str, int]) -> None:
        self._account_id = account_id
        self._members = members
        self._only = next(iter(members.values())) if len(set(members.values())) == 1 else 0
        """Whose records are that name nobody who is known now."""
        self.by_subscriber: dict[int, Case] = {}

    def subscriber_of(self, record: ChargingRecord) -> int:
        """Return the member of the account that a record is about."""
        return self._members.get(record.identity, self._only)

    def of(self, record: ChargingRecord) -> Case:
        """Return the case of the subscriber that a record is about."""
        subscriber_id = self.subscriber_of(record)
        case = self.by_subscriber.get(subscriber_id)
        if case is None:
            names = (name for name, one in self._members.items() if one == subscriber_id)
            name = next(names, record.identity)
            case = self.by_subscriber[subscriber_id] = Case(self._account_id, name)
        case.plan = record.plan
        return case


def _difference(case: Case) -> int:
    return case.difference_micro


_rerater: Rerater | None = None


def begin(work: Work) -> None:
    """Make this process ready for ``work_on``."""
    global _rerater  # noqa: PLW0603 - a pool's processes have nowhere else to keep it
    _rerater = Rerater(work, Reader(dialects.open_engine(work.url, "plain", 3)))
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def work_on(accounts: AccountRange) -> Page:
    """Charge a range of accounts again in a process that has begun."""
    assert _rerater is not None
    return _rerater.page(accounts)
