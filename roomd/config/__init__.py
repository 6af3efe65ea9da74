"""The configuration: every setting with its default, and how it is read, checked and documented.

`sections` declares the settings, `loading` reads them, `checks` refuses wrong ones, `origins` and `metrics` have the
forms of two kinds, `files` checks the files that are named, `documents` describes them. Import from this package, not
from its modules.
"""

from roomd.config.checks import SHORTEST_SECRET, SHORTEST_TURN_SECRET, check
from roomd.config.documents import Setting, default_config, section_doc, settings
from roomd.config.files import FileMissing, check_file, is_open_to_others, read_file, trusted_owners
from roomd.config.loading import load
from roomd.config.metrics import MetricsAddress, metrics_address
from roomd.config.sections import (
    AdminConfig,
    Algorithm,
    AuthConfig,
    Config,
    ConfigError,
    DatabaseConfig,
    IceConfig,
    LimitsConfig,
    LogLevel,
    MetricsConfig,
    RoomsConfig,
    ServerConfig,
    admin_socket,
    is_every_address,
    local_url,
)

__all__ = [
    "SHORTEST_SECRET",
    "SHORTEST_TURN_SECRET",
    "AdminConfig",
    "Algorithm",
    "AuthConfig",
    "Config",
    "ConfigError",
    "DatabaseConfig",
    "FileMissing",
    "IceConfig",
    "LimitsConfig",
    "LogLevel",
    "MetricsAddress",
    "MetricsConfig",
    "RoomsConfig",
    "ServerConfig",
    "Setting",
    "admin_socket",
    "check",
    "check_file",
    "default_config",
    "is_every_address",
    "is_open_to_others",
    "load",
    "local_url",
    "metrics_address",
    "read_file",
    "section_doc",
    "settings",
    "trusted_owners",
]
