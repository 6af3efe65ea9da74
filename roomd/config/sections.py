"""Every setting, declared once: its default, its bounds and its line of documentation.

`roomd default-config` and docs/reference/configuration.md are generated from these structs.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from roomd.config.ages import Age
from roomd.config.cluster import ClusterConfig
from roomd.config.retention import RetentionConfig
from roomd.config.tables import NEW_CONNECTIONS, RESTART, Section
from roomd.config.webhooks import WebhooksConfig

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
"""A length of time in seconds, at most a day."""

Rate = Annotated[float, Meta(gt=0, le=1e18)]
"""Units a second."""
Burst = Annotated[float, Meta(ge=1, le=1e18)]
"""Units at once."""

LogLevel = Literal["debug", "info", "warning", "error"]
Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]


class ConfigError(Exception):
    """A setting is wrong; the text names the source, the key and what is allowed."""


UNIX = "unix"
"""The entry of `server.trusted_proxies` for every proxy that connects by a Unix socket."""


class ServerConfig(Section, frozen=True):
    """Where roomd listens and how it logs."""

    host: Annotated[
        str,
        Meta(min_length=1, description="Address to listen on; 0.0.0.0 for all of IPv4, :: for all of IPv6 and IPv4."),
        RESTART,
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 lets the system choose one."), RESTART] = 8765
    listen: Annotated[
        tuple[str, ...],
        Meta(description="Addresses to listen on in place of host and port, like 127.0.0.1:8765, [::]:8765 and "
             "unix:/run/roomd/http.sock. Empty: host and port."),
        RESTART,
    ] = ()  # fmt: skip
    socket_mode: Annotated[
        str,
        Meta(pattern="^0?[0-7]{3}$", description="Access rights of the Unix sockets, in octal. 666 lets every user "
             "of this machine connect, so that a proxy of another user can, as by TCP on 127.0.0.1. 660: roomd's user "
             "and group. The rights of the folder count too."),
        RESTART,
    ] = "666"  # fmt: skip
    path: Annotated[str, Meta(pattern="^/[!-~]*$", description="Path of the WebSocket, starting with /."), RESTART] = (
        "/ws"
    )
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins of the web pages that may connect, like https://meet.example. Empty allows all; "
             "users are identified by tokens, never by cookies."),
    ] = ()  # fmt: skip
    ping_interval: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="Seconds of silence after which a client is pinged; after as long again it is disconnected.",
        ),
    ] = 20.0
    log_level: Annotated[LogLevel, Meta(description="Least severe level that is logged.")] = "info"
    log_addresses: Annotated[
        Literal["full", "masked", "none"],
        Meta(description="How clients' addresses are logged: in full, as their network (/24, /48), or not at all."),
    ] = "full"
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Networks of proxies whose X-Forwarded-For or Forwarded is believed; unix: Unix sockets."),
    ] = ("127.0.0.0/8", "::1/128", UNIX)
    demo: Annotated[bool, Meta(description="Serve the meeting page at /."), RESTART] = True


class AuthConfig(Section, frozen=True):
    """How tokens are verified.

    Set at most one of secret, secret_file, public_key_file and jwks_url. With none of them, the first start creates a
    random secret beside the database, if that is a file.
    """

    secret: Annotated[
        str | None,
        Meta(description="Shared secret for HS256, at least 32 bytes. Prefer the environment or secret_file."),
    ] = None
    secret_file: Annotated[str | None, Meta(description="File with that secret; only its owner may read it.")] = None
    public_key_file: Annotated[
        str | None, Meta(description="PEM file with the issuer's public key: RSA, EC P-256 or Ed25519.")
    ] = None
    jwks_url: Annotated[
        str | None, Meta(description="URL of the issuer's JSON Web Key Set. It is fetched again for an unknown key id.")
    ] = None
    ticket_secret_file: Annotated[
        str | None,
        Meta(description="File with the secret for the tokens that roomd gives for tickets, where others come from an "
             "issuer with public keys. Not set: a random secret beside the database. database.url needs it."),
    ] = None  # fmt: skip
    algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(description="Accepted algorithms. Empty means HS256 with a secret, otherwise RS256, ES256 and EdDSA."),
    ] = ()
    issuer: Annotated[str | None, Meta(description="Required value of the claim iss; not set: iss is not checked.")] = (
        None
    )
    audience: Annotated[
        str | None, Meta(description="Required value of the claim aud; not set: aud is not checked.")
    ] = None
    leeway: Annotated[Seconds, Meta(description="Seconds by which the issuer's clock may differ."), NEW_CONNECTIONS] = (
        10.0
    )
    grace: Annotated[
        Seconds,
        Meta(description="Seconds for which a seat carries host rights after its user's token has expired."),
    ] = 43_200.0

    @property
    def has_issuer(self) -> bool:
        """Whether tokens come from an issuer with public keys, so that roomd does not sign them."""
        return self.public_key_file is not None or self.jwks_url is not None


class DatabaseConfig(Section, frozen=True):
    """Where rooms, participants, messages and bans are stored."""

    path: Annotated[
        str, Meta(min_length=1, description="SQLite file. Its folder is created when missing."), RESTART
    ] = "var/roomd.db"
    url: Annotated[
        str | None,
        Meta(description="PostgreSQL in place of the file, like postgresql://roomd@db.example/roomd. busy_timeout and "
             "reserve do not apply. Prefer a password file (passfile=...) to a password in it."), RESTART,
    ] = None  # fmt: skip
    synchronous: Annotated[
        Literal["FULL", "NORMAL"],
        Meta(description="FULL: a commit survives a power cut. NORMAL: a commit survives kill -9, and a power cut "
             "may undo the last commits."), RESTART,
    ] = "FULL"  # fmt: skip
    busy_timeout: Annotated[
        Seconds,
        Meta(description="Seconds to wait while another program has locked the database."),
        RESTART,
    ] = 5.0
    reserve: Annotated[
        int,
        Meta(ge=0, le=1 << 50, description="Bytes of free space below which new rooms and messages are refused, so "
             "that people can still join and leave, and hosts lock and end rooms. 0: never."), RESTART,
    ] = 268_435_456  # fmt: skip


class RoomsConfig(Section, frozen=True):
    """How rooms behave."""

    seat_hold: Annotated[Seconds, Meta(description="Seconds a seat is held after its connection dropped.")] = 30.0
    host_passes_lock: Annotated[
        bool, Meta(description="Whether the host and admins may join a locked room, also as newcomers.")
    ] = True
    history_for_newcomers: Annotated[
        Literal["all", "since-joined", "none"],
        Meta(description="The historyVisible of new rooms whose host chooses none: which messages a newcomer may read. "
             "all: every one. since-joined: those sent since they got their seat. none: only their own."),
    ] = "all"  # fmt: skip
    address_ban: Annotated[
        float,
        Meta(ge=1, le=2_592_000, description="Seconds for which the ban of a guest keeps guests of the same network "
             "address out of the room. This is a hurdle, not a wall: whoever gets another address can come back."),
    ] = 3600.0  # fmt: skip
    show_user_ids: Annotated[
        Literal["all", "users"],
        Meta(description="Who sees the user ids of participants and hosts: all, or users only. "
             "Guests, and people outside without a token, then see names alone. "
             "A user without a name claim is shown by the user id; give tokens a name."),
    ] = "all"  # fmt: skip
    code_groups: Annotated[
        int,
        Meta(ge=3, le=5, description="Groups of three letters in the code of a new room. "
             "Each one more makes a code 17,576 times as hard to guess."),
    ] = 3  # fmt: skip


class IceConfig(Section, frozen=True):
    """STUN and TURN servers, which browsers need to reach each other across networks.

    None are set by default: on one network none are needed.
    """

    stun: Annotated[
        tuple[str, ...],
        Meta(description="STUN servers, like stun:turn.example:3478. A TURN server is a STUN server too."),
    ] = ()
    turn: Annotated[
        tuple[str, ...],
        Meta(description="TURN servers, like turn:turn.example:3478 or turns:turn.example:5349?transport=tcp. "
             "All use the same secret."),
    ] = ()  # fmt: skip
    turn_secret: Annotated[
        str | None,
        Meta(description="The static-auth-secret of those servers, at least 20 bytes. "
             "Prefer the environment or turn_secret_file."),
    ] = None  # fmt: skip
    turn_secret_file: Annotated[str | None, Meta(description="File with that secret; only its owner may read it.")] = (
        None
    )
    # coturn checks the expiry when an allocation is created, other servers also at each refresh. A browser cannot renew
    # the credentials of an existing allocation. So there a relayed connection may end when they expire; an ICE restart
    # then makes a new one, with the credentials that the client has got by then.
    turn_ttl: Annotated[
        int,
        Meta(ge=60, le=86_400, description="Seconds for which TURN credentials are valid at most. They last an hour, "
             "and twice as long each time the participant has been in the room for that long, up to this."),
    ] = 21_600  # fmt: skip


class LimitsConfig(Section, frozen=True):
    """Bounds on what one client, or all clients together, may use. In a cluster each node counts for itself."""

    frame: Annotated[
        int, Meta(ge=1024, le=1 << 24, description="Largest frame a client may send, in bytes."), NEW_CONNECTIONS
    ] = 65_536
    max_participants: Annotated[int, Meta(ge=2, le=100_000, description="Largest maxParticipants a room may have.")] = (
        1000
    )
    connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Connections at the same time. One more is closed with 1013.")
    ] = 10_000
    request_rate: Annotated[
        Rate,
        Meta(description="Requests per second that one user, guest seat or unjoined address may send, on average."),
    ] = 500.0
    request_burst: Annotated[Burst, Meta(description="Requests at once before request_rate applies.")] = 1000.0
    received_rate: Annotated[
        Rate, Meta(description="Bytes per second that one user, guest seat or unjoined address may send, on average.")
    ] = 1048576.0
    received_burst: Annotated[Burst, Meta(description="Bytes at once before received_rate applies.")] = 16777216.0
    told_rate: Annotated[
        Rate,
        Meta(
            description="Bytes a second of events that one user or guest seat may send to all recipients, on average."
        ),
    ] = 8388608.0
    told_burst: Annotated[Burst, Meta(description="Bytes at once before told_rate applies.")] = 67108864.0
    stored_rate: Annotated[
        Rate, Meta(description="Bytes per second that one user or guest seat may have stored, on average.")
    ] = 1024.0
    stored_burst: Annotated[Burst, Meta(description="Bytes at once before stored_rate applies.")] = 67108864.0
    read_rate: Annotated[
        Rate,
        Meta(description="Rows per second that one user or guest seat may have read from the database, on average."),
    ] = 2000.0
    read_burst: Annotated[Burst, Meta(description="Rows at once before read_rate applies.")] = 50000.0
    room_told_rate: Annotated[
        Rate,
        Meta(description="Bytes per second of events that the members of one room together may cause, on average."),
    ] = 1048576.0
    room_told_burst: Annotated[Burst, Meta(description="Bytes at once before room_told_rate applies.")] = 8388608.0
    room_stored_rate: Annotated[
        Rate, Meta(description="Bytes per second that the members of one room together may have stored, on average.")
    ] = 16384.0
    room_stored_burst: Annotated[Burst, Meta(description="Bytes at once before room_stored_rate applies.")] = (
        1073741824.0
    )
    address_stored_rate: Annotated[
        Rate, Meta(description="Bytes per second that the guests of one address together may have stored, on average.")
    ] = 4096.0
    address_stored_burst: Annotated[Burst, Meta(description="Bytes at once before address_stored_rate applies.")] = (
        268435456.0
    )
    failure_rate: Annotated[
        Rate, Meta(description="Refused joins, bad tokens and unknown codes per second of one address, on average.")
    ] = 50.0
    failure_burst: Annotated[Burst, Meta(description="The same at once before failure_rate applies.")] = 10_000.0
    arrival_rate: Annotated[
        Rate, Meta(description="Connections without a seat per second of one address, on average.")
    ] = 100.0
    arrival_burst: Annotated[Burst, Meta(description="The same at once before arrival_rate applies.")] = 5000.0
    stranger_request_rate: Annotated[
        Rate,
        Meta(
            description="Requests per second that all clients without a seat and a token may send together, on average."
        ),
    ] = 1000.0
    stranger_request_burst: Annotated[
        Burst, Meta(description="Requests at once before stranger_request_rate applies.")
    ] = 20_000.0
    stranger_received_rate: Annotated[
        Rate,
        Meta(description="Bytes per second that all clients without a seat and a token may send together, on average."),
    ] = 4194304.0
    stranger_received_burst: Annotated[
        Burst, Meta(description="Bytes at once before stranger_received_rate applies.")
    ] = 67108864.0
    memory: Annotated[
        int,
        Meta(ge=1 << 20, le=1 << 40, description="Bytes that may be unfinished or unread for all clients together. "
             "Beyond it the clients with the most are disconnected, those without a seat first."),
    ] = 134_217_728  # fmt: skip
    outbox: Annotated[
        int,
        Meta(
            ge=65_536,
            description="Bytes that may wait for one client. With more, it gets no events until all of them were sent, "
            "and then a new `room-state`. With twice as many, its requests wait too.",
        ),
        NEW_CONNECTIONS,
    ] = 2_097_152
    room_bytes: Annotated[
        int,
        Meta(ge=1, le=1 << 50, description="Bytes that the messages of one room may have in the database, about. One "
             "more is refused."),
    ] = 268_435_456  # fmt: skip
    join_timeout: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds a client may be silent before its first join.")
    ] = 60.0


class AdminConfig(Section, frozen=True):
    """The admin interface, for `roomd status`, `roomd reload` and others."""

    socket: Annotated[
        str | None,
        Meta(description="Unix socket that only root and the user of the daemon may use. Not set: beside "
             "the database, with its name and the ending .sock."),
        RESTART,
    ] = None  # fmt: skip


class MetricsConfig(Section, frozen=True):
    """Metrics for Prometheus, at /metrics of an address of their own. The admin interface has them too."""

    listen: Annotated[
        str | None,
        Meta(description="Where to serve them: a port of this machine like 9464, or an address like 0.0.0.0:9464, "
             "[::]:9464 or unix:/run/roomd/metrics.sock. Not set: nowhere. Whoever reaches it can read them."),
        RESTART,
    ] = None  # fmt: skip


class EventsConfig(Section, frozen=True):
    """The event log: what happens in all rooms, for a backend to read."""

    enabled: Annotated[
        bool,
        Meta(description="Whether the log is written. A start with false ends the log: what is written after a later "
             "start is another log, and positions of before are refused."), RESTART,
    ] = True  # fmt: skip
    keep: Annotated[
        Age,
        Meta(description="How long events are kept: seconds, or like 90m, 36h or 7d. A reader that was away for longer "
             "is told that it has missed events."),
    ] = "7d"  # fmt: skip
    messages: Annotated[
        bool, Meta(description="Whether messages to everyone are in the log too, with their text. Private ones never.")
    ] = False


class Config(Section, frozen=True):
    """The whole configuration."""

    server: ServerConfig = ServerConfig()
    auth: AuthConfig = AuthConfig()
    database: DatabaseConfig = DatabaseConfig()
    rooms: RoomsConfig = RoomsConfig()
    ice: IceConfig = IceConfig()
    limits: LimitsConfig = LimitsConfig()
    admin: AdminConfig = AdminConfig()
    metrics: MetricsConfig = MetricsConfig()
    events: EventsConfig = EventsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    cluster: ClusterConfig = ClusterConfig()
    retention: RetentionConfig = RetentionConfig()


def admin_socket(config: Config) -> Path:
    """Return the path of the admin interface's socket."""
    return Path(config.admin.socket) if config.admin.socket else Path(config.database.path).with_suffix(".sock")
