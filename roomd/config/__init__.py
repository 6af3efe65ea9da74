"""The configuration: every setting with its default, and how it is read, checked and documented.

`sections` declares the settings, `loading` reads them, `checks` refuses wrong ones, `origins` has the form of one kind,
`documents` describes them. Import from this package, not from its modules.
"""

from roomd.config.checks import SHORTEST_SECRET, SHORTEST_TURN_SECRET, check
from roomd.config.documents import Setting, default_config, section_doc, settings
from roomd.config.loading import load
from roomd.config.sections import (
    Algorithm,
    AuthConfig,
    Config,
    ConfigError,
    DatabaseConfig,
    IceConfig,
    LimitsConfig,
    RoomsConfig,
    ServerConfig,
    is_every_address,
    local_url,
)

__all__ = [
    "SHORTEST_SECRET",
    "SHORTEST_TURN_SECRET",
    "Algorithm",
    "AuthConfig",
    "Config",
    "ConfigError",
    "DatabaseConfig",
    "IceConfig",
    "LimitsConfig",
    "RoomsConfig",
    "ServerConfig",
    "Setting",
    "check",
    "default_config",
    "is_every_address",
    "load",
    "local_url",
    "section_doc",
    "settings",
]
