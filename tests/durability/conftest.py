"""What the tests of this folder share: fast starting servers, and random choices to be repeated."""

import os
import random
import sys

import pytest

from tests.support.launcher import Launcher, shared_launcher


@pytest.fixture(scope="session")
def launcher() -> Launcher:
    """Servers out of one process that has imported everything."""
    return shared_launcher()


@pytest.fixture
def seed() -> int:
    """Return what the random choices come from; a failure shows it."""
    chosen = int(os.environ.get("OCS_TEST_SEED") or random.SystemRandom().getrandbits(32))
    sys.stdout.write(f"to repeat the random choices of this test: OCS_TEST_SEED={chosen}\n")
    return chosen
