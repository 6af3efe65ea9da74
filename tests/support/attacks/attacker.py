"""The attacker, in a process of its own."""

import asyncio
from typing import Any

import msgspec

from tests.support.attacks import on_http, on_messages, on_rooms, on_sockets, on_webhooks
from tests.support.attacks.attack import Attack, Target
from tests.support.attacks.worker import serve

ATTACKS: dict[str, type[Attack]] = {
    "subprotocols": on_sockets.Subprotocols,
    "empty-fragments": on_sockets.EmptyFragments,
    "unfinished-messages": on_sockets.UnfinishedMessages,
    "unfinished-handshakes": on_sockets.UnfinishedHandshakes,
    "silent-members": on_rooms.SilentMembers,
    "idle-sockets": on_sockets.IdleSockets,
    "idle-beside-members": on_sockets.IdleBesideMembers,
    "big-messages": on_messages.BigMessages,
    "slow-member": on_messages.SlowMember,
    "join-and-drop": on_rooms.JoinAndDrop,
    "knocks": on_rooms.Knocks,
    "queue": on_rooms.Queue,
    "big-room": on_messages.BigRoom,
    "own-messages": on_messages.OwnMessages,
    "unknown-codes": on_sockets.UnknownCodes,
    "bytes-behind": on_sockets.BytesBehind,
    "half-open": on_sockets.HalfOpen,
    "byte-by-byte": on_sockets.ByteByByte,
    "bad-tokens": on_http.BadTokens,
    "posts": on_http.Posts,
    "large-bodies": on_http.LargeBodies,
    "slow-bodies": on_http.SlowBodies,
    "endless-chunks": on_http.EndlessChunks,
    "idle-http": on_http.IdleHttp,
    "log-readers": on_http.LogReaders,
    "log-pages": on_http.LogPages,
    "smuggling": on_http.Smuggling,
    "webhooks": on_webhooks.Webhooks,
}
"""The attacks, in the order in which they run."""


class Attacker:
    """The commands of the stage."""

    def __init__(self) -> None:
        self.current: Attack

    async def prepare(self, name: str, target: dict[str, Any]) -> None:
        """Do what an attack does beforehand."""
        self.current = ATTACKS[name](msgspec.convert(target, Target))
        await self.current.prepare()

    async def attack(self) -> dict[str, Any]:
        """Attack; return what came of it in words, and what the daemon must not do."""
        self.current.ends = asyncio.get_running_loop().time() + self.current.target.seconds
        note = await self.current.attack()
        return {"note": note, "faults": self.current.faults}

    async def end(self) -> None:
        """Cut every connection."""
        for line in list(self.current.lines):
            self.current.close(line)


if __name__ == "__main__":
    attacker = Attacker()
    serve({"prepare": attacker.prepare, "attack": attacker.attack, "end": attacker.end})
