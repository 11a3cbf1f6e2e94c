"""Every kind of answer that the server sends, taken apart by tshark without a complaint.

The messages are exchanged with a real server once; the capture for tshark holds their octets.
What a client got wrong is quoted back to it in Failed-AVP, and only there may tshark find it odd.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from ocs.provisioning.catalogues import catalogs
from ocs.service.wire.results import RESULT_CODES
from protocol import codec
from protocol.answers import ResultCode
from protocol.base import CommandCode, DeviceWatchdogAnswer, DisconnectPeerAnswer
from protocol.codec import encode_avp, encode_message, encode_utf8
from tests.support.answer_cases import CASES
from tests.support.answer_stage import CHARGING, IDLE, PEERS, Listener, Stage, catalogue
from tests.support.blackbox import World
from tests.support.blackbox_client import Answer
from tests.support.pcap import Capture
from tests.support.tshark import Frame, dissect

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("tshark")]
REALM = "net.example"
QUOTED = {
    "Expert Info (Warning/Undecoded): Data is empty",
    (
        "Expert Info (Warning/Undecoded): Unknown AVP 65000 (vendor=Reserved), "
        "if you know what this is you can add it to dictionary.xml"
    ),
}
"""What an AVP in Failed-AVP may be: the example of one that is missing, or unknown."""
QUOTED_FLAGS = {"Expert Info (Warning/Malformed): Reserved bit set", "Malformed Packet"}
"""What else it is in the answer that complains about its flags."""
REFUSED_UNDECIDED = {
    *(3001, 3002, 3003, 3004, 3005, 3007, 3008, 3009, 3010),
    *(5001, 5004, 5005, 5008, 5009, 5010, 5011, 5012, 5014, 5015, 5017),
}
"""What is said about messages that no decision was made about."""
AVPS_OF_SUCCESS = {
    *("CC-Money", "Tariff-Time-Change", "Origin-State-Id"),
    *("Time-Quota-Threshold", "Volume-Quota-Threshold", "Unit-Quota-Threshold"),
    *("Quota-Holding-Time", "Cost-Information", "Check-Balance-Result", "Refund-Information"),
    *("Low-Balance-Indication", "Final-Unit-Indication", "Redirect-Server", "Proxy-Info"),
    *("CC-Session-Failover", "Credit-Control-Failure-Handling"),
    *("Direct-Debiting-Failure-Handling", "Restriction-Filter-Rule", "Filter-Id"),
    *("CC-Sub-Session-Id", "Service-Identifier", "Rating-Group", "Validity-Time"),
    *("CC-Time", "CC-Total-Octets", "CC-Service-Specific-Units"),
}
"""What a granted request can be answered with, besides what every answer says."""


class Seen(NamedTuple):
    """What became of the cases."""

    answers: dict[str, Answer]
    frames: dict[str, Frame]
    """What tshark shows, by case."""
    requests: list[Frame]
    """The same for the requests of the server: its watchdog and its goodbye."""


@pytest.fixture(scope="module")
def seen(needs_tshark, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Play all cases against a server of their own and show the capture to tshark."""
    directory = tmp_path_factory.mktemp("tshark")
    world = World(directory, diameter={"peers": PEERS}, charging=CHARGING)
    catalogs.publish(world.desk, catalogue(), "every-answer.yaml")
    with world:
        stage = Stage(world)
        with Listener(stage, IDLE, timeout=20) as listener, ThreadPoolExecutor(1) as pool:
            assert listener.open().result_code == 2001
            answers = {name: one.ask(stage) for name, one in CASES.items()}
            world.check()
            header, asked = listener.receive()
            assert header.command_code == CommandCode.DEVICE_WATCHDOG
            listener.send(DeviceWatchdogAnswer(2001, IDLE, REALM).write(header))
            stopping = pool.submit(world.server.stop)
            header, left = listener.receive()
            assert header.command_code == CommandCode.DISCONNECT_PEER
            listener.send(DisconnectPeerAnswer(2001, IDLE, REALM).write(header))
            assert stopping.result() == 0
    capture = directory / "every-answer.pcap"
    numbers = stage.capture.write(capture)
    frames = dissect(needs_tshark, capture, stage.capture.server_port)
    return Seen(
        answers,
        {name: frames[numbers[stage.places[one.message]]] for name, one in answers.items()},
        [frames[numbers[stage.places[message]]] for message in (asked, left)],
    )


