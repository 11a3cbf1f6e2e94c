"""The HTML of a report: complete, self-contained, and drawn by a browser that has no network."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from protocol.credit_control import Money
from simulators.reports.balances import Balances
from simulators.reports.page import html_page
from simulators.reports.plots import number, ticks, time_of
from simulators.reports.report import Measurements, Ramp, RampStep, Report, make_report
from simulators.reports.verdict import Verdict
from tests.support.browser import colours, open_page
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, answer_to, grant_all

LIGHT, DARK = ("#ffffff", "#2563b8"), ("#14171a", "#6ea8fe")
"""Paper and first colour of the style sheet."""


def measured() -> Measurements:
    made = Measurements(sent=300)
    for number_ in range(300):
        seconds, code = number_ / 10, 4012 if number_ % 10 == 3 else 2001
        latency_us = 1000 + 37 * number_ % 5000
        point = made.series.at(seconds)
        point.sent += 1
        point.record(latency_us, code)
        made.latencies[1 + number_ % 4].record(latency_us)
        made.result_codes[code] += 1
    made.series.fault(12.2, "answer lost", "pgw1 <&> 'x'")
    made.errors.note("initial: 4012", b"", b"")
    made.tally["data sessions"] = 7
    return made


def complete() -> Report:
    """A report with something in every section."""
    balances = Balances()
    for step in range(5):
        balances.note(step * 5.0, "+1555", Money(5_000_000 - step, -6, 978))
    steps = [RampStep(10, 10, 10, 10, 1, 2, False), RampStep(20, 20, 20, 20, 5, 300, True)]
    return replace(
        make_report(measured(), "<shop> & window", "subscribers", 5, 30.0, Ramp(steps, 10)),
        verdicts=[Verdict("p99", True, "below 9 ms", "6 ms"), Verdict("codes", False, "a", "b")],
        balances=balances.result(),
        problems=["<script>alert(1)</script>"],
    )


class Reader(HTMLParser):
    """Collects elements, and sees whether each is closed."""

    VOID = frozenset({"meta"})
    EMPTY = frozenset({"path", "rect", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.mark.rule("X-092")
def test_the_page_has_every_section_and_nothing_from_elsewhere():
    text = html_page(complete(), "name: <shop>\n")
    page = Reader(text)
    assert page.ids == [
        *("problems", "verdicts", "throughput", "latency", "distribution", "codes", "ramp"),
        *("balances", "faults", "errors", "events", "scenario"),
    ]
    assert page.names.count("svg") == 6
    assert not {"script", "img", "link", "iframe", "object"} & set(page.names)
    assert not {"src", "href", "onclick", "onload"} & page.attributes
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "name: &lt;shop&gt;" in text
    assert "seed 5" in text
    assert "FAILED" in text
    assert text.count('class="mark"') == 5  # the fault in four plots over time, and the knee
    assert "pgw1 &lt;&amp;&gt; &#x27;x&#x27;" in text


@pytest.mark.rule("X-092")
def test_a_report_without_answers_has_a_page_too():
    page = Reader(html_page(make_report(Measurements(), "nothing", "prepared", 1, 0.0)))
    assert "svg" not in page.names
    single = Measurements(sent=1)
    single.series.at(0).record(0, 2001)
    single.latencies[4].record(0)
    text = html_page(make_report(single, "one", "prepared", 1, 0.01))
    assert "nan" not in text
    Reader(text)


@pytest.mark.rule("X-092")
def test_a_time_without_answers_has_no_latency():
    made = Measurements()
    for second in (0, 1, 2, 40, 41, 42):
        made.series.at(second).sent += 1
        made.series.at(second).record(5_000, 2001)
    page = html_page(make_report(made, "joined of two times", "subscribers", 1, 43.0))
    _, plot = page.split('aria-label="latency over time"')
    [median, highest, slowest] = re.findall(r'<path class="line c\d" d="([^"]*)">', plot)[:3]
    assert median.count("M") == 2
    assert median.count("L") == 4
    assert median.count("M") == highest.count("M") == slowest.count("M")
    assert "nan" not in page


def test_axes_have_round_numbers():
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.3, 0.9, 4) == [0.4, 0.6, 0.8]
    assert ticks(5, 5) == [5]
    assert [number(one) for one in (0, 0.5, 1234, 12345.6, 0.0001)] == [
        *("0", "0.5", "1234", "12,346", "1.0e-04")
    ]
    assert [time_of(one) for one in (3, 119.5, 125, 7260)] == ["3 s", "119.5 s", "2:05", "2:01 h"]


SCENARIO = """\
name: seen
speed_up: 60
load: {arrivals: {process: constant, per_second: 30}, duration_seconds: 3}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


def real_page(directory: Path) -> Path:
    """The page of a real run, in which every tenth request is refused."""

    def answer(responder, header, request):
        if len(responder.requests) % 10 == 0:
            return answer_to(request, result_code=4012)
        made = grant_all(responder, header, request)
        made.remaining_balance = Money(5_000_000 - 1000 * len(responder.requests), -6, 978)
        return made

    scenario, page = directory / "seen.yaml", directory / "seen.html"
    scenario.write_text(SCENARIO)
    with Responder(answer) as responder:
        done = run_ocs("simulate", "run", scenario, "--html", page, "--port", str(responder.port))
    assert done.returncode == 0, done.stdout + done.stderr
    return page


@pytest.mark.rule("X-092", "X-093", "X-097")
def test_a_browser_without_network_draws_it(needs_chromium, tmp_path):
    page = real_page(tmp_path)
    opened = open_page(needs_chromium, page, tmp_path)
    assert opened.console == []
    assert opened.asked == []
    seen = Reader(opened.dom)
    assert seen.names.count("svg") == 5
    assert {"throughput", "latency", "distribution", "codes", "balances", "errors"} <= set(seen.ids)
    paths = re.findall(r'<path class="line[^"]*" d="([^"]+)"', opened.dom)
    assert len(paths) >= 6
    assert all(re.fullmatch(r"M[\d. ]+(L[\d. ]+)+", path) for path in paths)
    # The refusals have their first messages decoded.
    assert "event: 4012 credit limit reached" in opened.dom
    assert "Credit-Control-Request (272)" in opened.dom
    assert "Credit-Control-Answer (272)" in opened.dom
    for dark in (False, True):
        (paper, ink), (other, _) = (DARK, LIGHT) if dark else (LIGHT, DARK)
        rows = colours(needs_chromium, page, tmp_path, dark=dark)
        assert rows[0].most_common(1)[0][0] == paper
        assert sum(row[other] for row in rows) < sum(row[paper] for row in rows) / 100
        assert sum(row[ink] for row in rows) > 100, "the lines of the plots are seen"


@pytest.mark.rule("X-093")
def test_the_browser_tells_when_a_page_asks_for_something(needs_chromium, tmp_path):
    page = tmp_path / "asks.html"
    page.write_text(
        '<!doctype html><img src="http://pictures.example/a.png">'
        '<script>console.error("heard")</script>'
    )
    opened = open_page(needs_chromium, page, tmp_path)
    assert any("heard" in line for line in opened.console)
    assert "http://pictures.example/a.png" in opened.asked
