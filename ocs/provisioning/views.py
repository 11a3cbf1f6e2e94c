"""Values as the JSON shapes of docs/cli.md: ids as text, money twice, instants as ISO 8601.

Ids have 63 bits and many readers of JSON keep 53, so they are strings. An amount of money is a
decimal string beside an integer of micro units with the suffix ``_micro``. Used by the command
line for --json and for its tables.
"""

from collections.abc import Mapping as AbstractMapping
from typing import Any

import msgspec

from ocs.amounts import Measured, Unit, format_amount, format_measure, format_quantity, measured
from ocs.catalog.model import FinalUnitAction
from ocs.catalog.versions import WITHDRAWN_NS
from ocs.charging.model.messages import Outcome, RequestKind, ServiceReply, Units
from ocs.charging.model.server_requests import Command, RequestState, ServerRequest, Trigger
from ocs.charging.model.session import Session, SessionState
from ocs.charging.model.working_set import ReviewItem
from ocs.ledger.account import (
    Account,
    AccountFlag,
    AccountStatus,
    Bucket,
    Contra,
    Identifier,
    Movement,
    OperatorAction,
)
from ocs.provisioning.instants import format_instant
from ocs.provisioning.peers import KnownPeer
from ocs.store.interface import PeerEntry, PublishedCatalogue
from ocs.store.ledger_reports import LedgerLine, StoredRequest
from ocs.store.reports import SubscriberRow

View = dict[str, Any]


def money(name: str, amount_micro: int) -> View:
    """Return an amount of money under ``name``, as text and as micro units."""
    return {name: format_amount(amount_micro), f"{name}_micro": amount_micro}


def label(number: int, kind: type[Any]) -> str:
    """Return the lower-case name of a stored number, or the number when it is unknown."""
    try:
        name: str = kind(number).name
    except ValueError:
        return str(number)
    return name.lower().replace("_", "-")


def flags(number: int) -> list[str]:
    """Return the names of an account's flags."""
    return [label(flag, AccountFlag) for flag in AccountFlag if number & flag]


def account_view(account: Account) -> View:
    """Return an account without what belongs to it."""
    return {
        "account_id": str(account.account_id),
        "status": label(account.status, AccountStatus),
        "plan": account.plan,
        "currency": account.currency,
        **money("credit_limit", account.credit_limit_micro),
        "flags": flags(account.flags),
    }


def life_view(account: Account) -> View:
    """Return where an account is in its life; empty instants where it has no life cycle."""
    life = account.details.life
    return {
        "activated": format_instant(life.activated_ns if life else 0),
        "state_since": format_instant(life.since_ns if life else 0),
        "state_until": format_instant(life.until_ns if life else 0),
    }


def subscriber_row(row: SubscriberRow) -> View:
    """Return one line of the list of subscribers."""
    return {
        **account_view(row.account),
        "identities": identity_names(row.identifiers),
        **money("balance", row.available_micro + row.held_micro),
        **money("available", row.available_micro),
        **money("held", row.held_micro),
    }


def identity_names(identifiers: tuple[Identifier, ...]) -> list[str]:
    """Return the names of an account as ``kind:value``."""
    return [f"{one.kind}:{one.value}" for one in identifiers]


def by_member(names: tuple[Identifier, ...]) -> dict[int, tuple[Identifier, ...]]:
    """Return the names of each subscriber of an account, the first subscriber first."""
    members: dict[int, tuple[Identifier, ...]] = {}
    for name in sorted(names, key=lambda name: name.subscriber_id):
        members[name.subscriber_id] = (*members.get(name.subscriber_id, ()), name)
    return members


def members_view(names: tuple[Identifier, ...]) -> list[View]:
    """Return the subscribers of an account with the names of each."""
    return [
        {"subscriber_id": str(member), "identities": identity_names(own)}
        for member, own in by_member(names).items()
    ]


def bucket_view(bucket: Bucket) -> View:
    """Return one bucket; exact amounts in its unit, and for people in ``balance_text``."""
    unit = measured(bucket.unit, bucket.measure)
    return {
        "bucket_id": str(bucket.bucket_id),
        "name": bucket.name,
        "unit": unit.label,
        "balance": bucket.balance,
        "available": bucket.available,
        "held": bucket.held,
        "balance_text": format_measure(bucket.balance, unit),
        "available_text": format_measure(bucket.available, unit),
        "held_text": format_measure(bucket.held, unit),
        "priority": bucket.priority,
        "expires": format_instant(bucket.expires_ns),
        "services": list(bucket.services),
    }


def entry_name(movement: Movement) -> str:
    """Return what a ledger line is known as: REQUEST_ID.LINE."""
    return f"{movement.request_id}.{movement.line}"


