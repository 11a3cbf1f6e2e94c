"""docs/reviews.md names every kind of review item and says the tolerances that are in force."""

from ocs.charging.debits import parking
from ocs.charging.model.profile import GENERIC
from tests.support.sources import ROOT

TEXT = (ROOT / "docs" / "reviews.md").read_text(encoding="utf-8")


def test_every_kind_is_explained():
    assert [kind for kind in parking.KINDS if f"| `{kind}` |" in TEXT] == list(parking.KINDS)
    assert all(f"- `{kind}`:" in TEXT for kind in parking.KINDS)


def test_the_tolerances_are_those_of_the_program():
    assert (GENERIC.usage_tolerance_seconds, GENERIC.usage_tolerance_octets) == (300, 100_000_000)
    assert "five minutes and 100 MB" in TEXT
    assert GENERIC.bound_usage
