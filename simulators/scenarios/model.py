"""What to simulate: subscribers, services, gateways, load and faults, read from a YAML file.

`load_scenario` checks the whole file and reports every mistake with its line; the values are used
by all other modules of this package. Times are simulated seconds unless a name says real.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from simulators.scenarios.arrivals import Arrivals, Poisson, Ramp
from simulators.scenarios.document import Document, read_document
from simulators.scenarios.document import Path as ValuePath
from simulators.scenarios.expectations import Expectation
from simulators.scenarios.faults import Faults
from simulators.scenarios.populations import IdentityType, Subscribers
from simulators.scenarios.services import (
    KINDS,
    DataService,
    Service,
    ServiceKind,
    SmsService,
    VoiceService,
    name_of,
)
from simulators.scenarios.values import Distribution, ServerAddress, Strict, fixed

Shape = Literal["generic", "open5gs", "magma", "kamailio"]

CARRIED: dict[Shape, tuple[ServiceKind, ...]] = {
    "generic": KINDS,
    "open5gs": ("data",),
    "magma": ("data",),
    "kamailio": ("voice",),
}
"""What each family of gateways can charge for at all."""


_JUDGED_OF_PREPARED = (
    "Of mode: prepared only the whole run can be judged, by latency_ms, rates, result_codes of the"
    " command and no_other_result_codes: leave the rest out, or use mode: subscribers"
)


class Gateway(Strict):
    """A client of the server; ``{n}`` in origin_host becomes 1, 2, ... for several connections."""

    origin_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.{}-]{1,200}$")]
    origin_realm: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")]
    shape: Shape = "generic"
    connections: Annotated[int, Field(ge=1, le=256)] = 1
    window: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Requests that may wait for their answer, per connection."""
    services: Annotated[tuple[ServiceKind, ...], Field(min_length=1)] | None = None
    """What it carries; without it, all that its shape can."""
    answer_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Real seconds after which a request is sent again with the T flag."""
    retransmissions_max: Annotated[int, Field(ge=0, le=10)] = 3
    tx_seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    """Real seconds after which a request without an answer has failed, however often it was sent
    and whether there is a connection or not (RFC 8506 section 13); without it, when the
    retransmissions are over."""
    failure_handling: Literal["terminate", "continue", "retry_and_terminate"] = (
        "retry_and_terminate"
    )
    """What a failed request means for its session, unless an answer says so."""
    debit_failure_handling: Literal["terminate_or_buffer", "continue"] = "terminate_or_buffer"
    """The same for one-time events."""

    @model_validator(mode="after")
    def _hosts(self) -> Self:
        if self.connections > 1 and "{n}" not in self.origin_host:
            raise ValueError("several connections need {n} in origin_host: a host connects once")
        never = [kind for kind in self.carries if kind not in CARRIED[self.shape]]
        if never:
            able = ", ".join(CARRIED[self.shape])
            raise ValueError(f"shape {self.shape} carries {able} only, not {', '.join(never)}")
        return self

    @property
    def carries(self) -> tuple[ServiceKind, ...]:
        """The kinds of services that it carries."""
        return self.services or CARRIED[self.shape]

    def origin_hosts(self) -> list[str]:
        """One Origin-Host per connection."""
        return [self.origin_host.replace("{n}", str(n + 1)) for n in range(self.connections)]


class Load(Strict):
    """How much happens at once, and when it ends: after real seconds or a number of sessions.

    A number of sessions at once (`concurrency`) begins a session when one has ended; arrivals go on
    however slow the answers are.
    """

    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    arrivals_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Short for `arrivals: {process: poisson, per_second: ...}`."""
    arrivals: Annotated[Arrivals, Field(discriminator="process")] | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Prepared mode: open loop with this many requests per real second."""
    think_seconds: Distribution = fixed(0)
    """With `concurrency`: the pause between two sessions."""
    think_time: Literal["simulated", "real"] = "simulated"
    """Whether `speed_up` shortens the pause."""
    duration_seconds: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    sessions: Annotated[int, Field(ge=1)] | None = None
    warm_up_seconds: Annotated[float, Field(ge=0, le=3600)] = 0

    @model_validator(mode="after")
    def _ends(self) -> Self:
        ways = (self.concurrency, self.arrivals_per_second, self.arrivals)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of concurrency, arrivals and arrivals_per_second")
        if self.duration_seconds is None and self.sessions is None and self.ramp is None:
            raise ValueError("give duration_seconds or sessions, or it would never end")
        if self.concurrency is None and self.think_seconds != fixed(0):
            raise ValueError("think_seconds is for concurrency: arrivals do not wait for anything")
        return self

    @property
    def process(self) -> Arrivals | None:
        """The arrival process; None when sessions follow each other."""
        if self.arrivals_per_second is not None:
            return Poisson(process="poisson", per_second=self.arrivals_per_second)
        return self.arrivals

    @property
    def ramp(self) -> Ramp | None:
        """The steps to find the knee, where that is what the load is for."""
        return self.arrivals if isinstance(self.arrivals, Ramp) else None

    @property
    def ends_after_seconds(self) -> float | None:
        """Real seconds after which no session begins and all end; a ramp ends with its steps."""
        if self.duration_seconds is None and self.ramp is not None:
            return self.ramp.seconds
        return self.duration_seconds


class Prepared(Strict):
    """The load mode: prepared messages, answers looked at for their Result-Code only."""

    updates_per_session: Annotated[int, Field(ge=0, le=1000)] = 8
    used_octets: Annotated[int, Field(ge=0, lt=1 << 40)] = 250_000
    used_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    end_sessions: bool = True
    """End every open session with a CCR-T when the time is over."""


class Scenario(Strict):
    """A whole scenario."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    description: str = ""
    mode: Literal["subscribers", "prepared"] = "subscribers"
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    speed_up: Annotated[float, Field(gt=0, le=100_000)] = 1.0
    """Simulated seconds per real second."""
    destination_realm: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")] = "ocs.example"
    load: Load
    gateways: Annotated[tuple[Gateway, ...], Field(min_length=1)]
    subscribers: Annotated[tuple[Subscribers, ...], Field(min_length=1)]
    services: Annotated[
        tuple[Annotated[Service, Field(discriminator="kind")], ...], Field(min_length=1)
    ]
    servers: Annotated[tuple[ServerAddress, ...], Field(min_length=1, max_length=2)] | None = None
    """HOST:PORT of the primary and of the secondary server, instead of those of the command."""
    faults: Faults = Faults()
    prepared: Prepared = Prepared()
    expect: Annotated[tuple[Expectation, ...], Field(max_length=1000)] = ()
    """What the run is judged by."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        hosts = [host for gateway in self.gateways for host in gateway.origin_hosts()]
        twice = sorted({host for host in hosts if hosts.count(host) > 1})
        if twice:
            raise ValueError(f"two connections would be {', '.join(twice)}")
        self._check_mix()
        self._check_bearers()
        self._check_expected()
        self._check_faults(set(hosts))
        if self.mode == "prepared":
            self._check_prepared()
        elif self.load.requests_per_second is not None:
            raise ValueError("load.requests_per_second is for mode: prepared")
        return self

    def _check_mix(self) -> None:
        carried = {kind for gateway in self.gateways for kind in gateway.carries}
        missing = sorted({service.kind for service in self.services} - carried)
        if missing:
            raise ValueError(f"no gateway carries {', '.join(missing)}")
        known = {name for one in self.services for name in (name_of(one), one.kind)}
        for number, group in enumerate(self.subscribers):
            unknown = [name for name in group.uses or () if name not in known]
            if unknown:
                whose = group.name or f"subscribers[{number}]"
                raise ValueError(f"{whose} uses {', '.join(unknown)}, which is no service here")
        shares = [group.share is not None for group in self.subscribers]
        if any(shares) and not all(shares):
            raise ValueError("give a share to every group of subscribers, or to none")

    def _check_bearers(self) -> None:
        whole = any(one.shape == "open5gs" and "data" in one.carries for one in self.gateways)
        for service in self.services:
            if whole and isinstance(service, DataService) and len(service.rating_groups) > 1:
                raise ValueError("shape open5gs charges a bearer as one: give one rating group")

    def _check_faults(self, hosts: set[str]) -> None:
        strangers = sorted(self.faults.named - hosts)
        if strangers:
            raise ValueError(f"faults name {', '.join(strangers)}, which is no gateway here")
        secondary = any(one.server == "secondary" for one in self.faults.connections)
        if secondary and self.servers is not None and len(self.servers) == 1:
            raise ValueError("faults name the secondary server, but servers has only one")

    def _check_expected(self) -> None:
        services = {name for one in self.services for name in (name_of(one), one.kind)}
        groups = {group.name for group in self.subscribers}
        steps = self.load.ramp.steps if self.load.ramp is not None else 0
        for number, block in enumerate(self.expect):
            where = f"expect[{number}] is about"
            if block.service is not None and block.service not in services:
                raise ValueError(f"{where} {block.service}, which is no service here")
            if block.subscribers is not None and block.subscribers not in groups:
                raise ValueError(f"{where} {block.subscribers}, which is no group here")
            if block.step is not None and block.step > steps:
                raise ValueError(f"{where} step {block.step} of a ramp of {steps} steps")
            if self.mode == "prepared" and (what := block.beyond_prepared):
                raise ValueError(f"{where} {what}. {_JUDGED_OF_PREPARED}")

    def _check_prepared(self) -> None:
        if any(gateway.shape != "generic" for gateway in self.gateways):
            raise ValueError("mode: prepared knows shape: generic only")
        if self.servers is not None or self.faults != Faults():
            raise ValueError("mode: prepared knows neither servers nor faults")
        if self.load.concurrency is None or self.load.duration_seconds is None:
            raise ValueError("mode: prepared needs load.concurrency and load.duration_seconds")
        for service in self.services:
            events = isinstance(service, SmsService) and service.manner == "iec"
            if not events and not isinstance(service, DataService | VoiceService):
                raise ValueError("mode: prepared knows data, voice and sms with manner: iec only")

    def services_of(self, group: Subscribers) -> tuple[Service, ...]:
        """The services that a group of subscribers uses."""
        uses = group.uses
        if uses is None:
            return self.services
        return tuple(one for one in self.services if name_of(one) in uses or one.kind in uses)

    @property
    def subscriber_count(self) -> int:
        """Subscribers of all groups together."""
        return sum(group.count for group in self.subscribers)

    def identities_of(self, position: int) -> tuple[tuple[IdentityType, str], ...]:
        """The identities of the subscriber at 0 <= position < subscriber_count."""
        for group in self.subscribers:
            if position < group.count:
                return group.identities_of(position)
            position -= group.count
        raise IndexError(position)


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file.

    Raises DocumentError with every problem, OSError if the file cannot be read.
    """
    return parse_scenario(path.read_text(encoding="utf-8"), str(path))


