"""The settings: the commented file says what the code does, and mistakes are named in place."""

import re
from contextlib import suppress
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import config_path, settings_path
from ocs.errors import DocumentError
from ocs.settings import (
    Listener,
    SctpSettings,
    Settings,
    TlsSettings,
    load_settings,
    mask_url,
    parse_settings,
)
from ocs.store.interface import PeerEntry
from ocs.yamldoc import parse

GROUPS = {"tls": TlsSettings, "sctp": SctpSettings}
"""Groups of keys inside the section of Diameter."""
TEXT = settings_path().read_text(encoding="utf-8")


def mistakes(text):
    with pytest.raises(DocumentError) as refusal:
        parse_settings(text, "ocs.yaml")
    return [(entry.line, entry.column, entry.message) for entry in refusal.value.problems]


def test_commented_file_is_the_defaults():
    assert parse_settings(TEXT, "ocs.yaml") == Settings()
    assert load_settings(settings_path(), {}) == load_settings(None, {}) == Settings()


def test_commented_file_has_every_key_and_no_other():
    root = parse(TEXT, "ocs.yaml").root
    expected = {
        section.name: [entry.name for entry in fields(getattr(Settings(), section.name))]
        for section in fields(Settings)
    }
    found = {key.text: list(root.mapping(key.text).entries) for key, _ in root.members()}
    assert found == expected
    for name, group in GROUPS.items():
        keys = list(root.mapping("diameter").mapping(name).entries)
        assert keys == [entry.name for entry in fields(group)]


def test_every_key_of_the_commented_file_is_explained():
    lines = TEXT.split("\n")
    for number, line in enumerate(lines):
        key = re.match(r"( {2,4})[a-z]", line)
        if key:
            assert lines[number - 1].startswith(f"{key[1]}# "), line


TLS_FILES = "certificate: a.pem, private_key: b.pem, trusted: c.pem"


def changed_values():
    """Every key with another value than its default, as YAML."""
    yield "diameter", "listen", "['0.0.0.0:0', '[::]:1', localhost:2]"
    yield "diameter", "tls", f"{{{TLS_FILES}}}"
    yield "diameter", "sctp", "{listen: '192.0.2.1:3868'}"
    yield "diameter", "origin_host", "ocs2.example.com"
    yield "diameter", "origin_realm", "example.com"
    yield "diameter", "realms", "[a.example, b.example]"
    yield "diameter", "host_ip_addresses", "[192.0.2.1, '2001:db8::1']"
    yield "diameter", "product_name", "Other"
    yield "diameter", "announce_3gpp_application", "false"
    yield "diameter", "accept_unknown_peers", "true"
    yield "diameter", "unknown_peer_profile", "open5gs"
    yield "diameter", "refuse_silently", "true"
    yield "diameter", "profiles", "[{name: our-smf}]"
    yield "diameter", "peers", "[{origin_host: pgw1.net.example}]"
    yield "database", "url", "postgresql://u:p@h/d"
    yield "database", "allow_unsafe", "true"
    yield "charging", "straddling_usage_before", "false"
    yield "charging", "identity_priority", "[imsi, msisdn]"
    yield "charging", "default_country_code", "+34"
    yield "charging", "low_balance_indication", "true"
    yield "charging", "remaining_balance", "without-reservations"
    yield "charging", "cc_session_failover", "supported"
    yield "charging", "credit_control_failure_handling", "retry-and-terminate"
    yield "charging", "direct_debiting_failure_handling", "continue"
    yield "logging", "level", "debug"
    yield "logging", "format", "json"
    yield "logging", "mask_identities", "false"
    yield "metrics", "enabled", "true"
    yield "metrics", "host", "'::1'"
    for section in fields(Settings):
        for entry in fields(getattr(Settings(), section.name)):
            default = getattr(getattr(Settings(), section.name), entry.name)
            if isinstance(default, int) and not isinstance(default, bool):
                yield section.name, entry.name, str(default + 4)


def test_every_key_is_read_into_its_own_place():
    seen = set()
    for section, key, value in changed_values():
        read = parse_settings(f"{section}: {{{key}: {value}}}", "ocs.yaml")
        differing = [
            (part.name, entry.name)
            for part in fields(Settings)
            for entry in fields(getattr(read, part.name))
            if getattr(getattr(read, part.name), entry.name)
            != getattr(getattr(Settings(), part.name), entry.name)
        ]
        assert differing == [(section, key)]
        seen.add((section, key))
    assert seen == {
        (part.name, entry.name)
        for part in fields(Settings)
        for entry in fields(getattr(Settings(), part.name))
    }


