"""The JSON Schema of catalogue files, for editors that complete and check while one types.

Printed by `ocs catalog schema`; the same is in config/catalogues. It has the keys, words and
shapes of the loader, and takes its words from there; what depends on another part of the file only
`ocs catalog check` knows.
"""

from collections.abc import Iterable

from ocs.amounts import UNIT_DECIMALS_MAX
from ocs.catalog.conditions import MEDIA, RAT_NAMES, RECIPIENTS, RELATIONS, ROLES
from ocs.catalog.loading.bands import MAX_BANDS
from ocs.catalog.loading.examples import MAX_EXAMPLES
from ocs.catalog.loading.exchange import EXCHANGES, MAX_CURRENCIES
from ocs.catalog.loading.limits import EVERY as LIMIT_EVERY
from ocs.catalog.loading.limits import MAX_LIMITS, MAX_PERIODS, THEN
from ocs.catalog.loading.models import COUNTED_FOR, MAX_TIERS, PERIODS
from ocs.catalog.loading.notify import MAX_THRESHOLDS
from ocs.catalog.loading.offers import (
    AT_CLOSE,
    BONUS_UNITS,
    MAX_BONUSES,
    MAX_EXTENSIONS,
    STARTS,
)
from ocs.catalog.loading.plans import MAX_ALLOWANCES, MAX_FRIENDS
from ocs.catalog.loading.prices import MAX_RULES
from ocs.catalog.loading.quota import ENVELOPES, TRIGGERS
from ocs.catalog.loading.recurring import EVERY, MAX_RECURRING, MAX_RETRIES, UNPAID
from ocs.catalog.loading.schema_blocks import (
    AMOUNT,
    AMOUNT_FROM_ZERO,
    BOOLEAN,
    CODE,
    QUANTITY,
    TEXT,
    TIME,
    UNIT_NAME,
    Schema,
    counted,
    group_of,
    integer,
    many,
    matching,
    named,
    ref,
    word,
)
from ocs.catalog.loading.taxes import MAX_TAXES
from ocs.catalog.loading.units import ATTRIBUTE_VALUE, MAX_ATTRIBUTES, MAX_UNITS
from ocs.currencies import NUMERIC_BY_CODE

DIALECT = "http://json-schema.org/draft-07/schema#"
MAX_U32 = (1 << 32) - 1


def catalogue_schema() -> Schema:
    """Return the schema of a whole catalogue file."""
    keys = {
        "name": (TEXT, "what people call this catalogue"),
        "currency": (word(NUMERIC_BY_CODE), "ISO 4217 code of all amounts"),
        "time_zone": ({"type": "string"}, "the clock of the time bands, such as Europe/Madrid"),
        "effective": ({"type": "string"}, "from when on it holds, such as 2026-03-01T00:00"),
        "holidays": (named(many(matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))),
                     "calendars of public holidays, such as 2026-12-25"),
        "time_bands": ({**named(many(ref("span"))), "maxProperties": MAX_BANDS},
                       "named times; the first that covers a moment has it"),
        "destinations": (named(many(matching(r"^\+?[0-9]{1,15}$"))),
                         "named sets of number prefixes; the longest wins"),
        "number_plans": (many(ref("number_plan")), "files with more prefixes"),
        "own_numbers": (many(matching(r"^\+?[0-9]{1,15}$")),
                        "prefixes of the numbers of your own network"),
        "networks": (named(many(matching("^[0-9]{3}(-?[0-9]{2,3})?$"))),
                     "named sets of networks, MCC or MCC-MNC; home is your own"),
        "locations": (named(many(matching(
            "^[0-9]{3}-?[0-9]{2,3}/([0-9]{1,10}(/[0-9]{1,11})?|/[0-9]{1,11})$"))),
            "named sets of areas and cells, such as 214-07/5001/12"),
        "units": ({"type": "object", "propertyNames": {"pattern": UNIT_NAME},
                   "additionalProperties": ref("unit"), "maxProperties": MAX_UNITS},
                  "units of your own, such as kWh"),
        "attributes": ({**named(many(matching(f"^{ATTRIBUTE_VALUE}$"))),
                        "maxProperties": MAX_ATTRIBUTES},
                       "what recorded usage says of itself: its values, or any"),
        "currencies": ({"type": "object", "propertyNames": word(NUMERIC_BY_CODE),
                        "additionalProperties": AMOUNT_FROM_ZERO,
                        "maxProperties": MAX_CURRENCIES},
                       "what one of another currency is worth in that of all amounts"),
        "taxes": ({**named(ref("tax")), "maxProperties": MAX_TAXES},
                  "rates that charges have a part of"),
        "pools": (named(ref("pool")), "credit pools that services may share"),
        "notify": (ref("notify"), "what customers of all plans are told"),
        "promotions": (named(ref("promotion")), "windows of time for bonuses"),
        "services": ({**named(ref("service")), "minProperties": 1}, "what can be charged"),
        "plans": ({**named(ref("plan")), "minProperties": 1}, "what is sold"),
        "examples": ({**many(ref("example")), "maxItems": MAX_EXAMPLES},
                     "what some usage must cost, or the file is not published"),
    }  # fmt: skip
    return {
        "$schema": DIALECT,
        "title": "Catalogue of an online charging server",
        **group_of(keys, "name", "currency", "services", "plans"),
        "definitions": _definitions(),
    }


