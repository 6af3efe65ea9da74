"""The parts of the daemon that all connections share. A reload replaces some of them."""

import msgspec

from roomd.auth.keys import KeySource
from roomd.auth.tickets import UsedTickets
from roomd.auth.tokens import Key, Policy
from roomd.config import LimitsConfig
from roomd.counters import Counters
from roomd.engine.ports import Archive, Clock, Rooms
from roomd.eventlog.feed import Feed
from roomd.gateway.addresses import AddressKeys
from roomd.gateway.backlog import Backlog
from roomd.ice import Ice
from roomd.system.ids import Ids


class Services(msgspec.Struct):
    """The parts of the daemon that all connections share.

    A reload replaces `keys`, `policy`, `limits`, `ice` and `own_key`, all of them at once. Who awaits something between
    two of them must look whether they are still the same.
    """

    rooms: Rooms
    """All rooms."""
    archive: Archive
    """Pages of stored rooms, participants and messages."""
    keys: KeySource
    """The keys to verify tokens with."""
    policy: Policy
    """The conditions that a token must meet."""
    clock: Clock
    """The clock."""
    ids: Ids
    """The source of ids, claims and secrets."""
    limits: LimitsConfig
    """The limits for one client, and for all of them."""
    ice: Ice
    """The STUN and TURN servers."""
    own_key: Key
    """The key that signs the tokens that are given for tickets."""
    used_tickets: UsedTickets
    """The tickets that were used."""
    address_key: AddressKeys
    """The keys of network addresses."""
    counters: Counters = msgspec.field(default_factory=Counters)
    """What is counted."""
    feed: Feed = msgspec.field(default_factory=lambda: Feed(None))
    """How the event log is read."""
    backlog: Backlog = msgspec.field(default_factory=Backlog)
    """The clients that have sent more than is parsed at once."""
