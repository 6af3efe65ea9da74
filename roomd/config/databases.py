"""The URL of a database in PostgreSQL, and how a database is named to people."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from roomd.config.sections import DatabaseConfig

SCHEMES = ("postgresql", "postgres")


def database_name(config: DatabaseConfig) -> str:
    """Return the file of the database, or its URL without user, password and parameters."""
    if config.url is None:
        return config.path
    parts = urlsplit(config.url)
    folder = "".join(parse_qs(parts.query).get("host", []))
    return f"postgresql://{parts.netloc.rpartition('@')[2] or folder}{parts.path}"


def absolute_name(config: DatabaseConfig) -> str:
    """Return the same, a file with its whole path."""
    return database_name(config) if config.url is not None else str(Path(config.path).absolute())


def has_password(url: str) -> bool:
    """Return whether a URL has a password in it."""
    parts = urlsplit(url)
    return parts.password is not None or "password" in parse_qs(parts.query)


def url_problem(url: str) -> str | None:
    """Return what is wrong with a URL. It may have a password in it, so it is not in the text."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "cannot be read; write it like postgresql://roomd@db.example/roomd"
    if parts.scheme not in SCHEMES:
        return "must begin with postgresql://; a file of SQLite is database.path"
    if len(parts.path) < 2:
        return "must name the database, like /roomd at its end"
    return None
