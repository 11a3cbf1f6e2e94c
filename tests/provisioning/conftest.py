"""An office for each test."""

from collections.abc import Iterator

import pytest

from tests.support.desks import Office, open_office


@pytest.fixture
def office(tmp_path) -> Iterator[Office]:
    with open_office(f"sqlite:///{tmp_path}/ocs.db") as made:
        yield made
