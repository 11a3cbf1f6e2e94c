"""The settings of a server, read from a YAML file and the environment.

Used by app and the command line. A file may leave out whatever it likes; unknown keys, wrong
values and contradictions refuse it whole, each named with its file, line and column.
"""

import os
import re
from collections.abc import Mapping as AbstractMapping
from pathlib import Path

from ocs import yamldoc
from ocs.charging.model.decision import WITH_RESERVATIONS, WITHOUT_RESERVATIONS
from ocs.clock import NODE_MAX
from ocs.errors import DocumentError, Problem
from ocs.marked import Mapping, unknown_word
from ocs.profiles import AUTO, Profile, with_own
from ocs.settings.addresses import (
    call_address,
    diameter_identity,
    host_or_address,
    ip_address,
    network,
    read_listeners,
    unique,
)
from ocs.settings.overload import read_overload
from ocs.settings.profiles import (
    DEBIT_FAILURE_HANDLING,
    FAILOVER,
    FAILURE_HANDLING,
    read_profiles,
)
from ocs.settings.transport import read_sctp, read_tls
from ocs.settings.values import (
    ChargingSettings,
    DatabaseSettings,
    DiameterSettings,
    Listener,
    LoggingSettings,
    MetricsSettings,
    ProcessSettings,
    RetentionSettings,
    ServerRequestSettings,
    Settings,
)
from ocs.store.interface import PeerEntry

DATABASE_URL_VARIABLE = "OCS_DATABASE_URL"
"""The environment variable that goes before ``database.url``."""

_DAY = 86400
_DATABASE_URL = re.compile(r"(sqlite|postgresql|postgres)(\+[a-z0-9_]+)?://\S+")
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("console", "json")
_REMAINING: dict[str, int | None] = {
    "none": None,
    "with-reservations": WITH_RESERVATIONS,
    "without-reservations": WITHOUT_RESERVATIONS,
}
"""What counts as Remaining-Balance (TS 32.299 7.2.172)."""


def load_settings(
    path: Path | None, environment: AbstractMapping[str, str] | None = None
) -> Settings:
    """Return the settings of a file, or the defaults without one, on top of which the environment
    (the process's own unless given) may name another database.

    Raises DocumentError with every mistake.
    """
    settings = Settings() if path is None else parse_settings(yamldoc.read_text(path), str(path))
    variables = os.environ if environment is None else environment
    url = variables.get(DATABASE_URL_VARIABLE, "")
    if not url:
        return settings
    try:
        return settings.with_database(_database_url(url))
    except ValueError as error:
        raise DocumentError((Problem(str(error), DATABASE_URL_VARIABLE),)) from error


def parse_settings(text: str, source: str) -> Settings:
    """Return the settings in a YAML text. Raises DocumentError with every mistake."""
    document = yamldoc.parse(text, source)
    root = document.root
    settings = Settings(
        diameter=_read_diameter(root.mapping("diameter")),
        database=_read_database(root.mapping("database")),
        charging=_read_charging(root.mapping("charging")),
        overload=read_overload(root.mapping("overload")),
        server_requests=_read_server_requests(root.mapping("server_requests")),
        logging=_read_logging(root.mapping("logging")),
        metrics=_read_metrics(root.mapping("metrics")),
        retention=_read_retention(root.mapping("retention")),
        process=_read_process(root.mapping("process")),
    )
    root.finish()
    metrics = settings.metrics
    address = Listener(metrics.host, metrics.port)
    if metrics.enabled and metrics.port and address in settings.listeners:
        root.mapping("metrics").title.problem("metrics and Diameter cannot share an address")
    _check_listeners(root.mapping("diameter"), settings)
    document.check()
    return settings


def _check_listeners(group: Mapping, settings: Settings) -> None:
    diameter = settings.diameter
    if not settings.hosts and not group.sequence("listen"):
        advice = "give one, or the three files of diameter.tls"
        group.keys["listen"].problem(f"there is no address to listen on: {advice}")
    if diameter.tls.is_on:
        for listener in diameter.tls.listen:
            if listener.port and listener in diameter.listen:
                group.mapping("tls").title.problem(f"{listener} cannot be secured and in clear")
    elif any(peer.require_tls for peer in diameter.peers):
        group.keys["peers"].problem("a peer must use TLS, but diameter.tls has no certificate")


