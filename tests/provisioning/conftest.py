"""An office for each test."""

from collections.abc import Iterator

import pytest

from tests.support.desks import Office, open_office


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_office(request, tmp_path) -> Iterator[Office]:
    """An office on each kind of database."""
    url = f"sqlite:///{tmp_path}/ocs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with open_office(url) as made:
        yield made


@pytest.fixture
def office(tmp_path) -> Iterator[Office]:
    with open_office(f"sqlite:///{tmp_path}/ocs.db") as made:
        yield made
