"""Configuration: where a value comes from, and what is said about a wrong one."""

import re
from pathlib import Path
from typing import Any

import pytest

from roomd.config import (
    Config,
    ConfigError,
    changed_settings,
    check,
    default_config,
    load,
    seconds_in,
    seconds_or_never,
    settings,
)
from roomd.gateway.static import page_files

SECRET = "0123456789abcdef0123456789abcdef"


def write(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    file = folder / "roomd.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(**sources: Any) -> str:
    """Return what `load` says against these sources."""
    with pytest.raises(ConfigError) as caught:
        load(**sources)
    return str(caught.value)


def test_defaults() -> None:
    """With no source at all, the defaults run."""
    config = load()
    assert config == Config()
    assert (config.server.host, config.server.port, config.server.path) == ("127.0.0.1", 8765, "/ws")
    assert (config.limits.frame, config.limits.max_participants) == (65_536, 1000)
    assert (config.rooms.seat_hold, config.auth.leeway, config.database.synchronous) == (30.0, 10.0, "FULL")


FILE = "[server]\nport = 1\nhost = '0.0.0.0'\n[rooms]\nseat_hold = 5"
LAYERS: dict[str, tuple[dict[str, str], dict[str, dict[str, Any]], int]] = {
    "file": ({}, {}, 1),
    "environment over file": ({"ROOMD_SERVER_PORT": "2"}, {}, 2),
    "flags over both": ({"ROOMD_SERVER_PORT": "2"}, {"server": {"port": 3}}, 3),
    "a flag that was not given": ({"ROOMD_SERVER_PORT": "2"}, {"server": {"port": None}}, 2),
    "other programs' variables": ({"PORT": "9", "XROOMD_SERVER_PORT": "9"}, {}, 1),
    "the command line's variables": ({"ROOMD_TOKEN": "t", "ROOMD_URL": "u", "ROOMD_CONFIG": "c"}, {}, 1),
}


@pytest.mark.parametrize(("environ", "flags", "port"), LAYERS.values(), ids=LAYERS.keys())
def test_layers(tmp_path: Path, environ: dict[str, str], flags: dict[str, dict[str, Any]], port: int) -> None:
    """The file wins over the defaults, the environment over the file, a given flag over all, key by key."""
    config = load(write(tmp_path, FILE), environ, flags)
    assert config.server.port == port
    assert (config.server.host, config.rooms.seat_hold, config.limits.frame) == ("0.0.0.0", 5.0, 65_536)


ENVIRONMENT: list[tuple[str, str, Any]] = [
    ("ROOMD_SERVER_PORT", "8080", 8080),
    (
        "ROOMD_SERVER_ALLOWED_ORIGINS",
        "https://a.example, https://b.example,",
        ("https://a.example", "https://b.example"),
    ),
    ("ROOMD_SERVER_ALLOWED_ORIGINS", "", ()),
    ("ROOMD_SERVER_LOG_LEVEL", "debug", "debug"),
    ("ROOMD_AUTH_SECRET", SECRET, SECRET),
    ("ROOMD_AUTH_ALGORITHMS", "HS256", ("HS256",)),
    ("ROOMD_AUTH_ISSUER", "null", "null"),
    ("ROOMD_DATABASE_PATH", "/srv/roomd.db", "/srv/roomd.db"),
    ("ROOMD_ROOMS_SEAT_HOLD", "2.5", 2.5),
    ("ROOMD_SERVER_DEMO", "true", True),
    ("ROOMD_SERVER_DEMO", "false", False),
    ("ROOMD_SERVER_DEMO", "False", False),
    ("ROOMD_SERVER_DEMO", "1", True),
    ("ROOMD_SERVER_DEMO", "0", False),
    ("ROOMD_ICE_STUN", "stun:a.example, stuns:[2001:db8::1]:5349", ("stun:a.example", "stuns:[2001:db8::1]:5349")),
    ("ROOMD_ICE_TURN_TTL", "600", 600),
    ("ROOMD_EVENTS_KEEP", "36h", "36h"),
]


@pytest.mark.parametrize(("name", "text", "value"), ENVIRONMENT)
def test_environment(name: str, text: str, value: Any) -> None:
    """A variable is read as its key's type; lists are separated by commas."""
    section, _, key = name.removeprefix("ROOMD_").lower().partition("_")
    assert getattr(getattr(load(environ={name: text}), section), key) == value


BAD_FILES: dict[str, tuple[str, str]] = {
    "no TOML": ("port", "not valid TOML: "),
    "nested too deep": (f"x = {'[' * 5000}{']' * 5000}", "not valid TOML: nested too deep"),
    "endless number": (f"x = {'9' * 5000}", "not valid TOML: "),
    "unknown section": ("[nope]", "top level: Object contains unknown field `nope`; allowed: server, auth, database"),
    "no network": (
        '[server]\ntrusted_proxies = ["10.0.0.1/8"]',
        "server.trusted_proxies: 10.0.0.1/8 has host bits set; write networks like 10.0.0.0/8",
    ),
    "no port of the metrics": (
        '[metrics]\nlisten = "localhost"',
        "metrics.listen: 'localhost' is no address to listen on",
    ),
    "too high a port of the metrics": (
        "[metrics]\nlisten = '99999'",
        "metrics.listen: '99999' is no address to listen on",
    ),
    "unknown key": (
        "[server]\nprot = 1",
        "server: Object contains unknown field `prot`; allowed: host, port, listen, socket_mode, path, "
        "allowed_origins, ping_interval, log_level, log_addresses, trusted_proxies, demo",
    ),
    "key without a section": ("port = 1", "top level: Object contains unknown field `port`; allowed: server, auth"),
    "section that is none": ("server = 5", "server: Expected `object`, got `int` (a table of settings)"),
    "wrong type": ("[server]\nport = '80'", "server.port: Expected `int`, got `str` (TCP port; 0 lets the system"),
    "bool": ("[server]\nport = true", "server.port: Expected `int`, got `bool` (TCP port"),
    "too large": ("[server]\nport = 65536", "server.port: Expected `int` <= 65535 (TCP port"),
    "not a number": ("[rooms]\nseat_hold = nan", "rooms.seat_hold: Expected `float` >= 0.0 (Seconds a seat is held"),
    "negative": ("[rooms]\nseat_hold = -1", "rooms.seat_hold: Expected `float` >= 0.0 (Seconds a seat is held"),
    "endless": ("[rooms]\nseat_hold = inf", "rooms.seat_hold: Expected `float` <= 86400.0 (Seconds a seat is held"),
    "no such choice": (
        "[server]\nlog_level = 'loud'",
        "server.log_level: Invalid enum value 'loud' (Least severe level that is logged. "
        "One of: debug, info, warning, error.)",
    ),
    "no such choice in a list": (
        "[auth]\nalgorithms = ['none']",
        "auth.algorithms[0]: Invalid enum value 'none' (Accepted algorithms. Empty means HS256 with a secret, "
        "otherwise RS256, ES256 and EdDSA. One of: HS256, RS256, ES256, EdDSA.)",
    ),
    "path without a slash": (
        "[server]\npath = 'ws'",
        "server.path: is not of that form (Path of the WebSocket, starting with /.)",
    ),
    "the contract's path": ("[server]\npath = '/asyncapi.json'", "server.path: /asyncapi.json is taken; choose"),
    "taken path": ("[server]\npath = '/healthz'", "server.path: /healthz is taken; choose another, e.g. /ws"),
    "the path of readiness": ("[server]\npath = '/readyz'", "server.path: /readyz is taken; choose another, e.g. /ws"),
    "short secret": ("[auth]\nsecret = 'short'", "auth.secret: must be at least 32 bytes; `openssl rand -hex 32`"),
    "no URL": ("[auth]\njwks_url = 'file:///k'", "auth.jwks_url: must start with https:// (or http:// on a trusted"),
    "algorithm for public keys": (
        "[auth]\nalgorithms = ['RS256']",
        "auth.algorithms: RS256 does not go with a secret; allowed: HS256",
    ),
    "algorithm for secrets": (
        "[auth]\nalgorithms = ['ES256', 'HS256']\njwks_url = 'https://issuer.example/keys'",
        "auth.algorithms: HS256 does not go with public keys; allowed: ES256, EdDSA, RS256",
    ),
    "a port for STUN that is none": (
        "[ice]\nstun = ['stun:a.example', 'stun:a.example:x']",
        "ice.stun: 'stun:a.example:x' is not a STUN server; write it like stun:turn.example:3478, or stuns: for TLS",
    ),
    "a port for STUN that cannot be": (
        "[ice]\nstun = ['stun:a.example:65536']",
        "ice.stun: 'stun:a.example:65536' is not",
    ),
    "a transport for STUN": (
        "[ice]\nstun = ['stun:a.example?transport=udp']",
        "ice.stun: 'stun:a.example?transport=udp",
    ),
    "TURN where STUN belongs": ("[ice]\nstun = ['turn:a.example']", "ice.stun: 'turn:a.example' is not a STUN server"),
    "TURN by a web address": (
        "[ice]\nturn = ['https://a.example']",
        "ice.turn: 'https://a.example' is not a TURN server",
    ),
    "no such transport": (
        "[ice]\nturn = ['turn:a.example?transport=tls']",
        "ice.turn: 'turn:a.example?transport=tls' is not a TURN server; write it like turn:turn.example:3478 or "
        "turns:turn.example:5349?transport=tcp (or udp)",
    ),
    "a port for TURN that cannot be": (
        "[ice]\nturn = ['turn:a.example:0']",
        "ice.turn: 'turn:a.example:0' is not a TURN",
    ),
    "an address that cannot be": (
        "[ice]\nturn = ['turn:[::1::2]:3478']",
        "ice.turn: 'turn:[::1::2]:3478' is not a TURN",
    ),
    "TURN without a secret": (
        "[ice]\nturn = ['turn:a.example']",
        "ice.turn: needs the servers' static-auth-secret: give ice.turn_secret_file or ice.turn_secret",
    ),
    "secret without TURN": (
        f"[ice]\nstun = ['stun:a.example']\nturn_secret = '{SECRET}'",
        "ice.turn_secret: needs ice.turn, and ice.turn is not given",
    ),
    "secret file without TURN": (
        "[ice]\nturn_secret_file = 'turn.secret'",
        "ice.turn_secret_file: needs ice.turn, and ice.turn is not given",
    ),
    "short TURN secret": (
        "[ice]\nturn = ['turn:a.example']\nturn_secret = 'short'",
        "ice.turn_secret: must be at least 20 bytes; `openssl rand -hex 32` makes one",
    ),
    "TURN credentials of no use": (
        "[ice]\nturn_ttl = 59",
        "ice.turn_ttl: Expected `int` >= 60 (Seconds for which TURN",
    ),
    "TURN credentials for ever": ("[ice]\nturn_ttl = 86401", "ice.turn_ttl: Expected `int` <= 86400 (Seconds for"),
    "memory": (
        "[database]\npath = ':memory:'",
        "database.path: must be a file: a database in memory is lost when the daemon stops",
    ),
    "a folder as database": (
        "[database]\npath = 'var/..'",
        "database.path: var/.. is a folder; write the file in it, e.g. roomd.db",
    ),
    "home": ("[database]\npath = '~/roomd.db'", "database.path: must be written in full; only a shell expands ~"),
    "an origin with a path": (
        "[server]\nallowed_origins = ['https://x/']",
        "server.allowed_origins: 'https://x/' is no origin, which is a scheme, a host and a port; write https://x",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file(tmp_path: Path, text: str, message: str) -> None:
    """A wrong file stops the start with the file, the key and what is allowed."""
    file = write(tmp_path, text)
    assert refusal(file=file).startswith(f"{file}: {message}")


@pytest.mark.parametrize("name", [f"/{name}" for name, _ in page_files()] + ["/ROOMD.JS", "/new/roomd.json"])
def test_the_page_s_files_are_taken(name: str) -> None:
    """The WebSocket takes no path that the page or the contract is served under."""
    message = f"the environment: server.path: {name} ends like a file of the meeting page; choose another, e.g. /ws"
    assert refusal(environ={"ROOMD_SERVER_PATH": name}) == message


def test_no_regular_expressions() -> None:
    """What is wrong is said in words, also where a pattern finds it."""
    told = refusal(environ={"ROOMD_SERVER_PATH": "ws"})
    assert told.startswith("ROOMD_SERVER_PATH: is not of that form (")
    assert "regex" not in told


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is not there, is a folder or is not UTF-8 is named."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9")
    assert (
        refusal(file=tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    )
    assert refusal(file=tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert refusal(file=latin).startswith(f"{latin}: not valid TOML: 'utf-8' codec")


BAD_ENVIRONMENT: dict[str, tuple[dict[str, str], str]] = {
    "unknown variable": (
        {"ROOMD_SERVER_PROT": "1"},
        "ROOMD_SERVER_PROT: unknown setting; did you mean ROOMD_SERVER_PORT",
    ),
    "a variable of another program": (
        {"ROOMD_BIN": "/usr/bin/roomd"},
        "ROOMD_BIN: unknown setting; `roomd default-config` lists them. Variables that begin with ROOMD_ are roomd's",
    ),
    "wrong type": ({"ROOMD_SERVER_PORT": "http"}, "ROOMD_SERVER_PORT: Expected `int`, got `str` (TCP port;"),
    "too large": ({"ROOMD_SERVER_PORT": "99999"}, "ROOMD_SERVER_PORT: Expected `int` <= 65535 (TCP port;"),
    "no such choice": (
        {"ROOMD_DATABASE_SYNCHRONOUS": "OFF"},
        "ROOMD_DATABASE_SYNCHRONOUS: Invalid enum value 'OFF' (FULL: a commit survives a power cut. NORMAL: a commit "
        "survives kill -9, and a power cut may undo the last commits. One of: FULL, NORMAL.)",
    ),
    "neither true nor false": (
        {"ROOMD_SERVER_DEMO": "maybe"},
        "ROOMD_SERVER_DEMO: Expected `bool`, got `str` (Serve the meeting page at /.)",
    ),
    "no age": ({"ROOMD_EVENTS_KEEP": "soon"}, "ROOMD_EVENTS_KEEP: is not of that form (How long events are kept:"),
    "short secret": ({"ROOMD_AUTH_SECRET": "short"}, "the environment: auth.secret: must be at least 32 bytes"),
}


@pytest.mark.parametrize(("environ", "message"), BAD_ENVIRONMENT.values(), ids=BAD_ENVIRONMENT.keys())
def test_bad_environment(environ: dict[str, str], message: str) -> None:
    """A wrong variable stops the start with its name and what is allowed."""
    assert refusal(environ=environ).startswith(message)


BAD_FLAGS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "too large": ({"server": {"port": 99_999}}, "the command line: server.port: Expected `int` <= 65535 (TCP port;"),
    "memory": ({"database": {"path": ":memory:"}}, "the command line: database.path: must be a file"),
}


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_bad_flags(flags: dict[str, dict[str, Any]], message: str) -> None:
    """A wrong flag stops the start with the key and what is allowed."""
    assert refusal(flags=flags).startswith(message)


def test_two_keys_from_two_sources(tmp_path: Path) -> None:
    """Settings that contradict each other are named with the source of each."""
    file = write(tmp_path, "[auth]\npublic_key_file = 'key.pem'")
    assert refusal(file=file, environ={"ROOMD_AUTH_SECRET": SECRET}) == (
        f"the environment: auth.secret and {file}: auth.public_key_file: give at most one of them"
    )


TURN_URLS = (
    "turn:turn.example",
    "turn:192.0.2.1:3478?transport=udp",
    "turns:turn.example:443?transport=tcp",
    "turn:[::1]:3478",
)


@pytest.mark.parametrize("key", ["turn_secret", "turn_secret_file"])
def test_turn_servers_with_their_secret(key: str) -> None:
    """Every form of address a browser takes is taken, with the secret or a file that holds it; STUN needs neither."""
    ice = load(environ={"ROOMD_ICE_TURN": ",".join(TURN_URLS), f"ROOMD_ICE_{key.upper()}": SECRET}).ice
    assert (ice.turn, getattr(ice, key)) == (TURN_URLS, SECRET)
    assert load(environ={"ROOMD_ICE_STUN": "stun:turn.example"}).ice.turn == ()


def test_two_turn_secrets_from_two_sources(tmp_path: Path) -> None:
    """Which one counts is not guessed."""
    file = write(tmp_path, "[ice]\nturn = ['turn:a.example']\nturn_secret_file = 'turn.secret'")
    assert refusal(file=file, environ={"ROOMD_ICE_TURN_SECRET": SECRET}) == (
        f"the environment: ice.turn_secret and {file}: ice.turn_secret_file: give at most one of them"
    )


def test_secret_is_never_quoted() -> None:
    """What is wrong with a secret is said without the secret."""
    assert "hunter2" not in refusal(environ={"ROOMD_AUTH_SECRET": "hunter2"})
    turn = {"ROOMD_ICE_TURN": "turn:a.example"}
    assert "hunter2" not in refusal(environ={**turn, "ROOMD_ICE_TURN_SECRET": "hunter2"})


def test_check_names_keys_without_their_sources() -> None:
    """A configuration that was not loaded is checked as well."""
    bad = load()
    check(bad)
    with pytest.raises(ConfigError, match=r"^server\.path: / is taken"):
        check(Config(server=type(bad.server)(path="/")))


def test_default_config(tmp_path: Path) -> None:
    """The generated file says what the defaults are: as it is, and with every line uncommented."""
    text = default_config()
    uncommented = re.sub(r"^# (\w+ = (?!\.\.\.))", r"\1", text, flags=re.MULTILINE)
    assert uncommented.count("\n# ") < text.count("\n# ")
    assert load(write(tmp_path, text)) == load(write(tmp_path, uncommented)) == Config()


def test_default_config_holds_every_setting() -> None:
    """Every setting stands in the generated file, once, below its line of documentation."""
    text = default_config()
    for setting in settings():
        assert len(re.findall(rf"^# {re.escape(setting.doc)}\n# {setting.key} = ", text, re.MULTILINE)) == 1


AGES = [("7d", 604_800), ("36h", 129_600), ("90m", 5400), ("30s", 30), ("3600", 3600), (86_400, 86_400), (1.5, 1.5)]


@pytest.mark.parametrize(("age", "seconds"), AGES)
def test_ages(age: str | float, seconds: float) -> None:
    """A setting that says how long something is kept takes seconds, or a number with a unit."""
    assert seconds_in(age) == seconds_or_never(age) == seconds


def test_no_age() -> None:
    """Nothing is deleted by its age then."""
    assert seconds_or_never(None) is None


def test_what_differs_between_two_configurations() -> None:
    """A reload names the settings that differ, in the order of the file."""
    before = load(environ={"ROOMD_SERVER_PORT": "2"})
    after = load(environ={"ROOMD_SERVER_PORT": "3", "ROOMD_ROOMS_SEAT_HOLD": "5"})
    assert changed_settings(before, before) == []
    assert [setting.name for setting in changed_settings(before, after)] == ["server.port", "rooms.seat_hold"]
