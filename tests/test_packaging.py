"""The wheel: what is in it, what it asks for, and that it runs away from the checkout."""

import configparser
import email
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from tests.support.sources import PRODUCT, ROOT, files, modules

pytestmark = [
    pytest.mark.slow,
    # One build serves all these tests when they stay in one process.
    pytest.mark.xdist_group("packaging"),
]

# Asked for without being imported: drivers and data that libraries load by name.
LOADED_BY_NAME = {"psycopg", "tzdata"}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program outside the checkout and outside our environment; its output, both streams."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PIP_"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def declared() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def normal(requirement: str) -> str:
    """The distribution's name in a requirement, spelled the one way."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network from a copy, so that the checkout stays clean."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    for path in files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--no-build-isolation", "--wheel-dir", base, source, cwd=base)
    (built,) = base.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read("gyro_ocs-0.1.0.dist-info/METADATA"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel, and our dependencies beside it.

    A path in a .pth file shows the dependencies, but not the .pth file of an editable install
    among them: the checkout stays out of reach.
    """
    base = tmp_path_factory.mktemp("installed")
    venv.create(base / "env", with_pip=False)
    programs = base / "env" / "bin"
    paths = sysconfig.get_paths()
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=base)
    site = run(
        *(programs / "python", "-c"), "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=base,
    ).strip()  # fmt: skip
    beside = dict.fromkeys([paths["purelib"], paths["platlib"]])
    Path(site, "dependencies.pth").write_text("\n".join(beside) + "\n", encoding="utf-8")
    return programs


def test_the_wheel_runs_on_every_platform(wheel: Path) -> None:
    assert wheel.name == "gyro_ocs-0.1.0-py3-none-any.whl"


def test_the_wheel_holds_the_four_packages_and_nothing_else(contents: set[str]) -> None:
    tops = {name.split("/")[0] for name in contents}
    assert tops == {*PRODUCT, "gyro_ocs-0.1.0.dist-info"}


def test_every_module_and_data_file_is_in_the_wheel(contents: set[str]) -> None:
    wanted = {module.place for module in modules(*PRODUCT)} | {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if path.suffix in {".yaml", ".csv", ".json", ".mako"}
        and path.relative_to(ROOT).parts[0] in {"config", "ocs"}
    }
    assert sorted(wanted - contents) == []


def test_the_metadata_says_what_setup_cfg_says(metadata: Message) -> None:
    assert metadata["Name"] == "gyro-ocs"
    assert metadata["Version"] == declared()["metadata"]["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    wanted = declared()["options"]["install_requires"].split()
    required = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert sorted(map(normal, required)) == sorted(map(normal, wanted))


def test_every_dependency_has_both_bounds() -> None:
    unbounded = [
        requirement
        for requirement in declared()["options"]["install_requires"].split()
        if not re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+,<\d+", requirement)
        and not requirement.startswith("tzdata>=")  # dated data: newer is always right
    ]
    assert unbounded == []


def test_every_import_is_of_a_declared_dependency_and_every_dependency_is_imported() -> None:
    provided = importlib.metadata.packages_distributions()
    imported = {
        name.split(".")[0]
        for module in modules(*PRODUCT)
        for name, _ in module.imports()
        if name.split(".")[0] not in {*sys.stdlib_module_names, *PRODUCT}
    }
    used = {
        normal(distribution) for name in imported for distribution in provided.get(name, [name])
    }
    wanted = set(map(normal, declared()["options"]["install_requires"].split()))
    assert used - wanted == set()
    assert wanted - used - LOADED_BY_NAME == set()


def test_the_command_says_its_version_and_what_it_can_do(installed: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(installed / "ocs", "--version", cwd=tmp_path)
    shown = run(installed / "ocs", "--help", cwd=tmp_path)
    assert "serve" in shown
    assert "demo" in shown


def test_every_module_can_be_imported_away_from_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    names = sorted(importable())
    program = (
        "import importlib, json, sys\n"
        "found = [importlib.import_module(name).__file__ for name in json.loads(sys.argv[1])]\n"
        "print(json.dumps([str(path) for path in found]))\n"
    )
    shown = run(installed / "python", "-I", "-c", program, json.dumps(names), cwd=tmp_path)
    found = [Path(path) for path in json.loads(shown.splitlines()[-1])]
    assert len(found) == len(names)
    strays = [str(path) for path in found if installed.parent not in path.parents]
    assert strays == []


def importable() -> Iterator[str]:
    for module in modules(*PRODUCT):
        started = module.path.name == "__main__.py" or module.inside("ocs.store.migrations")
        if not started:
            yield module.name