def parse_scenario(text: str, source: str) -> Scenario:
    """Check a scenario given as text; `source` names it in problems."""
    document = read_document(text, source)
    try:
        scenario = Scenario.model_validate(document.value)
    except ValidationError as error:
        for path, message in _problems(document, error):
            document.add(path, message)
        scenario = None
    document.check()
    if scenario is None:  # pragma: no cover - a ValidationError always leaves a problem
        raise AssertionError
    return scenario


_IN_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "too_short": "must not be empty",
    "model_type": "should be a mapping of keys and values",
    "tuple_type": "should be a list",
}


_CHOICES = {"kind": KINDS, "process": ("constant", "poisson", "daily", "burst", "ramp")}
_TAGS = {tag for tags in _CHOICES.values() for tag in tags}


def _problems(document: Document, error: ValidationError) -> Iterator[tuple[ValuePath, str]]:
    for one in error.errors(include_url=False, include_input=False):
        path = _real_path(document, one["loc"])
        if one["type"] == "too_short" and (*path, 0) in document.places:
            continue  # said of every list with a wrong item; the item has its own problem
        if one["type"] in {"union_tag_not_found", "union_tag_invalid"}:
            yield path, _choose(one["type"], str(one["ctx"]["discriminator"]).strip("'"))
            continue
        message = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
        yield path, _IN_WORDS.get(one["type"], message[:1].lower() + message[1:])


def _choose(error_type: str, key: str) -> str:
    *most, last = _CHOICES[key]
    verb = "should be" if error_type == "union_tag_invalid" else "is missing:"
    return f"{key} {verb} {', '.join(most)} or {last}"


def _real_path(document: Document, loc: tuple[str | int, ...]) -> ValuePath:
    """The path in the file: without the names that validation adds for the members of a union."""
    path: ValuePath = ()
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if (*path, part) in document.places or (last and part not in _TAGS):
            path = (*path, part)
    return path
