"""The Store on SQLite and PostgreSQL: load, decide, write, commit, and again after a lost race.

Made by app.py; the interface is interface.Store. One transaction is one batch: a few set-based
statements (postgres, sqlite) however many requests it decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, bindparam, delete, insert, select, text, update

from ocs.catalog.versions import Schedule
from ocs.charging.model.messages import Identity
from ocs.charging.model.server_requests import OpenSessions, ServerRequest
from ocs.charging.model.session import FAMILY_OCTETS, Session, SessionState
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import IdSource
from ocs.errors import StoreUnusableError
from ocs.ledger.account import Account, Identifier, OperatorAction
from ocs.store import (
    catalogues,
    client_notes,
    cold,
    dialects,
    hot,
    migrations,
    records,
    schema,
    server_requests,
)
from ocs.store.interface import (
    ClientNote,
    DueAccount,
    DueBucket,
    DueSession,
    Generations,
    PeerEntry,
    PublishedCatalogue,
)
from ocs.store.postgres import PostgresStatements
from ocs.store.sqlite import Checkpointer, SqliteStatements
from ocs.store.transactions import Transactions
from ocs.store.vouchers import SqlVouchers

T = TypeVar("T")

_account = schema.account.c
_session = schema.session.c
_directory = schema.session_directory.c
_bucket = schema.bucket.c
_generation = schema.generation.c
_peer = schema.peer.c
_client = schema.client_state.c
_setting = schema.setting.c

# Written as text, not as a parameter, so that it matches the condition of the partial index.
_OPEN = _session.state == text(str(int(SessionState.OPEN)))
_GENERATIONS = select(_generation.identifiers, _generation.catalogue, _generation.peers)
_DUE_SESSIONS = (
    select(_session.account_id, _session.session_key)
    .where(_OPEN, _session.due_ns <= bindparam("now_ns"))
    .order_by(_session.due_ns)
    .limit(bindparam("count"))
)
_DUE_BUCKETS = (
    select(_bucket.account_id, _bucket.bucket_id)
    .where(_bucket.due_ns > text("0"), _bucket.due_ns <= bindparam("now_ns"))
    .order_by(_bucket.due_ns)
    .limit(bindparam("count"))
)
_DUE_ACCOUNTS = (
    select(_account.account_id)
    .where(_account.due_ns > text("0"), _account.due_ns <= bindparam("now_ns"))
    .order_by(_account.due_ns, _account.account_id)
    .limit(bindparam("count"))
)
_PLAN_ACCOUNTS = (
    select(_account.account_id)
    .where(
        _account.account_id > bindparam("after"),
        _account.plan.in_(bindparam("plans", expanding=True)),
    )
    .order_by(_account.account_id)
    .limit(bindparam("count"))
)
_CLIENT_SESSIONS = (
    select(_session.account_id, _session.session_key)
    .where(_OPEN, _session.origin_host == bindparam("origin_host"))
    .order_by(_session.account_id)
    .limit(bindparam("count"))
)
_NAMED_SESSIONS = (
    select(_directory.account_id, _directory.session_key)
    .where(_directory.session_key.between(bindparam("first"), bindparam("last")))
    .order_by(_directory.session_key)
    .limit(bindparam("count"))
)


class SqlStore(SqlVouchers):
    """A database that ``ocs db upgrade`` made. Nothing is connected before the first call."""

    def __init__(
        self, url: str, ids: IdSource, *, allow_unsafe: bool = False, connections: int = 4
    ) -> None:
        """Open the database of a URL (dialects.parse_url).

        ``allow_unsafe`` says that it is a test: a PostgreSQL that may lose commits is accepted.
        """
        self._transactions = Transactions(url, connections)
        self._ids = ids
        self._allow_unsafe = allow_unsafe
        self._statements: hot.Statements = PostgresStatements()
        self._checkpointer: Checkpointer | None = None
        if self._transactions.path is not None:
            self._statements = SqliteStatements()
            self._checkpointer = Checkpointer(self._transactions.reader, self.engine)

    @property
    def engine(self) -> Engine:
        """The engine of the hot path: it sends no BEGIN by itself (dialects.open_engine)."""
        return self._transactions.engine

    # ------------------------------------------------------------------------ transactions

    def transact(
        self, keys: Sequence[RequestKey], decide: Callable[[WorkingSet], T], description: str = ""
    ) -> T:
        """See interface.Store.transact."""

        def work(connection: Connection, attempt: int) -> T:
            loaded = hot.load(self._statements, connection, keys, attempt > 0, self._ids.next_id)
            result = decide(loaded.working_set)
            loaded.exact = records.rearm_timers(keys, loaded.working_set, loaded.sessions)
            changes, buckets = hot.collect(loaded)
            cold.write(connection, self._statements, loaded.working_set, buckets)
            self._statements.write(connection, changes)
            return result

        result = self._transactions.run(work, description)
        if self._checkpointer is not None:
            self._checkpointer.after_commit()
        return result

    # ---------------------------------------------------------------------------- look-ups

    def find(self, identities: Sequence[Identity]) -> dict[Identity, Identifier]:
        """See interface.Store.find."""
        # A name with NUL cannot be stored, and PostgreSQL cannot even be asked for it.
        names = [
            (name.kind, name.value)
            for name in dict.fromkeys(identities)
            if "\0" not in name.kind + name.value
        ]
        if not names:
            return {}
        rows = self._transactions.read(
            lambda connection: self._statements.identifiers(connection, names), "identities"
        )
        return {Identity(row[0], row[1]): Identifier(*row) for row in rows}

    def find_sessions(self, session_keys: Sequence[bytes]) -> dict[bytes, int]:
        """See interface.Store.find_sessions."""
        keys = [*dict.fromkeys(session_keys)]
        if not keys:
            return {}
        return dict(
            self._transactions.read(
                lambda connection: self._statements.directory(connection, keys), "sessions"
            )
        )

    def generations(self) -> Generations:
        """See interface.Store.generations."""
        return Generations(*self._rows(_GENERATIONS)[0])

    def due_sessions(self, now_ns: int, limit: int) -> list[DueSession]:
        """See interface.Store.due_sessions."""
        rows = self._rows(_DUE_SESSIONS, now_ns=now_ns, count=limit)
        return [DueSession(account_id, key) for account_id, key in rows]

    def due_buckets(self, now_ns: int, limit: int) -> list[DueBucket]:
        """See interface.Store.due_buckets."""
        rows = self._rows(_DUE_BUCKETS, now_ns=now_ns, count=limit)
        return [DueBucket(account_id, bucket_id) for account_id, bucket_id in rows]

    def due_accounts(self, now_ns: int, limit: int) -> list[DueAccount]:
        """See interface.Store.due_accounts."""
        rows = self._rows(_DUE_ACCOUNTS, now_ns=now_ns, count=limit)
        return [DueAccount(account_id) for (account_id,) in rows]

    def accounts_of_plans(self, plans: Sequence[str], after: int, limit: int) -> list[int]:
        """See interface.Store.accounts_of_plans."""
        rows = self._rows(_PLAN_ACCOUNTS, plans=[*plans], after=after, count=limit)
        return [account_id for (account_id,) in rows]

    def sessions_of_client(self, origin_host: str, limit: int) -> list[DueSession]:
        """See interface.Store.sessions_of_client."""
        rows = self._rows(_CLIENT_SESSIONS, origin_host=origin_host, count=limit)
        return [DueSession(account_id, key) for account_id, key in rows]

    def sessions_named(self, session_key: bytes, limit: int) -> list[DueSession]:
        """See interface.Store.sessions_named."""
        family, rest = session_key[:FAMILY_OCTETS], len(session_key) - FAMILY_OCTETS
        first, last = family + b"\x00" * rest, family + b"\xff" * rest
        rows = self._rows(_NAMED_SESSIONS, first=first, last=last, count=limit)
        return [DueSession(account_id, key) for account_id, key in rows]

    def _rows(
        self, statement: Select[int, Any], **parameters: int | str | bytes | list[str]
    ) -> hot.Rows:
        return self._transactions.read(
            lambda connection: [tuple(row) for row in connection.execute(statement, parameters)],
            "",
        )

    def has_answer(self, key: RequestKey) -> bool:
        """See interface.Store.has_answer."""
        return bool(
            self._transactions.read(
                lambda connection: self._statements.answers(connection, [key]), "stored answers"
            )
        )

    # ----------------------------------------------------------------- requests to clients

    def due_server_requests(
        self, now_ns: int, limit: int, after: tuple[int, int] = (0, 0)
    ) -> list[ServerRequest]:
        """See interface.Store.due_server_requests."""
        return self._transactions.read(
            lambda connection: server_requests.due(connection, now_ns, limit, after), ""
        )

    def update_server_request(
        self, request: ServerRequest, spread: Sequence[ServerRequest] = ()
    ) -> bool:
        """See interface.Store.update_server_request."""
        written = self._transactions.run(
            lambda connection, _attempt: server_requests.write(connection, request, spread),
            "request to a client",
        )
        request.version += written
        return written

    def update_server_requests(self, requests: Sequence[ServerRequest]) -> list[bool]:
        """See interface.Store.update_server_requests."""
        if not requests:
            return []
        written = self._transactions.run(
            lambda connection, _attempt: server_requests.write_all(connection, requests),
            "requests to clients",
        )
        for request, was_written in zip(requests, written, strict=True):
            request.version += was_written
        return written

    def server_request_target(
        self, account_id: int, session_key: bytes
    ) -> tuple[Account, Session | None] | None:
        """See interface.Store.server_request_target."""
        return self._transactions.read(
            lambda connection: server_requests.target(connection, account_id, session_key), ""
        )

    def open_sessions_of(
        self, account_id: int, after: tuple[int, bytes], limit: int
    ) -> OpenSessions:
        """See interface.Store.open_sessions_of."""
        return self._transactions.read(
            lambda connection: server_requests.open_sessions(connection, account_id, after, limit),
            "",
        )

    def waiting_server_requests(
        self, names: Sequence[tuple[int, bytes]]
    ) -> set[tuple[bytes, int]]:
        """See interface.Store.waiting_server_requests."""
        return self._transactions.read(
            lambda connection: server_requests.waiting(connection, names), ""
        )

    def wake_server_requests(self, host: str, now_ns: int, limit: int) -> int:
        """See interface.Store.wake_server_requests."""
        return self._transactions.run(
            lambda connection, _attempt: server_requests.wake(connection, host, now_ns, limit),
            "requests to a client that is back",
        )

    # ----------------------------------------------------------------- what operators provide

    def publish_catalogue(
        self, source: str, name: str, action: OperatorAction,
        requests: Sequence[ServerRequest] = (), effective_ns: int = 0,
    ) -> int:
        """See interface.Store.publish_catalogue."""
        return self._transactions.run(
            lambda connection, _attempt: catalogues.publish(
                connection, source, name, action, requests, effective_ns
            ),
            "publishing a catalogue",
        )

    def withdraw_catalogue(self, version: int, action: OperatorAction) -> bool:
        """See interface.Store.withdraw_catalogue."""
        return self._transactions.run(
            lambda connection, _attempt: catalogues.withdraw(connection, version, action),
            "withdrawing a catalogue",
        )

    def catalogue_schedule(self) -> Schedule:
        """See interface.Store.catalogue_schedule."""
        return self._transactions.read(catalogues.schedule, "")

    def catalogue(self, version: int) -> PublishedCatalogue | None:
        """See interface.Store.catalogue."""
        found = self._transactions.read(lambda one: catalogues.published(one, version), "")
        return found[0] if found else None

    def catalogues(self) -> list[PublishedCatalogue]:
        """See interface.Store.catalogues."""
        return self._transactions.read(catalogues.published, "")

    def peers(self) -> list[PeerEntry]:
        """See interface.Store.peers."""
        statement = select(schema.peer).order_by(_peer.origin_host)
        return [
            PeerEntry(host, profile, relay, _words(networks), comment, tls, _words(names), at)
            for host, profile, relay, networks, comment, tls, names, at in self._rows(statement)
        ]

    def allow_peer(self, peer: PeerEntry, action: OperatorAction) -> None:
        """See interface.Store.allow_peer."""

        def work(connection: Connection, _attempt: int) -> None:
            connection.execute(delete(schema.peer).where(_peer.origin_host == peer.origin_host))
            connection.execute(
                insert(schema.peer).values(
                    origin_host=peer.origin_host,
                    profile=peer.profile,
                    relay=peer.relay,
                    source_networks=" ".join(peer.source_networks),
                    comment=peer.comment,
                    require_tls=peer.require_tls,
                    tls_names=" ".join(peer.tls_names),
                    connect=peer.connect,
                )
            )
            cold.raise_generation(connection, "peers")
            cold.write_actions(connection, [action])

        self._transactions.run(work, "allowing a peer")

    def remove_peer(self, origin_host: str, action: OperatorAction) -> bool:
        """See interface.Store.remove_peer."""

        def work(connection: Connection, _attempt: int) -> bool:
            statement = delete(schema.peer).where(_peer.origin_host == origin_host)
            if connection.execute(statement).rowcount == 0:
                return False
            cold.raise_generation(connection, "peers")
            cold.write_actions(connection, [action])
            return True

        return self._transactions.run(work, "removing a peer")

    def note_clients(self, notes: Sequence[ClientNote]) -> None:
        """See interface.Store.note_clients."""
        if notes:
            self._transactions.run(
                lambda connection, _: client_notes.write(connection, notes), "notes about clients"
            )

    def clients(self) -> list[ClientNote]:
        """See interface.Store.clients."""
        return [ClientNote(*row) for row in self._rows(client_notes.SELECT_NOTES)]

    def record_action(self, action: OperatorAction) -> None:
        """See interface.Store.record_action."""

        def work(connection: Connection, _attempt: int) -> None:
            cold.write_actions(connection, [action])

        self._transactions.run(work, "recording an operator's action")

    # ----------------------------------------------------------------------------- the rest

    def client_state(self, origin_host: str, origin_state_id: int) -> int:
        """See interface.Store.client_state."""
        named = _client.origin_host == origin_host

        def work(connection: Connection, _attempt: int) -> int:
            statement = select(_client.origin_state_id).where(named).with_for_update()
            known: int | None = connection.execute(statement).scalar_one_or_none()
            value = {"origin_state_id": origin_state_id}
            if origin_state_id and known is None:
                connection.execute(
                    insert(schema.client_state).values(origin_host=origin_host, **value)
                )
            elif origin_state_id and known != origin_state_id:
                connection.execute(update(schema.client_state).where(named).values(value))
            return known or 0

        return self._transactions.run(work, "Origin-State-Id")

    def setting(self, name: str) -> str:
        """See interface.Store.setting."""
        rows = self._rows(select(_setting.value).where(_setting.name == name))
        return str(rows[0][0]) if rows else ""

    def own_state_id(self, now_s: int) -> int:
        """See interface.Store.own_state_id."""
        name = schema.SETTING_OWN_STATE_ID

        def work(connection: Connection, _attempt: int) -> int:
            statement = select(_setting.value).where(_setting.name == name)
            known: str | None = connection.execute(statement).scalar_one_or_none()
            if known is not None:
                return int(known)
            connection.execute(insert(schema.setting).values(name=name, value=str(now_s)))
            return now_s

        return self._transactions.run(work, "our Origin-State-Id")

    def check(self) -> None:
        """See interface.Store.check."""

        def work(connection: Connection) -> tuple[list[str], str | None]:
            return (
                dialects.durability_problems(connection),
                migrations.stored_version(connection),
            )

        problems, version = self._transactions.read(work, "")
        migrations.require_head(version)
        if problems and not self._allow_unsafe:
            raise StoreUnusableError(
                f"answers would be sent before they are safe: {', '.join(problems)}; "
                "switch it on in the database server"
            )

    def close(self) -> None:
        """See interface.Store.close."""
        if self._checkpointer is not None:
            self._checkpointer.stop()
        self._transactions.close()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())
