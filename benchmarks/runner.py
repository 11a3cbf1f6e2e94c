"""One set-up: a fresh database, a server, its loads one after the other, and the audit."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cases import ANSWERER, NO_STORE, Load, Result, Setup
from benchmarks.databases import IMSI, MSISDN, Databases
from benchmarks.processes import cpu_seconds, resident_octets
from ocs.cli.server_process import ServerProcess

Say = Callable[[str], None]
_LOAD_SECONDS_MAX = 120.0
_OPEN_SESSIONS_MIN = 64
_KEPT_SESSIONS = 20_000
# The mix counts requests: a data session makes ten of them, a call ten, a message one.
_SERVICES: list[dict[str, Any]] = [
    {
        "kind": "data",
        "weight": 7,
        "duration_seconds": 1,
        "rating_groups": [
            {"rating_group": 100, "octets_per_second": 1},
            {"rating_group": 200, "octets_per_second": 1},
        ],
    },
    {
        "kind": "voice",
        "weight": 2,
        "duration_seconds": 1,
        "destinations": [
            {"number": "+3491#######"},
            {"number": "+3460#######"},
            {"number": "+4930#######"},
        ],
    },
    {"kind": "sms", "weight": 10, "destinations": [{"number": "+3460#######"}]},
]
_LIVELY: list[dict[str, Any]] = [
    {
        "kind": "data",
        "duration_seconds": 85,
        "rating_groups": [{"rating_group": 100, "octets_per_second": 100_000}],
    },
    {"kind": "sms", "destinations": [{"number": "+3460#######"}]},
]
"""What subscribers do when they are not prepared; the answerer grants a megabyte each time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each load."""

    warm_up: float
    measured: float


class Runner:
    """Measures set-ups in one directory, with the databases it is given.

    `checkout` is where the code of the server is; None is this one.
    """

    def __init__(
        self,
        directory: Path,
        databases: Mapping[str, Databases],
        timing: Timing,
        say: Say,
        checkout: Path | None = None,
    ) -> None:
        self._directory = directory
        self._checkout = checkout
        self._databases = databases
        self._timing = timing
        self._say = say
        self._seed = 0

    def measure(self, setup: Setup, turn: int) -> list[Result]:
        """Every load of a set-up; an audit that is not clean is a problem of the last result."""
        databases = self._databases[setup.engine]
        url, remove = databases.fresh(setup.subscribers, large=setup.large)
        results: list[Result] = []
        try:
            config = self._write_config(setup, url)
            with self._server(setup, config) as server:
                for load in setup.loads:
                    results.append(self._load(setup, load, turn, server, results))
                    self._say(_line(results[-1]))
            if url and results:
                results[-1].problems += self._audit(url)
        finally:
            remove()
        return results

    def _write_config(self, setup: Setup, url: str) -> Path:
        # What a slow set-up can do shall be seen, and not how many of its answers are too late.
        charging = {"answer_within_ms": 10_000}
        if setup.batch:
            charging["max_batch_requests"] = setup.batch
        settings = {
            "diameter": {"listen": ["127.0.0.1:0"], "accept_unknown_peers": True},
            "database": {"url": url} if url else {},
            "charging": charging,
            "logging": {"level": "info", "format": "json"},
        }
        path = self._directory / "server.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    def _server(self, setup: Setup, config: Path) -> ServerProcess:
        log = self._directory / "server.log"
        if setup.engine == ANSWERER:
            return ServerProcess(config, log, "benchmarks.answerer", [], self._checkout)
        if setup.engine == NO_STORE:
            count = [str(setup.subscribers)]
            return ServerProcess(config, log, "benchmarks.server", count, self._checkout)
        return ServerProcess(config, log, directory=self._checkout)

    def _load(
        self, setup: Setup, load: Load, turn: int, server: ServerProcess, before: list[Result]
    ) -> Result:
        reached = [one.per_second for one in before if one.load.name == load.half_of]
        rate = reached[0] / 2 if reached else None
        scenario = self._directory / "load.yaml"
        document = self._scenario(setup, load, rate)
        scenario.write_text(yaml.safe_dump(document), encoding="utf-8")
        family = self._databases[setup.engine].processes
        memory = resident_octets(server.pid)
        samples, report = self._run(scenario, server, family)
        answers = max(report["answers"], 1)
        server_s, database_s = (
            (after - start) * 1e6 / answers
            for start, after in zip(samples["measuring"], samples["ending"], strict=True)
        )
        latency = report["latency_ms"]["all"]
        result = Result(
            setup,
            load,
            turn,
            report["answers_per_second"],
            latency["p50"],
            latency["p95"],
            latency["p99"],
            server_s,
            database_s,
            report["load_us"],
            report["result_codes"],
            problems=list(report["problems"]),
        )
        if load.keeps_sessions:
            opened = report["latency_ms"].get("initial", {"count": 0})["count"]
            grown = resident_octets(server.pid) - memory
            result.memory_octets_per_10k_sessions = grown * 10_000 / max(opened, 1)
        if set(report["result_codes"]) - {"2001"}:
            result.problems.append(f"not all answers were 2001: {report['result_codes']}")
        return result

    def _scenario(self, setup: Setup, load: Load, rate: float | None) -> dict[str, Any]:
        self._seed += 1
        # Few enough to be opened while it warms up, so that the mix is the same for all windows.
        sessions = max(2 * load.window * load.connections, _OPEN_SESSIONS_MIN)
        amount: dict[str, Any] = {
            "concurrency": _KEPT_SESSIONS if load.keeps_sessions else sessions,
            "duration_seconds": self._timing.measured,
            # What opens the sessions is measured too, so that they can be counted.
            "warm_up_seconds": 0 if load.keeps_sessions else self._timing.warm_up,
        }
        if rate is not None:
            amount["requests_per_second"] = max(rate, 1.0)
        services: list[dict[str, Any]] = _SERVICES[:1] if load.keeps_sessions else _SERVICES
        mode: dict[str, Any] = {"mode": "prepared"}
        if load.subscribers:
            # Nine reports to a session, as many as in the mix, at times that are over at once.
            services, mode = _LIVELY, {"mode": "subscribers", "speed_up": 100_000}
        prepared = {"updates_per_session": 1000 if load.keeps_sessions else 8}
        return {
            "name": f"{setup.name}; {load.name}",
            **mode,
            "seed": self._seed,
            "load": amount,
            "gateways": [
                {
                    "origin_host": "pgw{n}.net.example",
                    "origin_realm": "net.example",
                    "connections": load.connections,
                    "window": load.window,
                }
            ],
            "subscribers": [
                {
                    "count": setup.subscribers,
                    "first": 0,
                    "identities": [
                        {"type": "msisdn", "pattern": f"+{MSISDN}"},
                        {"type": "imsi", "pattern": IMSI},
                    ],
                }
            ],
            "services": services,
            "prepared": {**prepared, "end_sessions": not load.keeps_sessions},
        }

    def _run(
        self, scenario: Path, server: ServerProcess, family: tuple[int, ...]
    ) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
        """Run the load; processor seconds of server and database at each phase, and its report."""
        samples: dict[str, tuple[float, float]] = {}
        command = [sys.executable, "-m", "benchmarks.load", str(scenario), server.host]
        errors = self._directory / "load.log"
        with (
            errors.open("w+", encoding="utf-8") as log,
            subprocess.Popen(
                [*command, str(server.port)], stdout=subprocess.PIPE, stderr=log, text=True
            ) as load,
        ):
            assert load.stdout is not None
            last = ""
            for line in load.stdout:
                last = line.strip()
                if last in {"measuring", "ending"}:
                    database = sum(cpu_seconds(pid, family=True) for pid in family)
                    samples[last] = (cpu_seconds(server.pid), database)
            load.wait(_LOAD_SECONDS_MAX)
        if load.returncode or len(samples) < 2:
            raise RuntimeError(
                f"the load failed:\n{errors.read_text(encoding='utf-8')}"
                f"\nThe server said at last:\n{server.tail()}"
            )
        report: dict[str, Any] = json.loads(last)
        return samples, report

    def _audit(self, url: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ocs.cli.main", "audit", "--json", "--database", url],
            cwd=self._checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return []
        return [f"the audit is not clean: {(done.stdout + done.stderr)[-500:]}"]


def _line(one: Result) -> str:
    problems = f"  PROBLEM: {'; '.join(one.problems)}" if one.problems else ""
    return (
        f"  round {one.round}  {one.setup.name}; {one.load.name}: {one.per_second:,.0f}/s"
        f"  p50 {one.p50_ms:.2f} p99 {one.p99_ms:.2f} ms{problems}"
    )
