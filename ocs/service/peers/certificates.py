"""The server's own certificate: loaded, watched and renewed without a restart (RFC 6733 2.2).

Built by ``application`` when TLS is on; ``protocol.transport_tls`` asks it for the context of each
connection. Files that cannot be used never replace what is in use.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL

from ocs.clock import NS_PER_SECOND, Clock
from ocs.errors import FaultError
from ocs.service.batches.worker import DelayedCall, Loop
from ocs.service.watching.metrics import Metrics
from ocs.settings.values import DiameterSettings, TlsSettings
from protocol.tls import CIPHERS, Credentials, CredentialsError, TlsFiles, load

WARNING_PAUSE_NS = 86_400 * NS_PER_SECOND
"""Between two warnings that the certificate expires."""
_SECTION = "diameter.tls"

_log = structlog.get_logger(__name__)

Looks = tuple[tuple[int, int, int] | None, ...]
"""What the files look like from outside: changed, size, inode of each; None where it is absent."""


def tls_files(settings: TlsSettings) -> TlsFiles:
    """Return what the settings name."""
    return TlsFiles(
        Path(settings.certificate),
        Path(settings.private_key),
        Path(settings.trusted),
        "1.3" if settings.minimum_version == "1.3" else "1.2",
        settings.ciphers or CIPHERS,
    )


def check_files(settings: TlsSettings) -> Credentials:
    """Load what the settings name. Raises FaultError that says which setting to mend, and how."""
    try:
        return load(tls_files(settings))
    except CredentialsError as error:
        raise FaultError(f"{_SECTION}.{error.kind}: {error}") from error


def describe_certificate(diameter: DiameterSettings, now_ns: int) -> dict[str, Any]:
    """Return what the files hold, for people who check them before they start a server.

    Raises FaultError where they could not be used.
    """
    found, now = check_files(diameter.tls), _instant(now_ns)
    return {
        "subject": found.subject,
        "names": list(found.certificate.names),
        "expires": found.valid_until.isoformat(),
        "days_left": int(found.days_left(now)),
        "complaints": complaints(found, diameter.origin_host, now, diameter.tls.warn_days),
    }


def complaints(
    credentials: Credentials, origin_host: str, now: datetime, warn_days: int
) -> list[str]:
    """Return what peers will not believe, now or soon, in words for the log."""
    found = list(credentials.weaknesses)
    if not credentials.certificate.is_for(origin_host):
        names = ", ".join(credentials.certificate.names) or "nobody"
        found.append(f"our certificate is for {names}, but our origin_host is {origin_host}")
    expiry = expiry_words(credentials, now, warn_days)
    return [*found, expiry] if expiry else found


def expiry_words(credentials: Credentials, now: datetime, warn_days: int) -> str:
    """Return that our certificate expires soon or does not hold; empty while all is well."""
    until = credentials.valid_until.strftime("%Y-%m-%d %H:%M UTC")
    if now < credentials.valid_from:
        begin = credentials.valid_from.strftime("%Y-%m-%d %H:%M UTC")
        return f"our certificate is not valid before {begin}: peers will not believe it"
    if now > credentials.valid_until:
        return f"our certificate has expired on {until}: peers do not believe it any more"
    days = int(credentials.days_left(now))
    return f"our certificate expires in {days} days, on {until}" if days < warn_days else ""


class CertificateKeeper:
    """What connections are secured with, as new as the files; on the reactor's thread only."""

    def __init__(
        self, loop: Loop, clock: Clock, diameter: DiameterSettings, metrics: Metrics
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._settings = diameter.tls
        self._origin_host = diameter.origin_host
        self._call: DelayedCall | None = None
        self._warned_ns = 0
        self._failed = False
        self._tried = self._changing = self._looks()
        self._credentials = check_files(diameter.tls)
        metrics.gauge(
            "ocs_tls_certificate_days_left",
            "Days until our certificate expires; negative afterwards.",
            lambda: self._credentials.days_left(self._now()),
        )
        metrics.gauge(
            "ocs_tls_reload_failed",
            "1 while the files hold something that could not be used.",
            lambda: float(self._failed),
        )

    def context(self) -> SSL.Context:
        """Return what the next connection is secured with."""
        return self._credentials.context

    def start(self) -> None:
        """Say what is in use, and begin to look after it."""
        self._say("certificate in use")
        self._call = self._loop.callLater(self._settings.look_seconds, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def reload(self) -> bool:
        """Take what the files hold now; False if it cannot be used, and then nothing changes."""
        self._tried = self._changing = self._looks()
        try:
            fresh = check_files(self._settings)
            if self._credentials.holds(self._now()) and not fresh.holds(self._now()):
                words = expiry_words(fresh, self._now(), 0)
                raise FaultError(f"{_SECTION}.certificate: {words}")
        except FaultError as error:
            self._failed = True
            _log.error("certificate not changed; the one before stays in use", reason=str(error))
            return False
        self._failed = False
        self._credentials = fresh
        self._say("certificate changed; it holds for new connections")
        return True

    def _say(self, event: str) -> None:
        credentials, now = self._credentials, self._now()
        _log.info(
            event,
            subject=credentials.subject,
            names=list(credentials.certificate.names),
            expires=credentials.valid_until.isoformat(),
            days_left=int(credentials.days_left(now)),
        )
        for words in complaints(credentials, self._origin_host, now, self._settings.warn_days):
            _log.warning(words)
        self._warned_ns = self._clock.now_ns()

    def _look(self) -> None:
        self._call = self._loop.callLater(self._settings.look_seconds, self._look)
        looks = self._looks()
        if looks == self._tried:
            self._changing = looks
        elif looks == self._changing:
            self.reload()
        else:
            # Somebody may still be writing: they are read when they have stayed the same.
            self._changing = looks
        if self._clock.now_ns() - self._warned_ns >= WARNING_PAUSE_NS:
            self._warned_ns = self._clock.now_ns()
            words = expiry_words(self._credentials, self._now(), self._settings.warn_days)
            if words:
                _log.warning(words)

    def _looks(self) -> Looks:
        found: list[tuple[int, int, int] | None] = []
        for path in tls_files(self._settings).paths:
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _now(self) -> datetime:
        return _instant(self._clock.now_ns())


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // NS_PER_SECOND, UTC)
