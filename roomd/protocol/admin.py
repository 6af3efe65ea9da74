"""The objects of the admin interface, which is by HTTP on a Unix socket (docs/reference/admin.md)."""

from typing import Literal

import msgspec


class AdminObject(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """An object of the admin interface."""


class NodeStatus(AdminObject, frozen=True):
    """A node of the cluster, as another one sees it."""

    name: str
    """Its name."""
    state: Literal["serving", "drained", "no answer", "lost"]
    """`drained`: it has given its rooms to others. `no answer`: its lease lasts, and it did not answer. `lost`: its
    lease is over, in the last day, and it was not stopped in order."""
    generation: int
    """The number of its run."""
    address: str
    """Where others reach it, `cluster.advertise`."""
    lease_age: float
    """The seconds since its lease was renewed: it is over after three."""
    owned: int
    """The rooms whose owner it is, also those that nobody uses; 0 while the database does not answer."""
    version: str | None = None
    """Its version; null without an answer, as are those that follow."""
    rooms: int | None = None
    """Of the rooms that it has, those in which somebody has a seat or waits for one."""
    members: int | None = None
    """The connected people in them, whichever node they are connected to."""
    connections: int | None = None
    """Its open WebSockets."""


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
    """The absolute path of the database, or its URL without user and password."""
    addresses: list[str]
    """Where it listens."""
    log_level: str
    """The least severe level that is logged."""
    node: str | None = None
    """The name of this node; null for a daemon that is alone."""
    nodes: list[NodeStatus] = []
    """All nodes of the cluster, by name; empty for a daemon that is alone."""


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


class Distribution(AdminObject, frozen=True):
    """How often values since the start fell below bounds."""

    bounds: list[float]
    """The upper bounds, in rising order."""
    counts: list[int]
    """The number of values between each bound and the one before; the last one has no bound."""
    total: float
    """The sum of all values."""


class BusyRoom(AdminObject, frozen=True):
    """A room in use."""

    code: str
    """Its code."""
    members: int
    """The seats with a connection."""
    held: int
    """The seats that are held without one."""
    waiting: int
    """The people who wait for a seat."""
    rate: float
    """The commands a second, such as joins and messages, since somebody last asked for the activity."""


class Activity(AdminObject, frozen=True):
    """What the daemon does now. Totals count from its start, so two of these give rates."""

    version: str
    """Its version."""
    pid: int
    """The id of its process."""
    uptime: float
    """The seconds since its start."""
    is_draining: bool
    """Whether it takes no newcomers."""
    rooms: int
    """The rooms in which somebody has a seat or waits for one."""
    members: int
    """The seats with a connection."""
    held: int
    """The seats that are held without one."""
    waiting: int
    """The people who wait for a seat."""
    connections: int
    """The open WebSockets."""
    strangers: int
    """The connections without a seat and a token."""
    limit: int
    """The most connections."""
    requests: int
    """The requests in all."""
    joins: int
    """The `join-room` requests that were answered, with a seat, a place in the queue or an error."""
    resumes: int
    """The same of `resume`."""
    refusals: int
    """The `error` replies in all."""
    received: int
    """The bytes of frames received."""
    sent: int
    """The bytes of frames sent."""
    commits: Distribution
    """The seconds of transactions."""
    lag: Distribution
    """The seconds by which the event loop was late."""
    memory: int
    """The bytes of the process that are in memory."""
    busiest: list[BusyRoom]
    """The rooms with the highest rate, then with the most people."""
    slow: int
    """The clients that read so slowly that they get no events."""
    slowest: list[ConnectionStatus]
    """Those of them for whom most waits."""
    nodes: "list[NodeActivity]" = []
    """What all nodes of the cluster do, this one included, by name; empty for a daemon that is alone."""


class NodeActivity(AdminObject, frozen=True):
    """What a node of the cluster does now."""

    name: str
    """Its name."""
    state: Literal["serving", "drained", "no answer", "lost"]
    """As in `NodeStatus`."""
    activity: Activity | None
    """What it does; null without an answer."""


class DrainNode(AdminObject, frozen=True):
    """The request to have a node give its rooms to the others, or take rooms again."""

    node: str
    """The name of the node."""
    is_drained: bool = True
    """Whether it gives them up."""


class Drained(AdminObject, frozen=True):
    """The node has given its rooms up, or takes rooms again."""

    rooms: int
    """The rooms that it has given up."""


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


class Webhook(AdminObject, frozen=True):
    """An endpoint of webhooks."""

    name: str
    """Its name in the configuration."""
    state: Literal["delivering", "failing", "gone"]
    """`failing`: the last attempt failed, and the next one waits. `gone`: it has answered 410 and gets nothing."""
    position: str | None
    """Up to where it has the event log; null until it has a place in it."""
    behind: int
    """The events behind this position, also those of types that it does not get."""
    age: float
    """The age of the oldest of them, in seconds."""
    delivered_at: str | None
    """When an event was last delivered (RFC 3339)."""
    failures: int
    """The attempts that have failed since one succeeded."""
    error: str | None
    """Why the last attempt that failed did, since the daemon started."""
    failed_at: str | None
    """When that was."""
    lost: int
    """The events that were deleted from the log before they were delivered, since the daemon started."""
    types: list[str]
    """The types of events that it gets; empty for all."""
    node: str | None = None
    """The node that pushes to it; null for a daemon that is alone."""


class WebhookList(AdminObject, frozen=True):
    """The endpoints of webhooks, in the order of the configuration."""

    webhooks: list[Webhook]
    unknown: list[str] = []
    """In a cluster: the endpoints that no node which answers pushes to."""


class WebhookName(AdminObject, frozen=True):
    """The request to test an endpoint, or to enable it again."""

    name: str
    """Its name."""


class WebhookMove(AdminObject, frozen=True):
    """The request to have an endpoint go on somewhere else."""

    name: str
    """Its name."""
    position: str
    """The position after which it goes on; `latest` to skip to the end, `oldest` to replay all."""


class WebhookTested(AdminObject, frozen=True):
    """What came of a test event."""

    id: str
    """The id of the event."""
    status: int | None
    """The status of the response; null without one."""
    error: str | None
    """Why it was not delivered; null when it was."""
    seconds: float
    """How long it took."""


class Forget(AdminObject, frozen=True):
    """The request to forget somebody: a user, or a guest. One of the two ids is given."""

    user_id: str | None = None
    """The user id."""
    participant_id: str | None = None
    """The participant id of the guest."""
    is_dry_run: bool = False
    """Whether nothing is changed, and only counted what would be."""


class Forgotten(AdminObject, frozen=True):
    """How much was forgotten, or would be."""

    pseudonym: str | None
    """What stands in place of the user id and the names now; null when nothing was found, and for a dry run."""
    stays: int
    """The stays whose names, ids, states and metadata were replaced."""
    messages: int
    """The messages that were deleted: sent ones, and private ones to this person."""
    bans: int
    """The bans that were deleted."""
    rooms: int
    """The ended rooms whose host was replaced."""
    events: int
    """The log events that were rewritten, or deleted with the message in them."""
    is_wiped: bool
    """Whether nothing is left in the file; false while another program reads the database."""


class Done(AdminObject, frozen=True):
    """The operation is done."""


class Failed(AdminObject, frozen=True):
    """The operation was refused, or has failed."""

    error: str
    """What is wrong, for people."""
