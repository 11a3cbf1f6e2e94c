"""Which profile holds for whose requests: the operator's word, the signs, what is noted of it."""

from typing import Any

import pytest

from ocs.errors import StoreUnavailableError
from ocs.ledger.account import OperatorAction
from ocs.service.peers import clients
from ocs.service.peers.client_notes import RETRY_SECONDS, ClientNotes
from ocs.service.peers.directory import PeerRules
from ocs.store.interface import ClientNote, PeerEntry
from ocs.store.memory import MemoryStore
from protocol.credit_control_reader import read_cca
from tests.support import gateway_messages as shapes
from tests.support.service import (
    NOON_NS,
    P1,
    Harness,
    HeldWorker,
    InlineWorker,
    StillLoop,
    ccr,
    mscc,
)

SMF, FEG, RELAY = "smf.net.example", "feg.net.example", "dra1.net.example"
RELAYING = {"auth_application_ids": (0xFFFFFFFF,)}


def harness(*peers: PeerEntry, **options: Any) -> Harness:
    return Harness(options={"peers": peers, "realms": ("net.example",), **options})


def notes(stage) -> dict[tuple[str, str], ClientNote]:
    return {(one.origin_host, one.peer): one for one in stage.store.clients()}


def ask(wire, message, session="1"):
    """Send a shape under a session of its own and return its CCA."""
    name = f"x;1;{session}".encode()
    old = message[28 : 28 + message[27] - 8]
    assert len(name) <= len(old)
    fresh = message.replace(old, name.ljust(len(old), b"."))
    return read_cca(wire.ask(fresh)[1])


@pytest.mark.rule("P-002")
def test_a_client_is_recognised_by_its_cer_before_it_asks_anything(capsys):
    stage = harness(PeerEntry(SMF))
    stage.open(SMF, product_name="freeDiameter")
    note = notes(stage)[SMF, SMF]
    assert (note.profile, note.recognised, note.product_name) == (
        "open5gs", "open5gs", "freeDiameter",
    )  # fmt: skip
    assert note.reason == "Product-Name 'freeDiameter' and Origin-Host 'smf.net.example'"
    assert note.met_ns == NOON_NS and not note.relay


@pytest.mark.rule("P-001")
def test_a_client_is_recognised_by_its_first_request(capsys):
    stage = harness(PeerEntry(SMF))
    wire = stage.open(SMF)
    assert notes(stage)[SMF, SMF].reason == "no request of it has arrived yet"
    # Without rights to grant-or-refuse, an uncontrolled or finished service would be success.
    answer = ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    assert answer.services[0].granted is not None
    note = notes(stage)[SMF, SMF]
    assert (note.profile, note.recognised) == ("open5gs", "open5gs")
    assert note.reason == "AVPs and their order as Open5GS SMF, Gy sends them"
    assert "client recognised" in capsys.readouterr().out


@pytest.mark.rule("P-001")
def test_the_operators_word_goes_before_the_signs(capsys):
    stage = harness(PeerEntry(SMF, "generic"))
    wire = stage.open(SMF, product_name="freeDiameter")
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    note = notes(stage)[SMF, SMF]
    assert (note.profile, note.recognised) == ("generic", "open5gs")
    assert "client does not look like its profile" in capsys.readouterr().out


@pytest.mark.rule("P-001", "P-002", "P-003")
def test_each_client_behind_a_relay_is_recognised_for_itself():
    stage = harness(PeerEntry(RELAY, relay=True), PeerEntry(FEG, "generic"))
    wire = stage.open(RELAY, product_name="freeDiameter", **RELAYING)
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "1")
    ask(wire, shapes.magma_initial(shapes.magma_session_id(), rating_groups=(100,)), "2")
    found = notes(stage)
    assert found[RELAY, RELAY].relay
    assert (found[SMF, RELAY].profile, found[FEG, RELAY].profile) == ("open5gs", "generic")
    assert found[FEG, RELAY].recognised == "magma"
    assert stage.server.diameter.profile_counts() == {"open5gs": 1, "generic": 1}
    assert 'ocs_clients{profile="open5gs"} 1.0' in stage.server.metrics.exposition().decode()


