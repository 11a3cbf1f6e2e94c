"""What a charging scenario expects of a reply, in words: the right side of ``=>`` in charging.py.

``2001`` and the like for the command, with ``cost=``, ``enough=`` or ``low=`` behind it; then the
services divided by ``;``: rating group (``-`` for none, ``si5``), ``ok`` or a code, the units
granted (none stated: none may be granted), ``fui=...`` (none stated: none may be there), ``vt=``,
``thr=``, ``qht=``, ``ttc``, ``pool=NUMBER:MULTIPLIER``, ``side=`` of two quotas.
"""

from __future__ import annotations

from ocs.amounts import parse_amount
from ocs.charging.model.messages import ChargingReply, Outcome, ServiceReply, Units

CODES = {
    Outcome.SUCCESS: "2001",
    Outcome.END_USER_SERVICE_DENIED: "4010",
    Outcome.NOT_APPLICABLE: "4011",
    Outcome.CREDIT_LIMIT_REACHED: "4012",
    Outcome.UNKNOWN_SESSION: "5002",
    Outcome.NOT_ENTITLED: "5003",
    Outcome.INVALID_VALUE: "5004",
    Outcome.UNABLE_TO_COMPLY: "5012",
    Outcome.USER_UNKNOWN: "5030",
    Outcome.RATING_FAILED: "5031",
    Outcome.RESOURCES_EXCEEDED: "5006",
}
FUI = {0: "terminate", 1: "redirect", 2: "restrict"}


def compare_reply(reply: ChargingReply, expected: str, where: str) -> None:
    """Assert that a reply is as expected."""
    parts = [part.split() for part in expected.split(";") if part.strip()]
    code, words = "2001", []
    if parts and len(parts[0][0]) == 4 and parts[0][0].isdigit():
        code, *words = parts.pop(0)
    for word in words:
        _compare_word(reply, word, where)
    assert CODES[Outcome(reply.outcome)] == code, (where, reply)
    if code == "2001" and parts:
        assert len(reply.services) == len(parts), (where, reply)
        for words, service in zip(parts, reply.services, strict=True):
            _compare_service(words, service, where)


def _compare_word(reply: ChargingReply, word: str, where: str) -> None:
    key, _, value = word.partition("=")
    if key == "cost":
        assert reply.cost_micro == parse_amount(value), (where, reply)
    else:
        actual = {"enough": reply.enough_credit, "low": reply.low_balance}[key]
        assert actual is (value == "yes"), (where, reply)


def _compare_service(words: list[str], service: ServiceReply, where: str) -> None:
    group, code, *rest = words
    actual_group = "-" if service.rating_group is None else str(service.rating_group)
    if service.service_identifiers:
        actual_group = f"si{service.service_identifiers[0]}"
    assert actual_group == group, where
    wanted = "2001" if code == "ok" else code
    assert CODES[Outcome(service.outcome)] == wanted, (where, service)
    granted: str | None = None
    fui: str | None = None
    pools, side = "", ""
    for word in rest:
        key, _, value = word.partition("=")
        if key == "fui":
            fui = value
        elif key == "pool":
            pools = value
        elif key == "side":
            side = value
        elif key == "vt":
            assert service.validity_seconds == int(value), (where, service)
        elif key == "thr":
            thresholds = (
                service.volume_threshold_octets
                or service.time_threshold_seconds
                or service.unit_threshold_events
            )
            assert thresholds == int(value), (where, service)
        elif key == "qht":
            assert service.quota_holding_seconds == int(value), (where, service)
        elif key == "ttc":
            assert service.tariff_change_ns, (where, service)
        else:
            granted = word
    assert _granted(service) == granted, (where, service)
    shares = [f"{one.number}:{one.digits}e{one.exponent}" for one in service.pools]
    assert ",".join(shares).replace("e0", "") == pools, (where, service)
    assert service.tariff_side == int(side or -1), (where, service)
    actual_fui = FUI[service.final_unit.action] if service.final_unit else None
    assert actual_fui == fui, (where, service)


def _granted(service: ServiceReply) -> str | None:
    units = service.granted
    if units is None:
        return None
    if units.money_micro is not None:
        return f"{units.money_micro}micro"
    kinds = {
        "octets": units.octets, "seconds": units.seconds, "events": units.events,
        "input_octets": units.input_octets, "output_octets": units.output_octets,
    }
    named = [f"{kind}:{value}" for kind, value in kinds.items() if value is not None]
    return "+".join(named) if len(named) > 1 else named[0].partition(":")[2]


def in_short(reply: ServiceReply) -> str:
    """Return what a gateway is told of one service, in short."""
    if reply.outcome != Outcome.SUCCESS:
        return CODES[Outcome(reply.outcome)]
    granted = reply.granted or Units()
    words = [
        f"{value / 10**6:g} MB" if name == "octets" else f"{value} {name}"
        for name, value in (("octets", granted.octets), ("seconds", granted.seconds),
                            ("events", granted.events))
        if value is not None
    ]  # fmt: skip
    if reply.validity_seconds:
        words.append(f"valid {reply.validity_seconds} s")
    if reply.volume_threshold_octets:
        words.append(f"more at {reply.volume_threshold_octets / 10**6:g} MB")
    words += [
        f"pool {one.number}, {one.digits * 10**one.exponent:g} units for one"
        for one in reply.pools
    ]
    if reply.final_unit is not None:
        address = f" to {reply.final_unit.redirect_address}".removesuffix(" to ")
        words.append(f"then {FUI[reply.final_unit.action]}{address}")
    return ", ".join(words)
