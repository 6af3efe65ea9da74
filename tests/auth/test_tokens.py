"""Tokens: docs/protocol.md, section 2. What decides is the key and the configuration, never the token."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from roomd.auth.orders import TokenOrder
from roomd.auth.tokens import LONGEST_TOKEN, Identity, Key, Policy, key_id, mint, verify
from roomd.protocol.errors import INVALID_TOKEN, TOKEN_EXPIRED, ErrorKind, Refused

NOW = 1_772_534_100.0
SECRET = b"0123456789abcdef0123456789abcdef"
KEY = Key(SECRET, "HS256")
POLICY = Policy(("HS256",), leeway=10.0)
GOOD: dict[str, Any] = {"sub": "alice", "exp": NOW + 60}

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED, "HS256": SECRET}
KEYS = [
    Key(RSA.public_key(), "RS256", "rsa"),
    Key(EC.public_key(), "ES256", "ec"),
    Key(ED.public_key(), "EdDSA", "ed"),
]
PUBLIC = Policy(("RS256", "ES256", "EdDSA"))
ALL = Policy(("HS256", "RS256", "ES256", "EdDSA"))
ADDRESSED = Policy(("HS256",), issuer="https://issuer.example", audience="roomd")


def b64(data: bytes | str | dict[str, Any]) -> str:
    """Encode one part of a token."""
    if isinstance(data, dict):
        data = json.dumps(data)
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header: dict[str, Any] | str, payload: dict[str, Any] | str, secret: bytes = SECRET) -> str:
    """Sign anything at all with HMAC-SHA256, whatever the header says."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def token(**claims: Any) -> str:
    """Sign these claims on top of good ones; None leaves a claim out."""
    merged = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return forge({"alg": "HS256"}, merged)


def refusal(text: str, keys: list[Key] | None = None, policy: Policy = POLICY, now: float = NOW) -> ErrorKind:
    """Return the kind of error this token is refused with."""
    with pytest.raises(Refused) as caught:
        verify(text, [KEY] if keys is None else keys, policy, now)
    return caught.value.kind


IDENTITIES: dict[str, tuple[dict[str, Any], Identity]] = {
    "the least": ({}, Identity("alice", "alice", NOW + 60)),
    "named": ({"name": " Alice "}, Identity("alice", "Alice", NOW + 60)),
    "longest name": ({"name": "x" * 100}, Identity("alice", "x" * 100, NOW + 60)),
    "name too long": ({"name": "x" * 101}, Identity("alice", "alice", NOW + 60)),
    "name that turns the text": ({"name": "\u202ealice"}, Identity("alice", "alice", NOW + 60)),
    "name with a surrogate": ({"name": "\ud800"}, Identity("alice", "alice", NOW + 60)),
    "name empty": ({"name": ""}, Identity("alice", "alice", NOW + 60)),
    "name no text": ({"name": 5}, Identity("alice", "alice", NOW + 60)),
    "longest id": ({"sub": "x" * 128}, Identity("x" * 128, "x" * 128, NOW + 60)),
    "id of any script": ({"sub": "\u674e \U0001f600"}, Identity("\u674e \U0001f600", "\u674e \U0001f600", NOW + 60)),
    "whole seconds": ({"exp": 1_772_534_160}, Identity("alice", "alice", NOW + 60)),
    "for ever": ({"exp": 1e300}, Identity("alice", "alice", 253_402_300_799.0)),
    "expired within the leeway": ({"exp": NOW - 9.9}, Identity("alice", "alice", NOW - 9.9)),
    "not before, within the leeway": ({"nbf": NOW + 10}, Identity("alice", "alice", NOW + 60)),
    "issued within the leeway": ({"iat": NOW + 10}, Identity("alice", "alice", NOW + 60)),
    "issuer and audience nobody asked for": ({"iss": 5, "aud": ["x"]}, Identity("alice", "alice", NOW + 60)),
    "claims of others": ({"email": "a@b.example", "jti": 5}, Identity("alice", "alice", NOW + 60)),
    "grants of later": ({"roomd": {"rooms": 5, "cohost": True}}, Identity("alice", "alice", NOW + 60)),
    "name nobody sees": ({"name": "\u3164"}, Identity("alice", "alice", NOW + 60)),
    "name with an ignorable": ({"name": "Alice\u200b"}, Identity("alice", "Alice", NOW + 60)),
    "room as pasted": (
        {"roomd": {"room": "(abc\u2013def\u2013ghi)."}},
        Identity("alice", "alice", NOW + 60, "abc-def-ghi"),
    ),
    "no grants": ({"roomd": {}}, Identity("alice", "alice", NOW + 60)),
    "null grants": ({"roomd": {"room": None, "admin": None}}, Identity("alice", "alice", NOW + 60)),
    "room": ({"roomd": {"room": "ABC DEF GHI"}}, Identity("alice", "alice", NOW + 60, "abc-def-ghi")),
    "admin": ({"roomd": {"admin": True}}, Identity("alice", "alice", NOW + 60, is_admin=True)),
    "no admin": ({"roomd": {"admin": False}}, Identity("alice", "alice", NOW + 60)),
    "admin of one room": (
        {"roomd": {"room": "abcdefghi", "admin": True}},
        Identity("alice", "alice", NOW + 60, "abc-def-ghi", is_admin=True),
    ),
}


