"""Credentials for TURN servers, for one participant and a limited time.

This is the TURN REST scheme (draft-uberti-behave-turn-rest-00); in coturn it is `use-auth-secret`. The TURN server has
no list of users, only a secret that it shares with roomd. The username contains the expiry and the participant id; the
credential is the HMAC-SHA1 of the username. So the server can check both without asking roomd.

When credentials expire is computed from when the participant joined and the time now, in steps. So a participant who
asks again within a step gets the same ones, also from a daemon that was started again, and nothing is remembered. They
last about as long as the participant has had the seat, at least an hour: a short visit gives no relay for a day.
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

SHORTEST_TTL = 3600
"""The seconds for which the credentials of a participant who has just come are valid, if `ice.turn_ttl` is not less."""


class Ice(msgspec.Struct, frozen=True):
    """The STUN and TURN servers, and the secret for their credentials."""

    stun: tuple[str, ...] = ()
    """The `stun:` and `stuns:` URLs."""
    turn: tuple[str, ...] = ()
    """The `turn:` and `turns:` URLs; empty without a secret."""
    secret: bytes | None = None
    """The shared secret, `static-auth-secret` in coturn; None without TURN servers."""
    ttl: int = 0
    """The most seconds for which credentials are valid."""


def open_ice(ice: IceConfig, database: Path | None = None) -> Ice:
    """Read the secret of the TURN servers, if one is configured. `trusted_owners` of `database` may own its file.

    Raises `ConfigError` that names the setting, the file and what to do.
    """
    secret = None
    if ice.turn_secret is not None:
        secret = check_length(os.fsencode(ice.turn_secret), "ice.turn_secret", SHORTEST_TURN_SECRET)
    elif ice.turn_secret_file is not None:
        content, source = read_private(Path(ice.turn_secret_file), "ice.turn_secret_file", database)
        secret = check_length(content, source, SHORTEST_TURN_SECRET)
    return Ice(ice.stun, ice.turn, secret, ice.turn_ttl)


def ice_servers(ice: Ice, participant_id: str, joined: float, now: float) -> list[IceServer]:
    """Return the servers in the form that `RTCPeerConnection` takes, with TURN credentials for this participant.

    `joined`, when the participant got the seat, and `now` are in seconds since the epoch; the TURN server must have the
    same time. The credentials are valid for `time_left` seconds from `now`.
    """
    servers = [IceServer(urls=list(ice.stun))] if ice.stun else []
    if ice.turn and ice.secret is not None:
        username = f"{_expiry(ice, joined, now)}:{participant_id}"
        credential = base64.b64encode(hmac.digest(ice.secret, username.encode(), "sha1")).decode()
        servers.append(IceServer(urls=list(ice.turn), username=username, credential=credential))
    return servers


def time_left(ice: Ice, joined: float, now: float) -> int:
    """Return the whole seconds for which the credentials of a participant are valid; `ice.ttl` without any.

    `joined` and `now` are in seconds since the epoch.
    """
    return ice.ttl if not ice.turn or ice.secret is None else int(_expiry(ice, joined, now) - now)


def _expiry(ice: Ice, joined: float, now: float) -> int:
    """Return when the credentials of a participant expire, in seconds since the epoch.

    Their time is an hour, and doubles whenever the participant has been there for twice as long, up to `ice.ttl`. New
    ones begin at each half of it since the join, so that between half and all of it is left. A clock that was set back
    changes the number of the half, not what is left.
    """
    age = now - joined
    shortest = min(SHORTEST_TTL, ice.ttl)
    doublings = math.floor(math.log2(max(age / shortest, 1)))
    half = min(ice.ttl, shortest << doublings) / 2
    return math.ceil(joined + (math.floor(age / half) + 2) * half)
