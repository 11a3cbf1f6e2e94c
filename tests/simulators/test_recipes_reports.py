"""Recipe of docs/simulator.md: show a run to others."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config import config_path
from simulators.load.joining import read_report
from tests.support.launcher import run_ocs
from tests.support.recipes import commands
from tests.support.responder import Responder, grant_all


def ocs(arguments: list[str], directory: Path) -> None:
    done = run_ocs(*arguments, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr


def test_show_a_run_to_others(tmp_path):
    *runs, join = commands("show a run to others")
    text = config_path("scenarios/messages.yaml").read_text(encoding="utf-8")
    other = (
        text.replace("smsc1.", "smsc2.").replace("mmsc1.", "mmsc2.").replace("seed: 15", "seed: 16")
    )
    (tmp_path / "smsc2.yaml").write_text(other, encoding="utf-8")
    with Responder(grant_all) as responder, ThreadPoolExecutor() as both:
        # At the same time, as long as it takes to say something.
        short = [["2" if one == "60" else one for one in run] for run in runs]
        here = [[*run, "--port", str(responder.port)] for run in short]
        list(both.map(lambda run: ocs(run, tmp_path), here))
    ocs(join, tmp_path)
    reports = [read_report(tmp_path / name) for name in ("one.json", "two.json")]
    assert all(one.answers > 5 for one in reports)
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert f"<b>{sum(one.answers for one in reports)}</b>answers" in page
    assert "<svg" in (tmp_path / "one.html").read_text(encoding="utf-8")
