"""What a replay showed: how many answers were the same, and the differences in groups.

Filled by `carrier`, shown by `ocs simulate replay` to people and, as JSON, to programs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from protocol.credit_control import RequestType
from protocol.credit_control_reader import partial_ccr_fields, read_cca
from protocol.describe import describe
from protocol.errors import ProtocolError
from simulators.replay.compare import Comparer, Difference
from simulators.replay.conversations import ServiceKey, Step
from simulators.replay.findings import Findings
from simulators.reports.report import Report

GROUPS_MAX = 200
EXAMPLE_CHARACTERS_MAX = 20_000

_TYPE_NAMES = {one.value: one.name.lower() for one in RequestType}


@dataclass(frozen=True, slots=True)
class Example:
    """One difference with both messages decoded."""

    where: str
    session_id: str
    recorded: str
    answered: str
    request: str
    recorded_answer: str
    answer: str


@dataclass(slots=True)
class Group:
    """Differences of one kind: in what kind of request, about what, where, and how."""

    request: str
    aspect: str
    place: str
    sort: str
    example: Example
    count: int = 0


@dataclass(slots=True)
class Outcome:
    """What has been compared so far."""

    comparer: Comparer | None
    findings: Findings
    same: int = 0
    differing: int = 0
    """Answers with at least one difference."""
    not_compared: int = 0
    groups: dict[tuple[str, str, str, str], Group] = field(default_factory=dict)
    not_grouped: int = 0

    def in_words(self) -> str:
        """The three counts."""
        return f"the same {self.same}, different {self.differing}, not compared {self.not_compared}"

    def compare(self, step: Step, request: bytes, answer: bytes) -> None:
        """An answer has come to `request`, which is what the step became by the rules."""
        if self.comparer is None or (step.recorded is None and not step.expected):
            self.not_compared += 1
            return
        if step.recorded is None:
            self._note(step, request, answer, list(_expected(step.expected, answer)))
            return
        try:
            found = self.comparer.compare(request, step.recorded, answer)
        except ProtocolError:
            self.findings.notes["recorded answers that cannot be read"] += 1
            self.not_compared += 1
            return
        self._note(step, request, answer, found)

    def unanswered(self, step: Step, request: bytes) -> None:
        """No answer came."""
        if step.silent:
            self.not_compared += 1
            return
        lost = Difference("result_code", "", "an answer", "no answer", "no answer")
        self._note(step, request, b"", [lost])

    def _note(
        self, step: Step, request: bytes, answer: bytes, differences: list[Difference]
    ) -> None:
        if not differences:
            self.same += 1
            return
        self.differing += 1
        kind = _TYPE_NAMES.get(partial_ccr_fields(request)[1] or 0, "other")
        for one in differences:
            key = (kind, one.aspect, one.place, one.sort)
            group = self.groups.get(key)
            if group is None:
                if len(self.groups) >= GROUPS_MAX:
                    self.not_grouped += 1
                    continue
                example = _example(step, request, answer, one)
                group = self.groups[key] = Group(*key, example)
            group.count += 1


def _expected(expected: Mapping[ServiceKey, int], answer: bytes) -> list[Difference]:
    """Result codes that usage records name, against those of the answer."""
    try:
        read = read_cca(answer)
    except ProtocolError as fault:
        return [Difference("result_code", "", "an answer", f"unreadable: {fault}", "unreadable")]
    found = []
    for (rating_group, identifier), code in expected.items():
        actual = read.result_code
        for part in read.services:
            keys = part.rating_group, (part.service_identifiers or (None,))[0]
            alone = len(read.services) == len(expected) == 1
            if part.result_code is not None and (keys == (rating_group, identifier) or alone):
                actual = part.result_code
        if actual != code:
            place = "" if rating_group is None else f"rating group {rating_group}"
            sort = f"{code} -> {actual}"
            found.append(Difference("result_code", place, str(code), str(actual), sort))
    return found


def _example(step: Step, request: bytes, answer: bytes, one: Difference) -> Example:
    session_id = partial_ccr_fields(request)[0] or b""
    return Example(
        step.where,
        session_id.decode(errors="replace"),
        one.recorded,
        one.answered,
        _decoded(request),
        _decoded(step.recorded),
        _decoded(answer),
    )


def _decoded(message: bytes | None) -> str:
    if not message:
        return "none"
    try:
        return describe(message)[:EXAMPLE_CHARACTERS_MAX]
    except ProtocolError as fault:
        return f"unreadable: {fault}"


@dataclass(frozen=True, slots=True)
class Source:
    """What was played, in numbers."""

    name: str
    packets: int = 0
    messages: int = 0
    records: int = 0
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A whole replay; `as_json` is stable."""

    source: Source
    traffic: Report
    outcome: Outcome

    @property
    def ok(self) -> bool:
        """Whether all was played and no answer differs."""
        outcome = self.outcome
        traffic = self.traffic
        return (
            traffic.answers > 0
            and not traffic.problems
            and not outcome.differing
            and not outcome.findings.problems
        )

    def document(self) -> dict[str, Any]:
        """Everything, for programs."""
        outcome = self.outcome
        return {
            "ok": self.ok,
            "source": asdict(self.source),
            "comparison": {
                "same": outcome.same,
                "differing": outcome.differing,
                "not_compared": outcome.not_compared,
                "groups": [asdict(one) for one in self._groups()],
                "groups_left_out": outcome.not_grouped,
            },
            "problems": list(outcome.findings.problems),
            "notes": dict(sorted(outcome.findings.notes.items())),
            "traffic": json.loads(self.traffic.as_json()),
        }

    def _groups(self) -> list[Group]:
        return sorted(self.outcome.groups.values(), key=lambda one: -one.count)

    def as_text(self, *, examples: bool = True) -> str:
        """Lines for people; with one example decoded for each group if wanted."""
        outcome = self.outcome
        lines = [
            f"{self.source.name}: {self.source.sessions} sessions played",
            f"  answers      {outcome.in_words()}",
        ]
        for one in self._groups():
            where = f" of {one.place}" if one.place else ""
            lines.append(f"  DIFFERENT {one.count}x {one.request}: {one.aspect}{where}: {one.sort}")
            lines += _example_lines(one.example, decoded=examples)
        if outcome.not_grouped:
            lines.append(f"  and {outcome.not_grouped} differences of further kinds")
        lines += [f"  note: {count} {name}" for name, count in outcome.findings.notes.items()]
        lines += [f"  PROBLEM: {problem}" for problem in outcome.findings.problems]
        return "\n".join([*lines, self.traffic.as_text()])


def _example_lines(example: Example, *, decoded: bool) -> list[str]:
    values = f"recorded {example.recorded}, answered {example.answered}"
    lines = [f"    for example {example.where}, session {example.session_id}: {values}"]
    if decoded:
        for name, text in (
            ("asked", example.request),
            ("recorded", example.recorded_answer),
            ("answered", example.answer),
        ):
            lines += [f"    {name}:", *(f"      {line}" for line in text.splitlines())]
    return lines
