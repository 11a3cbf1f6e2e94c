"""The log and the figures: one form for everybody's events, nobody's number in full."""

import io
import json
import logging
from typing import cast

import pytest
import structlog
from twisted.logger import ILogObserver, Logger, LogLevel

from ocs.charging.model.messages import Outcome
from ocs.service.watching import telemetry
from ocs.service.watching.masking import mask, mask_session_id, set_masking
from ocs.service.watching.metrics import Histogram, Metrics


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(form="json", level="info"):
    out = io.StringIO()
    telemetry.configure_logging(level, form, out)
    return out


def test_json_lines_carry_level_time_and_fields():
    out = logged()
    structlog.get_logger().warning("peer refused", origin_host="x.example")
    structlog.get_logger().debug("not at this level")
    (line,) = out.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "peer refused"
    assert entry["level"] == "warning"
    assert entry["origin_host"] == "x.example"
    assert entry["timestamp"].endswith("Z")


def test_a_traceback_is_part_of_its_line():
    out = logged()
    try:
        raise ValueError("what happened")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = out.getvalue().splitlines()
    assert "what happened" in line
    assert "ValueError" in line


@pytest.mark.parametrize("form", telemetry.FORMATS)
def test_a_traceback_does_not_show_what_variables_hold(form):
    out = logged(form)

    def fail(identity: str) -> None:
        raise ValueError(len(identity))

    try:
        fail("49151" + "12345678")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError" in out.getvalue()
    assert "4915112345678" not in out.getvalue()


def test_console_lines_are_for_people():
    out = logged(form="console")
    structlog.get_logger().info("serving", port=3868)
    assert "serving" in out.getvalue()
    assert "3868" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def test_the_standard_library_logs_in_the_same_form():
    out = logged()
    logging.getLogger("alembic").warning("be careful with %s", "this")
    logging.getLogger("chatty").info("never mind")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["event"] == "be careful with this"


def test_twisted_logs_in_the_same_form():
    out = logged()
    log = Logger(namespace="reactor", observer=cast(ILogObserver, telemetry._twisted_event))
    log.emit(LogLevel.warn, "strange {what}", what="event")
    log.info("a port was opened")
    try:
        raise KeyError("lost")
    except KeyError:
        log.failure("unhandled")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["event"] == "strange event"
    assert second["level"] == "error"
    assert "lost" in json.dumps(second)


@pytest.mark.parametrize(
    "identity,shown",
    [
        ("15550001234", "15550****34"),
        ("001010000000001", "00101********01"),
        ("sip:alice@ims.example", "sip:al*ce@ims.example"),
        ("user@realm.example", "us*r@realm.example"),
        ("ab", "**"),
        ("", ""),
    ],
)
def test_identities_are_masked(identity, shown):
    assert mask(identity) == shown


def test_a_session_id_hides_the_subscriber_it_carries():
    assert mask_session_id("fe.example;1;2;IMSI001010000000001") == (
        "fe.example;1;2;IMSI00101********01"
    )
    assert mask_session_id("pgw1.net.example;1;s1") == "pgw1.net.example;1;s1"
    high_and_low = "pgw1.net.example;4294967295;4294967295"
    assert mask_session_id(high_and_low) == high_and_low
    assert mask_session_id("a;1;imsi262011234567890@x") == "a;1;imsi26201********90@x"
    assert mask_session_id("a;1;sip:+4915112345678@ims") == "a;1;sip:+49151******78@ims"


@pytest.mark.parametrize("form", telemetry.FORMATS)
def test_what_a_stranger_writes_stays_one_line_of_bounded_length(form):
    out = io.StringIO()
    telemetry.configure_logging("info", form, out)
    forged = "x@3gpp.org\n2026-01-01T00:00:00Z [error    ] forged \x1b[31m"
    structlog.get_logger().warning(f"refused: {forged}", said=forged, long="y" * 1_000_000)
    text = out.getvalue()
    assert text.count("\n") == 1
    assert "\x1b[31m" not in text
    assert len(text) < 5 * telemetry.LINE_VALUE_MAX
    assert "forged" in text


def test_masking_can_be_switched_off():
    set_masking(False)
    try:
        assert mask("15550001234") == "15550001234"
    finally:
        set_masking(True)


def test_a_histogram_counts_each_value_once_and_cumulates():
    histogram = Histogram((1, 2, 5))
    for value in (0.5, 1, 1.5, 5, 100):
        histogram.observe(value)
    assert histogram.buckets() == [("1", 2.0), ("2", 3.0), ("5", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 108.0


def test_the_exposition_names_every_family_and_bounds_its_labels():
    metrics = Metrics()
    metrics.decided[1, Outcome.CREDIT_LIMIT_REACHED] = 3
    metrics.refused("late", 2)
    text = metrics.exposition().decode()
    assert 'ocs_requests_total{kind="initial",outcome="credit-limit-reached"} 3.0' in text
    assert 'ocs_refused_total{reason="late"} 2.0' in text
    with pytest.raises(KeyError):
        metrics.refused("something else", 1)
