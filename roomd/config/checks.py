"""Checks that the types of the settings cannot express: contradictions, URLs, the length of secrets."""

import ipaddress
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import get_args
from urllib.parse import urlsplit

from roomd.config.cluster import server_problem
from roomd.config.databases import url_problem
from roomd.config.listening import metrics_address, parse_address
from roomd.config.origins import web_origin
from roomd.config.sections import UNIX, Algorithm, AuthConfig, Config, ConfigError, IceConfig
from roomd.config.webhooks import WebhookEndpoint

_HOST = r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
_STUN_URL = re.compile(rf"stuns?:{_HOST}")
"""RFC 7064."""
_TURN_URL = re.compile(rf"turns?:{_HOST}(?:\?transport=(?:udp|tcp))?")
"""RFC 7065."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""The name of an endpoint: it is an argument of commands and a label of metrics."""

SHORTEST_SECRET = 32
"""Bytes; RFC 7518, section 3.2: a key as long as the hash."""
SHORTEST_TURN_SECRET = 20
"""Bytes; RFC 2104, section 3. Whoever has a credential can try secrets on it offline, so no shorter one is accepted."""

PAGE_SUFFIXES = frozenset({".css", ".html", ".js", ".json", ".svg"})
"""The endings of the paths under which the daemon serves files, beside the WebSocket."""


def check(config: Config, origins: Mapping[str, str] | None = None) -> None:
    """Refuse settings that contradict each other, or that are wrong in a way their types cannot express.

    `origins` has the source of each key ("section.key"), for the message. Raises `ConfigError`.
    """
    found = (
        *_auth_problems(config.auth),
        *_ice_problems(config.ice),
        *_listen_problems(config.server.listen, origins or {}),
        *_webhook_problems(config),
        *_other_problems(config),
    )
    for keys, problem in found:
        raise ConfigError(f"{' and '.join((origins or {}).get(key, key) for key in keys)}: {problem}")


_Problems = Iterator[tuple[list[str], str]]


def _auth_problems(auth: AuthConfig) -> _Problems:
    sources = ("secret", "secret_file", "public_key_file", "jwks_url")
    given = [f"auth.{key}" for key in sources if getattr(auth, key) is not None]
    if len(given) > 1:
        yield given, "give at most one of them"
    fitting = set(get_args(Algorithm)) - {"HS256"} if auth.has_issuer else {"HS256"}
    if unfit := [name for name in auth.algorithms if name not in fitting]:
        goes_with = "public keys" if auth.has_issuer else "a secret"
        allowed = ", ".join(sorted(fitting))
        yield ["auth.algorithms"], f"{', '.join(unfit)} does not go with {goes_with}; allowed: {allowed}"
    if auth.secret is not None and len(auth.secret.encode(errors="surrogateescape")) < SHORTEST_SECRET:
        yield ["auth.secret"], f"must be at least {SHORTEST_SECRET} bytes; `openssl rand -hex 32` makes one"
    if auth.ticket_secret_file is not None and not auth.has_issuer:
        yield ["auth.ticket_secret_file"], "is for an issuer with public keys; without one roomd has one secret"
    if auth.jwks_url is not None and not auth.jwks_url.startswith(("https://", "http://")):
        yield ["auth.jwks_url"], "must start with https:// (or http:// on a trusted network)"


def _ice_problems(ice: IceConfig) -> _Problems:
    for url in ice.stun:
        if not _is_server(_STUN_URL, url):
            yield ["ice.stun"], f"{url!r} is not a STUN server; write it like stun:turn.example:3478, or stuns: for TLS"
    for url in ice.turn:
        if not _is_server(_TURN_URL, url):
            yield (
                ["ice.turn"],
                (
                    f"{url!r} is not a TURN server; write it like turn:turn.example:3478 or "
                    "turns:turn.example:5349?transport=tcp (or udp)"
                ),
            )
    given = [f"ice.{key}" for key in ("turn_secret", "turn_secret_file") if getattr(ice, key) is not None]
    if len(given) > 1:
        yield given, "give at most one of them"
    if ice.turn and not given:
        yield ["ice.turn"], "needs the servers' static-auth-secret: give ice.turn_secret_file or ice.turn_secret"
    if given and not ice.turn:
        yield given, "needs ice.turn, and ice.turn is not given"
    if ice.turn_secret is not None and len(ice.turn_secret.encode(errors="surrogateescape")) < SHORTEST_TURN_SECRET:
        yield ["ice.turn_secret"], f"must be at least {SHORTEST_TURN_SECRET} bytes; `openssl rand -hex 32` makes one"


def _is_server(form: re.Pattern[str], url: str) -> bool:
    """Whether a URL has this form, and a valid port and IPv6 address."""
    match = form.fullmatch(url)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) <= 65_535):
        return False
    try:
        return match["ipv6"] is None or bool(ipaddress.IPv6Address(match["ipv6"]))
    except ValueError:
        return False


