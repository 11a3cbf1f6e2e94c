"""Clients that add a new grant to what they have left: what is held covers both."""

from __future__ import annotations

import pytest

from tests.support.charging import Scenario
from tests.support.tariffs import make_catalog

pytestmark = pytest.mark.rule("P-021")
CATALOG = make_catalog()


def play(text: str, **account: object) -> None:
    Scenario(CATALOG, **account).play(text)  # type: ignore[arg-type]


def test_what_is_left_stays_held_beside_the_new_grant():
    play(
        """
        I 0 profile=magma 100 rsu                        => 100 ok 10000000 | B=10.00 R=0.50
        U 1 profile=magma 100 used=8000000 rsu=8000000   => 100 ok 8000000  | B=9.60 R=0.50
        U 2 profile=magma 100 used=1000000 rsu           => 100 ok 10000000 | B=9.55 R=0.95
        T 3 profile=magma 100 used=19000000              => 100 ok          | B=8.60 R=0
        """
    )


def test_others_have_only_the_new_grant():
    play(
        """
        I 0 100 rsu                       => 100 ok 10000000 | B=10.00 R=0.50
        U 1 100 used=8000000 rsu=8000000  => 100 ok 8000000  | B=9.60 R=0.40
        U 2 100 used=1000000 rsu          => 100 ok 10000000 | B=9.55 R=0.50
        """
    )


def test_only_what_can_be_paid_beside_the_rest_is_granted():
    """0.45 pays for nine megabytes, of which the client has two: seven more."""
    play(
        """
        I 0 profile=magma 100 rsu               => 100 ok 10000000             | B=0.85 R=0.50
        U 1 profile=magma 100 used=8000000 rsu  => 100 ok 7000000 fui=terminate | B=0.45 R=0.45
        """,
        balance="0.85",
    )


def test_more_than_was_granted_leaves_nothing():
    play(
        """
        I 0 profile=magma 100 rsu                => 100 ok 10000000 | B=10.00 R=0.50
        U 1 profile=magma 100 used=12000000 rsu  => 100 ok 10000000 | B=9.40 R=0.50
        """
    )


def test_a_final_report_leaves_nothing():
    play(
        """
        I 0 profile=magma 100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        T 7 profile=magma 100 used=0            => 100 ok          | B=10.00 R=0
        """
    )


def test_what_is_left_stays_held_when_nothing_more_is_granted():
    """Another session cannot take the money that the two megabytes will cost."""
    play(
        """
        I 0 profile=magma 100 rsu               => 100 ok 10000000 fui=terminate | B=0.52 R=0.50
        U 1 profile=magma 100 used=8000000 rsu  => 100 4012                      | B=0.12 R=0.10
        I 0 @s2 profile=magma 100 rsu           => 100 4012                      | B=0.12 R=0.10
        U 2 profile=magma 100 used=500000 rsu   => 100 4012                      | B=0.07 R=0.05
        T 3 profile=magma 100 used=1500000      => 100 ok                        | B=0.02 R=0
        """,
        balance="0.52",
    )


def test_what_is_left_is_enlarged_after_a_top_up():
    play(
        """
        I 0 profile=magma 100 rsu               => 100 ok 10000000 fui=terminate | B=0.52 R=0.50
        U 1 profile=magma 100 used=8000000 rsu  => 100 4012                      | B=0.12 R=0.10
        top-up 5.00
        U 2 profile=magma 100 used=0 rsu        => 100 ok 10000000               | B=5.12 R=0.60
        """,
        balance="0.52",
    )
