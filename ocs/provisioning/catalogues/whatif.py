"""What recorded usage would have cost under another catalogue: revenue and who pays how much more.

The records of a time are decided again account by account (charging.rerating), by several
processes, and compared with what was charged. Nothing is stored. Called by `ocs catalog whatif`.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from typing import Any

from ocs.amounts import Unit, format_quantity
from ocs.catalog.model import Catalog, Period
from ocs.catalog.periods import Periods
from ocs.clock import NS_PER_SECOND, first_id_at
from ocs.errors import RefusedError, UsageError
from ocs.provisioning.catalogues.whatif_pages import Case, Page, Rerater, Sums, Work, begin, work_on
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.provisioning.records import SETTLE_SECONDS
from ocs.provisioning.views import money
from ocs.store.recorded_usage import AccountRange, RecordedUsage, Span

RANGE_RECORDS = 2_000
"""Records of the accounts that a process takes at a time."""
WORST_MAX = 1_000
JOBS_MAX = 64
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: records received from ``since_ns`` to before ``until_ns``."""

    draft: Catalog
    """With the text it was made from as ``source``."""
    draft_name: str
    since_ns: int
    until_ns: int = 0
    """0 = as far as records are settled."""
    plans: Mapping[str, str] = field(default_factory=dict)
    """Plans to charge by instead of those of the records."""
    worst: int = 10
    """How many subscribers are named at each end."""
    jobs: int = 1
    """Processes; more than one open the database by its ``url``."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What it came to."""

    question: Question
    until_ns: int
    page: Page


def parse_plans(words: Sequence[str]) -> dict[str, str]:
    """Return other plans by plan out of words such as ``basic=large``. Raises UsageError."""
    plans: dict[str, str] = {}
    for word in words:
        old, given, new = word.partition("=")
        if not given or not old or not new:
            raise UsageError(f"'{word}' should be OLD=NEW, such as basic=large")
        if old in plans:
            raise UsageError(f"plan '{old}' is replaced twice: by '{plans[old]}' and by '{new}'")
        plans[old] = new
    return plans


def compare(
    desk: Desk, question: Question, progress: Progress = lambda _done, _all: None
) -> Answer:
    """Charge recorded usage again; ``progress`` is told the records done and those in all.

    Raises RefusedError when accounts are kept in another currency, or a plan is not there.
    """
    usage = RecordedUsage(desk.reader)
    _check(usage, question)
    settled_ns = desk.clock.now_ns() - SETTLE_SECONDS * NS_PER_SECOND
    until_ns = min(question.until_ns, settled_ns) if question.until_ns else settled_ns
    since_id = first_id_at(question.since_ns) - 1
    counted_from_ns = _counted_from_ns(question.draft, question.since_ns)
    span = Span(first_id_at(counted_from_ns) - 1, first_id_at(until_ns))
    work = Work(
        question.url, question.draft.source, question.draft_name, desk.policy, span, since_id,
        dict(question.plans), question.worst,
    )  # fmt: skip
    ranges = list(usage.ranges(span, RANGE_RECORDS))
    total = sum(one.records for one in ranges)
    result, done = Page(), 0
    progress(0, total)
    pages = _alone(desk, work, ranges) if question.jobs == 1 else _shared(work, ranges, question)
    for accounts, page in zip(ranges, pages, strict=True):
        result.add(page, question.worst)
        done += accounts.records
        progress(done, total)
    return Answer(question, until_ns, result)


def _counted_from_ns(draft: Catalog, since_ns: int) -> int:
    """Return where the first of the periods around an instant began that a draft counts over."""
    periods = Periods(draft.time_zone)
    counted = {
        rule.price.counted
        for plan in draft.plans.values()
        for terms in plan.terms.values()
        for rule in terms.rules
    } | {Period(limit.period) for plan in draft.plans.values() for limit in plan.limits}
    return min([since_ns, *(periods.around(since_ns, one)[0] for one in counted if one)])


def _check(usage: RecordedUsage, question: Question) -> None:
    draft = question.draft
    for plan in question.plans.values():
        if plan not in draft.plans:
            known = ", ".join(sorted(draft.plans)[:10])
            raise RefusedError(f"'{question.draft_name}' has no plan '{plan}'; it has {known}")
    others = [one for one in usage.currencies() if one != draft.currency]
    if others:
        raise RefusedError(
            f"accounts are kept in {', '.join(others)} and '{question.draft_name}' is in "
            f"{draft.currency}: what they were charged cannot be compared with it"
        )


