"""What black-box tests exchange is shown to tshark, and what it finds wrong fails the run."""

import pytest

from tests.support.sources import ROOT

pytest_plugins = ["pytester"]

PLUGINS = ("-p", "tests.support.ci", "-p", "tests.support.tools", "-p", "tests.support.recording")
QUIET = ("-p", "no:randomly", "-p", "no:cacheprovider")
EXCHANGE = """
import pytest
from protocol.codec import encode_avp, encode_grouped, encode_message, encode_u32, encode_utf8
from tests.support import recording

HEAD = encode_utf8(263, "pgw1.net.example;1;2")
WRONG = encode_avp(268, b"\\x07\\xd1")

@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("avps", [{avps}])
def test_it(avps):
    tape = recording.tape()
    tape.sent(bytes(70_000))
    tape.received(encode_message(272, 4, 0x40, 1, 2, HEAD + avps))

def test_without_it():
    assert recording.tape() is None
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run a test during which a server says one message for each of these AVPs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(avps: str, *arguments: str, ci: bool = False) -> pytest.RunResult:
        monkeypatch.setenv("CI", str(ci))
        pytester.makepyfile(test_it=EXCHANGE.format(avps=avps))
        return pytester.runpytest_subprocess(*PLUGINS, *QUIET, *arguments)

    return run


@pytest.mark.rule("B-162")
@pytest.mark.interop
@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one", "two"])
def test_a_wrong_message_of_the_server_fails_the_run(needs_tshark, run, processes):
    result = run("encode_u32(268, 2001), WRONG, b'', b'', b''", *processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        ["*what tshark finds wrong*", "*Bad Integer32 Length (2)*", "*5 messages*1 of them doubt*"]
    )


@pytest.mark.interop
def test_what_a_server_has_to_repeat_is_not_its_fault(needs_tshark, run):
    newer = "encode_avp(669, encode_avp(665, b''))"
    no_triggers, no_text = "encode_avp(1264, b'', 10415)", r"encode_avp(263, b'a\0b')"
    quoted = "encode_grouped(279, WRONG), encode_grouped(284, WRONG)"
    result = run(f"{quoted}, {newer}, {no_triggers}, {no_text}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["tshark: 5 messages*0 of them doubtful"])


def test_without_tshark_it_is_said_that_nothing_was_looked_at(run, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    result = run("b''")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["black-box messages were not looked at: tshark is not installed*"])


def test_in_ci_tshark_must_be_there(run, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    result = run("b''", ci=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
