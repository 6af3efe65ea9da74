"""What every table of the configuration file has."""

from typing import Literal

import msgspec
from msgspec import Meta

Reload = Literal["at once", "new connections", "restart"]
"""When a changed setting takes effect at a reload: at once, for connections that come after it, or not at all."""
RESTART = Meta(extra={"reload": "restart"})
"""Marks a setting that takes effect only at a start. A reload that finds it changed is refused."""
NEW_CONNECTIONS = Meta(extra={"reload": "new connections"})
"""Marks a setting that a connection keeps as it was when the connection began."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration file."""
