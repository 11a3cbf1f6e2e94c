"""What plans of a catalogue file promise besides prices: life cycle, top-up bonus, transfers.

Called by loading.document (promotions) and loading.plans.
"""

from collections.abc import Mapping as AbstractMapping
from zoneinfo import ZoneInfo

from ocs.amounts import Unit
from ocs.catalog.loading.values import (
    amount_from_zero,
    check_code,
    instant_in,
    more_than_zero,
    seconds_up_to,
)
from ocs.catalog.model import ChargeMode, Plan, Service
from ocs.catalog.offers import Bonus, Extension, LifeCycle, Promotion, Transfers
from ocs.marked import Mapping, Scalar, unknown_word

MAX_PROMOTIONS = 200
MAX_BONUSES = 50
MAX_EXTENSIONS = 20
MAX_SECONDS = 20 * 365 * 86400
MAX_SHARE = 1_000
BONUS_UNITS = {unit.label: unit for unit in (Unit.MONEY, Unit.OCTETS, Unit.SECONDS, Unit.EVENTS)}
STARTS = {"at-once": False, "first-use": True}
AT_CLOSE = {"keep": False, "expire": True}
_OF_VALIDITY = ("grace", "barred", "top_up_validity", "longest_validity", "at_close")
_duration = seconds_up_to(MAX_SECONDS)


def read_promotions(root: Mapping, time_zone: str) -> dict[str, Promotion]:
    """Return the windows of time that bonuses may be bound to; local times are ``time_zone``'s."""
    promotions: dict[str, Promotion] = {}
    instant = instant_in(ZoneInfo(time_zone))
    for key, node in root.mapping("promotions").members():
        code = check_code(key, "promotion")
        if len(promotions) >= MAX_PROMOTIONS:
            key.problem(f"there are more than {MAX_PROMOTIONS} promotions")
            break
        if not isinstance(node, Mapping):
            node.problem(f"promotion '{code}' needs a group of keys")
            continue
        starts_ns = node.parsed("from", instant, 0, required=True)
        ends_ns = node.parsed("to", instant, 0, required=True)
        times = node.integer("times", 0, minimum=0, maximum=1_000_000)
        if node.has("to") and starts_ns and ends_ns and ends_ns <= starts_ns:
            node.entries["to"].problem("the window ends before it begins")
        node.finish()
        promotions[code] = Promotion(code, starts_ns, ends_ns, times)
    return promotions


def read_life_cycle(group: Mapping) -> LifeCycle | None:
    """Return how accounts of a plan live; None where it says nothing."""
    if not group.has("life_cycle"):
        return None
    node = group.mapping("life_cycle")
    terms = LifeCycle(
        first_use=node.choice("starts", STARTS, default=False),
        validity_seconds=node.parsed("validity", _duration, 0),
        grace_seconds=node.parsed("grace", seconds_up_to(MAX_SECONDS, minimum=0), 0),
        barred_seconds=(
            node.parsed("barred", seconds_up_to(MAX_SECONDS, minimum=0), 0)
            if node.has("barred") else None
        ),
        extensions=_read_extensions(node),
        longest_seconds=node.parsed("longest_validity", _duration, 0),
        forfeits=node.choice("at_close", AT_CLOSE, default=False),
    )  # fmt: skip
    if not node.has("validity"):
        vain = [key for key in _OF_VALIDITY if node.has(key)]
        for key in vain:
            node.entries[key].problem(f"'{key}' has no meaning without 'validity'")
        if not vain and not node.has("starts"):
            node.title.problem("a life cycle has a 'validity', or 'starts: first-use'")
    elif terms.barred_seconds is None and node.has("at_close"):
        node.entries["at_close"].problem("an account is closed only where 'barred' has an end")
    node.finish()
    return terms


def _read_extensions(group: Mapping) -> tuple[Extension, ...]:
    extensions: list[Extension] = []
    for node in group.mappings("top_up_validity"):
        if len(extensions) >= MAX_EXTENSIONS:
            node.problem(f"there are more than {MAX_EXTENSIONS}")
            break
        one = Extension(
            node.parsed("from", amount_from_zero, 0),
            node.parsed("validity", _duration, 0, required=True),
        )
        if extensions and one.from_micro <= extensions[-1].from_micro:
            place = node.entries.get("from", node)
            place.problem("the amounts must rise: each holds from there on")
        node.finish()
        extensions.append(one)
    return tuple(extensions)


