"""`database.url`: what is refused, what must go with it, and how it is shown."""

from pathlib import Path

import pytest

from roomd.config import ConfigError, DatabaseConfig, absolute_name, check_url_files, database_name, load
from roomd.config.databases import server_urls

URL = "postgresql://roomd@db.example/roomd"
SECRET = {"ROOMD_AUTH_SECRET": "a secret for tests only, 32 bytes"}


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    return str(caught.value)


TWO = "postgresql://roomd@a.example:5433,b.example/roomd"


@pytest.mark.parametrize(
    "url", [URL, TWO, "postgres:///roomd", "postgresql:///roomd?host=/run/postgresql", f"{URL}?a=b"]
)
def test_urls(url: str) -> None:
    """With a secret that is configured nothing else is needed."""
    assert load(environ={"ROOMD_DATABASE_URL": url, **SECRET}).database.url == url


BAD = {
    "mysql://db.example/roomd": "must begin with postgresql://; a file of SQLite is database.path",
    "postgresql://db.example": "must name the database, like /roomd at its end",
    "postgresql://db.example/": "must name the database, like /roomd at its end",
    "postgresql://db.example:port/roomd": "cannot be read; write it like postgresql://roomd@db.example/roomd",
    "postgresql://[::1/roomd": "cannot be read; write it like postgresql://roomd@db.example/roomd",
    "postgresql://a.example,b.example:port/roomd": "cannot be read; write it like postgresql://roomd@db.example/roomd",
    "postgresql:///roomd?host=a,b,c&port=1,2": "cannot be read; write it like postgresql://roomd@db.example/roomd",
}


@pytest.mark.parametrize(("url", "problem"), BAD.items(), ids=BAD.keys())
def test_bad_urls(url: str, problem: str) -> None:
    """A wrong one stops the start, and is not in the error: it may have a password."""
    assert refusal(ROOMD_DATABASE_URL=url, **SECRET) == f"the environment: database.url: {problem}"


SERVERS = {
    URL: [URL],
    TWO: ["postgresql://roomd@a.example:5433/roomd", "postgresql://roomd@b.example/roomd"],
    "postgresql://u:a,b@[::1]:1,c/r?x=y": ["postgresql://u:a,b@[::1]:1/r?x=y", "postgresql://u:a,b@c/r?x=y"],
    "postgresql:///r?host=a,b": ["postgresql:///r?host=a", "postgresql:///r?host=b"],
    "postgresql:///r?host=a,b&port=1": ["postgresql:///r?host=a&port=1", "postgresql:///r?host=b&port=1"],
    "postgresql:///r?host=a,b&port=1,2": ["postgresql:///r?host=a&port=1", "postgresql:///r?host=b&port=2"],
}


@pytest.mark.parametrize(("url", "urls"), SERVERS.items(), ids=SERVERS.keys())
def test_servers(url: str, urls: list[str]) -> None:
    """A URL may name several servers: a primary and its standby."""
    assert server_urls(url) == urls


def test_secrets_are_configured() -> None:
    """There is no file beside which roomd could keep one, neither for its own tokens nor for those of tickets."""
    message = "the environment: database.url: needs auth.secret_file or auth.secret: there is no file"
    assert refusal(ROOMD_DATABASE_URL=URL).startswith(message)
    issuer = {"ROOMD_DATABASE_URL": URL, "ROOMD_AUTH_JWKS_URL": "https://id.example/keys"}
    assert refusal(**issuer).startswith("the environment: database.url: needs auth.ticket_secret_file")
    assert load(environ={**issuer, "ROOMD_AUTH_TICKET_SECRET_FILE": "s"}).auth.ticket_secret_file == "s"
    assert load(environ={"ROOMD_DATABASE_URL": URL, "ROOMD_AUTH_SECRET_FILE": "s"}).database.url == URL
    told = refusal(ROOMD_AUTH_TICKET_SECRET_FILE="s")
    assert told.startswith("the environment: auth.ticket_secret_file: is for an issuer with public keys")


NAMES = {
    "var/x.db": "var/x.db",
    URL: "postgresql://db.example/roomd",
    "postgresql://roomd:geheim@a,b:5433/roomd": "postgresql://a,b:5433/roomd",
    "postgres://roomd:geheim@db.example:5433/roomd?sslmode=require": "postgresql://db.example:5433/roomd",
    "postgresql:///roomd?host=/run/postgresql&password=geheim": "postgresql:///run/postgresql/roomd",
}


@pytest.mark.parametrize(("text", "name"), NAMES.items(), ids=NAMES.keys())
def test_names(text: str, name: str) -> None:
    """A user, a password and parameters are shown nowhere."""
    config = DatabaseConfig(url=text) if ":" in text else DatabaseConfig(path=text)
    assert database_name(config) == name
    assert absolute_name(config) == (name if ":" in text else str(Path(name).absolute()))


PASSWORDS = {
    URL: False,
    "postgresql://roomd:geheim@db.example/roomd": True,
    "postgresql://db.example/roomd?password=geheim": True,
    "postgresql://db.example/roomd?passfile=/etc/roomd/pass": False,
    "postgresql://[::1/roomd": True,
}


@pytest.mark.parametrize(("url", "is_secret"), PASSWORDS.items(), ids=PASSWORDS.keys())
def test_a_file_with_a_password_is_for_its_owner(tmp_path: Path, url: str, is_secret: bool) -> None:
    """As with any secret in it; a URL without one may be read by everybody."""
    file = tmp_path / "roomd.toml"
    file.write_text(f"[auth]\nsecret_file = 's'\n[database]\nurl = '{url}'\n")
    file.chmod(0o644)
    text = ""
    try:
        load(file)
    except ConfigError as exc:
        text = str(exc)
    assert ("database.url" in text) is is_secret
    assert "geheim" not in text


def test_the_url_counts_where_both_are_given(tmp_path: Path) -> None:
    """The unit of the service names a file on the command line; the URL in the configuration is used all the same."""
    file = tmp_path / "roomd.toml"
    file.write_text(f"[auth]\nsecret_file = 's'\n[database]\nurl = '{URL}'\n")
    config = load(file, flags={"database": {"path": "x.db"}})
    assert config.database == DatabaseConfig(path="x.db", url=URL)
    assert database_name(config.database) == "postgresql://db.example/roomd"


def test_files_of_the_url(tmp_path: Path) -> None:
    """Those that it names must be there, and nobody else may read the password: the driver would ignore it silently."""
    ca, password = tmp_path / "ca.pem", tmp_path / "pgpass"
    for file, mode in ((ca, 0o644), (password, 0o600)):
        file.write_text("x")
        file.chmod(mode)
    config = DatabaseConfig(url=f"{URL}?sslmode=verify-full&sslrootcert={ca}&passfile={password}")
    check_url_files(config)
    check_url_files(DatabaseConfig())
    password.chmod(0o640)
    with pytest.raises(ConfigError, match=rf"database\.url: passfile: {password}: others can read it"):
        check_url_files(config)
    password.chmod(0o600)
    ca.unlink()
    with pytest.raises(ConfigError, match=rf"database\.url: sslrootcert: {ca}: cannot be read: No such file"):
        check_url_files(config)
