"""Credentials of NATS, and servers with TLS: what is accepted, and what is not."""

import base64
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from roomd.cluster.credentials import Credentials, WrongCredentials
from roomd.cluster.nats import NatsBus, NatsSettings
from roomd.cluster.ports import BusFailed
from tests.support.certificates import Authority
from tests.support.cluster.ear import Ear, until_away
from tests.support.cluster.waiting import comes_true
from tests.support.nats import running
from tests.support.nats_accounts import ACCOUNT, USER, Accounts, Nkey

FILE = """-----BEGIN NATS USER JWT-----
{}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{}
------END USER NKEY SEED------
"""


def credentials(jwt: str, seed: str) -> Credentials:
    """Return credentials with these two parts."""
    return Credentials(lambda: FILE.format(jwt, seed).encode())


def test_a_signature() -> None:
    """The key of the seed has signed it."""
    user = Nkey(USER)
    made = credentials(user.jwt(user.name, 60), user.seed)
    raw = base64.b32decode(user.seed + "=" * (-len(user.seed) % 8))
    public = Ed25519PrivateKey.from_private_bytes(raw[2:34]).public_key()
    public.verify(base64.b64decode(made.sign("nonce")), b"nonce")
    assert abs(made.expires_at() - time.time() - 60) < 30
    made.check()


def test_wrong_files() -> None:
    """A file without the sections, a seed of something else or mistyped, and a JWT that is none."""
    user = Nkey(USER)
    jwt = user.jwt(user.name, None)
    assert credentials(jwt, user.seed).expires_at() == 0
    mistyped = user.seed[:10] + ("A" if user.seed[10] != "A" else "B") + user.seed[11:]
    for seed in (Nkey(ACCOUNT).seed, mistyped, "not-base32", user.name):
        with pytest.raises(WrongCredentials, match="seed"):
            credentials(jwt, seed).check()
    with pytest.raises(WrongCredentials, match="JWT"):
        credentials("a.b.c", user.seed).check()
    with pytest.raises(WrongCredentials, match="two sections"):
        Credentials(lambda: jwt.encode()).check()


async def test_credentials_are_renewed(tmp_path: Path) -> None:
    """When they expire the server ends the connection; with new ones in the same file the bus is back."""
    accounts = Accounts(tmp_path)
    ear, other = Ear(), Ear()
    with running(tmp_path, *accounts.options) as server:
        receiver = NatsBus(NatsSettings([server.url], credentials=Credentials(accounts.credentials("b").read_bytes)))
        await receiver.open("b", other)
        file = accounts.credentials("a", ttl=5)
        bus = NatsBus(NatsSettings([server.url], credentials=Credentials(file.read_bytes)))
        await bus.open("a", ear)
        await until_away(bus)
        accounts.credentials("a")
        await comes_true(lambda: ear.reconnects)
        bus.send("b", b"found")
        await comes_true(lambda: other.messages)
        await bus.close()
        await receiver.close()
    assert ear.missing == other.missing == []


async def test_no_way_around_tls(tmp_path: Path) -> None:
    """A server that names no TLS in its first line is not used where TLS is configured, and gets no signature."""
    accounts = Accounts(tmp_path)
    signed = []

    def read() -> bytes:
        signed.append(1)
        return accounts.credentials("a").read_bytes()

    tls = ssl.create_default_context(cafile=str(Authority(tmp_path).file))
    for options, more in (((), None), (accounts.options, Credentials(read))):
        with running(tmp_path, *options) as server:
            bus = NatsBus(NatsSettings([server.url], tls=tls, credentials=more))
            with pytest.raises(BusFailed, match="a server has no TLS") as failed:
                await bus.open("a", Ear())
            assert failed.value.is_lasting
    assert signed == []