class BonusReader:
    """Reads what top-ups bring in one plan."""

    def __init__(
        self, plan: Plan, services: AbstractMapping[str, Service],
        promotions: AbstractMapping[str, Promotion], used: set[tuple[str, str]],
    ) -> None:  # fmt: skip
        self._plan = plan
        self._services = services
        self._promotions = promotions
        self._used = used

    def read(self, group: Mapping) -> tuple[Bonus, ...]:
        """Return every bonus of a plan, in the order of the file."""
        bonuses: list[Bonus] = []
        for key, node in group.mapping("top_up_bonus").members():
            code = check_code(key, "bonus")
            if len(bonuses) >= MAX_BONUSES:
                key.problem(f"there are more than {MAX_BONUSES} bonuses")
                break
            if isinstance(node, Mapping):
                bonuses.append(self._read(code, node))
            else:
                node.problem(f"bonus '{code}' needs a group of keys")
        return tuple(bonuses)

    def _read(self, code: str, group: Mapping) -> Bonus:
        share = group.parsed("share", _share, 0)
        unit = group.choice("unit", BONUS_UNITS, default=Unit.MONEY)
        if group.has("share") == group.has("amount"):
            group.title.problem("give either a 'share' of the top-up or a fixed 'amount'")
        if share and unit is not Unit.MONEY:
            group.entries["unit"].problem("a share of a top-up is money")
        bonus = Bonus(
            code=code,
            unit=unit,
            amount=group.parsed("amount", more_than_zero(unit), 0),
            share_percent=share,
            maximum_micro=group.parsed("maximum", more_than_zero(Unit.MONEY), 0),
            from_micro=group.parsed("from", amount_from_zero, 0),
            up_to_micro=group.parsed("up_to", more_than_zero(Unit.MONEY), 0),
            services=tuple(
                key.text for key in group.scalars("services") if self._pays(key, unit)
            ),
            priority=group.integer("priority", 100, minimum=0, maximum=1000),
            expires_after_seconds=group.parsed(
                "expires_after", seconds_up_to(MAX_SECONDS, minimum=0), 0
            ),
            promotion=self._promotion(group),
        )
        if bonus.maximum_micro and not share:
            group.entries["maximum"].problem("'maximum' is for a share")
        if 0 < bonus.up_to_micro < bonus.from_micro:
            group.entries["up_to"].problem("'up_to' is less than 'from': no top-up brings it")
        if not group.has("services") and not self._usable(unit):
            group.title.problem(
                f"no service with a price in plan '{self._plan.code}' can use this bonus"
            )
        group.finish()
        return bonus

    def _promotion(self, group: Mapping) -> str:
        node = group.scalar("promotion")
        if node is None:
            return ""
        if node.text not in self._promotions:
            node.problem(unknown_word(node.text, "no promotion", {*self._promotions}))
            return ""
        self._used.add(("promotion", node.text))
        return node.text

    def _usable(self, unit: Unit) -> bool:
        return any(
            terms.mode is ChargeMode.PRICED
            and (unit is Unit.MONEY or self._services[code].measure == "")
            and unit in {Unit.MONEY, self._services[code].unit}
            for code, terms in self._plan.terms.items()
        )

    def _pays(self, key: Scalar, unit: Unit) -> bool:
        service, terms = self._services.get(key.text), self._plan.terms.get(key.text)
        if service is None:
            key.problem(unknown_word(key.text, "no service of this catalogue", {*self._services}))
        elif terms is None:
            key.problem(f"plan '{self._plan.code}' does not sell service '{key.text}'")
        elif terms.mode is not ChargeMode.PRICED:
            key.problem(f"service '{key.text}' costs nothing in plan '{self._plan.code}'")
        elif unit is not Unit.MONEY and (unit is not service.unit or service.measure):
            key.problem(
                f"service '{key.text}' is counted in {service.counted_in.label}, this bonus in "
                f"{unit.label}"
            )
        else:
            return True
        return False


def read_transfers(group: Mapping) -> Transfers | None:
    """Return what customers of a plan may give to others; None where it says nothing."""
    if not group.has("transfers"):
        return None
    node = group.mapping("transfers")
    terms = Transfers(
        fee_micro=node.parsed("fee", amount_from_zero, 0),
        minimum_micro=node.parsed("minimum", more_than_zero(Unit.MONEY), 1),
        maximum_micro=node.parsed("maximum", more_than_zero(Unit.MONEY), 0),
        daily_micro=node.parsed("daily", more_than_zero(Unit.MONEY), 0),
        daily_count=node.integer("daily_count", 0, minimum=0, maximum=10_000),
        keeps_micro=node.parsed("keeps", amount_from_zero, 0),
    )
    for key, bound in (("maximum", terms.maximum_micro), ("daily", terms.daily_micro)):
        if 0 < bound < terms.minimum_micro:
            node.entries[key].problem(f"'{key}' is less than 'minimum': nothing can be given")
    node.finish()
    return terms


def _share(text: str) -> int:
    digits = text.strip().removesuffix("%").strip()
    if not digits.isascii() or not digits.isdecimal() or not 0 < int(digits[:5]) <= MAX_SHARE:
        raise ValueError(f"'{text}' is no share such as 20 %, at most {MAX_SHARE} %")
    return int(digits)
