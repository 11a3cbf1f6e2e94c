"""Whom a change concerns, how a row is spread, and what follows from each answer."""

import itertools
from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.charging.model.profile import PROFILES, ClientProfile
from ocs.charging.model.server_requests import (
    Action,
    Command,
    OpenSessions,
    RequestState,
    ServerRequest,
    Situation,
    Step,
    Trigger,
    after_answer,
    after_denial,
    apply,
    before_sending,
    concerned,
    for_account,
    for_session,
    mark_sent,
    spread,
)
from ocs.charging.model.session import QuotaState, Session, SessionState
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import Account, AccountStatus, Bucket, Hold
from tests.support.charging import Scenario
from tests.support.ledger_rows import NOW_NS, make_session
from tests.support.tariffs import make_catalog

ACTIVE = Account(5, "EUR", "basic")
BLOCKED = Account(5, "EUR", "basic", AccountStatus.BLOCKED)
NOW = Situation(NOW_NS, 1, ACTIVE)
REAUTH, ABORT = Command.RE_AUTH, Command.ABORT_SESSION


def make(**fields: object) -> Session:
    session = make_session(5)
    for name, value in fields.items():
        setattr(session, name, value)
    return session


def with_quota(**fields: object) -> Session:
    quota = QuotaState("data", 1, ())
    for name, value in fields.items():
        setattr(quota, name, value)
    return make(quotas=[QuotaState("other", 2, ()), quota])


def ask(
    session: Session, command: Command = REAUTH, trigger: Trigger = Trigger.OPERATOR
) -> ServerRequest:
    return for_session(
        itertools.count(1).__next__, session.key, session, command, trigger, NOW_NS
    )


@pytest.mark.rule("D17", "C-048", "C-090")
@pytest.mark.parametrize("mark", ["final", "restricted", "refused"])
def test_credit_concerns_sessions_at_the_end_of_their_money(mark: str) -> None:
    assert concerned(with_quota(), Trigger.TOP_UP, NOW) is None
    session = with_quota(**{mark: True})
    assert concerned(session, Trigger.TOP_UP, NOW) is REAUTH
    assert concerned(session, Trigger.TOP_UP, NOW._replace(account=None)) is REAUTH
    assert concerned(session, Trigger.TOP_UP, NOW._replace(account=BLOCKED)) is None
    session.aborted = True
    assert concerned(session, Trigger.TOP_UP, NOW) is None


@pytest.mark.rule("C-090", "D22")
def test_a_block_concerns_every_open_session_while_it_lasts() -> None:
    blocked = NOW._replace(account=BLOCKED)
    assert concerned(make(), Trigger.BLOCK, blocked) is ABORT
    assert concerned(make(), Trigger.BLOCK, NOW._replace(account=None)) is ABORT
    assert concerned(make(), Trigger.BLOCK, NOW) is None
    assert concerned(make(state=SessionState.CLOSED), Trigger.BLOCK, blocked) is None


@pytest.mark.rule("C-090", "C-091")
def test_a_new_plan_or_catalogue_concerns_sessions_with_a_quota_of_the_old_one() -> None:
    other = NOW._replace(account=replace_plan(ACTIVE, "gold"))
    assert concerned(make(), Trigger.PLAN_CHANGE, NOW) is None
    assert concerned(make(), Trigger.PLAN_CHANGE, other) is REAUTH
    assert concerned(make(quotas=[]), Trigger.PLAN_CHANGE, other) is None
    assert concerned(make(), Trigger.CATALOGUE, NOW) is None
    newer = NOW._replace(catalogue_version=2)
    assert concerned(make(), Trigger.CATALOGUE, newer) is REAUTH
    assert concerned(make(quotas=[]), Trigger.CATALOGUE, newer) is None
    unchanged = newer._replace(sells_as_before=lambda _session, _version: True)
    assert concerned(make(), Trigger.CATALOGUE, unchanged) is None
    dearer = newer._replace(sells_as_before=lambda _session, _version: False)
    assert concerned(make(), Trigger.CATALOGUE, dearer) is REAUTH


