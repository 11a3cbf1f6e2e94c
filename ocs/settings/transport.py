"""How peers may connect besides TCP in clear, read from the settings: TLS and SCTP.

Called by ``reading`` for ``diameter.tls`` and ``diameter.sctp``. The files of TLS are looked at by
whoever loads them, because they may change while the settings stay.
"""

from ocs.marked import Mapping
from ocs.settings.addresses import parse_endpoint, read_listeners
from ocs.settings.values import Endpoint, SctpSettings, TlsSettings

_FILES = ("certificate", "private_key", "trusted")


def read_tls(group: Mapping) -> TlsSettings:
    """Return the settings of TLS, which is on when its three files are given."""
    known = TlsSettings()
    given = [key for key in _FILES if group.has(key)]
    if given:
        for key in _FILES:
            if key not in given:
                group.missing(key, f"TLS needs it as well as {given[0]}")
    settings = TlsSettings(
        listen=read_listeners(group, known.listen),
        certificate=group.text("certificate", ""),
        private_key=group.text("private_key", ""),
        trusted=group.text("trusted", ""),
        minimum_version=group.choice(
            "minimum_version", {"1.2": "1.2", "1.3": "1.3"}, known.minimum_version
        ),
        ciphers=group.text("ciphers", ""),
        warn_days=group.integer("warn_days", known.warn_days, minimum=1, maximum=3650),
        look_seconds=group.integer("look_seconds", known.look_seconds, minimum=1, maximum=3600),
    )
    group.finish()
    return settings


def read_sctp(group: Mapping) -> SctpSettings:
    """Return the settings of SCTP, which is on when there is an address."""
    found: list[Endpoint] = []
    for scalar in group.scalars("listen"):
        endpoint = scalar.parsed(parse_endpoint, None)
        if endpoint is not None:
            found.append(endpoint)
    group.finish()
    return SctpSettings(tuple(found))
