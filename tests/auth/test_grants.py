"""What the claim `roomd` grants and says: docs/protocol.md, section 2."""

from typing import Any

import jwt
import pytest

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import Identity, Key, Policy, mint, verify
from roomd.protocol.errors import INVALID_TOKEN, Refused
from tests.support.fakes import SECRET

NOW = 1_772_534_100.0
KEY = Key(SECRET, "HS256")
POLICY = Policy(["HS256"])
ROOM = "abc-def-ghi"


def token(grants: dict[str, Any]) -> str:
    """A good token of Alice's, with these grants."""
    return jwt.encode({"sub": "alice", "exp": NOW + 60, "roomd": grants}, SECRET, "HS256")


def alice(room: str | None = None, **changes: Any) -> Identity:
    """What a token of Alice's says."""
    return Identity("alice", "alice", NOW + 60, room, **changes)


NESTED = {"team": ["red", {"n": None}], "": 1.5}
GOOD: dict[str, tuple[dict[str, Any], Identity]] = {
    "co-host": ({"room": "ABC DEF GHI", "host": True}, alice(ROOM, is_cohost=True)),
    "no co-host": ({"host": False}, alice()),
    "no rooms of one's own": ({"create": False}, alice(may_create=False)),
    "rooms of one's own": ({"create": True}, alice()),
    "hidden": ({"admin": True, "hidden": True}, alice(is_admin=True, is_hidden=True)),
    "hidden in one room": (
        {"admin": True, "hidden": True, "room": ROOM},
        alice(ROOM, is_admin=True, is_hidden=True),
    ),
    "not hidden": ({"hidden": False}, alice()),
    "metadata": ({"metadata": NESTED}, alice(metadata=NESTED)),
    "most metadata": ({"metadata": {"k": "é" * 1020}}, alice(metadata={"k": "é" * 1020})),
    "metadata of no number": ({"metadata": {"k": float("nan")}}, alice(metadata={"k": None})),
    "no metadata": ({"metadata": {}}, alice()),
    "nothing": ({"host": None, "create": None, "hidden": None, "metadata": None}, alice()),
    "unknown keys": ({"cohost": 5, "publish": False}, alice()),
}


@pytest.mark.parametrize(("grants", "identity"), GOOD.values(), ids=GOOD.keys())
def test_grants(grants: dict[str, Any], identity: Identity) -> None:
    """A token says who is a co-host, may create no rooms, or is hidden, and what others are told of its user."""
    assert verify(token(grants), [KEY], POLICY, NOW) == identity


deep: dict[str, Any] = {}
for _ in range(600):
    deep = {"": deep}
_TYPE = "a key in the claim roomd has a value of a wrong type"
_SIZE = "metadata in the claim roomd has more than 2048 bytes"
_TEXT = "metadata in the claim roomd has text that JSON cannot carry"
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a co-host of no room": ({"host": True}, "host in the claim roomd needs room"),
    "a co-host of every room": ({"host": True, "admin": True}, "host in the claim roomd needs room"),
    "hidden, and no admin": ({"hidden": True}, "hidden in the claim roomd needs admin"),
    "hidden co-host": ({"hidden": True, "host": True, "room": ROOM}, "hidden in the claim roomd needs admin"),
    "host no flag": ({"host": 1, "room": ROOM}, _TYPE),
    "create no flag": ({"create": "false"}, _TYPE),
    "hidden no flag": ({"hidden": "yes", "admin": True}, _TYPE),
    "metadata a text": ({"metadata": "red"}, _TYPE),
    "metadata a list": ({"metadata": []}, _TYPE),
    "too much metadata": ({"metadata": {"k": "é" * 1021}}, _SIZE),
    "metadata too deep": ({"metadata": deep}, "metadata in the claim roomd"),
    "metadata with a lone surrogate": ({"metadata": {"k": "\ud83d"}}, _TEXT),
    "metadata with a key that is a lone surrogate": ({"metadata": {"\ud83d": 1}}, _TEXT),
}


@pytest.mark.parametrize(("grants", "reason"), BAD.values(), ids=BAD.keys())
def test_grants_that_are_refused(grants: dict[str, Any], reason: str) -> None:
    """A token whose grants cannot be honoured is refused, and the log says which."""
    with pytest.raises(Refused) as caught:
        verify(token(grants), [KEY], POLICY, NOW)
    assert caught.value.kind == INVALID_TOKEN
    assert (caught.value.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("asked", "identity"),
    [
        ({"room": ROOM, "host": True, "create": False}, alice(ROOM, is_cohost=True, may_create=False)),
        ({"admin": True, "hidden": True}, alice(is_admin=True, is_hidden=True)),
        ({"metadata": NESTED}, alice(metadata=NESTED)),
        ({"metadata": {}}, alice()),
    ],
    ids=["co-host", "hidden", "metadata", "no metadata"],
)
def test_minted_grants(asked: dict[str, Any], identity: Identity) -> None:
    """A minted token grants what was asked."""
    assert verify(mint(SECRET, TokenOrder(user="alice", ttl=60, **asked), NOW), [KEY], POLICY, NOW) == identity


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"host": True}, "host in the claim roomd needs room"),
        ({"hidden": True}, "hidden in the claim roomd needs admin"),
        ({"metadata": {"k": "x" * 2048}}, _SIZE),
    ],
)
def test_minting_grants_that_would_be_refused(asked: dict[str, Any], message: str) -> None:
    """Such a token is not made."""
    with pytest.raises(ValueError, match=message):
        mint(SECRET, TokenOrder(user="alice", ttl=60, **asked), NOW)