def _alone(desk: Desk, work: Work, ranges: list[AccountRange]) -> Iterator[Page]:
    rerater = Rerater(work, desk.reader)
    return map(rerater.page, ranges)


def _shared(work: Work, ranges: list[AccountRange], question: Question) -> Iterator[Page]:
    """Yield the pages that several processes make, a few of them ahead."""
    context = get_context("spawn")
    pool = ProcessPoolExecutor(question.jobs, context, begin, (work,))
    try:
        left = iter(ranges)
        running: deque[Future[Page]] = deque(
            pool.submit(work_on, one) for one in islice(left, 3 * question.jobs)
        )
        while running:
            page = running.popleft().result()
            running.extend(pool.submit(work_on, one) for one in islice(left, 1))
            yield page
    except BrokenProcessPool as error:
        raise RefusedError(
            "a process that charged records again was ended from outside; nothing was changed"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def view(answer: Answer) -> dict[str, Any]:
    """Return the comparison as JSON."""
    question, page = answer.question, answer.page
    draft = question.draft
    total = Sums()
    by_plan: dict[str, Sums] = {}
    for (plan, _), sums in page.services.items():
        total.add(sums)
        by_plan.setdefault(plan, Sums()).add(sums)
    return {
        "draft": question.draft_name,
        "draft_name": draft.name,
        "since": format_instant(question.since_ns),
        "until": format_instant(answer.until_ns),
        "currency": draft.currency,
        "records": page.records,
        "left_out": page.left_out,
        "begun_within": page.begun_within,
        **_amounts(total.charged_micro, total.draft_micro),
        "plans": [
            {
                "plan": plan,
                "draft_plan": question.plans.get(plan, plan),
                **_amounts(sums.charged_micro, sums.draft_micro),
            }
            for plan, sums in sorted(by_plan.items())
        ],
        "services": [
            {
                "plan": plan,
                "service": service,
                **_used(draft, service, sums),
                **_amounts(sums.charged_micro, sums.draft_micro),
            }
            for (plan, service), sums in sorted(page.services.items())
        ],
        "subscribers": _spread(page.differences),
        "highest": [_case(one) for one in page.highest],
        "lowest": [_case(one) for one in page.lowest],
        "unrated": [
            {"reason": reason, "records": number}
            for reason, number in page.unrated.most_common()
        ],
    }


def _used(draft: Catalog, service: str, sums: Sums) -> dict[str, Any]:
    """Return how much was used, in the words of the draft where it has the service."""
    known = draft.services.get(service)
    measured = known.counted_in if known and known.unit == sums.unit else Unit(sums.unit)
    return {"unit": measured.label, "used": sums.used,
            "used_text": format_quantity(sums.used, measured)}  # fmt: skip


def _spread(differences: "array[int]") -> dict[str, Any]:
    """Return how the differences of subscribers are spread, by nearest rank."""
    ordered = array("q", sorted(differences))
    size = len(ordered)
    return {
        "count": size,
        "pay_more": sum(1 for one in ordered if one > 0),
        "pay_less": sum(1 for one in ordered if one < 0),
        "pay_the_same": sum(1 for one in ordered if not one),
        "percentiles": [
            {"percent": percent, **money("difference", ordered[-(-size * percent // 100) - 1])}
            for percent in PERCENTILES
            if size
        ],
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "subscriber": case.name,
        "account_id": str(case.account_id),
        "plan": case.plan,
        **_amounts(case.charged_micro, case.draft_micro),
    }


def _amounts(charged_micro: int, draft_micro: int) -> dict[str, Any]:
    difference = draft_micro - charged_micro
    return {
        **money("charged", charged_micro),
        **money("draft_charge", draft_micro),
        **money("difference", difference),
        "difference_percent": _percent(difference, charged_micro),
    }


def _percent(difference_micro: int, charged_micro: int) -> str | None:
    """Return a share with two decimals, rounded half away from zero; None of nothing."""
    if not charged_micro:
        return None
    share = (abs(difference_micro) * 20_000 + abs(charged_micro)) // (2 * abs(charged_micro))
    sign = "-" if share and (difference_micro < 0) != (charged_micro < 0) else ""
    return f"{sign}{share // 100}.{share % 100:02d}"


