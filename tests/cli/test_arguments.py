"""Numbers below zero as arguments: they are values, wherever they stand."""

import pytest

from tests.support.desks import CATALOGUE

NUMBER = "+4915112345678"


@pytest.fixture
def opened(cli):
    cli("catalog", "publish", CATALOGUE)
    cli("subscriber", "add", NUMBER, "--plan", "basic", "--balance", "5")
    return cli


@pytest.mark.parametrize(
    "words",
    [
        (NUMBER, "-1.25"),
        (NUMBER, "--", "-1.25"),
        ("--", NUMBER, "-1.25"),
        (NUMBER, "-1.25", "--reason", "wrong", "--bucket=main"),
        ("--reason", "wrong", NUMBER, "-1.25"),
        ("--reason", "-3", "--bucket", "main", NUMBER, "-1.25"),
    ],
)
def test_a_negative_amount_is_an_amount(opened, words):
    ran = opened("--json", "account", "adjust", *words)
    assert ran.code == 0, ran.err
    assert ran.json["balance"] == "3.75"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("account", "topup", NUMBER, "-5"), "a top-up must be more than zero"),
        (("account", "limit", NUMBER, "-5"), "a credit limit is not negative"),
        (("account", "cap", NUMBER, "mine", "-5", "--every", "day"), "a cap cannot be negative"),
        (("account", "transfer", NUMBER, "-5"), "Missing argument 'AMOUNT'"),
        (("account", "adjust", NUMBER, "-5", "-6"), "Got unexpected extra argument (-6)"),
        (("account", "adjust", NUMBER, "-5", "--bukket", "x"), "No such option '--bukket'"),
        (("account", "adjust", NUMBER, "5", "--bucket"), "'--bucket' requires an argument"),
        (("account", "adjust", NUMBER, "-x"), "No such option '-x'"),
    ],
)
def test_what_cannot_be_negative_says_so(opened, words, said):
    ran = opened(*words)
    assert ran.code != 0
    assert said in ran.err
    assert "'-5'" not in ran.err
