"""Service-Information of usage records: what a record says and nothing made up (TS 32.299, 7.2).

Called by `usage` for each request.
"""

from zlib import crc32

from protocol.credit_control import RequestType
from simulators.replay.records import UsageRecord
from simulators.traffic.avps import group, i32, raw, text, u32


def information(record: UsageRecord, session_id: str, kind: RequestType) -> bytes:
    """The members of Service-Information for a request about a record."""
    if record.kind == "data":
        charging_id = 10 << 24 | crc32(session_id.encode()) & 0xFFFFFF
        return group(
            "PS-Information",
            raw("3GPP-Charging-Id", charging_id.to_bytes(4, "big")),
            text("Called-Station-Id", record.apn),
        )
    if record.kind == "voice":
        return _call(record, session_id, ended=kind is RequestType.TERMINATION)
    if record.kind == "mms":
        return group("MMS-Information", _recipient(record))
    return group(
        "SMS-Information",
        group(
            "Originator-Received-Address",
            i32("Address-Type", 1),
            text("Address-Data", _caller(record).lstrip("+")),
        ),
        group("Recipient-Info", _recipient(record)),
        u32("Number-Of-Messages-Sent", max(record.amount, 1)),
    )


def _call(record: UsageRecord, session_id: str, *, ended: bool) -> bytes:
    return group(
        "IMS-Information",
        group("Event-Type", text("SIP-Method", "BYE" if ended else "INVITE")),
        i32("Role-Of-Node", 0),
        i32("Node-Functionality", 0),
        text("User-Session-Id", session_id),
        text("Calling-Party-Address", _uri(_caller(record))),
        text("Called-Party-Address", _uri(record.to)) if record.to else b"",
        i32("Cause-Code", 0) if ended else b"",
    )


def _recipient(record: UsageRecord) -> bytes:
    if not record.to:
        return b""
    return group(
        "Recipient-Address", i32("Address-Type", 1), text("Address-Data", record.to.lstrip("+"))
    )


def _caller(record: UsageRecord) -> str:
    return record.msisdn or record.identities[0][1]


def _uri(number: str) -> str:
    return number if ":" in number else f"tel:{number}"