def test_the_profile_of_a_relay_holds_for_all_behind_it_that_have_no_entry():
    stage = harness(PeerEntry(RELAY, "kamailio", relay=True))
    wire = stage.open(RELAY, **RELAYING)
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    assert notes(stage)[SMF, RELAY].profile == "kamailio"


@pytest.mark.rule("P-001")
def test_a_client_is_looked_at_once(monkeypatch):
    stage = harness(PeerEntry(SMF))
    looked: list[bytes] = []
    book = stage.server.diameter._edge.profiles
    by_request = book.by_request

    def look(_, message, context):
        looked.append(message)
        return by_request(message, context)

    monkeypatch.setattr(type(book), "by_request", look)
    wire = stage.open(SMF)
    for number in range(3):
        ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), str(number))
    assert len(looked) == 1


@pytest.mark.rule("P-002")
def test_what_is_remembered_of_a_relay_is_bounded(monkeypatch):
    monkeypatch.setattr(clients, "CLIENTS_MAX", 3)
    stage = harness(PeerEntry(RELAY, relay=True))
    wire = stage.open(RELAY, **RELAYING)
    for number in range(10):
        message = shapes.open5gs_initial(f"{SMF};1;1;abcdef")
        message = message.replace(SMF.encode(), f"s{number:02}.net.example".encode()[:15])
        ask(wire, message, str(number))
    (link,) = stage.server.diameter._links.values()
    assert len(link.clients) == 3


def test_a_new_entry_holds_for_who_is_connected():
    stage = harness()
    action = OperatorAction(1, NOON_NS, "test", "peer allow", SMF, "test")
    stage.store.allow_peer(PeerEntry(SMF, "generic"), action)
    stage.server.prepare()
    wire = stage.open(SMF)
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "1")
    assert notes(stage)[SMF, SMF].profile == "generic"
    stage.server.diameter.peers_changed([PeerEntry(SMF, "auto")])
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "2")
    assert notes(stage)[SMF, SMF].profile == "open5gs"


def test_a_profile_that_is_not_there_any_more_is_said_and_the_signs_hold(capsys):
    stage = harness(PeerEntry(SMF, "gone"))
    wire = stage.open(SMF)
    assert "unknown client profile" in capsys.readouterr().out
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    assert notes(stage)[SMF, SMF].profile == "open5gs"


def test_a_strict_peer_is_read_strictly():
    stage = harness(PeerEntry(SMF, "strict"))
    wire = stage.open(SMF)
    header, _ = wire.ask(shapes.kamailio_initial("smf.net.example;1;2"))
    assert header.is_error


def test_unknown_peers_are_recognised_too():
    stage = harness(peer_rules=PeerRules(accept_unknown=True))
    wire = stage.open(SMF)
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    assert notes(stage)[SMF, SMF].profile == "open5gs"


@pytest.mark.rule("P-001")
def test_a_client_that_is_like_none_is_generic():
    stage = harness(PeerEntry(P1))
    wire = stage.open(P1)
    from tests.support.service import ccr, mscc

    wire.ccr(ccr(1, 0, mscc()))
    note = notes(stage)[P1, P1]
    assert note.profile == "generic"
    assert note.reason == "neither its CER nor its requests are those of a known client"


def test_a_product_name_cannot_spoil_a_table():
    stage = harness(PeerEntry(SMF))
    stage.open(SMF, product_name="evil\n\x1b[31m" + "x" * 200)
    shown = notes(stage)[SMF, SMF].product_name
    assert shown.isprintable() and len(shown) == 80


# ------------------------------------------------------------------------------------- notes


def note(host, met_ns=NOON_NS, profile="generic"):
    return ClientNote(host, host, False, "", profile, profile, "", met_ns)


class Store(MemoryStore):
    """A store that can be away."""

    away = False

    def note_clients(self, notes):
        if self.away:
            raise StoreUnavailableError("away")
        super().note_clients(notes)


@pytest.fixture
def store():
    return Store(None)  # type: ignore[arg-type]


