"""The JSON Schema of catalogue files, for editors that complete and check while one types.

Printed by `ocs catalog schema`; the same is in config/catalogues. It has the keys, words and
shapes of the loader, and takes its words from there; what depends on another part of the file only
`ocs catalog check` knows.
"""

from collections.abc import Iterable
from typing import Any

from ocs.amounts import UNIT_DECIMALS_MAX
from ocs.catalog.conditions import MEDIA, RAT_NAMES, RECIPIENTS, ROLES
from ocs.catalog.loader_bands import MAX_BANDS
from ocs.catalog.loader_examples import MAX_EXAMPLES
from ocs.catalog.loader_limits import EVERY as LIMIT_EVERY
from ocs.catalog.loader_limits import MAX_LIMITS, MAX_PERIODS, THEN
from ocs.catalog.loader_models import COUNTED_FOR, MAX_TIERS, PERIODS
from ocs.catalog.loader_notify import MAX_THRESHOLDS
from ocs.catalog.loader_offers import (
    AT_CLOSE,
    BONUS_UNITS,
    MAX_BONUSES,
    MAX_EXTENSIONS,
    STARTS,
)
from ocs.catalog.loader_plans import MAX_ALLOWANCES
from ocs.catalog.loader_prices import MAX_RULES
from ocs.catalog.loader_quota import ENVELOPES, TRIGGERS
from ocs.catalog.loader_recurring import EVERY, MAX_RECURRING, MAX_RETRIES, UNPAID
from ocs.catalog.loader_taxes import MAX_TAXES
from ocs.catalog.loader_units import ATTRIBUTE_VALUE, MAX_ATTRIBUTES, MAX_UNITS
from ocs.currencies import NUMERIC_BY_CODE

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
MAX_U32 = (1 << 32) - 1
_CODE = "^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$"
_DIGITS = "[0-9][0-9_]*"
_UNIT_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,19}$"
_TIME = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_BOOLEAN: Schema = {"type": "boolean"}
_AMOUNT: Schema = {"type": ["number", "string"], "pattern": rf"^\s*-?{_DIGITS}(\.[0-9]+)?\s*$"}
_AMOUNT_FROM_ZERO: Schema = {**_AMOUNT, "minimum": 0, "pattern": rf"^\s*{_DIGITS}(\.[0-9]+)?\s*$"}
_QUANTITY: Schema = {
    "type": ["number", "string"], "minimum": 0,
    "pattern": rf"^\s*{_DIGITS}(\.[0-9]+)?\s*[A-Za-z]*\s*$",
}  # fmt: skip


def catalogue_schema() -> Schema:
    """Return the schema of a whole catalogue file."""
    keys = {
        "name": (_TEXT, "what people call this catalogue"),
        "currency": (_word(NUMERIC_BY_CODE), "ISO 4217 code of all amounts"),
        "time_zone": ({"type": "string"}, "the clock of the time bands, such as Europe/Madrid"),
        "effective": ({"type": "string"}, "from when on it holds, such as 2026-03-01T00:00"),
        "holidays": (_named(_many(_matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))),
                     "calendars of public holidays, such as 2026-12-25"),
        "time_bands": ({**_named(_many(_ref("span"))), "maxProperties": MAX_BANDS},
                       "named times; the first that covers a moment has it"),
        "destinations": (_named(_many(_matching(r"^\+?[0-9]{1,15}$"))),
                         "named sets of number prefixes; the longest wins"),
        "number_plans": (_many(_ref("number_plan")), "files with more prefixes"),
        "networks": (_named(_many(_matching("^[0-9]{3}(-?[0-9]{2,3})?$"))),
                     "named sets of networks, MCC or MCC-MNC; home is your own"),
        "locations": (_named(_many(_matching(
            "^[0-9]{3}-?[0-9]{2,3}/([0-9]{1,10}(/[0-9]{1,11})?|/[0-9]{1,11})$"))),
            "named sets of areas and cells, such as 214-07/5001/12"),
        "units": ({"type": "object", "propertyNames": {"pattern": _UNIT_NAME},
                   "additionalProperties": _ref("unit"), "maxProperties": MAX_UNITS},
                  "units of your own, such as kWh"),
        "attributes": ({**_named(_many(_matching(f"^{ATTRIBUTE_VALUE}$"))),
                        "maxProperties": MAX_ATTRIBUTES},
                       "what recorded usage says of itself: its values, or any"),
        "taxes": ({**_named(_ref("tax")), "maxProperties": MAX_TAXES},
                  "rates that charges have a part of"),
        "pools": (_named(_ref("pool")), "credit pools that services may share"),
        "notify": (_ref("notify"), "what customers of all plans are told"),
        "promotions": (_named(_ref("promotion")), "windows of time for bonuses"),
        "services": ({**_named(_ref("service")), "minProperties": 1}, "what can be charged"),
        "plans": ({**_named(_ref("plan")), "minProperties": 1}, "what is sold"),
        "examples": ({**_many(_ref("example")), "maxItems": MAX_EXAMPLES},
                     "what some usage must cost, or the file is not published"),
    }  # fmt: skip
    return {
        "$schema": DIALECT,
        "title": "Catalogue of an online charging server",
        **_group(keys, "name", "currency", "services", "plans"),
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
        "recurring": _recurring(),
        "tax": _tax(),
        "promotion": _promotion(),
        "life_cycle": _life_cycle(),
        "bonus": _bonus(),
        "transfers": _transfers(),
        "example": _example(),
    }


