"""The tests' own PostgreSQL is the real thing: durable, private, fresh for each test."""

import signal

import psycopg
import pytest
import sqlalchemy

from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def test_the_server_is_as_durable_as_the_product_demands(postgres_url: str) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
        }
    engine.dispose()
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
    }


@pytest.mark.parametrize("_again", [1, 2])
def test_every_test_gets_an_empty_database(postgres_url: str, _again: int) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE left_behind (id bigint PRIMARY KEY)")
        assert sqlalchemy.inspect(connection).get_table_names() == ["left_behind"]
    engine.dispose()


def test_committed_rows_survive_a_crash_and_a_stopped_server_refuses(
    private_postgres: PostgresServer,
) -> None:
    private_postgres.execute("CREATE TABLE kept (id bigint)")
    private_postgres.execute("INSERT INTO kept VALUES (7)")
    private_postgres.stop(signal.SIGQUIT)
    with pytest.raises(psycopg.OperationalError):
        private_postgres.execute("SELECT 1")
    private_postgres.start()
    with psycopg.connect(private_postgres.conninfo("postgres")) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(7,)]
