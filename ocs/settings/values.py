"""The settings of a server as values: every section and key with its default.

Read from a file by ``reading``; ``config/ocs.yaml`` explains every key.
"""

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocs.profiles import AUTO, Profile
from ocs.store.interface import PeerEntry

_SECRET_OPTION = re.compile(r"([?&](?:password|sslpassword)=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to listen on; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Several addresses of this machine with one port, to listen on with SCTP."""

    hosts: tuple[str, ...]
    port: int

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]" if ":" in host else host for host in self.hosts)
        return f"{hosts}:{self.port}"


@dataclass(frozen=True, slots=True)
class SctpSettings:
    """Connections in clear that come to several addresses; off without any."""

    listen: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Connections that are secured from the first octet; off without a certificate."""

    listen: tuple[Listener, ...] = (Listener("127.0.0.1", 5868), Listener("::1", 5868))
    certificate: str = ""
    """PEM file, as the next two: ours, then those between it and its authority."""
    private_key: str = ""
    trusted: str = ""
    """Authorities whose certificates peers may show."""
    minimum_version: str = "1.2"
    ciphers: str = ""
    """OpenSSL's list for TLS 1.2; empty leaves the choice to ``protocol.tls``."""
    warn_days: int = 30
    look_seconds: int = 10
    """How often to look whether the files have changed."""

    @property
    def is_on(self) -> bool:
        """Whether TLS is spoken at all."""
        return bool(self.certificate)


@dataclass(frozen=True, slots=True)
class DiameterSettings:
    """Who we are, where we listen, whom we know, and what a peer may cost."""

    listen: tuple[Listener, ...] = (Listener("127.0.0.1", 3868), Listener("::1", 3868))
    """In clear; none at all when every peer uses TLS."""
    tls: TlsSettings = TlsSettings()
    sctp: SctpSettings = SctpSettings()
    origin_host: str = "ocs1.ocs.example"
    origin_realm: str = "ocs.example"
    realms: tuple[str, ...] = ()
    """Realms served besides ``origin_realm``."""
    host_ip_addresses: tuple[str, ...] = ()
    """Announced in the CEA; empty means the local address of each connection."""
    product_name: str = "Gyro OCS"
    announce_3gpp_application: bool = True
    """Say Vendor-Specific-Application-Id besides Auth-Application-Id (B-041)."""
    watchdog_seconds: int = 30
    reconnect_seconds: int = 30
    """Between two calls of a peer that is to be called (Tc)."""
    reconnect_after_refusal_seconds: int = 300
    """The same after it said that it is busy or does not want to talk to us."""
    cer_timeout_seconds: int = 10
    drain_timeout_seconds: int = 3
    """How long a disconnect waits for requests in flight."""
    dpa_timeout_seconds: int = 5
    max_message_octets: int = 1 << 20
    max_avps: int = 4096
    max_depth: int = 16
    max_connections: int = 1024
    max_unanswered_requests: int = 1024
    """Of one connection; above this it is not read any further until some are answered."""
    max_output_octets: int = 4 << 20
    """What a peer may leave unread before it is disconnected."""
    accept_unknown_peers: bool = False
    unknown_peer_profile: str = AUTO
    refuse_silently: bool = False
    profiles: tuple[Profile, ...] = ()
    """An operator's own, besides those of ``ocs.profiles``."""
    peers: tuple[PeerEntry, ...] = ()
    """Allowed besides those that ``ocs peer allow`` puts into the database."""


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where everything is kept. ``url`` may hold a password: it is in no repr."""

    url: str = field(default="sqlite:///ocs.db", repr=False)
    connections: int = 4
    allow_unsafe: bool = False
    """Accept a PostgreSQL that may lose what it has committed; for tests."""

    @property
    def shown_url(self) -> str:
        """The URL as it may be printed."""
        return mask_url(self.url)


@dataclass(frozen=True, slots=True)
class ChargingSettings:
    """How requests are decided."""

    tcc_default_seconds: int = 7200
    """Supervision of a session that was granted no Validity-Time (RFC 8506 13, D02)."""
    tombstone_seconds: int = 600
    """How long a closed session still takes late usage (D11)."""
    straddling_usage_before: bool = True
    """Usage that straddles a tariff switch belongs to the tariff before it (D06)."""
    answer_within_ms: int = 2000
    """Older requests are not decided any more, where the client's profile says nothing (D20)."""
    identity_priority: tuple[str, ...] = ("msisdn", "imsi", "sip", "nai", "private")
    """Which identity decides when two of a request belong to different accounts."""
    default_country_code: str = ""
    """Put before called numbers in national format, instead of their leading 0; empty = as is."""
    low_balance_indication: bool = False
    """Say Low-Balance-Indication when a balance is below the plan's mark (G-010)."""
    remaining_balance: int | None = None
    """What is said as Remaining-Balance, as in charging.model.decision.DecisionPolicy (G-010)."""
    cc_session_failover: int | None = None
    credit_control_failure_handling: int | None = None
    direct_debiting_failure_handling: int | None = None
    max_batch_requests: int = 256
    """Decided in one transaction."""
    max_queued_requests: int = 20_000
    """Waiting requests beyond this are answered TOO_BUSY."""