# ------------------------------------------------------------------------------- building blocks


def _group(keys: dict[str, tuple[Schema, str]], *required: str) -> Schema:
    """Return a group of known keys, each with its schema and what it means."""
    properties = {
        key: {"allOf": [schema], "description": words} if "$ref" in schema else
        {**schema, "description": words}
        for key, (schema, words) in keys.items()
    }  # fmt: skip
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _word(words: Iterable[str]) -> Schema:
    return {"enum": sorted(words)}


def _counted(*words: str) -> Schema:
    """Return one of the words, or the name of a unit under ``units``."""
    return {"anyOf": [_word(words), {"type": "string", "pattern": _UNIT_NAME}]}


def _matching(pattern: str) -> Schema:
    """Return the schema of a word; one of digits only is a number for an editor."""
    return {"type": ["string", "number"], "pattern": pattern}


def _many(member: Schema) -> Schema:
    """Return a list; a list of one value may be written without brackets."""
    return {"anyOf": [member, {"type": "array", "items": member}]}


def _named(member: Schema) -> Schema:
    """Return a group whose keys are codes."""
    return {
        "type": "object",
        "propertyNames": {"pattern": _CODE},
        "additionalProperties": member,
    }


def _integer(minimum: int, maximum: int) -> Schema:
    return {
        "type": ["integer", "string"], "minimum": minimum, "maximum": maximum,
        "pattern": f"^{_DIGITS}$",
    }  # fmt: skip


# ----------------------------------------------------------------------------------- definitions


def _span() -> Schema:
    return _group({
        "days": (_many({"type": "string"}),
                 "weekdays, ranges such as mon-fri, or holidays; every day if left out"),
        "from": (_matching(_TIME), "local time, such as 08:00"),
        "to": (_matching(_TIME), "local time; before 'from' it runs over midnight"),
    })  # fmt: skip


def _number_plan() -> Schema:
    name = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    return _group({
        "file": (_matching(name), "a CSV file beside the catalogue: prefix, destination"),
    }, "file")  # fmt: skip


def _unit() -> Schema:
    return _group({
        "decimals": (_integer(0, UNIT_DECIMALS_MAX), "how finely it is counted; 0 if left out"),
    })  # fmt: skip


def _pool() -> Schema:
    return _group({
        "number": (_integer(1, MAX_U32), "how gateways name it"),
        "unit": (_AMOUNT_FROM_ZERO, "what one unit of the pool is worth"),
    }, "number", "unit")  # fmt: skip