def _definitions() -> Schema:
    return {
        "span": _span(),
        "number_plan": _number_plan(),
        "unit": _unit(),
        "pool": _pool(),
        "service": _service(),
        "quota": _quota(),
        "plan": _plan(),
        "terms": _terms(),
        "price": _price(),
        "tier": _tier(),
        "when": _when(),
        "final_unit": _final_unit(),
        "notify": _notify(),
        "allowance": _allowance(),
        "limit": _limit(),
        "rollover": _rollover(),
        "bucket_cap": group_of({
            "amount": (QUANTITY, "how much in a period"),
            "every": (word(LIMIT_EVERY), "the period"),
        }, "amount", "every"),
        "recurring": _recurring(),
        "tax": _tax(),
        "promotion": _promotion(),
        "life_cycle": _life_cycle(),
        "bonus": _bonus(),
        "transfers": _transfers(),
        "example": _example(),
    }


# ----------------------------------------------------------------------------------- definitions


def _span() -> Schema:
    return group_of({
        "days": (many({"type": "string"}),
                 "weekdays, ranges such as mon-fri, or holidays; every day if left out"),
        "from": (matching(TIME), "local time, such as 08:00"),
        "to": (matching(TIME), "local time; before 'from' it runs over midnight"),
    })  # fmt: skip


def _number_plan() -> Schema:
    name = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    return group_of({
        "file": (matching(name), "a CSV file beside the catalogue: prefix, destination"),
    }, "file")  # fmt: skip


def _unit() -> Schema:
    return group_of({
        "decimals": (integer(0, UNIT_DECIMALS_MAX), "how finely it is counted; 0 if left out"),
    })  # fmt: skip


def _pool() -> Schema:
    return group_of({
        "number": (integer(1, MAX_U32), "how gateways name it"),
        "unit": (AMOUNT_FROM_ZERO, "what one unit of the pool is worth"),
    }, "number", "unit")  # fmt: skip


def _service() -> Schema:
    group = group_of({
        "contexts": (many({"type": "string"}), "Service-Context-Ids, such as 32251@3gpp.org"),
        "rating_groups": (many(integer(0, MAX_U32)), "rating groups that mean this service"),
        "service_identifiers": (many(integer(0, MAX_U32)),
                                "service identifiers that mean this service"),
        "default": (BOOLEAN, "meant when a request names neither"),
        "unit": (counted("octets", "seconds", "events"), "what is counted"),
        "destination_rated": (BOOLEAN, "prices may depend on the called party or recipient"),
        "quota": (ref("quota"), "how much is granted at a time"),
        "together_with": (TEXT, "a service that counts the same requests in another unit"),
        "pool": (TEXT, "the credit pool its quotas belong to"),
        "tax": (matching(CODE), "the tax in its prices, or on them"),
    }, "unit")  # fmt: skip
    of_requests = ("rating_groups", "service_identifiers", "default", "quota", "pool")
    needs = {key: ["contexts"] for key in (*of_requests, "together_with")}
    return {**group, "dependencies": {"contexts": ["quota"], **needs}}


