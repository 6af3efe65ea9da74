"""TURN credentials that a participant can use for a while, and nobody can make without the secret.

The TURN REST scheme (draft-uberti-behave-turn-rest-00), in coturn `use-auth-secret`: the TURN server knows no users,
only a secret it shares with roomd. The username says until when it is good and whose it is; the credential is its
HMAC-SHA1, so the server checks both on its own.
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
    """The servers participants are told of, and what their credentials are made with."""

    stun: tuple[str, ...] = ()
    """`stun:` and `stuns:` URLs."""
    turn: tuple[str, ...] = ()
    """`turn:` and `turns:` URLs; the configuration has none without a secret."""
    secret: bytes | None = None
    """What the TURN servers call static-auth-secret."""
    ttl: int = 0
    """Seconds that credentials are good for."""


def open_ice(ice: IceConfig) -> Ice:
    """Read the secret of the TURN servers, where there is one.

    Raises `ConfigError` that names the key, the file and what to do.
    """
    secret = None
    if ice.turn_secret is not None:
        secret = check_length(os.fsencode(ice.turn_secret), "ice.turn_secret", SHORTEST_TURN_SECRET)
    elif ice.turn_secret_file is not None:
        content, source = read_private(Path(ice.turn_secret_file), "ice.turn_secret_file")
        secret = check_length(content, source, SHORTEST_TURN_SECRET)
    return Ice(ice.stun, ice.turn, secret, ice.turn_ttl)


def ice_servers(ice: Ice, participant_id: str, now: float) -> list[IceServer]:
    """List the servers as `RTCPeerConnection` takes them, with TURN credentials of this participant's own.

    `now` is in seconds since 1970, by a clock that agrees with the TURN server's. The credentials are good for
    `ice.ttl` seconds from then on, rounded up to a whole second.
    """
    servers = [IceServer(urls=list(ice.stun))] if ice.stun else []
    if ice.turn and ice.secret is not None:
        username = f"{math.ceil(now) + ice.ttl}:{participant_id}"
        credential = base64.b64encode(hmac.digest(ice.secret, username.encode(), "sha1")).decode()
        servers.append(IceServer(urls=list(ice.turn), username=username, credential=credential))
    return servers