def _listen_problems(listen: Sequence[str], given: Container[str]) -> _Problems:
    """Check the addresses. `given` has the keys that a source sets, so that none of them is ignored."""
    for text in listen:
        try:
            parse_address(text)
        except ValueError as exc:
            yield ["server.listen"], f"{text!r} {exc}"
        if listen.count(text) > 1:
            yield ["server.listen"], f"{text!r} is there twice"
    replaced = [key for key in ("server.host", "server.port") if key in given]
    if listen and replaced:
        yield ["server.listen", *replaced], "give either server.listen, or the host and the port"


def _webhook_problems(config: Config) -> _Problems:
    for name, endpoint in config.webhooks.endpoints.items():
        if not _NAME.fullmatch(name):
            problem = f"{name!r} is no name; it has 1 to 32 of a-z, 0-9, - and _, and begins with a letter or a digit"
            yield ["webhooks.endpoints"], problem
        elif wrong := _url_problem(endpoint):
            yield ["webhooks.endpoints"], f"{name}: url: {wrong}"
        if len(set(endpoint.secret_files)) < len(endpoint.secret_files):
            yield ["webhooks.endpoints"], f"{name}: secret_files: the same file is there twice"
    if config.webhooks.endpoints and not config.events.enabled:
        yield ["webhooks.endpoints", "events.enabled"], "webhooks need the event log, and it is off"
    if config.webhooks.retry_first > config.webhooks.retry_longest:
        yield ["webhooks.retry_first", "webhooks.retry_longest"], "the first is longer than the longest"


def _url_problem(endpoint: WebhookEndpoint) -> str | None:
    """Return what is wrong with the URL of an endpoint. The URL may have a secret in it, so it is not in the text."""
    if not re.fullmatch("[!-~]+", endpoint.url):
        return "must have visible ASCII characters alone; encode others (%C3%A9), and write a host as xn--..."
    try:
        parts = urlsplit(endpoint.url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        return f"is not a URL: {exc}"
    if parts.scheme not in ("https", "http") or not host or port == 0:
        return "must be like https://backend.example/roomd"
    if "@" in parts.netloc:
        return "must not have a user and a password; the receiver checks the signature"
    if parts.fragment:
        return "must not have a part after #; it is never sent"
    if parts.scheme == "http" and not endpoint.private:
        return "must begin with https://; http:// is for a private network, with private = true"
    return None


def _other_problems(config: Config) -> _Problems:
    for text in config.server.allowed_origins:
        try:
            web_origin(text)
        except ValueError as exc:
            yield ["server.allowed_origins"], f"{text!r} {exc}"
    for text in config.server.trusted_proxies:
        if text == UNIX:
            continue
        try:
            ipaddress.ip_network(text)
        except ValueError as exc:
            problem = f"{exc}; write networks like 10.0.0.0/8 or fd00::/8, addresses like 192.0.2.7, or {UNIX}"
            yield ["server.trusted_proxies"], problem
    try:
        metrics_address(config.metrics)
    except ValueError as exc:
        yield ["metrics.listen"], f"{config.metrics.listen!r} {exc}"
    if config.server.path in ("/", "/healthz", "/readyz", "/asyncapi.json"):
        yield ["server.path"], f"{config.server.path} is taken; choose another, e.g. /ws"
    if PurePath(config.server.path).suffix.lower() in PAGE_SUFFIXES:
        yield ["server.path"], f"{config.server.path} ends like a file of the meeting page; choose another, e.g. /ws"
    yield from _database_problems(config)
    yield from _cluster_problems(config)


def _cluster_problems(config: Config) -> _Problems:
    cluster = config.cluster
    for problem in filter(None, map(server_problem, cluster.nats)):
        yield ["cluster.nats"], problem
    if cluster.nats and config.database.url is None:
        yield ["cluster.nats"], "needs database.url: all nodes store in one PostgreSQL"
    if cluster.nats and not cluster.node:
        yield ["cluster.nats"], "needs cluster.node, the name of this node"
    for key in ("node", "advertise", "credentials_file", "ca_file", "certificate_file", "key_file"):
        if getattr(cluster, key) and not cluster.nats:
            yield [f"cluster.{key}"], "needs cluster.nats: without it this roomd is alone"
    if (cluster.certificate_file is None) != (cluster.key_file is None):
        yield ["cluster.certificate_file", "cluster.key_file"], "need each other"


def _database_problems(config: Config) -> _Problems:
    if config.database.url is not None:
        if problem := url_problem(config.database.url):
            yield ["database.url"], problem
        auth = config.auth
        if auth.has_issuer and auth.ticket_secret_file is None:
            yield ["database.url"], "needs auth.ticket_secret_file: there is no file beside which a secret could be"
        elif not auth.has_issuer and auth.secret is None and auth.secret_file is None:
            yield ["database.url"], "needs auth.secret_file or auth.secret: there is no file beside which one could be"
    if config.database.path.startswith("~"):
        yield ["database.path"], "must be written in full; only a shell expands ~"
    if PurePath(config.database.path).name in ("", ".."):
        yield ["database.path"], f"{config.database.path} is a folder; write the file in it, e.g. roomd.db"
    if config.database.path == ":memory:":
        yield ["database.path"], "must be a file: a database in memory is lost when the daemon stops"
