"""Every message of tests/fixtures/gateways: recognised, answered octet for octet, booked.

With OCS_RECORD_FIXTURES=1 the files get what the server did, and docs/gateways/fixtures.md with
them: the change is for a person to review.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ocs.amounts import format_amount, parse_amount
from ocs.charging.model.messages import Identity as AccountIdentity
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import subscribers
from tests.support import gateway_fixtures as fixtures
from tests.support.blackbox import Subscriber, World, catalogue_text
from tests.support.blackbox_client import Answer, Peer
from tests.support.client_grammar import problems_of
from tests.support.gateway_fixtures import PLACEHOLDER, Fixture, Identity

NAMES = fixtures.names()
RECORDING = os.environ.get(fixtures.RECORD_VARIABLE) == "1"
HOSTS = ("smf", "feg", "scscf", "sip", "hss", "pgw1")
VALIDITY = "validity: 10 min"
PATIENT = [{"name": name, "answer_within_ms": 10_000} for name in ("open5gs", "magma")]
"""A busy machine must not make answers late here."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that knows its peers by name only, and grants for longer than a minute."""
    peers = [{"origin_host": f"{host}.net.example"} for host in HOSTS]
    directory = tmp_path_factory.mktemp("gateways")
    with World(directory, diameter={"peers": peers, "profiles": PATIENT}) as world:
        text = catalogue_text()
        assert "validity: 30 s" in text
        catalogs.publish(world.desk, text.replace("validity: 30 s", VALIDITY), "fixtures.yaml")
        yield world


@pytest.fixture(scope="module")
def gateways(stage: World) -> Iterator[dict[str, Peer]]:
    """Every client, connected."""
    open_peers = {f"{host}.net.example": stage.peer(f"{host}.net.example") for host in HOSTS}
    yield open_peers
    for peer in open_peers.values():
        peer.close()


def open_account(world: World, fixture: Fixture, who: Identity) -> Subscriber:
    """Open the account that a chain of messages is about."""
    first = fixture.chain[0]
    named = (
        AccountIdentity("msisdn", who.msisdn),
        AccountIdentity("imsi", who.imsi),
        AccountIdentity("sip", who.uri),
    )
    new = subscribers.NewSubscriber(named, first.plan, parse_amount(first.balance), 0)
    shown = subscribers.add(world.desk, new, world.catalogues.current())
    return Subscriber(int(shown["account_id"]), who.msisdn, who.imsi, who.uri)


def booked(world: World, subscriber: Subscriber) -> list[str]:
    """The ledger of an account, oldest line first, in words."""
    return [
        f"{line['bucket']} {line['amount_text']} to {line['side']} for {line['service']}"
        for line in reversed(world.ledger(subscriber))
    ]


def play(
    world: World, peer: Peer, fixture: Fixture, who: Identity, subscriber: Subscriber
) -> tuple[Answer, list[str]]:
    """Send what a client sends; return the answer to the last and the lines it made."""
    waiting: list[bytes] = []
    before: list[str] = []
    for step in fixture.chain:
        if step.wait_seconds:
            world.advance(step.wait_seconds)
        message = peer.stamped(who.puts_itself_for(PLACEHOLDER, step.request))
        if step is fixture:
            before = booked(world, subscriber)
        waiting.append(message)
        peer.send(message)
        following = fixture if fixture.after == step.name else None
        if following is not None and following.together:
            continue
        answers = peer.collect(waiting)
        waiting = []
    return answers[-1], booked(world, subscriber)[len(before) :]


def measured(
    world: World, peer: Peer, fixture: Fixture, answer: Answer, lines: list[str],
    who: Identity, subscriber: Subscriber,
) -> Fixture:  # fmt: skip
    """Return the fixture with what has really come of it."""
    said = fixtures.comparable(answer.message, varies=fixture.varies)
    said = PLACEHOLDER.puts_itself_for(who, said)
    balance, held = world.money(subscriber)
    sessions = {
        world.session_state(avp.payload.decode()) for avp in answer.avps if avp.code == 263
    }
    return replace(
        fixture,
        answer=said,
        ledger=tuple(lines),
        money=f"balance {format_amount(balance)}, held {format_amount(held)}",
        session=", ".join(sorted(sessions)),
        parked=len(world.parked(subscriber)),
    )


@pytest.mark.rule(
    "P-001", "P-002", "P-003", "P-010", "P-011", "P-012", "P-014", "P-015", "P-016", "P-020",
    "P-022", "P-023", "P-024", "P-030", "P-031", "P-032", "P-033", "P-034", "P-040", "P-050",
    "P-060", "P-061", "P-062",
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_fixture(stage, gateways, name):
    fixture = fixtures.load(name)
    who = fixtures.new_identity()
    subscriber = open_account(stage, fixture, who)
    peer = gateways[fixture.origin_host]
    answer, lines = play(stage, peer, fixture, who, subscriber)
    found = measured(stage, peer, fixture, answer, lines, who, subscriber)
    stage.eventually(lambda: profile_of(stage, fixture.origin_host) == fixture.profile)
    if answer.code < 3000:
        assert problems_of(answer) == []
    if RECORDING:
        fixtures.write(found)
        return
    if fixture.varies:
        found = replace(found, ledger=fixture.ledger, money=fixture.money)
    assert fixtures.annotated(found.answer) == fixtures.annotated(fixture.answer)
    assert found == fixture
    stage.check()


def profile_of(world: World, origin_host: str) -> str:
    """The profile that the server has noted for a client once it has asked something."""
    for note in world.store.clients():
        if note.origin_host == origin_host and "no request" not in note.reason:
            return note.profile
    return ""


# ---------------------------------------------------------------------------------- the files

REQUIRED = {
    "open5gs": {"i", "u-threshold", "u-exhausted", "u-validity", "t", "2.6-context-id",
                "gtpv1-nsapi"},
    "magma": {"i-2rg", "i-auth-only", "u-2rg", "u-empty-rsu", "t-zero", "t-without-i"},
    "kamailio": {"i-tel", "i-sip", "u", "t", "t-before-cca", "t-absurd-time", "dup-origin"},
    "siphon": {"i-nomscc", "event-sms"},
    "pyhss": {"generator"},
    "pgw": {"t-duplicate", "u-zero", "i-iccid"},
}  # fmt: skip


def test_no_known_shape_is_missing():
    for client, shapes in REQUIRED.items():
        assert {f"{client}-{shape}" for shape in shapes} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_file_says_of_its_octets_is_true(name):
    text = (fixtures.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    fixture = fixtures.load(name)
    for message in (fixture.request, fixture.answer):
        assert "".join(f"  {line}\n" for line in fixtures.annotated(message).splitlines()) in text


@pytest.mark.parametrize("name", NAMES)
def test_the_placeholders_of_a_file_can_be_replaced(name):
    """Else two fixtures would be about one subscriber or session."""
    request = fixtures.load(name).request
    assert PLACEHOLDER.session.encode() in request
    named = (PLACEHOLDER.msisdn, PLACEHOLDER.imsi, PLACEHOLDER.uri)
    assert any(text.encode() in request for text in named)


def test_the_table_is_made_of_the_files():
    if RECORDING:
        fixtures.load.cache_clear()
        fixtures.TABLE.parent.mkdir(exist_ok=True)
        fixtures.TABLE.write_text(fixtures.table(), encoding="utf-8")
    assert fixtures.TABLE.read_text(encoding="utf-8") == fixtures.table()
