"""What is measured: set-ups of the server, loads on each, and the ratios with their aims."""

from dataclasses import dataclass, field

SQLITE, POSTGRES, NO_STORE = "sqlite", "postgresql", "no store"
ANSWERER = "answerer"
"""No server at all, but what answers everything alike: the ceiling of the simulator."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load: closed loop, or an open loop at half of what `half_of` (a load's name) reached."""

    name: str
    connections: int = 1
    window: int = 256
    half_of: str = ""
    keeps_sessions: bool = False
    """Sessions stay open, to see what they cost in memory."""
    subscribers: bool = False
    """Subscribers who do something, instead of prepared messages."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One server: its store, its subscribers, and the most requests in one commit."""

    engine: str
    subscribers: int = 1_000
    batch: int = 0
    """0 leaves the server's own limit."""
    loads: tuple[Load, ...] = ()
    large: bool = False
    """With 500 plans and 50,000 prefixes instead of the sample catalogue as it is."""

    @property
    def name(self) -> str:
        """Short and unique."""
        batch = f", batch {self.batch}" if self.batch else ""
        large = ", large catalogue" if self.large else ""
        return f"{self.engine}, {self.subscribers:,} subscribers{batch}{large}"


ONE = Load("1 connection, window 1", window=1)
SIXTEEN = Load("1 connection, window 16", window=16)
FULL = Load("1 connection, window 256")
FOUR = Load("4 connections, window 256", connections=4)
FOUR_ONE = Load("4 connections, window 1", connections=4, window=1)
FOUR_SIXTEEN = Load("4 connections, window 16", connections=4, window=16)
HALF = Load("open loop at half load", half_of=FULL.name)
SUBSCRIBERS = Load("subscribers, 4 connections", connections=4, window=64, subscribers=True)
SESSIONS = Load("sessions stay open", keeps_sessions=True)


def setups(*, full: bool) -> list[Setup]:
    """All set-ups of a run; each is measured once in every round."""
    windows: tuple[Load, ...] = (ONE, SIXTEEN, FULL, FOUR)
    if full:
        windows = (ONE, SIXTEEN, FULL, FOUR_ONE, FOUR_SIXTEEN, FOUR)
    whole = (*windows, HALF)
    many = (FULL, FOUR, HALF) if full else (FULL,)
    return [
        Setup(ANSWERER, loads=(FULL, FOUR, SUBSCRIBERS)),
        Setup(NO_STORE, loads=windows),
        Setup(SQLITE, loads=(*whole, SESSIONS)),
        Setup(SQLITE, loads=(FULL,), large=True),
        Setup(SQLITE, batch=1, loads=(FULL,)),
        Setup(SQLITE, subscribers=100_000, loads=many),
        Setup(POSTGRES, loads=whole),
        Setup(POSTGRES, batch=1, loads=(FULL,)),
        Setup(POSTGRES, subscribers=100_000, loads=many),
    ]


@dataclass(slots=True)
class Result:
    """One load, measured once."""

    setup: Setup
    load: Load
    round: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    server_us: float
    """Processor microseconds of the server for each request."""
    database_us: float
    """The same of all database processes; SQLite's are the server's."""
    load_us: float
    result_codes: dict[str, int] = field(default_factory=dict)
    memory_octets_per_10k_sessions: float | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure with an aim; `at_least` tells which side of the aim is good."""

    name: str
    aim: float
    values: tuple[float, ...]
    at_least: bool = True
    unit: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    @property
    def reached(self) -> bool:
        """Whether the median is on the good side of the aim."""
        return self.value >= self.aim if self.at_least else self.value <= self.aim


def median(values: tuple[float, ...] | list[float]) -> float:
    """The middle value, or the mean of the two in the middle; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def ratios(results: list[Result]) -> list[Ratio]:
    """The figures with aims, each made inside one round and then taken over the rounds."""
    found: list[Ratio] = []

    def rate(
        engine: str, turn: int, subscribers: int = 1_000, batch: int = 0, large: bool = False
    ) -> float:
        wanted = Setup(engine, subscribers, batch, large=large)
        return next(
            (
                one.per_second
                for one in results
                if one.round == turn and one.load == FULL and one.setup.name == wanted.name
            ),
            0.0,
        )

    turns = sorted({one.round for one in results})

    def ratio(name: str, aim: float, above: dict[str, object], below: dict[str, object]) -> None:
        pairs = [(rate(turn=turn, **above), rate(turn=turn, **below)) for turn in turns]  # type: ignore[arg-type]
        values = tuple(top / bottom for top, bottom in pairs if top and bottom)
        if values:
            found.append(Ratio(name, aim, values))

    ratio("simulator alone / no store", 2.0, {"engine": ANSWERER}, {"engine": NO_STORE})
    for engine, batching, of_none in ((SQLITE, 3.0, 0.5), (POSTGRES, 8.0, 0.4)):
        plain: dict[str, object] = {"engine": engine}
        ratio(f"{engine}: batching / batch size 1", batching, plain, {**plain, "batch": 1})
        ratio(f"{engine} / no store", of_none, plain, {"engine": NO_STORE})
        many = {**plain, "subscribers": 100_000}
        ratio(f"{engine}: 100,000 / 1,000 subscribers", 0.85, many, plain)
        ratio(f"{engine}: large catalogue / sample", 0.9, {**plain, "large": True}, plain)
        late = tuple(
            one.p99_ms
            for one in results
            if one.setup.engine == engine and one.load.half_of and one.setup.subscribers == 1_000
        )
        if late:
            found.append(Ratio(f"{engine}: p99 at half load", 50.0, late, False, "ms"))
    return found
