"""Two answers to the same request: what differs in a way that matters to the client.

Host names, identifiers and instants are not compared. Services are matched by rating group and
service identifier. Pure; called by `result` for each answer.
"""

from collections.abc import Iterator
from typing import NamedTuple

from protocol.credit_control import (
    CreditControlAnswer,
    FinalUnitIndication,
    Money,
    MultipleServices,
    QosFinalUnitIndication,
    ServiceUnits,
)
from protocol.credit_control_reader import partial_ccr_fields, read_cca
from protocol.errors import ProtocolError
from simulators.replay.rules import Aspect, Rules

_UNITS = {
    "time": "seconds",
    "total_octets": "octets",
    "input_octets": "octets sent",
    "output_octets": "octets received",
    "service_specific": "units",
}
_THRESHOLDS = ("volume_quota_threshold", "time_quota_threshold", "unit_quota_threshold")
_TIMES = ("quota_holding_time", "quota_consumption_time")


class Difference(NamedTuple):
    """One difference: what it is about, where, and both values in words.

    `sort` puts differences of one kind into one group: the values themselves, or more and less.
    """

    aspect: Aspect
    place: str
    recorded: str
    answered: str
    sort: str


class Comparer:
    """Compares answers by the tolerances of the rules."""

    def __init__(self, rules: Rules) -> None:
        self._tolerances = rules.tolerances
        self._ignored = frozenset(rules.ignore)

    def compare(self, request: bytes, recorded: bytes, answered: bytes) -> list[Difference]:
        """What differs between the recorded answer and the one that came to `request`.

        Raises ProtocolError when the recorded answer cannot be read.
        """
        old = read_cca(recorded)
        try:
            new = read_cca(answered)
        except ProtocolError as fault:
            return [
                Difference("result_code", "", str(_code(old)), f"unreadable: {fault}", "unreadable")
            ]
        found = [*self._command(old, new), *self._services(old, new)]
        if partial_ccr_fields(request)[3] != new.proxy_infos:
            found.append(
                Difference("proxy_info", "", "repeated as sent", "not repeated as sent", "changed")
            )
        return [one for one in found if one.aspect not in self._ignored]

    # ---------------------------------------------------------------------------- command

    def _command(self, old: CreditControlAnswer, new: CreditControlAnswer) -> Iterator[Difference]:
        yield from _values("result_code", "", _code(old), _code(new))
        yield from self._units("", old.granted, new.granted)
        yield from self._number(
            "validity_time", "", "s", old.validity_time, new.validity_time,
            absolute=self._tolerances.validity_seconds,
        )  # fmt: skip
        yield from _values(
            "final_unit", "", _final(old.final_unit, old.qos_final_unit),
            _final(new.final_unit, new.qos_final_unit),
        )  # fmt: skip
        yield from _values("failure_handling", "", _failure_handling(old), _failure_handling(new))
        costs = [one.cost_information for one in (old, new)]
        yield from self._money("cost", *(one.cost if one else None for one in costs))
        yield from self._money("remaining balance", old.remaining_balance, new.remaining_balance)
        yield from _values(
            "money", "check balance", old.check_balance_result, new.check_balance_result
        )
        yield from _values(
            "money", "low balance", old.low_balance_indication, new.low_balance_indication
        )

    # --------------------------------------------------------------------------- services

    def _services(self, old: CreditControlAnswer, new: CreditControlAnswer) -> Iterator[Difference]:
        left = list(new.services)
        for service in old.services:
            key = _key(service)
            match = next((one for one in left if _key(one) == key), None)
            if match is None and len(old.services) == len(new.services) == 1:
                match = left[0]  # a server may leave the keys of the only service out
            if match is None:
                yield Difference("services", _name(service), "there", "missing", "missing")
                continue
            left.remove(match)
            yield from self._service(_name(service), service, match)
        for extra in left:
            yield Difference("services", _name(extra), "not there", "there", "added")

    def _service(
        self, place: str, old: MultipleServices, new: MultipleServices
    ) -> Iterator[Difference]:
        yield from _values("result_code", place, old.result_code, new.result_code)
        yield from self._units(place, old.granted, new.granted)
        yield from self._number(
            "validity_time", place, "s", old.validity_time, new.validity_time,
            absolute=self._tolerances.validity_seconds,
        )  # fmt: skip
        yield from _values(
            "final_unit", place, _final(old.final_unit, old.qos_final_unit),
            _final(new.final_unit, new.qos_final_unit),
        )  # fmt: skip
        for name in _THRESHOLDS:
            yield from self._number(
                "thresholds", place, name.replace("_", " "), getattr(old, name),
                getattr(new, name), percent=self._tolerances.thresholds_percent,
            )  # fmt: skip
        for name in _TIMES:
            yield from self._number(
                "holding_times", place, name.replace("_", " "), getattr(old, name),
                getattr(new, name), absolute=self._tolerances.holding_seconds,
            )  # fmt: skip
        yield from _values("triggers", place, old.trigger_types, new.trigger_types)
        yield from _values("pools", place, _pools(old), _pools(new))

    def _units(
        self, place: str, old: ServiceUnits | None, new: ServiceUnits | None
    ) -> Iterator[Difference]:
        if (old is None) != (new is None):
            values = _units_text(old), _units_text(new)
            yield Difference("granted", place, *values, "refused" if new is None else "granted")
            return
        if old is None or new is None:
            return
        for name, unit in _UNITS.items():
            yield from self._number(
                "granted", place, unit, getattr(old, name), getattr(new, name),
                percent=self._tolerances.granted_percent,
            )  # fmt: skip
        yield from self._money(f"{place} granted".strip(), old.money, new.money)

    # ----------------------------------------------------------------------------- values

    def _money(self, place: str, old: Money | None, new: Money | None) -> Iterator[Difference]:
        if old is None or new is None or old.currency_code != new.currency_code:
            yield from _values("money", place, _money_text(old), _money_text(new))
            return
        exponent = min(old.exponent, new.exponent)
        # Exponents of the wire may be absurd; beyond this nobody compares to the last digit.
        if max(old.exponent, new.exponent) - exponent > 40:
            yield from _values("money", place, _money_text(old), _money_text(new))
            return
        values = [one.value_digits * 10 ** (one.exponent - exponent) for one in (old, new)]
        if abs(values[0] - values[1]) * 100 > abs(values[0]) * self._tolerances.money_percent:
            sort = "more" if values[1] > values[0] else "less"
            yield Difference("money", place, str(_money_text(old)), str(_money_text(new)), sort)

    @staticmethod
    def _number(
        aspect: Aspect,
        place: str,
        unit: str,
        old: int | None,
        new: int | None,
        *,
        absolute: int = 0,
        percent: float = 0.0,
    ) -> Iterator[Difference]:
        if old == new:
            return
        if old is None or new is None:
            texts = [f"{one} {unit}" if one is not None else "none" for one in (old, new)]
            sort = f"{unit} left out" if new is None else f"{unit} added"
            yield Difference(aspect, place, texts[0], texts[1], sort)
            return
        away = abs(old - new)
        if away > absolute and away * 100 > abs(old) * percent:
            sort = f"{'more' if new > old else 'less'} {unit}"
            yield Difference(aspect, place, f"{old} {unit}", f"{new} {unit}", sort)


