"""The settings of a server: a YAML file and the environment, checked whole, as values.

`reading` does it, the other modules hold a section or a kind of value each; this is where the rest
of the server takes them from.
"""

from ocs.settings.reading import DATABASE_URL_VARIABLE, load_settings, parse_settings
from ocs.settings.values import (
    ChargingSettings,
    DatabaseSettings,
    DiameterSettings,
    Listener,
    LoggingSettings,
    MetricsSettings,
    ProcessSettings,
    RetentionSettings,
    SctpSettings,
    ServerRequestSettings,
    Settings,
    TlsSettings,
    mask_url,
)

__all__ = [
    "DATABASE_URL_VARIABLE",
    "ChargingSettings",
    "DatabaseSettings",
    "DiameterSettings",
    "Listener",
    "LoggingSettings",
    "MetricsSettings",
    "ProcessSettings",
    "RetentionSettings",
    "SctpSettings",
    "ServerRequestSettings",
    "Settings",
    "TlsSettings",
    "load_settings",
    "mask_url",
    "parse_settings",
]