def replace_plan(account: Account, plan: str) -> Account:
    return Account(account.account_id, account.currency, plan, account.status)


@pytest.mark.rule("C-090", "M-012")
def test_an_expired_bucket_concerns_clients_that_did_not_report_in_time() -> None:
    late = with_quota(holds=[Hold(1, 5)], expires_ns=NOW_NS)
    assert concerned(late, Trigger.BUCKET_EXPIRY, NOW) is REAUTH
    later = NOW._replace(now_ns=NOW_NS - 1)
    assert concerned(late, Trigger.BUCKET_EXPIRY, later) is None
    assert concerned(with_quota(expires_ns=NOW_NS), Trigger.BUCKET_EXPIRY, NOW) is None
    endless = with_quota(holds=[Hold(1, 5)])
    assert concerned(endless, Trigger.BUCKET_EXPIRY, NOW) is None


@pytest.mark.rule("C-096")
def test_clients_are_asked_what_they_act_on() -> None:
    deaf, mute = ClientProfile("deaf", reacts_to_abort=False), ClientProfile("mute")
    profiles = {**PROFILES, "deaf": deaf, "mute": replace(mute, reacts_to_reauth=False)}
    blocked = NOW._replace(account=BLOCKED, profiles=profiles)
    expected = {
        "generic": (ABORT, REAUTH),
        "unheard-of": (ABORT, REAUTH),
        "deaf": (REAUTH, REAUTH),
        "mute": (ABORT, None),
        "open5gs": (None, None),
    }
    for name, (to_block, to_credit) in expected.items():
        session = with_quota(final=True)
        session.profile = name
        assert concerned(session, Trigger.BLOCK, blocked) is to_block, name
        now = NOW._replace(profiles=profiles)
        assert concerned(session, Trigger.TOP_UP, now) is to_credit, name


@pytest.mark.rule("C-090", "C-095")
def test_a_row_is_spread_over_the_sessions_it_concerns() -> None:
    ids = itertools.count(10)
    row = for_account(ids.__next__, 5, Trigger.TOP_UP, NOW_NS - 9, "mia")
    sessions = []
    for number, final in enumerate((True, False, True, True)):
        session = with_quota(final=final)
        session.session_id, session.sub_session_id = f"s{number}", 4 if number == 3 else None
        sessions.append((bytes([number]) * 16, session))
    waiting = {(sessions[0][0], int(REAUTH)), (sessions[3][0], int(ABORT))}
    page = OpenSessions(sessions[:3], (5, sessions[2][0]), last=False)
    first = spread(row, page, waiting, NOW, ids.__next__)
    assert (row.state, row.reached_account, row.reached_session) == (
        RequestState.PENDING, 5, sessions[2][0],
    )  # fmt: skip
    [made] = first
    assert (made.session_id, made.session_key, made.account_id) == ("s2", sessions[2][0], 5)
    assert (made.command, made.trigger, made.operator) == (REAUTH, Trigger.TOP_UP, "mia")
    assert (made.created_ns, made.due_ns) == (NOW_NS, NOW_NS)
    assert (made.origin_host, made.peer) == ("pgw1.example", "pgw1.example")
    page = OpenSessions(sessions[3:], (5, sessions[3][0]), last=True)
    [other] = spread(row, page, waiting, NOW, ids.__next__)
    assert other.sub_session_id == 4
    assert (row.state, row.due_ns, row.finished_ns) == (RequestState.DONE, 0, NOW_NS)
    assert (row.spread, row.note) == (2, "2 sessions concerned")