def _values(aspect: Aspect, place: str, old: object, new: object) -> Iterator[Difference]:
    if old != new:
        texts = ["none" if one is None else str(one) for one in (old, new)]
        yield Difference(aspect, place, texts[0], texts[1], f"{texts[0]} -> {texts[1]}")


def _code(answer: CreditControlAnswer) -> int | str | None:
    if answer.experimental_result is not None:
        vendor, code = answer.experimental_result
        return f"{code} of vendor {vendor}"
    return answer.result_code


def _key(service: MultipleServices) -> tuple[int | None, tuple[int, ...]]:
    return service.rating_group, tuple(sorted(service.service_identifiers))


def _name(service: MultipleServices) -> str:
    parts = []
    if service.rating_group is not None:
        parts.append(f"rating group {service.rating_group}")
    if service.service_identifiers:
        parts.append(f"service {', '.join(map(str, service.service_identifiers))}")
    return " ".join(parts) or "the service without keys"


def _final(
    indication: FinalUnitIndication | None, qos: QosFinalUnitIndication | None
) -> str | None:
    if indication is None:
        return None if qos is None else f"with QoS: {qos.action}, {qos}"
    actions = ("terminate", "redirect", "restrict")
    known = 0 <= indication.action < len(actions)
    text = actions[indication.action] if known else f"action {indication.action}"
    if indication.redirect_address:
        text += f" to {indication.redirect_address}"
    filters = (*indication.restriction_filter_rules, *indication.filter_ids)
    return f"{text} by {', '.join(filters)}" if filters else text


def _units_text(units: ServiceUnits | None) -> str:
    if units is None:
        return "nothing"
    parts = [
        f"{value} {unit}"
        for name, unit in _UNITS.items()
        if (value := getattr(units, name)) is not None
    ]
    if units.money is not None:
        parts.append(_money_text(units.money) or "")
    return ", ".join(parts) or "an empty grant"


def _money_text(money: Money | None) -> str | None:
    if money is None:
        return None
    currency = "" if money.currency_code is None else f" of currency {money.currency_code}"
    exponent = f"e{money.exponent}" if money.exponent else ""
    return f"{money.value_digits}{exponent}{currency}"


def _failure_handling(answer: CreditControlAnswer) -> tuple[int | None, ...]:
    return (
        answer.session_failover,
        answer.failure_handling,
        answer.direct_debiting_failure_handling,
    )


def _pools(service: MultipleServices) -> tuple[tuple[int, int, int, int], ...]:
    return tuple(
        (one.pool_identifier, one.unit_type, one.multiplier_digits, one.multiplier_exponent)
        for one in service.pool_references
    )