@pytest.mark.rule("B-070", "B-072", "B-073", "B-162")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.rule(f"R-{int(case.code)}"))
        for name, case in CASES.items()
    ],
)
def test_tshark_takes_the_answer_apart(seen, name):
    frame, answer, expected = seen.frames[name], seen.answers[name], CASES[name]
    fields = frame.fields
    assert fields["tcp.payload"] == [answer.message.hex(":")]
    quoted = QUOTED | QUOTED_FLAGS if expected.code == ResultCode.INVALID_AVP_BITS else QUOTED
    complaints = [
        one for one in frame.complaints if not (one.inside_failed_avp and one.text in quoted)
    ]
    assert complaints == []
    assert fields["diameter.cmd.code"] == [str(expected.command)]
    assert fields["diameter.flags.request"] == ["0"]
    assert fields["diameter.Result-Code"][0] == str(expected.code)
    assert fields["diameter.flags.error"] == [str(int(3000 <= expected.code < 4000))]
    # It knows which request this answers, unless that was no request at all.
    assert ("diameter.answer_to" in fields) != expected.broken_header
    for avp, shown in expected.shows.items():
        assert fields.get(avp, []) == shown, avp


@pytest.mark.rule("B-162")
def test_tshark_takes_the_requests_of_the_server_apart(seen):
    commands = [frame.fields["diameter.cmd.code"] for frame in seen.requests]
    assert commands == [["280"], ["282"]]
    for frame in seen.requests:
        assert frame.complaints == []
        assert frame.fields["diameter.flags.request"] == ["1"]


@pytest.mark.parametrize(
    "wrong,text",
    [
        (encode_avp(65000, b"what?"), "Unknown AVP 65000"),
        (encode_avp(268, b"\x07\xd1"), "Bad Integer32 Length (2)"),
        (encode_avp(456, b"\0\0\0\x08\x40\0\0\xff"), "Malformed"),
    ],
    ids=["unknown", "short", "overflowing"],
)
def test_tshark_complains_about_what_is_wrong(needs_tshark, tmp_path, wrong, text):
    capture = Capture(server_port=3868)
    connection = capture.connection()
    avps = encode_utf8(263, "pgw1.net.example;1;2") + wrong
    message = encode_message(272, 4, codec.FLAG_PROXIABLE, 1, 2, avps)
    capture.add(connection, message, from_client=False)
    (number,) = capture.write(tmp_path / "wrong.pcap")
    frame = dissect(needs_tshark, tmp_path / "wrong.pcap", 3868)[number]
    assert any(text in one.text for one in frame.complaints), frame.complaints
    assert not any(one.inside_failed_avp for one in frame.complaints)


@pytest.mark.rule("R-3006", "R-5007")
def test_every_result_code_is_among_the_answers():
    """What no decision says yet is the only one that is missing."""
    sent = {one.code for one in CASES.values()}
    assert (set(RESULT_CODES.values()) | REFUSED_UNDECIDED) - sent == {
        ResultCode.RESOURCES_EXCEEDED
    }


def test_every_avp_of_an_answer_is_among_the_answers(seen):
    shown = {
        name.removeprefix("diameter.")
        for case, frame in seen.frames.items()
        if CASES[case].code == ResultCode.SUCCESS
        for name in frame.fields
    }
    assert AVPS_OF_SUCCESS - shown == set()