def _quota() -> Schema:
    mechanism = group_of({
        "type": (word(("discrete", "continuous")), "whole intervals, or until an idle one"),
        "interval": (QUANTITY, "how long one is"),
    }, "type", "interval")  # fmt: skip
    announcement = group_of({
        "identifier": (integer(0, MAX_U32), "a number that the client knows"),
        "before_end": (QUANTITY, "how long before the end of the quota"),
        "uses_quota": (BOOLEAN, "quota is used up while it plays"),
        "language": (TEXT, "such as en"),
        "plays_to": (word(("served", "remote")), "the party that hears it"),
    }, "identifier")  # fmt: skip
    trigger = {"anyOf": [{"enum": sorted(TRIGGERS)}, integer(0, MAX_U32 >> 1)]}
    return group_of({
        "slice": (QUANTITY, "granted when the gateway leaves the size to the server"),
        "maximum": (QUANTITY, "never more in one grant"),
        "minimum_useful": (QUANTITY, "a grant below this counts as out of credit"),
        "validity": (QUANTITY, "after this the gateway has to report"),
        "short_validity": (QUANTITY,
                           "the same while restricted, and while other sessions hold the money"),
        "threshold": (matching("^[0-9]{1,2} ?%?$"), "the gateway asks when this share is left"),
        "threshold_maximum": (QUANTITY, "the threshold is never larger than this"),
        "quota_holding_time": (QUANTITY, "unused quota is given back after this silence"),
        "consumption_time": (QUANTITY, "time goes on counting in gaps up to this long"),
        "time_mechanism": (mechanism, "how a gateway counts time"),
        "triggers": (many(trigger), "changes after which the gateway asks again"),
        "envelopes": (word(ENVELOPES), "how envelopes of usage are reported"),
        "furnish": (TEXT, "free text for the gateway's own records"),
        "announcement": (announcement, "what is played to a caller"),
    })  # fmt: skip


def _plan() -> Schema:
    return group_of({
        "name": (TEXT, "for people"),
        "services": ({"type": "object", "additionalProperties": ref("terms"), "minProperties": 1},
                     "the terms of each service that is sold"),
        "friends": (integer(0, MAX_FRIENDS), "how many numbers a subscriber may name"),
        "limits": ({**named(ref("limit")), "maxProperties": MAX_LIMITS},
                   "how much may be used or spent in a period"),
        "allowances": ({**named(ref("allowance")), "maxProperties": MAX_ALLOWANCES},
                       "what comes with the plan"),
        "recurring": ({**named(ref("recurring")), "maxProperties": MAX_RECURRING},
                      "fees, and allowances that are renewed"),
        "tax": (matching(CODE), "on all that it sells, instead of the services' own; or none"),
        "final_unit": (ref("final_unit"), "what gateways do when the money ends"),
        "credit_limit": (AMOUNT_FROM_ZERO, "how far below zero new accounts may go"),
        "low_balance": (AMOUNT, "below this balance gateways are told so"),
        "open_sessions": (word(("change", "keep")), "what a new catalogue means for them"),
        "life_cycle": (ref("life_cycle"), "how long accounts may be used"),
        "top_up_bonus": ({**named(ref("bonus")), "maxProperties": MAX_BONUSES},
                         "what top-ups bring besides"),
        "transfers": (ref("transfers"), "what customers may give to others"),
        "exchange": (word(EXCHANGES), "when money in another currency becomes the account's own"),
        "notify": (ref("notify"), "what customers are told; keys replace those of the file"),
    }, "services")  # fmt: skip


