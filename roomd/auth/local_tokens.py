"""Tokens of the configured daemon, signed with its local secret."""

from pathlib import Path

from roomd.auth.orders import TokenOrder
from roomd.auth.secret_files import local_secret
from roomd.auth.tokens import mint
from roomd.config import Config


def mint_locally(config: Config, order: TokenOrder, now: float) -> str | None:
    """Return a token or a ticket that the configured daemon accepts; None when there is no local secret.

    `now` is in seconds since the epoch. Raises `ConfigError` for a secret that cannot be used, and `ValueError` with a
    text for people for an order that is not valid.
    """
    secret = local_secret(config.auth, Path(config.database.path))
    if secret is None:
        return None
    return mint(secret, order, now, issuer=config.auth.issuer, audience=config.auth.audience)
