"""What every connection shares, on steerable fakes."""

from typing import Any

from roomd.auth.tokens import Key, Policy
from roomd.config import LimitsConfig
from roomd.engine.hub import Hub
from roomd.gateway.addresses import address_keys
from roomd.gateway.services import Services
from roomd.ice import Ice
from roomd.system.ids import Ids
from tests.support.fakes import SECRET, FakeClock, FakeKeys, FakeStore


def services(hub: Hub, store: FakeStore, keys: FakeKeys, clock: FakeClock, **limits: Any) -> Services:
    """Put together what connections need; `limits` are those of the configuration."""
    return Services(
        hub,
        store,
        keys,
        Policy(["HS256"], leeway=10),
        clock,
        Ids(),
        LimitsConfig(**limits),
        Ice(),
        Key(SECRET, "HS256"),
        store,
        address_keys(b"k"),
    )
