"""Every setting, once: its default, its bounds and its line of documentation.

Sources, later ones winning: the defaults here, the TOML file, the environment (`ROOMD_<SECTION>_<KEY>`), the
command line. `roomd default-config` and the README's table are generated from these structs.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
"""A length of time in seconds, at most a day."""

_HOST = r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
_STUN_URL = re.compile(rf"stuns?:{_HOST}")
"""RFC 7064."""
_TURN_URL = re.compile(rf"turns?:{_HOST}(?:\?transport=(?:udp|tcp))?")
"""RFC 7065."""

SHORTEST_SECRET = 32
"""Bytes; RFC 7518, section 3.2: a key as long as the hash."""
SHORTEST_TURN_SECRET = 20
"""Bytes; RFC 2104, section 3. Whoever gets a credential can try secrets on it at leisure, so no shorter one."""

PAGE_SUFFIXES = frozenset({".css", ".html", ".js", ".json", ".svg"})
"""How the paths end that the daemon serves files under, beside the WebSocket."""

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]


class ConfigError(Exception):
    """A setting is wrong; the text names the source, the key and what is allowed."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class ServerConfig(Section, frozen=True):
    """Where roomd listens and how it logs."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on; 0.0.0.0 or :: for all.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 lets the system choose one.")] = 8765
    path: Annotated[str, Meta(pattern="^/[!-~]*$", description="Path of the WebSocket, starting with /.")] = "/ws"
    allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(null|[a-z][a-z0-9+.-]*://[^/\s]+)$")], ...],
        Meta(description="Origins of the web pages that may connect, like https://meet.example; empty allows all, "
             "since tokens, never cookies, say who is asking."),
    ] = ()  # fmt: skip
    ping_interval: Annotated[
        float,
        Meta(ge=1, le=3600, description="Seconds between pings; a client silent for as long again is dropped."),
    ] = 20.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe line that is logged.")
    ] = "info"
    demo: Annotated[bool, Meta(description="Serve the meeting page at /.")] = True


class AuthConfig(Section, frozen=True):
    """Who may say who is asking. At most one of the four keys; with none, a secret is made beside the database."""

    secret: Annotated[
        str | None, Meta(description="Shared secret for HS256, at least 32 bytes. Better in the environment.")
    ] = None
    secret_file: Annotated[str | None, Meta(description="File with that secret, readable by its owner only.")] = None
    public_key_file: Annotated[
        str | None, Meta(description="PEM file with the issuer's public key: RSA, EC P-256 or Ed25519.")
    ] = None
    jwks_url: Annotated[
        str | None, Meta(description="URL of the issuer's JSON Web Key Set; fetched again on an unknown key id.")
    ] = None
    algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(description="Accepted algorithms; empty means HS256 with a secret, else RS256, ES256 and EdDSA."),
    ] = ()
    issuer: Annotated[str | None, Meta(description="Required value of the claim iss.")] = None
    audience: Annotated[str | None, Meta(description="Required value of the claim aud.")] = None
    leeway: Annotated[Seconds, Meta(description="Seconds that clocks may differ.")] = 10.0


class DatabaseConfig(Section, frozen=True):
    """Where what was told is kept."""

    path: Annotated[str, Meta(min_length=1, description="The SQLite file; its folder is made when missing.")] = (
        "var/roomd.db"
    )
    synchronous: Annotated[
        Literal["FULL", "NORMAL"],
        Meta(description="FULL survives a power cut; NORMAL survives kill -9 and may lose the last moments "
             "to a power cut."),
    ] = "FULL"  # fmt: skip
    busy_timeout: Annotated[
        Seconds, Meta(description="Seconds to wait for another program that has the database locked.")
    ] = 5.0


class RoomsConfig(Section, frozen=True):
    """How rooms behave."""

    seat_hold: Annotated[Seconds, Meta(description="Seconds a dropped connection's seat is held.")] = 30.0


class IceConfig(Section, frozen=True):
    """Where browsers find a way to each other through NATs and firewalls. None by default: one network needs none."""

    stun: Annotated[
        tuple[str, ...], Meta(description="STUN servers, like stun:turn.example:3478; a TURN server is one too.")
    ] = ()
    turn: Annotated[
        tuple[str, ...],
        Meta(description="TURN servers, like turn:turn.example:3478 or turns:turn.example:5349?transport=tcp; "
             "all share the secret."),
    ] = ()  # fmt: skip
    turn_secret: Annotated[
        str | None,
        Meta(description="The static-auth-secret of those servers, at least 20 bytes. Better in the environment."),
    ] = None
    turn_secret_file: Annotated[str | None, Meta(description="File with that secret, readable by its owner only.")] = (
        None
    )
    # coturn looks at the expiry where an allocation is made, other servers also at each refresh, and a browser cannot
    # renew the credentials of an allocation that stands: they have to last as long as a call does.
    turn_ttl: Annotated[
        int,
        Meta(ge=60, le=86_400, description="Seconds that TURN credentials are good for; longer than a call, since some "
             "servers end a relayed call with them."),
    ] = 21_600  # fmt: skip


class LimitsConfig(Section, frozen=True):
    """What one client, or all of them, may ask for."""

    frame: Annotated[int, Meta(ge=1024, le=1 << 24, description="Largest frame a client may send, in bytes.")] = 65_536
    max_participants: Annotated[int, Meta(ge=2, le=100_000, description="The most seats a room may be given.")] = 1000
    connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Connections at once; one more is closed with 1013.")
    ] = 10_000
    request_rate: Annotated[
        float, Meta(gt=0, le=1e9, description="Requests a second that one connection may keep up.")
    ] = 500.0
    request_burst: Annotated[
        int, Meta(ge=1, description="Requests that one connection may send at once before the rate counts.")
    ] = 1000
    told_rate: Annotated[
        float,
        Meta(
            gt=0, le=1e9, description="Bytes of messages and presence a second that one client may have told to others."
        ),
    ] = 65_536.0
    told_burst: Annotated[
        int, Meta(ge=1, description="Bytes of these that one client may send at once before the rate counts.")
    ] = 1_048_576
    outbox: Annotated[
        int,
        Meta(ge=65_536, description="Bytes that may wait for one client; a slower reader is closed with 4408."),
    ] = 2_097_152
    join_timeout: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds a client that has not joined yet may be silent.")
    ] = 60.0


class Config(Section, frozen=True):
    """The whole configuration."""

    server: ServerConfig = ServerConfig()
    auth: AuthConfig = AuthConfig()
    database: DatabaseConfig = DatabaseConfig()
    rooms: RoomsConfig = RoomsConfig()
    ice: IceConfig = IceConfig()
    limits: LimitsConfig = LimitsConfig()


class Setting(msgspec.Struct, frozen=True):
    """One documented key, as the loader and the generated documents see it."""

    section: str
    key: str
    type: Any
    default: Any
    doc: str

    @property
    def env(self) -> str:
        """Name of the environment variable."""
        return f"ROOMD_{self.section}_{self.key}".upper()

    @property
    def is_list(self) -> bool:
        """Whether the environment gives a comma-separated list."""
        return isinstance(self.default, tuple)

    @property
    def hint(self) -> str:
        """What the key means and, for a closed choice, the values there are."""
        choices = _choices(self.type)
        return f"{self.doc} One of: {', '.join(choices)}." if choices else self.doc


def settings() -> Iterator[Setting]:
    """Every setting in the order of the file."""
    for section, cls in get_type_hints(Config).items():
        for field in msgspec.structs.fields(cls):
            hint = get_type_hints(cls, include_extras=True)[field.name]
            doc = next(m.description for m in reversed(get_args(hint)) if isinstance(m, Meta) and m.description)
            yield Setting(section, field.name, hint, field.default, doc)


def _choices(hint: Any) -> list[str]:
    """Find the values of the `Literal` that a type hint holds, however deep; none without one."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in _choices(part)]


