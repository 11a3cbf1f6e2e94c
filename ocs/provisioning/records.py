"""Charging data records out of the database: CSV or JSON lines, by time, to be continued later.

A cursor file remembers the last record that was written; the next export begins after it. The
output takes its name when it is whole, and the cursor moves after that, so an interrupted export
is simply repeated. Called by `ocs records export` and `ocs trace`.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ocs.clock import NS_PER_SECOND, first_id_at
from ocs.errors import RefusedError, UsageError
from ocs.provisioning.desk import Desk
from ocs.provisioning.views import request_view
from ocs.store.ledger_reports import StoredRequest

SETTLE_SECONDS = 10
"""Records are exported when they are this old: a younger id may still be committed behind it."""
FORMATS = ("csv", "jsonl")
CSV_COLUMNS = (
    "request_id", "at", "event_at", "account_id", "identity", "plan", "kind", "number",
    "session_id", "service_context", "origin_host", "called_party", "apn", "outcome", "reason",
    "service", "rating_group", "unit", "used", "from_buckets", "charged_micro", "granted",
    "reserved_micro", "balance_micro", "currency", "catalogue_version", "termination_cause",
    "operator", "note", "used_text", "tax_micro",
)  # fmt: skip
"""One line for each service of a request; a request without any has one line with these empty."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records: after an id, from one instant (inclusive) to another (exclusive)."""

    after_id: int = 0
    since_ns: int = 0
    until_ns: int = 0
    """0 = as far as records are settled."""
    account_id: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    records: int
    last_id: int
    until_ns: int


def export(
    desk: Desk, selection: Selection, form: str, stream: TextIO,
    progress: Callable[[int], None] = lambda _count: None,
) -> Exported:  # fmt: skip
    """Write the selected records to ``stream`` in order of their ids, streaming."""
    write = _writer(form, stream)
    count, last = 0, selection.after_id
    until_ns = _until(desk, selection)
    for stored in _select(desk, selection, until_ns):
        write(stored)
        count, last = count + 1, stored.request_id
        progress(count)
    return Exported(count, last, until_ns)


def read_cursor(path: Path) -> int:
    """Return the id of the last record written before; 0 when there is no cursor yet."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the cursor {path} cannot be read: {error}") from error
    if not text.isdecimal():
        raise RefusedError(f"{path} is no cursor of an export: it should hold one number")
    return int(text)


def write_cursor(path: Path, last_id: int) -> None:
    """Remember the last record written, whole or not at all."""
    with whole_file(path, replace=True) as stream:
        stream.write(f"{last_id}\n")


@contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[TextIO]:
    """Yield a text file that takes its name only when everything in it is on the disk."""
    if path.exists() and not replace:
        raise RefusedError(f"{path} exists already; choose another name")
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def follow(
    desk: Desk, account_id: int, after_id: int, limit: int
) -> Iterator[StoredRequest]:
    """Yield an account's records after an id, those of this moment included (for a trace)."""
    last = first_id_at(desk.clock.now_ns() + 3600 * NS_PER_SECOND)
    return desk.ledger.requests_after(after_id, last, account_id=account_id, limit=limit)


def _until(desk: Desk, selection: Selection) -> int:
    settled_ns = desk.clock.now_ns() - SETTLE_SECONDS * NS_PER_SECOND
    return min(selection.until_ns, settled_ns) if selection.until_ns else settled_ns


def _select(desk: Desk, selection: Selection, until_ns: int) -> Iterator[StoredRequest]:
    after = max(selection.after_id, first_id_at(selection.since_ns) - 1)
    return desk.ledger.requests_after(
        after, first_id_at(until_ns), account_id=selection.account_id, limit=selection.limit
    )


def _writer(form: str, stream: TextIO) -> Callable[[StoredRequest], None]:
    if form == "jsonl":
        return lambda stored: _write_json(stream, stored)
    if form != "csv":
        raise UsageError(f"'{form}' is no format of records; use {' or '.join(FORMATS)}")
    table = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    table.writeheader()
    return lambda stored: table.writerows(csv_rows(stored))


def _write_json(stream: TextIO, stored: StoredRequest) -> None:
    stream.write(json.dumps(request_view(stored), ensure_ascii=False) + "\n")


def csv_rows(stored: StoredRequest) -> list[dict[str, Any]]:
    """Return the lines of one record: one for each service that was charged or granted."""
    view, record = request_view(stored), stored.record
    common = {name: view[name] for name in CSV_COLUMNS if name in view}
    common["currency"] = record.reply.currency
    lines = [
        {
            **common,
            "service": line["service"],
            "rating_group": line["rating_group"],
            "unit": line["unit"],
            "used": line["used"],
            "from_buckets": line["from_buckets"],
            "charged_micro": line["charged_micro"],
            "granted": line["granted"],
            "reserved_micro": line["reserved_micro"],
            "used_text": line["used_text"],
            "tax_micro": line.get("tax_micro", 0),
        }
        for line in view["charged"]
    ]
    return [{key: _plain(value) for key, value in line.items()} for line in lines or [common]]


def _plain(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value
