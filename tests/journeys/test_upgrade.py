"""The start of a daemon on a database of an earlier schema (docs/how-to/upgrade.md)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.upgrades import make_version_2


@pytest.mark.sqlite
async def test_every_resume_token_of_before_still_serves(tmp_path: Path, make_daemon: Callable[..., Daemon]) -> None:
    """Who sat and who waited when version 2 was stopped has the seat or the place; the host keeps the host's rights."""
    tokens = make_version_2(tmp_path / "roomd.db")
    daemon = make_daemon()
    code, lobby = (tokens[name].partition(".")[0] for name in ("alice", "kim"))
    ids = {name: token.split(".")[1] for name, token in tokens.items()}
    async with daemon.client() as alice, daemon.client() as jane:
        for name, client in (("alice", alice), ("jane", jane)):
            reply = await client.ask("resume", resumeToken=tokens[name])
            assert (reply["type"], reply["participant"]["id"]) == ("participant", ids[name])
            state = await client.receive()
            assert [message["text"] for message in state["messages"]] == ["Hello"]
            await client.events()
        for name, place in (("bob", 1), ("joe", 2), ("kim", 1), ("carol", 2)):
            async with daemon.client() as client:
                reply = await client.ask("resume", resumeToken=tokens[name])
                assert (reply["type"], reply["participantId"], reply["position"]) == ("waiting", ids[name], place)
        await alice.events()
        assert (await alice.ask("update-room", code=code, name="Renamed"))["room"]["name"] == "Renamed"
    async with daemon.client("alice") as host:
        waiting = (await host.join(lobby))["state"]["participants"]
        assert [who["userId"] for who in waiting] == ["alice"]
        assert [who["participantId"] for who in (await host.receive())["waiting"]] == [ids["kim"], ids["carol"]]
