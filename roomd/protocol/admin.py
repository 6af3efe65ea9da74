"""The objects of the admin interface, which is by HTTP on a Unix socket (docs/reference/admin.md)."""

import msgspec


class AdminObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """An object of the admin interface."""


class Status(AdminObject, frozen=True):
    """What the daemon is and does."""

    version: str
    """Its version."""
    pid: int
    """The id of its process."""
    started_at: str
    """When it started (RFC 3339)."""
    is_draining: bool
    """Whether it takes no newcomers: `roomd drain`."""
    rooms: int
    """The rooms in which somebody has a seat or waits for one."""
    members: int
    """The connected people with a seat, and those who wait for one."""
    connections: int
    """The open WebSockets."""
    strangers: int
    """The connections without a seat and a token, those for a plain HTTP request included."""
    limit: int
    """The most connections (`limits.connections`)."""
    memory: int
    """The bytes of the process that are in memory."""
    database: str
    """The absolute path of the database."""
    addresses: list[str]
    """Where it listens."""
    log_level: str
    """The least severe level that is logged."""


class ConnectionStatus(AdminObject, frozen=True):
    """One open WebSocket."""

    number: int
    """Its number, as in the log."""
    user_id: str | None
    """The id of its user; null for a guest."""
    seat: str | None
    """The code of the room in which it has a seat."""
    waits: str | None
    """The code of the room for which it waits."""
    participant_id: str | None
    """The id of its participant, of the seat before that of the place in a queue."""
    seconds: float
    """For how long it is open."""
    unsent: int
    """The bytes that wait to be sent."""
    is_full: bool
    """Whether it reads so slowly that it gets no events."""


class Connections(AdminObject, frozen=True):
    """The open WebSockets, the oldest first."""

    connections: list[ConnectionStatus]


class Kick(AdminObject, frozen=True):
    """The request to close a connection. Its client comes back to its seat."""

    number: int
    """The number of the connection."""


class Drain(AdminObject, frozen=True):
    """The request to take no newcomers, or to take them again."""

    is_draining: bool
    """Whether newcomers are refused."""


class Reloaded(AdminObject, frozen=True):
    """The configuration was read again."""

    changed: list[str]
    """The settings that have changed; those of files whose content has changed, too."""


class LogLevel(AdminObject, frozen=True):
    """The request to log from a level up, until the next start or reload."""

    level: str
    """debug, info, warning or error."""


class Done(AdminObject, frozen=True):
    """The operation is done."""


class Failed(AdminObject, frozen=True):
    """The operation was refused, or has failed."""

    error: str
    """What is wrong, for people."""
