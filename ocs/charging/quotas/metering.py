"""What a client is told about metering beside a grant, where the catalogue wants it said.

TS 32.299 6.5.5 to 6.5.9 and 7.2. Called by granting for the few services that have such options.
"""

from __future__ import annotations

from ocs.amounts import SECONDS
from ocs.catalog import metering
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import INITIAL, Announcement, Metering


def told(decision: Decision, part: Part, wanted: metering.Metering) -> Metering:
    """Return what of ``wanted`` belongs into this answer.

    How time is counted goes with granted time only; envelopes are settled by the first answer of a
    session; records are furnished, and what is played before a service is said, once for a quota.
    """
    request, first = decision.request, not part.quota.granted_ns
    metering = Metering(triggers=wanted.triggers)
    if part.service.unit is SECONDS:
        metering.consumption_seconds = wanted.consumption_seconds
        metering.time_type = wanted.time_type
        metering.base_interval_seconds = wanted.base_interval_seconds
    if request.kind == INITIAL:
        metering.envelopes = wanted.envelopes
    if first and wanted.furnish and request.attributes.charging_id >= 0:
        metering.furnish = wanted.furnish
        metering.charging_id = request.attributes.charging_id
    said = wanted.announcement
    if said is not None and (first or said.seconds_before_end is not None):
        metering.announcement = Announcement(
            said.identifier, said.seconds_before_end, said.uses_quota, said.language,
            said.plays_to,
        )
    return metering