# Variables that belong to the command line, not to the configuration.
COMMAND_LINE_ENV = frozenset({"ROOMD_CONFIG", "ROOMD_TOKEN", "ROOMD_URL"})


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read the configuration: `file`, then `environ`, then `flags` ({section: {key: value}}, None means not given).

    Raises `ConfigError` at the first source that is wrong.
    """
    merged: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    layers = [
        (str(file), _from_file(file) if file else {}),
        ("the environment", _from_env(environ or {})),
        ("the command line", _given(flags or {})),
    ]
    for source, layer in layers:
        for section, values in layer.items():
            merged.setdefault(section, {}).update(values)
            origins |= {f"{section}.{key}": f"{source}: {section}.{key}" for key in values}
    config = _convert(merged, "the configuration")
    check(config, origins)
    return config


def check(config: Config, origins: Mapping[str, str] | None = None) -> None:
    """Refuse settings that are wrong together, or in a way their types cannot say.

    `origins` names where each key was set, for the message. Raises `ConfigError`.
    """
    for keys, problem in (*_auth_problems(config.auth), *_ice_problems(config.ice), *_other_problems(config)):
        raise ConfigError(f"{' and '.join((origins or {}).get(key, key) for key in keys)}: {problem}")


_Problems = Iterator[tuple[list[str], str]]


def _auth_problems(auth: AuthConfig) -> _Problems:
    sources = ("secret", "secret_file", "public_key_file", "jwks_url")
    given = [f"auth.{key}" for key in sources if getattr(auth, key) is not None]
    if len(given) > 1:
        yield given, "give at most one of them"
    symmetric = auth.public_key_file is None and auth.jwks_url is None
    fitting = {"HS256"} if symmetric else set(get_args(Algorithm)) - {"HS256"}
    if unfit := [name for name in auth.algorithms if name not in fitting]:
        goes_with = "a secret" if symmetric else "public keys"
        allowed = ", ".join(sorted(fitting))
        yield ["auth.algorithms"], f"{', '.join(unfit)} does not go with {goes_with}; allowed: {allowed}"
    if auth.secret is not None and len(auth.secret.encode(errors="surrogateescape")) < SHORTEST_SECRET:
        yield ["auth.secret"], f"must be at least {SHORTEST_SECRET} bytes; `openssl rand -hex 32` makes one"
    if auth.jwks_url is not None and not auth.jwks_url.startswith(("https://", "http://")):
        yield ["auth.jwks_url"], "must start with https:// (or http:// on a trusted network)"


def _ice_problems(ice: IceConfig) -> _Problems:
    for url in ice.stun:
        if not _is_server(_STUN_URL, url):
            yield ["ice.stun"], f"{url!r} is no STUN server; one is like stun:turn.example:3478, or stuns: for TLS"
    for url in ice.turn:
        if not _is_server(_TURN_URL, url):
            yield (
                ["ice.turn"],
                (
                    f"{url!r} is no TURN server; one is like turn:turn.example:3478 or "
                    "turns:turn.example:5349?transport=tcp (or udp)"
                ),
            )
    given = [f"ice.{key}" for key in ("turn_secret", "turn_secret_file") if getattr(ice, key) is not None]
    if len(given) > 1:
        yield given, "give at most one of them"
    if ice.turn and not given:
        yield ["ice.turn"], "needs the servers' static-auth-secret: give ice.turn_secret_file or ice.turn_secret"
    if given and not ice.turn:
        yield given, "goes with ice.turn, and none is given"
    if ice.turn_secret is not None and len(ice.turn_secret.encode(errors="surrogateescape")) < SHORTEST_TURN_SECRET:
        yield ["ice.turn_secret"], f"must be at least {SHORTEST_TURN_SECRET} bytes; `openssl rand -hex 32` makes one"


def _is_server(form: re.Pattern[str], url: str) -> bool:
    """Whether a URL has the form, and a port and an IPv6 address that can be."""
    match = form.fullmatch(url)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) <= 65_535):
        return False
    try:
        return match["ipv6"] is None or bool(ipaddress.IPv6Address(match["ipv6"]))
    except ValueError:
        return False


def _other_problems(config: Config) -> _Problems:
    if config.server.path in ("/", "/healthz", "/asyncapi.json"):
        yield ["server.path"], f"{config.server.path} is taken; choose another, e.g. /ws"
    if PurePath(config.server.path).suffix.lower() in PAGE_SUFFIXES:
        yield ["server.path"], f"{config.server.path} looks like a file of the page; choose another, e.g. /ws"
    if config.database.path.startswith("~"):
        yield ["database.path"], "must be written out; ~ is the shell's"
    if config.database.path == ":memory:":
        yield ["database.path"], "must be a file, so that nothing told is lost"


def local_url(server: ServerConfig) -> str:
    """Say where a client on the same machine reaches a daemon configured so.

    Raises `ConfigError` when the system chose the port.
    """
    if server.port == 0:
        raise ConfigError("server.port is 0, so only the daemon knows its port: give --url")
    host = server.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"ws://{host}:{server.port}{server.path}"
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"ws://{f'[{host}]' if address.version == 6 else host}:{server.port}{server.path}"


def default_config() -> str:
    """Write the commented TOML file that says what the defaults already are."""
    lines = ["# roomd's configuration. Every key stands with its default; uncomment what you change.",
             "# The environment (ROOMD_<SECTION>_<KEY>, lists with commas) wins over this file,",
             "# the command line over both."]  # fmt: skip
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"# {Config.__annotations__[section].__doc__}", f"[{section}]"]
        value = "..." if setting.default is None else msgspec.json.encode(setting.default).decode()
        lines += [f"# {setting.doc}", f"# {setting.key} = {value}"]
    return "\n".join(lines) + "\n"


def _from_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{file}: not valid TOML: nested too deep") from None
    except ValueError as exc:  # of TOML, of UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{file}: not valid TOML: {exc}") from None
    _convert(values, str(file))
    return values


def _from_env(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    known = {setting.env: setting for setting in settings()}
    values: dict[str, dict[str, Any]] = {}
    for name, text in environ.items():
        if not name.startswith("ROOMD_") or name in COMMAND_LINE_ENV:
            continue
        if name not in known:
            raise ConfigError(f"{name}: unknown setting; allowed: {', '.join(sorted(known))}")
        setting = known[name]
        value: Any = [part.strip() for part in text.split(",") if part.strip()] if setting.is_list else text
        try:
            value = msgspec.convert(value, setting.type, strict=False)
        except msgspec.ValidationError as exc:
            raise ConfigError(f"{name}: {_in_words(str(exc))} ({setting.hint})") from None
        values.setdefault(setting.section, {})[setting.key] = value
    return values


def _given(flags: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    given = {
        section: {key: value for key, value in values.items() if value is not None} for section, values in flags.items()
    }
    _convert(given, "the command line")
    return given


def _convert(values: Any, source: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{source}: {_explain(str(exc))}") from None


def _explain(message: str) -> str:
    """Turn msgspec's `… - at `$.server.port`` into the key first, and name what is allowed instead."""
    what, _, where = message.partition(" - at ")
    place = where.strip("`").removeprefix("$").removeprefix(".")
    if "unknown field" in what:
        known = [s.key for s in settings() if s.section == place] or list(Config.__struct_fields__)
        return f"{place or 'top level'}: {what}; allowed: {', '.join(known)}"
    hints = {f"{s.section}.{s.key}": s.hint for s in settings()}
    hint = hints.get(place.split("[")[0], "a table of settings")
    return f"{place}: {_in_words(what)} ({hint})"


def _in_words(what: str) -> str:
    """Spare people a regular expression: the line of documentation that follows says what is allowed."""
    return "is not of that form" if "matching regex" in what else what
