"""Programs of others that interoperability tests talk to; a test skips where one is missing."""

import os
import shutil
from ctypes.util import find_library
from pathlib import Path

import pytest

from protocol import sctp
from tests.support.ci import KERNEL_HAS_NO
from tests.support.freediameter_rules import DICTIONARIES

# Debian keeps servers in directories that are not on every user's PATH.
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find_program(name: str) -> Path | None:
    """Return the path of a program; None where it is not installed."""
    found = shutil.which(name, path=_SEARCH)
    return Path(found) if found else None


def _program(name: str, package: str) -> Path:
    found = find_program(name)
    if found is None:
        pytest.skip(f"{name} is not installed; to run this test: apt install {package}")
    return found


@pytest.fixture(scope="session")
def needs_freediameter() -> Path:
    """The path of freeDiameterd; skips the test where it is not installed."""
    return _program("freeDiameterd", "freediameterd")


@pytest.fixture(scope="session")
def needs_freediameter_dictionaries() -> Path:
    """Where freeDiameter's extensions are; skips the test where they or its libraries are not.

    OCS_FREEDIAMETER_EXTENSIONS names another directory than that of the Debian package.
    """
    named = os.environ.get("OCS_FREEDIAMETER_EXTENSIONS", "")
    folder = Path(named or "/usr/lib/freeDiameter")
    missing = [name for name in DICTIONARIES if not (folder / f"{name}.fdx").exists()]
    if missing or not find_library("fdcore"):
        pytest.skip(
            "the dictionaries of freeDiameter are not installed; to run this test:"
            " apt install freediameter-extensions"
        )
    return folder


@pytest.fixture(scope="session")
def needs_tshark() -> Path:
    """The path of tshark; skips the test where it is not installed."""
    return _program("tshark", "tshark")


@pytest.fixture(scope="session")
def needs_openssl() -> Path:
    """The path of openssl; skips the test where it is not installed."""
    return _program("openssl", "openssl")


@pytest.fixture(scope="session")
def needs_chromium() -> Path:
    """The path of Chromium; skips the test where it is not installed."""
    return _program("chromium", "chromium")


@pytest.fixture(scope="session")
def needs_sctp() -> None:
    """Skips the test on a kernel without SCTP, which CI has to forgive."""
    if not sctp.is_available():
        pytest.skip(f"{KERNEL_HAS_NO} SCTP; where it is a module: modprobe sctp")


@pytest.fixture(scope="session")
def soak_kills() -> int:
    """How often a soak test kills the server (OCS_SOAK_KILLS, set by `make soak`)."""
    return int(os.environ.get("OCS_SOAK_KILLS", "1000"))
