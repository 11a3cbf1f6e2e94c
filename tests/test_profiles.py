"""Client profiles: the built-in table, an operator's own, and by which signs a client is known."""

from dataclasses import fields

import pytest

from ocs.charging.model.profile import PROFILES, ClientProfile
from ocs.errors import DocumentError
from ocs.profiles import BUILT_IN, ODDITIES, PROFILES_BY_NAME, Profile, Signs, WireRules, with_own
from ocs.service.peers.profiles import ProfileBook, book_with
from ocs.settings import parse_settings
from ocs.settings.profiles import value_keys
from ocs.store.interface import PeerEntry
from protocol.codec import read_header
from protocol.credit_control_reader import read_ccr
from protocol.members import LENIENT, Leniency
from tests.support import gateway_messages as shapes

ALL_SHAPES = shapes.all_shapes()


def own(text):
    """The profiles of a settings file whose list of them is this text."""
    return parse_settings(f"diameter:\n  profiles:\n{text}", "ocs.yaml").diameter.profiles


def test_every_decision_half_has_its_other_half():
    assert [profile.name for profile in BUILT_IN] == list(PROFILES_BY_NAME)
    assert set(PROFILES_BY_NAME) == set(PROFILES)
    assert all(profile.title for profile in BUILT_IN)


def test_the_oddities_are_those_of_the_reader():
    flags = {field.name for field in fields(Leniency)} - {"allowed_unknown", "strict"}
    assert set(ODDITIES) == flags


def test_the_built_in_signs_name_known_avps():
    ProfileBook(BUILT_IN)


@pytest.mark.rule("P-002")
@pytest.mark.parametrize("name", ALL_SHAPES)
def test_a_client_is_recognised_by_its_message(name):
    message = ALL_SHAPES[name]
    context = read_ccr(message, read_header(message), LENIENT).service_context_id
    found = ProfileBook().by_request(message, context)
    assert found is not None
    assert found.profile == name.partition("-")[0]


@pytest.mark.parametrize(
    "product,host,profile",
    [
        ("freeDiameter", "smf.epc.example", "open5gs"),
        ("FREEDIAMETER", "epc-smf1.example", "open5gs"),
        ("freeDiameter", "dra1.example", ""),
        ("freeDiameter", "hss.example", ""),
        ("magma", "anything.example", "magma"),
        ("CDiameterPeer", "scscf.example", "kamailio"),
        ("SIPhon", "as.example", "siphon"),
        ("PyHSS-client", "hss.example", "pyhss"),
        ("", "smf.example", ""),
        ("gateway", "pgw.example", ""),
    ],
)
def test_a_client_is_recognised_by_its_cer(product, host, profile):
    found = ProfileBook().by_capabilities(product, host)
    assert (found.profile if found else "") == profile


def test_a_profile_of_an_operator_differs_from_its_model_where_it_says_so():
    (mine,) = own("    - {name: our-smf, like: open5gs, final_validity_seconds: 120}\n")
    model = PROFILES_BY_NAME["open5gs"]
    assert mine.charging.final_validity_seconds == 120
    assert mine.charging.grant_or_refuse
    assert mine.charging.name == mine.name == "our-smf"
    assert mine.wire == model.wire
    assert mine.signs == Signs(), "whoever looks like the model is treated like the model"


def test_a_profile_with_a_built_in_name_takes_its_place_and_keeps_its_signs():
    mine = own("    - {name: open5gs, answer_within_ms: 3000}\n")
    assert mine[0].signs == PROFILES_BY_NAME["open5gs"].signs
    book = book_with(mine, 10_000_000_000)
    assert book.charging["open5gs"].answer_within_ns == 3_000_000_000
    found = book.by_request(ALL_SHAPES["open5gs-initial"], "32251@3gpp.org")
    assert found is not None
    assert book.choose("auto", found).charging.answer_within_ns == 3_000_000_000


def test_a_profile_may_be_like_an_earlier_one_of_the_operator():
    first, second = own(
        "    - {name: a, like: magma, usage_tolerance_seconds: 7}\n    - {name: b, like: a}\n"
    )
    assert second.charging.usage_tolerance_seconds == 7
    assert second.charging.grant_adds and first.charging.grant_adds


def test_the_signs_of_an_operator_go_first():
    mine = own(
        "    - name: ours\n"
        "      like: generic\n"
        "      signs: {contexts: ['*@3gpp.org'], contains: [Requested-Action]}\n"
    )
    found = book_with(mine, 1).by_request(ALL_SHAPES["open5gs-initial"], "32251@3gpp.org")
    assert found is not None and found.profile == "ours"
    assert next(iter(with_own(mine))) == "ours"