@pytest.mark.rule("C-090")
def test_a_new_catalogue_asks_only_so_many_sessions_a_second() -> None:
    ids = itertools.count(10)
    row = for_account(ids.__next__, 0, Trigger.CATALOGUE, NOW_NS)
    sessions = [(bytes([number]) * 16, make()) for number in range(5)]
    newer = NOW._replace(catalogue_version=2, account=None)
    page = OpenSessions(sessions, (5, sessions[-1][0]), last=True)
    made = spread(row, page, set(), newer, ids.__next__, per_second=2)
    half = NS_PER_SECOND // 2
    assert [one.due_ns - NOW_NS for one in made] == [0, half, 2 * half, 3 * half, 4 * half]


@pytest.mark.rule("C-090", "C-094", "D22")
def test_what_is_not_needed_any_more_is_not_sent() -> None:
    done = (Action.FINISH, RequestState.DONE, 0)
    final = with_quota(final=True)
    top_up = ask(final, trigger=Trigger.TOP_UP)
    assert before_sending(top_up, final, NOW).action is Action.SEND
    assert before_sending(top_up, with_quota(), NOW)[:3] == done
    assert before_sending(top_up, None, NOW)[:3] == done
    assert before_sending(top_up, make(state=SessionState.LOST), NOW)[:3] == done
    block = ask(final, ABORT, Trigger.BLOCK)
    assert before_sending(block, final, NOW)[:3] == done, "unblocked meanwhile"
    assert before_sending(block, final, NOW._replace(account=BLOCKED)).action is Action.SEND
    by_hand = ask(make(), ABORT)
    assert before_sending(by_hand, make(aborted=True), NOW).action is Action.SEND


@pytest.mark.rule("C-090")
def test_a_row_that_waits_serves_for_what_happens_meanwhile_too() -> None:
    row = ask(with_quota(final=True), trigger=Trigger.TOP_UP)
    other = NOW._replace(account=replace_plan(ACTIVE, "gold"))
    assert before_sending(row, with_quota(), other).action is Action.SEND
    newer = NOW._replace(catalogue_version=2)
    assert before_sending(row, with_quota(), newer).action is Action.SEND


@pytest.mark.rule("C-092")
def test_an_agreed_report_is_asked_for_twice_at_most() -> None:
    session = make()
    row = ask(session)
    for repeat in (1, 2):
        assert before_sending(row, session, NOW).action is Action.SEND
        mark_sent(row, NOW_NS)
        assert (row.state, row.attempts, row.sent_ns) == (RequestState.SENT, repeat, NOW_NS)
        step = after_answer(row, 2002, NOW_NS)
        assert (step.action, step.due_ns) == (Action.WAIT, NOW_NS + 10 * NS_PER_SECOND)
        apply(row, step, NOW_NS, 2002)
        assert (row.state, row.agreed, row.result_code) == (RequestState.ANSWERED, repeat, 2002)
    step = before_sending(row, session, NOW)
    assert (step.action, step.state) == (Action.GIVE_UP, RequestState.GIVEN_UP)
    apply(row, step, NOW_NS)
    assert (row.due_ns, row.finished_ns) == (0, NOW_NS)


@pytest.mark.rule("C-092")
def test_a_report_that_came_is_the_end_of_it() -> None:
    session = make()
    row = ask(session)
    mark_sent(row, NOW_NS)
    session.last_request_ns = NOW_NS + 1
    step = before_sending(row, session, NOW)
    assert (step.state, step.note) == (RequestState.DONE, "the client has reported")


@pytest.mark.rule("C-094", "T239")
def test_a_session_that_is_ending_is_waited_for_and_not_asked_again() -> None:
    session = make(aborted=True)
    row = ask(session, ABORT)
    mark_sent(row, NOW_NS)
    apply(row, after_answer(row, 2001, NOW_NS), NOW_NS, 2001)
    assert row.state == RequestState.ANSWERED
    session.last_request_ns = NOW_NS + 1
    assert before_sending(row, session, NOW).action is Action.GIVE_UP, "a report is no end"
    session.state = SessionState.CLOSED
    assert before_sending(row, session, NOW).state is RequestState.DONE