def _service() -> Schema:
    group = _group({
        "contexts": (_many({"type": "string"}), "Service-Context-Ids, such as 32251@3gpp.org"),
        "rating_groups": (_many(_integer(0, MAX_U32)), "rating groups that mean this service"),
        "service_identifiers": (_many(_integer(0, MAX_U32)),
                                "service identifiers that mean this service"),
        "default": (_BOOLEAN, "meant when a request names neither"),
        "unit": (_counted("octets", "seconds", "events"), "what is counted"),
        "destination_rated": (_BOOLEAN, "prices may depend on the called party or recipient"),
        "quota": (_ref("quota"), "how much is granted at a time"),
        "together_with": (_TEXT, "a service that counts the same requests in another unit"),
        "pool": (_TEXT, "the credit pool its quotas belong to"),
        "tax": (_matching(_CODE), "the tax in its prices, or on them"),
    }, "unit")  # fmt: skip
    of_requests = ("rating_groups", "service_identifiers", "default", "quota", "pool")
    needs = {key: ["contexts"] for key in (*of_requests, "together_with")}
    return {**group, "dependencies": {"contexts": ["quota"], **needs}}


def _quota() -> Schema:
    mechanism = _group({
        "type": (_word(("discrete", "continuous")), "whole intervals, or until an idle one"),
        "interval": (_QUANTITY, "how long one is"),
    }, "type", "interval")  # fmt: skip
    announcement = _group({
        "identifier": (_integer(0, MAX_U32), "a number that the client knows"),
        "before_end": (_QUANTITY, "how long before the end of the quota"),
        "uses_quota": (_BOOLEAN, "quota is used up while it plays"),
        "language": (_TEXT, "such as en"),
        "plays_to": (_word(("served", "remote")), "the party that hears it"),
    }, "identifier")  # fmt: skip
    trigger = {"anyOf": [{"enum": sorted(TRIGGERS)}, _integer(0, MAX_U32 >> 1)]}
    return _group({
        "slice": (_QUANTITY, "granted when the gateway leaves the size to the server"),
        "maximum": (_QUANTITY, "never more in one grant"),
        "minimum_useful": (_QUANTITY, "a grant below this counts as out of credit"),
        "validity": (_QUANTITY, "after this the gateway has to report"),
        "short_validity": (_QUANTITY, "the same for the last money, and while restricted"),
        "threshold": (_matching("^[0-9]{1,2} ?%?$"), "the gateway asks when this share is left"),
        "threshold_maximum": (_QUANTITY, "the threshold is never larger than this"),
        "quota_holding_time": (_QUANTITY, "unused quota is given back after this silence"),
        "consumption_time": (_QUANTITY, "time goes on counting in gaps up to this long"),
        "time_mechanism": (mechanism, "how a gateway counts time"),
        "triggers": (_many(trigger), "changes after which the gateway asks again"),
        "envelopes": (_word(ENVELOPES), "how envelopes of usage are reported"),
        "furnish": (_TEXT, "free text for the gateway's own records"),
        "announcement": (announcement, "what is played to a caller"),
    })  # fmt: skip


def _plan() -> Schema:
    return _group({
        "name": (_TEXT, "for people"),
        "services": ({"type": "object", "additionalProperties": _ref("terms"), "minProperties": 1},
                     "the terms of each service that is sold"),
        "limits": ({**_named(_ref("limit")), "maxProperties": MAX_LIMITS},
                   "how much may be used or spent in a period"),
        "allowances": ({**_named(_ref("allowance")), "maxProperties": MAX_ALLOWANCES},
                       "what comes with the plan"),
        "recurring": ({**_named(_ref("recurring")), "maxProperties": MAX_RECURRING},
                      "fees, and allowances that are renewed"),
        "tax": (_matching(_CODE), "on all that it sells, instead of the services' own; or none"),
        "final_unit": (_ref("final_unit"), "what gateways do when the money ends"),
        "credit_limit": (_AMOUNT_FROM_ZERO, "how far below zero new accounts may go"),
        "low_balance": (_AMOUNT, "below this balance gateways are told so"),
        "open_sessions": (_word(("change", "keep")), "what a new catalogue means for them"),
        "life_cycle": (_ref("life_cycle"), "how long accounts may be used"),
        "top_up_bonus": ({**_named(_ref("bonus")), "maxProperties": MAX_BONUSES},
                         "what top-ups bring besides"),
        "transfers": (_ref("transfers"), "what customers may give to others"),
        "notify": (_ref("notify"), "what customers are told; keys replace those of the file"),
    }, "services")  # fmt: skip


