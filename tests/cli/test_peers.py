"""`ocs peer`: what is allowed beside what was recognised; profiles of ones own may be named."""

import pytest

from ocs.clock import IdSource, SystemClock
from ocs.store.interface import ClientNote
from ocs.store.sql import SqlStore

CONFIG = """
diameter:
  profiles: [{name: our-smf, like: open5gs}]
  peers: [{origin_host: smf2.example, profile: our-smf}]
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "ocs.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    return file


@pytest.fixture
def noted(url, cli):
    """A database in which a server has written what it found out."""
    assert cli("peer", "allow", "smf.example").code == 0
    assert cli("peer", "allow", "dra1.example", "--relay").code == 0
    assert cli("peer", "allow", "new.example").code == 0
    met_ns = 1_767_614_400 * 10**9
    store = SqlStore(url, IdSource(SystemClock(), 200))
    store.note_clients(
        [
            ClientNote(
                "smf.example", "smf.example", False, "freeDiameter", "open5gs", "open5gs",
                "its requests", met_ns,
            ),
            ClientNote(
                "dra1.example", "dra1.example", True, "freeDiameter", "generic", "generic",
                "a relay", met_ns,
            ),
            ClientNote(
                "feg.example", "dra1.example", False, "", "magma", "magma", "its requests", met_ns
            ),
        ]
    )  # fmt: skip
    store.close()


@pytest.mark.rule("P-003")
def test_the_list_says_who_is_treated_how_and_why(noted, cli):
    rows = cli("peer", "list", "--json").json["peers"]
    assert [
        (row["origin_host"], row["profile"], row["in_use"], row["via"], row["allowed_by"])
        for row in rows
    ] == [
        ("dra1.example", "auto", "generic", "", "database"),
        ("feg.example", "auto", "magma", "dra1.example", ""),
        ("new.example", "auto", "", "", "database"),
        ("smf.example", "auto", "open5gs", "", "database"),
    ]
    smf = rows[3]
    assert (smf["recognised"], smf["reason"]) == ("open5gs", "its requests")
    assert (smf["product_name"], smf["met"]) == ("freeDiameter", "2026-01-05T12:00:00.000000Z")
    assert rows[2]["met"] == ""


def test_the_configurations_peers_are_listed_with_it(noted, cli, config):
    rows = cli("peer", "list", "--json", "--config", config).json["peers"]
    found = {row["origin_host"]: row for row in rows}
    assert found["smf2.example"]["allowed_by"] == "configuration"
    assert found["smf2.example"]["profile"] == "our-smf"
    assert "smf2.example" not in cli("peer", "list").out


@pytest.mark.rule("P-004")
def test_a_profile_of_ones_own_needs_the_configuration_that_has_it(cli, config):
    refused = cli("peer", "allow", "smf.example", "--profile", "our-smf")
    assert refused.code == 2
    assert "known with --config" in refused.err
    command = ("peer", "allow", "smf.example", "--profile", "our-smf", "--json")
    assert cli(*command, "--config", config).json["profile"] == "our-smf"


@pytest.mark.rule("P-004")
def test_mistakes_in_a_profile_are_said_with_their_place(cli, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("diameter:\n  profiles:\n    - {name: x, like: opensgs}\n", encoding="utf-8")
    refused = cli("check-config", "--config", file)
    assert refused.code == 1
    assert f"{file}:3:23: " in refused.err and "did you mean 'open5gs'?" in refused.err
    fine = tmp_path / "fine.yaml"
    fine.write_text(CONFIG, encoding="utf-8")
    checked = cli("check-config", "--json", "--config", fine).json
    (mine,) = checked["settings"]["diameter"]["profiles"]
    assert mine["charging"]["name"] == "our-smf"


def test_what_is_not_said_of_a_peer_stays_as_it_is(cli):
    allow = ("peer", "allow", "pgw1.example", "--json")
    first = cli(
        *allow, "--require-tls", "--tls-name", "Pool.Example", "--from", "192.0.2.0/24", "--relay"
    ).json
    assert first["require_tls"] and first["relay"]
    assert first["tls_names"] == ["pool.example"]
    second = cli(*allow, "--comment", "north", "--profile", "magma").json
    assert second == {**first, "comment": "north", "profile": "magma"}
    third = cli(*allow, "--no-require-tls", "--from", "anywhere", "--tls-name", "a.example").json
    assert third == {
        **second, "require_tls": False, "source_networks": [], "tls_names": ["a.example"],
    }  # fmt: skip
    assert not cli(*allow, "--no-relay", "--comment", "").json["relay"]
    shown = cli("peer", "list").out
    assert "TLS only" in shown


def test_a_peer_may_be_called_and_called_no_more(cli):
    allow = ("peer", "allow", "pgw1.example", "--json")
    first = cli(*allow, "--connect", "192.0.2.7:3868").json
    assert first["connect"] == "192.0.2.7:3868"
    assert cli(*allow, "--comment", "north").json == {**first, "comment": "north"}
    assert "192.0.2.7:3868" in cli("peer", "list", "--json").out
    assert cli(*allow, "--connect", "nowhere").json["connect"] == ""


@pytest.mark.parametrize(
    "options,words",
    [
        (("--connect", "pgw1.example"), "'pgw1.example' is no address such as"),
        (("--connect", "pgw1.example:0"), "port 0 is none; 'nowhere' lets the peer call again"),
        (("--tls-name", "*.example"), "'*.example' is no Origin-Host"),
        (("--from", "anywhere", "--from", "192.0.2.0/24"), "'anywhere' goes together with no"),
        (("--from", "somewhere"), "'somewhere' is no network"),
    ],
)
def test_what_cannot_be_said_of_a_peer(cli, options, words):
    refused = cli("peer", "allow", "pgw1.example", *options)
    assert refused.code == 2
    assert words in refused.err
