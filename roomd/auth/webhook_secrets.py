"""The secrets that sign webhooks, from files."""

import base64
import binascii
from pathlib import Path

from roomd.auth.secret_files import read_private
from roomd.config import ConfigError, WebhooksConfig

PREFIX = b"whsec_"
"""What a secret begins with (Standard Webhooks, "Signature scheme")."""
SHORTEST, LONGEST = 24, 64
"""The bytes of a secret (the same)."""
_HOW_TO_MAKE_ONE = 'make one with `echo "whsec_$(openssl rand -base64 32)"`'


def webhook_secrets(webhooks: WebhooksConfig, database: Path) -> dict[str, tuple[bytes, ...]]:
    """Return the secrets of each endpoint, by its name. The file of `database` says whose files are trusted.

    Raises `ConfigError` that names the endpoint, the file and what to do.
    """
    return {
        name: tuple(
            _secret(*read_private(Path(file), f"webhooks.endpoints.{name}.secret_files", database))
            for file in endpoint.secret_files
        )
        for name, endpoint in webhooks.endpoints.items()
    }


def _secret(content: bytes, source: str) -> bytes:
    try:
        if not content.startswith(PREFIX):
            raise ValueError
        secret = base64.b64decode(content.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise ConfigError(f"{source}: must be whsec_ and base64, on one line; {_HOW_TO_MAKE_ONE}") from None
    if not SHORTEST <= len(secret) <= LONGEST:
        raise ConfigError(f"{source}: must have {SHORTEST} to {LONGEST} bytes; {_HOW_TO_MAKE_ONE}")
    return secret