def test_values_mean_what_they_say():
    read = parse_settings(
        """
diameter:
  listen: ["[2001:db8::1]:3868", ocs.example:0]
  peers:
    - origin_host: PGW1.net.example
      profile: open5gs
      relay: true
      source_networks: [192.0.2.0/24]
      connect: "[2001:db8::9]:3868"
      comment: north
  tls:
    listen: 192.0.2.9:5868
    certificate: a.pem
    private_key: b.pem
    trusted: c.pem
    minimum_version: 1.3
    ciphers: ECDHE+AESGCM
    warn_days: 14
    look_seconds: 1
charging:
  credit_control_failure_handling: continue
  direct_debiting_failure_handling: terminate-or-buffer
  cc_session_failover: not-supported
  default_country_code: +34
""",
        "ocs.yaml",
    )
    assert read.diameter.listen == (Listener("2001:db8::1", 3868), Listener("ocs.example", 0))
    assert read.diameter.tls == TlsSettings(
        (Listener("192.0.2.9", 5868),), "a.pem", "b.pem", "c.pem", "1.3", "ECDHE+AESGCM", 14, 1
    )
    assert len(read.listeners) == 3
    assert read.diameter.peers == (
        PeerEntry(
            "pgw1.net.example", "open5gs", True, ("192.0.2.0/24",), "north",
            connect="[2001:db8::9]:3868",
        ),
    )  # fmt: skip
    assert read.charging.credit_control_failure_handling == 1
    assert read.charging.direct_debiting_failure_handling == 0
    assert read.charging.cc_session_failover == 0
    assert read.charging.default_country_code == "34"
    assert [str(listener) for listener in read.diameter.listen] == [
        "[2001:db8::1]:3868",
        "ocs.example:0",
    ]