def _read_diameter(group: Mapping) -> DiameterSettings:
    known = DiameterSettings()
    profiles = read_profiles(group)
    names = _profile_names(profiles)
    positive = _Bounded(group)
    own_name = group.scalar("origin_host")
    own_host = known.origin_host if own_name is None else own_name.text
    settings = DiameterSettings(
        listen=read_listeners(group, known.listen),
        tls=read_tls(group.mapping("tls")),
        sctp=read_sctp(group.mapping("sctp")),
        origin_host=group.parsed("origin_host", diameter_identity, known.origin_host),
        origin_realm=group.parsed("origin_realm", diameter_identity, known.origin_realm),
        realms=unique(group, "realms", diameter_identity),
        host_ip_addresses=unique(group, "host_ip_addresses", ip_address),
        product_name=group.parsed("product_name", _product_name, known.product_name),
        announce_3gpp_application=group.boolean(
            "announce_3gpp_application", known.announce_3gpp_application
        ),
        watchdog_seconds=positive("watchdog_seconds", known.watchdog_seconds, 3600, 6),
        reconnect_seconds=positive("reconnect_seconds", known.reconnect_seconds, 3600),
        reconnect_after_refusal_seconds=positive(
            "reconnect_after_refusal_seconds", known.reconnect_after_refusal_seconds, _DAY
        ),
        cer_timeout_seconds=positive("cer_timeout_seconds", known.cer_timeout_seconds, 300),
        drain_timeout_seconds=positive("drain_timeout_seconds", known.drain_timeout_seconds, 300),
        dpa_timeout_seconds=positive("dpa_timeout_seconds", known.dpa_timeout_seconds, 300),
        max_message_octets=positive(
            "max_message_octets", known.max_message_octets, (1 << 24) - 4, 4096
        ),
        max_avps=positive("max_avps", known.max_avps, 1_000_000, 64),
        max_depth=positive("max_depth", known.max_depth, 64, 6),
        max_connections=positive("max_connections", known.max_connections, 65_536),
        max_unanswered_requests=positive(
            "max_unanswered_requests", known.max_unanswered_requests, 1_000_000
        ),
        max_output_octets=positive("max_output_octets", known.max_output_octets, 1 << 30, 1 << 16),
        accept_unknown_peers=group.boolean("accept_unknown_peers", known.accept_unknown_peers),
        unknown_peer_profile=group.choice(
            "unknown_peer_profile", names, known.unknown_peer_profile
        ),
        refuse_silently=group.boolean("refuse_silently", known.refuse_silently),
        profiles=profiles,
        peers=_read_peers(group, names, own_host),
    )
    group.finish()
    return settings


def _read_connect(entry: Mapping, own_host: str) -> str:
    address = entry.parsed("connect", call_address, "")
    named = entry.scalar("origin_host")
    if address and named is not None and named.text.lower() == own_host.lower():
        named.problem(f"'{named.text}' is the name of this server, which cannot call itself")
    return address


def _read_peers(
    group: Mapping, profiles: dict[str, str], own_host: str
) -> tuple[PeerEntry, ...]:
    peers: list[PeerEntry] = []
    lines: dict[str, int] = {}
    for entry in group.mappings("peers"):
        host = entry.parsed("origin_host", diameter_identity, "", required=True).lower()
        first = lines.setdefault(host, entry.line)
        if host and first != entry.line:
            entry.entries["origin_host"].problem(
                f"peer {host} is given twice; the first is in line {first}"
            )
        peers.append(
            PeerEntry(
                origin_host=host,
                profile=entry.choice("profile", profiles, AUTO),
                relay=entry.boolean("relay", default=False),
                source_networks=unique(entry, "source_networks", network),
                comment=entry.text("comment", ""),
                connect=_read_connect(entry, own_host),
                require_tls=entry.boolean("require_tls", default=False),
                tls_names=unique(entry, "tls_names", diameter_identity),
            )
        )
        entry.finish()
    return tuple(peers)


def _read_database(group: Mapping) -> DatabaseSettings:
    known = DatabaseSettings()
    settings = DatabaseSettings(
        url=group.parsed("url", _database_url, known.url),
        connections=_Bounded(group)("connections", known.connections, 100),
        allow_unsafe=group.boolean("allow_unsafe", known.allow_unsafe),
    )
    group.finish()
    return settings


def _read_charging(group: Mapping) -> ChargingSettings:
    known = ChargingSettings()
    positive = _Bounded(group)
    settings = ChargingSettings(
        tcc_default_seconds=positive("tcc_default_seconds", known.tcc_default_seconds, 7 * _DAY),
        tombstone_seconds=positive("tombstone_seconds", known.tombstone_seconds, _DAY),
        straddling_usage_before=group.boolean(
            "straddling_usage_before", known.straddling_usage_before
        ),
        answer_within_ms=positive("answer_within_ms", known.answer_within_ms, 10_000, 100),
        identity_priority=_read_priority(group, known.identity_priority),
        default_country_code=group.parsed("default_country_code", _country_code, ""),
        low_balance_indication=group.boolean(
            "low_balance_indication", known.low_balance_indication
        ),
        remaining_balance=group.choice(
            "remaining_balance", _REMAINING, known.remaining_balance
        ),
        cc_session_failover=_optional(group, "cc_session_failover", FAILOVER),
        credit_control_failure_handling=_optional(
            group, "credit_control_failure_handling", FAILURE_HANDLING
        ),
        direct_debiting_failure_handling=_optional(
            group, "direct_debiting_failure_handling", DEBIT_FAILURE_HANDLING
        ),
        max_batch_requests=positive("max_batch_requests", known.max_batch_requests, 10_000),
        max_queued_requests=positive("max_queued_requests", known.max_queued_requests, 1_000_000),
    )
    if settings.max_batch_requests > settings.max_queued_requests:
        (group.get("max_batch_requests") or group.title).problem(
            f"max_batch_requests is {settings.max_batch_requests}, more than "
            f"max_queued_requests, which is {settings.max_queued_requests}"
        )
    group.finish()
    return settings