def _priced() -> dict[str, tuple[Schema, str]]:
    """Return the keys of one price in whichever model."""
    tiers = {"type": "array", "items": _ref("tier"), "minItems": 2, "maxItems": MAX_TIERS}
    return {
        "price": (_AMOUNT_FROM_ZERO, "amount for every 'per'"),
        "flat": (_AMOUNT_FROM_ZERO, "charged once, whatever is used"),
        "stepped": (tiers, "tiers: every unit costs the price of the tier it is in"),
        "volume": (tiers, "tiers: all units cost the price of the tier reached"),
        "package": (_QUANTITY, "sold whole: both 'per' and 'increment'"),
        "per": (_QUANTITY, "what the price is for"),
        "increment": (_QUANTITY, "usage is rounded up to whole increments"),
        "minimum": (_QUANTITY, "what is charged at least, once anything is used"),
        "setup": (_AMOUNT_FROM_ZERO, "charged once, with the first unit"),
        "maximum": (_AMOUNT_FROM_ZERO, "never more than this in all"),
        "counted": (_word(PERIODS), "over what usage is counted; a session if left out"),
        "counted_for": (_word(COUNTED_FOR), "whose usage is one count"),
        "code": (_matching(_CODE), "name of the price in the ledger"),
    }


def _terms() -> Schema:
    modes = ("free", "uncontrolled")
    group = _group({
        **_priced(),
        "prices": ({**_many(_ref("price")), "maxItems": MAX_RULES},
                   "several prices; the most specific holds"),
        "charge": (_word(modes), "costs nothing, or is not even counted"),
        "clock": (_word(("catalogue", "subscriber")), "the clock of the time bands"),
        "quota": (_ref("quota"), "single values instead of the service's own"),
        "final_unit": (_ref("final_unit"), "instead of the plan's"),
    })  # fmt: skip
    models = ("price", "flat", "stepped", "volume", "prices", "charge")
    return {"anyOf": [{"enum": list(modes)}, {**group, "oneOf": _one_of(models)}]}


def _one_of(keys: Iterable[str]) -> list[Schema]:
    return [{"required": [key]} for key in keys]


def _price() -> Schema:
    group = _group({
        **_priced(),
        "destination": (_TEXT, "only for numbers of this destination"),
        "time_band": (_TEXT, "only in this time band"),
        "when": (_ref("when"), "only under these conditions, which must all hold"),
    })  # fmt: skip
    return {**group, "oneOf": _one_of(("price", "flat", "stepped", "volume"))}


def _tier() -> Schema:
    return _group({
        "up_to": (_QUANTITY, "where the tier ends; the last has no end"),
        "price": (_AMOUNT_FROM_ZERO, "amount for every 'per'"),
        "flat": (_AMOUNT_FROM_ZERO, "charged once for reaching the tier"),
    }, "price")  # fmt: skip


def _when() -> Schema:
    radio = {"anyOf": [{"enum": sorted({*RAT_NAMES.values()})}, _integer(0, 255)]}
    group = _group({
        "limit": (_many(_TEXT), "names of limits of the plan that are reached"),
        "role": (_many(_word(ROLES.values())), "of the subscriber in a call"),
        "visited": (_many(_TEXT), "names of networks"),
        "roaming": (_BOOLEAN, "in any known network but home"),
        "location": (_many(_TEXT), "names of locations"),
        "recipient": (_many(_word(RECIPIENTS.values())), "kind of address of a message"),
        "media": (_many(_word(MEDIA)), "of a call; of several the first of these"),
        "rat": (_many(radio), "radio access"),
        "apn": (_many(_TEXT), "access point names"),
        "rule_base": (_many(_TEXT), "Charging-Rule-Base-Names"),
        "charging_characteristics": (_many(_TEXT), "four hexadecimal digits"),
        "origin": (_many(_TEXT), "names of destinations: who calls or sends"),
    })  # fmt: skip
    # Attributes of the catalogue are conditions too.
    anything = _many(_matching(f"^{ATTRIBUTE_VALUE}$"))
    return {**group, "additionalProperties": anything, "minProperties": 1}


