"""STUN and TURN servers for participants: docs/protocol.md, section 8, "ICE servers", from a client's side."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, error

JANE = {"guestName": "Jane"}
SECRET = "the static-auth-secret of a TURN server"
STUN = "stun:turn.example:3478"
TURN = ["turn:turn.example:3478", "turns:turn.example:5349?transport=tcp"]
MakeDaemon = Callable[..., Daemon]


async def test_none_by_default(daemon: Daemon) -> None:
    """Where none are configured there are none; only who is in a room may ask."""
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("alice") as host:
        assert await guest.ask("get-ice-servers") == error("not_in_room")
        await guest.join(room["code"], **JANE)
        reply = await guest.ask("get-ice-servers")
        assert reply == {"type": "ice-servers", "iceServers": [], "ttl": reply["ttl"]}
        await host.ask("update-room", code=room["code"], waitingRoom=True)
        await guest.events()
        async with daemon.client() as waiting:
            assert (await waiting.ask("join-room", code=room["code"], **JANE))["type"] == "waiting"
            assert await waiting.ask("get-ice-servers") == error("not_in_room")
        await guest.ask("leave-room")
        assert await guest.ask("get-ice-servers") == error("not_in_room")


def check(server: dict[str, object], participant_id: str, ttl: int) -> None:
    """Check credentials as coturn does with `use-auth-secret`: until when, whose, and signed with the secret."""
    username = str(server["username"])
    until, whose = username.split(":")
    assert 0 <= int(until) - time.time() - ttl + 10 <= 11, "good for ttl seconds from now on"
    assert whose == participant_id
    digest = hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()
    assert server["credential"] == base64.b64encode(digest).decode()


@pytest.mark.parametrize("source", ["environment", "file"])
async def test_configured(make_daemon: MakeDaemon, tmp_path: Path, source: str) -> None:
    """As `RTCPeerConnection` takes them; the credentials are each participant's own and good for `ttl` seconds."""
    secret = {"ROOMD_ICE_TURN_SECRET": SECRET}
    if source == "file":
        (tmp_path / "secret").write_text(f"{SECRET}\n")
        (tmp_path / "secret").chmod(0o600)
        secret = {"ROOMD_ICE_TURN_SECRET_FILE": str(tmp_path / "secret")}
    daemon = make_daemon(ROOMD_ICE_STUN=STUN, ROOMD_ICE_TURN=",".join(TURN), ROOMD_ICE_TURN_TTL="600", **secret)
    room = await daemon.room()
    async with daemon.client() as guest, daemon.client("bob") as bob:
        names = set()
        for client in (guest, bob):
            me = (await client.join(room["code"], **JANE))["participant"]["id"]
            reply = await client.ask("get-ice-servers")
            stun, turn = reply["iceServers"]
            assert (reply["type"], stun) == ("ice-servers", {"urls": [STUN]})
            assert 590 <= reply["ttl"] <= 600
            assert turn == {"urls": TURN, "username": turn["username"], "credential": turn["credential"]}
            check(turn, me, 600)
            again = await client.ask("get-ice-servers")
            assert again["iceServers"] == reply["iceServers"], "one set for each participant"
            assert 540 <= again["ttl"] <= 600
            names.add(turn["username"])
        assert len(names) == 2
    assert SECRET not in daemon.log.read_text()


async def test_only_stun(make_daemon: MakeDaemon) -> None:
    """Without TURN there is no credential."""
    daemon = make_daemon(ROOMD_ICE_STUN=STUN)
    room = await daemon.room()
    async with daemon.client() as guest:
        await guest.join(room["code"], **JANE)
        assert (await guest.ask("get-ice-servers"))["iceServers"] == [{"urls": [STUN]}]
