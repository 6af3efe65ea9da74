"""Credentials for TURN servers, for one participant and a limited time.

This is the TURN REST scheme (draft-uberti-behave-turn-rest-00); in coturn it is `use-auth-secret`. The TURN server has
no list of users, only a secret that it shares with roomd. The username contains the expiry and the participant id; the
credential is the HMAC-SHA1 of the username. So the server can check both without asking roomd.

A participant who asks again gets the same credentials while half of their time is left. They last as long as the
participant has had the seat, at least an hour: who joins for a moment gets no relay for a day.
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
MOST_ISSUED = 10_000
"""The participants whose credentials are remembered. One more and the oldest get new ones when they ask."""


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
    issued: dict[str, int] = {}
    """When the credentials of each participant expire, in seconds since the epoch; the oldest are first. It changes."""


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


def ice_servers(ice: Ice, participant_id: str, now: float, seated_for: float = math.inf) -> list[IceServer]:
    """Return the servers in the form that `RTCPeerConnection` takes, with TURN credentials for this participant.

    `now` is in seconds since the epoch; the TURN server must have the same time. `seated_for` is how many seconds the
    participant has had the seat. The credentials are valid for `time_left` seconds from `now`.
    """
    servers = [IceServer(urls=list(ice.stun))] if ice.stun else []
    if ice.turn and ice.secret is not None:
        username = f"{_expiry(ice, participant_id, now, seated_for)}:{participant_id}"
        credential = base64.b64encode(hmac.digest(ice.secret, username.encode(), "sha1")).decode()
        servers.append(IceServer(urls=list(ice.turn), username=username, credential=credential))
    return servers


def time_left(ice: Ice, participant_id: str, now: float) -> int:
    """Return the whole seconds for which the participant's credentials are valid; `ice.ttl` without any."""
    expiry = ice.issued.get(participant_id)
    return ice.ttl if expiry is None else int(expiry - now)


def _expiry(ice: Ice, participant_id: str, now: float, seated_for: float) -> int:
    """Return when the participant's credentials expire. New ones begin when less than half of their time is left."""
    ttl = int(min(ice.ttl, max(SHORTEST_TTL, seated_for)))
    expiry = ice.issued.pop(participant_id, 0)
    if not now + ttl / 2 <= expiry <= now + ice.ttl + 1:  # the clock may have been set back
        expiry = math.ceil(now) + ttl
    ice.issued[participant_id] = expiry
    if len(ice.issued) > MOST_ISSUED:
        del ice.issued[next(iter(ice.issued))]
    return expiry
