"""The server's own certificate: what is said of it, and how it is renewed."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from ocs.clock import NS_PER_SECOND, ManualClock
from ocs.errors import FaultError
from ocs.service.peers.certificates import CertificateKeeper, describe_certificate
from ocs.service.watching.metrics import Metrics
from ocs.settings.values import DiameterSettings, TlsSettings
from tests.support.certificates import Authority
from tests.support.service import HOST, StillLoop

LOOK_SECONDS = 10


class Kept:
    """A keeper on a still clock, and the files that it looks after."""

    def __init__(self, directory, **issued: Any) -> None:
        self.authority = Authority(directory)
        self.own = self.authority.issue(HOST, **issued)
        tls = TlsSettings(
            certificate=str(self.own.certificate_file),
            private_key=str(self.own.key_file),
            trusted=str(self.authority.trusted_file),
            warn_days=30,
            look_seconds=LOOK_SECONDS,
        )
        self.diameter = DiameterSettings(origin_host=HOST, tls=tls)
        now = datetime.now(UTC)
        self.clock = ManualClock(int(now.timestamp()) * NS_PER_SECOND)
        self.loop = StillLoop()
        self.metrics = Metrics()
        self.keeper = CertificateKeeper(self.loop, self.clock, self.diameter, self.metrics)

    def start(self):
        self.keeper.start()
        return self.keeper.context()

    def pass_time(self, seconds=LOOK_SECONDS):
        for _ in range(seconds // LOOK_SECONDS):
            self.clock.advance(LOOK_SECONDS)
            self.loop.advance(LOOK_SECONDS)

    def replace(self, *names: str, **issued: Any):
        """Put another certificate where the server looks for its own."""
        fresh = self.authority.issue(*(names or (HOST,)), folder="fresh", **issued)
        fresh.write(self.own.certificate_file, self.own.key_file)

    def gauge(self, name):
        return self.metrics.gauges[f"ocs_tls_{name}"][1]()


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path)


@pytest.mark.rule("B-002")
def test_files_that_change_are_taken_when_they_have_stayed_the_same(kept, capsys):
    first = kept.start()
    kept.pass_time(60)
    assert kept.keeper.context() is first
    kept.replace()
    kept.pass_time()
    assert kept.keeper.context() is first, "somebody may still be writing"
    kept.pass_time()
    second = kept.keeper.context()
    assert second is not first
    assert "certificate changed" in capsys.readouterr().out
    kept.pass_time(60)
    assert kept.keeper.context() is second


@pytest.mark.rule("B-002")
def test_asked_to_it_takes_them_at_once(kept):
    first = kept.start()
    kept.replace()
    assert kept.keeper.reload()
    second = kept.keeper.context()
    assert second is not first
    kept.pass_time(60)
    assert kept.keeper.context() is second


def _half_written(kept):
    kept.own.certificate_file.write_bytes(kept.own.pem[:100])


def _absent(kept):
    kept.own.key_file.unlink()


def _mixed(kept):
    kept.authority.issue(HOST, folder="fresh").write(
        kept.own.certificate_file, kept.own.key_file.with_name("elsewhere")
    )


def _expired(kept):
    kept.replace(days=(-10, -1))


@pytest.mark.rule("B-002")
@pytest.mark.parametrize(
    "spoil,words",
    [
        (_half_written, "diameter.tls.certificate: .*holds no certificate"),
        (_absent, "diameter.tls.private_key: .*cannot be read"),
        (_mixed, "diameter.tls.private_key: .*is not the key of"),
        (_expired, "diameter.tls.certificate: our certificate has expired"),
    ],
)
def test_files_that_cannot_be_used_change_nothing_and_that_is_said(kept, capsys, spoil, words):
    first = kept.start()
    spoil(kept)
    kept.pass_time(3 * LOOK_SECONDS)
    assert kept.keeper.context() is first
    said = capsys.readouterr().out
    assert said.count("certificate not changed") == 1
    assert re.search(words, said)
    assert kept.gauge("reload_failed") == 1
    assert not kept.keeper.reload()
    kept.replace()
    kept.pass_time(2 * LOOK_SECONDS)
    assert kept.keeper.context() is not first
    assert kept.gauge("reload_failed") == 0


def test_an_expired_one_may_follow_an_expired_one(tmp_path):
    kept = Kept(tmp_path, days=(-10, -1))
    kept.start()
    kept.replace(days=(-20, -2))
    assert kept.keeper.reload()


def test_the_days_that_are_left_are_counted_and_said_once_a_day(tmp_path, capsys):
    kept = Kept(tmp_path, days=(-1, 31.5))
    kept.start()
    assert 31 < kept.gauge("certificate_days_left") < 32
    assert "expires in" not in capsys.readouterr().out
    kept.pass_time(86_400 * 2)
    assert capsys.readouterr().out.count("our certificate expires in") == 1
    kept.pass_time(86_400 // 2)
    assert "our certificate expires in" not in capsys.readouterr().out
    assert 28 < kept.gauge("certificate_days_left") < 30
    kept.clock.advance(86_400 * 30)
    kept.pass_time(LOOK_SECONDS)
    assert "our certificate has expired on" in capsys.readouterr().out
    assert kept.gauge("certificate_days_left") < 0


def test_nobody_looks_after_the_end(kept):
    first = kept.start()
    kept.keeper.stop()
    kept.replace()
    kept.pass_time(60)
    assert kept.keeper.context() is first
    assert kept.loop.getDelayedCalls() == []


def test_what_peers_would_not_believe_is_said_at_the_start(tmp_path, capsys):
    kept = Kept(tmp_path, days=(1, 30))
    kept.start()
    said = capsys.readouterr().out
    assert "our certificate is not valid before" in said
    kept.replace("other.example")
    assert kept.keeper.reload()
    said = capsys.readouterr().out
    assert f"our certificate is for other.example, but our origin_host is {HOST}" in said


def test_files_that_cannot_be_used_stop_the_start(tmp_path):
    kept = Kept(tmp_path)
    kept.own.key_file.unlink()
    with pytest.raises(FaultError, match=r"diameter\.tls\.private_key: .*key\.pem cannot be read"):
        CertificateKeeper(kept.loop, kept.clock, kept.diameter, kept.metrics)


def test_what_is_in_the_files_can_be_asked_before_the_start(kept):
    shown = describe_certificate(kept.diameter, kept.clock.now_ns())
    assert shown["subject"] == f"CN={HOST}"
    assert shown["names"] == [HOST]
    assert shown["days_left"] in {364, 365}
    assert shown["complaints"] == []
    later = kept.clock.now_ns() + 400 * 86_400 * NS_PER_SECOND
    assert "has expired" in describe_certificate(kept.diameter, later)["complaints"][0]