def _read_priority(group: Mapping, default: tuple[str, ...]) -> tuple[str, ...]:
    if not group.has("identity_priority"):
        return default
    kinds: list[str] = []
    for scalar in group.scalars("identity_priority"):
        if scalar.text not in default:
            scalar.problem(unknown_word(scalar.text, "no kind of identity", set(default)))
        elif scalar.text in kinds:
            scalar.problem(f"{scalar.describe()} is given twice")
        else:
            kinds.append(scalar.text)
    return tuple(kinds)


def _read_server_requests(group: Mapping) -> ServerRequestSettings:
    known = ServerRequestSettings()
    positive = _Bounded(group)
    settings = ServerRequestSettings(
        answer_timeout_seconds=positive("answer_timeout_seconds", known.answer_timeout_seconds, 60),
        max_in_flight=positive("max_in_flight", known.max_in_flight, 10_000),
        max_in_flight_per_peer=positive(
            "max_in_flight_per_peer", known.max_in_flight_per_peer, 10_000
        ),
        catalogue_sessions_per_second=positive(
            "catalogue_sessions_per_second", known.catalogue_sessions_per_second, 10_000
        ),
    )
    group.finish()
    return settings


def _read_logging(group: Mapping) -> LoggingSettings:
    known = LoggingSettings()
    settings = LoggingSettings(
        level=group.choice("level", {level: level for level in _LEVELS}, known.level),
        format=group.choice("format", {form: form for form in _FORMATS}, known.format),
        mask_identities=group.boolean("mask_identities", known.mask_identities),
        max_lines_per_minute=_Bounded(group)(
            "max_lines_per_minute", known.max_lines_per_minute, 1_000_000
        ),
    )
    group.finish()
    return settings


def _read_metrics(group: Mapping) -> MetricsSettings:
    known = MetricsSettings()
    settings = MetricsSettings(
        enabled=group.boolean("enabled", known.enabled),
        host=group.parsed("host", host_or_address, known.host),
        port=group.integer("port", known.port, minimum=0, maximum=65_535),
    )
    group.finish()
    return settings


def _read_retention(group: Mapping) -> RetentionSettings:
    known = RetentionSettings()
    positive = _Bounded(group)
    settings = RetentionSettings(
        # Two days: buffered events may arrive a day late and need their stored answers (D21).
        records_days=positive("records_days", known.records_days, 36_500, 2),
        sessions_days=positive("sessions_days", known.sessions_days, 36_500),
        notifications_days=positive("notifications_days", known.notifications_days, 36_500),
        vouchers_days=positive("vouchers_days", known.vouchers_days, 36_500),
    )
    group.finish()
    return settings


def _read_process(group: Mapping) -> ProcessSettings:
    known = ProcessSettings()
    settings = ProcessSettings(node=group.integer("node", known.node, minimum=0, maximum=NODE_MAX))
    group.finish()
    return settings


class _Bounded:
    """Reads whole numbers of one group between a minimum, 1 unless given, and a maximum."""

    def __init__(self, group: Mapping) -> None:
        self._group = group

    def __call__(self, key: str, default: int, maximum: int, minimum: int = 1) -> int:
        return self._group.integer(key, default, minimum=minimum, maximum=maximum)


def _profile_names(own: tuple[Profile, ...]) -> dict[str, str]:
    return {name: name for name in (AUTO, *with_own(own))}


def _optional(group: Mapping, key: str, choices: dict[str, int]) -> int | None:
    return group.choice(key, choices) if group.has(key) else None


def _product_name(text: str) -> str:
    if not text or len(text.encode()) > 255:
        raise ValueError("a product name has 1 to 255 octets")
    return text


def _country_code(text: str) -> str:
    if not re.fullmatch(r"\+?[1-9][0-9]{0,3}", text):
        raise ValueError(f"'{text}' is no country code such as 34")
    return text.removeprefix("+")


def _database_url(text: str) -> str:
    # The text may hold a password, so it is in no message.
    if not _DATABASE_URL.fullmatch(text):
        raise ValueError(
            "is no database URL such as sqlite:///ocs.db or postgresql://user@host/name"
        )
    return text
