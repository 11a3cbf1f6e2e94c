"""Vouchers: made into a file, redeemed once by whoever is first, not to be guessed."""

import csv
import json
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial

import pytest

from ocs.charging.model.messages import RequestKind
from ocs.errors import NotFoundError, RefusedError, StoreUnavailableError, UsageError
from ocs.provisioning import maintenance
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, states, voucher_codes, vouchers
from ocs.provisioning.customers.subscribers import set_blocked
from ocs.provisioning.desk import find_subscriber
from tests.support.desks import NUMBER, open_office
from tests.support.offers import OTHER, at_once, desks, offers

OCS = [sys.executable, "-c", "from ocs.cli.main import main; main()"]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    monkeypatch.setitem(voucher_codes._COST, "n", 2)


@pytest.fixture
def shop(office):
    office.open_account()
    office.open_account(OTHER)
    return office


def generate(office, tmp_path, count=3, name="codes.csv", expires_ns=0):
    new = vouchers.NewBatch(count, 5_000_000, "EUR", expires_ns)
    file = tmp_path / name
    batch = vouchers.generate(office.desk, new, file, lambda _done, _all: None)
    with file.open(encoding="ascii") as lines:
        rows = list(csv.DictReader(lines))
    return batch, [row["code"] for row in rows]


def redeem(office, code, number=NUMBER, source=""):
    found = find_subscriber(office.desk, f"+{number}")
    return vouchers.redeem(office.desk, found, code, office.catalogues.current(), source=source)


def balance(office, number=NUMBER):
    found = find_subscriber(office.desk, f"+{number}")
    return accounts.show(office.desk, found.account_id)["balance_micro"]


def wrong_code(known):
    while (code := voucher_codes.new_code()) in known:
        pass
    return code


@pytest.mark.rule("K-247")
def test_codes_have_check_digits_and_only_their_hashes_are_stored(shop, tmp_path):
    batch, codes = generate(shop, tmp_path)
    file = tmp_path / "codes.csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="ascii").splitlines()[0] == "batch,serial,code"
    assert len({*codes}) == 3
    stored = (tmp_path / "ocs.db").read_bytes() + b"".join(
        path.read_bytes() for path in tmp_path.glob("ocs.db-*")
    )
    for code in codes:
        digits = voucher_codes.parse_code(code)
        assert len(digits) == 20
        assert digits.encode() not in stored
        assert code.encode() not in stored
    assert (batch["unused"], batch["redeemed"], batch["void"]) == (3, 0, 0)
    assert vouchers.batches(shop.desk) == [batch]


@pytest.mark.rule("K-247")
def test_check_digits_find_wrong_and_swapped_digits():
    code = voucher_codes.new_code()
    for place, digit in enumerate(code):
        for other in set("0123456789") - {digit}:
            with pytest.raises(UsageError, match="mistyped"):
                voucher_codes.parse_code(code[:place] + other + code[place + 1 :])
    for place in range(19):
        swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
        if swapped != code:
            with pytest.raises(UsageError, match="mistyped"):
                voucher_codes.parse_code(swapped)
    for text in ("", "12", code + "1", "x" * 20, "٣" * 20):
        with pytest.raises(UsageError, match="20 digits"):
            voucher_codes.parse_code(text)


@pytest.mark.rule("K-247")
def test_no_file_is_written_over_and_none_is_left_without_its_batch(shop, tmp_path, monkeypatch):
    generate(shop, tmp_path)
    with pytest.raises(RefusedError, match="exists already"):
        generate(shop, tmp_path)

    def fail(_store, _batch, _hashes, _action):
        raise StoreUnavailableError("down")

    monkeypatch.setattr(type(shop.desk.store), "add_vouchers", fail)
    with pytest.raises(StoreUnavailableError):
        generate(shop, tmp_path, name="second.csv")
    assert not (tmp_path / "second.csv").exists()
    assert len(vouchers.batches(shop.desk)) == 1
    with pytest.raises(RefusedError, match="cannot be written"):
        generate(shop, tmp_path / "nowhere")