def _final_unit() -> Schema:
    group = _group({
        "action": (_word(("terminate", "redirect", "restrict")), "what the gateway does"),
        "url": ({"type": "string"}, "where to redirect to"),
        "ipv4": ({"type": "string"}, "where to redirect to"),
        "ipv6": ({"type": "string"}, "where to redirect to"),
        "sip": ({"type": "string"}, "where to redirect to"),
        "filter_rules": (_many({"type": "string"}), "traffic still allowed, as IPFilterRule"),
        "filter_ids": (_many(_TEXT), "the same by names that the gateway knows"),
        "qos": (_BOOLEAN, "say it as QoS-Final-Unit-Indication too"),
        "zero_grant": (_BOOLEAN, "an empty account gets a grant of nothing, not 4012"),
    }, "action")  # fmt: skip
    return {"anyOf": [{"enum": ["terminate", "restrict"]}, group]}


def _notify() -> Schema:
    def several(member: Schema) -> Schema:
        listed = {"type": "array", "items": member, "maxItems": MAX_THRESHOLDS}
        return {"anyOf": [member, listed]}

    percent = _matching("^[0-9]{1,3} ?%?$")
    return _group({
        "used": (several(percent), "shares of a bucket of units that are used up"),
        "low_balance": (several(_AMOUNT), "balances that are reached from above"),
        "expiry": (several(_QUANTITY), "times before a bucket expires"),
        "caps": (several(percent), "shares of a cap, a fair-use or a spending limit"),
        "roaming": (_BOOLEAN, "coming into another country"),
        "renewal": (_BOOLEAN, "renewals, and those that fail"),
        "life_cycle": (_BOOLEAN, "changes of the account's state"),
    })  # fmt: skip


def _allowance() -> Schema:
    return _group({
        "unit": (_counted("octets", "seconds", "events", "money"), "what it is counted in"),
        "amount": (_QUANTITY, "how much"),
        "services": (_many(_TEXT), "which services it pays for; all of its unit if left out"),
        "priority": (_integer(0, 1000), "the smaller is spent first"),
        "expires_after": (_QUANTITY, "counted from the day the plan was given"),
        "rollover": (_ref("rollover"), "what is carried over when it is renewed"),
    }, "unit", "amount")  # fmt: skip


def _rollover() -> Schema:
    group = _group({
        "periods": (_integer(1, MAX_PERIODS), "how many periods longer it can be used"),
        "share": (_matching("^[0-9]{1,3} ?%?$"), "of the allowance: no more of one period"),
        "maximum": (_QUANTITY, "no more of all earlier periods together"),
    })  # fmt: skip
    return {"anyOf": [_BOOLEAN, group]}


def _limit() -> Schema:
    return _group({
        "unit": (_TEXT, "octets, seconds, events, money or a unit of your own"),
        "amount": (_QUANTITY, "how much in a period"),
        "every": (_word(LIMIT_EVERY), "the period"),
        "services": (_many(_TEXT), "what counts; all of the unit if left out"),
        "for": (_word(COUNTED_FOR), "whose usage counts together"),
        "then": (_word(THEN), "usage stops, or goes on at another price"),
    }, "unit", "amount", "every")  # fmt: skip


def _tax() -> Schema:
    return _group({
        "rate": (_matching(r"^[0-9]{1,3}(\.[0-9]{1,6})? ?%$"), "of the price without it"),
        "included": (_BOOLEAN, "whether prices are given with it; they are if left out"),
    }, "rate")  # fmt: skip


