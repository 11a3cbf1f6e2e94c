"""The generated records are what a server leaves: audited clean, and charged again as they were."""

from dataclasses import replace

import pytest

from benchmarks import catalogues, records, whatif
from ocs.clock import IdSource, SystemClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.catalogues.whatif import Question, compare, view
from ocs.provisioning.desk import Desk
from ocs.provisioning.proof import audit
from ocs.store import dialects
from ocs.store.reading import Reader
from ocs.store.sql import SqlStore

COUNT = 1_200


@pytest.fixture
def desk(tmp_path):
    url = f"sqlite:///{tmp_path}/records.db"
    clock = SystemClock()
    said: list[int] = []
    records.make(url, COUNT, clock.now_ns() - 86_400 * 10**9, said.append)
    assert said[-1] == COUNT
    ids = IdSource(clock, 1)
    store, engine = SqlStore(url, ids), dialects.open_engine(url)
    yield Desk(store, Reader(engine), clock, ids, "test", "test")
    engine.dispose()
    store.close()


@pytest.mark.rule("K-340")
def test_records_are_charged_again_as_they_were_and_by_a_draft_otherwise(desk):
    catalogues_in_force = Catalogues(desk.store)
    assert audit.run(desk, catalogues_in_force).violations == []
    since_ns = desk.clock.now_ns() - 60 * 86_400 * 10**9
    answers = {}
    for name, text in (("same", catalogues.text(large=False)), ("draft", whatif.draft())):
        draft = replace(catalogs.load(text, name), source=text)
        answers[name] = view(compare(desk, Question(draft, name, since_ns)))
    same, other = answers["same"], answers["draft"]
    assert same["records"] - same["left_out"] == COUNT
    assert (same["difference_micro"], same["unrated"], same["begun_within"]) == (0, [], 0)
    assert same["charged_micro"] == other["charged_micro"] > 0
    assert other["difference_micro"] < 0
    changed = {
        (one["plan"], one["service"]) for one in other["services"] if one["difference_micro"]
    }
    assert changed == {("basic", "web")}
