"""Fuzzing that follows the code it reaches: one target under Atheris, in a process of its own.

`python -m tests.support.fuzz.guided TARGET DIRECTORY [libFuzzer options]`, called by ``__main__``
where Atheris is installed. The damage is still done by ``mutations``; Atheris says which of it led
somewhere new. DIRECTORY takes what was worth keeping and, as ``crash-...``, what failed.
"""

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["protocol", "ocs"], enable_loader_override=False):
    from tests.support.fuzz import campaign, seeds
    from tests.support.fuzz.targets import TARGETS, bounded

PLAIN = 0.2
"""How often libFuzzer's own mutations are taken, which know nothing of AVPs."""


def main(target: str, directory: Path, options: list[str]) -> None:
    """Run until an option of libFuzzer or a failure ends the process."""
    donors = list(seeds.messages().values())
    for name, data in campaign.beginnings(target).items():
        (directory / name).write_bytes(data)

    def one(data: bytes) -> None:
        with bounded(len(data)):
            TARGETS[target](data)

    def damaged(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < PLAIN:
            return bytes(atheris.Mutate(data, max_size))
        return campaign.mutate(target, data, random, donors)[:max_size]

    arguments = [sys.argv[0], str(directory), f"-artifact_prefix={directory}/", *options]
    atheris.Setup(arguments, one, custom_mutator=damaged)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
