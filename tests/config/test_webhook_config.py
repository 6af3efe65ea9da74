"""The settings of webhooks: what is refused, and in which words. A URL is never quoted: it may have a secret in it."""

from pathlib import Path
from typing import Any, get_args

import pytest

from roomd.config import Config, ConfigError, WebhookEndpoint, WebhooksConfig, check, default_config, load
from roomd.config.webhooks import EventType
from roomd.protocol.log_events import AnyLogEvent
from tests.support.receiver import setting

FILES = ("/etc/roomd/webhook.secret",)


def config(url: str = "https://backend.example/", name: str = "backend", **changes: Any) -> Config:
    """Return a configuration with one endpoint."""
    endpoint = {"url": url, "secret_files": FILES, **changes}
    return Config(webhooks=WebhooksConfig(endpoints={name: WebhookEndpoint(**endpoint)}))


@pytest.mark.parametrize(
    "url",
    [
        "https://backend.example/roomd?key=1",
        "https://backend.example",
        "https://backend.example:8443/a%20b",
        "https://[2001:db8::1]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_good_urls(url: str) -> None:
    check(config(url))


BAD: dict[str, tuple[str, str]] = {
    "no TLS": ("http://backend.example/SECRET", "must begin with https://; http:// is for a private network"),
    "a user": ("https://user:SECRET@backend.example/", "must not have a user and a password"),
    "another scheme": ("ftp://backend.example/SECRET", "must be like https://backend.example/roomd"),
    "no scheme": ("backend.example/SECRET", "must be like https://backend.example/roomd"),
    "no host": ("https:///SECRET", "must be like https://backend.example/roomd"),
    "a fragment": ("https://backend.example/#SECRET", "must not have a part after #"),
    "a space": ("https://backend.example/SECRET x", "must have visible ASCII characters alone"),
    "a line": ("https://backend.example/SECRET\r\nX: y", "must have visible ASCII characters alone"),
    "an umlaut": ("https://bücher.example/SECRET", "write a host as xn--..."),
    "a port of letters": ("https://backend.example:x/SECRET", "is not a URL: Port could not be cast"),
    "a port too high": ("https://backend.example:99999/SECRET", "is not a URL: Port out of range"),
    "no port": ("https://backend.example:0/SECRET", "must be like https://backend.example/roomd"),
    "half an address": ("https://[::1/SECRET", "is not a URL: Invalid IPv6 URL"),
}


@pytest.mark.parametrize(("url", "problem"), BAD.values(), ids=BAD)
def test_bad_urls(url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check(config(url))
    assert str(refused.value).startswith("webhooks.endpoints: backend: url: ")
    assert problem in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_http_in_a_private_network() -> None:
    check(config("http://10.0.0.7:8080/", private=True))


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a" * 33, "ä", 'a"'])
def test_bad_names(name: str) -> None:
    """A name is an argument of commands and a label of metrics."""
    with pytest.raises(ConfigError, match="is no name; it has 1 to 32 of a-z"):
        check(config(name=name))


def test_contradictions() -> None:
    """The same file twice; no event log; a first wait that is longer than the longest."""
    with pytest.raises(ConfigError, match=r"backend: secret_files: the same file is there twice"):
        check(config(secret_files=FILES * 2))
    environ = {"ROOMD_EVENTS_ENABLED": "false", **setting({"a": {"url": "https://a.example/", "secret_files": FILES}})}
    with pytest.raises(ConfigError, match=r"events\.enabled: webhooks need the event log, and it is off"):
        load(None, environ)
    with pytest.raises(ConfigError, match=r"retry_longest: the first is longer than the longest"):
        load(None, {"ROOMD_WEBHOOKS_RETRY_FIRST": "10", "ROOMD_WEBHOOKS_RETRY_LONGEST": "5"})


ENDPOINT = "[webhooks.endpoints.a]\n"
BAD_TABLES = {
    "a number": (f"{ENDPOINT}url = 3", "webhooks.endpoints.NAME.url: Expected `str`, got `int` (Where events"),
    "another key": (
        f"{ENDPOINT}urls = 'x'",
        "Object contains unknown field `urls`; allowed: url, secret_files,",
    ),
    "no secret": (f"{ENDPOINT}url = 'x'", "webhooks.endpoints.NAME: Object missing required field `secret_files`"),
    "no file": (f"{ENDPOINT}url = 'x'\nsecret_files = []", "secret_files: Expected `array` of length >= 1 (Files with"),
    "another type": (f"{ENDPOINT}url = 'x'\nsecret_files = ['y']\ntypes = ['z']", "One of: room-created, room-updated"),
    "no table": ("[webhooks]\nendpoints = 3", "webhooks.endpoints: Expected `object`, got `int` (The endpoints"),
}


@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    """The file, the key and what is allowed."""
    file = tmp_path / "roomd.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file}: webhooks.endpoints")
    assert message in str(refused.value)


def test_the_variable_has_json() -> None:
    """Where there is no file, as in a container."""
    wanted = {"a": {"url": "https://a.example/", "secret_files": ["/x"], "types": ["room-ended"]}}
    loaded = load(None, setting(wanted)).webhooks.endpoints
    assert loaded == {"a": WebhookEndpoint("https://a.example/", ("/x",), ("room-ended",))}
    for text in ("{", "[]", '{"a": {}}'):
        with pytest.raises(ConfigError, match=r"ROOMD_WEBHOOKS_ENDPOINTS: .* \(The endpoints, each in a table"):
            load(None, {"ROOMD_WEBHOOKS_ENDPOINTS": text})


def test_the_types_are_those_of_the_log() -> None:
    assert set(get_args(EventType)) == {kind.__struct_config__.tag for kind in get_args(AnyLogEvent)}


def test_the_default_file_shows_what_an_endpoint_has() -> None:
    text = default_config()
    for key in WebhookEndpoint.__struct_fields__:
        assert f"\n#     {key} = " in text
