"""What a sound catalogue file says and may not mean: warnings that refuse nothing (K-363).

Called by provisioning.catalogues.catalogs when a file is checked or published, never when a server
loads what is published.
"""

import re

from ocs.catalog.conditions import FRIENDS
from ocs.catalog.model import RELATION, Catalog
from ocs.marked import Document, Mapping, Node, Scalar, Sequence

_DAY_SECONDS = 86_400
_BITS = re.compile(r"[0-9][0-9_.]*\s*([KMGT])b")
_BARE = re.compile(r"[0-9][0-9_]{0,18}")
_MONEYLIKE = re.compile(r"[0-9][0-9_]*\.[0-9]+")
_LONG = frozenset(
    {"validity", "grace", "barred", "longest_validity", "expires_after", "retry", "expiry"}
)
"""Keys of spans that are days rather than seconds, where they are about plans and not quotas."""
_MANY_NAMES = frozenset({"destinations", "networks", "locations", "holidays"})
"""Sections of names with up to hundreds of thousands of members, none of which has a unit."""


def look(document: Document, catalog: Catalog) -> None:
    """Warn of what is allowed in a document without mistakes, and probably a slip."""
    for key, node in document.root.entries.items():
        if key not in _MANY_NAMES or isinstance(node, Scalar):
            _look_at(node, key, in_quota=False)
    plans = document.root.mapping("plans")
    for plan in catalog.plans.values():
        rules = (rule for terms in plan.terms.values() for rule in terms.rules)
        if not plan.friends and any(rule.names(RELATION, FRIENDS) for rule in rules):
            plans.keys[plan.code].warn(
                f"plan '{plan.code}' has prices for friends and lets nobody name any; say how "
                "many, such as friends: 3"
            )


def _look_at(node: Node, key: str, *, in_quota: bool) -> None:
    """Look at the value of ``key``, or a member of its list, and at all below it."""
    if isinstance(node, Mapping):
        for name, below in node.entries.items():
            _look_at(below, name, in_quota=in_quota or name == "quota")
    elif isinstance(node, Sequence):
        for below in node.items:
            _look_at(below, key, in_quota=in_quota)
    elif isinstance(node, Scalar):
        doubt = _doubt(node, key, in_quota=in_quota)
        if doubt:
            node.warn(doubt)


def _doubt(node: Scalar, key: str, *, in_quota: bool) -> str:
    """Return what is strange about a single value; nothing where nothing is."""
    if node.is_null:
        return f"'{key}' has no value, so it counts as not given; give one, or leave it out"
    bits = _BITS.fullmatch(node.text)
    if bits is not None:
        return (
            f"'{node.text}' is read as octets, and {bits[1]}b is how bits are written; write "
            f"{'k' if bits[1] == 'K' else bits[1]}B"
        )
    if key in _LONG and not in_quota and _BARE.fullmatch(node.text):
        seconds = int(node.text.replace("_", ""))
        if 0 < seconds < _DAY_SECONDS:
            return (
                f"'{node.text}' is {seconds} seconds; write the unit, such as {seconds} d or "
                f"{seconds} s"
            )
    if key == "minimum" and _below_services(node) and _MONEYLIKE.fullmatch(node.text):
        return (
            f"'{node.text}' is how much is billed at least, a quantity and no money; what a plan "
            "costs at least is a fee under recurring"
        )
    return ""


def _below_services(node: Node) -> bool:
    above = node.parent
    while above is not None and above.step != "services":
        above = above.parent
    return above is not None