def test_notes_wait_while_the_store_is_away(store):
    loop = StillLoop()
    store.away = True
    pending = ClientNotes(loop, InlineWorker(), store)
    pending.add(note("a.example"))
    pending.add(note("a.example", profile="magma"))
    pending.add(note("b.example"))
    assert store.clients() == []
    store.away = False
    loop.advance(RETRY_SECONDS)
    assert [(one.origin_host, one.profile) for one in store.clients()] == [
        ("a.example", "magma"),
        ("b.example", "generic"),
    ]


def test_only_so_many_notes_wait(store, monkeypatch):
    monkeypatch.setattr("ocs.service.peers.client_notes.WAITING_MAX", 2)
    worker = HeldWorker()
    pending = ClientNotes(StillLoop(), worker, store)
    for name in "abc":
        pending.add(note(f"{name}.example"))
    while worker.held:
        worker.run()
    assert [one.origin_host for one in store.clients()] == ["a.example", "b.example"]


def test_what_came_while_a_note_was_written_is_written_next(store):
    worker = HeldWorker()
    pending = ClientNotes(StillLoop(), worker, store)
    pending.add(note("a.example"))
    pending.add(note("a.example", profile="magma"))
    worker.run()
    worker.run()
    (only,) = store.clients()
    assert only.profile == "magma"
    assert not worker.held


@pytest.mark.rule("B-156")
@pytest.mark.parametrize("said", [{}, RELAYING], ids=["client", "calls itself a relay"])
def test_a_peer_that_no_operator_called_an_agent_speaks_for_itself_only(said, capsys):
    stage = harness(PeerEntry(FEG))
    wire = stage.open(FEG, **said)
    foreign = ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "1")
    assert foreign.result_code == 5004
    assert not stage.store.sessions_of(1001)
    assert "may not speak for other hosts" in capsys.readouterr().out
    own = ask(wire, shapes.magma_initial(shapes.magma_session_id(), rating_groups=(100,)), "2")
    assert own.result_code == 2001


@pytest.mark.rule("B-156")
def test_an_agent_that_may_speak_for_others_no_more_is_refused_at_once():
    stage = harness()
    agent = PeerEntry(RELAY, relay=True)
    stage.server.diameter.peers_changed([agent])
    wire = stage.open(RELAY, **RELAYING)
    assert ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "1").result_code == 2001
    stage.server.diameter.peers_changed([PeerEntry(RELAY)])
    assert ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"), "2").result_code == 5004


@pytest.mark.rule("B-156")
def test_in_a_laboratory_a_peer_that_nobody_named_is_the_agent_it_says_it_is():
    stage = harness(peer_rules=PeerRules(accept_unknown=True))
    wire = stage.open(RELAY, **RELAYING)
    assert ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef")).result_code == 2001


@pytest.mark.rule("P-002")
def test_one_request_without_signs_does_not_decide_for_those_that_follow(capsys):
    stage = harness(PeerEntry(SMF))
    wire = stage.open(SMF)
    plain = ccr(1, 0, mscc(), origin_host=SMF, session="plain;1;1")
    assert wire.ccr(plain).result_code == 2001
    assert notes(stage)[SMF, SMF].profile == "generic"
    ask(wire, shapes.open5gs_initial(f"{SMF};1;1;abcdef"))
    assert notes(stage)[SMF, SMF].profile == "open5gs"
    assert capsys.readouterr().out.count("client recognised") == 2


@pytest.mark.rule("P-002")
def test_a_client_without_signs_is_looked_at_a_few_times_only(monkeypatch):
    stage = harness(PeerEntry(P1))
    wire = stage.open(P1)
    looked: list[bytes] = []
    book = stage.server.diameter._edge.profiles
    monkeypatch.setattr(book, "by_request", lambda message, _context: looked.append(message))
    for number in range(2 * clients.LOOKS_MAX):
        wire.ccr(ccr(1, 0, mscc(), session=f"plain;1;{number}"))
    assert len(looked) == clients.LOOKS_MAX + 1
    assert notes(stage)[P1, P1].profile == "generic"
