"""What every store promises about notes on clients: the last counts, and there are not too many."""

from dataclasses import replace

import pytest

from ocs.store import client_notes, memory
from ocs.store.interface import ClientNote, Store

SMF = ClientNote(
    "smf.example", "smf.example", False, "freeDiameter", "open5gs", "open5gs", "it says so", 100
)
BEHIND = replace(SMF, peer="dra1.example", product_name="", met_ns=200)
RELAY = replace(SMF, origin_host="dra1.example", peer="dra1.example", relay=True, met_ns=300)


@pytest.mark.rule("P-003")
def test_notes_are_listed_by_client_and_way(store: Store) -> None:
    assert store.clients() == []
    store.note_clients([])
    store.note_clients([SMF, RELAY, BEHIND])
    assert store.clients() == [RELAY, BEHIND, SMF]


@pytest.mark.rule("P-003")
def test_the_last_note_counts(store: Store) -> None:
    newer = replace(SMF, profile="generic", met_ns=400)
    newest = replace(newer, reason="again")
    store.note_clients([SMF, BEHIND])
    store.note_clients([newer, newest])
    assert store.clients() == [BEHIND, newest]


@pytest.mark.rule("P-002")
def test_those_met_first_go_when_there_are_too_many(store: Store, monkeypatch) -> None:
    for module in (client_notes, memory):
        monkeypatch.setattr(module, "CLIENT_NOTES_MAX", 3)
    for number in (5, 1, 4, 2, 3):
        store.note_clients([replace(SMF, origin_host=f"s{number}.example", met_ns=number)])
    assert [one.met_ns for one in store.clients()] == [3, 4, 5]