LATER = NOW_NS + 15 * NS_PER_SECOND
AGAIN = (Action.WAIT, RequestState.PENDING, LATER)
REPORT = (Action.WAIT, RequestState.ANSWERED, NOW_NS + 10 * NS_PER_SECOND)
GONE = (Action.RELEASE, RequestState.DONE, 0)
OVER = (Action.FINISH, RequestState.DONE, 0)
GIVEN_UP = (Action.GIVE_UP, RequestState.GIVEN_UP, 0)


@pytest.mark.rule("C-092", "C-093", "C-094", "T229", "T230", "T232", "T238", "T239")
@pytest.mark.parametrize(
    ("command", "answers"),
    [
        (REAUTH, {
            2001: OVER, 2002: REPORT, 2003: OVER, 5002: GONE, 0: AGAIN, 3002: AGAIN, 3003: AGAIN,
            3004: AGAIN, 4002: AGAIN, 3001: GIVEN_UP, 3007: GIVEN_UP, 5012: GIVEN_UP,
            5001: GIVEN_UP, 1001: GIVEN_UP,
        }),
        (ABORT, {
            2001: REPORT, 2002: REPORT, 5002: GONE, 0: AGAIN, 3002: AGAIN, 3004: AGAIN,
            4002: AGAIN, 5012: GIVEN_UP, 3001: GIVEN_UP,
        }),
    ],
)  # fmt: skip
def test_each_answer_has_its_consequence(
    command: Command, answers: dict[int, tuple[Action, RequestState, int]]
) -> None:
    for code, expected in answers.items():
        row = ask(make(), command)
        mark_sent(row, NOW_NS)
        assert after_answer(row, code, NOW_NS)[:3] == expected, code


@pytest.mark.rule("C-093", "T232")
def test_sending_in_vain_comes_to_an_end_and_the_session_stays() -> None:
    session = make()
    row = ask(session)
    sent = 0
    while row.state is RequestState.PENDING:
        step = before_sending(row, session, NOW)
        assert step.action is Action.SEND
        mark_sent(row, NOW_NS)
        apply(row, after_answer(row, 3002, NOW_NS), NOW_NS, 3002)
        sent += 1
    assert (sent, row.state, row.result_code) == (4, RequestState.GIVEN_UP, 3002)
    assert session.state is SessionState.OPEN
    row = ask(session)
    row.attempts = 4
    assert before_sending(row, session, NOW).action is Action.GIVE_UP


def test_a_step_without_an_answer_keeps_the_code_of_the_last_one() -> None:
    row = ask(make())
    row.result_code = 3004
    apply(row, Step(Action.WAIT, RequestState.PENDING, LATER, "no answer"), NOW_NS)
    assert (row.result_code, row.due_ns, row.finished_ns) == (3004, LATER, 0)


@pytest.mark.rule("C-046", "C-090", "D17")
@pytest.mark.parametrize(
    ("plan", "balance", "lines"),
    [
        ("basic", "0.23", "I 0  100 rsu => 100 ok 4000000 fui=terminate"),
        ("basic", "0.03", "I 0  100 rsu => 100 4012"),
        ("redirect", "0.03", "I 0  100 rsu => 100 ok fui=redirect"),
        ("zero", "0.03", "I 0  100 rsu => 100 ok 0 fui=terminate"),
        ("basic", "0.03", "I 0  100 money=1 => 100 4012"),
    ],
)
def test_sessions_that_credit_concerns_are_known_from_their_own_answers(
    plan: str, balance: str, lines: str
) -> None:
    scenario = Scenario(make_catalog(), balance=balance, plan=plan)
    scenario.play(lines)
    [session] = scenario.load()[2]
    assert concerned(session, Trigger.TOP_UP, Situation(0)) is REAUTH
    scenario.play("""
        top-up 5.00
        wait 10
        U 1  100 rsu => 100 ok 10000000
    """)
    [session] = scenario.load()[2]
    assert concerned(session, Trigger.TOP_UP, Situation(0)) is None


