"""A short run of the fuzzer, what failed once, and the fuzzer itself."""

from random import Random

import pytest

from protocol.answers import request_echo
from protocol.credit_control_reader import partial_ccr_fields
from tests.support import asking
from tests.support.fuzz import campaign, mutations, seeds, targets
from tests.support.fuzz.__main__ import main
from tests.support.fuzz.campaign import Campaign
from tests.support.service import Harness

INPUTS = {"readers": 1000, "connection": 450}
"""A few seconds each; `make fuzz` takes as long as it is told."""
CORPUS = campaign.corpus()


@pytest.mark.slow
@pytest.mark.rule("B-036", "B-161")
@pytest.mark.parametrize("target", INPUTS)
def test_a_short_run(target):
    failures = list(Campaign(target, seed=1).run(inputs=INPUTS[target]))
    saved = [f"{campaign.save(campaign.shrunk(one))}: {one.error!r}" for one in failures[:3]]
    assert not failures, saved


@pytest.mark.rule("B-161")
@pytest.mark.parametrize(
    "target,path", CORPUS, ids=[f"{target}-{path.stem}" for target, path in CORPUS]
)
def test_what_failed_once_holds_now(target, path):
    assert campaign.attempt(target, campaign.load(path)) is None


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_it_begins_with_holds(target):
    for name, data in campaign.beginnings(target).items():
        assert campaign.attempt(target, data) is None, name


@pytest.mark.parametrize("target", targets.TARGETS)
def test_a_seed_is_a_run(target, monkeypatch):
    seen: list[list[bytes]] = [[], [], []]
    for run, seed in zip(seen, (5, 5, 6), strict=True):
        monkeypatch.setitem(targets.TARGETS, target, run.append)
        assert not list(Campaign(target, seed).run(inputs=40))
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("name", seeds.messages())
def test_a_message_that_nothing_was_done_to_stays_as_it_is(name):
    message = seeds.messages()[name]
    tree = mutations.parse(message)
    assert tree.encode() == message
    assert name == "no-avps" or tree.members
    services = [node for node in tree.members if node.code == 456 and node.payload]
    assert all(node.members for node in services), "what is in a group can be changed too"


def test_damage_is_of_every_kind():
    random, message = Random(3), seeds.messages()["data-1"]
    donor = seeds.messages()["kamailio-initial"]
    found = {mutations.mutate_message(random, message, donor) for _ in range(3000)}
    lengths = {len(one) for one in found}
    headers = {one[:20] for one in found if len(one) >= 20}
    assert len(found) > 1500 and len(headers) > 100
    assert min(lengths) < 20 and max(lengths) > 50_000
    assert any(int.from_bytes(one[1:4], "big") != len(one) for one in found)


class PlantedError(Exception):
    """The fault of a reader that is made for the test."""


@pytest.fixture
def planted(monkeypatch):
    """A reader that fails on an unknown AVP of 3GPP."""

    def read(data: bytes) -> None:
        tree = mutations.parse(data.ljust(20, b"\0"))
        for members, index in mutations.every_place(tree.members):
            if (members[index].code, members[index].vendor) == (65000, 10415):
                raise PlantedError

    monkeypatch.setitem(targets.TARGETS, "readers", read)


def test_a_fault_is_found_shrunk_and_saved(planted, tmp_path):
    failure = next(Campaign("readers", 1).run(inputs=20_000))
    assert isinstance(failure.error, PlantedError)
    small = campaign.shrunk(failure)
    assert len(mutations.parse(small.data).members) == 1, "only the AVP that matters is left"
    path = campaign.save(small, tmp_path)
    assert campaign.corpus(tmp_path) == [("readers", path)]
    assert campaign.load(path) == small.data
    assert isinstance(campaign.attempt("readers", campaign.load(path)), PlantedError)


def test_the_command_says_what_failed_and_where_it_is_saved(planted, tmp_path, monkeypatch, capsys):
    kept = campaign.save
    monkeypatch.setattr("tests.support.fuzz.__main__.save", lambda one: kept(one, tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["--seconds", "3", "--seed", "1", "--target", "readers"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("seed 1\n")
    assert "PlantedError" in said and f"saved as {tmp_path}" in said


def test_slowness_and_waste_are_failures(monkeypatch):
    monkeypatch.setattr(targets, "SECONDS_MAX", 0.0)
    assert "took" in str(campaign.attempt("readers", seeds.messages()["data-0"]))
    monkeypatch.setattr(targets, "MEMORY_BASE", 0)
    monkeypatch.setattr(targets, "MEMORY_PER_OCTET", 1)
    failed = campaign.attempt("readers", seeds.messages()["data-0"], memory=True)
    assert "of memory" in str(failed)


def test_an_answer_that_breaks_a_rule_is_noticed(monkeypatch):
    """The checks of a connection are not satisfied by anything."""
    stream = campaign.beginnings("connection")["data"]
    monkeypatch.setattr(targets, "HOST", "somebody.else")
    assert isinstance(campaign.attempt("connection", stream), AssertionError)
    monkeypatch.undo()
    monkeypatch.setattr(targets.Client, "_pieces", lambda *_: [])
    assert "not answered" in str(campaign.attempt("connection", stream))


@pytest.mark.parametrize("name,code", [("raa", 2002), ("asa", 5002)])
def test_what_the_server_asked_is_answered(name, code):
    """An answer in a stream gets the ids of the server's own request, so that it is read."""
    harness = Harness(options={"peers": targets.PEERS})
    client = targets.Client(harness, targets.ASKED)
    stream = seeds.streams()[name].replace(b"\0\x01\x12", b"\0\x01\x02")  # both to an RAR
    client.play(client.asked(stream))
    (row,) = asking.rows(harness)
    assert row.result_code == code


def test_a_proxy_of_the_ietf_that_says_its_vendor_is_repeated_whole():
    tree = mutations.parse(seeds.messages()["routed"])
    (first, _) = proxies = [node for node in tree.members if node.code == 284]
    first.flags, first.vendor = 0xC0, 0
    message = tree.encode()
    expected = mutations.encode_all(proxies)
    assert partial_ccr_fields(message)[3] == expected
    assert request_echo(message).proxy_infos == expected