MISTAKES = [
    ("diamter: {}", 1, 1, "did you mean 'diameter'?"),
    ("diameter: {watchdog: 30}", 1, 12, "did you mean 'watchdog_seconds'?"),
    ("diameter: {watchdog_seconds: 5}", 1, 30, "out of range: 6 to 3600"),
    ("diameter: {watchdog_seconds: 30 s}", 1, 30, "not a whole number"),
    ("diameter: [1]", 1, 11, "a group of keys is needed"),
    ("diameter: {listen: []}", 1, 12, "no address to listen on"),
    ("diameter: {listen: '127.0.0.1'}", 1, 20, "no address such as"),
    ("diameter: {listen: '127.0.0.1:70000'}", 1, 20, "no address such as"),
    ("diameter: {listen: '::1:3868'}", 1, 20, "no address such as"),
    ("diameter: {listen: ['a:1', 'a:1']}", 1, 28, "a:1 is given twice"),
    ("diameter: {origin_host: 'a b'}", 1, 25, "no host name"),
    ("diameter: {origin_host: a..b}", 1, 25, "no host name"),
    ("diameter: {realms: [x, x]}", 1, 24, "given twice"),
    ("diameter: {host_ip_addresses: [300.1.1.1]}", 1, 32, "no IP address"),
    ("diameter: {unknown_peer_profile: open5g}", 1, 34, "did you mean 'open5gs'?"),
    ("diameter: {accept_unknown_peers: yes}", 1, 34, "write true or false"),
    ("diameter: {peers: [{profile: magma}]}", 1, 20, "'origin_host' is missing"),
    (
        "diameter: {peers: [{origin_host: a.b, connect: 'a.b:0'}]}",
        1,
        48,
        "'a.b:0' is no address to call: port 0 is none",
    ),
    (
        "diameter: {origin_host: a.b, peers: [{connect: 'a.b:1', origin_host: A.b}]}",
        1,
        70,
        "'A.b' is the name of this server, which cannot call itself",
    ),
    ("overload: {max_cer_octets: 100}", 1, 28, "100 is out of range: 1024 to 16777212"),
    (
        "diameter:\n  peers:\n    - {origin_host: a.b}\n    - {origin_host: A.b}",
        4,
        21,
        "peer a.b is given twice; the first is in line 3",
    ),
    (
        "diameter: {peers: [{origin_host: a.b, source_networks: [10.0.0.1/8]}]}",
        1,
        57,
        "no network such as",
    ),
    ("database: {url: mysql://h/d}", 1, 17, "is no database URL"),
    ("charging: {identity_priority: [msisdn, imei]}", 1, 40, "did you mean"),
    ("charging: {identity_priority: [imsi, imsi]}", 1, 38, "given twice"),
    ("charging: {default_country_code: 034}", 1, 34, "no country code"),
    ("charging: {credit_control_failure_handling: ignore}", 1, 45, "terminate"),
    ("charging: {max_batch_requests: 100, max_queued_requests: 50}", 1, 32, "more than"),
    ("logging: {level: verbose}", 1, 18, "'verbose' is no level; known: debug"),
    (
        "metrics: {enabled: true, port: 3868}",
        1,
        1,
        "metrics and Diameter cannot share an address",
    ),
    ("metrics: {host: 'a b'}", 1, 17, "neither an IP address nor a host name"),
    ("diameter:\n  tls: {certificate: a}", 2, 3, "'private_key' is missing; TLS needs it as well"),
    ("diameter:\n  tls: {trusted: a}", 2, 3, "'certificate' is missing; TLS needs it as well"),
    ("diameter:\n  tls: {minimum_version: 1.1}", 2, 26, "'1.1' is no minimum version"),
    ("diameter:\n  tls: {listen: [x]}", 2, 18, "'x' is no address such as"),
    ("diameter:\n  tls: {look_seconds: 0}", 2, 23, "out of range: 1 to 3600"),
    ("diameter:\n  tls: {key: a}", 2, 9, "'key' is no key that is known here"),
    ("diameter:\n  sctp: {listen: [a.b:1]}", 2, 19, "'a.b:1' is no list of addresses such as"),
    ("diameter:\n  sctp: {listen: ['::1:1']}", 2, 19, "'::1:1' is no address such as"),
    ("diameter:\n  sctp: {listen: ['::1,:1']}", 2, 19, "'::1:1' is no address such as"),
    ("diameter:\n  sctp: {listen: ['1.2.3.4,1.2.3.4:1']}", 2, 19, "1.2.3.4 is given twice"),
    (
        f"diameter:\n  listen: []\n  tls: {{listen: [], {TLS_FILES}}}",
        2,
        3,
        "there is no address to listen on",
    ),
    (
        f"diameter:\n  tls: {{listen: '127.0.0.1:3868', {TLS_FILES}}}",
        2,
        3,
        "127.0.0.1:3868 cannot be secured and in clear",
    ),
    (
        "diameter:\n  peers: [{origin_host: a.b, require_tls: true}]",
        2,
        3,
        "a peer must use TLS, but diameter.tls has no certificate",
    ),
    ("diameter: {peers: [{origin_host: a.b, tls_names: ['*.b']}]}", 1, 51, "no host name"),
    (
        f"metrics: {{enabled: true, port: 5868}}\ndiameter: {{tls: {{{TLS_FILES}}}}}",
        1,
        1,
        "metrics and Diameter cannot share an address",
    ),
    ("retention: {records_days: 1}", 1, 27, "out of range: 2 to"),
    ("process: {node: 256}", 1, 17, "out of range: 0 to 255"),
]


@pytest.mark.parametrize("text,line,column,words", MISTAKES)
def test_mistake_is_named_at_its_place(text, line, column, words):
    found = mistakes(text)
    assert any(entry[:2] == (line, column) and words in entry[2] for entry in found), found


def test_environment_names_another_database():
    url = "postgresql://ocs:secret@db/ocs"
    assert load_settings(None, {"OCS_DATABASE_URL": url}).database.url == url
    with pytest.raises(DocumentError, match="OCS_DATABASE_URL: is no database URL"):
        load_settings(None, {"OCS_DATABASE_URL": "nonsense"})


