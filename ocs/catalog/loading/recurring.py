"""What recurs in a plan of a catalogue file: fees, renewals and the periods they come in.

Called by loading.plans, which has read the plan's allowances before.
"""

import re

from ocs.amounts import AMOUNT_MAX_MICRO, parse_amount
from ocs.catalog.loading.taxes import Taxes
from ocs.catalog.loading.values import check_code, seconds_up_to
from ocs.catalog.model import Plan
from ocs.catalog.recurring import WEEKDAYS, Cycle, Every, Recurring, Unpaid
from ocs.marked import Mapping, unknown_word

MAX_RECURRING = 20
MAX_RETRIES = 20
UNPAID = {"continue": Unpaid.CONTINUE, "bar": Unpaid.BAR}
EVERY = r"(?:([1-9][0-9]{0,3}) )?(day|week|month|year)s?"
_EVERY = re.compile(EVERY)
_CLOCK = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])")
_YEARLY = re.compile("([0-9]{2})-([0-9]{2})")
_UNITS = {unit.name.lower(): unit for unit in Every}
_MOST = {Every.DAY: 3660, Every.WEEK: 520, Every.MONTH: 120, Every.YEAR: 10}
_SHORTEST_DAYS = {Every.DAY: 1, Every.WEEK: 7, Every.MONTH: 28, Every.YEAR: 365}
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def read_recurring(group: Mapping, plan: Plan, taxes: Taxes) -> tuple[Recurring, ...]:
    """Return what recurs in a plan whose allowances are read."""
    found: list[Recurring] = []
    renewed: dict[str, str] = {}
    for key, node in group.mapping("recurring").members():
        code = check_code(key, "recurring item")
        if not isinstance(node, Mapping):
            node.problem(f"recurring item '{code}' needs a group of keys")
        elif len(found) >= MAX_RECURRING:
            key.problem(f"there are more than {MAX_RECURRING} recurring items")
            break
        else:
            found.append(_read_item(code, node, plan, renewed, taxes))
    return tuple(found)


def _read_item(
    code: str, group: Mapping, plan: Plan, renewed: dict[str, str], taxes: Taxes
) -> Recurring:
    tax, fee_micro = taxes.of_fee(group), group.parsed("fee", _fee, 0)
    if tax is not None and not tax.included:
        fee_micro = tax.on_top(fee_micro)
    item = Recurring(
        code=code,
        cycle=_read_cycle(group),
        fee_micro=fee_micro,
        allowances=_read_allowances(code, group, plan, renewed),
        prorate=group.boolean("prorate", default=False),
        retry_seconds=_read_retries(group),
        unpaid=group.choice("unpaid", UNPAID, default=Unpaid.CONTINUE),
        tax=tax if fee_micro else None,
    )
    if not group.has("fee") and not group.has("allowances"):
        group.title.problem(f"recurring item '{code}' does nothing: give fee or allowances")
    for key in ("retry", "unpaid", "tax"):
        if group.has(key) and not group.has("fee"):
            group.keys[key].problem(f"'{key}' is about a fee, and there is none")
    _check_retries(group, item)
    group.finish()
    return item


def _read_cycle(group: Mapping) -> Cycle:
    count, every = group.parsed("every", _every, (1, Every.MONTH), required=True)
    clock = group.scalar("at")
    day = group.scalar("day")
    minute = clock.parsed(_minute, 0) if clock is not None else 0
    if day is None and clock is None:
        return Cycle(every, count)
    if day is None:
        if every is not Every.DAY and clock is not None:
            clock.problem("'at' needs a day of the calendar: give 'day' too")
        on = 0
    elif every is Every.DAY:
        day.problem("every day has no other 'day'; 'at' is its time")
        on = 0
    else:
        on = day.parsed(_DAYS[every], 1)
    if count > 1 and (every is not Every.MONTH or 12 % count):
        place = day or clock
        if place is not None:
            place.problem(
                "the calendar has periods of a day, a week, 1, 2, 3, 4, 6 or 12 months, or a "
                "year; others are counted from the day they began, without 'day' and 'at'"
            )
        return Cycle(every, count)
    return Cycle(every, count, on, minute)


def _read_allowances(
    code: str, group: Mapping, plan: Plan, renewed: dict[str, str]
) -> tuple[str, ...]:
    known = {allowance.code for allowance in plan.allowances}
    found = []
    for key in group.scalars("allowances"):
        if key.text not in known:
            key.problem(unknown_word(key.text, f"no allowance of plan '{plan.code}'", known))
        elif key.text in renewed:
            key.problem(f"allowance '{key.text}' is renewed by '{renewed[key.text]}' already")
        else:
            renewed[key.text] = code
            found.append(key.text)
    return tuple(found)


def _read_retries(group: Mapping) -> tuple[int, ...]:
    times = group.scalars("retry")
    if len(times) > MAX_RETRIES:
        times[MAX_RETRIES].problem(f"there are more than {MAX_RETRIES} times")
    longest = seconds_up_to(366 * 86_400)
    return tuple(time.parsed(longest, 1) for time in times[:MAX_RETRIES])


def _check_retries(group: Mapping, item: Recurring) -> None:
    """Note the first retry that can never be: its period is over before."""
    length = item.cycle.count * _SHORTEST_DAYS[item.cycle.every] * 86_400
    total = 0
    for scalar, seconds in zip(group.scalars("retry"), item.retry_seconds, strict=False):
        total += seconds
        if total >= length:
            scalar.problem("a period may be over before this; the next one begins with its own")
            return


def _every(text: str) -> tuple[int, Every]:
    match = _EVERY.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no period such as day, week, month, year or 3 months")
    count, every = int(match[1] or 1), _UNITS[match[2]]
    if count > _MOST[every]:
        raise ValueError(f"'{text}' is too long; the most is {_MOST[every]} {match[2]}s")
    return count, every


def _minute(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time of day such as 06:30")
    return int(match[1]) * 60 + int(match[2])


def _weekday(text: str) -> int:
    if text not in WEEKDAYS:
        raise ValueError(f"'{text}' is no day of the week ({', '.join(WEEKDAYS)})")
    return WEEKDAYS.index(text)


def _day_of_month(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 31:
        raise ValueError(f"'{text}' is no day of the month, 1 to 31")
    return int(text)


def _day_of_year(text: str) -> int:
    match = _YEARLY.fullmatch(text)
    month, day = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= month <= 12 or not 1 <= day <= _LONGEST[month - 1]:
        raise ValueError(f"'{text}' is no day of the year such as 04-01")
    return 100 * month + day


_DAYS = {Every.WEEK: _weekday, Every.MONTH: _day_of_month, Every.YEAR: _day_of_year}


def _fee(text: str) -> int:
    amount_micro = parse_amount(text)
    if not 0 < amount_micro <= AMOUNT_MAX_MICRO:
        raise ValueError(f"'{text}' is not more than zero")
    return amount_micro


