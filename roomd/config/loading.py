"""Read the configuration from its sources.

Later sources win: the defaults, the TOML file, the environment (`ROOMD_<SECTION>_<KEY>`), the command line.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from roomd.config.checks import check
from roomd.config.cluster import server_password
from roomd.config.databases import has_password
from roomd.config.documents import Setting, settings
from roomd.config.files import check_file, check_kind, open_file, trusted_owners
from roomd.config.origins import web_origin
from roomd.config.sections import Config, ConfigError

COMMAND_LINE_ENV = frozenset({"ROOMD_CONFIG", "ROOMD_TOKEN", "ROOMD_URL"})
"""Variables of the command line, which are not settings."""
_ALIKE = 0.7
"""How alike, by `difflib`, a variable is to a setting that it was meant to be. All begin with ROOMD_."""
SECRETS = (("auth", "secret"), ("ice", "turn_secret"), ("database", "url"), ("cluster", "nats"))
"""The settings that are secrets, by section and key. A URL is one if it has a password."""


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    flags_source: str = "the command line",
) -> Config:
    """Read the configuration.

    `file` is TOML, `environ` has variables by name, `flags` is {section: {key: value}}, where None means not given;
    errors say that they come from `flags_source`. Only its owner may read a file with a secret in it. Raises
    `ConfigError` for the first source that is wrong.
    """
    merged: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    values, status = _from_file(file) if file else ({}, None)
    layers = [
        (str(file), values),
        ("the environment", _from_env(environ or {})),
        (flags_source, _given(flags or {}, flags_source)),
    ]
    for source, layer in layers:
        for section, given in layer.items():
            merged.setdefault(section, {}).update(given)
            origins |= {f"{section}.{key}": f"{source}: {section}.{key}" for key in given}
    config = _convert(merged, "the configuration")
    check(config, origins)
    if file is not None and status is not None:
        _check_access(file, status, values, config.database.path)
    allowed = tuple(map(web_origin, config.server.allowed_origins))
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, allowed_origins=allowed))


def _from_file(file: Path) -> tuple[dict[str, dict[str, Any]], os.stat_result]:
    with open_file(file, str(file)) as opened:
        status = os.fstat(opened.fileno())
        check_kind(status, str(file))
        content = opened.read()
    try:
        values = tomllib.loads(content.decode())
    except RecursionError:
        raise ConfigError(f"{file}: not valid TOML: nested too deep") from None
    except ValueError as exc:  # of TOML, of UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{file}: not valid TOML: {exc}") from None
    _convert(values, str(file))
    return values, status


def _check_access(file: Path, status: os.stat_result, values: Mapping[str, Mapping[str, Any]], database: str) -> None:
    """Check who can change the file, and who can read it if there is a secret in it. Raises `ConfigError`."""
    secrets = [
        f"{section}.{key}"
        for section, key in SECRETS
        if (value := values.get(section, {}).get(key)) is not None
        and (key != "url" or has_password(value))
        and (key != "nats" or server_password(tuple(value)))
    ]
    source = f"{file}: {secrets[0]}" if secrets else str(file)
    check_file(file, status, source, is_secret=bool(secrets), owners=trusted_owners(Path(database)))


def _from_env(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    known = {setting.env: setting for setting in settings()}
    values: dict[str, dict[str, Any]] = {}
    for name, text in environ.items():
        if not name.startswith("ROOMD_") or name in COMMAND_LINE_ENV:
            continue
        if name not in known:
            raise ConfigError(f"{name}: unknown setting; {_near(name, known)}")
        setting = known[name]
        try:
            value = msgspec.convert(_parsed(setting, text), setting.type, strict=False)
        except msgspec.DecodeError as exc:
            raise ConfigError(f"{name}: {_in_words(str(exc))} ({setting.hint})") from None
        values.setdefault(setting.section, {})[setting.key] = value
    return values


def _near(name: str, known: Collection[str]) -> str:
    """Say what a variable may have been meant to be, or that it must have another name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    if near:
        return f"did you mean {near[0]}?"
    return "`roomd default-config` lists them. Variables that begin with ROOMD_ are roomd's; give yours another name"


def _parsed(setting: Setting, text: str) -> Any:
    """Return what a variable's text stands for. Raises `msgspec.DecodeError`."""
    if setting.is_table:
        return msgspec.json.decode(text)
    return [part.strip() for part in text.split(",") if part.strip()] if setting.is_list else text


def _given(flags: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, dict[str, Any]]:
    given = {
        section: {key: value for key, value in values.items() if value is not None} for section, values in flags.items()
    }
    _convert(given, source)
    return given


def _convert(values: Any, source: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{source}: {_explain(str(exc))}") from None


def _explain(message: str) -> str:
    """Put the key first in a message of msgspec (`… - at `$.server.port``), and add what is allowed."""
    what, _, where = message.partition(" - at ")
    place = where.strip("`").removeprefix("$").removeprefix(".").replace("[...].", ".NAME.").replace("[...]", ".NAME")
    if "unknown field" in what:
        known = [s.key for s in _every() if s.section == place] or list(Config.__struct_fields__)
        return f"{place or 'top level'}: {what}; allowed: {', '.join(known)}"
    hints = {s.name: s.hint for s in _every()}
    hint = hints.get(place) or hints.get(place.split("[")[0], "a table of settings")
    return f"{place}: {_in_words(what)} ({hint})"


def _every() -> Iterator[Setting]:
    """Iterate over every setting, and those of the tables in them."""
    for setting in settings():
        yield setting
        yield from setting.entries()


def _in_words(what: str) -> str:
    """Leave a regular expression out: the line of documentation that follows says what is allowed."""
    return "is not of that form" if "matching regex" in what else what
