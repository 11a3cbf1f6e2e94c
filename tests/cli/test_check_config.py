"""`ocs check-config` looks into the files of TLS before a server does."""

import pytest
import yaml

from tests.support.certificates import Authority

HOST = "ocs1.ocs.example"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def check(cli, tmp_path, authority):
    """Check a configuration whose server has this certificate."""

    def run(identity, *options: str):
        config = tmp_path / "ocs.yaml"
        tls = authority.settings(identity)
        config.write_text(yaml.safe_dump({"diameter": {"tls": tls}}), encoding="utf-8")
        return cli("check-config", "--config", config, *options)

    return run


def test_a_certificate_that_is_good_is_described(check, authority):
    own = authority.issue(HOST)
    shown = check(own, "--json").json
    assert shown["certificate"]["subject"] == f"CN={HOST}"
    assert shown["certificate"]["names"] == [HOST]
    assert shown["certificate"]["days_left"] in {364, 365}
    assert shown["certificate"]["complaints"] == []
    assert shown["settings"]["diameter"]["tls"]["listen"] == ["127.0.0.1:0"]
    text = check(own).out
    assert "diameter.tls.certificate" in text
    assert "days left" in text


def test_what_peers_would_not_believe_is_said(check, authority):
    done = check(authority.issue("other.example", days=(-10, -1)))
    assert done.code == 0
    words = " ".join(done.out.split())
    assert f"warning: our certificate is for other.example, but our origin_host is {HOST}" in words
    assert "warning: our certificate has expired on" in words


def test_files_that_cannot_be_used_are_a_mistake(check, authority):
    own = authority.issue(HOST)
    own.key_file.write_bytes(authority.issue("other.example").key_pem())
    done = check(own)
    assert done.code == 1
    assert "diameter.tls.private_key: " in done.err
    assert "is not the key of the first certificate" in done.err


def test_without_tls_there_is_no_certificate(cli):
    assert cli("check-config", "--json").json["certificate"] is None
