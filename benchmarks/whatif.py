"""`python -m benchmarks.whatif`: how long `ocs catalog whatif` takes, and the memory it needs.

Makes a database of so many records (benchmarks.records) unless there is one at --database, charges
it again by another catalogue, and prints what the command said in short, the time and the largest
resident memory of all its processes together, as JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import catalogues, records
from benchmarks.processes import cpu_seconds, family_resident_octets
from ocs.clock import SystemClock

_SAMPLE_SECONDS = 0.1
_SAID_EVERY = 100 * 256
_CHEAPER = ("web: {price: 0.02,", "web: {price: 0.018,")
_MIB = 1 << 20


def draft() -> str:
    """Return the sample catalogue with one price changed."""
    text = catalogues.text(large=False)
    assert _CHEAPER[0] in text
    return text.replace(*_CHEAPER, 1)


def measure(database: Path, draft_file: Path, jobs: int) -> dict[str, Any]:
    """Run the command; return its report in short, seconds and the peak of memory in MiB."""
    command = [
        sys.executable, "-m", "ocs.cli.main", "catalog", "whatif", str(draft_file), "--since",
        f"{records.DAYS + 30}d", "--jobs", str(jobs), "--json", "--database",
        f"sqlite:///{database}",
    ]  # fmt: skip
    began = time.monotonic()
    peak = 0
    spent = 0.0
    with tempfile.TemporaryFile("w+") as out:
        with subprocess.Popen(command, stdout=out) as process:
            while process.poll() is None:
                peak = max(peak, family_resident_octets(process.pid))
                spent = max(spent, cpu_seconds(process.pid, family=True))
                time.sleep(_SAMPLE_SECONDS)
        seconds = time.monotonic() - began
        if process.returncode:
            raise SystemExit(f"ocs catalog whatif ended with {process.returncode}")
        out.seek(0)
        said = json.load(out)
    return {
        "records": said["records"],
        "subscribers": said["subscribers"]["count"],
        "charged": said["charged"],
        "draft_charge": said["draft_charge"],
        "difference": said["difference"],
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "processor_seconds": round(spent, 1),
        "resident_mib": round(peak / _MIB, 1),
    }


def main() -> None:
    """Make what is not there, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whatif", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--database", type=Path, help="an SQLite file, made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocs-whatif-") as name:
        database = options.database or Path(name) / "records.db"
        if not database.exists():
            _make(database, options.records)
        changed = Path(name) / "draft.yaml"
        changed.write_text(draft(), encoding="utf-8")
        print(json.dumps(measure(database.absolute(), changed, options.jobs), indent=2))


def _make(database: Path, count: int) -> None:
    began = time.monotonic()

    def say(done: int) -> None:
        if done % _SAID_EVERY == 0 or done >= count:
            seconds = time.monotonic() - began
            print(f"{done:,} records after {seconds:.0f} s", file=sys.stderr, flush=True)

    end_ns = SystemClock().now_ns() - 24 * 3_600 * 10**9
    records.make(f"sqlite:///{database.absolute()}", count, end_ns, say)


if __name__ == "__main__":
    main()