@pytest.mark.parametrize(("claims", "identity"), IDENTITIES.values(), ids=IDENTITIES.keys())
def test_identity(claims: dict[str, Any], identity: Identity) -> None:
    """A good token says who is asking; a name that cannot be shown is replaced by the user id."""
    assert verify(token(**claims), [KEY], POLICY, NOW) == identity


HUGE = 10**400
BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "no user": {"sub": None},
    "user empty": {"sub": ""},
    "user too long": {"sub": "x" * 129},
    "user a number": {"sub": 5},
    "user a list": {"sub": ["alice"]},
    "user with a control character": {"sub": "ali\x00ce"},
    "user with a C1 control character": {"sub": "ali\u0085ce"},
    "user with an ignorable character": {"sub": "alice\u200b"},
    "user with an override": {"sub": "\u202ealice"},
    "user nobody sees": {"sub": "\u2800"},
    "user with a lone surrogate": {"sub": "alice\ud800"},
    "no exp": {"exp": None},
    **{
        f"{claim} {word}": {claim: value}
        for claim in ("exp", "nbf", "iat")
        for word, value in {
            "text": "1772534160", "bool": True, "list": [NOW], "object": {}, "NaN": float("nan"),
            "endless": float("inf"), "endlessly past": float("-inf"), "beyond floats": HUGE,
        }.items()
    },
    "not yet": {"nbf": NOW + 10.1},
    "issued later": {"iat": NOW + 10.1},
    "grants a text": {"roomd": "admin"},
    "grants a list": {"roomd": [["admin", True]]},
    "grants false": {"roomd": False},
    "room empty": {"roomd": {"room": ""}},
    "room no code": {"roomd": {"room": "abc"}},
    "room a list": {"roomd": {"room": ["abc-def-ghi"]}},
    "room false": {"roomd": {"room": False}},
    "admin a number": {"roomd": {"admin": 1}},
    "admin a text": {"roomd": {"admin": "true"}},
}  # fmt: skip


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_bad_claims(claims: dict[str, Any]) -> None:
    """A claim that is missing or malformed refuses the token; grants are never guessed."""
    assert refusal(token(**claims)) == INVALID_TOKEN


REASONS: dict[str, tuple[str, list[Key] | None]] = {
    "there is no key with its key id": (jwt.encode(GOOD, EC, "ES256", {"kid": "gone"}), KEYS),
    "its algorithm is not that of the key": (jwt.encode(GOOD, SECRET * 2, "HS512"), None),
    "its signature is not by the key": (forge({"alg": "HS256"}, GOOD, SECRET[::-1]), None),
    "it is no JSON Web Token, or": ("guest", None),
    "it is no JSON Web Token: its header": ("guest", KEYS),
    "it is no JSON Web Token: its claims": (forge({"alg": "HS256"}, "[]"), None),
    "it is longer than 16384 characters": ("x" * 16_385, None),
    "its header names extensions": (forge({"alg": "HS256", "crit": ["b64"], "b64": True}, GOOD), KEYS),
    "the claim sub is missing": (token(sub=None), None),
    "the claim exp is missing": (token(exp=None), None),
    "a key in the claim roomd has a value of a wrong type": (token(roomd={"admin": 1}), None),
    "room in the claim roomd is no room code": (token(roomd={"room": "abc"}), None),
    "the claim nbf or iat is in the future": (token(nbf=NOW + 60), None),
    "the claim exp is in the past": (token(exp=NOW - 60), None),
}