def _priced() -> dict[str, tuple[Schema, str]]:
    """Return the keys of one price in whichever model."""
    tiers = {"type": "array", "items": ref("tier"), "minItems": 2, "maxItems": MAX_TIERS}
    return {
        "price": (AMOUNT_FROM_ZERO, "amount for every 'per'"),
        "flat": (AMOUNT_FROM_ZERO, "charged once, whatever is used"),
        "stepped": (tiers, "tiers: every unit costs the price of the tier it is in"),
        "volume": (tiers, "tiers: all units cost the price of the tier reached"),
        "package": (QUANTITY, "sold whole: both 'per' and 'increment'"),
        "per": (QUANTITY, "what the price is for"),
        "increment": (QUANTITY, "usage is rounded up to whole increments"),
        "minimum": (QUANTITY, "what is charged at least, once anything is used"),
        "setup": (AMOUNT_FROM_ZERO, "charged once, with the first unit"),
        "maximum": (AMOUNT_FROM_ZERO, "never more than this in all"),
        "counted": (word(PERIODS), "over what usage is counted; a session if left out"),
        "counted_for": (word(COUNTED_FOR), "whose usage is one count"),
        "sponsor": (matching(CODE), "who pays it instead of the account"),
        "code": (matching(CODE), "name of the price in the ledger"),
    }


def _terms() -> Schema:
    modes = ("free", "uncontrolled")
    group = group_of({
        **_priced(),
        "prices": ({**many(ref("price")), "maxItems": MAX_RULES},
                   "several prices; the most specific holds"),
        "charge": (word(modes), "costs nothing, or is not even counted"),
        "clock": (word(("catalogue", "subscriber")), "the clock of the time bands"),
        "quota": (ref("quota"), "single values instead of the service's own"),
        "final_unit": (ref("final_unit"), "instead of the plan's"),
    })  # fmt: skip
    models = ("price", "flat", "stepped", "volume", "prices", "charge")
    return {"anyOf": [{"enum": list(modes)}, {**group, "oneOf": _one_of(models)}]}


def _one_of(keys: Iterable[str]) -> list[Schema]:
    return [{"required": [key]} for key in keys]


def _price() -> Schema:
    group = group_of({
        **_priced(),
        "destination": (TEXT, "only for numbers of this destination"),
        "time_band": (TEXT, "only in this time band"),
        "when": (ref("when"), "only under these conditions, which must all hold"),
    })  # fmt: skip
    return {**group, "oneOf": _one_of(("price", "flat", "stepped", "volume"))}


def _tier() -> Schema:
    return group_of({
        "up_to": (QUANTITY, "where the tier ends; the last has no end"),
        "price": (AMOUNT_FROM_ZERO, "amount for every 'per'"),
        "flat": (AMOUNT_FROM_ZERO, "charged once for reaching the tier"),
    }, "price")  # fmt: skip


def _when() -> Schema:
    radio = {"anyOf": [{"enum": sorted({*RAT_NAMES.values()})}, integer(0, 255)]}
    group = group_of({
        "limit": (many(TEXT), "names of limits of the plan that are reached"),
        "relation": (many(word(RELATIONS)), "of the other party to the subscriber"),
        "role": (many(word(ROLES.values())), "of the subscriber in a call"),
        "visited": (many(TEXT), "names of networks"),
        "roaming": (BOOLEAN, "in any known network but home"),
        "location": (many(TEXT), "names of locations"),
        "recipient": (many(word(RECIPIENTS.values())), "kind of address of a message"),
        "media": (many(word(MEDIA)), "of a call; of several the first of these"),
        "rat": (many(radio), "radio access"),
        "apn": (many(TEXT), "access point names"),
        "rule_base": (many(TEXT), "Charging-Rule-Base-Names"),
        "charging_characteristics": (many(TEXT), "four hexadecimal digits"),
        "origin": (many(TEXT), "names of destinations: who calls or sends"),
    })  # fmt: skip
    # Attributes of the catalogue are conditions too.
    anything = many(matching(f"^{ATTRIBUTE_VALUE}$"))
    return {**group, "additionalProperties": anything, "minProperties": 1}