@pytest.mark.rule("C-090", "M-012")
def test_an_expired_bucket_asks_only_where_a_session_still_holds_of_it() -> None:
    def bucket() -> Bucket:
        end_ns = Scenario(make_catalog()).clock.now_ns() + 20 * NS_PER_SECOND
        return Bucket(
            0, 0, Unit.OCTETS, "free", 15_000_000, priority=1, expires_ns=end_ns,
            services=("data",),
        )  # fmt: skip

    scenario = Scenario(make_catalog(), buckets=[bucket()])
    scenario.play("""
        I 0  100 rsu => 100 ok 10000000 vt=20
        wait 20
    """)
    [row] = scenario.store.server_requests()
    assert (row.trigger, row.account_id) == (Trigger.BUCKET_EXPIRY, 1001)
    assert row.due_ns == scenario.clock.now_ns() + 10 * NS_PER_SECOND
    scenario = Scenario(make_catalog(), buckets=[bucket()])
    scenario.play("wait 20")
    assert scenario.store.server_requests() == []


@pytest.mark.rule("C-090", "M-012")
def test_a_bucket_held_to_its_last_unit_asks_once_when_it_expires() -> None:
    end_ns = Scenario(make_catalog()).clock.now_ns() + 20 * NS_PER_SECOND
    bundle = Bucket(
        0, 0, Unit.OCTETS, "free", 10_000_000, priority=1, expires_ns=end_ns, services=("data",)
    )
    scenario = Scenario(make_catalog(), buckets=[bundle])
    scenario.play("""
        I 0  100 rsu => 100 ok 10000000 vt=20
        wait 20
    """)
    [row] = scenario.store.server_requests()
    assert (row.trigger, row.account_id) == (Trigger.BUCKET_EXPIRY, 1001)
    assert scenario.store.due_buckets(scenario.clock.now_ns(), 10) == []
    scenario.play("""
        wait 15
        U 1  100 used=4000000 => 100 ok
        wait 1
    """)
    [left] = [one for one in scenario.load()[1] if one.name == "free"]
    assert (left.available, left.held) == (0, 0), "what came back is taken away"
    assert len(scenario.store.server_requests()) == 1


@pytest.mark.rule("C-090", "M-012")
def test_what_comes_back_of_an_expired_bucket_asks_nobody_again() -> None:
    end_ns = Scenario(make_catalog()).clock.now_ns() + 20 * NS_PER_SECOND
    bundle = Bucket(
        0, 0, Unit.OCTETS, "free", 10_000_000, priority=1, expires_ns=end_ns, services=("data",)
    )
    scenario = Scenario(make_catalog(), buckets=[bundle])
    scenario.play("""
        I 0 @one 100 rsu=6000000 => 100 ok 6000000 vt=20
        I 0 @two 100 rsu=4000000 => 100 ok 4000000 vt=20
        wait 21
        U 1 @one 100 used=1000000 => 100 ok
        wait 1
    """)
    [left] = [one for one in scenario.load()[1] if one.name == "free"]
    assert (left.available, left.held) == (0, 4_000_000)
    assert len(scenario.store.server_requests()) == 1


@pytest.mark.rule("C-093")
def test_a_client_that_denies_a_session_it_spoke_of_since_is_not_believed() -> None:
    row = ask(make())
    mark_sent(row, NOW_NS)
    assert after_denial(row, NOW_NS)[:3] == (Action.FINISH, RequestState.DONE, 0)
    abort = ask(make(), ABORT)
    mark_sent(abort, NOW_NS)
    step = after_denial(abort, NOW_NS)
    assert (step.action, step.due_ns) == (Action.WAIT, NOW_NS + 15 * NS_PER_SECOND)
    abort.attempts = 4
    assert after_denial(abort, NOW_NS).action is Action.GIVE_UP
