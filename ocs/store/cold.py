"""The rows that few transactions write: accounts, new buckets, identifiers, reviews, actions.

SQLAlchemy Core, the same on every engine. Called by sql.py inside its transactions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, update

from ocs.charging.model.working_set import ReviewItem, WorkingSet
from ocs.errors import ConflictError
from ocs.ledger.account import Account, Bucket, Identifier, OperatorAction
from ocs.ledger.notification import Notification
from ocs.store import records, schema, server_requests, vouchers
from ocs.store.hot import Statements, expect

INSERT_ROWS = 1000
"""Rows that one statement is given: what is made ready for the driver stays small."""

_account = schema.account.c
_bucket = schema.bucket.c
_review = schema.review.c
_identifier = schema.identifier.c

_UPDATE_ACCOUNT = (
    update(schema.account)
    .where(_account.account_id == bindparam("k_account_id"))
    .where(_account.version == bindparam("k_version"))
    .values(version=_account.version + 1)
)
_UPDATE_BUCKET = (
    update(schema.bucket)
    .where(_bucket.account_id == bindparam("k_account_id"))
    .where(_bucket.bucket_id == bindparam("k_bucket_id"))
    .where(_bucket.version == bindparam("k_version"))
    .values(version=_bucket.version + 1)
)
_RESOLVE_REVIEW = (
    update(schema.review)
    .where(_review.account_id == bindparam("k_account_id"))
    .where(_review.review_id == bindparam("k_review_id"))
    .where(_review.state == "open")
)
_REMOVE_IDENTIFIER = delete(schema.identifier).where(
    and_(
        _identifier.kind == bindparam("k_kind"),
        _identifier.value == bindparam("k_value"),
        _identifier.account_id == bindparam("k_account_id"),
    )
)
_RISING = {
    name: update(schema.generation).values({name: schema.generation.c[name] + 1})
    for name in ("identifiers", "catalogue", "peers")
}


def raise_generation(connection: Connection, counter: str) -> None:
    """Count one more change of ``identifiers``, ``catalogue`` or ``peers``."""
    connection.execute(_RISING[counter])


def write(
    connection: Connection, statements: Statements, working_set: WorkingSet, buckets: list[Bucket]
) -> None:
    """Write everything that hot.Changes does not hold.

    ``buckets``: changed ones of which more than the amounts is different. StoreConflictError
    when a row was changed meanwhile, ConflictError when an identifier is taken or gone.
    """
    new = {account.account_id for account in working_set.new_accounts}
    _insert(connection, schema.account, [_account_row(one) for one in working_set.new_accounts])
    changed = [one for key, one in working_set.changed_accounts.items() if key not in new]
    for account in changed:
        row = _account_row(account)
        keys = {"k_account_id": row.pop("account_id"), "k_version": row.pop("version") - 1}
        written = connection.execute(_UPDATE_ACCOUNT.values(row), keys).rowcount
        expect("accounts", written, (account,))
    _insert(connection, schema.bucket, [_bucket_row(one) for one in working_set.new_buckets])
    for bucket in buckets:
        row = _bucket_row(bucket)
        keys = {"k_version": row.pop("version") - 1}
        keys |= {f"k_{name}": row.pop(name) for name in ("account_id", "bucket_id")}
        written = connection.execute(_UPDATE_BUCKET.values(row), keys).rowcount
        expect("buckets", written, (bucket,))
    if working_set.new_identifiers or working_set.removed_identifiers:
        _write_identifiers(connection, statements, working_set)
    _insert(connection, schema.review, [*map(msgspec.structs.asdict, working_set.reviews)])
    for item in working_set.resolved_reviews:
        _resolve(connection, item)
    vouchers.redeem(connection, working_set.vouchers)
    write_actions(connection, working_set.actions)
    _insert(connection, schema.notification, [*map(_notification_row, working_set.notifications)])
    server_requests.insert_all(connection, working_set.server_requests)
    for name, value in working_set.settings.items():
        connection.execute(delete(schema.setting).where(schema.setting.c.name == name))
        if value:
            connection.execute(insert(schema.setting).values(name=name, value=value))


def write_actions(connection: Connection, actions: Sequence[OperatorAction]) -> None:
    """Record what operators did."""
    _insert(connection, schema.operator_action, [*map(msgspec.structs.asdict, actions)])


def _insert(connection: Connection, table: Table[Any], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), INSERT_ROWS):
        connection.execute(insert(table), rows[start : start + INSERT_ROWS])


def _account_row(account: Account) -> dict[str, Any]:
    return msgspec.structs.asdict(account) | {
        "version": account.version + 1,
        "counters": records.encode_counters(account.counters),
        "details": records.encode_details(account.details),
    }


def _notification_row(notification: Notification) -> dict[str, Any]:
    row = msgspec.structs.asdict(notification)
    return row | {"details": json.dumps(notification.details, sort_keys=True)}


def _bucket_row(bucket: Bucket) -> dict[str, Any]:
    row = msgspec.structs.asdict(bucket)
    del row["asked"]
    return row | {
        "version": bucket.version + 1,
        "services": " ".join(bucket.services),
        "due_ns": records.bucket_due_ns(bucket),
    }


def _write_identifiers(
    connection: Connection, statements: Statements, working_set: WorkingSet
) -> None:
    for gone in working_set.removed_identifiers:
        keys = {"k_kind": gone.kind, "k_value": gone.value, "k_account_id": gone.account_id}
        if connection.execute(_REMOVE_IDENTIFIER, keys).rowcount != 1:
            raise ConflictError(f"{gone.kind} {gone.value} was removed or moved meanwhile")
    _refuse_taken(connection, statements, working_set.new_identifiers)
    rows = [*map(msgspec.structs.asdict, working_set.new_identifiers)]
    _insert(connection, schema.identifier, rows)
    raise_generation(connection, "identifiers")


def _refuse_taken(
    connection: Connection, statements: Statements, identifiers: Sequence[Identifier]
) -> None:
    """Raise ConflictError for the first name that is used twice."""
    names = [(one.kind, one.value) for one in identifiers]
    taken = (
        {(row[0], row[1]) for row in statements.identifiers(connection, names)}
        if names
        else (set())
    )
    for name in names:
        if name in taken:
            raise ConflictError(f"{name[0]} {name[1]} belongs to a subscriber already")
        taken.add(name)


def _resolve(connection: Connection, item: ReviewItem) -> None:
    row = msgspec.structs.asdict(item)
    keys = {f"k_{name}": row.pop(name) for name in ("account_id", "review_id")}
    if connection.execute(_RESOLVE_REVIEW.values(row), keys).rowcount != 1:
        raise ConflictError(f"review {item.review_id} is not open any more")