@pytest.mark.parametrize(("reason", "refused"), REASONS.items(), ids=REASONS.keys())
def test_reason(reason: str, refused: tuple[str, list[Key] | None]) -> None:
    """A refusal has the reason for the log. The token is not in it."""
    text, keys = refused
    with pytest.raises(Refused) as caught:
        verify(text, [KEY] if keys is None else keys, ALL if keys else POLICY, NOW)
    assert caught.value.reason is not None
    assert caught.value.reason.startswith(reason)
    assert text not in caught.value.reason
    assert caught.value.message == caught.value.kind.message


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_null_is_no_time(claim: str) -> None:
    """A time that is null refuses the token: it is there, and it is no number."""
    assert refusal(forge({"alg": "HS256"}, {**GOOD, claim: None})) == INVALID_TOKEN


@pytest.mark.parametrize("exp", [NOW - 10, NOW - 1000, 0, -1e300], ids=["just", "long ago", "1970", "never was"])
def test_expired(exp: float) -> None:
    """A token whose time and leeway are over is told apart, so that the client gets a new one."""
    assert refusal(token(exp=exp)) == TOKEN_EXPIRED


@pytest.mark.parametrize(
    "claims", [{"sub": ""}, {"roomd": {"room": "abc"}}, {"nbf": NOW + 60}], ids=["no user", "bad room", "not yet"]
)
def test_expired_and_bad(claims: dict[str, Any]) -> None:
    """A token that never was good is not called expired."""
    assert refusal(token(exp=NOW - 60, **claims)) == INVALID_TOKEN


FOR_US = {"iss": "https://issuer.example", "aud": "roomd"}
ADDRESSEES: dict[str, tuple[dict[str, Any], bool]] = {
    "ours": (FOR_US, True),
    "ours among others": ({**FOR_US, "aud": ["mail", "roomd"]}, True),
    "no issuer": ({"aud": "roomd"}, False),
    "another issuer": ({**FOR_US, "iss": "https://issuer.example/"}, False),
    "issuer a list": ({**FOR_US, "iss": ["https://issuer.example"]}, False),
    "no audience": ({"iss": "https://issuer.example"}, False),
    "another audience": ({**FOR_US, "aud": "roomd2"}, False),
    "other audiences": ({**FOR_US, "aud": ["mail", None, 5]}, False),
    "audiences of none": ({**FOR_US, "aud": []}, False),
    "audience a key": ({**FOR_US, "aud": {"roomd": 1}}, False),
}


@pytest.mark.parametrize(("claims", "accepted"), ADDRESSEES.values(), ids=ADDRESSEES.keys())
def test_addressee(claims: dict[str, Any], accepted: bool) -> None:
    """A configured issuer must be the token's; a configured audience its `aud`, or one of it."""
    if accepted:
        assert verify(token(**claims), [KEY], ADDRESSED, NOW).user_id == "alice"
    else:
        with pytest.raises(Refused, match="invalid_token") as caught:
            verify(token(**claims), [KEY], ADDRESSED, NOW)
        assert caught.value.reason in ("the claim iss is not auth.issuer", "auth.audience is not in the claim aud")


@pytest.mark.parametrize("kid", ["own", None])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_public_keys(algorithm: str, kid: str | None) -> None:
    """A token of any accepted algorithm is found its key, by key id or, without one, by trying."""
    own = {key.algorithm: key.key_id for key in KEYS}[algorithm]
    signed = jwt.encode(GOOD, PRIVATE[algorithm], algorithm, {"kid": own} if kid else None)
    assert verify(signed, KEYS, PUBLIC, NOW).user_id == "alice"


def test_rotated_keys_share_no_tokens() -> None:
    """Of several keys, the one the token names is used, and only that one."""
    other = ec.generate_private_key(ec.SECP256R1())
    keys = [Key(other.public_key(), "ES256", "old"), Key(EC.public_key(), "ES256", "new")]
    assert verify(jwt.encode(GOOD, EC, "ES256", {"kid": "new"}), keys, PUBLIC, NOW).user_id == "alice"
    assert refusal(jwt.encode(GOOD, EC, "ES256", {"kid": "old"}), keys, PUBLIC) == INVALID_TOKEN
    assert refusal(jwt.encode(GOOD, EC, "ES256", {"kid": "gone"}), keys, PUBLIC) == INVALID_TOKEN


def test_key_without_an_id_fits_any() -> None:
    """A key from the configuration has no id and checks tokens of any."""
    assert verify(jwt.encode(GOOD, SECRET, "HS256", {"kid": "any"}), [KEY], POLICY, NOW).user_id == "alice"


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SIGNED = jwt.encode(GOOD, SECRET, "HS256")
HEAD, BODY, SIGNATURE = SIGNED.split(".")
HS = {"alg": "HS256", "typ": "JWT"}

