"""Tickets: which are accepted, and what the token that is given for one is worth."""

from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from roomd.auth.keys import OWN_KEY_ID, find_own_key, make_own_key, open_keys, policy
from roomd.auth.orders import TokenOrder
from roomd.auth.tickets import mint_token, read_ticket
from roomd.auth.tokens import Identity, Key, Policy, mint, verify
from roomd.config import AuthConfig, local_secret_file
from roomd.protocol.errors import INVALID_TOKEN, TOKEN_EXPIRED, ErrorKind, Refused

NOW = 1_772_534_100.0
SECRET = b"a secret for tests only, 32 bytes and more"
KEY = Key(SECRET, "HS256")
POLICY = Policy(["HS256"], leeway=10)
EC = ec.generate_private_key(ec.SECP256R1())


def signed(**claims: Any) -> str:
    """Sign a ticket of alice's for five minutes, with other claims than usual."""
    usual = {"sub": "alice", "exp": NOW + 300, "jti": "t1"}
    return jwt.encode({k: v for k, v in {**usual, **claims}.items() if v is not None}, SECRET, "HS256")


GOOD: dict[str, tuple[dict[str, Any], Identity]] = {
    "as short as can be": ({}, Identity("alice", "alice", NOW + 300)),
    "the longest": ({"exp": NOW + 610}, Identity("alice", "alice", NOW + 610)),
    "with a time for the token": ({"roomd": {"ticket": 3600}}, Identity("alice", "alice", NOW + 3600)),
    "with rights and a name": (
        {"name": "Alice", "roomd": {"room": "ABC DEF GHI", "admin": True, "ticket": 60}},
        Identity("alice", "Alice", NOW + 60, "abc-def-ghi", is_admin=True),
    ),
    "with all that it can say": (
        {"roomd": {"room": "abc-def-ghi", "host": True, "create": False, "metadata": {"n": 1}, "ticket": 60}},
        Identity("alice", "alice", NOW + 60, "abc-def-ghi", is_cohost=True, may_create=False, metadata={"n": 1}),
    ),
    "hidden": (
        {"roomd": {"admin": True, "hidden": True, "ticket": 60}},
        Identity("alice", "alice", NOW + 60, is_admin=True, is_hidden=True),
    ),
    "with a name as long as no claim may be": ({"sub": "a" * 128}, Identity("a" * 128, "a" * 128, NOW + 300)),
}


@pytest.mark.parametrize(("claims", "identity"), GOOD.values(), ids=GOOD)
def test_the_token_says_what_the_ticket_says(claims: dict[str, Any], identity: Identity) -> None:
    """User, name and rights go over; the time is that which the ticket names, or what is left of the ticket's own."""
    ticket = read_ticket(signed(**claims), [KEY], POLICY, NOW)
    assert ticket.identity == identity
    assert ticket.valid_until == (claims.get("exp") or NOW + 300) + POLICY.leeway
    token = mint_token(ticket, KEY, POLICY, NOW)
    assert verify(token, [KEY], POLICY, NOW) == identity


BAD: dict[str, tuple[dict[str, Any], ErrorKind]] = {
    "without jti": ({"jti": None}, INVALID_TOKEN),
    "with an empty jti": ({"jti": ""}, INVALID_TOKEN),
    "with a long jti": ({"jti": "x" * 129}, INVALID_TOKEN),
    "with a number as jti": ({"jti": 7}, INVALID_TOKEN),
    "valid for too long": ({"exp": NOW + 611}, INVALID_TOKEN),
    "expired": ({"exp": NOW - 11}, TOKEN_EXPIRED),
    "for a token that lasts no time": ({"roomd": {"ticket": 0}}, INVALID_TOKEN),
    "for a token that lasts too long": ({"roomd": {"ticket": 1e9}}, INVALID_TOKEN),
    "for a token of a wrong type": ({"roomd": {"ticket": True}}, INVALID_TOKEN),
    "without a user": ({"sub": None}, INVALID_TOKEN),
}


