"""Price lists of a catalogue file: every price with its conditions, and whether all cases have one.

Called by loading.plans for each service of a plan.
"""

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, field

from ocs.amounts import NamedUnit
from ocs.catalog.conditions import ROLE, Dimension, dimensions_of
from ocs.catalog.exchange import Rate
from ocs.catalog.limits import Limit
from ocs.catalog.loading.conditions import ConditionReader, Names, condition_code
from ocs.catalog.loading.models import PRICE_KEYS, read_price
from ocs.catalog.loading.taxes import Taxes
from ocs.catalog.loading.values import check_code
from ocs.catalog.model import TERMINATING, Condition, Pool, Price, PriceRule, Service
from ocs.catalog.notify import NotifyPolicy
from ocs.catalog.offers import Promotion
from ocs.catalog.tariffs import best_rule, rank
from ocs.marked import Mapping, Node, unknown_word

MAX_RULES = 5_000
MAX_RULE_CODE = 64
_PRICE_KEYS = (*PRICE_KEYS, "sponsor", "when")


@dataclass(slots=True)
class Offer:
    """What plans may refer to, and what they have referred to so far."""

    services: dict[str, Service]
    names: Names
    """Zones of numbers, networks and locations."""
    bands: dict[str, bool]
    """Whether each band ever holds."""
    gap_band: bool
    """Whether there are times in which no band holds."""
    taxes: Taxes
    bands_sound: bool = True
    """Whether it is known when the bands hold: none had a mistake in its times."""
    pools: dict[str, Pool] = field(default_factory=dict)
    units: dict[str, NamedUnit] = field(default_factory=dict)
    notify: NotifyPolicy | None = None
    """What the customers of every plan are told of that says nothing itself."""
    promotions: dict[str, Promotion] = field(default_factory=dict)
    currencies: dict[str, Rate] = field(default_factory=dict)
    """What others than that of all amounts are worth."""
    limits: dict[str, Limit] = field(default_factory=dict)
    """Those of the plan that is being read after which a price changes."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """(kind, name) of every service, zone and time band that a plan names."""

    @property
    def effective_bands(self) -> list[str]:
        """The bands that ever hold, "" among them when there are times without a band."""
        named = [band for band, holds in self.bands.items() if holds]
        return ["", *named] if self.gap_band else named


class PriceListReader:
    """Reads the price rules of one service in one plan and looks for useless ones and gaps."""

    def __init__(self, service: Service, offer: Offer, codes: dict[str, Node]) -> None:
        self._service = service
        self._offer = offer
        self._codes = codes
        """Rule codes of the plan so far."""
        self._conditions = ConditionReader(offer.names, offer.used, offer.limits)
        self._sound = offer.bands_sound
        """Whether every zone and band named exists, and when."""
        self.places: list[Node] = []

    def read(self, group: Mapping, way: str) -> tuple[PriceRule, ...]:
        """Return the rules under ``prices``, or the single one that the group itself is."""
        if way != "prices":
            if group.has("when"):
                group.keys["when"].problem("'when' belongs to one of several prices")
            price = read_price(group, self._service.counted_in)
            sponsor = self._sponsor(group, price)
            rule = PriceRule(self._code(group, "", "", ()), price, sponsor=sponsor)
            self.places.append(group)
            return (rule,)
        entries = group.mappings("prices")
        for key in _PRICE_KEYS:
            if group.has(key):
                group.keys[key].problem(f"'{key}' belongs to each of the prices")
        if len(entries) > MAX_RULES:
            entries[MAX_RULES].problem(f"there are more than {MAX_RULES} prices")
            return ()
        rules = tuple(self._rule(entry) for entry in entries)
        if not rules:
            group.keys["prices"].problem("the list of prices is empty")
        elif self._sound and self._conditions.sound:
            self._check_reach(rules, group.keys["prices"])
        return rules

    def _rule(self, group: Mapping) -> PriceRule:
        zone = self._name(group, "destination", self._offer.names.zones)
        band = self._name(group, "time_band", self._offer.bands)
        if zone and not self._service.destination_rated:
            group.keys["destination"].problem(
                f"service '{self._service.code}' is not rated by destination; "
                "say destination_rated: true there"
            )
            self._sound = False
        if zone:
            self._offer.used.add(("rated", self._service.code))
        when = self._conditions.read(group)
        price = read_price(group, self._service.counted_in)
        rule = PriceRule(
            code=self._code(group, zone, band, when),
            price=price,
            zone=zone,
            band=band,
            when=when,
            sponsor=self._sponsor(group, price),
        )
        group.finish()
        self.places.append(group)
        return rule

    def _sponsor(self, group: Mapping, price: Price) -> str:
        """Return who pays the price instead of the account; empty: nobody (K-216)."""
        node = group.scalar("sponsor")
        if node is None:
            return ""
        if price.counted:
            node.problem("'sponsor' does not go with 'counted': an account's count is its own")
        if self._service.pool:
            node.problem(
                f"'sponsor' does not go with pool '{self._service.pool}', whose quotas the "
                "account's money pays"
            )
        return check_code(node, "sponsor")

    def _name(self, group: Mapping, key: str, known: AbstractMapping[str, object]) -> str:
        node = group.scalar(key)
        if node is None:
            return ""
        self._offer.used.add((key, node.text))
        if node.text not in known:
            what = f"no {key.replace('_', ' ')} of this catalogue"
            node.problem(unknown_word(node.text, what, known))
            self._sound = False
        return node.text

    def _code(
        self, group: Mapping, zone: str, band: str, when: tuple[Condition, ...]
    ) -> str:
        """Return the rule's code, by default service, conditions, destination and time band."""
        given = group.scalar("code")
        place: Node = group if given is None else given
        code = check_code(given, "price") if given is not None else ""
        parts = (self._service.code, *condition_code(when), zone, band)
        code = code or ".".join(part for part in parts if part)
        if len(code) > MAX_RULE_CODE:
            place.problem(f"the code {code} is longer than {MAX_RULE_CODE}; give a shorter code")
        first = self._codes.setdefault(code, place)
        if first is not place:
            place.problem(
                f"this price has the same code as the one in line {first.line}, {code}; "
                "remove one of them or give it a code"
            )
        return code

    def _check_reach(self, rules: tuple[PriceRule, ...], prices: Node) -> None:
        """Note prices that never hold, and cases without a price."""
        plain = [index for index, rule in enumerate(rules) if not rule.when]
        self._check_plain(plain, rules, prices)
        # What may hold in the same cases has the first label of the first condition in common.
        earlier: dict[tuple[str, str, str], list[int]] = {}
        known = dimensions_of(self._offer.names.attributes)
        for index, (rule, place) in enumerate(zip(rules, self.places, strict=True)):
            if not rule.when:
                continue
            first = rule.when[0]
            rivals = earlier.get((rule.zone, rule.band, first.labels[0]), ())
            covering = next((one for one in rivals if _covers(rules[one], rule, known)), None)
            if covering is not None:
                place.problem(
                    "this price never holds: the one in line "
                    f"{self.places[covering].line} holds in the same cases and stands before it"
                )
            for label in first.labels:
                earlier.setdefault((rule.zone, rule.band, label), []).append(index)
            if rule.band and rule.names(ROLE, TERMINATING) and not _always(rule, rules):
                place.problem(
                    "a price of terminating calls in a time band needs one without a time band "
                    "beside it: calls would become free in their midst"
                )

    def _check_plain(
        self, plain: list[int], rules: tuple[PriceRule, ...], prices: Node
    ) -> None:
        """Check the prices without conditions, which must cover every destination and time."""
        by_place = {(rules[index].zone, rules[index].band): index for index in plain}
        reached: set[int] = set()
        gaps: list[str] = []
        for zone in dict.fromkeys(["", *(rules[index].zone for index in plain)]):
            for band in self._offer.effective_bands:
                index = best_rule(by_place, zone, band)
                reached.add(index)
                if index < 0:
                    gaps.append(self._gap(zone, band))
        for index in plain:
            if index not in reached:
                self.places[index].problem(
                    "this price never holds: others that are more specific hold instead"
                )
        if gaps:
            missing = "; ".join(gap for gap in gaps[:3] if gap)
            more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
            case, without = (f" {missing}{more}" if missing else ""), "destination or time_band"
            if len(plain) < len(rules):
                case, without = f"{case} when no condition holds", f"when, {without}"
            prices.problem(f"there is no price{case}; add a price without {without}")

    def _gap(self, zone: str, band: str) -> str:
        if zone:
            where = f"for destination '{zone}'"
        else:
            rated = self._service.destination_rated
            where = "for all other destinations" if rated else ""
        always = len(self._offer.effective_bands) == 1
        when = f"in time band '{band}'" if band else "when no time band holds"
        return " ".join(part for part in (where, "" if always else when) if part)


def _labels(rule: PriceRule) -> dict[str, frozenset[str]]:
    return {one.dimension: frozenset(one.labels) for one in rule.when}


def _covers(rule: PriceRule, other: PriceRule, known: Sequence[Dimension]) -> bool:
    """Whether ``rule``, of the same destination and band, names the same and holds where ``other``
    does.
    """
    if rank(rule, known) != rank(other, known):
        return False
    wide, narrow = _labels(rule), _labels(other)
    return all(narrow[dimension] <= labels for dimension, labels in wide.items())


def _always(rule: PriceRule, rules: tuple[PriceRule, ...]) -> bool:
    """Whether another price of terminating calls holds at all times wherever ``rule`` does."""
    narrow = _labels(rule)
    return any(
        not other.band
        and other.zone in ("", rule.zone)
        and other.names(ROLE, TERMINATING)
        and all(
            name in narrow and narrow[name] <= labels for name, labels in _labels(other).items()
        )
        for other in rules
    )
