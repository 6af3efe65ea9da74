"""The operations of the admin interface where several nodes serve the same rooms: they show, and reach, all of them.

A node serves for the others what it would serve for its own operator, without asking anybody else: the operations of
`SERVED`. What a node does not answer in `peers.LONGEST` seconds is said to have no answer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from roomd.admin.server import AdminError, Operation, run_operation, takes
from roomd.engine.peers import Answer, NoAnswer, NobodyElse, Peer, Peers
from roomd.engine.ports import StorageFailed
from roomd.protocol import admin

S = TypeVar("S", bound=msgspec.Struct)
State = Literal["serving", "drained", "no answer", "lost"]

DRAIN = "POST /cluster/drain"
MOVES = ("POST /webhooks/skip", "POST /webhooks/replay", "POST /webhooks/enable")
"""What the node does that pushes to the endpoint."""
SERVED = ("GET /status", "GET /activity", "GET /webhooks", DRAIN, *MOVES)
"""What nodes serve for each other."""
LONGEST_DRAIN = 25.0
"""The seconds that a node has to give its rooms up, before its operator is told that it did not answer."""


def alone_operations() -> dict[str, Operation]:
    """Return the operations of a cluster for a daemon that is no node of one."""

    def drain(_: admin.DrainNode) -> admin.Drained:
        raise AdminError("this roomd is no node of a cluster; `roomd drain` keeps newcomers away")

    return {DRAIN: takes(admin.DrainNode, drain)}


class ClusterOperations:
    """Serves the operations of all nodes. `local` are those of this one, `endpoints` returns those of webhooks."""

    def __init__(self, local: Mapping[str, Operation], peers: Peers, endpoints: Callable[[], Sequence[str]]) -> None:
        self._peers = peers
        self._endpoints = endpoints
        self._local = {**local, DRAIN: takes(admin.DrainNode, self._drain_here)}
        self.operations: Mapping[str, Operation] = {
            **local,
            "GET /status": lambda _: self._status(),
            "GET /activity": lambda _: self._activity(),
            "GET /webhooks": lambda _: self._webhooks(),
            DRAIN: self._drain,
            **{operation: self._move(operation) for operation in MOVES},
        }
        """Every operation, by "METHOD /path", for the operator of this node."""

    async def serve(self, operation: str, body: bytes) -> Answer:
        """Serve an operation for another node."""
        if operation not in SERVED:
            return Answer(404, msgspec.json.encode(admin.Failed(error="this node serves no such operation for others")))
        response = await run_operation(self._local[operation], body)
        return Answer(response.status_code, bytes(response.body))

    async def _status(self) -> admin.Status:
        own, found = await asyncio.gather(self._own("GET /status", admin.Status), self._of_all("GET /status"))
        nodes = [_node_status(peer, _decoded(answer, admin.Status)) for peer, answer in found]
        return msgspec.structs.replace(own, node=self._peers.name, nodes=nodes)

    async def _activity(self) -> admin.Activity:
        found = await self._of_all("GET /activity")
        nodes = [
            admin.NodeActivity(name=peer.name, state=_state(peer, activity), activity=activity)
            for peer, answer in found
            for activity in (_decoded(answer, admin.Activity),)
        ]
        own = next((node.activity for node in nodes if node.name == self._peers.name), None)
        own = own or await self._own("GET /activity", admin.Activity)
        return msgspec.structs.replace(own, nodes=nodes)

    async def _webhooks(self) -> admin.WebhookList:
        known: dict[str, admin.Webhook] = {}
        for peer, answer in await self._of_all("GET /webhooks"):
            listed = _decoded(answer, admin.WebhookList)
            for one in listed.webhooks if listed is not None else ():
                known[one.name] = msgspec.structs.replace(one, node=peer.name)
        names = self._endpoints()
        return admin.WebhookList(
            webhooks=[known[name] for name in names if name in known],
            unknown=[name for name in names if name not in known],
        )

    async def _drain(self, body: bytes) -> object:
        name = msgspec.json.decode(body, type=admin.DrainNode).node
        return await self._at(name, DRAIN, body, LONGEST_DRAIN)

    async def _drain_here(self, order: admin.DrainNode) -> admin.Drained:
        if not order.is_drained:
            await self._peers.take_rooms()
            return admin.Drained(rooms=0)
        try:
            return admin.Drained(rooms=await self._peers.hand_over())
        except NobodyElse:
            raise AdminError("there is no other node that takes rooms; start one, or undo the drain of one") from None

    def _move(self, operation: str) -> Operation:
        async def move(body: bytes) -> object:
            name = msgspec.json.decode(body, type=admin.WebhookName).name
            try:
                doer = await self._peers.doer(f"webhook {name}")
            except StorageFailed:
                raise AdminError("the database cannot be read or written; the daemon's log says why") from None
            return await self._at(doer or self._peers.name, operation, body)

        return move

    async def _at(self, name: str, operation: str, body: bytes, longest: float | None = None) -> object:
        """Serve an operation here or at another node, whose answer is passed on."""
        if name == self._peers.name:
            return await run_operation(self._local[operation], body)
        try:
            answer = await (
                self._peers.ask(name, operation, body)
                if longest is None
                else self._peers.ask(name, operation, body, longest)
            )
        except NoAnswer:
            names = ", ".join(peer.name for peer in await self._peers.all())
            raise AdminError(f"{name}: does not answer, or is no node; the nodes are: {names}") from None
        if answer.status != 200:
            raise AdminError(f"{name}: {msgspec.json.decode(answer.body, type=admin.Failed).error}")
        return msgspec.json.decode(answer.body)

    async def _of_all(self, operation: str) -> list[tuple[Peer, Answer | None]]:
        """Have all nodes serve an operation at the same time. None for those that do not answer."""
        peers = await self._peers.all()
        return list(zip(peers, await asyncio.gather(*(self._of(peer, operation) for peer in peers)), strict=True))

    async def _of(self, peer: Peer, operation: str) -> Answer | None:
        if peer.name == self._peers.name:
            return await self.serve(operation, b"")
        try:
            return await self._peers.ask(peer.name, operation) if peer.has_lease else None
        except NoAnswer:
            return None

    async def _own(self, operation: str, kind: type[S]) -> S:
        return msgspec.json.decode((await self.serve(operation, b"")).body, type=kind)


def _decoded(answer: Answer | None, kind: type[S]) -> S | None:
    """Return what a node has answered; None without an answer, and for that of a node with another version."""
    try:
        return msgspec.json.decode(answer.body, type=kind) if answer is not None and answer.status == 200 else None
    except msgspec.DecodeError:
        return None


def _state(peer: Peer, answer: Any) -> State:
    if not peer.has_lease:
        return "lost"
    if answer is None:
        return "no answer"
    return "drained" if peer.is_drained else "serving"


def _node_status(peer: Peer, status: admin.Status | None) -> admin.NodeStatus:
    node = admin.NodeStatus(
        name=peer.name,
        state=_state(peer, status),
        generation=peer.generation,
        address=peer.address,
        lease_age=round(peer.lease_age, 3),
        owned=peer.rooms,
    )
    if status is None:
        return node
    return msgspec.structs.replace(
        node, version=status.version, rooms=status.rooms, members=status.members, connections=status.connections
    )
