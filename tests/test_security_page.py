"""docs/security.md says what is true: its commands work, its settings are read, its log is ours."""

import re
import subprocess
from pathlib import Path

import pytest

from ocs.settings import parse_settings
from protocol.peer import ErrorKind
from protocol.tls import TlsFiles, load
from tests.support.sources import ROOT, modules

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
HOSTS = ("ocs1.ocs.example", "pgw1.net.example")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.rule("B-002")
def test_the_certificates_for_a_laboratory_can_be_used(needs_openssl: Path, tmp_path):
    (script,) = blocks("sh")
    path = f"{needs_openssl.parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=tmp_path, env={"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for host in HOSTS:
        files = TlsFiles(
            tmp_path / f"{host}.pem", tmp_path / f"{host}.key", tmp_path / "authority.pem"
        )
        made = load(files)
        assert made.certificate.is_for(host)
        assert made.weaknesses == ()


def test_the_settings_are_read():
    tls, sctp = (parse_settings(text, "security.md").diameter for text in blocks("yaml"))
    assert tls.listen == ()
    assert tls.tls.is_on
    assert sctp.sctp.listen[0].hosts == ("192.0.2.10", "198.51.100.10")


def test_what_the_log_is_said_to_say_is_in_the_program():
    program = "".join(module.text for module in modules("protocol", "ocs"))
    program = re.sub(r'"\s+f?"', "", program)
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition("| The log says")[2], re.MULTILINE)
    phrases = [phrase for row in rows for phrase in re.findall(r"`(.*?)`", row)]
    assert len(phrases) > 8
    split = re.compile(r"CN=\.\.\.|\.\.\.").split
    pieces = {piece.strip() for phrase in phrases for piece in split(phrase)}
    pieces.discard("unknown ca")  # OpenSSL's own words
    assert [piece for piece in pieces if piece not in program] == []


def test_the_metrics_are_there():
    program = "".join(module.text for module in modules("ocs"))
    for name in re.findall(r"`(ocs_[a-z_]+)", PAGE):
        assert name.removesuffix("_total") in program
    for fault in re.findall(r'fault="([a-z_]+)"', PAGE):
        assert fault in set(ErrorKind)