@pytest.mark.parametrize(("claims", "kind"), BAD.values(), ids=BAD)
def test_what_is_no_ticket(claims: dict[str, Any], kind: ErrorKind) -> None:
    """It needs an id, and an end that is near."""
    with pytest.raises(Refused) as caught:
        read_ticket(signed(**claims), [KEY], POLICY, NOW)
    assert caught.value.kind == kind
    assert caught.value.reason


def test_a_ticket_is_no_token() -> None:
    """What a link has is of no use for a connection, but for the exchange."""
    text = mint(SECRET, TokenOrder(user="alice", ttl=3600).as_ticket("t1"), NOW)
    assert read_ticket(text, [KEY], POLICY, NOW).identity.expires_at == NOW + 3600
    with pytest.raises(Refused) as caught:
        verify(text, [KEY], POLICY, NOW)
    assert (caught.value.kind, caught.value.reason) == (
        INVALID_TOKEN,
        "it is a ticket, which `authenticate` takes as `ticket`",
    )


def test_a_ticket_is_known_by_its_issuer_and_its_id() -> None:
    """The same id of the same issuer is the same ticket, whatever else it says."""
    given: list[dict[str, Any]] = [{}, {"exp": NOW + 9}, {"sub": "bob"}, {"jti": "t2"}, {"iss": "a"}, {"iss": "b"}]
    keys = [read_ticket(signed(**claims), [KEY], POLICY, NOW).key for claims in (*given, {"jti": "\ud83d"})]
    assert len(set(keys[:3])) == 1
    assert len(set(keys)) == 5


@pytest.mark.parametrize(("fraction", "excess"), [(0.0, 0), (0.25, 0), (0.25, 1)])
def test_the_longest_ticket_with_no_leeway(fraction: float, excess: int) -> None:
    """`exp` has whole seconds, so one that was rounded up is accepted, and no more."""
    now, rules = NOW + fraction, Policy(["HS256"], leeway=0)
    order = TokenOrder(user="alice", ttl=60).as_ticket("t1")
    text = mint(SECRET, msgspec.structs.replace(order, ttl=order.ttl + excess), now)
    if not excess:
        assert read_ticket(text, [KEY], rules, now).identity.expires_at == now + 60
        return
    with pytest.raises(Refused) as caught:
        read_ticket(text, [KEY], rules, now)
    assert caught.value.reason == "it is no ticket: it is valid for more than 600 seconds"


async def test_an_issuer_with_public_keys(tmp_path: Path) -> None:
    """Its backend signs the ticket, and roomd signs the token, with a key that only the daemon accepts."""
    pem = tmp_path / "issuer.pem"
    pem.write_bytes(EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    database = tmp_path / "roomd.db"
    auth = AuthConfig(public_key_file=str(pem), issuer="https://id.example", audience="roomd")
    rules = policy(auth)
    assert find_own_key(auth, database) is None
    assert not local_secret_file(database).exists()
    own = make_own_key(auth, database)
    assert find_own_key(auth, database) == own
    source = open_keys(auth, database, own)
    claims = {"sub": "alice", "exp": NOW + 300, "jti": "t1", "iss": "https://id.example", "aud": ["roomd"]}
    text = jwt.encode({**claims, "roomd": {"ticket": 3600}}, EC, "ES256")
    ticket = read_ticket(text, await source.keys_for(text), rules, NOW)
    token = mint_token(ticket, own, rules, NOW)
    assert jwt.get_unverified_header(token)["kid"] == OWN_KEY_ID
    assert verify(token, await source.keys_for(token), rules, NOW) == Identity("alice", "alice", NOW + 3600)
    forged = jwt.encode(claims, local_secret_file(database).read_bytes(), "HS256", {"kid": OWN_KEY_ID})
    plain = jwt.encode(claims, local_secret_file(database).read_bytes(), "HS256")
    for bad in (forged, plain):
        with pytest.raises(Refused) as caught:
            verify(bad, await source.keys_for(bad), rules, NOW)
        assert caught.value.kind == INVALID_TOKEN
    with pytest.raises(Refused):
        verify(token, await open_keys(auth, database).keys_for(token), rules, NOW)
    await source.close()
