"""What to simulate: subscribers, services, gateways, load and faults, read from a YAML file.

`load_scenario` checks the whole file and reports every mistake with its line; the values are used
by all other modules of this package. Times are simulated seconds unless a name says real.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.scenarios.document import Document, read_document
from simulators.scenarios.document import Path as ValuePath

IdentityType = Literal["msisdn", "imsi", "sip", "nai"]
Shape = Literal["generic", "open5gs", "magma", "kamailio"]

_PLACES = re.compile("#+")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Distribution(_Model):
    """A random number: one number, ``uniform: [low, high]``, ``exponential: mean``, ``one_of``."""

    fixed: Annotated[float, Field(ge=0)] | None = None
    uniform: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None
    exponential: Annotated[float, Field(gt=0)] | None = None
    one_of: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"fixed": value}
        if not isinstance(value, dict):
            raise ValueError("give a number or one of uniform, exponential, one_of")  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give a number or exactly one of uniform, exponential, one_of")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform needs the smaller number first")
        return self

    def sample(self, dice: random.Random) -> float:
        """One value; exponential ones are cut at ten times their mean."""
        if self.uniform is not None:
            return dice.uniform(*self.uniform)
        if self.exponential is not None:
            return min(dice.expovariate(1 / self.exponential), 10 * self.exponential)
        if self.one_of is not None:
            return dice.choice(self.one_of)
        return self.fixed or 0.0


def fixed(value: float) -> Distribution:
    """The distribution that is always `value`."""
    return Distribution(fixed=value)


class IdentityPattern(_Model):
    """One identity of each subscriber of a group: ``#`` stands for a digit of its number."""

    type: IdentityType
    pattern: Annotated[str, Field(min_length=1, max_length=120)]

    @model_validator(mode="after")
    def _one_run(self) -> Self:
        if len(_PLACES.findall(self.pattern)) != 1:
            raise ValueError("needs one run of # characters for the subscriber's number")
        return self

    @property
    def digits(self) -> int:
        """How many digits the pattern leaves for the number."""
        return self.pattern.count("#")

    def identity(self, number: int) -> str:
        """The identity of subscriber `number`, zero-padded to the width of the pattern."""
        return _PLACES.sub(f"{number:0{self.digits}d}", self.pattern)


class Subscribers(_Model):
    """Subscribers number `first` to `first + count - 1`, each with all these identities."""

    identities: Annotated[tuple[IdentityPattern, ...], Field(min_length=1)]
    first: Annotated[int, Field(ge=0)] = 1
    count: Annotated[int, Field(ge=1, le=100_000_000)]

    @model_validator(mode="after")
    def _room(self) -> Self:
        for pattern in self.identities:
            if self.first + self.count - 1 >= 10**pattern.digits:
                raise ValueError(
                    f"{pattern.pattern!r} has room for numbers up to {10**pattern.digits - 1}, "
                    f"not for {self.first + self.count - 1}"
                )
        return self

    def identities_of(self, position: int) -> tuple[tuple[IdentityType, str], ...]:
        """Type and text of each identity of the subscriber at 0 <= position < count."""
        return tuple((one.type, one.identity(self.first + position)) for one in self.identities)


class RatingGroupUse(_Model):
    """What one rating group of a data session consumes; without a number it is not named."""

    rating_group: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    service_identifier: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    octets_per_second: Distribution
    requested_octets: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    """None leaves the size to the server: an empty Requested-Service-Unit."""
    start_after_seconds: Distribution = fixed(0)
    active_seconds: Distribution | None = None
    idle_seconds: Distribution | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.active_seconds is None) != (self.idle_seconds is None):
            raise ValueError("active_seconds and idle_seconds belong together")
        return self


class Destination(_Model):
    """Numbers that are called or written to: ``#`` stands for a random digit."""

    number: Annotated[str, Field(pattern=r"^[+0-9#]{1,40}$")]
    weight: Annotated[float, Field(gt=0)] = 1


class _Service(_Model):
    weight: Annotated[float, Field(gt=0)] = 1
    service_context: Annotated[str, Field(min_length=1, max_length=200)]


class DataService(_Service):
    """A data session with one or more rating groups (TS 32.251)."""

    kind: Literal["data"]
    service_context: Annotated[str, Field(min_length=1, max_length=200)] = "32251@3gpp.org"
    duration_seconds: Distribution
    rating_groups: Annotated[tuple[RatingGroupUse, ...], Field(min_length=1, max_length=64)]
    apn: Annotated[str, Field(max_length=100)] = "internet"


class VoiceService(_Service):
    """A call (TS 32.260): reserved at the INVITE, charged from the answer on."""

    kind: Literal["voice"]
    service_context: Annotated[str, Field(min_length=1, max_length=200)] = "32260@3gpp.org"
    rating_group: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    service_identifier: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    duration_seconds: Distribution
    ring_seconds: Distribution = fixed(5)
    answered_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    requested_seconds: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]