@dataclass(frozen=True, slots=True)
class OverloadSettings:
    """What peers and strangers may cost, so that they cannot harm the others."""

    max_cer_octets: int = 65_536
    """Of any message before the peer is identified."""
    max_connections_per_address: int = 256
    max_unidentified_connections: int = 256
    max_new_connections_per_second: int = 1000
    max_new_connections_per_address: int = 100
    """Per second."""
    max_unanswered_octets: int = 8 << 20
    """Of one connection, as ``diameter.max_unanswered_requests``."""
    max_fruitless_messages_per_second: int = 500
    """Of one connection; beyond them it is not read until the second is over."""
    max_messages_per_turn: int = 128
    """Of one connection, before the others have their turn."""


@dataclass(frozen=True, slots=True)
class ServerRequestSettings:
    """How clients are asked to report or to end a session, by RAR and ASR (RFC 8506 5.5)."""

    answer_timeout_seconds: int = 10
    """After this another way to the client is tried."""
    max_in_flight: int = 1000
    max_in_flight_per_peer: int = 100
    """Requests of ours that wait for an answer."""
    catalogue_sessions_per_second: int = 100
    """Sessions asked because of a new catalogue, which concerns nearly all."""


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """What is logged and how."""

    level: str = "info"
    format: str = "console"
    mask_identities: bool = True
    max_lines_per_minute: int = 300
    """Of each kind; ``debug`` is not limited."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The port of Prometheus metrics and of the liveness and readiness checks."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 9868


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """What ``ocs db prune`` leaves; days."""

    records_days: int = 365
    """Charging records with their movements."""
    sessions_days: int = 30
    """Closed sessions."""
    notifications_days: int = 90
    """Notifications, told or not."""
    vouchers_days: int = 365
    """Vouchers since they were redeemed, made void or expired."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What tells this process from others on the same database."""

    node: int = 0
    """Part of every id that this server makes: no two servers of a database may share it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    diameter: DiameterSettings = DiameterSettings()
    database: DatabaseSettings = DatabaseSettings()
    charging: ChargingSettings = ChargingSettings()
    server_requests: ServerRequestSettings = ServerRequestSettings()
    overload: OverloadSettings = OverloadSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    retention: RetentionSettings = RetentionSettings()
    process: ProcessSettings = ProcessSettings()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Every address where Diameter is listened for on TCP."""
        tls = self.diameter.tls
        return self.diameter.listen + (tls.listen if tls.is_on else ())

    @property
    def hosts(self) -> frozenset[str]:
        """Every address of this machine, or name of it, at which peers may call."""
        several = (host for endpoint in self.diameter.sctp.listen for host in endpoint.hosts)
        return frozenset((*(listener.host for listener in self.listeners), *several))

    def with_database(self, url: str) -> "Settings":
        """Return the same settings on another database."""
        return replace(self, database=replace(self.database, url=url))

    def describe(self) -> dict[str, Any]:
        """Return all settings by section and key, for printing; passwords are masked."""
        described = asdict(self)
        diameter = described["diameter"]
        diameter["listen"] = [str(listener) for listener in self.diameter.listen]
        diameter["tls"]["listen"] = [str(listener) for listener in self.diameter.tls.listen]
        diameter["sctp"]["listen"] = [str(endpoint) for endpoint in self.diameter.sctp.listen]
        described["database"]["url"] = self.database.shown_url
        return described


def mask_url(url: str) -> str:
    """Return a database URL with its password hidden."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if at and colon:
        rest = f"{user}:***@{place}"
    return _SECRET_OPTION.sub(r"\1***", f"{scheme}{separator}{rest}")