# token, keys; the policy accepts every algorithm roomd knows
FORGED: dict[str, tuple[str, list[Key]]] = {
    "no keys": (SIGNED, []),
    "another secret": (forge(HS, GOOD, SECRET[::-1]), [KEY]),
    "none": (f"{b64({'alg': 'none'})}.{BODY}.", [KEY, *KEYS]),
    "None": (f"{b64({'alg': 'None'})}.{BODY}.", [KEY, *KEYS]),
    "none, with a signature": (f"{b64({'alg': 'none'})}.{BODY}.{SIGNATURE}", [KEY]),
    "no algorithm": (forge({"typ": "JWT"}, GOOD), [KEY]),
    "algorithm null": (forge({"alg": None}, GOOD), [KEY]),
    "algorithm a list": (forge({"alg": ["HS256"]}, GOOD), [KEY]),
    "algorithm in other case": (forge({"alg": "hs256"}, GOOD), [KEY]),
    "HS512 with the secret": (jwt.encode(GOOD, SECRET * 2, "HS512"), [Key(SECRET * 2, "HS256")]),
    "HS256 with the public key's PEM": (forge(HS, GOOD, PEM), KEYS),
    "HS256 with the public key's DER": (forge(HS, GOOD, DER), KEYS),
    "HS256 with the PEM as the secret": (forge(HS, GOOD, PEM), [Key(PEM, "HS256")]),
    "HS256 signature called RS256": (forge({"alg": "RS256"}, GOOD, PEM), KEYS),
    "PS256 with the RSA key": (jwt.encode(GOOD, RSA, "PS256"), KEYS),
    "RS512 with the RSA key": (jwt.encode(GOOD, RSA, "RS512"), KEYS),
    "its own key in the header": (
        jwt.encode(GOOD, ec.generate_private_key(ec.SECP256R1()), "ES256", {"jwk": {}, "jku": "http://x", "x5c": []}),
        KEYS,
    ),
    "secret too short for the algorithm": (forge(HS, GOOD, b"short"), [Key(b"short", "HS256")]),
    "no signature": (f"{HEAD}.{BODY}.", [KEY]),
    "signature cut": (SIGNED[:-2], [KEY]),
    "signature with another last bit": (f"{SIGNED[:-1]}{'A' if SIGNED[-1] != 'A' else 'B'}", [KEY]),
    "another body": (f"{HEAD}.{b64({**GOOD, 'sub': 'bob'})}.{SIGNATURE}", [KEY]),
    "critical extension": (forge({**HS, "crit": ["exp"], "exp": 1}, GOOD), [KEY]),
    "critical b64": (forge({**HS, "crit": ["b64"], "b64": True}, GOOD), [KEY]),
    "critical nothing": (forge({**HS, "crit": []}, GOOD), [KEY]),
    "detached payload": (forge({**HS, "b64": False}, GOOD), [KEY]),
    "key id a number": (forge({**HS, "kid": 5}, GOOD), [KEY]),
    "key id null": (forge({**HS, "kid": None}, GOOD), [KEY]),
    "encrypted (JWE)": (f"{b64({'alg': 'dir', 'enc': 'A256GCM'})}..{BODY}.{BODY}.{SIGNATURE}", [KEY]),
    "four parts": (f"{SIGNED}.{SIGNATURE}", [KEY]),
    "two parts": (f"{HEAD}.{BODY}", [KEY]),
    "one part": (HEAD, [KEY]),
    "nothing": ("", [KEY]),
    "dots": ("..", [KEY]),
    "JSON serialisation": (json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}), [KEY]),
    "spaces around": (f" {SIGNED} ", [KEY]),
    "line break": (f"{SIGNED}\n", [KEY]),
    "not ASCII": (f"\u00e9{SIGNED}", [KEY]),
    "lone surrogate": (f"{SIGNED}\ud800", [KEY]),
    "header no JSON": (forge("{", GOOD), [KEY]),
    "header a list": (forge("[]", GOOD), [KEY]),
    "header nested": (forge("[" * 6000, GOOD), [KEY]),
    "body no JSON": (forge(HS, "{"), [KEY]),
    "body a list": (forge(HS, "[]"), [KEY]),
    "body null": (forge(HS, "null"), [KEY]),
    "body nested": (forge(HS, "[" * 6000), [KEY]),
    "body not UTF-8": (f"{(t := forge(HS, 'x').split('.'))[0]}.{b64(bytes([0xFF, 0xFE]))}.{t[2]}", [KEY]),
    "body with an endless number": (forge(HS, f'{{"sub": "alice", "exp": {"9" * 5000}}}'), [KEY]),
    "too long": (token(padding="x" * LONGEST_TOKEN), [KEY]),
}