@pytest.mark.rule("K-248")
def test_a_voucher_is_a_top_up_and_is_redeemed_once(shop, tmp_path):
    _, codes = generate(shop, tmp_path)
    posted = redeem(shop, codes[0].replace(" ", "-"))
    assert (posted.amount, posted.balance_micro, posted.repeated) == (5_000_000, 15_000_000, False)
    again = redeem(shop, codes[0])
    assert (again.entry, again.repeated) == (posted.entry, True)
    with pytest.raises(RefusedError, match="buys nothing"):
        redeem(shop, codes[0], OTHER)
    assert (balance(shop), balance(shop, OTHER)) == (15_000_000, 10_000_000)
    line = accounts.find_entry(shop.desk, posted.entry)
    assert line.request.record.session_id.startswith("voucher ")
    listed = vouchers.listing(shop.desk, vouchers.batches(shop.desk)[0]["batch_id"], 0)
    assert [one["state"] for one in listed] == ["redeemed", "unused", "unused"]
    assert listed[0]["account_id"] == str(posted.account_id)
    shop.must_be_clean()


@pytest.mark.rule("K-248", "K-220")
def test_a_voucher_brings_what_a_top_up_brings(shop, tmp_path):
    catalogs.publish(shop.desk, offers(), "offers.yaml")
    new = vouchers.NewBatch(1, 10_000_000, "EUR")
    vouchers.generate(shop.desk, new, tmp_path / "ten.csv", lambda _done, _all: None)
    code = (tmp_path / "ten.csv").read_text(encoding="ascii").splitlines()[1].split(",")[2]
    posted = redeem(shop, code)
    shown = accounts.show(shop.desk, posted.account_id)
    assert {bucket["name"] for bucket in shown["buckets"]} == {"main", "extra", "data"}


@pytest.mark.rule("K-248")
def test_a_voucher_stays_redeemed_when_its_record_was_pruned(shop, tmp_path):
    _, codes = generate(shop, tmp_path)
    redeem(shop, codes[0])
    shop.clock.advance(3 * 86_400)
    maintenance.prune(shop.desk, 0, 0)
    with pytest.raises(RefusedError, match="redeemed or made void meanwhile"):
        redeem(shop, codes[0])
    assert balance(shop) == 15_000_000
    shop.must_be_clean()


