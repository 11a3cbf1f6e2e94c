"""Usage records: their files, and the sessions they become."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import read_header
from protocol.credit_control import FinalUnitIndication, MultipleServices, ServiceUnits
from protocol.credit_control_reader import read_ccr
from protocol.members import LENIENT
from protocol.service_information import read_service_information
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.records import UsageRecord, read_records
from simulators.replay.usage import usage_sessions
from simulators.scenarios.document import DocumentError
from tests.support.captures import cca

START = 1_700_000_000
NS = 1_000_000_000
CSV = """\
kind,start,duration_seconds,session,msisdn,rating_group,octets,seconds,to,result_code
data,2023-11-14T22:13:20Z,100,s1,4915112345678,100,1000000,,,2001
data,1700000010.5,50,s1,4915112345678,200,500,,,
voice,2023-11-14T23:13:25+01:00,60,,4915112345678,,,55,+4930123456,
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def record(**values: object):
    return UsageRecord.model_validate(
        {"kind": "data", "start": START, "duration_seconds": 100, "msisdn": "49151", **values}
    )


@pytest.mark.rule("X-060")
def test_csv(tmp_path):
    first, third, second = read_records(write(tmp_path, "u.csv", "\ufeff" + CSV))
    assert (first.start, first.amount, first.result_code) == (START * NS, 1_000_000, 2001)
    assert (second.start, second.rating_group) == (START * NS + 10_500_000_000, 200)
    assert (third.start, third.amount, third.to) == ((START + 5) * NS, 55, "+4930123456")


@pytest.mark.rule("X-060")
@pytest.mark.parametrize("form", ["array", "lines"])
def test_json(tmp_path, form):
    values = [
        {"kind": "sms", "start": START, "msisdn": 4915112345678, "units": 2, "to": "4930"},
        {
            "kind": "data",
            "start": START - 5,
            "imsi": "26201",
            "input_octets": 7,
            "output_octets": 9,
        },
    ]
    lines = "\n".join(map(json.dumps, values))
    path = write(tmp_path, "u.json", json.dumps(values, indent=1) if form == "array" else lines)
    data, sms = read_records(path)
    assert (data.amount, data.identities) == (16, (("imsi", "26201"),))
    assert (sms.amount, sms.identities) == (2, (("msisdn", "4915112345678"),))


@pytest.mark.rule("X-060")
def test_every_mistake_is_said_with_its_line(tmp_path):
    text = (
        "kind,start,msisdn,octets,colour\n"
        "data,yesterday,49,1,\n"
        "data,2023-11-14T22:13:20,49,1,\n"
        "fax,1700000000,49,1,\n"
        "data,1700000000,,1,\n"
        "sms,1700000000,49,1,\n"
        "data,1700000000,49,-1,\n"
        "data,1700000000,49,1,blue\n"
        "data,1700000000,49,1,,extra\n"
    )
    with pytest.raises(DocumentError) as caught:
        read_records(write(tmp_path, "u.csv", text))
    said = str(caught.value)
    for words in (
        "u.csv:2:1: start: should be an ISO 8601 time or seconds since 1970",
        "u.csv:3:1: start: needs Z or an offset",
        "u.csv:4:1: kind: input should be 'data'",
        "u.csv:5:1: needs one of msisdn",
        "u.csv:6:1: octets is not for sms",
        "u.csv:7:1: octets: input should be greater than or equal to 0",
        "u.csv:8:1: colour: unknown field",
        "u.csv:9:1: column 6: unknown field",
    ):
        assert words in said, said


@pytest.mark.rule("X-060")
@pytest.mark.parametrize(
    "name, text, error, words",
    [
        ("u.csv", "kind,start\n", UnusableError, "holds no usage records"),
        ("u.json", "[]", UnusableError, "holds no usage records"),
        ("u.json", "[{]", DocumentError, "u.json:1:1: not readable"),
        ("u.jsonl", '{"kind": "data"}\n{oh', DocumentError, "u.jsonl:2:1: not readable"),
        ("u.json", "[" * 100_000, DocumentError, "not readable"),
        ("u.json", "[1]", DocumentError, "should be an object"),
        ("u.csv", 'kind,start\n"a\n', DocumentError, "not readable"),
    ],
)
def test_files_of_no_use(tmp_path, name, text, error, words):
    with pytest.raises(error, match=words):
        read_records(write(tmp_path, name, text))


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "u.csv"
    path.write_bytes(b"kind\n\xff\xfe\n")
    with pytest.raises(UnusableError, match="not UTF-8"):
        read_records(path)


# ------------------------------------------------------------------------------------ sessions


def grant(amount, **values: object):
    """A server that grants this much to whoever asks."""

    def answer(request):
        parts = []
        for one in request.services:
            part = MultipleServices(
                rating_group=one.rating_group,
                service_identifiers=one.service_identifiers,
                result_code=2001,
            )
            if one.requested is not None:
                part.granted = ServiceUnits(total_octets=amount, time=amount)
                for name, value in values.items():
                    setattr(part, name, value)
            parts.append(part)
        return {"services": parts}

    return answer


