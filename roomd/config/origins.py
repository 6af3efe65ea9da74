"""Origins of web pages, as browsers write them in the header field `Origin` (RFC 6454, section 6.2)."""

import ipaddress
import re

import idna

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_PAGE_SCHEMES = {"ws": "http", "wss": "https"}
_PARTS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<user>[^/?#@]*@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/?#@:\s\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>[/?#].*)?"
)
_HOST = re.compile(r"[a-z0-9._-]+")


def web_origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case, without the default port, the host in ASCII (RFC 5890).

    Raises `ValueError`, which says what to write, for a text that no browser sends.
    """
    if text == "null":
        return text
    parts = _PARTS.fullmatch(text.strip().lower())
    if "*" in text or parts is None:
        raise ValueError("is no origin; list each one, like https://meet.example, without a pattern")
    given = parts["scheme"] or "https"
    scheme = _PAGE_SCHEMES.get(given, given)
    port = "" if parts["port"] in (None, _DEFAULT_PORTS.get(scheme)) else f":{parts['port']}"
    try:
        origin = f"{scheme}://{_ascii(parts['host'])}{port}"
    except ValueError:
        raise ValueError(f"has no valid host: {parts['host']}; write it like https://meet.example") from None
    if parts["scheme"] != scheme or parts["user"] or parts["rest"]:
        raise ValueError(f"is no origin, which is a scheme, a host and a port; write {origin}")
    return origin


def _ascii(host: str) -> str:
    """Return a host in ASCII. Raises `ValueError` for a text that is no host."""
    if host.startswith("["):
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    if not _HOST.fullmatch(name):
        raise ValueError
    return name