@pytest.mark.rule("K-257")
def test_pruned_vouchers_stay_counted_and_buy_nothing(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("ocs.store.retention.STEP_VOUCHERS", 2)
    expires_ns = shop.clock.now_ns() + 86_400 * 10**9
    batch, codes = generate(shop, tmp_path, 6, expires_ns=expires_ns)
    lasting, others = generate(shop, tmp_path, 2, "more.csv")
    posted = redeem(shop, codes[0])
    redeem(shop, others[0])
    vouchers.void(shop.desk, batch["batch_id"], (2,))
    before = vouchers.batches(shop.desk)
    shop.clock.advance(3 * 86_400)
    year = 365 * maintenance.NS_PER_DAY
    assert maintenance.prune(shop.desk, year, year).pruned.vouchers == 0
    keep = 2 * maintenance.NS_PER_DAY - 1
    assert maintenance.prune(shop.desk, year, year, keep_vouchers_ns=keep).pruned.vouchers == 7
    assert maintenance.prune(shop.desk, year, year, keep_vouchers_ns=keep).pruned.vouchers == 0
    assert vouchers.batches(shop.desk) == before
    assert vouchers.listing(shop.desk, batch["batch_id"], 0) == []
    assert [one["serial"] for one in vouchers.listing(shop.desk, lasting["batch_id"], 0)] == [2]
    for code in (codes[0], codes[1], codes[2], others[0]):
        with pytest.raises(RefusedError):
            redeem(shop, code)
    with pytest.raises(NotFoundError):
        vouchers.void(shop.desk, lasting["batch_id"], (1,))
    entry = accounts.find_entry(shop.desk, posted.view()["entry"])
    assert entry.request.record.session_id == f"voucher {batch['batch_id']}-1"
    assert balance(shop) == 20_000_000
    with pytest.raises(UsageError):
        maintenance.prune(shop.desk, year, year, keep_vouchers_ns=-1)
    shop.must_be_clean()


@pytest.mark.rule("K-249")
def test_what_buys_nothing_looks_all_the_same(shop, tmp_path):
    batch, codes = generate(shop, tmp_path, expires_ns=shop.clock.now_ns() + 10**9)
    foreign = vouchers.NewBatch(1, 1_000_000, "USD")
    vouchers.generate(shop.desk, foreign, tmp_path / "usd.csv", lambda _done, _all: None)
    dollars = (tmp_path / "usd.csv").read_text(encoding="ascii").splitlines()[1].split(",")[2]
    assert vouchers.void(shop.desk, batch["batch_id"], (2,)) == {
        "batch_id": batch["batch_id"], "void": 1,
    }  # fmt: skip
    shop.clock.advance(2)
    said = set()
    for code in (codes[1], codes[0], dollars, wrong_code(codes)):
        with pytest.raises(RefusedError) as refused:
            redeem(shop, code)
        said.add(str(refused.value))
    assert len(said) == 1
    reasons = [
        json.loads(one.details)["why"]
        for one in shop.desk.reports.actions(0, 10)
        if one.action == "voucher refused"
    ]
    assert reasons[0] == "no such code"
    assert [reason.split(" ", 1)[1] for reason in reasons[1:]] == [
        "is worth USD, the account is kept in EUR", "has expired", "is void",
    ]  # fmt: skip
    assert balance(shop) == 10_000_000


@pytest.mark.rule("K-250")
def test_wrong_codes_of_an_account_are_counted(shop, tmp_path):
    _, codes = generate(shop, tmp_path)
    for _ in range(vouchers.ACCOUNT_TRIES_MAX):
        with pytest.raises(RefusedError, match="buys nothing"):
            redeem(shop, wrong_code(codes))
    with pytest.raises(RefusedError, match="5 wrong voucher codes came for account"):
        redeem(shop, codes[0])
    with pytest.raises(UsageError, match="mistyped"):
        redeem(shop, codes[0][:-1] + ("1" if codes[0][-1] == "0" else "0"))
    assert redeem(shop, codes[1], OTHER).amount == 5_000_000
    shop.clock.advance(vouchers.TRIES_SECONDS)
    assert redeem(shop, codes[0]).amount == 5_000_000


@pytest.mark.rule("K-250")
def test_wrong_codes_of_a_source_are_counted_over_all_accounts(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(vouchers, "SOURCE_TRIES_MAX", 3)
    _, codes = generate(shop, tmp_path)
    for number in (NUMBER, OTHER, NUMBER):
        with pytest.raises(RefusedError, match="buys nothing"):
            redeem(shop, wrong_code(codes), number, source="ivr")
    with pytest.raises(RefusedError, match="for source:ivr"):
        redeem(shop, codes[0], OTHER, source="ivr")
    assert redeem(shop, codes[0], source="shop").amount == 5_000_000


@pytest.mark.rule("K-250")
def test_right_codes_are_not_counted(shop, tmp_path):
    _, codes = generate(shop, tmp_path, count=7)
    for code in codes:
        redeem(shop, code)
    assert redeem(shop, codes[0]).repeated
    assert balance(shop) == 45_000_000


@pytest.mark.rule("K-249")
def test_a_closed_account_takes_no_voucher_and_a_blocked_one_does(shop, tmp_path):
    _, codes = generate(shop, tmp_path)
    set_blocked(shop.desk, find_subscriber(shop.desk, f"+{NUMBER}"), blocked=True)
    assert redeem(shop, codes[0]).amount == 5_000_000
    other = find_subscriber(shop.desk, f"+{OTHER}")
    states.set_state(shop.desk, other, "closed", shop.catalogues.current())
    said = set()
    for code in (codes[1], wrong_code(codes)):
        with pytest.raises(RefusedError) as refused:
            redeem(shop, code, OTHER)
        said.add(str(refused.value))
    assert said == {f"msisdn:{OTHER} takes no vouchers: it is closed"}


@pytest.mark.parametrize(
    "change,words",
    [
        ({"count": 0}, "1 to 100000"),
        ({"count": 100_001}, "1 to 100000"),
        ({"amount_micro": 0}, "more than zero"),
        ({"expires_ns": 1}, "in the future"),
        ({"comment": "x" * 201}, "200 printable"),
    ],
)
def test_batches_that_cannot_be_made(shop, tmp_path, change, words):
    new = replace(vouchers.NewBatch(1, 1_000_000, "EUR"), **change)
    with pytest.raises(UsageError, match=words):
        vouchers.generate(shop.desk, new, tmp_path / "x.csv", lambda _done, _all: None)
    assert not (tmp_path / "x.csv").exists()


def test_batches_that_do_not_exist(shop, tmp_path):
    batch, _ = generate(shop, tmp_path)
    with pytest.raises(NotFoundError, match="no batch 12"):
        vouchers.void(shop.desk, "12")
    with pytest.raises(NotFoundError, match="no voucher 4"):
        vouchers.void(shop.desk, batch["batch_id"], (4,))


def race(url, office, codes):
    """Have every code redeemed at once for both accounts, by two desks on one database."""
    numbers = (NUMBER, OTHER)
    start = threading.Barrier(2)
    won: dict[str, list[str]] = {number: [] for number in numbers}
    lost: list[str] = []

    def run(mine, number):
        for code in codes:
            start.wait(60)
            try:
                won[number].append(redeem(mine, code, number).entry)
            except RefusedError as error:
                lost.append(str(error))

    with desks(url, office.clock, 2) as two:
        at_once([partial(run, *one) for one in zip(two, numbers, strict=True)])
    assert len(won[NUMBER]) + len(won[OTHER]) == len(lost) == len(codes)
    assert balance(office) == 10_000_000 + 5_000_000 * len(won[NUMBER])
    assert balance(office, OTHER) == 10_000_000 + 5_000_000 * len(won[OTHER])
    office.must_be_clean()


@pytest.mark.rule("K-248")
def test_of_two_at_once_exactly_one_wins(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(vouchers, "ACCOUNT_TRIES_MAX", 1000)
    race(shop.url, shop, generate(shop, tmp_path, count=10)[1])


@pytest.mark.postgres
@pytest.mark.rule("K-248", "K-250")
def test_of_two_at_once_exactly_one_wins_on_postgresql(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setattr(vouchers, "ACCOUNT_TRIES_MAX", 1000)
    with open_office(postgres_url) as office:
        office.open_account()
        office.open_account(OTHER)
        race(postgres_url, office, generate(office, tmp_path, count=30)[1])


@pytest.mark.postgres
@pytest.mark.rule("K-248")
def test_of_several_processes_exactly_one_wins_on_postgresql(postgres_url, tmp_path, monkeypatch):
    monkeypatch.undo()  # the commands hash as slowly as they do for everybody
    with open_office(postgres_url) as office:
        numbers = [f"49151000000{number}" for number in range(4)]
        for number in numbers:
            office.open_account(number, 0)
        _, codes = generate(office, tmp_path, count=1)
        commands = [
            subprocess.Popen(
                [*OCS, "voucher", "redeem", f"+{number}", "-", "--json",
                 "--database", postgres_url],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for number in numbers
        ]  # fmt: skip
        ended = [(*one.communicate(codes[0], timeout=60), one.returncode) for one in commands]
        assert sorted(code for _, _, code in ended) == [0, 1, 1, 1], ended
        assert sum(balance(office, number) for number in numbers) == 5_000_000
        office.must_be_clean()


@pytest.mark.postgres
@pytest.mark.rule("K-250")
def test_guesses_at_once_are_counted_exactly_on_postgresql(postgres_url, tmp_path):
    with open_office(postgres_url) as office:
        account_id = office.open_account()
        _, codes = generate(office, tmp_path, count=1)
        looked_up = []

        def guess(mine):
            for _ in range(4):
                with pytest.raises(RefusedError) as refused:
                    redeem(mine, wrong_code(codes))
                looked_up.append("buys nothing" in str(refused.value))

        with desks(postgres_url, office.clock, 4) as four:
            at_once([partial(guess, one) for one in four])
        assert looked_up.count(True) == vouchers.ACCOUNT_TRIES_MAX
        assert len(looked_up) == 16
        records = office.desk.ledger.ledger(account_id, 10)
        assert [line.request.kind for line in records] == [RequestKind.OPERATOR]
