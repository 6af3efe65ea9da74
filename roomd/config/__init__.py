"""The configuration: every setting with its default, and how it is read, checked and documented.

`sections` declares the settings, `loading` reads them, `checks` refuses wrong ones, `origins` and `listening` have the
forms of two kinds, `files` checks the files that are named, `documents` describes them. Import from this package, not
from its modules.
"""

from roomd.config.ages import seconds_in, seconds_or_never
from roomd.config.checks import SHORTEST_SECRET, SHORTEST_TURN_SECRET, check
from roomd.config.cluster import ClusterConfig
from roomd.config.databases import absolute_name, check_url_files, database_name
from roomd.config.documents import Setting, changed_settings, default_config, section_doc, settings
from roomd.config.files import (
    FileMissing,
    check_file,
    is_open_to_others,
    local_secret_file,
    read_file,
    trusted_owners,
)
from roomd.config.listening import (
    ListenAddress,
    TcpAddress,
    UnixAddress,
    is_every_address,
    listen_addresses,
    local_url,
    metrics_address,
    url_of,
)
from roomd.config.loading import load
from roomd.config.retention import RetentionConfig
from roomd.config.sections import (
    AdminConfig,
    Algorithm,
    AuthConfig,
    Config,
    ConfigError,
    DatabaseConfig,
    EventsConfig,
    IceConfig,
    LimitsConfig,
    LogLevel,
    MetricsConfig,
    RoomsConfig,
    ServerConfig,
    admin_socket,
)
from roomd.config.webhooks import WebhookEndpoint, WebhooksConfig

__all__ = [
    "SHORTEST_SECRET",
    "SHORTEST_TURN_SECRET",
    "AdminConfig",
    "Algorithm",
    "AuthConfig",
    "ClusterConfig",
    "Config",
    "ConfigError",
    "DatabaseConfig",
    "EventsConfig",
    "FileMissing",
    "IceConfig",
    "LimitsConfig",
    "ListenAddress",
    "LogLevel",
    "MetricsConfig",
    "RetentionConfig",
    "RoomsConfig",
    "ServerConfig",
    "Setting",
    "TcpAddress",
    "UnixAddress",
    "WebhookEndpoint",
    "WebhooksConfig",
    "absolute_name",
    "admin_socket",
    "changed_settings",
    "check",
    "check_file",
    "check_url_files",
    "database_name",
    "default_config",
    "is_every_address",
    "is_open_to_others",
    "listen_addresses",
    "load",
    "local_secret_file",
    "local_url",
    "metrics_address",
    "read_file",
    "seconds_in",
    "seconds_or_never",
    "section_doc",
    "settings",
    "trusted_owners",
    "url_of",
]
