"""Credentials for TURN servers, for one participant and a limited time.

This is the TURN REST scheme (draft-uberti-behave-turn-rest-00); in coturn it is `use-auth-secret`. The TURN server has
no list of users, only a secret that it shares with roomd. The username contains the expiry and the participant id; the
credential is the HMAC-SHA1 of the username. So the server can check both without asking roomd.
"""

import base64
import hmac
import math
import os
from pathlib import Path

import msgspec

from roomd.auth.secret_files import check_length, read_private
from roomd.config import SHORTEST_TURN_SECRET, IceConfig
from roomd.protocol.objects import IceServer


class Ice(msgspec.Struct, frozen=True):
    """The STUN and TURN servers, and the secret for their credentials."""

    stun: tuple[str, ...] = ()
    """The `stun:` and `stuns:` URLs."""
    turn: tuple[str, ...] = ()
    """The `turn:` and `turns:` URLs; empty without a secret."""
    secret: bytes | None = None
    """The shared secret, `static-auth-secret` in coturn; None without TURN servers."""
    ttl: int = 0
    """The seconds for which credentials are valid."""


def open_ice(ice: IceConfig, database: Path | None = None) -> Ice:
    """Read the secret of the TURN servers, if one is configured. The owner of `database` may own its file.

    Raises `ConfigError` that names the setting, the file and what to do.
    """
    secret = None
    if ice.turn_secret is not None:
        secret = check_length(os.fsencode(ice.turn_secret), "ice.turn_secret", SHORTEST_TURN_SECRET)
    elif ice.turn_secret_file is not None:
        content, source = read_private(Path(ice.turn_secret_file), "ice.turn_secret_file", database)
        secret = check_length(content, source, SHORTEST_TURN_SECRET)
    return Ice(ice.stun, ice.turn, secret, ice.turn_ttl)


def ice_servers(ice: Ice, participant_id: str, now: float) -> list[IceServer]:
    """Return the servers in the form that `RTCPeerConnection` takes, with TURN credentials for this participant.

    `now` is in seconds since the epoch; the TURN server must have the same time. The credentials are valid for
    `ice.ttl` seconds from `now`, rounded up to a whole second.
    """
    servers = [IceServer(urls=list(ice.stun))] if ice.stun else []
    if ice.turn and ice.secret is not None:
        username = f"{math.ceil(now) + ice.ttl}:{participant_id}"
        credential = base64.b64encode(hmac.digest(ice.secret, username.encode(), "sha1")).decode()
        servers.append(IceServer(urls=list(ice.turn), username=username, credential=credential))
    return servers
