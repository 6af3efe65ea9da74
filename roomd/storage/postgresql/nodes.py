"""The nodes of a cluster and the owners of rooms, in PostgreSQL. All times are those of the server."""

from collections.abc import Collection, Mapping, Sequence

from roomd.cluster.ports import Claimed, Found, Held, Listed, Node, Replaced
from roomd.storage.postgresql.connection import Row
from roomd.storage.postgresql.store import Connections, PostgresqlStore

_REGISTER = """
    INSERT INTO nodes VALUES ($1, nextval('node_generations'), $2, clock_timestamp() + make_interval(secs => $3))
    ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, address = excluded.address,
    lease_until = excluded.lease_until, is_leaving = false RETURNING generation
"""
_BEAT = """
    UPDATE nodes SET lease_until = clock_timestamp() + make_interval(secs => $3), is_leaving = $4
    WHERE name = $1 AND generation = $2 RETURNING 1
"""
_LIVE = """
    SELECT name, generation, extract(epoch FROM lease_until - clock_timestamp())::float8, is_leaving FROM nodes
    WHERE lease_until > clock_timestamp() ORDER BY generation
"""
_LISTED = """
    SELECT name, generation, address, extract(epoch FROM lease_until - clock_timestamp())::float8, is_leaving,
        coalesce(counted.rooms, 0)
    FROM nodes LEFT JOIN (SELECT generation, count(*) AS rooms FROM owners GROUP BY generation) AS counted
        USING (generation)
    WHERE lease_until > clock_timestamp() - interval '1 day' ORDER BY name
"""
_RETIRE = "UPDATE nodes SET lease_until = '-infinity' WHERE name = $1 AND generation = $2"
_GIVE_UP = "UPDATE owners SET generation = 0, version = version + 1 WHERE generation = $1"
_FIND = """
    SELECT rooms.id, nodes.name, nodes.generation FROM rooms LEFT JOIN owners ON owners.room_id = rooms.id
    LEFT JOIN nodes ON nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp()
    WHERE rooms.code = $1
"""
_CLAIM = """
    INSERT INTO owners SELECT id, $2, 1 FROM rooms WHERE code = $1
    ON CONFLICT (room_id) DO UPDATE SET generation = excluded.generation, version = owners.version + 1
    WHERE owners.generation = excluded.generation OR NOT EXISTS (
        SELECT 1 FROM nodes WHERE nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp()
    )
    RETURNING room_id, version
"""
_TAKE_DUTIES = """
    WITH taken AS (
        INSERT INTO duties SELECT wanted.name, $2 FROM unnest($1::text[]) AS wanted (name) WHERE NOT EXISTS (
            SELECT 1 FROM duties JOIN nodes USING (generation)
            WHERE duties.name = wanted.name AND nodes.lease_until > clock_timestamp()
        )
        ON CONFLICT (name) DO UPDATE SET generation = excluded.generation WHERE NOT EXISTS (
            SELECT 1 FROM nodes WHERE nodes.generation = duties.generation AND nodes.lease_until > clock_timestamp()
        )
        RETURNING name
    )
    SELECT name FROM taken UNION SELECT name FROM duties WHERE generation = $2 AND name = ANY($1::text[])
"""
_GIVE_UP_DUTIES = "DELETE FROM duties WHERE name = ANY($1::text[]) AND generation = $2"
_DUTIES = """
    SELECT duties.name, nodes.name, generation FROM duties JOIN nodes USING (generation)
    WHERE lease_until > clock_timestamp()
"""
_ORPHANS = """
    SELECT rooms.code FROM (SELECT DISTINCT room_id FROM participants WHERE left_at IS NULL) AS taken
    JOIN rooms ON rooms.id = taken.room_id LEFT JOIN owners ON owners.room_id = taken.room_id
    WHERE NOT rooms.is_deleted AND NOT EXISTS (
        SELECT 1 FROM nodes WHERE nodes.generation = owners.generation AND nodes.lease_until > clock_timestamp()
    ) LIMIT $1
"""