def test_file_that_does_not_exist_is_a_mistake(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml", {})


@pytest.mark.parametrize(
    "url,shown",
    [
        ("sqlite:///ocs.db", "sqlite:///ocs.db"),
        ("postgresql://ocs@db/ocs", "postgresql://ocs@db/ocs"),
        ("postgresql://ocs:hush@db/ocs", "postgresql://ocs:***@db/ocs"),
        ("postgresql://ocs:hu@sh@db/ocs", "postgresql://ocs:***@db/ocs"),
        ("postgresql:///ocs?user=a&password=hush&x=1", "postgresql:///ocs?user=a&password=***&x=1"),
    ],
)
def test_password_of_a_database_is_never_shown(url, shown):
    assert mask_url(url) == shown
    read = Settings().with_database(url)
    assert read.database.url == url
    assert read.describe()["database"]["url"] == shown
    assert "hush" not in f"{read!r}{read.describe()}"


@pytest.mark.parametrize(
    "text",
    [
        "database: postgresql://ocs:hush@db/ocs",
        "database: {url: [postgresql://ocs:hush@db/ocs]}",
        "database: {url: 'mysql://ocs:hush@db/ocs'}",
        "database: {url: 'postgresql://ocs:hush@db/o c s'}",
        "'postgresql://ocs:hush@db/ocs': 1",
    ],
)
def test_password_is_in_no_mistake(text):
    with pytest.raises(DocumentError) as refusal:
        parse_settings(text, "ocs.yaml")
    assert "hush" not in str(refusal.value)


def test_ports_that_the_system_chooses_never_collide():
    text = "metrics: {enabled: true, port: 0}\ndiameter: {listen: ['127.0.0.1:0', '127.0.0.1:0']}"
    assert len(parse_settings(text, "ocs.yaml").diameter.listen) == 2


def test_everything_in_clear_can_be_switched_off():
    read = parse_settings(f"diameter: {{listen: [], tls: {{{TLS_FILES}}}}}", "ocs.yaml")
    assert read.diameter.listen == ()
    assert [str(one) for one in read.listeners] == ["127.0.0.1:5868", "[::1]:5868"]


def test_an_endpoint_of_sctp_has_several_addresses_and_one_port():
    text = "diameter: {listen: [], sctp: {listen: ['192.0.2.1,[2001:db8::1]:3868']}}"
    read = parse_settings(text, "ocs.yaml")
    (endpoint,) = read.diameter.sctp.listen
    assert (endpoint.hosts, endpoint.port) == (("192.0.2.1", "2001:db8::1"), 3868)
    assert read.describe()["diameter"]["sctp"] == {"listen": ["192.0.2.1,[2001:db8::1]:3868"]}
    assert read.hosts == {"192.0.2.1", "2001:db8::1"}


def test_without_its_files_tls_is_off():
    read = parse_settings("diameter: {tls: {listen: '192.0.2.1:5868'}}", "ocs.yaml")
    assert not read.diameter.tls.is_on
    assert read.listeners == read.diameter.listen


def test_description_is_plain_values():
    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(entry) for key, entry in value.items())
        if isinstance(value, list | tuple):
            return all(plain(entry) for entry in value)
        return value is None or isinstance(value, str | int | bool)

    text = "diameter: {peers: [{origin_host: a.b, source_networks: [10.0.0.0/8]}]}"
    described = parse_settings(text, "ocs.yaml").describe()
    assert plain(described)
    assert described["diameter"]["listen"] == ["127.0.0.1:3868", "[::1]:3868"]
    assert not any(is_dataclass(value) for value in described["diameter"].values())


@pytest.mark.parametrize("name", ["../setup.cfg", "absent.yaml", "catalogues"])
def test_only_configuration_files_are_located(name):
    with pytest.raises((ValueError, FileNotFoundError)):
        config_path(name)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mutated_settings_are_read_or_refused_and_nothing_else(data):
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 10))
        middle = data.draw(
            st.sampled_from(["", "x", "1", "-", "[", "}", ": ", "\n", "'", "é", "~"])
        )
        text = text[:start] + middle + text[end:]
    with suppress(DocumentError):
        parse_settings(text, "ocs.yaml")


def test_the_image_can_be_reached_and_asked_for_its_health():
    image = load_settings(config_path("container.yaml"), {})
    dockerfile = (settings_path().parents[1] / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY config/container.yaml /etc/ocs/ocs.yaml" in dockerfile
    assert image.diameter.listen == (Listener("0.0.0.0", 3868),)
    assert image.metrics.enabled
    assert f"OCS_STATUS_PORT={image.metrics.port}\n" in dockerfile
    assert f"EXPOSE 3868 {image.metrics.port}\n" in dockerfile
    assert image.database.url == "sqlite:////var/lib/ocs/ocs.db"
    assert "VOLUME /var/lib/ocs\n" in dockerfile