class SmsService(_Service):
    """Messages charged as events at once (TS 32.274)."""

    kind: Literal["sms"]
    service_context: Annotated[str, Field(min_length=1, max_length=200)] = "32274@3gpp.org"
    rating_group: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    service_identifier: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    messages: Distribution = fixed(1)
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]


Service = DataService | VoiceService | SmsService
ServiceKind = Literal["data", "voice", "sms"]


class Gateway(_Model):
    """A client of the server; ``{n}`` in origin_host becomes 1, 2, ... for several connections."""

    origin_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.{}-]{1,200}$")]
    origin_realm: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")]
    shape: Shape = "generic"
    connections: Annotated[int, Field(ge=1, le=256)] = 1
    window: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Requests that may wait for their answer, per connection."""
    services: tuple[ServiceKind, ...] = ("data", "voice", "sms")
    answer_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Real seconds after which a request is sent again with the T flag."""
    retransmissions_max: Annotated[int, Field(ge=0, le=10)] = 3

    @model_validator(mode="after")
    def _hosts(self) -> Self:
        if self.connections > 1 and "{n}" not in self.origin_host:
            raise ValueError("several connections need {n} in origin_host: a host connects once")
        return self

    def origin_hosts(self) -> list[str]:
        """One Origin-Host per connection."""
        return [self.origin_host.replace("{n}", str(n + 1)) for n in range(self.connections)]


class Load(_Model):
    """How much happens at once, and when it ends: after real seconds or a number of sessions."""

    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    arrivals_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """New sessions per real second, however slow the answers are."""
    requests_per_second: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Prepared mode: open loop with this many requests per real second."""
    duration_seconds: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    sessions: Annotated[int, Field(ge=1)] | None = None
    warm_up_seconds: Annotated[float, Field(ge=0, le=3600)] = 0

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.concurrency is None) == (self.arrivals_per_second is None):
            raise ValueError("give exactly one of concurrency and arrivals_per_second")
        if self.duration_seconds is None and self.sessions is None:
            raise ValueError("give duration_seconds or sessions, or it would never end")
        return self


class Faults(_Model):
    """What goes wrong on purpose; probabilities from 0 to 1."""

    retransmit: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Chance that an answered request is sent once more with the T flag."""
    abandon: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Chance that a session goes silent before its end."""


class Prepared(_Model):
    """The load mode: prepared messages, answers looked at for their Result-Code only."""

    updates_per_session: Annotated[int, Field(ge=0, le=1000)] = 8
    used_octets: Annotated[int, Field(ge=0, lt=1 << 40)] = 250_000
    used_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    end_sessions: bool = True
    """End every open session with a CCR-T when the time is over."""


class Scenario(_Model):
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
    faults: Faults = Faults()
    prepared: Prepared = Prepared()

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        carried = {kind for gateway in self.gateways for kind in gateway.services}
        missing = sorted({service.kind for service in self.services} - carried)
        if missing:
            raise ValueError(f"no gateway carries {', '.join(missing)}")
        self._check_bearers()
        hosts = [host for gateway in self.gateways for host in gateway.origin_hosts()]
        twice = sorted({host for host in hosts if hosts.count(host) > 1})
        if twice:
            raise ValueError(f"two connections would be {', '.join(twice)}")
        prepared = self.mode == "prepared"
        if prepared and any(gateway.shape != "generic" for gateway in self.gateways):
            raise ValueError("mode: prepared knows shape: generic only")
        if self.load.requests_per_second is not None and not prepared:
            raise ValueError("load.requests_per_second is for mode: prepared")
        if prepared and (self.load.concurrency is None or self.load.duration_seconds is None):
            raise ValueError("mode: prepared needs load.concurrency and load.duration_seconds")
        return self

    def _check_bearers(self) -> None:
        whole = any(one.shape == "open5gs" and "data" in one.services for one in self.gateways)
        for service in self.services:
            if whole and isinstance(service, DataService) and len(service.rating_groups) > 1:
                raise ValueError("shape open5gs charges a bearer as one: give one rating group")

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
    "union_tag_not_found": "kind is missing: data, voice or sms",
    "union_tag_invalid": "kind should be data, voice or sms",
}


def _problems(document: Document, error: ValidationError) -> Iterator[tuple[ValuePath, str]]:
    for one in error.errors(include_url=False, include_input=False):
        path = _real_path(document, one["loc"])
        if one["type"] == "too_short" and (*path, 0) in document.places:
            continue  # said of every list with a wrong item; the item has its own problem
        message = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
        yield path, _IN_WORDS.get(one["type"], message[:1].lower() + message[1:])


def _real_path(document: Document, loc: tuple[str | int, ...]) -> ValuePath:
    """The path in the file: without the names that validation adds for the members of a union."""
    path: ValuePath = ()
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if (*path, part) in document.places or (last and part not in ("data", "voice", "sms")):
            path = (*path, part)
    return path