def unit_of(moved: Movement, buckets: AbstractMapping[int, Bucket]) -> Measured:
    """Return what a ledger line is counted in, by the bucket it moved."""
    bucket = buckets.get(moved.bucket_id)
    return measured(moved.unit, bucket.measure if bucket else "")


def bucket_name(moved: Movement, buckets: AbstractMapping[int, Bucket]) -> str:
    """Return the name of the bucket that a ledger line moved, its number when it is gone."""
    bucket = buckets.get(moved.bucket_id)
    return bucket.name if bucket else str(moved.bucket_id)


def ledger_view(line: LedgerLine, buckets: AbstractMapping[int, Bucket]) -> View:
    """Return one line of an account's ledger; ``buckets`` are those of the account, by id."""
    moved, record = line.movement, line.request.record
    unit = unit_of(moved, buckets)
    return {
        "entry": entry_name(moved),
        "at": format_instant(line.request.received_ns),
        "event_at": format_instant(moved.event_ns),
        "bucket": bucket_name(moved, buckets),
        "unit": unit.label,
        "side": label(moved.contra, Contra),
        "amount": moved.amount,
        "amount_text": format_quantity(moved.amount, unit),
        "service": moved.service,
        "rule": moved.rule,
        "zone": moved.zone,
        "units_before": moved.units_before,
        "units_after": moved.units_after,
        "catalogue_version": moved.catalogue_version,
        "kind": label(line.request.kind, RequestKind),
        "session_id": record.session_id,
        "operator": record.operator,
        "note": record.note,
    }


def session_view(session: Session) -> View:
    """Return one session with its quotas."""
    return {
        "session_id": session.session_id,
        "sub_session_id": session.sub_session_id,
        "account_id": str(session.account_id),
        "identity": session.identity,
        "state": label(session.state, SessionState),
        "service_context": session.service_context,
        "origin_host": session.origin_host,
        "plan": session.plan,
        "catalogue_version": session.catalogue_version,
        "started": format_instant(session.started_ns),
        "last_request": format_instant(session.last_request_ns),
        "deadline": format_instant(session.deadline_ns),
        **money("charged", session.charged_micro),
        "closed": format_instant(session.closed_ns),
        "close_reason": session.close_reason,
        "quotas": [
            {
                "service": quota.service,
                "rating_group": quota.rating_group,
                "service_identifiers": list(quota.service_identifiers),
                "granted": quota.granted,
                "used": quota.used_units,
                "used_from_buckets": quota.bucket_units,
                "holds": [
                    {"bucket_id": str(hold.bucket_id), "amount": hold.amount}
                    for hold in quota.holds
                ],
                "restricted": quota.restricted,
                "pool": quota.pool or None,
            }
            for quota in session.quotas
        ],
        "aborted": session.aborted,
    }


def server_request_view(row: ServerRequest) -> View:
    """Return one request to a client, or to all clients of an account's sessions."""
    return {
        "request_id": str(row.server_request_id),
        "command": label(row.command, Command),
        "trigger": label(row.trigger, Trigger),
        "state": label(row.state, RequestState),
        "account_id": str(row.account_id) if row.account_id else "",
        "session_id": row.session_id,
        "sub_session_id": row.sub_session_id,
        "rating_group": row.rating_group,
        "service_identifier": row.service_identifier,
        "pool": row.pool,
        "origin_host": row.origin_host,
        "attempts": row.attempts,
        "result_code": row.result_code,
        "created": format_instant(row.created_ns),
        "due": format_instant(row.due_ns),
        "sent": format_instant(row.sent_ns),
        "finished": format_instant(row.finished_ns),
        "note": row.note,
        "operator": row.operator,
    }


def review_view(item: ReviewItem) -> View:
    """Return one item that waits for a person, or did."""
    return {
        "review_id": str(item.review_id),
        "account_id": str(item.account_id),
        "request_id": str(item.request_id),
        "kind": item.kind,
        "state": item.state,
        "service": item.service,
        "units": item.units,
        "unit": Unit(item.unit).label,
        **money("amount", item.amount_micro),
        "event_at": format_instant(item.event_ns),
        "session_id": item.session_id,
        "reason": item.reason,
    }


def action_view(action: OperatorAction) -> View:
    """Return one thing an operator did."""
    return {
        "action_id": str(action.action_id),
        "at": format_instant(action.at_ns),
        "operator": action.operator,
        "action": action.action,
        "target": action.target,
        "reason": action.reason,
        "account_id": str(action.account_id) if action.account_id else "",
        "details": msgspec.json.decode(action.details) if action.details else {},
    }