@pytest.mark.rule("P-004")
def test_every_value_of_a_profile_can_be_set():
    boolean = {"true": "false", "false": "true"}
    words = {
        "cc_session_failover": "supported",
        "credit_control_failure_handling": "retry-and-terminate",
        "direct_debiting_failure_handling": "continue",
    }
    for key, field in zip(
        value_keys(), (one for one in fields(ClientProfile) if one.name != "name"), strict=True
    ):
        default = getattr(PROFILES["generic"], field.name)
        value = words.get(key, "777")
        if isinstance(default, bool):
            value = boolean[str(default).lower()]
        (mine,) = own(f"    - {{name: mine, {key}: {value}}}\n")
        assert getattr(mine.charging, field.name) != default, key


def test_what_a_profile_refuses_and_allows_reaches_the_reader():
    mine = own(
        "    - name: mine\n"
        "      wire: {refuse: [duplicate_identities], allow_unknown: ['10415:9999']}\n"
        "    - {name: other, wire: {strict: true}}\n"
    )
    book = book_with(mine, 1)
    rules = book.leniency("mine")
    assert not rules.duplicate_identities and rules.accounting_avps
    assert rules.allowed_unknown == {(10415, 9999)}
    assert book.leniency("mine") is rules
    assert book.leniency("other").strict and not book.leniency("other").accounting_avps


def test_peers_may_name_a_profile_of_the_same_file():
    settings = parse_settings(
        "diameter:\n"
        "  peers: [{origin_host: a.example, profile: mine}, {origin_host: b.example}]\n"
        "  profiles: [{name: mine}]\n"
        "  unknown_peer_profile: mine\n",
        "ocs.yaml",
    )
    assert settings.diameter.peers == (
        PeerEntry("a.example", "mine"),
        PeerEntry("b.example", "auto"),
    )
    assert settings.diameter.unknown_peer_profile == "mine"


MISTAKES = [
    ("{}", "{}", "'name' is missing"),
    ("{name: Our_SMF}", "Our_SMF", "no name for a profile"),
    ("{name: auto}", "auto", "no name for a profile"),
    ("{name: a, like: open5g}", "open5g", "did you mean 'open5gs'?"),
    ("{name: a, grant_ads: true}", "grant_ads", "did you mean 'grant_adds'?"),
    ("{name: a, grant_adds: yes}", "yes", "write true or false"),
    ("{name: a, final_validity_seconds: -1}", "-1", "out of range: 0 to 86400"),
    ("{name: a, answer_within_ms: 5}", "5", "out of range: 100 to 10000"),
    ("{name: a, refund_without_reference: -1}", "-1", "is negative"),
    ("{name: a, wire: {refuse: [duplicates]}}", "duplicates", "no oddity"),
    ("{name: a, wire: {allow_unknown: [9999]}}", "9999", "no vendor and code"),
    ("{name: a, wire: {strikt: true}}", "strikt", "did you mean 'strict'?"),
    ("{name: a, signs: {order: [Session-No]}}", "Session-No", "no AVP called 'Session-No'"),
    ("{name: a, signs: {origin_hosts: [smf*]}}", "signs", "nothing to recognise"),
    ("{name: a, signs: {contexts: ['*']}}", "'*'", "no pattern"),
    ("{name: a, bound_usage: false, signs: {contexts: ['a@*']}}", "{name", "must be named by"),
    ("{name: open5gs, refund_without_reference: 5.00}", "{name", "must be named by"),
]


@pytest.mark.rule("P-004")
@pytest.mark.parametrize("entry,wrong,message", MISTAKES)
def test_a_mistake_is_named_in_its_place(entry, wrong, message):
    with pytest.raises(DocumentError) as refusal:
        own(f"    - {entry}\n")
    (problem, *_) = refusal.value.problems
    assert (problem.source, problem.line) == ("ocs.yaml", 3)
    assert problem.column == 7 + entry.index(wrong)
    assert message in problem.message


def test_a_profile_cannot_be_given_twice():
    with pytest.raises(DocumentError, match="given twice"):
        own("    - {name: a}\n    - {name: a}\n")


def test_a_profile_without_signs_is_never_found():
    book = ProfileBook([Profile(PROFILES["magma"], wire=WireRules())])
    assert book.by_capabilities("magma", "a.example") is None
    assert book.by_request(ALL_SHAPES["magma-initial"], "32251@3gpp.org") is None