def _recurring() -> Schema:
    return _group({
        "every": (_matching(f"^{EVERY}$"), "such as month, week, 30 days or 3 months"),
        "day": (_TEXT, "of the month, mon to sun, or such as 04-01; if left out, the first day's"),
        "at": (_matching("^([01][0-9]|2[0-3]):[0-5][0-9]$"), "local time; 00:00 if left out"),
        "fee": (_AMOUNT_FROM_ZERO, "debited when a period begins"),
        "allowances": (_many(_TEXT), "those of the plan that are filled anew with each period"),
        "prorate": (_BOOLEAN, "a part of a period costs and brings a part"),
        "retry": ({"anyOf": [_QUANTITY, {"type": "array", "items": _QUANTITY,
                                         "maxItems": MAX_RETRIES}]},
                  "when it is tried again while money is short, each after the time before"),
        "unpaid": (_word(UNPAID), "what may be used while the fee is unpaid"),
        "tax": (_matching(_CODE), "the tax in the fee, or on it"),
    }, "every")  # fmt: skip


def _promotion() -> Schema:
    return _group({
        "from": ({"type": "string"}, "such as 2026-12-24, on the catalogue's clock"),
        "to": ({"type": "string"}, "the first day or moment that is outside again"),
        "times": (_integer(0, 1_000_000), "how often an account may have it; 0 is always"),
    }, "from", "to")  # fmt: skip


def _life_cycle() -> Schema:
    extension = _group({
        "from": (_AMOUNT_FROM_ZERO, "the least amount that brings it"),
        "validity": (_QUANTITY, "counted from the top-up"),
    }, "validity")  # fmt: skip
    return _group({
        "starts": (_word(STARTS), "when an account becomes active"),
        "validity": (_QUANTITY, "how long it is active then"),
        "grace": (_QUANTITY, "how long only free services may be used afterwards"),
        "barred": (_QUANTITY, "how long it is barred before it is closed; for ever if left out"),
        "top_up_validity": ({**_many(extension), "maxItems": MAX_EXTENSIONS},
                            "how long top-ups make it valid"),
        "longest_validity": (_QUANTITY, "no top-up makes it valid for longer"),
        "at_close": (_word(AT_CLOSE), "what happens to what is left"),
    })  # fmt: skip


def _bonus() -> Schema:
    return _group({
        "share": (_matching("^[0-9]{1,4} ?%?$"), "of the top-up, as money"),
        "maximum": (_AMOUNT_FROM_ZERO, "a share is never more than this"),
        "unit": (_word(BONUS_UNITS), "what a fixed amount is counted in; money if left out"),
        "amount": (_QUANTITY, "a fixed amount instead of a share"),
        "from": (_AMOUNT_FROM_ZERO, "the least top-up that brings it"),
        "up_to": (_AMOUNT_FROM_ZERO, "the largest top-up that brings it"),
        "services": (_many(_TEXT), "which services it pays for; all if left out"),
        "priority": (_integer(0, 1000), "the smaller is spent first"),
        "expires_after": (_QUANTITY, "counted from the top-up"),
        "promotion": (_TEXT, "only in this promotion's window"),
    })  # fmt: skip


def _transfers() -> Schema:
    return _group({
        "fee": (_AMOUNT_FROM_ZERO, "paid by the giver on top of each transfer"),
        "minimum": (_AMOUNT_FROM_ZERO, "the least that can be given"),
        "maximum": (_AMOUNT_FROM_ZERO, "the most of one transfer"),
        "daily": (_AMOUNT_FROM_ZERO, "the most of a day, fees left out"),
        "daily_count": (_integer(0, 10_000), "how many a day"),
        "keeps": (_AMOUNT_FROM_ZERO, "what the giver must have left"),
    })  # fmt: skip


def _example() -> Schema:
    return _group({
        "plan": (_TEXT, "code of a plan"),
        "service": (_TEXT, "code of a service"),
        "used": (_QUANTITY, "how much is used"),
        "before": (_QUANTITY, "used in the same session before"),
        "to": (_matching(r"^\+?[0-9]{1,15}$"), "called number or recipient"),
        "at": ({"type": "string"}, "such as 2025-03-04T12:00, on the catalogue's clock"),
        "when": (_ref("when"), "conditions that are fulfilled, one value each"),
        "clock": (_matching("^[-+](0[0-9]|1[0-9]):[0-5][0-9]$"), "of the subscriber's place"),
        "costs": (_AMOUNT, "money that is charged, without allowances"),
        "price": (_TEXT, "code of the price that must hold"),
    }, "plan", "service", "used", "costs")  # fmt: skip
