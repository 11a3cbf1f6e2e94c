"""The schema: made by migrations exactly as schema.py says, and only the right one is used."""

from hashlib import blake2b

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import StoreUnavailableError, StoreUnusableError, UsageError
from ocs.store import dialects, migrations, schema
from ocs.store.interface import PeerEntry, Store
from tests.support.ledger_rows import (
    add_account,
    add_session,
    charge,
    debit,
    key_of,
    make_session,
    read_session,
    session_id,
)


def _engine(url: str) -> Engine:
    return dialects.open_engine(url, "create")


def _definitions(engine: Engine) -> set[str]:
    """Everything the database knows about its tables, constraints and indexes, as text."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT tbl_name, sql FROM sqlite_master"))
            found = {" ".join(str(part) for part in row) for row in rows}
        else:
            found = set()
            for query in (
                "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
                "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint",
                "SELECT relname, reloptions::text FROM pg_class WHERE relkind = 'r'",
                """
                SELECT table_name, column_name, data_type, is_nullable, column_default,
                    character_maximum_length
                FROM information_schema.columns WHERE table_schema = 'public'
                """,
            ):
                found |= {str(tuple(row)) for row in connection.execute(text(query))}
    return {line for line in found if migrations.VERSION_TABLE not in line}


def test_the_migrations_make_what_the_schema_says(sql_url: str) -> None:
    engine = _engine(sql_url)
    migrated = _definitions(engine)
    with engine.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
        connection.rollback()
    with engine.begin() as connection:
        schema.metadata.drop_all(connection)
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
    assert _definitions(engine) == migrated
    engine.dispose()


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    head = migrations.known_versions()[0]
    assert migrations.upgrade(empty_url) == head
    assert migrations.upgrade(empty_url) == head
    assert migrations.current_version(empty_url) == head


def test_peers_of_an_older_database_stay_and_need_no_tls(empty_url: str, open_store) -> None:
    engine = _engine(empty_url)
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            text(
                "INSERT INTO peer (origin_host, profile, relay, source_networks, comment)"
                " VALUES ('pgw1.example', 'open5gs', :yes, '10.0.0.0/8', 'north')"
            ),
            {"yes": True},
        )
    engine.dispose()
    migrations.upgrade(empty_url)
    store = open_store(empty_url)
    assert store.peers() == [PeerEntry("pgw1.example", "open5gs", True, ("10.0.0.0/8",), "north")]


def test_peers_of_an_older_database_stay_and_are_not_called(empty_url: str, open_store) -> None:
    engine = _engine(empty_url)
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(
            text(
                "INSERT INTO peer (origin_host, profile, relay, source_networks, comment,"
                " require_tls, tls_names) VALUES ('pgw1.example', 'auto', :no, '', '', :yes, 'a b')"
            ),
            {"yes": True, "no": False},
        )
    engine.dispose()
    migrations.upgrade(empty_url)
    store = open_store(empty_url)
    assert store.peers() == [
        PeerEntry("pgw1.example", require_tls=True, tls_names=("a", "b"), connect="")
    ]


def _old_key(name: str, sub_session_id: int) -> bytes:
    """The key of a sub-session in a database of the first version."""
    return blake2b(f"{name}\x00{sub_session_id}".encode(), digest_size=16).digest()


def _answer_in_sub_session(store: Store, key: RequestKey) -> None:
    """Charge for a request of sub-session 7."""

    def decide(working_set: WorkingSet) -> None:
        debit(working_set, key, 5)
        working_set.records[-1].record.sub_session_id = 7

    store.transact([key], decide)


def _name_anew(url: str, old_by_new: dict[bytes, bytes], keyed: tuple[str, ...]) -> None:
    """Give rows the keys they had in a database of the first version, and upgrade these."""
    engine = _engine(url)
    with engine.begin() as connection:
        for table in keyed:
            for new, old in old_by_new.items():
                statement = text(f"UPDATE {table} SET session_key = :old WHERE session_key = :new")
                assert connection.execute(statement, {"old": old, "new": new}).rowcount == 1
        context = MigrationContext.configure(connection)
        script = ScriptDirectory.from_config(migrations._config()).get_revision("0002").module
        with Operations.context(context):
            script.name_sub_sessions()
        for table in keyed:
            for old in old_by_new.values():
                statement = text(f"SELECT count(*) FROM {table} WHERE session_key = :key")
                assert connection.execute(statement, {"key": old}).scalar_one() == 0
    engine.dispose()


def test_sub_sessions_of_an_older_database_are_found_beside_their_session(
    sql_url: str, open_store
) -> None:
    store = open_store(sql_url)
    add_account(store, 5)
    add_session(store, 5)
    name = session_id(5)
    new, old = make_session_key(name, 7), _old_key(name, 7)

    def open_sub_session(working_set: WorkingSet) -> None:
        session = make_session(5)
        session.sub_session_id = 7
        working_set.add_session(new, session)

    store.transact([key_of(5)], open_sub_session)
    _answer_in_sub_session(store, RequestKey(5, new, RequestKind.UPDATE, 1))
    _name_anew(sql_url, {new: old}, ("session", "session_directory", "request"))
    assert store.find_sessions([new]) == {new: 5}
    assert {item.session_key for item in store.sessions_named(new, 9)} == {
        new, make_session_key(name, None),
    }  # fmt: skip
    session = read_session(store, RequestKey(5, new, RequestKind.UPDATE, 2))
    assert session is not None
    assert session.sub_session_id == 7


@pytest.mark.parametrize("kind", [RequestKind.EVENT, RequestKind.TERMINATION])
def test_what_an_older_database_has_answered_in_a_sub_session_is_not_charged_again(
    sql_url: str, open_store, kind: RequestKind
) -> None:
    """No session is stored: it was an event, or the session is gone."""
    store = open_store(sql_url)
    add_account(store, 5)
    name = session_id(5)
    key = RequestKey(5, make_session_key(name, 7), kind, 3)
    other = key_of(5, 3, kind)
    _answer_in_sub_session(store, key)
    charge(store, other)
    _name_anew(sql_url, {key.session_key: _old_key(name, 7)}, ("request",))
    assert not charge(store, key)
    assert not charge(store, other), "a request outside any sub-session keeps its key"


def test_a_database_without_tables_is_refused_with_the_command_that_makes_them(
    empty_url: str, open_store
) -> None:
    engine = _engine(empty_url)
    engine.connect().close()
    engine.dispose()
    store = open_store(empty_url)
    assert migrations.current_version(empty_url) is None
    with pytest.raises(StoreUnusableError, match="ocs db upgrade"):
        store.check()
    with pytest.raises(StoreUnusableError, match="ocs db upgrade"):
        store.generations()


def _set_version(url: str, version: str) -> None:
    engine = _engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = :version"),
            {"version": version},
        )
    engine.dispose()


def test_a_database_of_a_newer_program_is_refused_and_left_alone(sql_url: str, open_store) -> None:
    _set_version(sql_url, "9999")
    with pytest.raises(StoreUnusableError, match="9999, which is newer"):
        open_store(sql_url).check()
    with pytest.raises(StoreUnusableError, match="9999, which is newer"):
        migrations.upgrade(sql_url)
    assert migrations.current_version(sql_url) == "9999"


def test_an_older_database_is_refused_with_the_command_that_upgrades_it(monkeypatch) -> None:
    monkeypatch.setattr(migrations, "known_versions", lambda: ("0002", "0001"))
    with pytest.raises(StoreUnusableError, match=r"older than 0002; .*ocs db upgrade"):
        migrations.require_head("0001")
    migrations.require_head("0002")


def test_a_directory_that_is_not_there(tmp_path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"nowhere/ocs\.db: .*cannot be opened"):
        migrations.upgrade(f"sqlite:///{tmp_path}/nowhere/ocs.db")


@pytest.mark.parametrize(
    "url",
    ["", "ocs.db", "sqlite://", "sqlite:///:memory:", "mysql://h/db", "sqlite:///a.db?mode=ro"],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UsageError):
        dialects.parse_url(url)


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///a.db", "sqlite+pysqlite"),
        ("postgresql://h/db", "postgresql+psycopg"),
        ("postgresql+psycopg2://h/db", "postgresql+psycopg"),
    ],
)
def test_urls_get_the_driver_we_use(given: str, driver: str) -> None:
    assert dialects.parse_url(given).drivername == driver
    create_engine(dialects.parse_url(given)).dispose()
