"""The options by which a command connects to the running daemon: its address, and the token or the user."""

import asyncio
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import msgspec
import typer

from roomd.auth.orders import TokenOrder
from roomd.cli.output import plain
from roomd.config import Config, ConfigError, ServerConfig, load, local_url
from roomd.protocol.errors import Refused
from roomd.protocol.timestamps import stamp

OPERATOR = "operator"
"""The user id of a command without a token and without a user: an admin, with a token from the local secret."""
SHORT_TTL = 300.0
"""The seconds for which a command's own token is valid; each connection gets a new one."""

_START_ONCE = (
    "there is no secret beside {} yet: start `roomd serve` once, or name the daemon's configuration with --config or "
    "its database with --database"
)
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_TOKEN = re.compile(r"[!-~]+")


def websocket_url(text: str) -> str:
    """Return the WebSocket URL of an address as people type it: http means ws, and the path may be missing.

    A path that ends with / is that of the meeting page, below a prefix of a proxy. The WebSocket is beside the page.

    Raises `typer.BadParameter` for a text that is no address.
    """
    try:
        parts = urlsplit(text if "://" in text else f"ws://{text}")
        is_valid = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0 and parts.username is None
    except ValueError:
        is_valid = False
    if not is_valid:
        raise typer.BadParameter("must be like ws://127.0.0.1:8765/ws")
    path = parts.path or "/"
    if path.endswith("/"):
        path = path.rstrip("/") + ServerConfig().path
    return SplitResult(_SCHEMES[parts.scheme], parts.netloc, path, parts.query, "").geturl()


def bearer_token(text: str) -> str:
    """Return a token without the white space around it.

    Raises `typer.BadParameter` for a text that cannot be in a header.
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
    typer.Option("--database", metavar="FILE", help="The daemon's SQLite file; its secret is beside it."),
]


@dataclass(frozen=True)
class Access:
    """The options of every command that connects to the daemon. The configuration is read only when it is needed."""

    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ROOMD_URL",
            parser=websocket_url,
            help="The address of the daemon or of its page, like https://meet.example/; default: the configured one.",
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            metavar="JWT",
            envvar="ROOMD_TOKEN",
            parser=bearer_token,
            help="The token of a user. Other users of this machine can see it here, but not in the environment.",
        ),
    ] = None
    user: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="USER",
            help=f"Act as this user, with a token from the local secret. Without it and --token: {OPERATOR}, an admin.",
        ),
    ] = None
    config_file: ConfigFile = None
    database: DatabaseFile = None

    def __post_init__(self) -> None:
        """Check that only one of token and user is given.

        Raises `typer.BadParameter`.
        """
        if self.token is not None and self.user is not None:
            raise typer.BadParameter("give --token (or ROOMD_TOKEN) or --as, not both")

    @cached_property
    def config(self) -> Config:
        """The configuration of the daemon, as far as it is known in this process. Raises `ConfigError`."""
        return configuration(self.config_file, database={"path": self.database})

    @cached_property
    def address(self) -> str:
        """The WebSocket URL of the daemon. Raises `ConfigError`."""
        return local_url(self.config.server) if self.url is None else self.url

    def bearer(self) -> str | None:
        """Return the given token, or a new one; None without a token, a user and a local secret.

        Raises `ConfigError` when a user is given and there is no secret.
        """
        if self.token is not None:
            return self.token
        if self.user is not None:
            return mint(self.config, TokenOrder(user=self.user, ttl=SHORT_TTL))
        return try_mint(self.config, TokenOrder(user=OPERATOR, ttl=SHORT_TTL, admin=True))


def link_to(config: Config, page: str | None, room: str | None, ticket: str) -> str:
    """Return the link to a meeting page with a ticket. `page` is its address; None for that of the configured daemon.

    Raises `ConfigError` when the system chose the daemon's port.
    """
    if page is None:
        page = f"http{local_url(config.server).removeprefix('ws').removesuffix(config.server.path)}/"
    return f"{page.partition('#')[0]}#{f'code={room}&' if room is not None else ''}ticket={ticket}"


def check_token(config: Config, token: str) -> str:
    """Return what a token allows, as lines of text, by the keys and the conditions of the configured daemon.

    Raises `Refused` with the reason, and `ConfigError` when there is no key to check it with.
    """
    from roomd.auth import keys, secret_files, tokens  # imported here, because they import the cryptography

    database = Path(config.database.path)
    if not config.auth.has_issuer and secret_files.local_secret(config.auth, database) is None:
        raise ConfigError(_START_ONCE.format(database))
    source = keys.open_keys(config.auth, database, keys.find_own_key(config.auth, database))

    async def verify() -> tokens.Identity:
        return tokens.verify(token, await source.keys_for(token), keys.policy(config.auth), time.time())

    try:
        identity = asyncio.run(verify())
    except Refused as refused:
        raise Refused(refused.kind, f"{refused.message}: {refused.reason}") from None
    return "\n".join(
        (
            f"user: {plain(identity.user_id)}",
            f"name: {plain(identity.display_name)}",
            f"expires: {stamp(identity.expires_at)}",
            f"rooms: {identity.room or 'all'}",
            f"admin: {'yes' if identity.is_admin else 'no'}",
            f"co-host: {'yes' if identity.is_cohost else 'no'}",
            f"may create rooms: {'yes' if identity.may_create and identity.room is None else 'no'}",
            f"hidden: {'yes' if identity.is_hidden else 'no'}",
            f"metadata: {plain(msgspec.json.encode(identity.metadata or {}).decode())}",
        )
    )


def configuration(file: Path | None, **flags: Mapping[str, Any]) -> Config:
    """Load the configuration from a file, the environment and `flags`, which are values by section and key.

    Raises `ConfigError`.
    """
    return load(file, os.environ, flags)


def mint(config: Config, order: TokenOrder) -> str:
    """Return a new token or ticket that the configured daemon accepts.

    Raises `ConfigError` when there is no secret, `typer.BadParameter` for an order that is not valid.
    """
    token = try_mint(config, order)
    if token is not None:
        return token
    if config.auth.has_issuer:
        raise ConfigError("tokens come from the issuer whose public keys are configured; roomd cannot make them")
    raise ConfigError(_START_ONCE.format(config.database.path))


def try_mint(config: Config, order: TokenOrder) -> str | None:
    """Return a new token or ticket, like `mint`; None when there is no secret."""
    from roomd.auth.local_tokens import mint_locally  # imported here, because it imports the cryptography

    try:
        return mint_locally(config, order, time.time())
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