def _final_unit() -> Schema:
    group = group_of({
        "action": (word(("terminate", "redirect", "restrict")), "what the gateway does"),
        "url": ({"type": "string"}, "where to redirect to"),
        "ipv4": ({"type": "string"}, "where to redirect to"),
        "ipv6": ({"type": "string"}, "where to redirect to"),
        "sip": ({"type": "string"}, "where to redirect to"),
        "filter_rules": (many({"type": "string"}), "traffic still allowed, as IPFilterRule"),
        "filter_ids": (many(TEXT), "the same by names that the gateway knows"),
        "qos": (BOOLEAN, "say it as QoS-Final-Unit-Indication too"),
        "zero_grant": (BOOLEAN, "an empty account gets a grant of nothing, not 4012"),
    }, "action")  # fmt: skip
    return {"anyOf": [{"enum": ["terminate", "restrict"]}, group]}


def _notify() -> Schema:
    def several(member: Schema) -> Schema:
        listed = {"type": "array", "items": member, "maxItems": MAX_THRESHOLDS}
        return {"anyOf": [member, listed]}

    percent = matching("^[0-9]{1,3} ?%?$")
    return group_of({
        "used": (several(percent), "shares of a bucket of units that are used up"),
        "low_balance": (several(AMOUNT), "balances that are reached from above"),
        "expiry": (several(QUANTITY), "times before a bucket expires"),
        "caps": (several(percent), "shares of a cap, a fair-use or a spending limit"),
        "roaming": (BOOLEAN, "coming into another country"),
        "renewal": (BOOLEAN, "renewals, and those that fail"),
        "life_cycle": (BOOLEAN, "changes of the account's state"),
    })  # fmt: skip


def _allowance() -> Schema:
    return group_of({
        "unit": (counted("octets", "seconds", "events", "money"), "what it is counted in"),
        "amount": (QUANTITY, "how much"),
        "services": (many(TEXT), "which services it pays for; all of its unit if left out"),
        "priority": (integer(0, 1000), "the smaller is spent first"),
        "expires_after": (QUANTITY, "counted from the day the plan was given"),
        "rollover": (ref("rollover"), "what is carried over when it is renewed"),
        "at_most": (ref("bucket_cap"), "no more of it is used in a period; then the next pays"),
        "on_plan_change": (word(("keep", "end")), "what is left when the plan is left"),
    }, "unit", "amount")  # fmt: skip


def _rollover() -> Schema:
    group = group_of({
        "periods": (integer(1, MAX_PERIODS), "how many periods longer it can be used"),
        "share": (matching("^[0-9]{1,3} ?%?$"), "of the allowance: no more of one period"),
        "maximum": (QUANTITY, "no more of all earlier periods together"),
    })  # fmt: skip
    return {"anyOf": [BOOLEAN, group]}


def _limit() -> Schema:
    return group_of({
        "unit": (TEXT, "octets, seconds, events, money or a unit of your own"),
        "amount": (QUANTITY, "how much in a period"),
        "every": (word(LIMIT_EVERY), "the period"),
        "services": (many(TEXT), "what counts; all of the unit if left out"),
        "for": (word(COUNTED_FOR), "whose usage counts together"),
        "then": (word(THEN), "usage stops, or goes on at another price"),
    }, "unit", "amount", "every")  # fmt: skip


def _tax() -> Schema:
    return group_of({
        "rate": (matching(r"^[0-9]{1,3}(\.[0-9]{1,6})? ?%$"), "of the price without it"),
        "included": (BOOLEAN, "whether prices are given with it; they are if left out"),
    }, "rate")  # fmt: skip