@pytest.mark.parametrize(("text", "keys"), FORGED.values(), ids=FORGED.keys())
def test_forged_tokens(text: str, keys: list[Key]) -> None:
    """A token no key vouches for is refused, whatever it asks for and however it is broken."""
    assert refusal(text, keys, ALL) == INVALID_TOKEN


@pytest.mark.parametrize("key", [KEY, *KEYS], ids=lambda key: key.algorithm)
def test_algorithm_must_be_accepted(key: Key) -> None:
    """A key whose algorithm the configuration does not accept checks nothing."""
    signed = jwt.encode(GOOD, PRIVATE[key.algorithm], key.algorithm)
    others = tuple(name for name in ALL.algorithms if name != key.algorithm)
    assert verify(signed, [key], ALL, NOW).user_id == "alice"
    assert refusal(signed, [key], Policy(others)) == INVALID_TOKEN


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
names = st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "name", "roomd", "alg", "kid", "crit", "b64"])
objects = st.dictionaries(names, json_values)


@settings(max_examples=40)
@given(st.text() | st.builds(lambda head, body: forge({**HS, **head}, {**GOOD, **body}), objects, objects))
def test_verify_raises_only_its_refusals(text: str) -> None:
    """Whatever the text, signed or not, the outcome is an identity or one of two refusals."""
    try:
        identity = verify(text, [KEY, *KEYS], ADDRESSED, NOW)
    except Refused as refused:
        kind: ErrorKind | None = refused.kind
    else:
        kind = None if identity.user_id else INVALID_TOKEN
    assert kind in (None, INVALID_TOKEN, TOKEN_EXPIRED)


def test_key_id() -> None:
    """The key id is read without believing anything else."""
    assert key_id(forge({**HS, "kid": "k1"}, GOOD, b"")) == "k1"
    assert key_id(SIGNED) is None


def test_key_repr_hides_the_secret() -> None:
    """A key in a log line or a traceback shows no material."""
    assert repr(Key(SECRET, "HS256", "k1")) == "Key(algorithm='HS256', key_id='k1')"


@pytest.mark.parametrize(
    ("asked", "identity"),
    [
        pytest.param({}, Identity("alice", "alice", NOW + 60), id="the least"),
        pytest.param({"name": "Alice"}, Identity("alice", "Alice", NOW + 60), id="named"),
        pytest.param({"admin": True}, Identity("alice", "alice", NOW + 60, is_admin=True), id="admin"),
        pytest.param({"room": "ABC DEF GHI"}, Identity("alice", "alice", NOW + 60, "abc-def-ghi"), id="room"),
    ],
)
def test_minted_tokens(asked: dict[str, Any], identity: Identity) -> None:
    """A minted token says what was asked, to a server with the same secret, issuer and audience."""
    minted = mint(
        SECRET, TokenOrder(user="alice", ttl=60, **asked), NOW, issuer="https://issuer.example", audience="roomd"
    )
    assert verify(minted, [KEY], ADDRESSED, NOW) == identity


def test_minted_claims() -> None:
    """A minted token holds no claim that was not asked for."""
    minted = mint(SECRET, TokenOrder(user="alice", ttl=0.5), NOW + 0.25)
    claims = jwt.decode(minted, options={"verify_signature": False})
    assert claims == {"sub": "alice", "iat": int(NOW), "exp": int(NOW) + 1}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"user": ""}, "user: must be 1 to 128 characters"),
        ({"user": "a\nb"}, "user: must be 1 to 128 characters"),
        ({"name": " "}, "name: must be 1 to 100 printable characters"),
        ({"room": "abc"}, "room: must be a room code like abc-def-ghi"),
        ({"room": ""}, "room: must be a room code like abc-def-ghi"),
    ],
)
def test_minting_what_would_be_refused(asked: dict[str, Any], message: str) -> None:
    """A token that would be refused, or would say something else, is not made."""
    with pytest.raises(ValueError, match=message):
        mint(SECRET, TokenOrder(**{"user": "alice", "ttl": 60, **asked}), NOW)
