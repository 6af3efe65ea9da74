"""`server.allowed_origins`: what is written there is what browsers send, or is refused with what to write."""

import json

import pytest

from roomd.config import Config, ConfigError, ServerConfig, check, load
from tests.support.cases import CASES

WRITTEN: dict[str, str | None] = json.loads((CASES / "origins.json").read_text(encoding="utf-8"))
"""What an operator writes, and the origin; None where it is refused."""

ORIGINS: dict[str, str] = {
    **{text: origin for text, origin in WRITTEN.items() if origin is not None},
    "null": "null",
    "https://meet.example:8443": "https://meet.example:8443",
    "https://meet.example:80": "https://meet.example:80",
    "http://[2001:DB8:0::1]:8765": "http://[2001:db8::1]:8765",
    "http://my_host": "http://my_host",
    "Capacitor://localhost": "capacitor://localhost",
    "chrome-extension://abcdefgh": "chrome-extension://abcdefgh",
}
WHOLE = "is no origin, which is a scheme, a host and a port; write "
LIST = "is no origin; list each one, like https://meet.example, without a pattern"
REFUSED = {
    "https://*.example": LIST,
    "*": LIST,
    "": LIST,
    "file:///": LIST,
    "https://meet.example:0": LIST,
    "https://meet example": LIST,
    "https://meet.example/": f"{WHOLE}https://meet.example",
    "https://Meet.Example:443/rooms?x=1": f"{WHOLE}https://meet.example",
    "https://jane@meet.example": f"{WHOLE}https://meet.example",
    "wss://meet.example": f"{WHOLE}https://meet.example",
    "ws://meet.example:8765/ws": f"{WHOLE}http://meet.example:8765",
    "meet.example": f"{WHOLE}https://meet.example",
    "https://meet\u2044.example": "has no valid host: meet\u2044.example; write it like https://meet.example",
    "https://me+et.example": "has no valid host: me+et.example; write it like https://meet.example",
    "https://[::1::1]": "has no valid host: [::1::1]; write it like https://meet.example",
}


@pytest.mark.parametrize(("text", "origin"), ORIGINS.items())
def test_origins(text: str, origin: str) -> None:
    """An origin is put into the form in which browsers send it, and that form stays as it is."""
    config = load(flags={"server": {"allowed_origins": [text]}})
    assert config.server.allowed_origins == (origin,)
    assert load(flags={"server": {"allowed_origins": [origin]}}) == config


@pytest.mark.parametrize(("text", "problem"), REFUSED.items())
def test_refused(text: str, problem: str) -> None:
    """What no browser sends is refused, with what to write."""
    with pytest.raises(ConfigError) as caught:
        load(environ={}, flags={"server": {"allowed_origins": ["https://ok.example", text]}})
    assert str(caught.value) == f"the command line: server.allowed_origins: {text!r} {problem}"
    with pytest.raises(ConfigError):
        check(Config(server=ServerConfig(allowed_origins=(text,))))


def test_every_case_is_tested() -> None:
    """The cases that are refused have their text here."""
    assert {text for text, origin in WRITTEN.items() if origin is None} <= REFUSED.keys()
