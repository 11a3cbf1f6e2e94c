"""The section ``overload`` of the settings: what peers and strangers may cost the server.

Called by ``reading``. Every limit has a line in docs/limits.md.
"""

from dataclasses import fields
from typing import NamedTuple

from ocs.marked import Mapping
from ocs.settings.values import OverloadSettings


class Range(NamedTuple):
    """The values that a limit may have."""

    minimum: int
    maximum: int


RANGES = {
    "max_cer_octets": Range(1024, (1 << 24) - 4),
    "max_connections_per_address": Range(1, 65_536),
    "max_unidentified_connections": Range(1, 65_536),
    "max_new_connections_per_second": Range(1, 1_000_000),
    "max_new_connections_per_address": Range(1, 1_000_000),
    "max_unanswered_octets": Range(1 << 16, 1 << 32),
    "max_fruitless_messages_per_second": Range(1, 1_000_000),
    "max_messages_per_turn": Range(1, 100_000),
}


def read_overload(group: Mapping) -> OverloadSettings:
    """Return the section; mistakes are noted in the document."""
    known = OverloadSettings()
    settings = OverloadSettings(
        **{
            field.name: group.integer(
                field.name, getattr(known, field.name), **RANGES[field.name]._asdict()
            )
            for field in fields(OverloadSettings)
        }
    )
    group.finish()
    return settings
