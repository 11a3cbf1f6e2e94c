"""`make fuzz`: fuzz for a while, print the seed, save what fails and exit 1 if anything did."""

import argparse
import importlib.util
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.support.fuzz.campaign import Campaign, Failure, attempt, save, shrunk
from tests.support.fuzz.targets import TARGETS
from tests.support.sources import ROOT

ROUND_SECONDS = 30.0
KINDS_MAX = 10
GUIDED_OCTETS = 8192
INPUT_SECONDS = 30
"""After this Atheris gives a single input up; our own limit is far below."""


class Session:
    """One run of the fuzzer: what failed, each kind of failure once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.kinds: set[str] = set()

    def report(self, failure: Failure) -> None:
        """Shrink, print and save a failure of a kind that was not seen before."""
        where = traceback.extract_tb(failure.error.__traceback__)[-1]
        kind = f"{where.filename}:{where.lineno} {type(failure.error).__name__}"
        if kind not in self.kinds:
            self.kinds.add(kind)
            small = shrunk(failure)
            print("".join(traceback.format_exception(small.error)[-4:]))
            print(f"{small.target}: saved as {save(small)}", flush=True)

    def damaged(self, targets: list[str], end: float) -> None:
        """Give damaged seeds to the targets in turns."""
        campaigns = [Campaign(target, self.seed) for target in targets]
        while time.monotonic() < end and len(self.kinds) < KINDS_MAX:
            for campaign in campaigns:
                left = min(ROUND_SECONDS, end - time.monotonic())
                for failure in campaign.run(seconds=left):
                    self.report(failure)
                print(f"{campaign.target}: {campaign.inputs} inputs", flush=True)

    def guided(self, targets: list[str], end: float) -> None:
        """Let Atheris look for inputs that lead somewhere new, one target after the other."""
        seconds = (end - time.monotonic()) / len(targets)
        for target in targets:
            with tempfile.TemporaryDirectory() as made:
                command = [sys.executable, "-m", "tests.support.fuzz.guided", target, made]
                command += [f"-max_total_time={seconds:.0f}", f"-max_len={GUIDED_OCTETS}"]
                command += [f"-seed={self.seed % 2**31}", f"-timeout={INPUT_SECONDS}"]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
                found = [*Path(made).glob("crash-*"), *Path(made).glob("timeout-*")]
                for path in found:
                    data = path.read_bytes()
                    error = attempt(target, data) or TimeoutError("only under Atheris")
                    self.report(Failure(target, data, error))
            said = done.stderr.decode(errors="replace").splitlines()
            print(f"{target}: {said[-1] if said else 'Atheris said nothing'}", flush=True)
            if done.returncode and not found:
                print("\n".join(said[-20:]))
                self.kinds.add(f"Atheris ended with {done.returncode}")


def main(arguments: list[str]) -> int:
    """Fuzz all targets; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run")
    parser.add_argument("--target", choices=[*TARGETS], action="append", help="only this one")
    options = parser.parse_args(arguments)
    session = Session(secrets.randbits(32) if options.seed is None else options.seed)
    targets = options.target or [*TARGETS]
    print(f"seed {session.seed}", flush=True)
    begin = time.monotonic()
    guided = importlib.util.find_spec("atheris") is not None
    session.damaged(targets, begin + options.seconds / (2 if guided else 1))
    if guided:
        session.guided(targets, begin + options.seconds)
    else:
        print("Atheris is not installed (pip install atheris): no fuzzing guided by coverage")
    return 1 if session.kinds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
