"""How a command reaches the running daemon, and who it is there."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import typer

from roomd.config import Config, ConfigError, ServerConfig, load, local_url

OPERATOR = "operator"
"""Who a command is when neither a token nor a user is given: an administrator made of the local secret."""
SHORT_TTL = 300.0
"""Seconds; a command's own token is used at once, and a new connection gets a new one."""

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_TOKEN = re.compile(r"[!-~]+")


def websocket_url(text: str) -> str:
    """Read an address as people type it: http stands for ws, and the path may be left out.

    Raises `typer.BadParameter`.
    """
    try:
        parts = urlsplit(text if "://" in text else f"ws://{text}")
        fine = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        fine = False
    if not fine:
        raise typer.BadParameter("must be like ws://127.0.0.1:8765/ws")
    path = parts.path if parts.path.strip("/") else ServerConfig().path
    return SplitResult(_SCHEMES[parts.scheme], parts.netloc, path, parts.query, "").geturl()


def bearer_token(text: str) -> str:
    """Read a token, with the white space that copying leaves around it.

    Raises `typer.BadParameter` for what no header can carry.
    """
    if not _TOKEN.fullmatch(token := text.strip()):
        raise typer.BadParameter("must be a JSON Web Token, as `roomd token` prints it")
    return token


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="ROOMD_CONFIG", help="The daemon's TOML configuration."),
]
DatabaseFile = Annotated[
    str | None,
    typer.Option("--database", metavar="FILE", help="The daemon's SQLite file; its secret lies beside it."),
]


@dataclass(frozen=True)
class Access:
    """The options of every command that talks to the daemon. The configuration is read only when they leave it open."""

    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ROOMD_URL",
            parser=websocket_url,
            help="The daemon's address; else as configured.",
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            metavar="JWT",
            envvar="ROOMD_TOKEN",
            parser=bearer_token,
            help="Who is asking; other users of this machine see it here, but not in the environment.",
        ),
    ] = None
    user: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="USER",
            help=f"Act as this user, by the local secret. Without it and without a token: {OPERATOR}, an admin.",
        ),
    ] = None
    config_file: ConfigFile = None
    database: DatabaseFile = None

    def __post_init__(self) -> None:
        """Refuse two answers to who is asking."""
        if self.token is not None and self.user is not None:
            raise typer.BadParameter("give --token (or ROOMD_TOKEN) or --as, not both")

    @cached_property
    def config(self) -> Config:
        """The configuration the daemon runs with, as far as it can be known here. Raises `ConfigError`."""
        return configuration(self.config_file, database={"path": self.database})

    @cached_property
    def address(self) -> str:
        """Where the daemon is. Raises `ConfigError`."""
        return local_url(self.config.server) if self.url is None else self.url

    def bearer(self) -> str | None:
        """Return the token given, or mint one; None where nobody was named and there is no secret to mint it with.

        Raises `ConfigError`.
        """
        if self.token is not None:
            return self.token
        if self.user is not None:
            return mint(self.config, user=self.user, ttl=SHORT_TTL)
        return try_mint(self.config, user=OPERATOR, ttl=SHORT_TTL, admin=True)


def configuration(file: Path | None, **flags: Mapping[str, Any]) -> Config:
    """Load the configuration with this process's environment. Raises `ConfigError`."""
    return load(file, os.environ, flags)


def mint(
    config: Config, *, user: str, ttl: float, name: str | None = None, admin: bool = False, room: str | None = None
) -> str:
    """Make a token the configured daemon accepts. `ttl` is in seconds.

    Raises `ConfigError` where there is no secret, `typer.BadParameter` for a user that cannot be.
    """
    token = try_mint(config, user=user, ttl=ttl, name=name, admin=admin, room=room)
    if token is not None:
        return token
    if config.auth.public_key_file is not None or config.auth.jwks_url is not None:
        raise ConfigError("tokens come from the issuer whose public keys are configured; roomd cannot make them")
    raise ConfigError(
        f"there is no secret beside {config.database.path} yet: start `roomd serve` once, or say which daemon is meant "
        "with --config or --database"
    )


def try_mint(
    config: Config, *, user: str, ttl: float, name: str | None = None, admin: bool = False, room: str | None = None
) -> str | None:
    """Make a token like `mint`; None where there is no secret."""
    from roomd.auth import secret_files, tokens  # they bring the cryptography

    secret = secret_files.local_secret(config.auth, Path(config.database.path))
    if secret is None:
        return None
    issuer, audience = config.auth.issuer, config.auth.audience
    try:
        return tokens.mint(
            secret, user=user, name=name, ttl=ttl, admin=admin, room=room,
            issuer=issuer, audience=audience, now=time.time(),
        )  # fmt: skip
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
