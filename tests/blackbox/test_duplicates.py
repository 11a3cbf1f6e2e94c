"""Section 4.7: duplicates, order and concurrency on one running server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from protocol.base import DeviceWatchdogRequest
from tests.support.blackbox_client import Dialogue, Peer, mscc

INITIAL, UPDATE, TERMINATION = 1, 2, 3
MB = 1_000_000


def send_and_know(peer: Peer, message: bytes) -> None:
    """Send a request and return when the server has read it, answered or not."""
    peer.send(message)
    watchdog = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm)
    peer.ask_for(watchdog.write(*peer.ids()))


@pytest.mark.rule("B-141", "T169")
def test_T169_a_repeated_opening(world, gy, a1):
    first = gy.message(INITIAL, mscc(100, {}))
    answer = gy.peer.ask_for(first)
    repeated = gy.peer.ask_for(gy.peer.again(first))
    assert repeated.without_hop() == answer.without_hop()
    assert repeated.header.hop_by_hop != answer.header.hop_by_hop
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("B-141", "B-142", "G22", "T170", "T172")
@pytest.mark.parametrize("end_to_end", [None, 0x777777], ids=["T170", "T172"])
def test_T170_T172_a_repeated_report_is_debited_once(world, gy, a1, end_to_end):
    gy.initial(mscc(100, {}))
    report = gy.message(UPDATE, mscc(100, {}, {"total": 10 * MB}))
    answer = gy.peer.ask_for(report)
    for _ in range(2):
        repeated = gy.peer.ask_for(gy.peer.again(report, end_to_end=end_to_end))
        assert repeated.message[20:] == answer.message[20:]
    world.check_money(a1, "9.50", "0.50")


@pytest.mark.rule("B-142", "B-145", "T173")
def test_T173_a_copy_by_another_way_while_the_first_is_in_work(world, gy, a1, p2):
    gy.initial(mscc(100, {}))
    report = gy.message(UPDATE, mscc(100, {}, {"total": 10 * MB}))
    copy = p2.again(report)
    with world.writes_held():
        send_and_know(gy.peer, report)
        send_and_know(p2, copy)
    (first,), (second,) = gy.peer.collect([report]), p2.collect([copy])
    assert first.code == 2001
    assert first.without_hop() == second.without_hop()
    world.check_money(a1, "9.50", "0.50")


@pytest.mark.rule("T175", "T176")
def test_T175_reports_that_overtake_each_other(world, gy, a1):
    gy.initial(mscc(100, {}))
    early = gy.message(UPDATE, mscc(100, {}, {"total": 2 * MB}), number=2)
    late = gy.message(UPDATE, mscc(100, {}, {"total": 3 * MB}), number=1)
    gy.peer.send(early + late)
    assert [answer.code for answer in gy.peer.collect([early, late])] == [2001, 2001]
    world.check_money(a1, "9.75", "0.50")


@pytest.mark.rule("T176")
def test_T176_numbers_may_have_gaps(world, gy, a1):
    gy.initial(mscc(100, {}))
    for number in (1, 5):
        answer = gy.update(mscc(100, {}, {"total": MB}), number=number)
        assert answer.code == 2001 and answer.granted.total_octets == 10 * MB
    world.check_money(a1, "9.90", "0.50")


def closed(gy: Dialogue) -> bytes:
    """End a session with number 3; return an update with number 2 that was not sent in time."""
    gy.initial(mscc(100, {}))
    gy.update(mscc(100, {}, {"total": MB}), number=1)
    late = gy.message(UPDATE, mscc(100, {}, {"total": MB}), number=2)
    assert gy.terminate(number=3).code == 2001
    return late


@pytest.mark.rule("T178")
def test_T178_a_report_shortly_after_the_end(world, gy, a1):
    answer = gy.peer.ask_for(closed(gy))
    assert answer.code == answer.service.result_code == 2001 and answer.granted is None
    world.check_money(a1, "9.90", "0")


@pytest.mark.rule("T179")
def test_T179_a_report_long_after_the_end(world, gy, a1):
    late = closed(gy)
    world.advance(30)
    assert gy.peer.ask_for(late).code == 5002
    world.check_money(a1, "9.95", "0")
    (orphan,) = world.orphans(a1)
    assert (orphan["units"], orphan["amount_micro"]) == (MB, 50_000)


@pytest.mark.rule("B-146", "T181")
def test_T181_the_copy_comes_before_the_original(world, gy, a1):
    gy.initial(mscc(100, {}))
    report = gy.message(UPDATE, mscc(100, {}, {"total": MB}))
    first = gy.peer.ask_for(gy.peer.again(report))
    second = gy.peer.ask_for(report)
    assert first.code == 2001
    assert first.without_hop() == second.without_hop()
    world.check_money(a1, "9.95", "0.50")


@pytest.mark.rule("S-11", "T182")
def test_T182_an_open_session_cannot_be_opened(world, gy, a1):
    gy.initial(mscc(100, {}))
    assert gy.initial(mscc(100, {"total": MB}), number=5).code == 5012
    world.check_money(a1, "10.00", "0.50")
    answer = gy.update(mscc(100, {}, {"total": MB}), number=1)
    assert answer.code == 2001
    world.check_money(a1, "9.95", "0.50")


@pytest.mark.rule("B-143")
def test_the_same_number_with_other_content_moves_nothing(world, gy, a1):
    """Some clients number every request alike: the second is no repetition of the first."""
    gy.initial(mscc(100, {}))
    assert gy.update(mscc(100, {}, {"total": MB}), number=1).code == 2001
    assert gy.update(mscc(100, {}, {"total": 2 * MB}), number=1).code == 5012
    world.check_money(a1, "9.95", "0.50")
    assert world.session_state(gy.session_id) == "open"


@pytest.mark.rule("T184")
def test_T184_reports_and_top_ups_at_once(world, gy, a1):
    gy.initial(mscc(100, {}))
    reports = [gy.message(UPDATE, mscc(100, used={"total": MB})) for _ in range(50)]
    with ThreadPoolExecutor(2) as pool:
        top_ups = [pool.submit(world.top_up, a1, "0.10") for _ in range(50)]
        answers = []
        for start in range(0, 50, 5):
            sent = reports[start : start + 5]
            gy.peer.send(b"".join(sent))
            answers += gy.peer.collect(sent)
        for top_up in top_ups:
            top_up.result()
    assert {answer.code for answer in answers} == {2001}
    world.check_money(a1, "12.50", "0")


@pytest.mark.rule("T185")
def test_T185_a_report_and_the_end_on_two_connections(world, gy, a1, p2):
    gy.initial(mscc(100, {}))
    report = gy.message(UPDATE, mscc(100, {}, {"total": MB}))
    end = gy.message(TERMINATION, mscc(100, used={"total": 2 * MB}))
    gy.peer.send(report)
    p2.send(end)
    answers = [*gy.peer.collect([report]), *p2.collect([end])]
    assert [answer.code for answer in answers] == [2001, 2001]
    world.check_money(a1, "9.85", "0")
    assert world.session_state(gy.session_id) == "closed"