def _recurring() -> Schema:
    return group_of({
        "every": (matching(f"^{EVERY}$"), "such as month, week, 30 days or 3 months"),
        "day": (TEXT, "of the month, mon to sun, or such as 04-01; if left out, the first day's"),
        "at": (matching("^([01][0-9]|2[0-3]):[0-5][0-9]$"), "local time; 00:00 if left out"),
        "fee": (AMOUNT_FROM_ZERO, "debited when a period begins"),
        "allowances": (many(TEXT), "those of the plan that are filled anew with each period"),
        "prorate": (BOOLEAN, "a part of a period costs and brings a part"),
        "retry": ({"anyOf": [QUANTITY, {"type": "array", "items": QUANTITY,
                                         "maxItems": MAX_RETRIES}]},
                  "when it is tried again while money is short, each after the time before"),
        "unpaid": (word(UNPAID), "what may be used while the fee is unpaid"),
        "tax": (matching(CODE), "the tax in the fee, or on it"),
    }, "every")  # fmt: skip


def _promotion() -> Schema:
    return group_of({
        "from": ({"type": "string"}, "such as 2026-12-24, on the catalogue's clock"),
        "to": ({"type": "string"}, "the first day or moment that is outside again"),
        "times": (integer(0, 1_000_000), "how often an account may have it; 0 is always"),
    }, "from", "to")  # fmt: skip


def _life_cycle() -> Schema:
    extension = group_of({
        "from": (AMOUNT_FROM_ZERO, "the least amount that brings it"),
        "validity": (QUANTITY, "counted from the top-up"),
    }, "validity")  # fmt: skip
    return group_of({
        "starts": (word(STARTS), "when an account becomes active"),
        "validity": (QUANTITY, "how long it is active then"),
        "grace": (QUANTITY, "how long only free services may be used afterwards"),
        "barred": (QUANTITY, "how long it is barred before it is closed; for ever if left out"),
        "top_up_validity": ({**many(extension), "maxItems": MAX_EXTENSIONS},
                            "how long top-ups make it valid"),
        "longest_validity": (QUANTITY, "no top-up makes it valid for longer"),
        "at_close": (word(AT_CLOSE), "what happens to what is left"),
    })  # fmt: skip


def _bonus() -> Schema:
    return group_of({
        "share": (matching("^[0-9]{1,4} ?%?$"), "of the top-up, as money"),
        "maximum": (AMOUNT_FROM_ZERO, "a share is never more than this"),
        "unit": (word(BONUS_UNITS), "what a fixed amount is counted in; money if left out"),
        "amount": (QUANTITY, "a fixed amount instead of a share"),
        "from": (AMOUNT_FROM_ZERO, "the least top-up that brings it"),
        "up_to": (AMOUNT_FROM_ZERO, "the largest top-up that brings it"),
        "services": (many(TEXT), "which services it pays for; all if left out"),
        "priority": (integer(0, 1000), "the smaller is spent first"),
        "expires_after": (QUANTITY, "counted from the top-up"),
        "promotion": (TEXT, "only in this promotion's window"),
    })  # fmt: skip


def _transfers() -> Schema:
    return group_of({
        "fee": (AMOUNT_FROM_ZERO, "paid by the giver on top of each transfer"),
        "minimum": (AMOUNT_FROM_ZERO, "the least that can be given"),
        "maximum": (AMOUNT_FROM_ZERO, "the most of one transfer"),
        "daily": (AMOUNT_FROM_ZERO, "the most of a day, fees left out"),
        "daily_count": (integer(0, 10_000), "how many a day"),
        "keeps": (AMOUNT_FROM_ZERO, "what the giver must have left"),
    })  # fmt: skip


def _example() -> Schema:
    return group_of({
        "plan": (TEXT, "code of a plan"),
        "service": (TEXT, "code of a service"),
        "used": (QUANTITY, "how much is used"),
        "before": (QUANTITY, "used in the same session before"),
        "to": (matching(r"^\+?[0-9]{1,15}$"), "called number or recipient"),
        "at": ({"type": "string"}, "such as 2025-03-04T12:00, on the catalogue's clock"),
        "when": (ref("when"), "conditions that are fulfilled, one value each"),
        "clock": (matching("^[-+](0[0-9]|1[0-9]):[0-5][0-9]$"), "of the subscriber's place"),
        "costs": (AMOUNT, "money that is charged, without allowances"),
        "price": (TEXT, "code of the price that must hold"),
    }, "plan", "service", "used", "costs")  # fmt: skip