def played(records, answer):
    """Play them one after the other; each request with its second since START."""
    findings = Findings()
    asked = []
    for session in usage_sessions(records, findings):
        while session.next_ns() is not None:
            step = session.ask()
            request = read_ccr(step.message, read_header(step.message), LENIENT)
            asked.append(((step.at_ns - START * NS) / NS, request))
            session.answered(cca(step.message, **answer(request)))
    return asked, findings


def reports(asked):
    """Second, type, and octets used with their reason, of each request."""
    return [
        (
            at,
            one.request_type,
            [(u.total_octets, u.reporting_reason) for s in one.services for u in s.used],
        )
        for at, one in asked
    ]


@pytest.mark.rule("X-061")
def test_a_session_asks_when_its_quota_is_used_up():
    asked, _ = played([record(octets=1000)], grant(400))
    assert reports(asked) == [
        (0, 1, []),
        (40, 2, [(400, 3)]),
        (80, 2, [(400, 3)]),
        (100, 3, [(200, 2)]),
    ]
    assert [one.request_number for _, one in asked] == [0, 1, 2, 3]


@pytest.mark.rule("X-061")
def test_a_session_reports_when_validity_ends():
    asked, _ = played([record(octets=1000)], grant(5000, validity_time=30))
    assert reports(asked) == [
        (0, 1, []),
        (30, 2, [(300, 4)]),
        (60, 2, [(300, 4)]),
        (90, 2, [(300, 4)]),
        (100, 3, [(100, 2)]),
    ]


@pytest.mark.rule("X-061")
def test_after_final_units_it_ends():
    final = grant(300, final_unit=FinalUnitIndication(0))
    asked, findings = played([record(octets=1000)], final)
    assert reports(asked) == [(0, 1, []), (30, 2, [(300, 3)]), (30, 3, [])]
    assert findings.notes == {"records of which not all was granted": 1}


@pytest.mark.rule("X-061")
@pytest.mark.parametrize("code", [4012, 5030])
def test_a_refused_session_is_over(code):
    asked, findings = played([record(octets=1000)], lambda _: {"result_code": code, "services": []})
    assert [one.request_type for _, one in asked] == [1]
    assert findings.notes == {"records of which not all was granted": 1}


@pytest.mark.rule("X-061")
def test_two_services_of_a_session():
    first = record(octets=1000, session="s", rating_group=1)
    second = record(octets=50, session="s", rating_group=2, start=START + 20, duration_seconds=30)
    asked, _ = played([first, second], grant(600))
    assert [
        (at, one.request_type, [s.rating_group for s in one.services]) for at, one in asked
    ] == [
        (0, 1, [1]),
        (20, 2, [2]),
        (60, 2, [1]),
        (100, 3, [1, 2]),
    ]


@pytest.mark.rule("X-061")
def test_records_about_the_same_service_of_a_session_are_one():
    first = record(octets=100, session="s")
    second = record(octets=300, session="s", start=START + 100)
    asked, _ = played([first, second], grant(1000))
    assert reports(asked) == [(0, 1, []), (200, 3, [(400, 2)])]


@pytest.mark.rule("X-061")
@settings(deadline=None)
@given(
    octets=st.integers(0, 10**9),
    seconds=st.integers(0, 4000),
    granted=st.integers(10**5, 10**9),
    validity=st.one_of(st.none(), st.integers(10, 5000)),
)
def test_exactly_what_was_recorded_is_used(octets, seconds, granted, validity):
    one = record(octets=octets, duration_seconds=seconds)
    asked, _ = played([one], grant(granted, validity_time=validity))
    assert asked[0][1].request_type == 1
    assert asked[-1][1].request_type == 3
    used = [u.total_octets for _, one in asked for s in one.services for u in s.used]
    assert sum(used) == octets
    assert all(amount <= granted for amount in used)
    times = [at for at, _ in asked]
    assert times == sorted(times)


@pytest.mark.rule("X-061")
def test_events():
    [(at, one)], _ = played(
        [record(kind="sms", duration_seconds=0, units=3, to="+4930")], lambda _: {}
    )
    assert (at, one.request_type, one.requested_action) == (0, 4, 0)
    assert one.services[0].requested.service_specific == 3
    assert one.service_context_id == "32274@3gpp.org"
    assert read_service_information(one.service_information).recipients == ("4930",)


@pytest.mark.rule("X-061")
def test_a_call():
    call = record(kind="voice", seconds=55, duration_seconds=55, to="+4930")
    asked, _ = played([call], grant(60))
    assert [one.request_type for _, one in asked] == [1, 3]
    assert asked[-1][1].services[0].used[0].time == 55
    information = read_service_information(asked[0][1].service_information)
    assert (information.called_party, information.calling_parties) == ("tel:+4930", ("tel:49151",))