def peer_view(peer: PeerEntry) -> View:
    """Return one entry of the peer list."""
    return {
        "origin_host": peer.origin_host,
        "profile": peer.profile,
        "relay": peer.relay,
        "source_networks": list(peer.source_networks),
        "require_tls": peer.require_tls,
        "tls_names": list(peer.tls_names),
        "connect": peer.connect,
        "comment": peer.comment,
    }


def known_peer_view(known: KnownPeer) -> View:
    """Return one line of the peer list: its entry, and what a server found out about it."""
    note = known.note
    entry = known.entry or PeerEntry(known.origin_host)
    allowed_by = "configuration" if known.configured else "database"
    return {
        **peer_view(entry),
        "allowed_by": allowed_by if known.entry else "",
        "via": note.peer if note and note.peer != note.origin_host else "",
        "in_use": note.profile if note else "",
        "recognised": note.recognised if note else "",
        "reason": note.reason if note else "",
        "product_name": note.product_name if note else "",
        "met": format_instant(note.met_ns if note else 0),
    }


def catalogue_view(published: PublishedCatalogue) -> View:
    """Return one published version without its text."""
    return {
        "version": published.version,
        "name": published.name,
        "published": format_instant(published.published_ns),
        "effective": (
            "" if published.effective_ns == WITHDRAWN_NS else format_instant(published.effective_ns)
        ),
        "operator": published.operator,
        "reason": published.reason,
    }


def request_view(stored: StoredRequest) -> View:
    """Return one charging data record: what was asked, meant, answered and charged."""
    record = stored.record
    return {
        "request_id": str(stored.request_id),
        "at": format_instant(stored.received_ns),
        "event_at": format_instant(record.event_ns),
        "account_id": str(stored.account_id),
        "identity": record.identity,
        "plan": record.plan,
        "session_id": record.session_id,
        "sub_session_id": record.sub_session_id,
        "kind": label(stored.kind, RequestKind),
        "number": stored.number,
        "service_context": record.service_context,
        "origin_host": record.origin_host,
        "peer": record.peer,
        "called_party": record.attributes.called_party,
        "apn": record.attributes.apn,
        "equipment": record.equipment,
        "said": named_values(record.attributes),
        "asked": [
            {
                "rating_group": asked.rating_group,
                "service_identifiers": list(asked.service_identifiers),
                "requested": units_view(asked.requested),
                "used": [units_view(used.units) for used in asked.used],
                **({"details": named_values(asked.details)} if asked.details else {}),
                **({"service": asked.service} if asked.service else {}),
            }
            for asked in record.services
        ],
        "outcome": label(record.reply.outcome, Outcome),
        "reason": record.reply.reason,
        "answered": [_answered(service) for service in record.reply.services],
        "charged": [
            {
                "service": line.service,
                "rating_group": line.rating_group,
                "unit": measured(line.unit, line.measure).label,
                "used": line.used,
                "from_buckets": line.from_buckets,
                **money("charged", line.charged_micro),
                "granted": line.granted,
                **money("reserved", line.reserved_micro),
                "used_text": format_quantity(line.used, measured(line.unit, line.measure)),
                **(money("tax", line.tax_micro) if line.tax_micro else {}),
            }
            for line in record.charged
        ],
        **money("balance", record.balance_micro),
        **money("held", record.held_micro),
        "catalogue_version": record.catalogue_version,
        "termination_cause": record.termination_cause,
        "anomaly": record.anomaly,
        "operator": record.operator,
        "note": record.note,
    }


def named_values(said: msgspec.Struct) -> View:
    """Return what is not as it is when nothing was said, by its name."""
    unsaid = type(said)()
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in msgspec.structs.asdict(said).items()
        if value != getattr(unsaid, name)
    }
    if "named" in values:
        values["named"] = dict(values["named"])
    return values


def units_view(units: Units | None) -> View | None:
    """Return units with the kinds that were named; None when there were none at all."""
    if units is None:
        return None
    named = {
        "seconds": units.seconds,
        "octets": units.octets,
        "input_octets": units.input_octets,
        "output_octets": units.output_octets,
        "events": units.events,
        "money_micro": units.money_micro,
    }
    return {name: value for name, value in named.items() if value is not None}


def _answered(service: ServiceReply) -> View:
    final = service.final_unit
    return {
        "rating_group": service.rating_group,
        "service_identifiers": list(service.service_identifiers),
        "outcome": label(service.outcome, Outcome),
        "granted": units_view(service.granted),
        "validity_seconds": service.validity_seconds,
        "final_unit_action": label(final.action, FinalUnitAction) if final else "",
        "reason": service.reason,
    }