class StoredOwners:
    """The tables of nodes and owners. It implements `cluster.ports.Owners`. Every method may raise `StorageFailed`.

    Beats use the connection of `session`, and what rooms wait for uses `claimers`, so that neither waits behind others
    on connections that have no answer. What is not answered in time is given up: a claim that is stored nevertheless
    only raises the version of a room, and so does no harm.
    """

    def __init__(self, database: PostgresqlStore, claimers: Connections, session: Connections) -> None:
        self._database = database
        self._claimers = claimers
        self._session = session

    async def register(self, name: str, address: str, lease: float) -> Node:
        """Begin a run of a node, with a lease for `lease` seconds. An earlier run of it has none any more."""
        ((generation,),) = await self._fetch(_REGISTER, name, address, lease)
        return Node(name, generation)

    async def beat(self, node: Node, lease: float, *, is_leaving: bool = False) -> Mapping[Node, Held]:
        """Renew the lease for `lease` seconds from now, and note whether the node gives its rooms to others.

        Return every node whose lease is not over. Raises `Replaced`.
        """
        async with self._database.reading(self._session) as db:
            is_renewed = await db.fetch(_BEAT, *node, lease, is_leaving)
            live = await db.fetch(_LIVE)
        if not is_renewed:
            raise Replaced
        return {Node(name, generation): Held(*rest) for name, generation, *rest in live}

    async def listed(self) -> list[Listed]:
        """Read the nodes with a lease, and those whose lease was over in the last day, in the order of their names."""
        rows = await self._database.fetch(_LISTED)
        return [Listed(Node(name, generation), *rest) for name, generation, *rest in rows]

    async def retire(self, node: Node) -> None:
        """End the lease, and give up all rooms of the node."""
        async with self._database.reading(self._claimers) as db:
            await db.execute(_RETIRE, *node)
            await db.execute(_GIVE_UP, node.generation)

    async def find(self, code: str) -> Found | None:
        """Find the owner of a room by its code; None without such a room."""
        rows = await self._fetch(_FIND, code)
        if not rows:
            return None
        ((room_id, name, generation),) = rows
        return Found(room_id, Node(name, generation) if name is not None else None)

    async def claim(self, code: str, node: Node) -> Claimed | Node | None:
        """Make a node the owner of a room, unless another one is whose lease is not over: then return that one.

        None without such a room.
        """
        async with self._database.reading(self._claimers) as db:
            if claimed := await db.fetch(_CLAIM, code, node.generation):
                ((room_id, version),) = claimed
                live = frozenset(generation for _, generation, *_ in await db.fetch(_LIVE))
                return Claimed(room_id, version, live)
        found = await self.find(code)
        return (found.owner or node) if found is not None else None

    async def release(self, node: Node, room_ids: Sequence[str] | None) -> None:
        """Give up rooms, as far as the node still has them; all of them for None."""
        if room_ids is None:
            await self._fetch(_GIVE_UP, node.generation)
        else:
            await self._fetch(f"{_GIVE_UP} AND room_id = ANY($2::text[])", node.generation, list(room_ids))

    async def take_duties(self, names: Sequence[str], node: Node) -> Collection[str]:
        """Give a node, whose lease must be held, the duties that no node with a lease has. Return those that it has."""
        return {name for (name,) in await self._fetch(_TAKE_DUTIES, list(names), node.generation)}

    async def give_up_duties(self, names: Sequence[str], node: Node) -> None:
        """Give up duties, as far as the node still has them."""
        await self._fetch(_GIVE_UP_DUTIES, list(names), node.generation)

    async def duties(self) -> dict[str, Node]:
        """Read who has which duties, among the nodes whose leases are not over."""
        return {duty: Node(*node) for duty, *node in await self._fetch(_DUTIES)}

    async def orphans(self, limit: int) -> list[str]:
        """Read the codes of rooms, at most `limit`, with seats and without an owner whose lease is not over."""
        return [code for (code,) in await self._database.fetch(_ORPHANS, limit)]

    async def _fetch(self, sql: str, *values: object) -> list[Row]:
        async with self._database.reading(self._claimers) as db:
            return await db.fetch(sql, *values)
