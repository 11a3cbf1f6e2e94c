"""Damages seeds and gives them to a target until the time or the number is used up."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.support.fuzz import mutations, seeds
from tests.support.fuzz.targets import TARGETS, TooSlowError, bounded
from tests.support.sources import ROOT

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
"""What has failed once, by target; replayed by the tests."""
MEMORY_EVERY = 25
"""Looking at the memory makes an input several times slower, so not all are looked at."""
KEPT = 400
KEPT_OCTETS = 8192
"""So many damaged inputs, each of them at most so long, are damaged again."""

ATTEMPTS = 3
"""How often an input must be too slow to count as slow."""
SHRINK_SECONDS = 60.0
"""For making one failure smaller; what it has come to by then will do."""


class Failure(NamedTuple):
    """An input for which something did not hold."""

    target: str
    data: bytes
    error: BaseException

    @property
    def name(self) -> str:
        """Return a name for its file."""
        return f"{hashlib.sha256(self.data).hexdigest()[:12]}.hex"


@dataclass
class Campaign:
    """One run: the same seed gives the same inputs."""

    target: str
    seed: int
    inputs: int = 0
    """How many were tried."""

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._donors = [one for one in seeds.messages().values() if len(one) <= KEPT_OCTETS]
        self._pool = list(beginnings(self.target).values())
        self._first = len(self._pool)

    def run(self, inputs: int = 1 << 62, seconds: float = float("inf")) -> Iterator[Failure]:
        """Yield what fails until so many inputs were tried or so much time has passed."""
        end = time.monotonic() + seconds
        while self.inputs < inputs and time.monotonic() < end:
            data = self._next()
            memory = self.inputs % MEMORY_EVERY == 0
            self.inputs += 1
            error = attempt(self.target, data, memory=memory)
            if error is not None:
                yield Failure(self.target, data, error)

    def _next(self) -> bytes:
        random = self._random
        chosen = random.randrange(len(self._pool))
        data = mutate(self.target, self._pool[chosen], random, self._donors)
        if random.random() < 0.3 and len(data) <= KEPT_OCTETS:
            # Damage adds up: what was damaged once is damaged again later.
            if len(self._pool) < self._first + KEPT:
                self._pool.append(data)
            else:
                self._pool[random.randrange(self._first, len(self._pool))] = data
        return data


def beginnings(target: str) -> dict[str, bytes]:
    """Return the inputs that a target begins with, by name."""
    if target == "readers":
        return seeds.messages()
    return {name: b"\0" + stream for name, stream in seeds.streams().items()}


def mutate(target: str, data: bytes, random: Random, donors: list[bytes]) -> bytes:
    """Return an input of a target with something changed."""
    if target == "readers":
        for _ in range(random.choice((1, 1, 2, 4))):
            data = mutations.mutate_message(random, data, random.choice(donors))
        return data[: mutations.MAX_OCTETS]
    options = data[0] if data else 0
    if random.random() < 0.5:
        options = random.randrange(256)
    return bytes([options]) + mutations.mutate_stream(random, data[1:], donors)


def attempt(target: str, data: bytes, *, memory: bool = False) -> BaseException | None:
    """Give an input to a target; returns what did not hold, or None.

    On a virtual machine time that others took from the processor may count as ours: what is too
    slow is so each time.
    """
    found: BaseException | None = None
    for _ in range(ATTEMPTS):
        try:
            with bounded(len(data), memory=memory):
                TARGETS[target](data)
        except TooSlowError as error:
            found = error
        except Exception as error:  # noqa: BLE001 -- whatever it raises is what we look for
            return error
        else:
            return None
    return found


def shrunk(failure: Failure, seconds: float = SHRINK_SECONDS) -> Failure:
    """Return a smaller input that fails in the same way: without messages, then without AVPs."""
    kind = type(failure.error)
    best = failure
    progress = True
    end = time.monotonic() + seconds
    while progress:
        progress = False
        for data in _smaller(best.target, best.data):
            if time.monotonic() > end:
                return best
            error = attempt(best.target, data)
            if type(error) is kind and error is not None:
                best, progress = Failure(best.target, data, error), True
                break
    return best


def _smaller(target: str, data: bytes) -> Iterator[bytes]:
    options, stream = (b"", data) if target == "readers" else (data[:1], data[1:])
    pieces = mutations.split(stream)
    if target == "connection" and options != b"\0":
        yield b"\0" + stream
    for index in range(len(pieces)):
        if len(pieces) > 1:
            yield options + b"".join(pieces[:index] + pieces[index + 1 :])
    for index, piece in enumerate(pieces):
        for smaller in _smaller_messages(piece):
            yield options + b"".join([*pieces[:index], smaller, *pieces[index + 1 :]])


def _smaller_messages(message: bytes) -> Iterator[bytes]:
    if len(message) < 20:
        return
    tree = mutations.parse(message)
    if tree.encode() != message:
        return
    for members, index in mutations.every_place(tree.members):
        left_out = members.pop(index)
        yield tree.encode()
        members.insert(index, left_out)


def save(failure: Failure, directory: Path = CORPUS) -> Path:
    """Write an input into the corpus and return the file."""
    path = directory / failure.target / failure.name
    path.parent.mkdir(parents=True, exist_ok=True)
    octets = failure.data.hex()
    lines = [octets[start : start + 96] for start in range(0, len(octets), 96)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def corpus(directory: Path = CORPUS) -> list[tuple[str, Path]]:
    """Return the target and file of everything that has failed once."""
    with suppress(FileNotFoundError):
        return [(path.parent.name, path) for path in sorted(directory.glob("*/*.hex"))]
    return []


def load(path: Path) -> bytes:
    """Return an input of the corpus."""
    return bytes.fromhex(path.read_text(encoding="ascii"))
