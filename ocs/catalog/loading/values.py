"""Values of a catalogue file: codes, quantities, amounts and rates, final-unit policies.

Called by loading.document and loading.plans. Every reader notes its problems in the document and
returns something usable, so that one reading finds every mistake.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ocs.amounts import (
    AMOUNT_MAX_MICRO,
    MICRO,
    Measured,
    Unit,
    format_quantity,
    parse_amount,
    parse_decimal,
    parse_quantity,
)
from ocs.catalog.filter_rules import parse_filter_rule
from ocs.catalog.model import FinalUnitAction, FinalUnitPolicy
from ocs.marked import Mapping, Scalar, shortened, unknown_word

MAX_VALIDITY_SECONDS = 31 * 86400
MAX_DECIMALS = 18
_CODE = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?")
_FILTER_RULE = re.compile(r"(permit|deny) (in|out) \S+ from \S+.* to \S+.*")
_ACTIONS = {
    "terminate": FinalUnitAction.TERMINATE,
    "redirect": FinalUnitAction.REDIRECT,
    "restrict": FinalUnitAction.RESTRICT_ACCESS,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ADDRESS_TYPES = {"ipv4": 0, "ipv6": 1, "url": 2, "sip": 3}
"""Redirect-Address-Type by the key of the address (RFC 8506 8.38)."""


def check_code(key: Scalar, what: str) -> str:
    """Return the code that a key gives; codes are stored and typed on command lines."""
    if problem := code_problem(key.text, what):
        key.problem(problem)
    return key.text


def code_problem(text: str, what: str) -> str:
    """Return why a text cannot be the code of something, or nothing."""
    if _CODE.fullmatch(text):
        return ""
    return (
        f"'{shortened(text)}' cannot be the code of a {what}: small letters, digits, - and _, "
        "at most 40"
    )


def at_least(minimum: int, unit: Measured) -> Callable[[str], int]:
    """Return a parser of quantities of ``unit`` that refuses those below ``minimum``."""

    def parse(text: str) -> int:
        value = parse_quantity(text, unit)
        if value < minimum:
            raise ValueError(
                f"'{text}' is too small; the least is {format_quantity(minimum, unit)}"
            )
        return value

    return parse


def seconds_up_to(maximum: int, minimum: int = 1) -> Callable[[str], int]:
    """Return a parser of durations within bounds, in seconds."""
    least = at_least(minimum, Unit.SECONDS)

    def parse(text: str) -> int:
        value = least(text)
        if value > maximum:
            raise ValueError(f"'{text}' is too long; the most is {maximum} s")
        return value

    return parse


def more_than_zero(unit: Measured) -> Callable[[str], int]:
    """Return a parser of quantities of ``unit``, or of amounts in micro units, above zero."""
    if unit is not Unit.MONEY:
        return at_least(1, unit)

    def parse(text: str) -> int:
        amount_micro = parse_amount(text)
        if not 0 < amount_micro <= AMOUNT_MAX_MICRO:
            raise ValueError(f"'{text}' is not more than zero")
        return amount_micro

    return parse


def amount_from_zero(text: str) -> int:
    """Return micro units of an amount of at least zero."""
    amount_micro = parse_amount(text)
    if amount_micro < 0:
        raise ValueError(f"'{text}' is negative")
    return amount_micro


def parse_rate(text: str) -> tuple[int, int]:
    """Return (micro units, divisor) of a price text, exactly: a price finer than a micro unit is
    whole micro units per ten, hundred, ... times as many units.
    """
    digits, scale = parse_decimal(text)
    if digits < 0:
        raise ValueError(f"'{text}' is negative")
    if scale > 10**MAX_DECIMALS or digits * MICRO > AMOUNT_MAX_MICRO * scale:
        raise ValueError(f"'{text}' is too large, or has more than {MAX_DECIMALS} decimals")
    divisor = 1
    while digits * MICRO * divisor % scale:
        divisor *= 10
    return digits * MICRO * divisor // scale, divisor


def read_final_unit(group: Mapping, key: str, default: FinalUnitPolicy) -> FinalUnitPolicy:
    """Return the final-unit policy under ``key``: a word, or a group with ``action``.

    A redirect needs one address; the address, rules, filter ids and zero_grant must suit the
    action.
    """
    node = group.get(key)
    if node is None:
        return default
    if isinstance(node, Scalar):
        if node.text not in _ACTIONS:
            node.problem(unknown_word(node.text, "no action", _ACTIONS))
        elif node.text == "redirect":
            node.problem("a redirect needs an address: {action: redirect, url: http://...}")
        return FinalUnitPolicy(_ACTIONS.get(node.text, default.action))
    policy = group.mapping(key)
    action = policy.choice("action", _ACTIONS)
    addresses = [
        (kind, address) for kind in _ADDRESS_TYPES if (address := policy.scalar(kind)) is not None
    ]
    rules = tuple(scalar.parsed(_filter_rule, "") for scalar in policy.scalars("filter_rules"))
    filter_ids = tuple(scalar.text for scalar in policy.scalars("filter_ids"))
    zero_grant = policy.boolean("zero_grant", default.zero_grant)
    qos = policy.boolean("qos", default.qos)
    policy.finish()
    if action is FinalUnitAction.REDIRECT:
        if len(addresses) != 1:
            policy.problem(f"a redirect needs exactly one of {', '.join(sorted(_ADDRESS_TYPES))}")
    elif addresses:
        addresses[0][1].problem("an address is only for the action redirect")
    if action is FinalUnitAction.TERMINATE and (rules or filter_ids):
        policy.problem("filter_rules and filter_ids are not for the action terminate")
    if zero_grant and action is not FinalUnitAction.TERMINATE:
        policy.problem("zero_grant is only for the action terminate")
    if qos:
        _check_qos(policy, action)
    if not addresses:
        return FinalUnitPolicy(
            action,
            restriction_filter_rules=rules,
            filter_ids=filter_ids,
            zero_grant=zero_grant,
            qos=qos,
        )
    kind, address = addresses[0]
    return FinalUnitPolicy(
        action,
        _ADDRESS_TYPES[kind],
        address.parsed(_ADDRESS_PARSERS[kind], ""),
        rules,
        filter_ids,
        qos=qos,
    )


def _check_qos(policy: Mapping, action: FinalUnitAction) -> None:
    """Note what cannot be said as QoS-Final-Unit-Indication (RFC 8506 8.68)."""
    if action is FinalUnitAction.TERMINATE:
        policy.problem("qos is not for the action terminate, which leaves nothing to describe")
    for rule in policy.scalars("filter_rules"):
        rule.parsed(parse_filter_rule, None)


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is no IPv4 address such as 192.0.2.1") from error


def _ipv6(text: str) -> str:
    try:
        return ipaddress.IPv6Address(text).compressed
    except ValueError as error:
        raise ValueError(f"'{text}' is no IPv6 address such as 2001:db8::1") from error


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        usable = usable and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", text):
        raise ValueError(f"'{text}' is no URL such as http://topup.example/")
    return text


def _sip(text: str) -> str:
    if not re.fullmatch(r"sips?:[^\s@]+(@[^\s@]+)?", text):
        raise ValueError(f"'{text}' is no SIP URI such as sip:topup@ims.example")
    return text


_ADDRESS_PARSERS = {"ipv4": _ipv4, "ipv6": _ipv6, "url": _url, "sip": _sip}


def _filter_rule(text: str) -> str:
    if not _FILTER_RULE.fullmatch(text):
        raise ValueError(
            f"'{text}' is no filter rule such as 'permit out ip from 192.0.2.1 to assigned'"
        )
    return text


def instant_in(zone: ZoneInfo) -> Callable[[str], int]:
    """Return what reads a day or a time such as 2025-03-04T12:00 as an instant (ns UTC), on the
    clock of ``zone`` unless it has an offset.
    """

    def read(text: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"'{text}' is no time such as 2025-03-04T12:00") from None
        if moment.tzinfo is None:
            local = moment.replace(tzinfo=zone)
            if local.utcoffset() != local.replace(fold=1).utcoffset():
                raise ValueError(
                    f"'{text}' happens twice or not at all in {zone.key}, whose clocks "
                    "change then; add an offset such as +01:00"
                )
            moment = local
        try:
            instant_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        except OverflowError:
            instant_ns = -1
        if instant_ns <= 0 or moment.year > 2200:
            raise ValueError(f"'{text}' is not between 1970 and 2200")
        return instant_ns

    return read
