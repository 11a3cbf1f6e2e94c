"""What the strictest clients demand of a credit-control answer: a checker of its octets.

The rules are those that an answer must satisfy before a client of the freeDiameter family hands it
to its application (AVPs it knows or need not know, how often each may occur, sizes), and the
order that clients with simple parsers need. An answer with a success code that breaks one of them
is thrown away there without a word.
"""

from protocol.dictionary import AvpType, lookup
from tests.support.blackbox_client import TGPP, Answer, Avp, avps_in

SUCCESS = 2001
EXACTLY_ONE = {
    263: "Session-Id",
    268: "Result-Code",
    264: "Origin-Host",
    296: "Origin-Realm",
    258: "Auth-Application-Id",
    416: "CC-Request-Type",
    415: "CC-Request-Number",
}
AT_MOST_ONE = {
    (418, 0): "CC-Session-Failover",
    (427, 0): "Credit-Control-Failure-Handling",
    (423, 0): "Cost-Information",
    (2021, TGPP): "Remaining-Balance",
    (2020, TGPP): "Low-Balance-Indication",
}
AT_MOST_ONE_IN_SERVICES = {
    (431, 0): "Granted-Service-Unit",
    (432, 0): "Rating-Group",
    (448, 0): "Validity-Time",
    (268, 0): "Result-Code",
    (430, 0): "Final-Unit-Indication",
    (868, TGPP): "Time-Quota-Threshold",
    (869, TGPP): "Volume-Quota-Threshold",
    (1226, TGPP): "Unit-Quota-Threshold",
    (871, TGPP): "Quota-Holding-Time",
}
ORDER = (263, 268, 264, 296, 258, 416, 415)
KNOWN_TO_ALL = {
    *((code, 0) for code in (*EXACTLY_ONE, 278, 279, 281, 284, 280, 33, 11)),
    *((code, 0) for code in range(411, 462)),
    *((code, TGPP) for code in (868, 869, 870, 871, 881, 1226, 1264, 2020, 2021, 2022)),
}
"""What the dictionaries of base, credit control and Gy of these clients hold."""
UNITS_KNOWN = {420, 412, 413, 414, 417, 421, 451}
"""Members of a Granted-Service-Unit that every client knows."""


def problems_of(answer: Answer) -> list[str]:
    """Return what strict clients would dislike; empty when all is well."""
    found: list[str] = []
    codes = [avp.code for avp in answer.avps if not avp.vendor]
    for code, name in EXACTLY_ONE.items():
        if codes.count(code) != 1:
            found.append(f"{codes.count(code)} times {name}")
    if codes[:7] != list(ORDER):
        found.append(f"begins with {codes[:7]}")
    found += _too_many(answer.avps, AT_MOST_ONE)
    found += _unknown(answer.avps, "")
    if answer.all(297):
        found.append("an Experimental-Result")
    for service in answer.all(456):
        found += _of_service(avps_in(service.payload, 0))
    return found


def _of_service(members: list[Avp]) -> list[str]:
    found = _too_many(members, AT_MOST_ONE_IN_SERVICES)
    for member in members:
        if (member.code, member.vendor) == (431, 0):
            kinds = {avp.code for avp in avps_in(member.payload, 0)}
            if len(kinds - {451}) != 1:
                found.append(f"grants the kinds {sorted(kinds)}")
            if not kinds <= UNITS_KNOWN:
                found.append(f"grants the unknown kinds {sorted(kinds - UNITS_KNOWN)}")
        if (member.code, member.vendor) == (430, 0):
            found += _of_final_unit(avps_in(member.payload, 0))
    return found


def _of_final_unit(members: list[Avp]) -> list[str]:
    found = []
    if [avp.code for avp in members].count(449) != 1:
        found.append("a Final-Unit-Indication without exactly one action")
    found += [
        "a Redirect-Server without its type or address"
        for member in members
        if member.code == 434 and {avp.code for avp in avps_in(member.payload, 0)} != {433, 435}
    ]
    return found


def _too_many(avps: list[Avp], limits: dict[tuple[int, int], str]) -> list[str]:
    keys = [(avp.code, avp.vendor) for avp in avps]
    return [
        f"{keys.count(key)} times {name}" for key, name in limits.items() if keys.count(key) > 1
    ]


def _unknown(avps: list[Avp], inside: str) -> list[str]:
    """Unknown AVPs that must be understood, and values of a wrong size."""
    found = []
    for avp in avps:
        if (avp.code, avp.vendor) not in KNOWN_TO_ALL:
            if avp.flags & 0x40:
                found.append(f"{inside}the unknown AVP {avp.code} of vendor {avp.vendor} with M")
            continue
        definition = lookup(avp.vendor, avp.code)
        assert definition is not None
        if bool(avp.flags & 0x80) != bool(avp.vendor):
            found.append(f"{inside}AVP {avp.code} with a wrong V flag")
        size = definition.minimum_octets
        if definition.type is AvpType.GROUPED:
            found += _unknown(avps_in(avp.payload, 0), f"{inside}{avp.code}/")
        elif size and len(avp.payload) != size:
            found.append(f"{inside}AVP {avp.code} has {len(avp.payload)} octets")
    return found
