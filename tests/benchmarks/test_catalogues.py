"""The large catalogue of the benchmarks charges what the sample charges."""

import pytest

from benchmarks import catalogues
from ocs.catalog.matching import CatalogIndex
from ocs.provisioning.catalogues import catalogs


@pytest.mark.rule("K-022")
def test_the_large_catalogue_is_the_sample_with_more_beside_it() -> None:
    small, large = (
        CatalogIndex(catalogs.check(catalogues.text(large=one), "sample")) for one in (False, True)
    )
    assert len(large.catalog.plans) == catalogues.PLANS
    prefixes = sum(len(own) for own in large.catalog.zones.values())
    assert prefixes == catalogues.PREFIXES + sum(len(own) for own in small.catalog.zones.values())
    assert small.catalog.plans["basic"] == large.catalog.plans["basic"]
    for number in ("34911234567", "34601234567", "49301234567"):
        assert small.zone_of(number) == large.zone_of(number)
