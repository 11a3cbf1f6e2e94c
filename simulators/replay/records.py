"""Usage records from CSV, JSON or JSON lines: checked whole, every mistake with its line.

The format is described in docs/simulator.md. `usage` makes sessions of them.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from simulators.replay.findings import UnusableError
from simulators.scenarios.document import DocumentError, Problem

RECORDS_MAX = 1_000_000
FILE_OCTETS_MAX = 512 << 20
LINE_OCTETS_MAX = 64 << 10
PROBLEMS_MAX = 100

IDENTITY_FIELDS = ("msisdn", "imsi", "sip", "nai")
_NS = 1_000_000_000
_WHOLE = re.compile(r"-?\d{1,19}")
_NUMBER = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")


def _whole(value: Any) -> Any:
    """A whole number, also as the text of a CSV field."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value


def _instant(value: Any) -> Any:
    """Unix nanoseconds from seconds since 1970 or an ISO 8601 time with its offset."""
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    seconds = _NUMBER.fullmatch(text)
    if seconds:
        return int(seconds[1]) * _NS + int((seconds[2] or "").ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("should be an ISO 8601 time or seconds since 1970") from None
    if moment.tzinfo is None:
        raise ValueError("needs Z or an offset such as +02:00")
    return int(moment.timestamp() * 1_000_000) * 1000


def _text(value: Any) -> Any:
    """Numbers where text is meant: an MSISDN in JSON."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=1 << 62)]
Code = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=1 << 32)]
Text = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=250)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")]


class UsageRecord(BaseModel):
    """One record: what a subscriber used of one service, from when and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["data", "voice", "sms", "mms", "event"]
    start: Annotated[int, BeforeValidator(_instant)]
    """Unix nanoseconds."""
    duration_seconds: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=31_536_000)] = 0
    session: Text | None = None
    """Records with the same text are one session."""
    msisdn: Text | None = None
    imsi: Text | None = None
    sip: Text | None = None
    nai: Text | None = None
    rating_group: Code | None = None
    service_identifier: Code | None = None
    octets: Count | None = None
    input_octets: Count | None = None
    output_octets: Count | None = None
    seconds: Count | None = None
    units: Count | None = None
    to: Text | None = None
    apn: Text = "internet"
    gateway: Host = "replay.net.example"
    realm: Host = "net.example"
    context: Text | None = None
    result_code: Code | None = None
    """What the request for it was answered then."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.identities:
            raise ValueError(f"needs one of {', '.join(IDENTITY_FIELDS)}")
        amounts = {"octets": self.octets, "input_octets": self.input_octets}
        amounts |= {"output_octets": self.output_octets, "seconds": self.seconds}
        amounts["units"] = self.units
        fitting = {
            "data": {"octets", "input_octets", "output_octets"},
            "voice": {"seconds"},
        }.get(self.kind, {"units"})
        for name, value in amounts.items():
            if value is not None and name not in fitting:
                raise ValueError(f"{name} is not for {self.kind}")
        return self

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """Type and text of each identity."""
        named = ((name, getattr(self, name)) for name in IDENTITY_FIELDS)
        return tuple((name, value) for name, value in named if value is not None)

    @property
    def amount(self) -> int:
        """Octets, seconds or units, whatever its kind is measured in."""
        if self.kind == "data":
            parts = (self.input_octets or 0) + (self.output_octets or 0)
            return parts if self.octets is None else self.octets
        if self.kind == "voice":
            return self.duration_seconds if self.seconds is None else self.seconds
        return 1 if self.units is None else self.units


def read_records(path: Path) -> list[UsageRecord]:
    """All records of a file, by the time they began.

    Raises DocumentError with every mistake (at most PROBLEMS_MAX), UnusableError for a file that is
    empty or beyond the limits, OSError if it cannot be read.
    """
    if path.stat().st_size > FILE_OCTETS_MAX:
        raise UnusableError(f"{path} has more than {FILE_OCTETS_MAX >> 20} MiB: split it")
    problems: list[Problem] = []
    records: list[UsageRecord] = []
    try:
        for line, value in _rows(path):
            if len(records) >= RECORDS_MAX:
                raise UnusableError(f"{path} has more than {RECORDS_MAX} records: split it")
            _add(records, problems, path, line, value)
            if len(problems) >= PROBLEMS_MAX:
                break
    except UnicodeDecodeError:
        raise UnusableError(f"{path} is not UTF-8 text") from None
    except (json.JSONDecodeError, csv.Error, RecursionError) as error:
        place = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        problems.append(Problem(str(path), place, 1, "", f"not readable: {error}"))
    if problems:
        raise DocumentError(problems)
    if not records:
        raise UnusableError(f"{path} holds no usage records")
    return sorted(records, key=lambda one: one.start)


def _add(
    records: list[UsageRecord], problems: list[Problem], path: Path, line: int, value: Any
) -> None:
    try:
        records.append(UsageRecord.model_validate(value))
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            where = ".".join(str(part) for part in one["loc"])
            said = {
                "missing": "is missing",
                "extra_forbidden": "unknown field",
                "model_type": "should be an object",
            }.get(one["type"], one["msg"].removeprefix("Value error, "))
            problems.append(Problem(str(path), line, 1, where, said[:1].lower() + said[1:]))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line (of a JSON array: position) and value of each record."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            yield from _csv_rows(file)
            return
        beginning = file.read(1)
        while beginning.isspace():
            beginning = file.read(1)
        file.seek(0)
        if beginning == "[":
            yield from enumerate(json.load(file), 1)
            return
        for line, text in enumerate(file, 1):
            if text.strip():
                yield line, _json_line(line, text)


def _json_line(line: int, text: str) -> Any:
    if len(text) > LINE_OCTETS_MAX:
        raise UnusableError(f"line {line} has more than {LINE_OCTETS_MAX} characters")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        error.lineno = line
        raise


def _csv_rows(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.reader(file, strict=True)
    header = [name.strip() for name in next(reader, [])]
    for row in reader:
        if not any(row):
            continue
        value = {
            name: text.strip() for name, text in zip(header, row, strict=False) if text.strip()
        }
        if len(row) > len(header):
            value[f"column {len(header) + 1}"] = row[len(header)]
        yield reader.line_num, value
