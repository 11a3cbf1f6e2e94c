"""What a client has said over a session that prices may look at (G-009): the last of each thing.

Called by engine for sessions whose plan has prices with conditions; all others remember nothing.
"""

from __future__ import annotations

from ocs.charging.model.messages import RatingAttributes

_TEXTS = (
    "apn", "calling_party", "charging_characteristics", "media", "rule_base", "time_zone",
    "visited_network",
)
_NUMBERS = ("rat_type", "recipient_type", "role_of_node")


def remembered(before: RatingAttributes | None, said: RatingAttributes) -> RatingAttributes:
    """Return what is known after a request: what it says, and what it leaves out as before.

    A client that names a network has said where it is: an older location does not outlive that.
    """
    known = RatingAttributes() if before is None else before
    merged = RatingAttributes()
    for name in _TEXTS:
        setattr(merged, name, getattr(said, name) or getattr(known, name))
    for name in _NUMBERS:
        value = getattr(said, name)
        setattr(merged, name, value if value >= 0 else getattr(known, name))
    merged.location = said.location
    if not said.location and said.visited_network in ("", known.visited_network):
        merged.location = known.location
    return merged
